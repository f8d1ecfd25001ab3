"""A built kernel together with everything that its ELF file tells."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from frame_harness.base import resources
from frame_harness.base.units import Vaddr
from frame_harness.contract.layout import StructLayout
from frame_harness.image.code_at import CodeAt
from frame_harness.image.demangle import demangle
from frame_harness.image.dwarf import Dwarf
from frame_harness.image.elf import Elf
from frame_harness.image.errors import ImageError
from frame_harness.image.placed import PATH_IN_SHIM, is_part_of
from frame_harness.image.places import Place
from frame_harness.image.subject import Subject

# DWARF has lines of functions alone, and not of those that the compiler merged.
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_AROUND = r"\b(?:mod|impl|trait|struct|enum)\b[^;{{]*?\b{name}\b[^;{{]*\{{"
_ITEM = r"\b(?:const|static|struct|enum|type|mod|trait|fn)\s+{name}\b"


def declaration_line(text: str, path: str) -> int | None:
    """The line, from 1, that declares an item; None when the text has none of that name.

    Args:
        path: `FRAME_META_SIZE`, `meta_guard::POISONED`, `MetaSlot`.
    """
    code = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    *around, name = path.split("::")
    at = 0
    for part in around:
        block = re.compile(_AROUND.format(name=re.escape(part))).search(code, at)
        if block is None:
            return None
        at = block.end()
    # A type may have several `impl` blocks; the item stands behind the first of them at the earliest.
    item = re.compile(_ITEM.format(name=re.escape(name))).search(code, at)
    return None if item is None else code.count("\n", 0, item.start()) + 1


@dataclass(frozen=True)
class Static:
    """A static: its path, that of the frame module without the module's own; size in bytes."""

    name: str
    vaddr: Vaddr
    size: int


@dataclass(frozen=True)
class Image:
    """One bootable ELF file that never changes."""

    elf: Path
    sha256: str
    """Of the ELF file."""
    profile: str
    """`dev`, `release`, `cov` or `fuzz`."""
    subject: Subject
    """What was compiled into it, as it was then."""
    lacks: tuple[str, ...] = ()
    """Those of the names in the contract's `versions` that this version of the subject lacks."""
    sources: tuple[tuple[str, str], ...] = ()
    """Each file that is the user's, with a digest of what was compiled."""
    shim: str = ""
    """Where the shim lay that it was built of; empty for that of this package."""
    text: Path | None = None
    """A copy of the subject's one file, on a machine where that is not in its place."""

    @cached_property
    def _elf(self) -> Elf:
        return Elf.of(self.elf, self.sha256)

    @cached_property
    def _dwarf(self) -> Dwarf:
        return Dwarf.of(self.elf, self.sha256)

    def load(self, records: Iterable[str] = ()) -> None:
        """Read now what else is read when somebody first asks: processes forked later have it, too.

        Args:
            records: names of types beside the slot's, as `dtype` takes them.
        """
        entry, _ = self.symbol("kernel_main")
        dwarf = self._dwarf  # made once, here: both threads go on with it
        with ThreadPoolExecutor(max_workers=1) as beside:  # symbolic reads the lines without Python's lock
            lines = beside.submit(dwarf.places_of, entry)
            for name in (self.slot_type, *records):
                self.dtype(name)
            lines.result()

    @property
    def build_id(self) -> str:
        """The link editor's id of this build, in hex; the guest's banner repeats it."""
        return self._elf.build_id

    def has(self, name: str) -> bool:
        """Whether this version of the subject has a name of the contract's `versions`."""
        return name not in self.lacks

    @property
    def slot_type(self) -> str:
        """What this version of the subject calls the type of a slot."""
        names = self.subject.contract.versions.slot
        return next((name for name in names if self.has(name)), names[-1])

    @property
    def slot_layout(self) -> StructLayout:
        """The contract's layout of a slot, or the compiler's where this version has another type."""
        slot = self.subject.contract.slot
        return slot if self.slot_type == slot.name else self.layout(self.slot_type)

    @property
    def shim_folder(self) -> str:
        """The folder of the shim's sources, as debug information names it."""
        return self.shim or str(resources.shim_dir())

    def symbol(self, name: str) -> tuple[Vaddr, int]:
        """Return (vaddr, size in bytes) of a symbol."""
        return self._elf.symbol(name)

    def symbolize(self, vaddr: Vaddr) -> CodeAt:
        """Return the function and the source line of an address; of one outside of the text the address.

        Where a library's code was inlined, the line is the subject's own, or else the shim's.
        A return address lies behind its call: pass it minus one to get the call's line.
        """
        at = self._elf.function_at(vaddr)
        if at is None:
            return CodeAt(vaddr)
        symbol, offset = at
        places = self.places(vaddr)
        if not places:
            return CodeAt(vaddr, symbol, offset, symbol)
        ours = (
            *(place for place in places if is_part_of(place.file, str(self.subject.path))),
            *(place for place in places if place.file.startswith(self.shim_folder)),
            *places,
        )
        function = symbol if ours[0] is places[-1] else ours[0].function
        return CodeAt(vaddr, symbol, offset, function, ours[0].file, ours[0].line)

    def places(self, vaddr: Vaddr) -> list[Place]:
        """Return the place of the code at an address, then that of each call that it was inlined into."""
        return self._dwarf.places_of(vaddr)

    def function_at(self, vaddr: Vaddr) -> tuple[str, int] | None:
        """Return a function's name with the bytes from its beginning; None outside of every function."""
        return self._elf.function_at(vaddr)

    def function_line(self, name: str) -> tuple[str, int] | None:
        """Return (file, line) where a function is declared; None when the build has no such function.

        Args:
            name: the end of the path: `MetaSlot::dec_ref`, `frame::get_meta`.
        """
        return self._dwarf.function_line(name)

    def item_line(self, path: str) -> tuple[str, int] | None:
        """Return (file, line) of a function, or of a constant or a type of the subject; None without one.

        Args:
            path: `MetaSlot::dec_ref`, `meta_guard::POISONED`, `FRAME_META_SIZE`.
        """
        if place := self.function_line(path):
            return place
        # A compiler that finds two functions alike may keep one of them.
        line = declaration_line(self._subject_text, path)
        return None if line is None else (str(self.subject.path), line)

    @cached_property
    def _subject_text(self) -> str:
        """Empty when the file is not any more what was compiled."""
        file = self.text or self.subject.path
        data = file.read_bytes() if file.is_file() else b""
        whole = hashlib.sha256(data).hexdigest() == self.subject.sha256
        return data.decode("utf-8", "replace") if whole else ""

    def layout(self, type_name: str) -> StructLayout:
        """Return a structure's fields as the compiler laid them out, down to scalars and arrays of them.

        Args:
            type_name: the end of the path: `MetaSlot`, `frame::MetaSlot`.
        """
        return self._dwarf.layout(type_name)

    def variants(self, type_name: str) -> tuple[str, ...]:
        """Return the names of an enum's variants, in the order of its text.

        Args:
            type_name: the end of the path: `AllocError`.
        """
        return self._dwarf.variants(type_name)

    def dtype(self, type_name: str) -> np.dtype[np.void]:
        """Return a structure as a numpy type: same size, same offsets, atomics as plain integers."""
        return self._dwarf.dtype(type_name)

    def statics(self, path: str) -> tuple[Static, ...]:
        """Return every static of a module and of those inside it by address, with its whole path.

        Args:
            path: from the crate on: `kernel_shim::memory`.
        """
        code = {at for at, _, _ in self._elf.functions}
        found = {
            (at, size): Static(name, at, size)
            for symbol, (at, size) in self._elf.symbols.items()
            if size and at not in code and f"{path}::" in (name := demangle(symbol))
        }
        return tuple(found[place] for place in sorted(found))

    def subject_statics(self) -> tuple[Static, ...]:
        """Return the statics of the frame module by address, those of its own modules and functions, too."""
        code = {at for at, _, _ in self._elf.functions}
        named = [
            (demangle(symbol).rpartition(f"{PATH_IN_SHIM}::"), place)
            for symbol, place in self._elf.symbols.items()
        ]
        found = [
            Static(name.replace(">", ""), at, size)
            for (_, inside, name), (at, size) in named
            if inside and size and at not in code
        ]
        return tuple(sorted(found, key=lambda static: static.vaddr))

    def static(self, path: str) -> tuple[Vaddr, int]:
        """Return (vaddr, size in bytes) of a static of the shim.

        Args:
            path: the whole of it: `kernel_shim::memory::hooks::COUNT`.
        Raises:
            ImageError: there is none.
        """
        found = [place for symbol, place in self._elf.symbols.items() if demangle(symbol) == path]
        if len(found) != 1:
            raise ImageError(f"{self.elf}", "static", expected=path, actual=f"{len(found)} of that name")
        return found[0]

    def largest_static(self) -> tuple[str, int]:
        """Return (readable name, size in bytes) of the largest thing in the image that is no code."""
        code = {at for at, _, _ in self._elf.functions}
        found = [(size, symbol) for symbol, (at, size) in self._elf.symbols.items() if at not in code]
        size, symbol = max(found, default=(0, "none"))
        return demangle(symbol), size

    def subject_static(self, name: str) -> Vaddr | None:
        """Return the vaddr of a static of the frame module; None when the subject has none of that name."""
        return next((one.vaddr for one in self.subject_statics() if one.name == name), None)
