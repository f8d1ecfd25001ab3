"""Builds the images of several profiles at the same time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Final, NamedTuple, Protocol

from frame_harness.base.commands import GRACE_S, Say, SlowStep, tell_through
from frame_harness.base.errors import HarnessError
from frame_harness.base.forking import forked
from frame_harness.base.interruption import Blocked, unstopped, until_interrupted
from frame_harness.base.pipes import value_heard
from frame_harness.image.build import build, is_built
from frame_harness.image.compiler import Toolchain
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain

AGAIN_S: Final = 3 * GRACE_S
"""How long a process may take to end its compiler before it is told once more."""


class TimedImage(NamedTuple):
    """An image with the seconds that it took to be built, or to be found."""

    image: Image
    seconds: float


class BuildEach(Protocol):
    """`build_each`, which may have begun already."""

    def __call__(
        self,
        subject: Subject,
        profiles: Sequence[str],
        toolchain: Toolchain,
        say: Say | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Generator[TimedImage, None, None]: ...


@dataclass
class _Builder:
    """A process that builds images, as this one sees it; it says each that it has built."""

    profiles: Sequence[str]
    connection: Connection | None = None

    def wait_for(self, profile: str, what: str, say: Say | None) -> float | None:
        """Wait until a profile is built; the seconds that it took.

        None: this process does not build it, or could not. Then `build` does, or says why not.
        """
        if self.connection is None or profile not in self.profiles:
            return None
        with SlowStep(what, say):
            try:
                built, seconds = value_heard(self.connection)
            except EOFError:
                self.connection = None
                return None
        return float(seconds) if built == profile else None


_NOBODY: Final = _Builder(())


@contextlib.contextmanager
def building_ahead(subject: Subject, profiles: Sequence[str]) -> Iterator[BuildEach]:
    """Let a process of its own build the first image that is missing, for the time of a block.

    It says nothing, not even an error: whoever goes on with what this gives is told.
    """
    if _n_cpus() == 1:
        yield build_each
        return
    with _process_for(partial(_build_first_missing, subject, profiles), profiles) as ahead:
        yield partial(build_each, ahead=ahead)


def build_each(
    subject: Subject,
    profiles: Sequence[str],
    toolchain: Toolchain,
    say: Say | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    ahead: _Builder = _NOBODY,
) -> Generator[TimedImage, None, None]:
    """Give the image of each profile, in order; those that have to be compiled are compiled side by side.

    Close it, or come to its end, so that no compiler goes on.

    Args:
        meanwhile: called once where a process that has begun before compiles, and this one has to wait.
        ahead: builds the first that is missing, or has just built it.
    Raises:
        HarnessError: what `build` raises for the first profile that has no image.
    """
    missing = [profile for profile in profiles if not is_built(subject, profile, toolchain)]
    others = missing[1:] if _n_cpus() > 1 else []
    with _process_for(partial(_build_all, subject, others, toolchain), others) as beside:
        if missing and ahead.connection is not None:
            meanwhile()
        for profile in profiles:
            began = time.monotonic()
            builder = ahead if profile in missing[:1] else beside
            took = builder.wait_for(profile, f"compiling the shim around {subject.name} ({profile})", say)
            image = build(subject, profile, toolchain=toolchain, say=say)
            yield TimedImage(image, took if took is not None else time.monotonic() - began)


def _n_cpus() -> int:
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _process_for(work: Callable[[Connection], None], profiles: Sequence[str]) -> Iterator[_Builder]:
    """Let a process of its own build profiles one after the other; it ends with the context."""
    if not profiles:
        yield _NOBODY
        return
    with unstopped() as blocked:
        ours, process = forked(partial(_process_main, work), blocked)
    try:
        yield _Builder(profiles, ours)
    finally:
        while process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)
            # Python may see the signal only once what it waits for is over: then it takes another one.
            process.join(AGAIN_S)
        process.join()
        ours.close()


def _process_main(work: Callable[[Connection], None], told: Connection, blocked: Blocked) -> None:
    """Begin in the new process. It says nothing: its parent asks for the same images, and says it all."""
    tell_through(lambda _: None)

    def quietly() -> None:
        # The parent builds what is missing then, and meets the same error where it can be told.
        with contextlib.suppress(HarnessError, OSError):
            work(told)

    until_interrupted(quietly, blocked)


def _build_all(subject: Subject, profiles: Sequence[str], toolchain: Toolchain, told: Connection) -> None:
    for profile in profiles:
        began = time.monotonic()
        build(subject, profile, toolchain=toolchain)
        told.send((profile, time.monotonic() - began))


def _build_first_missing(subject: Subject, profiles: Sequence[str], told: Connection) -> None:
    toolchain = find_toolchain()
    missing = [profile for profile in profiles if not is_built(subject, profile, toolchain)]
    _build_all(subject, missing[:1], toolchain, told)
