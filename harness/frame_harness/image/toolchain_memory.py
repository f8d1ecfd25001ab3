"""Remembers which Rust toolchain worked, as long as nothing that decides about it changes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frame_harness.base import disk, resources
from frame_harness.image import cache_limit, store
from frame_harness.image.compiler import Toolchain

# Another one for each change of what is noted, or of how a toolchain's key is made.
_SHAPE = "6"
_ON_THE_PATH = ("rustc", "cargo", "rustup", "ld")
_VARIABLES = ("PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN")


def recall(force: str | None) -> dict[str, Any] | None:
    """Return the fields of the toolchain that was found before; None when it must be looked for."""
    place = _place(force)
    note = store.read_json(place)
    match note:
        case {"watched": dict(watched), "toolchain": dict(fields), "shape": str(shape)} if shape == _SHAPE:
            if any(_stamp(path) != stamp for path, stamp in watched.items()):
                return None
            cache_limit.touch(place)
            return fields
    return None


def remember(toolchain: Toolchain, force: str | None, sysroot: Path | None) -> None:
    """Note a choice.

    Args:
        sysroot: of the toolchain on the path, whether it was chosen or refused; a target added there counts.
    """
    fields = {
        name: str(value) if isinstance(value, Path) else value for name, value in asdict(toolchain).items()
    }
    watched = {str(path): _stamp(path) for path in _watched(toolchain, sysroot)}
    try:
        store.write_json(_place(force), {"shape": _SHAPE, "watched": watched, "toolchain": fields})
    except disk.Unwritable as error:  # somebody else's cache, or no room: it can be found again
        disk.tell(error)


def _watched(toolchain: Toolchain, sysroot: Path | None) -> list[Path]:
    rustup_home = Path(os.environ.get("RUSTUP_HOME") or resources.home() / ".rustup")
    shim = resources.shim_dir()
    found = [
        *toolchain.parts,
        toolchain.sysroot / "lib",
    ]  # where a compiler that was made anew has another name
    found += [rustup_home / "settings.toml", rustup_home / "toolchains"]
    # In each folder: one that comes into an earlier folder takes the place of the one that was found.
    found += [Path(folder, name) for folder in os.get_exec_path() for name in _ON_THE_PATH]
    if sysroot is not None:
        found += [sysroot / "bin" / "rustc", sysroot / "lib" / "rustlib"]
    # Files by which a folder asks rustup for a toolchain; that one is not there is worth noting, too.
    for folder in (shim, *shim.parents):
        found += [folder / "rust-toolchain", folder / "rust-toolchain.toml"]
    return found


def _place(force: str | None) -> Path:
    parts = [force or "", str(resources.shim_dir()), *(os.environ.get(name, "") for name in _VARIABLES)]
    name = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:24]
    return resources.build_dir() / "toolchains" / f"{name}.json"


def _stamp(path: str | Path) -> list[int] | None:
    """What another file in its place has not: a copy or a package may keep the time of the change."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino]
