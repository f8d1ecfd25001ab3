"""Runs a slow command while telling what it does."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TextIO

Say = Callable[[str], None]
"""Shows one line to the person who waits."""

HowFar = Callable[[str], str | None]
"""Given a line that a tool printed, returns what to show of it, or None."""

TOLD: Final = "FRAME_HARNESS_TOLD"
"""The variable by which a process tells those that it starts what need not be said again."""
_SAY: Final[list[Say]] = []

PATIENCE_S = 2.0  # a step that is over by then is not worth a line
GRACE_S: Final = 2.0  # for a tool that is told to end
# Its input ends when nobody holds the other end any more: the kernel closes that, also after SIGKILL.
_GUARD: Final = f"trap '' TERM INT HUP; read -r _; kill -s TERM 0; sleep {GRACE_S}; kill -s KILL 0"
REPEAT_S = 5.0  # how often the line is renewed after that


class SlowStep:
    """Says what is under way once it takes longer than two seconds, then again whenever five have passed.

    The clock is a thread's, so that a tool that prints nothing is reported all the same.
    """

    def __init__(self, what: str, say: Say | None) -> None:
        self._what = what
        self._say = say
        self._detail = ""
        self._done = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name=f"progress: {what}", daemon=True)
        self._spoke = False

    def at(self, detail: str) -> None:
        """Note how far the step is, for the next time it is shown."""
        self._detail = detail

    @property
    def elapsed_s(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def __enter__(self) -> SlowStep:
        if self._say is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._done.set()
        if self._say is None:
            return
        self._thread.join()
        if self._spoke and kind is None:
            self._say(f"{self._what}: done in {self.elapsed_s:.0f} s")

    def _watch(self) -> None:
        wait_s = PATIENCE_S
        while not self._done.wait(wait_s):
            self._spoke = True
            detail = f", {self._detail}" if self._detail else ""
            if self._say is not None:
                self._say(f"{self._what} … {self.elapsed_s:.0f} s{detail}")
            wait_s = REPEAT_S


@dataclass(frozen=True)
class Finished:
    """What a command left: exit status (negative: the signal that ended it), output, error output."""

    status: int
    out: str
    err: str

    def last_words(self) -> str:
        """Return the line that most likely says what went wrong, or the exit status when it said nothing."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        # apt complains first about a terminal that it does not need.
        marked = [
            line
            for line in lines
            if re.match(r"error|e:|.*\bfatal error: ", line.lower()) and "Can not write log" not in line
        ]
        return (marked or lines or [f"exit status {self.status}"])[0 if marked else -1]


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    say: Say | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    how_far: HowFar | None = None,
    umask: int = -1,
) -> Finished:
    """Run a command to its end; a missing program counts as exit status 127, as in a shell.

    It ends with this process, with all that it started, even when this process is killed by SIGKILL.

    Args:
        umask: of the command; the caller's when negative.
    """
    with SlowStep(what, say) as step, contextlib.ExitStack() as stack:
        try:
            group = stack.enter_context(_guarded_group())
            child = subprocess.Popen(
                [os.fspath(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=_with_a_tmpdir_that_is_there(os.environ if env is None else env),
                text=True,
                errors="replace",
                process_group=group,
                umask=umask,
            )
        except FileNotFoundError as error:
            return Finished(127, "", f"{error.filename}: not found")
        except OSError as error:
            return Finished(126, "", f"{argv[0]}: {error.strerror}")
        with child:
            try:
                out, err = _drain(child, step, how_far)
            except BaseException:
                _end_group(group, child)
                raise
            return Finished(child.wait(), out, err)


def _with_a_tmpdir_that_is_there(env: Mapping[str, str]) -> Mapping[str, str]:
    """Leave out a folder for temporary files that does not exist: compilers and scripts of packages fail."""
    if Path(env.get("TMPDIR") or "/").is_dir():
        return env
    return {name: value for name, value in env.items() if name != "TMPDIR"}


@contextlib.contextmanager
def _guarded_group() -> Iterator[int]:
    """Make a process group that ends with this process; it is guarded before anybody else is in it.

    The signal that QEMU gets when its parent ends would reach cargo, and none of the compilers that cargo
    started. It also comes when a thread ends, and commands are run in many a thread.
    """
    guard = subprocess.Popen(
        ["sh", "-c", _GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    with guard:
        try:
            yield guard.pid
        finally:
            guard.kill()  # before its input ends


def _end_group(group: int, child: subprocess.Popen[str]) -> None:
    """End a tool with all that it started: its pipes end, too, and with them the thread that reads."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(group, number)
            child.wait(GRACE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _drain(child: subprocess.Popen[str], step: SlowStep, how_far: HowFar | None) -> tuple[str, str]:
    """Read both streams at once: a tool that fills the pipe nobody reads would wait for ever."""

    def read(stream: IO[str], into: list[str]) -> None:
        for line in stream:
            into.append(line)
            detail = how_far(line) if how_far is not None else None
            if detail:
                step.at(detail)

    if child.stdout is None or child.stderr is None:
        raise AssertionError("the child was started with pipes")
    out: list[str] = []
    err: list[str] = []

    def read_errors(stream: IO[str]) -> None:
        with contextlib.suppress(ValueError):  # closed at the end of a tool that was interrupted
            read(stream, err)

    reader = threading.Thread(target=read_errors, args=(child.stderr,), daemon=True)
    reader.start()
    read(child.stdout, out)
    reader.join()
    return "".join(out), "".join(err)


def speaker(stream: TextIO, *, alone: bool = True, begin: Callable[[], None] | None = None) -> Say:
    """Return a way to show lines: on a terminal a line about the same step replaces the one before.

    Args:
        alone: nobody else writes to the terminal meanwhile; else every line stays.
        begin: makes a fresh line on the terminal, where somebody else may have begun one.
    """
    last = ""

    def say(line: str) -> None:
        nonlocal last
        step = line.partition(" … ")[0].partition(": done")[0]
        terminal = stream.isatty()
        if terminal:
            line = _cut(line, stream)
            if begin is not None:
                begin()
        again = terminal and alone and bool(last) and step == last
        stream.write(f"\x1b[1A\x1b[2K{line}\n" if again else f"{line}\n")
        stream.flush()
        last = step

    return say


def _cut(line: str, stream: TextIO) -> str:
    """Make a line fit a terminal: of one that wraps, only the last part would be replaced."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:  # a stream that only says that it is one
        return line
    return line if columns < 2 or len(line) < columns else f"{line[: columns - 2]}…"


@contextlib.contextmanager
def telling_through(say: Say) -> Iterator[None]:
    """Have `tell_once` say what it has to say through `say` meanwhile; without anybody, it goes to stderr."""
    before = _SAY[:]
    _SAY[:] = [say]
    try:
        yield
    finally:
        _SAY[:] = before


def tell_through(say: Say) -> None:
    """Have `tell_once` say what it has to say through `say` for the rest of this process."""
    _SAY[:] = [say]


def tell_once(text: str, *, cause: str = "") -> None:
    """Say something that is good to know, once for all processes of a run.

    Args:
        cause: the same of all texts of which one is enough; else it is the text.
    """
    told = os.environ.get(TOLD, "").splitlines()
    if (cause or text) in told or os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
        return
    os.environ[TOLD] = "\n".join([*told, cause or text])
    if _SAY:
        _SAY[0](f"note: {text}")
    else:
        print(f"note: {text}", file=sys.stderr, flush=True)
