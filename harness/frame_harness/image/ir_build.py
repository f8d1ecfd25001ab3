"""Compiles a frame module to LLVM IR in which each of its functions stands for itself."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from frame_harness.base import resources
from frame_harness.base.commands import Finished, Say
from frame_harness.base.disk import run_writing, scratch, write_whole
from frame_harness.base.errors import BuildError
from frame_harness.base.record import Record
from frame_harness.image import cache_limit, evidence, store
from frame_harness.image.asked import Asked, asked, foreign_crates, manifest
from frame_harness.image.cargo import NOT_THE_SUBJECT, invocation
from frame_harness.image.compiler import TARGET, Toolchain
from frame_harness.image.errors import AGAIN, CompileError
from frame_harness.image.ir_proof import prove_ir
from frame_harness.image.isolation import environment
from frame_harness.image.placed import CRATE, memory_module
from frame_harness.image.said import errors_in, objects_in, said
from frame_harness.image.subject import Subject

# The subject is compiled in a crate of its own rather than in the shim:
# - nothing of the shim is inlined into `allocate`, so what is read is the subject's doing;
# - it takes 0.2 s instead of the whole crate's 3 s, so that every candidate and every canary can be compiled;
# - a shim that does not compile (or a subject that the shim's linker refuses) is no obstacle.
# The crate gives what the contract promises a frame module (section J), with the shim's edition and crates.
HOST: Final = Path(__file__).with_name("ir_host.rs")
SOURCE: Final = "lib.rs"
MODULE: Final = "subject.rs"
AROUND: Final = "crate::around"

# One level of optimization folds `Ordering` arguments into the instructions, yet keeps each function whole.
# Dead code is linked, since nearly everything here is `#[inline]` and would never be compiled otherwise.
LEVEL: Final = "1"
FLAGS: Final = (
    "--crate-type=rlib", f"--crate-name={CRATE}", "-Ccodegen-units=1",
    "-Clink-dead-code=yes", "-Cno-vectorize-loops", "-Cno-vectorize-slp",
)  # fmt: skip


class Dependencies(Record, frozen=True):
    """The compiled crates that a subject may use."""

    target: str
    """They were compiled for."""
    crates: dict[str, str]
    """By name the compiled file of each that the subject may name."""
    folders: tuple[str, ...]
    """Of all compiled files."""
    files: dict[str, tuple[int, int] | None]
    """By all compiled files, those that others depend on, too: the size, and when it was changed."""
    told: str
    """A digest of all that cargo was told."""

    @property
    def arguments(self) -> list[str]:
        """What names them to the compiler."""
        externs = [f"--extern={name}={file}" for name, file in self.crates.items()]
        return externs + [f"-Ldependency={folder}" for folder in self.folders]

    def are_there(self) -> bool:
        """Whether nobody removed one of them since, or put another one there."""
        return all(_stamp(file) == stamp for file, stamp in self.files.items())


_KNOWN: Final = dict[Toolchain, Dependencies]()
"""What this process found."""


def compile_ir(
    subject: Subject, profile: str, toolchain: Toolchain, *, flags: Sequence[str] = (), say: Say | None = None
) -> str:
    """Return the LLVM IR of a subject as its file is now.

    Args:
        profile: `dev` (debug assertions and overflow checks, as that profile has them) or `release`.
        flags: for the compiler, beyond its own.
    Raises:
        CompileError: it does not compile; carries the compiler's words.
        BuildError: the compiler was ended, or a library is gone.
        Unwritable: there is no room for what the compiler makes.
        WrongBuild: it was compiled otherwise than it was asked for.
    """
    wanted = replace(asked(profile), opt_level=LEVEL)
    with scratch("ir") as folder:
        out = folder / "subject.ll"
        what = f"compiling {subject.name} to LLVM IR"
        compile_alone(subject, wanted, toolchain, f"--emit=llvm-ir={out}", folder, what, say, flags=flags)
        text = out.read_text(encoding="utf-8", errors="surrogateescape")
    which = f"LLVM IR of {subject.name} ({profile})"
    prove_ir(text, which, wanted, lambda: evidence_ir(wanted, toolchain, target_of(toolchain, say)))
    return text


def compile_alone(
    subject: Subject,
    wanted: Asked,
    toolchain: Toolchain,
    emit: str,
    folder: Path,
    what: str,
    say: Say | None,
    *,
    flags: Sequence[str] = (),
) -> None:
    """Compile a frame module in the crate that stands around it here.

    Args:
        emit: what the compiler is to write, and where.
        folder: an empty one, for the crate.
        what: this is, for who waits.
        flags: for the compiler, beyond its own.
    Raises:
        CompileError: it does not compile; carries the compiler's words.
        BuildError: the compiler, or what it runs, was ended: nothing that the text is to blame for.
        Unwritable: there is no room for what the compiler makes.
    """
    write_host(folder, subject)
    argv = [*host_argv(wanted, toolchain, say), *flags, emit, SOURCE]
    finished = run_writing(folder, argv, what=what, say=say, env=host_env(folder, toolchain), cwd=folder)
    if finished.status != 0:
        raise refused("build", subject, wanted.profile, finished)


def evidence_ir(wanted: Asked, toolchain: Toolchain, target: str) -> str:
    """Return the LLVM IR of the evidence by itself."""
    with evidence.compiled(wanted, toolchain, "llvm-ir", target=target) as file:
        return file.read_text(encoding="utf-8", errors="surrogateescape")


def target_of(toolchain: Toolchain, say: Say | None = None) -> str:
    """Return what a toolchain compiles to LLVM IR for."""
    return _dependencies(toolchain, say).target


def write_host(folder: Path, subject: Subject, *, extra: str = "") -> None:
    """Write the crate that a frame module compiles in, but for the module itself.

    Args:
        extra: source to add at the crate's root.
    """
    # The compiler leaves files of its own where it runs, under names that are always the same.
    Path(folder, SOURCE).write_text(HOST.read_text(encoding="utf-8") + extra, encoding="utf-8")
    Path(folder, MODULE).write_text(memory_module(subject, AROUND), encoding="utf-8")
    shutil.copyfile(evidence.path(), Path(folder, evidence.path().name))


def host_argv(wanted: Asked, toolchain: Toolchain, say: Say | None) -> list[str | Path]:
    """Return the compiler's command for that crate, but for the source and what to make of it."""
    dependencies = _dependencies(toolchain, say)
    return [
        toolchain.rustc, *FLAGS, f"--edition={manifest()['package']['edition']}",
        f"--target={dependencies.target}", *dependencies.arguments, *wanted.flags,
        "--error-format=json", "--cap-lints=warn",
    ]  # fmt: skip


def host_env(folder: Path, toolchain: Toolchain) -> dict[str, str]:
    """Return the environment of a compiler that reads the copy of the subject in a folder."""
    return environment() | dict(toolchain.env) | {"FRAME_HARNESS_SUBJECT": str(folder / MODULE)}


def refused(topic: str, subject: Subject, profile: str, finished: Finished) -> BuildError:
    """What to raise of a compiler that failed: a text is to blame only where it names a place in one.

    A linker that is killed is an error of the compiler's, too, of no place.
    """
    errors = errors_in(finished.err) if finished.status > 0 else []
    blamed = next((one for one in errors if said(one).is_of_the_text(subject.files)), None)
    if blamed is None:
        return failed(topic, subject, finished)
    first = " ".join(str(blamed["message"]).split())
    rendered = "\n".join(str(one.get("rendered") or "").rstrip() for one in errors)
    return CompileError(subject=subject.name, profile=profile, first=first, rendered=rendered)


def failed(topic: str, subject: Subject, finished: Finished) -> BuildError:
    """What to raise of a compiler that failed for nothing that a text is to blame for."""
    errors = errors_in(finished.err) if finished.status > 0 else []
    words = " ".join(str(errors[0]["message"]).split()) if errors else finished.last_words()
    return BuildError(
        topic, subject.name, detail=f"the compiler ended with status {finished.status}: {words}",
        next_step=AGAIN,
    )  # fmt: skip


def _dependencies(toolchain: Toolchain, say: Say | None) -> Dependencies:
    """Compile the shim's dependencies once; later calls find them where they were noted.

    Each process that judges a module of a user's comes here; cargo takes its time to find nothing to do.
    """
    known = _KNOWN.get(toolchain)
    if known is None or not known.are_there():
        known = _KNOWN[toolchain] = _found(toolchain, say)
    return known


def _found(toolchain: Toolchain, say: Say | None) -> Dependencies:
    # A toolchain that builds its own core for the bare machine has one for the host: orderings are the same.
    has_target = (toolchain.sysroot / "lib" / "rustlib" / TARGET / "lib").is_dir()
    target = TARGET if has_target else "x86_64-unknown-linux-gnu"
    target_dir = resources.build_dir() / "ir" / "target" / toolchain.key
    cache_limit.hold_folder(target_dir)  # the compiler reads there whenever it is asked for IR
    with store.locked(f"ir-{toolchain.key}", say=say):
        folder = _dependency_crate(toolchain)
        order = invocation(
            "build", folder / "Cargo.toml", target, target_dir, toolchain,
            "--lib", "--release", "--message-format=json",
        )  # fmt: skip
        told = hashlib.sha256(order.told.encode(errors="surrogateescape")).hexdigest()
        noted = folder / "compiled.json"
        if (known := _read(noted)) is not None and known.told == told and known.are_there():
            return known
        finished = order.run(what="compiling what a frame module depends on", say=say)
        made = _compiled(target, told, finished.out)
        if finished.status == 0:
            write_whole(noted, msgspec.json.encode(made))
        cache_limit.trim()
    if finished.status != 0:
        raise BuildError(
            "build", "dependencies (release)", expected="code that compiles", actual=finished.last_words(),
            evidence=finished.err, next_step=NOT_THE_SUBJECT,
        )  # fmt: skip
    return made


def _read(noted: Path) -> Dependencies | None:
    """What an earlier call noted; None where none did, or where it cannot be read."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(noted.read_bytes(), type=Dependencies)
    return None


def _dependency_crate(toolchain: Toolchain) -> Path:
    """Write a crate of the shim's name with the crates that it depends on, for which its lock file holds."""
    package = {key: manifest()["package"][key] for key in ("name", "version", "edition")}
    lines = ["[workspace]", "[package]", *(f"{key} = {json.dumps(value)}" for key, value in package.items())]
    lines += ["[lib]", 'path = "lib.rs"', "[dependencies]"]
    lines += [f"{name} = {_inline(wanted)}" for name, wanted in foreign_crates().items()]
    lock = _lock().encode()
    text = "\n".join([*lines, ""]).encode()
    key = hashlib.sha256(text + lock).hexdigest()[:12]
    folder = resources.build_dir() / "ir" / "crates" / f"{toolchain.key}-{key}"
    write_whole(folder / "Cargo.toml", text)
    write_whole(folder / "Cargo.lock", lock)
    if not (folder / "lib.rs").is_file():  # a new time stamp would compile it again
        write_whole(folder / "lib.rs", b"#![no_std]\n")
    return folder


def _lock() -> str:
    """Return the shim's lock file without its own library, which no frame module uses."""
    text = (resources.shim_dir() / "Cargo.lock").read_text(encoding="utf-8")
    for name in manifest()["dependencies"].keys() - foreign_crates().keys():
        blocks = text.split("\n\n")
        text = "\n\n".join(block for block in blocks if f'name = "{name}"' not in block.splitlines())
        text = text.replace(f' "{name}",\n', "")
    return text


def _inline(wanted: Any) -> str:
    if isinstance(wanted, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in wanted.items()) + " }"
    return json.dumps(wanted)


def _compiled(target: str, told: str, said: str) -> Dependencies:
    """Read what cargo says of each file that it has compiled, or that it has found compiled."""
    direct = {name.replace("-", "_") for name in foreign_crates()}
    crates, files = dict[str, str](), list[str]()
    for message in objects_in(said):
        if message.get("reason") != "compiler-artifact" or message["target"]["name"] == CRATE:
            continue
        files += message["filenames"]
        name = message["target"]["name"].replace("-", "_")
        for file in message["filenames"]:
            if file.endswith(".rlib") and name in direct:
                crates[name] = file
    # Cargo tells them in the order in which they were done.
    folders = sorted({str(Path(file).parent) for file in files})
    stamps = {file: _stamp(file) for file in sorted(files)}
    return Dependencies(target, dict(sorted(crates.items())), tuple(folders), stamps, told)


def _stamp(file: str) -> tuple[int, int] | None:
    try:
        status = Path(file).stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
