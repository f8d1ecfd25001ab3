"""Reads the names of files in the header of a line program, without the program."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from frame_harness.image.abbreviations import uleb
from frame_harness.image.errors import ImageError

# DWARF 5 section 7.5.6, table 7.6, and section 6.2.4.1: what a compiler writes in these tables.
_STRING, _DATA16, _LINE_STRP, _STRP, _UDATA = 0x08, 0x1E, 0x1F, 0x0E, 0x0F
_PATH, _FOLDER = 1, 2  # DW_LNCT_path, DW_LNCT_directory_index


@dataclass(frozen=True)
class LineHeaders:
    """The bytes of the sections that headers lie in or point to."""

    line: bytes
    line_str: bytes
    strings: bytes

    def files(self, at: int, comp_dir: str) -> list[str]:
        """Return the files of the program at an offset, by the number that debug information uses for them.

        DWARF 5 counts from 0; DWARF 4 from 1, where 0 means "no file".

        Raises:
            ImageError: a form that no compiler writes there.
        """
        wide = 12 if self.line[at : at + 4] == b"\xff" * 4 else 4
        offset_bytes = 8 if wide == 12 else 4
        at += wide
        version = int.from_bytes(self.line[at : at + 2], "little")
        at += 2 + (2 if version >= 5 else 0) + offset_bytes  # sizes of addresses, the length of the header
        at += 5 if version >= 4 else 4  # up to the number of opcodes
        at += self.line[at]
        if version >= 5:
            folders, at = self._table(at, offset_bytes)
            files, _ = self._table(at, offset_bytes)
            names = list[str]()
        else:
            folders, files = self._lists(at)
            folders.insert(0, (comp_dir, 0))
            names = [""]
        for name, number in files:
            folder = folders[number][0] if number < len(folders) else ""
            names.append(posixpath.normpath(posixpath.join(comp_dir, folder, name)))
        return names

    def _lists(self, at: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Read the two lists of DWARF 4 and earlier: folders, then files with the numbers of theirs."""
        folders: list[tuple[str, int]] = []
        while self.line[at]:
            name, at = _string(self.line, at)
            folders.append((name, 0))
        files: list[tuple[str, int]] = []
        at += 1
        while self.line[at]:
            name, at = _string(self.line, at)
            folder, at = uleb(self.line, at)
            for _ in ("time", "length"):
                _, at = uleb(self.line, at)
            files.append((name, folder))
        return folders, files

    def _table(self, at: int, offset_bytes: int) -> tuple[list[tuple[str, int]], int]:
        """Read a table of DWARF 5: names, and the number of the folder of each where they have any."""
        formats, at = [], at + 1
        for _ in range(self.line[at - 1]):
            content, at = uleb(self.line, at)
            form, at = uleb(self.line, at)
            formats.append((content, form))
        count, at = uleb(self.line, at)
        found: list[tuple[str, int]] = []
        for _ in range(count):
            entry: dict[int, str | int] = {}
            for content, form in formats:
                entry[content], at = self._value(form, at, offset_bytes)
            found.append((str(entry.get(_PATH, "")), int(entry.get(_FOLDER, 0))))
        return found, at

    def _value(self, form: int, at: int, offset_bytes: int) -> tuple[str | int, int]:
        if form == _UDATA:
            return uleb(self.line, at)
        if form == _STRING:
            return _string(self.line, at)
        if form == _DATA16:  # a file's MD5
            return 0, at + 16
        if form in (_LINE_STRP, _STRP):
            end = at + offset_bytes
            table = self.line_str if form == _LINE_STRP else self.strings
            return _string(table, int.from_bytes(self.line[at:end], "little"))[0], end
        raise ImageError("debug information", f"form {form:#x}", detail="unknown in a table of files")


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode("utf-8", errors="replace"), end + 1
