"""The ways in which making or reading an image goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from frame_harness.base import errors
from frame_harness.base.errors import ImageError, MissingToolError, UsageError

__all__ = [
    "BuildDifference",
    "CargoConfigError",
    "CompileError",
    "ImageError",
    "NotJudgeable",
    "SubjectError",
    "ToolchainError",
    "WrongBuild",
]

AGAIN: Final = "see that nothing ends compilers here, such as a lack of memory, and run it again"
"""What to do where a compiler failed, and no text is to blame."""


class SubjectError(UsageError):
    """The file that should be judged cannot be read."""


class ToolchainError(MissingToolError):
    """No Rust toolchain here can build for the target."""


class CargoConfigError(errors.BuildError):
    """A configuration file of cargo's keeps the shim from being compiled as it must be."""


@dataclass(frozen=True)
class BuildDifference:
    """One way in which a build is not the one that was asked for."""

    what: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, got {self.got}"


class WrongBuild(errors.BuildError):
    """What was compiled is not what was asked for: nothing that it does says anything about the subject."""

    def __init__(self, which: str, differences: Sequence[BuildDifference]) -> None:
        super().__init__(
            which,
            expected=", ".join(f"{one.what} {one.expected}" for one in differences),
            actual=", ".join(f"{one.what} {one.got}" for one in differences),
            detail="this says nothing about the frame module",
            next_step="something changes what the compiler is told; make doctor names the compiler and the "
            "build folder: see that it is your compiler, remove the folder, run the same command again",
        )  # fmt: skip
        self.differences = tuple(differences)


class CompileError(errors.BuildError):
    """The shim with this subject does not become a kernel.

    Attributes:
        first: the first error on one line, with its place.
        rendered: everything that the compiler said, as it says it on a terminal.
    """

    def __init__(
        self, *, subject: str, profile: str, first: str, rendered: str = "", next_step: str = ""
    ) -> None:
        super().__init__(
            "build", f"{subject} ({profile})", expected="code that compiles", actual=first, evidence=rendered,
            next_step=next_step,
        )  # fmt: skip
        self.first = first
        self.rendered = rendered


class NotJudgeable(errors.BuildError):
    """A frame module whose interface is another than the contract's: no fault of it, and nothing to judge.

    Attributes:
        lacks: names that nothing can be judged without.
        asks: names that it asks its crate for, and nobody offers.
    """

    def __init__(self, subject: str, lacks: Sequence[str], asks: Sequence[str]) -> None:
        parts = [f"it lacks {_listed(lacks)}"] if lacks else []
        parts += [f"it asks its crate for {_listed(asks)}, which nobody offers"] if asks else []
        super().__init__(subject, detail=f"this version cannot be judged: {'; '.join(parts)}")
        self.lacks, self.asks = tuple(lacks), tuple(asks)


def _listed(names: Sequence[str], most: int = 8) -> str:
    """Name the first ones, count the rest."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])
