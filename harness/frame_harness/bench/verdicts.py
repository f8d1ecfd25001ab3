"""How long a verdict takes, from the command line to the exit status."""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path

from frame_harness.base.errors import HarnessError
from frame_harness.base.profiles import PROFILES
from frame_harness.bench.boot import qemu_start
from frame_harness.bench.rows import Row, beside, timed
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image import cargo, incremental, store
from frame_harness.image.build import build, lock_of
from frame_harness.image.toolchain import find_toolchain
from frame_harness.machine.definition import load_machine

MACHINE = "microvm"
ONE_CLAUSE = "ALLOC-07"
START = "from frame_harness_start import main; main()"
WAITS = "waiting for a save"
END_S = 60.0
"""How long the program may take to end its guests."""
ROUNDS = 1
"""Behind one that does not count; what takes a minute does not repeat itself to the second."""
STARTS = 9
"""Of QEMU, for a floor that is a thousand times shorter than what is measured beside it."""


def measure() -> Iterator[Row]:
    """Whole runs beside QEMU's own start; runs after an edit, and watching, beside cargo alone."""
    with tempfile.TemporaryDirectory() as folder:
        edited = _Edited(Path(folder) / "frame.rs")
        edited.build()
        yield _whole("whole check, everything built", edited, "<= 1000", edit=False)
        yield _whole("whole check after an edit, both profiles", edited, "<= 1300", edit=True)
        for name, words, goal in (
            (f"check on {MACHINE}, dev, after an edit", (), "<= 3.0"),
            (f"check of {ONE_CLAUSE} on {MACHINE}, dev, after an edit", ("-k", ONE_CLAUSE), "<= 1.5"),
        ):
            yield beside(
                name,
                lambda words=words: edited.timed_after_an_edit(*words),  # type: ignore[misc]
                "cargo build of the dev shim, after an edit",
                edited.timed_build,
                rounds=ROUNDS,
                goal=goal,
            )
        yield _watched(Path(folder) / "watched", edited)


def _watched(folder: Path, edited: _Edited) -> Row:
    """From a save to the result of a clause, beside cargo alone on another copy, which nobody watches."""
    folder.mkdir()
    saved = _Edited(folder / "frame.rs")
    with _Watching(saved.path, "--machine", MACHINE, "--profile", "dev", "-k", ONE_CLAUSE) as watching:

        def save() -> None:
            saved.edit()
            watching.wait()

        return beside(
            f"watch: from a save to {ONE_CLAUSE} on {MACHINE}, dev",
            lambda: timed(save),
            "cargo build of the dev shim, after an edit",
            edited.timed_build,
            rounds=ROUNDS,
            goal="<= 1.5",
        )


class _Watching:
    """The program beside an editor."""

    def __init__(self, path: Path, *words: str) -> None:
        self._argv = [sys.executable, "-c", START, "watch", "--frame-rs", str(path), *words]

    def __enter__(self) -> _Watching:
        self._process = subprocess.Popen(
            self._argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def wait(self) -> None:
        """Wait until it has judged what was saved.

        Raises:
            HarnessError: it ended, or did not come to a PASS, so that its time says nothing.
        """
        assert self._process.stdout is not None
        said = list(takewhile(lambda line: WAITS not in line, self._process.stdout))
        if self._process.poll() is not None or not any(line.startswith("PASS") for line in said):
            raise HarnessError("bench", " ".join(self._argv[3:]), expected="PASS", evidence="".join(said))


class _Edited:
    """A copy of the built-in module that is another one whenever it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self._text = path, frame_module().path.read_text(encoding="utf-8")
        self._number = count()
        self._toolchain = find_toolchain()
        self.edit()

    def edit(self) -> None:
        """Change what one of its functions is compiled to."""
        number = next(self._number)
        changed = f"{self._text}\n#[used]\nstatic EDITED: fn() -> u32 = || {number};\n"
        self.path.write_text(changed, encoding="utf-8")

    def build(self) -> None:
        """Have the images of both profiles, as an earlier run has left them."""
        for profile in PROFILES:
            build(frame_module(self.path), profile, toolchain=self._toolchain)

    def judge(self, *words: str) -> None:
        """Run the program as a user does.

        Raises:
            HarnessError: it did not pass, so that its time says nothing.
        """
        argv = [sys.executable, "-c", START, "check", "--frame-rs", str(self.path), *words]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise HarnessError("bench", " ".join(argv[3:]), detail=f"exit status {ended.returncode}",
                               evidence=ended.stdout + ended.stderr)  # fmt: skip

    def timed_after_an_edit(self, *words: str) -> float:
        self.edit()
        return timed(lambda: self.judge("--machine", MACHINE, "--profile", "dev", *words))

    def timed_build(self) -> float:
        """Seconds of cargo alone."""
        self.edit()
        subject = frame_module(self.path)
        order = cargo.image_invocation(subject, "dev", self._toolchain)
        with store.locked(lock_of(self._toolchain, "dev")):
            # As a build does: what the compiler keeps of another copy would be compiled anew.
            incremental.choose(cargo.target_dir_of(self._toolchain), "dev", subject.path)
            return timed(lambda: cargo.compile_shim(subject, "dev", order))


def _whole(name: str, edited: _Edited, goal: str, *, edit: bool) -> Row:
    """One run of all, which takes a minute, between starts of QEMU."""
    image, machine = build(frame_module(), "release"), load_machine(MACHINE)
    before = [qemu_start(image, machine) for _ in range(STARTS)]
    if edit:
        edited.edit()
    seconds = timed(edited.judge)
    start = statistics.median([*before, *(qemu_start(image, machine) for _ in range(STARTS))])
    return Row(name, seconds * 1000, "QEMU's own start", start * 1000, "ms", seconds / start, goal)
