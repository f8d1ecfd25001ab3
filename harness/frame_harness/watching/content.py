"""What the files hold that decide what is judged, and what a save changed of it."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Stamp = tuple[int, int, int]
"""Of a file: when it was changed, in ns; its inode; its size in bytes."""
# include_str!("words.txt")   #[path = "lists/free.rs"]
_NAMED: Final = re.compile(rb'(?:\binclude(?:_str|_bytes)?!\s*[(\[{]|\bpath\s*=)\s*"([^"\n\0]+)"')


@dataclass(frozen=True)
class WatchedPlace:
    """Where that text lies; files that it names, as `include!` does, count, too.

    Attributes:
        needed: the files without which nothing can be judged.
        others: files that count where they are there.
        folders: those whose `.rs` files count, with those in folders inside; they need not be there.
    """

    needed: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()

    def stamps(self) -> dict[Path, Stamp]:
        """Every file that is there, with its stamp."""
        return _stamps_of(self.files()[0])

    def to_watch(self) -> dict[Path, tuple[int, int]]:
        """The folders in which a save can be seen, each with its device and inode.

        A folder that is not there is seen to come in the nearest one above it; that one is watched anyhow,
        since a folder may be replaced by another of its name.
        """
        wanted = {file.parent for file in self.files()[0]} | set(self.folders)
        for folder in self.folders:
            wanted |= {Path(root) for root, _, _ in os.walk(folder)}
        found: dict[Path, tuple[int, int]] = {}
        for folder in wanted | {folder.parent for folder in wanted}:
            there = next(one for one in (folder, *folder.parents) if one.is_dir()).resolve()
            now = there.stat()
            found[there] = (now.st_dev, now.st_ino)
        return found

    def files(self) -> tuple[set[Path], frozenset[Path]]:
        """The files that count, whether they are there or not, and those that do so by their name alone.

        What a text names is known before it compiles for the first time: it may be why it does not.
        """
        found, named = set[Path](), set(self.others)
        left = [*self.needed, *self.others, *self._in_folders()]
        while left:
            if (file := left.pop()) not in found:
                found.add(file)
                left += (names := _named_in(file))
                named.update(names)
        return found, frozenset(file for file in named if not self._counts_anyhow(file))

    def _counts_anyhow(self, file: Path) -> bool:
        in_a_folder = file.suffix == ".rs" and any(file.is_relative_to(folder) for folder in self.folders)
        return in_a_folder or file in self.needed

    def _in_folders(self) -> Iterator[Path]:
        for folder in self.folders:
            for root, _, names in os.walk(folder):
                yield from (Path(root, name) for name in names if name.endswith(".rs"))


def _stamps_of(files: Iterable[Path]) -> dict[Path, Stamp]:
    found: dict[Path, Stamp] = {}
    for file in files:
        try:
            now = file.stat()
        except OSError:
            continue
        if stat.S_ISREG(now.st_mode):  # a pipe may never end
            found[file] = (now.st_mtime_ns, now.st_ino, now.st_size)
    return found


def _named_in(file: Path) -> list[Path]:
    """The files that a text names in a way in which the compiler reads them."""
    try:
        text = file.read_bytes() if file.is_file() else b""
    except OSError:
        return []  # it went in between
    return [file.parent / os.fsdecode(name) for name in _NAMED.findall(text)]


@dataclass(frozen=True)
class Change:
    """What happened to files: another text (or one that came, or went), or the same text saved again."""

    changed: tuple[Path, ...]
    same: tuple[Path, ...]


@dataclass(frozen=True)
class Content:
    """The files that were there, each with its stamp and the digest of its text.

    Attributes:
        named: files that count by their name alone, whether they were there or not.
    """

    stamps: Mapping[Path, Stamp]
    digests: Mapping[Path, str]
    named: frozenset[Path]

    @classmethod
    def of(cls, place: WatchedPlace) -> Content:
        """Read them; the stamps are taken first, so that a later save is never taken for this one."""
        files, named = place.files()
        stamps = _stamps_of(files)
        digests = {}
        for file in stamps:
            try:
                digests[file] = hashlib.sha256(file.read_bytes()).hexdigest()
            except OSError:
                continue  # it went in between, which the next look tells
        return cls(stamps, digests, named)

    def since(self, before: Content) -> Change:
        """What became of the files since an earlier look.

        One that is named since, or no longer, was not saved: the text that names it was.
        """
        files = sorted((self.stamps.keys() | before.stamps.keys()) - (self.named ^ before.named))
        changed = tuple(one for one in files if self.digests.get(one) != before.digests.get(one))
        touched = (one for one in files if self.stamps.get(one) != before.stamps.get(one))
        return Change(changed, tuple(one for one in touched if one not in changed))

    def lacking(self, place: WatchedPlace) -> tuple[Path, ...]:
        """The files that are needed and not there."""
        return tuple(file for file in place.needed if file not in self.digests)

    def with_others(self, later: Content) -> Content:
        """This, with files that only a later look knows of, and without those that only it does not."""
        left = (self.stamps.keys() | self.digests.keys()) - (self.named - later.named)
        return Content(
            {**later.stamps, **{file: self.stamps[file] for file in left if file in self.stamps}},
            {**later.digests, **{file: self.digests[file] for file in left if file in self.digests}},
            later.named,
        )
