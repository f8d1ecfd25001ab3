"""Finds the memory core in a kernel tree, and builds it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from frame_harness.base.commands import Say
from frame_harness.base.paths import at_home, real
from frame_harness.image.build import build
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import NotJudgeable, SubjectError
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.memory_core.owning_files import OWNERSHIP, lacking

FOLDER: Final = "memory"
NEEDED: Final = ("zone.rs", "frame.rs", "boot_alloc.rs", "buddy.rs")
"""The files that are compiled in place, in the order in which they build on each other."""
NOT_JUDGED: Final = "mod.rs"
"""Its work the harness does itself: in a kernel it brings all the others along."""
FEATURE: Final = "ownership"
"""Of the shim: it compiles the files of the ownership of blocks, too."""
_ASKED: Final = re.compile(r'^[^/\n]*\bcfg\w*!?\s*\([^\n]*?\bfeature\s*=\s*"([^"]+)"', re.MULTILINE)
_DEEPEST = 6
_SKIPPED = frozenset({"target", ".git", "node_modules"})


def memory_core(path: str | Path) -> Subject:
    """The memory core of a kernel tree.

    Args:
        path: the repository, the kernel's crate, its `src`, or the folder `memory` in that.
    Raises:
        SubjectError: there is no such folder, or more than one, or it lacks a file.
    """
    given = at_home(path)
    if not given.is_dir():
        actual = "a file" if given.exists() else "nothing"
        raise SubjectError(
            "kernel tree", str(given), expected="a folder", actual=actual,
            next_step="name the repository, the kernel's crate or its src",
        )  # fmt: skip
    given = real(given)
    found = [given] if _is_core(given) else sorted(_cores_in(given))
    if len(found) != 1:
        raise SubjectError(
            "kernel tree", str(given), expected=f"one folder {FOLDER}/ with {', '.join(NEEDED)}",
            actual=_several(found, given) if found else _nearest(given),
            next_step="name the src folder of the kernel's crate",
        )  # fmt: skip
    return core_in(found[0], _name_of(found[0]))


def core_in(folder: Path, name: str) -> Subject:
    """The memory core in a folder that has one, with the owners of its blocks where it knows them.

    Raises:
        SubjectError: a file may not be read, or no Rust source can name the folder.
    """
    parts, features = (NEEDED, ()) if lacking(folder) else ((*NEEDED, *OWNERSHIP), (FEATURE,))
    for file in (folder / part for part in parts):
        _require_utf8(file)
    return Subject.from_folder(folder, parts, name, MEMORY_CORE, features)


def _require_utf8(file: Path) -> None:
    try:
        file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SubjectError(
            "kernel tree", str(file), expected="a Rust source in UTF-8",
            actual=f"byte {error.object[error.start]:#04x} at {error.start}", next_step="save it as UTF-8",
        ) from error  # fmt: skip
    except OSError:
        return  # who reads it says so


def without_ownership(subject: Subject) -> Subject:
    """The same core without the ownership of its blocks."""
    return replace(subject, parts=NEEDED, features=()).refreshed()


def described(subject: Subject, why_not: str = "") -> str:
    """Which files are judged, and which are not, in one line.

    Args:
        why_not: why the ownership of blocks is not judged; what the files lack where it is not said.
    """
    off = switched_off(subject)
    switches = f"; features of its kernel that are off: {', '.join(off)}" if off else ""
    others = [NOT_JUDGED] if (subject.path / NOT_JUDGED).is_file() else []
    beside = [name for name in OWNERSHIP if (subject.path / name).is_file() and name not in subject.parts]
    if beside:
        others.append(f"{', '.join(beside)} (without {why_not or lacking(subject.path)})")
    left = f"; not judged: {', '.join(others)}" if others else ""
    return f"memory core in {subject.path}: {', '.join(subject.parts)}, compiled in place{left}{switches}"


def switched_off(subject: Subject) -> tuple[str, ...]:
    """The features of the kernel's crate that the files ask for: none of them is on where they are judged."""
    texts = (file.read_text(encoding="utf-8", errors="replace") for file in subject.files)
    return tuple(sorted({name for text in texts for name in _ASKED.findall(text)}))


def _is_core(folder: Path) -> bool:
    return folder.name == FOLDER and all((folder / name).is_file() for name in NEEDED)


def _folders_in(given: Path) -> Iterator[Path]:
    for root, folders, _ in os.walk(given):
        depth = len(Path(root).relative_to(given).parts)
        folders[:] = [] if depth >= _DEEPEST else sorted(set(folders) - _SKIPPED)
        yield Path(root)


def _cores_in(given: Path) -> Iterator[Path]:
    return filter(_is_core, _folders_in(given))


def _several(found: list[Path], given: Path) -> str:
    return ", ".join(str(folder.relative_to(given)) for folder in found)


def _nearest(given: Path) -> str:
    """What the folder that has most of the files lacks."""
    folders = [folder for folder in _folders_in(given) if folder.name == FOLDER]
    lacks = [(folder, [name for name in NEEDED if not (folder / name).is_file()]) for folder in folders]
    if not lacks:
        return f"no folder {FOLDER}/"
    folder, missing = min(lacks, key=lambda one: len(one[1]))
    return f"{folder} without {', '.join(missing)}"


def _name_of(core: Path) -> str:
    """The name of the repository; of the folder above `src` where there is none."""
    for folder in core.parents:
        if (folder / ".git").exists():
            return folder.name
    above = [part for part in core.parent.parts if part not in ("src", "kernel", "workspace", "/")]
    return above[-1] if above else "kernel"


def build_core(subject: Subject, profile: str, toolchain: Toolchain, say: Say) -> tuple[Image, str]:
    """The image, and what the owners of blocks ask for in vain; empty where they are in it, or not asked for.

    Raises:
        HarnessError: whatever `build` raises.
    """
    try:
        return build(subject, profile, toolchain=toolchain, say=say), ""
    except NotJudgeable as error:
        if not subject.features:
            raise
        why_not = "; ".join((*error.lacks, *error.asks))
    narrow = without_ownership(subject)
    say(described(narrow, why_not))
    return build(narrow, profile, toolchain=toolchain, say=say), why_not
