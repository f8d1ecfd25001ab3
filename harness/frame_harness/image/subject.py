"""Names what is under test: a module in a file, or the memory core of a kernel tree."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

from frame_harness.base import resources
from frame_harness.base.paths import at_home, real
from frame_harness.contract.contract import Contract
from frame_harness.image.errors import SubjectError

BUILTIN_NAME = "built-in"


@dataclass(frozen=True)
class Subject:
    """One module of a kernel, or several that belong together, compiled in place, with their contract."""

    path: Path
    """Absolute, with links resolved, as the compiler will print it; a folder where there are `parts`."""
    sha256: str
    """Of the text when this value was made."""
    name: str
    """What reports call it."""
    contract: Contract = field(compare=False, repr=False)
    parts: tuple[str, ...] = ()
    """Names of the files in the folder `path` that are judged together."""
    features: tuple[str, ...] = ()
    """Of the shim, without which these files do not compile."""
    digests: tuple[str, ...] = field(default=(), compare=False)
    """Sha256 of each of the files, when this value was made."""

    @classmethod
    def builtin(cls, contract: Contract) -> Subject:
        """Return the shim's own module, in which every clause holds."""
        path = builtin_path(contract)
        return cls(path, digest := _digest(path), BUILTIN_NAME, contract, digests=(digest,))

    @classmethod
    def from_file(cls, path: str | Path, contract: Contract) -> Subject:
        """Return the subject in a file; its text may be anything.

        Raises:
            SubjectError: there is no such file, it may not be read, or no Rust source can name it.
        """
        resolved = real(at_home(path))
        _check_name(resolved)
        return cls(resolved, digest := _digest(resolved), resolved.name, contract, digests=(digest,))

    @classmethod
    def from_folder(
        cls,
        path: Path,
        parts: tuple[str, ...],
        name: str,
        contract: Contract,
        features: tuple[str, ...] = (),
    ) -> Subject:
        """Return the subject that some files of a folder are together.

        Raises:
            SubjectError: one may not be read, or no Rust source can name the folder.
        """
        resolved = real(path)
        _check_name(resolved)
        digests = tuple(_digest(resolved / part) for part in parts)
        return cls(resolved, _together(parts, digests), name, contract, parts, features, digests)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are judged."""
        return tuple(self.path / part for part in self.parts) or (self.path,)

    @property
    def is_builtin(self) -> bool:
        """Tell whether this is the shim's own module."""
        return self.path == builtin_path(self.contract)

    def refreshed(self) -> Subject:
        """Return the subject as its file is now."""
        digests = tuple(map(_digest, self.files))
        return replace(self, sha256=_together(self.parts, digests), digests=digests)


def builtin_path(contract: Contract) -> Path:
    """Return where the shim's own module is."""
    return resources.shim_dir() / contract.reference


def _check_name(path: Path) -> None:
    """Refuse what a Rust source, a list of make's, a line for cargo or a reader of DWARF cannot carry."""
    # What is not UTF-8 arrives as surrogates. A name with a backslash is taken for one of Windows.
    if any(char == "\\" or unicodedata.category(char) in {"Cc", "Cs"} for char in str(path)):
        raise SubjectError(
            "subject",
            repr(os.fsencode(path))[1:],
            expected="a path in UTF-8 without control characters and backslashes",
            actual="another",
            next_step="rename the file or the folder",
        )


def _together(parts: tuple[str, ...], digests: tuple[str, ...]) -> str:
    """One digest of several files; of a single one its own."""
    if not parts:
        return digests[0]
    named = " ".join(f"{part} {digest}" for part, digest in zip(parts, digests, strict=True))
    return hashlib.sha256(named.encode()).hexdigest()


def _digest(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise SubjectError(
                "subject", str(path), expected="a file", actual="something else", next_step="name a frame.rs"
            )
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SubjectError(
            "subject",
            str(path),
            expected="a readable file",
            actual=error.strerror,
            next_step="name a frame.rs that exists",
        ) from error
