"""A Rust toolchain that builds for the bare machine, once it is found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TARGET = "x86_64-unknown-none"
# In rustup's toolchains, in one that its user compiled, in Debian's, where the architecture has a folder.
_BEHIND_RUSTC: Final = (
    f"lib/rustlib/{TARGET}/lib/*",
    "lib/librustc_driver-*",
    "lib/*/librustc_driver-*",
    "lib/libLLVM*",
    "lib/rustlib/*/bin/rust-lld",
)
_LIBRARY: Final = "lib/rustlib/src/rust/library"


@dataclass(frozen=True)
class Toolchain:
    """One compiler with its cargo, able to build for the bare machine."""

    choice: str
    """One of `CHOICES`."""
    cargo: Path
    rustc: Path
    release: str
    """Of the compiler, such as `1.95.0`."""
    cargo_args: tuple[str, ...]
    """What `cargo build` needs beyond the usual."""
    rustflags: tuple[str, ...]
    """What the compiler needs beyond the crate's own flags."""
    env: tuple[tuple[str, str], ...]
    """Variables to set for cargo."""
    sysroot: Path
    """With the compiler's own libraries."""
    key: str
    """Differs whenever what it compiles may differ."""

    @classmethod
    def restored(cls, fields: dict[str, Any]) -> Toolchain:
        """Return the toolchain whose fields went through JSON."""
        return cls(
            choice=fields["choice"],
            cargo=Path(fields["cargo"]),
            rustc=Path(fields["rustc"]),
            release=fields["release"],
            cargo_args=tuple(fields["cargo_args"]),
            rustflags=tuple(fields["rustflags"]),
            env=tuple((name, value) for name, value in fields["env"]),
            sysroot=Path(fields["sysroot"]),
            key=fields["key"],
        )

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files that tell whether it is still the same.

        Of a core library that is compiled one for each crate: a package puts all of them in place at once.
        """
        core = core_roots(self.sysroot) if self.cargo_args else ()
        return (self.rustc, self.cargo, *compiler_files(self.sysroot), *core)

    def describe(self) -> str:
        """Return one line for people: what was chosen, with versions."""
        source = {
            "installed-target": f"target {TARGET} installed",
            "rustup-add": f"target {TARGET} added by rustup",
            "debian": "Debian's rustc-web, core built from rust-web-src",
        }[self.choice]
        return f"toolchain: rustc {self.release} ({source}), {self.rustc}"


def compiler_files(sysroot: Path) -> list[Path]:
    """Return the files behind the program `rustc`: the compiler that it loads, and what that links."""
    found = {file for pattern in _BEHIND_RUSTC for file in sysroot.glob(pattern)}
    return sorted(file for file in found if file.is_file())


def core_roots(sysroot: Path) -> tuple[Path, ...]:
    """Return the root of each crate of the core library, for a toolchain that compiles it."""
    return tuple(sysroot / _LIBRARY / crate / "src" / "lib.rs" for crate in ("core", "alloc"))


def core_files(sysroot: Path) -> list[Path]:
    """Return all of its sources."""
    folders = (sysroot / _LIBRARY / name for name in ("core", "alloc", "compiler-builtins"))
    return sorted(file for folder in folders for file in folder.rglob("*.rs") if file.is_file())
