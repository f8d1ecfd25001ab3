"""Reads in cargo's output how far a build is."""

from __future__ import annotations

import tomllib
from pathlib import Path

from frame_harness.image.said import objects_in

CORE_PACKAGES = 5  # what building the core library adds: core, alloc, compiler_builtins with two helpers


class Packages:
    """Names the packages that are being compiled, counts those that are done."""

    def __init__(self, shim: Path, *, with_core: bool, with_optional: bool = False) -> None:
        lock = shim / "Cargo.lock"
        text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
        optional = 0 if with_optional else _optional(shim / "Cargo.toml")
        self._total = text.count("[[package]]") - optional + (CORE_PACKAGES if with_core else 0)
        self._done: set[str] = set()
        self._begun: dict[str, None] = {}

    def __call__(self, line: str) -> str | None:
        """Take one line of either stream; return what to show, or None."""
        if line.startswith('{"reason":"compiler-artifact"'):
            message = next(iter(objects_in(line)), None)
            if message is None:
                return None
            # A build script comes first and is not the whole.
            if "custom-build" not in message["target"]["kind"]:
                self._done.add(_name(message["package_id"]))
        elif line.lstrip().startswith("Compiling "):
            #    Compiling x86_64 v0.15.5
            self._begun[line.split()[1]] = None
        elif "Downloading" in line or "Updating" in line:
            return line.strip()
        else:
            return None
        now = [name for name in self._begun if name not in self._done]
        compiling = f"compiling {', '.join(now)}" if now else "linking"
        return f"{len(self._done)} of {max(self._total, len(self._done))} packages done, {compiling}"


def _optional(manifest: Path) -> int:
    """Count the dependencies that only a feature brings."""
    if not manifest.is_file():
        return 0
    wanted = tomllib.loads(manifest.read_text(encoding="utf-8")).get("dependencies", {}).values()
    return sum(isinstance(one, dict) and bool(one.get("optional")) for one in wanted)


def _name(package_id: str) -> str:
    """Return the name in a package id (The Cargo Book, Package ID Specifications)."""
    # registry+https://…#spin@0.9.8        path+file:///…/kernel_shim#0.1.0        spin 0.9.8 (registry+…)
    place, hash_, rest = package_id.partition("#")
    if not hash_:
        return package_id.split(maxsplit=1)[0]
    return rest.partition("@")[0] if "@" in rest else place.rpartition("/")[2]
