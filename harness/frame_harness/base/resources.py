"""Finds the files that travel with the harness."""

from __future__ import annotations

import os
from pathlib import Path

from frame_harness.base.errors import HarnessError
from frame_harness.base.paths import at_home, real

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_data"  # where the wheel puts what a clone has beside the package


def checkout_root() -> Path | None:
    """Return the clone that this package lies in; None when it was installed from a wheel."""
    root = _PACKAGE.parent.parent
    return root if (root / "kernel_shim" / "Cargo.toml").is_file() else None


def shim_dir() -> Path:
    """Return the folder of the Rust crate that surrounds a subject; it may be read-only."""
    return _find("kernel_shim", "kernel_shim")


def machines_dir() -> Path:
    """Return the folder of the machine definitions (`*.toml`)."""
    return _find("qemu", "qemu")


def suite_dir() -> Path:
    """Return the folder of the tests that judge a subject."""
    return _find("tests/contract", "suite")


def build_dir() -> Path:
    """Return the writable folder for everything that can be built again; created when missing.

    `FRAME_HARNESS_CACHE` names it. Else a clone uses its own `.build`: two clones never share state;
    and an installed package the user's cache folder (`XDG_CACHE_HOME`, XDG Base Directory Specification 0.8).

    Raises:
        HarnessError: nobody may write there.
    """
    folder = build_place()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(
            "build folder",
            str(folder),
            expected="a writable place",
            actual=error.strerror,
            next_step="set FRAME_HARNESS_CACHE to a folder that you may write",
        ) from error
    return folder


def home() -> Path:
    """Return the caller's home; where nobody knows one, a folder that is not there, named as Debian does."""
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and a user without an entry, as in many containers
        return Path("/nonexistent")


def build_place() -> Path:
    """Return where that folder is, whether it is there or not."""
    named = os.environ.get("FRAME_HARNESS_CACHE")
    if named:
        return real(at_home(named))
    root = checkout_root()
    if root is not None and os.access(root, os.W_OK):
        return root / ".build"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # XDG Base Directory Specification 0.8, "Basics": a relative path there is invalid and must be ignored.
    cache = Path(base) if Path(base).is_absolute() else home() / ".cache"
    return cache / "frame-harness"


def _find(in_clone: str, in_wheel: str) -> Path:
    root = checkout_root()
    folder = root / in_clone if root is not None else _INSTALLED / in_wheel
    if not folder.is_dir():
        raise HarnessError(
            "installation",
            in_clone,
            expected=f"a folder at {folder}",
            actual="nothing",
            next_step="install the package again, or clone the project again",
        )
    return folder
