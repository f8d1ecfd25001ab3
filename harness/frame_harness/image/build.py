"""Builds the shim around a subject."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from frame_harness.base import resources
from frame_harness.base.commands import Say
from frame_harness.image import cache_limit, cargo, store
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import CompileError
from frame_harness.image.image import Image
from frame_harness.image.offer import lacking_names, questions
from frame_harness.image.proof import prove_image
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain

Profile = Literal["dev", "release"]
Kept = tuple[Path, str, tuple[str, ...]]
"""An image that is kept: the file, its sha256, the names that the subject lacks."""
PROFILES: tuple[Profile, ...] = ("dev", "release")


def build(
    subject: Subject,
    profile: str,
    *,
    features: Sequence[str] = (),
    toolchain: Toolchain | None = None,
    say: Say | None = None,
) -> Image:
    """Return the bootable image of a subject as its files are now; build it when that was not done yet.

    Several processes may ask for the same image at once: one builds, the others wait. The image's file stays
    as it is whatever is built later.

    Args:
        profile: `dev` (little optimization, debug assertions) or `release`.
        features: of the shim, such as `red`.
        toolchain: the one that `find_toolchain` gives when not named.
    Raises:
        CompileError: it does not compile; carries the compiler's words.
        CargoConfigError: cargo's configuration keeps it from being compiled as it must be.
        NotJudgeable: it is no frame module, or one of a version that is compiled against something else.
        WrongBuild: it was compiled otherwise than the profile asks for.
        SubjectError: the subject's file is gone.
        ToolchainError: nothing here compiles for the target.
    """
    if profile not in PROFILES:
        raise CompileError(
            subject=subject.name, profile=profile, first="no such profile (dev, release)", rendered=""
        )
    toolchain = toolchain or find_toolchain(say=say)
    subject = subject.refreshed()
    order = cargo.image_invocation(subject, profile, features, toolchain)
    key = _key(subject, order)
    elf = _known(key)
    if elf is None or not cache_limit.hold(elf[0]):
        # One lock a target folder: cargo has its own, but cannot say who waits for whom.
        with store.locked(f"build-{toolchain.key}", say=say):
            elf = _known(key) or _build(subject, profile, order, key, say)
            cache_limit.hold(elf[0])
    with contextlib.suppress(PermissionError):  # somebody else's cache: their clock for what is unused
        os.utime(elf[0])
    return Image(elf=elf[0], sha256=elf[1], profile=profile, subject=subject, lacks=elf[2])


def _build(subject: Subject, profile: str, order: cargo.Invocation, key: str, say: Say | None) -> Kept:
    began = time.time_ns()
    lacks = lacking_names(subject, profile, order.toolchain, say=say)
    built = cargo.compile_shim(subject, profile, order.lacking(lacks), say=say)
    # What the build made itself follows from the rest, and the next build of another subject makes it anew.
    ours = (resources.shim_dir(), cargo.target_dir_of(order.toolchain))
    outside = [file for file in built.sources if not any(file.is_relative_to(folder) for folder in ours)]
    if subject.refreshed() != subject or any(_changed(file, began) for file in outside):
        raise CompileError(
            subject=subject.name,
            profile=profile,
            first="a file that changed while it was compiled",
            rendered="",
        )
    if subject.path not in built.sources:
        raise CompileError(
            subject=subject.name,
            profile=profile,
            first=f"another frame module: {subject.path} is none of the sources that the compiler read",
        )
    path, digest = store.keep_elf(built.elf)
    prove_image(Image(path, digest, profile, subject), order.toolchain, built.core)
    store.write_json(
        store.note_path(key),
        {"elf": digest, "sources": {str(file): _digest([file]) for file in outside}, "lacks": lacks},
    )
    store.drop_unused()
    cache_limit.trim(path, store.note_path(key), built.elf)
    return path, digest, lacks


def _changed(file: Path, since_ns: int) -> bool:
    """Tell whether a file became another one since then; a clock that is ahead of ours tells nothing."""
    try:
        stat = file.stat()
    except OSError:
        return True
    return any(since_ns <= at <= time.time_ns() for at in (stat.st_mtime_ns, stat.st_ctime_ns))


def _known(key: str) -> Kept | None:
    """Return the image of an earlier build whose every source is still the same."""
    match store.read_json(store.note_path(key)):
        case {"elf": str(digest), "sources": dict(sources), "lacks": list(lacks)}:
            path = store.elf_path(digest)
            same = all(_digest([Path(file)]) == content for file, content in sources.items())
            return (path, digest, tuple(lacks)) if same and path.is_file() else None
    return None


def _key(subject: Subject, order: cargo.Invocation) -> str:
    """Return a name for an image: whatever may decide what it is decides the name.

    Which names the subject lacks is told to cargo, too. It is found out only when no image is kept, so what
    decides it stands for it: the subject, the compiler, the questions.
    """
    parts = [
        order.told, str(subject.path), subject.sha256, _digest(_files(resources.shim_dir())), questions(),
    ]  # fmt: skip
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def _files(shim: Path) -> list[Path]:
    """Return the shim's own files; `target` is what cargo leaves there when it is run by hand."""
    found: list[Path] = []
    for folder, folders, names in os.walk(shim):
        folders[:] = [name for name in folders if name != "target"]
        found += [Path(folder, name) for name in names]
    return sorted(found)


def _digest(files: Iterable[Path]) -> str:
    """Return one digest of names and contents; a missing file is a content of its own."""
    total = hashlib.sha256()
    for file in files:
        try:
            content = hashlib.sha256(file.read_bytes()).digest()
        except OSError:
            content = b"missing"
        total.update(os.fsencode(file) + b"\0" + content)
    return total.hexdigest()
