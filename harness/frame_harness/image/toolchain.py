"""Finds a Rust toolchain that builds for the bare machine."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from frame_harness.base import packages, resources
from frame_harness.base.commands import Say, run
from frame_harness.base.disk import run_writing, scratch
from frame_harness.base.errors import UsageError
from frame_harness.image import toolchain_memory
from frame_harness.image.asked import manifest
from frame_harness.image.compiler import TARGET, Toolchain, compiler_files, core_files, core_roots
from frame_harness.image.errors import ToolchainError
from frame_harness.image.isolation import environment

FORCE_VARIABLE = "FRAME_HARNESS_TOOLCHAIN"
CHOICES = ("installed-target", "rustup-add", "debian")

# A compiler with what belongs to it; a linker for the kernel.
DEBIAN_PACKAGES = (*packages.RUST, "binutils")
_DEBIAN_BIN = Path("/usr/bin")

# What a trial must show: core is there for the target and something links.
_TRIAL = """#![no_std]
#![no_main]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! { loop {} }
"""


def find_toolchain(force: str | None = None, say: Say | None = None, *, install: bool = False) -> Toolchain:
    """Return the first toolchain that works, in the order of `CHOICES`.

    A toolchain works when a tiny program for the target compiles and links (for Debian's: when its parts are
    there, since its core library is compiled with the first kernel).

    Args:
        force: the only choice to try; `FRAME_HARNESS_TOOLCHAIN` when not given.
        install: whether a choice may add something to the machine (rustup's download, Debian's packages). It
            says so. Only the set-up of a clone may; everything else reads and says what is missing.
    Raises:
        UsageError: there is no such choice.
        ToolchainError: none works; the text has one line for each choice that was tried.
    """
    force = forced(force)
    known = toolchain_memory.recall(force)
    if known is not None:
        return Toolchain.restored(known)
    toolchain = _look_for(force, say, install=install)
    # What rustup added is there from now on, and will be found as the installed target.
    if toolchain.choice != "rustup-add":
        toolchain_memory.remember(toolchain, force, _sysroot_on_path())
    return toolchain


def forced(named: str | None = None) -> str | None:
    """The choice that is named, else that of the variable; None where neither names one.

    Raises:
        UsageError: there is no such choice.
    """
    named = named or os.environ.get(FORCE_VARIABLE) or None
    if named is not None and named not in CHOICES:
        raise UsageError(
            FORCE_VARIABLE, repr(named[:40]), expected=f"one of {', '.join(CHOICES)}", actual="another text",
            next_step="unset it, so that the first one that works is taken",
        )  # fmt: skip
    return named


def _look_for(force: str | None, say: Say | None, *, install: bool) -> Toolchain:
    finders: dict[str, Callable[[Say | None], Toolchain]] = {
        "installed-target": lambda _: _installed("installed-target"),
        "rustup-add": lambda say: _rustup_add(say, install=install),
        "debian": lambda say: _debian(say, install=install),
    }
    refusals: list[str] = []
    for choice in [force] if force else CHOICES:
        try:
            return finders[choice](say)
        except ToolchainError as refusal:
            refusals.append(f"{choice}: {refusal.summary}")
            if install and say is not None and choice != CHOICES[-1] and not force:
                say(f"toolchain: {refusals[-1]}")
    raise ToolchainError(
        "toolchain",
        TARGET,
        expected="one that compiles for it",
        actual="none",
        evidence="\n".join(refusals),
        next_step=(
            f"rustup target add {TARGET} (a toolchain of {oldest_release()} or later), "
            f"or: apt-get install {' '.join(DEBIAN_PACKAGES)}"
        ),
    )


def _installed(choice: str) -> Toolchain:
    """Look at the toolchain that `rustc` on the path stands for, as chosen in the shim's folder."""
    rustc = shutil.which("rustc")
    if rustc is None:
        raise ToolchainError("no rustc on the path")
    sysroot = Path(_ask(rustc, "--print", "sysroot"))
    # Past rustup's proxies: 11 ms less a call, and what was tried is what will be used.
    real_rustc, cargo = sysroot / "bin" / "rustc", sysroot / "bin" / "cargo"
    if not cargo.is_file():
        found = shutil.which("cargo")
        if found is None:
            raise ToolchainError("no cargo on the path")
        cargo = Path(found)
    verbose = _ask(real_rustc, "-vV")
    release = _release(verbose)
    _try_out(real_rustc)
    return Toolchain(
        choice=choice,
        cargo=cargo,
        rustc=real_rustc,
        release=release,
        cargo_args=(),
        rustflags=(),
        env=(),
        sysroot=sysroot,
        key=_key(verbose, sysroot, (real_rustc, cargo), ()),
    )


def oldest_release() -> str:
    """Return the version of Rust that the shim needs at least, such as `1.85`."""
    return str(manifest()["package"]["rust-version"])


def _sysroot_on_path() -> Path | None:
    rustc = shutil.which("rustc")
    try:
        return Path(_ask(rustc, "--print", "sysroot")) if rustc else None
    except ToolchainError:
        return None


def _rustup_add(say: Say | None, *, install: bool) -> Toolchain:
    rustup = shutil.which("rustup")
    if rustup is None:
        raise ToolchainError("no rustup on the path")
    if not install:
        raise ToolchainError(f"not added: rustup target add {TARGET}")
    finished = run(
        [rustup, "target", "add", TARGET],
        what=f"rustup target add {TARGET}",
        say=say,
        cwd=resources.shim_dir(),
        how_far=lambda line: line.strip()[:60] or None,
    )
    if finished.status != 0:
        raise ToolchainError(f"rustup target add {TARGET}: {finished.last_words()}")
    return _installed("rustup-add")


def _debian(say: Say | None, *, install: bool) -> Toolchain:
    rustc, cargo = _DEBIAN_BIN / "rustc", _DEBIAN_BIN / "cargo"
    if not _debian_is_whole(rustc, cargo):
        if not install:
            raise ToolchainError(f"not installed: {' '.join(DEBIAN_PACKAGES)}")
        oldest = dict.fromkeys(packages.RUST, oldest_release())
        try:
            packages.install(DEBIAN_PACKAGES, purpose="Rust toolchain", at_least=oldest, say=say)
        except packages.MissingPackages as missing:
            raise ToolchainError(missing.summary) from missing
    if not _debian_is_whole(rustc, cargo):
        raise ToolchainError(
            f"{', '.join(DEBIAN_PACKAGES)}: installed, but rustc, cargo, ld or the core sources are missing"
        )
    verbose, sysroot = _ask(rustc, "-vV"), Path(_ask(rustc, "--print", "sysroot"))
    linker = Path(shutil.which("ld") or "ld")
    cargo_args = (
        "-Zbuild-std=core,alloc,compiler_builtins",
        "-Zbuild-std-features=compiler-builtins-mem",
    )
    # Debian ships no rust-lld. GNU ld is called as it is, not through a C compiler.
    rustflags = (f"-Clinker={linker}", "-Clinker-flavor=ld")
    return Toolchain(
        choice="debian",
        cargo=cargo,
        rustc=rustc,
        release=_release(verbose),
        cargo_args=cargo_args,
        rustflags=rustflags,
        # A stable compiler takes -Z only when it believes to compile itself. Needed for -Zbuild-std alone.
        # The small functions of a core library that was compiled with the shim would not be inlined; see D75.
        env=(("RUSTC_BOOTSTRAP", "1"), ("CARGO_PROFILE_DEV_LTO", "false")),
        sysroot=sysroot,
        key=_key(verbose, sysroot, (rustc, cargo, linker, *core_files(sysroot)), cargo_args + rustflags),
    )


def _debian_is_whole(rustc: Path, cargo: Path) -> bool:
    if not (rustc.is_file() and cargo.is_file() and shutil.which("ld")):
        return False
    try:
        _release(_ask(rustc, "-vV"))
        sysroot = Path(_ask(rustc, "--print", "sysroot"))
    except ToolchainError:  # too old, or half installed: apt may fix it
        return False
    return all(file.is_file() for file in core_roots(sysroot))


def _try_out(rustc: Path) -> None:
    with scratch("trial") as folder:
        source = folder / "trial.rs"
        source.write_text(_TRIAL, encoding="utf-8")
        argv: list[str | Path] = [
            rustc, "--edition=2024", "--target", TARGET, "-Cpanic=abort", "-o", folder / "trial", source,
        ]  # fmt: skip
        finished = run_writing(folder, argv, what="trying the Rust toolchain", env=environment())
    if finished.status != 0:
        raise ToolchainError(f"rustc cannot compile for {TARGET}: {finished.last_words()}")


def _ask(program: str | Path, *args: str) -> str:
    finished = run([program, *args], what=f"asking {program}", cwd=resources.shim_dir(), env=environment())
    if finished.status != 0:
        raise ToolchainError(f"{program} {' '.join(args)}: {finished.last_words()}")
    return finished.out.strip()


def _release(verbose: str) -> str:
    """Return the compiler's version.

    Raises:
        ToolchainError: too old for the shim, or no compiler of Rust.
    """
    # release: 1.95.0          of a nightly: 1.97.0-nightly
    told = (line.split(": ", 1)[1] for line in verbose.splitlines() if line.startswith("release: "))
    if (release := next(told, None)) is None:
        said = (verbose.splitlines() or ["nothing"])[0][:80]
        raise ToolchainError("rustc -vV", expected="a line `release: …`", actual=repr(said))
    if _numbers(release) < _numbers(oldest_release()):
        raise ToolchainError("rustc", expected=f"{oldest_release()} or later", actual=release)
    return release


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:3])


def _key(verbose: str, sysroot: Path, files: Sequence[Path], flags: Sequence[str]) -> str:
    """Name a compiler by all that decides what it compiles: two of one version may differ.

    Times say nothing: those of one that is installed anew in each run of a CI differ each time.
    """
    total = hashlib.sha256("\0".join((verbose, str(sysroot), *flags)).encode(errors="surrogateescape"))
    for file in (*files, *compiler_files(sysroot)):
        status = file.stat()
        stamp = status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
        total.update(b"\0" + os.fsencode(file) + b"\0" + _digest(file, stamp))
    return total.hexdigest()[:12]


@functools.cache
def _digest(file: Path, _stamp: tuple[int, ...]) -> bytes:
    """Read a file once as long as it is the same: all of a compiler takes half a second."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
