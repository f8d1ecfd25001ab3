"""Gives each subject what the compiler kept of its own last build."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from frame_harness.image.compiler import TARGET

# The path of the subject is part of what is compiled. So what is kept of a module elsewhere is of little use:
# three times the CPU time. Two subjects that are judged in turn would find what the other one left. A new
# subject begins with that all the same: with nothing it would take several times as much.
FOLDER: Final = "incremental"
"""Where cargo lets the compiler keep it, in the folder of a profile."""
MOST: Final = 6
"""Subjects of a profile that are remembered: each takes 60 to 100 MB."""


def choose(target_dir: Path, profile: str, subject: Path) -> None:
    """Let cargo find what is kept of a subject; the caller holds the lock of the target folder.

    Args:
        profile: of cargo.
        subject: the path of its file.
    """
    place = target_dir / TARGET / ("debug" if profile == "dev" else profile)
    link, own = place / FOLDER, place / f"{FOLDER}-{_key(subject)}"
    if link.is_dir() and not link.is_symlink():  # cargo made it by itself
        shutil.rmtree(link)
    for part in place.glob(f".{FOLDER}-*"):  # of a process that was killed
        shutil.rmtree(part)
    if not own.is_dir():
        _begin(own, _latest_first(place))
    os.utime(own)
    link.unlink(missing_ok=True)
    link.symlink_to(own.name)
    _remove_objects(place)
    for old in list(_latest_first(place))[MOST:]:
        shutil.rmtree(old)


def _begin(own: Path, others: Iterable[Path]) -> None:
    """Make the folder of a new subject, with copies of what was kept last of others, for each kind of kernel.

    No links: the compiler writes some of its files in place (rustc's `thin-lto-past-keys.bin`), and objects
    of two subjects that are taken for each other's make a kernel that nobody wrote.
    """
    part = own.with_name(f".{own.name}")
    part.mkdir(parents=True)
    try:
        for crate in (crate for other in others for crate in other.iterdir()):
            if not (part / crate.name).exists():
                shutil.copytree(crate, part / crate.name)
    except shutil.Error:  # a full disk: with nothing it takes longer, that is all
        shutil.rmtree(part)
        part.mkdir()
    part.rename(own)


def _remove_objects(place: Path) -> None:
    """Remove objects that a killed compiler left: they are links into what is kept of another subject."""
    for left in (place / "deps").glob("*.rcgu.o"):
        left.unlink()


def _key(subject: Path) -> str:
    return hashlib.sha256(os.fsencode(subject)).hexdigest()[:16]


def _latest_first(place: Path) -> Iterator[Path]:
    folders = place.glob(f"{FOLDER}-*")
    yield from sorted(folders, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
