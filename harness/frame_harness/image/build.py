"""Builds the shim around a subject."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from frame_harness.base import resources
from frame_harness.base.commands import Say, tell_once
from frame_harness.base.errors import UsageError
from frame_harness.base.profiles import PROFILE_USES, listed
from frame_harness.image import cache_limit, cargo, incremental, store
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import CompileError
from frame_harness.image.image import Image
from frame_harness.image.offer import lacking_names, questions
from frame_harness.image.proof import prove_image
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain, forced


@dataclass(frozen=True)
class _Kept:
    """An image that is kept: the file, its sha256, what the subject lacks, what it was compiled from."""

    elf: Path
    sha256: str
    lacks: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    variables: tuple[str, ...]


def build(
    subject: Subject,
    profile: str,
    *,
    toolchain: Toolchain | None = None,
    say: Say | None = None,
) -> Image:
    """Return the bootable image of a subject as its files are now; build it when that was not done yet.

    Several processes may ask for the same image at once: one builds, the others wait. The image's file stays
    as it is whatever is built later.

    Args:
        profile: one of `base.profiles.PROFILE_USES`.
        toolchain: the one that `find_toolchain` gives when not named.
    Raises:
        UsageError: there is no such profile.
        CompileError: it does not compile; carries the compiler's words.
        BuildError: the compiler was ended, or could not get what it needs; no text is to blame.
        CargoConfigError: cargo's configuration keeps it from being compiled as it must be.
        NotJudgeable: it is no frame module, or one of a version that is compiled against something else.
        WrongBuild: it was compiled otherwise than the profile asks for.
        SubjectError: the subject's file is gone.
        ToolchainError: nothing here compiles for the target.
    """
    if profile not in PROFILE_USES:
        raise UsageError(
            "profile", repr(profile), expected=" or ".join(PROFILE_USES), next_step="name one of these",
            evidence=listed(),
        )  # fmt: skip
    toolchain = toolchain or find_toolchain(say=say)
    subject = subject.refreshed()
    order = cargo.image_invocation(subject, profile, toolchain)
    key = key_of(subject, order)
    kept = _held(key)
    if kept is None:
        folder = cargo.target_dir_of(toolchain)
        with store.locked(lock_of(toolchain, profile), say=say), cache_limit.used(folder):
            kept = _held(key) or _build(subject, profile, order, key, say)
    cache_limit.touch(kept.elf)
    cache_limit.touch(store.note_path(key))
    _tell_of_variables(subject, kept.variables)
    return Image(kept.elf, kept.sha256, profile, subject, kept.lacks, kept.sources)


def require_settings() -> None:
    """Look at what variables say, before anything costs time.

    Raises:
        UsageError: one holds no value that it may have.
        HarnessError: nobody may write to the build folder.
    """
    cache_limit.limit_bytes()
    forced()
    resources.build_dir()


def is_built(subject: Subject, profile: str, toolchain: Toolchain) -> bool:
    """Tell whether the image of a subject as its files are now is kept, so that `build` compiles nothing."""
    subject = subject.refreshed()
    return _known(key_of(subject, cargo.image_invocation(subject, profile, toolchain))) is not None


def lock_of(toolchain: Toolchain, profile: str) -> str:
    """Return the name of the lock for the folder in which cargo works for a profile.

    Cargo has one of its own for each such folder, but cannot say who waits for whom.
    """
    return f"build-{toolchain.key}-{profile}"


def changed_sources(image: Image) -> list[Path]:
    """Return the files that came with an image's subject and are not any more as they were."""
    files = [(Path(file), content) for file, content in image.sources]
    return [
        file
        for file, content in files
        if file not in image.subject.files and store.content_of([file]) != content
    ]


def require_unchanged(
    subject: Subject, profile: str, order: cargo.Invocation, key: str, outside: Iterable[Path], since_ns: int
) -> None:
    """Require that what was compiled since some time is what the key stands for, all the time.

    Args:
        key: what `key_of` gave before.
        outside: the files beside the shim's own that were read.
    Raises:
        CompileError: a file became another one meanwhile.
    """
    read = (*(way for way in _ways_to(outside) if not _is_folder(way)), *_files(resources.shim_dir()))
    changed = [file for file in read if _changed(file, since_ns)]
    if not changed and subject.refreshed() != subject:
        changed = [subject.path]
    if changed or key_of(subject, order) != key:
        raise _changing(subject, profile, (changed or [resources.shim_dir()])[0])


def outside_of(target_dir: Path, sources: Iterable[Path]) -> list[Path]:
    """Return which of the files that were compiled are neither the shim's nor made by the build.

    What the build made follows from the rest, and the next build of another subject makes it anew.
    """
    ours = (resources.shim_dir(), target_dir)
    return [file for file in sources if not any(file.is_relative_to(folder) for folder in ours)]


def _build(subject: Subject, profile: str, order: cargo.Invocation, key: str, say: Say | None) -> _Kept:
    built, lacks, sources, absent = _compiled(subject, profile, order, key, say)
    if unread := [file for file in subject.files if file not in built.sources]:
        raise CompileError(
            subject=subject.name,
            profile=profile,
            first=f"another subject: {unread[0]} is none of the sources that the compiler read",
        )
    path, digest = store.keep_elf(built.elf)
    prove_image(Image(path, digest, profile, subject), order.toolchain, built.core)
    read = cargo.values_of(built.variables)
    note = {
        "elf": digest, "bytes": store.n_bytes_of(path), "sources": sources, "absent": absent, "lacks": lacks,
        "variables": read,
    }  # fmt: skip
    store.write_json(store.note_path(key), note)
    cache_limit.trim(path, store.note_path(key))
    return _Kept(path, digest, lacks, tuple(sources.items()), tuple(read))


def _compiled(
    subject: Subject, profile: str, order: cargo.Invocation, key: str, say: Say | None
) -> tuple[cargo.CargoOutput, tuple[str, ...], dict[str, str], list[str]]:
    """Compile; return what came out, the names that the subject lacks, digests of files, files not there.

    Once more where a folder may have taken the place of another one meanwhile: files in it are not younger.
    """
    target_dir, renamed = cargo.target_dir_of(order.toolchain), list[Path]()
    for _ in range(2):
        began = time.time_ns()
        lacks = lacking_names(subject, profile, order.toolchain, say=say)
        incremental.choose(target_dir, profile, subject.path)
        built = cargo.compile_shim(subject, profile, order.lacking(lacks), say=say)
        outside = outside_of(target_dir, built.sources)
        others = [_other_place(file) for file in outside]
        there = [file for file in others if file.exists()]
        absent = [str(file) for file in others if file not in there]
        # Behind the digests: what they were made of is what was compiled.
        sources = {str(file): store.content_of([file]) for file in outside}
        require_unchanged(subject, profile, order, key, (*outside, *there), began)
        renamed = [way for way in _ways_to(outside) if _is_folder(way) and _changed(way, began)]
        if not renamed:
            return built, lacks, sources, absent
    raise _changing(subject, profile, renamed[0])


def _changing(subject: Subject, profile: str, what: Path) -> CompileError:
    return CompileError(
        subject=subject.name, profile=profile, first=f"a file that changed while it was compiled: {what}",
        next_step="leave it alone, then run the same command",
    )  # fmt: skip


def _other_place(module: Path) -> Path:
    """Return where the compiler looks for a module, too; it refuses a module that is in both places."""
    if module.name == "mod.rs":
        return module.parent.parent / f"{module.parent.name}.rs"
    return module.with_suffix("") / "mod.rs"


def _tell_of_variables(subject: Subject, read: Iterable[str]) -> None:
    """Say which variables of the user's the subject asks for, in vain."""
    hidden = [name for name, value in cargo.values_of(read).items() if value is None and name in os.environ]
    # What cargo sets has cargo's value.
    if names := ", ".join(name for name in hidden if not cargo.OWN_VARIABLE.match(name)):
        tell_once(f"{subject.name} reads {names} while it is compiled: {cargo.HIDDEN}")


def _ways_to(files: Iterable[Path]) -> list[Path]:
    """Return files with every folder and every link by which they are found."""
    found, left = set[Path](), [way for file in files for way in (file, *file.parents)]
    while left:
        way = left.pop()
        if way not in found:
            found.add(way)
            if way.is_symlink():
                target = way.parent / way.readlink()
                left += (target, *target.parents)
    return sorted(found)


def _is_folder(way: Path) -> bool:
    return way.is_dir() and not way.is_symlink()


def _changed(way: Path, since_ns: int) -> bool:
    """Tell whether something became another one since then; a clock that is ahead of ours tells nothing."""
    try:
        stat = way.lstat()
    except OSError:
        return True
    # What comes into a folder, or goes, sets both times of it: to rename it sets the second one alone.
    times = {stat.st_mtime_ns, stat.st_ctime_ns}
    return not (_is_folder(way) and len(times) == 1) and any(since_ns <= at <= time.time_ns() for at in times)


def _held(key: str) -> _Kept | None:
    """Return the same, and let nobody remove it."""
    kept = _known(key)
    return kept if kept is not None and cache_limit.hold(kept.elf) else None


def _known(key: str) -> _Kept | None:
    """Return the image of an earlier build if all that it read, sources and variables, is still the same.

    A second file of a module is another build, too: the compiler decides about it.
    """
    match store.read_json(store.note_path(key)):
        case {
            "elf": str(digest), "bytes": int(n_bytes), "sources": dict(sources), "lacks": list(lacks),
            "variables": dict(read), "absent": list(absent),
        }:  # fmt: skip
            kept = _Kept(store.elf_path(digest), digest, tuple(lacks), tuple(sources.items()), tuple(read))
            same = all(store.content_of([Path(file)]) == content for file, content in sources.items())
            whole = store.n_bytes_of(kept.elf) == n_bytes
            none_came = not any(map(os.path.exists, absent))
            return kept if same and whole and none_came and cargo.values_of(read) == read else None
    return None


def key_of(subject: Subject, order: cargo.Invocation) -> str:
    """Return a name for an image: whatever may decide what it is decides the name.

    Which names the subject lacks is told to cargo, too. It is found out only when no image is kept, so what
    decides it stands for it: the subject, the compiler, the questions.
    """
    parts = [
        order.told, str(subject.path), subject.sha256, store.content_of(_files(resources.shim_dir())),
        questions(subject),
    ]  # fmt: skip
    if subject.contract.adapter is not None:
        parts.append(store.content_of([Path(subject.contract.adapter)]))
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def _files(shim: Path) -> list[Path]:
    """Return the shim's own files; `target` in it is what cargo leaves there when it is run by hand."""
    found: list[Path] = []
    for folder, folders, names in os.walk(shim, followlinks=True):
        here = Path(folder)
        own = [name for name in folders if here != shim or name != "target"]
        folders[:] = [name for name in own if not _leads_up(here / name)]
        found += [here / name for name in names]
    return sorted(found)


def _leads_up(folder: Path) -> bool:
    """Tell whether a folder is a link to one that it was found in: to follow it would have no end."""
    return folder.is_symlink() and folder.resolve() in {parent.resolve() for parent in folder.parents}
