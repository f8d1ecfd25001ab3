"""Tells which functions of a subject have other machine code than in an earlier image of it."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from elftools.elf.elffile import ELFFile
from iced_x86 import Decoder, Instruction

from frame_harness.base.units import Vaddr
from frame_harness.image.demangle import demangle
from frame_harness.image.elf import open_elf, reading
from frame_harness.image.image import Image
from frame_harness.image.machine_code import BRANCHES, code_sections
from frame_harness.image.placed import is_part_of
from frame_harness.image.symbols import STT_FUNC, symbols_of

ENOUGH: Final = 20_000
"""Instructions whose source lines are looked up at most; where more changed, everything counts as changed."""
_ADDRESS_BYTES: Final = 4
"""The smallest operand that can hold an address, sign-extended."""
# <kernel_shim::memory::frame::Frames as core::iter::traits::iterator::Iterator>::next
_OF_A_TRAIT: Final = re.compile(r"<(.+?) as .+>::(\w+)$")
_CLOSURE: Final = re.compile(r"::\{\{closure\}\}.*$")

Token = tuple[Vaddr, bytes]
"""An instruction as far as it does not depend on where code and data lie: its address, its bytes."""


@dataclass(frozen=True)
class _Function:
    """One function of an image: its instructions without addresses, the functions that it calls."""

    tokens: tuple[Token, ...]
    calls: frozenset[str]

    @property
    def digest(self) -> bytes:
        return _digest(one for _, one in self.tokens)


@dataclass
class _Body:
    tokens: list[Token] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)


def changed_functions(before: Image, after: Image) -> frozenset[str] | None:
    """The subject's functions, by their full paths, whose machine code differs, and those that call them.

    A function that was inlined is looked for in the functions that hold it. Where code or data lie makes no
    difference, nor does the text that both were compiled from.

    Returns:
        None where so much differs that looking closer would take seconds: any function may have changed.
    """
    old, new = _functions(before.elf), _functions(after.elf)
    differing = [name for name in old.keys() | new.keys() if _digest_in(old, name) != _digest_in(new, name)]
    pairs = [(before, old), (after, new)]
    if sum(len(code[name].tokens) for _, code in pairs for name in differing if name in code) > ENOUGH:
        return None
    of_old, of_new = (_by_owner(image, code, differing) for image, code in pairs)
    changed = {key[0] for key in of_old.keys() | of_new.keys() if of_old.get(key) != of_new.get(key)}
    return frozenset(_with_callers(changed, after, new))


def _by_owner(
    image: Image, code: Mapping[str, _Function], names: Iterable[str]
) -> dict[tuple[str, str], bytes]:
    """What each of the subject's functions has in each function of the image."""
    found: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    subject = str(image.subject.path)
    for name in names:
        for vaddr, token in code[name].tokens if name in code else ():
            owners = {one.function for one in image.places(vaddr) if is_part_of(one.file, subject)}
            for owner in owners:
                found[path_of(owner), name].append(token)
    return {key: _digest(tokens) for key, tokens in found.items()}


def _with_callers(changed: set[str], image: Image, code: Mapping[str, _Function]) -> set[str]:
    """Add whatever of the subject calls one of them, over any number of calls."""
    subject = str(image.subject.path)
    callers: dict[str, set[str]] = defaultdict(set)
    for name, function in code.items():
        for called in function.calls:
            callers[path_of(called)].add(name)
    found, left = set(changed), list(changed)
    while left:
        for name in callers[left.pop()]:
            places = image.places(code[name].tokens[0][0]) if code[name].tokens else []
            if path_of(name) not in found and any(is_part_of(one.file, subject) for one in places):
                found.add(path_of(name))
                left.append(path_of(name))
    return found


def path_of(symbol: str) -> str:
    """A function's path: that of a trait's function begins with its type, a closure has its owner's."""
    name = _CLOSURE.sub("", symbol)
    of_a_trait = _OF_A_TRAIT.match(name)
    return f"{of_a_trait[1]}::{of_a_trait[2]}" if of_a_trait else name


@lru_cache(maxsize=8)
def _functions(path: Path) -> dict[str, _Function]:
    """Every function of an image, by its readable name; several of one name are one."""
    file = open_elf(path)
    with reading(path):
        symbols, image = _Symbols.of(file), _extent(file)
    found: dict[str, _Body] = defaultdict(_Body)
    for section in code_sections(file):
        decoder, data, at = Decoder(64, section.data(), ip=section["sh_addr"]), section.data(), 0
        for instruction in decoder:
            start, name = symbols.holder(Vaddr(instruction.ip))
            body = found[name]
            if instruction.op_count and instruction.op0_kind in BRANCHES:
                target = Vaddr(instruction.near_branch_target)
                begins, called = symbols.holder(target)
                token = f"{instruction.code} {called}+{target - begins:#x}".encode()
                if begins != start:
                    body.calls.add(called)
            else:
                token = _without_addresses(instruction, decoder, data[at : at + instruction.len], image)
            body.tokens.append((Vaddr(instruction.ip), token))
            at += instruction.len
    return {name: _Function(tuple(one.tokens), frozenset(one.calls)) for name, one in found.items()}


def _without_addresses(instruction: Instruction, decoder: Decoder, code: bytes, image: range) -> bytes:
    """An instruction's bytes, with zeros for what points into the image."""
    if instruction.len <= _ADDRESS_BYTES:
        return code
    parts, bare = decoder.get_constant_offsets(instruction), bytearray(code)
    for offset, size, relative in (
        (parts.displacement_offset, parts.displacement_size, instruction.is_ip_rel_memory_operand),
        (parts.immediate_offset, parts.immediate_size, False),
    ):
        if size >= _ADDRESS_BYTES:
            value = int.from_bytes(code[offset : offset + size], "little", signed=True) % (1 << 64)
            if relative or value in image:
                bare[offset : offset + size] = bytes(size)
    return bytes(bare)


@dataclass(frozen=True)
class _Symbols:
    """The functions of a file by their addresses, which are sorted."""

    starts: list[Vaddr]
    names: list[str]

    @classmethod
    def of(cls, file: ELFFile) -> _Symbols:
        functions = (symbol for symbol in symbols_of(file) if symbol.kind == STT_FUNC)
        found = {symbol.vaddr: demangle(symbol.name) for symbol in functions}
        return cls(sorted(found), [found[at] for at in sorted(found)])

    def holder(self, vaddr: Vaddr) -> tuple[Vaddr, str]:
        """The start and the name of the function that an address lies in, or behind."""
        at = bisect_right(self.starts, vaddr) - 1
        return (self.starts[at], self.names[at]) if at >= 0 else (Vaddr(0), "")


def _extent(file: ELFFile) -> range:
    loaded = [part for part in file.iter_segments() if part["p_type"] == "PT_LOAD"]
    low = min(int(part["p_vaddr"]) for part in loaded)
    return range(low, max(int(part["p_vaddr"]) + int(part["p_memsz"]) for part in loaded))


def _digest_in(code: Mapping[str, _Function], name: str) -> bytes:
    return code[name].digest if name in code else b""


def _digest(parts: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"\0".join(parts)).digest()
