"""Reads the words of LLVM's textual IR: names, types, values, lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ORDERS: Final = frozenset({"unordered", "monotonic", "acquire", "release", "acq_rel", "seq_cst"})

_CONSTANT_PTR = re.compile(r"inttoptr \(i64 (-?\d+) to ptr\)$")
_CONSTANT_GEP = re.compile(r'getelementptr [^(]*\(i8, ptr @("[^"]*"|[-\w.$]+), i64 (-?\d+)\)$')


@dataclass(frozen=True)
class Register:
    """A local value, `%name`."""

    name: str


@dataclass(frozen=True)
class Global:
    """The address of a global, `@name`, plus bytes."""

    name: str
    offset: int = 0


@dataclass(frozen=True)
class Unknown:
    """A constant that has no value here; `text` is its form, empty for undef and poison, which may be any."""

    text: str = ""


IrOperand = int | Register | Global | Unknown | tuple["IrOperand", ...]


def unquoted(name: str) -> str:
    """Return a name without the quotes that LLVM puts around unusual ones."""
    return name[1:-1] if name.startswith('"') else name


def plain_text(text: str) -> str:
    r"""Return a string as it was before LLVM wrote quotes, backslashes, bytes beyond ASCII as `\XX`."""
    if "\\" not in text:
        return text
    plain = re.sub(rb"\\([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), text.encode())
    return plain.decode(errors="surrogateescape")


def split_top(text: str) -> list[str]:
    """Split at commas that stand outside of brackets and quotes."""
    parts: list[str] = []
    depth = start = 0
    quoted = False
    for at, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def parse_type(text: str) -> tuple[str, str]:
    """Split a text into the type that it begins with, then the rest."""
    text = text.lstrip()
    if text[:1] in "{[<":
        end = closing(text)
        return text[:end], text[end:].lstrip()
    if text.startswith('%"'):
        end = text.index('"', 2) + 1
        return text[:end], text[end:].lstrip()
    word, _, rest = text.partition(" ")
    return word, rest


def closing(text: str) -> int:
    """Return the index behind the bracket that closes the first one; all of a text that closes none."""
    depth = 0
    quoted = False
    for at, char in enumerate(text):
        quoted ^= char == '"'
        if quoted:
            continue
        depth += (char in "{[(<") - (char in "}])>")
        if depth == 0:
            return at + 1
    return len(text)


def last_list(text: str) -> int:
    """Return where the last list in parentheses begins that stands in no other brackets.

    Raises:
        ValueError: there is none.
    """
    at, begin = 0, -1
    while at < len(text):
        begin = at if text[at] == "(" else begin
        at += closing(text[at:]) if text[at] in "([{" else 1
    if begin < 0:
        raise ValueError(text)
    return begin


def operand(text: str) -> IrOperand:
    """Read a value, without its type; attributes may stand before it."""
    if match := _CONSTANT_PTR.search(text):
        return int(match[1])
    if match := _CONSTANT_GEP.search(text):
        return Global(unquoted(match[1]), int(match[2]))
    if text.endswith("}"):
        return _members(text)
    word = _last_word(text)
    if word.startswith("%"):
        return Register(unquoted(word[1:]))
    if word.startswith("@"):
        return Global(unquoted(word[1:]))
    if re.fullmatch(r"-?\d+", word):
        return int(word)
    return {"true": 1, "false": 0, "null": 0, "zeroinitializer": 0, "none": 0}.get(
        word, Unknown("" if word in ("undef", "poison") else text)
    )


def _members(text: str) -> IrOperand:
    # { i64, i64 } { i64 1, i64 poison }, the type before it left out or not
    kind, value = parse_type(text)
    members = [parse_type(part) for part in split_top((value or kind)[1:-1])]
    found = [(bits_of(kind), operand(value)) for kind, value in members]
    return tuple(one & ((1 << bits) - 1) if isinstance(one, int) else one for bits, one in found)


def bits_of(kind: str) -> int:
    """Return the width of an integer or pointer type; 64 for what is neither."""
    match = re.fullmatch(r"i(\d+)", kind)
    return int(match[1]) if match else 64


def _last_word(text: str) -> str:
    if text.endswith('"'):
        start = text.rindex('"', 0, len(text) - 1)
        return text[start - 1 :]
    return text.rsplit(" ", 1)[-1]


def ordered(text: str) -> tuple[str, str]:
    """Split a text into what precedes an ordering at its end, then the ordering; `na` when there is none."""
    # ptr %p syncscope("singlethread") release
    head, _, last = text.rpartition(" ")
    if last not in ORDERS:
        return text, "na"
    return re.sub(r' syncscope\("[^"]*"\)$', "", head), last
