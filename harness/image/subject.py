"""Names the frame module under test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness import resources
from harness.image.errors import SubjectError

BUILTIN_NAME = "built-in"


@dataclass(frozen=True)
class Subject:
    """One frame module, compiled in place.

    Attributes:
        path: absolute, with links resolved, as the compiler will print it.
        sha256: of the text when this value was made.
        name: what reports call it.
    """

    path: Path
    sha256: str
    name: str

    @classmethod
    def builtin(cls) -> Subject:
        """Return the shim's own frame module, in which every clause holds."""
        path = resources.shim_dir() / "src" / "memory" / "frame.rs"
        return cls(path, _digest(path), BUILTIN_NAME)

    @classmethod
    def from_file(cls, path: str | Path) -> Subject:
        """Return the subject in a file; its text may be anything.

        Raises:
            SubjectError: there is no such file, or it may not be read.
        """
        resolved = Path(path).expanduser().resolve()
        return cls(resolved, _digest(resolved), resolved.name)

    @property
    def is_builtin(self) -> bool:
        """Tell whether this is the shim's own module."""
        return self.name == BUILTIN_NAME

    def refreshed(self) -> Subject:
        """Return the subject as its file is now."""
        return Subject(self.path, _digest(self.path), self.name)


def _digest(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise SubjectError(
            "subject", str(path), expected="a file", actual="something else", next_step="name a frame.rs"
        )
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SubjectError(
            "subject",
            str(path),
            expected="a readable file",
            actual=error.strerror,
            next_step="name a frame.rs that exists",
        ) from error
