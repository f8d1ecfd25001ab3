"""Where mutants lie while they are built: one after the other at the same place, for the compiler's sake."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Protocol

from frame_harness.base.resources import build_dir
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.mutation.mutants import Mutant, applied


class _Clock(Protocol):
    def building(self) -> AbstractContextManager[None]: ...


@contextlib.contextmanager
def laid_out(texts: Mapping[str, bytes], mutant: Mutant) -> Iterator[Path]:
    """Write a mutant to a place that no other process uses; yield the path of its `frame.rs`."""
    for number in count():
        place = build_dir() / "mutants" / f"place-{number}"
        place.mkdir(parents=True, exist_ok=True)
        with (place / "lock").open("ab") as lock:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                folder = place / "memory"
                shutil.rmtree(folder, ignore_errors=True)
                for name, text in texts.items():
                    file = folder / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(applied(text, mutant) if name == mutant.file else text)
                yield folder / next(iter(texts))
                return


class MutantBuilds:
    """Builds a mutant in one profile after the other."""

    def __init__(self, subject: Subject, mutant: Mutant, clock: _Clock) -> None:
        self._subject, self._mutant, self._clock = subject, mutant, clock
        self._images: dict[str, Image] = {}

    def image(self, profile: str) -> Image:
        """Return its image.

        Raises:
            CompileError: it does not compile.
        """
        if profile not in self._images:
            with self._clock.building():
                self._images[profile] = build(self._subject, profile)
        return self._images[profile]
