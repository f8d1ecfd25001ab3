"""Builds the images of several profiles at the same time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

from frame_harness.base.commands import GRACE_S, Say, SlowStep, tell_through
from frame_harness.base.errors import HarnessError
from frame_harness.base.forking import forked
from frame_harness.base.interruption import Blocked, unstopped, until_interrupted
from frame_harness.base.pipes import value_heard
from frame_harness.image.build import build, is_built
from frame_harness.image.compiler import Toolchain
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject

AGAIN_S: Final = 3 * GRACE_S
"""How long a process may take to end its compiler before it is told once more."""


class TimedImage(NamedTuple):
    """An image with the seconds that it took to be built, or to be found."""

    image: Image
    seconds: float


def build_each(
    subject: Subject, profiles: Sequence[str], toolchain: Toolchain, say: Say | None = None
) -> Generator[TimedImage, None, None]:
    """Give the image of each profile, in order; those that have to be compiled are compiled side by side.

    Close it, or come to its end, so that no compiler goes on.

    Raises:
        HarnessError: what `build` raises for the first profile that has no image.
    """
    missing = [profile for profile in profiles if not is_built(subject, profile, toolchain)]
    others = missing[1:] if len(os.sched_getaffinity(0)) > 1 else []
    with _built_by_another(subject, others, toolchain) as other:
        for profile in profiles:
            began = time.monotonic()
            took = other.wait_for(profile, f"compiling the shim around {subject.name} ({profile})", say)
            image = build(subject, profile, toolchain=toolchain, say=say)
            yield TimedImage(image, took if took is not None else time.monotonic() - began)


@dataclass
class _Other:
    """The process that builds the other profiles, as this one sees it."""

    left: list[str]
    connection: Connection | None = None

    def wait_for(self, profile: str, what: str, say: Say | None) -> float | None:
        """Wait until a profile is built; the seconds that it took.

        None: the other process does not build it, or could not. Then `build` does, or says why not.
        """
        if self.connection is None or profile not in self.left:
            return None
        with SlowStep(what, say):
            try:
                seconds: float = value_heard(self.connection)
            except EOFError:
                self.connection = None
                return None
        self.left.remove(profile)
        return seconds


@contextlib.contextmanager
def _built_by_another(subject: Subject, profiles: Sequence[str], toolchain: Toolchain) -> Iterator[_Other]:
    """Let a process of its own build profiles one after the other; it ends with the context."""
    if not profiles:
        yield _Other([])
        return
    with unstopped() as blocked:
        ours, process = forked(partial(_build, subject, profiles, toolchain), blocked)
    other = _Other(list(profiles), ours)
    try:
        yield other
    finally:
        while other.left and process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)
            # Python may see the signal only once what it waits for is over: then it takes another one.
            process.join(AGAIN_S)
        process.join()
        ours.close()


def _build(
    subject: Subject, profiles: Sequence[str], toolchain: Toolchain, told: Connection, blocked: Blocked
) -> None:
    """What the other process does. It says nothing: its parent asks for the same images, and says it all."""
    tell_through(lambda _: None)

    def build_all() -> None:
        # The parent builds what is missing then, and meets the same error where it can be told.
        with contextlib.suppress(HarnessError, OSError):
            for profile in profiles:
                began = time.monotonic()
                build(subject, profile, toolchain=toolchain)
                told.send(time.monotonic() - began)

    until_interrupted(build_all, blocked)
