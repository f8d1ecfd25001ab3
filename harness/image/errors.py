"""The ways in which making or reading an image goes wrong."""

from __future__ import annotations

from harness import errors
from harness.errors import ImageError, MissingToolError, UsageError

__all__ = [
    "BuildError",
    "CargoConfigError",
    "ImageError",
    "SubjectError",
    "ToolchainError",
]


class SubjectError(UsageError):
    """The file that should be judged cannot be read."""


class ToolchainError(MissingToolError):
    """No Rust toolchain here can build for the target."""


class CargoConfigError(errors.BuildError):
    """A configuration file of cargo's keeps the shim from being compiled as it must be."""


class BuildError(errors.BuildError):
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
