"""Which item of a frame module a change is made in: a function, else a type or a constant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_FN = re.compile(r"^(?P<indent> *)(?P<public>pub(?:\([a-z]+\))? )?(?:const |unsafe )*fn (?P<name>\w+)")
_BLOCK = re.compile(r"^(?:pub )?(?P<kind>impl|trait|mod|struct|enum)\b(?P<rest>[^{;]*)\{")
_DATA = re.compile(r"^(?P<indent> *)(?:pub(?:\([a-z]+\))? )?(?:const|static|type|struct) (?P<name>\w+)")


@dataclass(frozen=True)
class Item:
    """An item with the lines that it spans, from 1, both ends included.

    Args:
        owner: the type, trait or module that it is written in, or empty.
        public: whether the rest of the kernel can call it.
    """

    name: str
    owner: str
    first: int
    last: int
    function: bool
    public: bool

    @property
    def path(self) -> str:
        return f"{self.owner}::{self.name}" if self.owner else self.name


@lru_cache(maxsize=8)
def items(text: str) -> tuple[Item, ...]:
    """All functions, types and constants of a module that rustfmt laid out; a type's fields are its own."""
    lines = text.splitlines()
    found: list[Item] = []
    owner, of_trait, end_of_owner = "", False, 0
    for number, line in enumerate(lines, start=1):
        if number > end_of_owner:
            owner, of_trait = "", False
        if (block := _BLOCK.match(line)) and block["kind"] in ("impl", "trait", "mod"):
            owner, end_of_owner = _owner(block["kind"], block["rest"]), _closed(lines, number, "")
            of_trait = block["kind"] == "trait" or " for " in block["rest"]
        elif block:
            name = block["rest"].split("<")[0].split("(")[0].strip()
            found.append(Item(name, "", number, _closed(lines, number, ""), False, True))
        elif fn := _FN.match(line):
            public = bool(fn["public"]) or of_trait
            last = number if line.rstrip().endswith(";") else _closed(lines, number, fn["indent"])
            found.append(Item(fn["name"], owner, number, last, True, public))
        elif (data := _DATA.match(line)) and data["name"] != "_":
            inside = any(item.function and item.first <= number <= item.last for item in found)
            if not inside:
                last = number if ";" in line else _ended(lines, number)
                found.append(Item(data["name"], owner, number, last, False, True))
    return tuple(found)


def item_at(text: str, line: int) -> str:
    """The path of the item that a line belongs to, `MetaSlot::inc_ref`; empty between items."""
    around = [item for item in items(text) if item.first <= line <= item.last]
    return max(around, key=lambda item: item.first).path if around else ""


def changed_items(before: str, after: str) -> frozenset[str]:
    """The items in which two texts of a module differ.

    A private function also counts as each public one that leads to it: nobody else can call it.
    """
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    found: set[str] = set()
    for tag, first, last, new_first, new_last in matcher.get_opcodes():
        if tag != "equal":
            found |= {item_at(before, line + 1) for line in range(first, last)}
            found |= {item_at(after, line + 1) for line in range(new_first, new_last)}
    return frozenset(name for path in found for name in _answerable(after, path))


def _answerable(text: str, path: str) -> set[str]:
    """An item with, when it is a private function, all public functions that lead to it."""
    by_path = {item.path: item for item in items(text)}
    reached, left = set(), [path]
    while left:
        name = left.pop()
        if name in reached or not name:
            continue
        reached.add(name)
        item = by_path.get(name)
        if item is not None and item.function and not item.public:
            left += [other.path for other in by_path.values() if other.function and _calls(text, other, item)]
    return reached


def _calls(text: str, caller: Item, callee: Item) -> bool:
    body = "\n".join(text.splitlines()[caller.first : caller.last])
    return caller.path != callee.path and bool(re.search(rf"\b{callee.name}\(", body))


def _owner(kind: str, rest: str) -> str:
    if kind == "impl" and " for " in rest:
        rest = rest.partition(" for ")[2]
    return rest.split(":")[0].split("<")[0].strip()


def _closed(lines: Sequence[str], number: int, indent: str) -> int:
    """The line that closes the block which a line opens."""
    if lines[number - 1].rstrip().endswith("}"):
        return number
    return next(at for at in range(number + 1, len(lines) + 1) if lines[at - 1].startswith(f"{indent}}}"))


def _ended(lines: Sequence[str], number: int) -> int:
    return next(at for at in range(number, len(lines) + 1) if lines[at - 1].rstrip().endswith(";"))
