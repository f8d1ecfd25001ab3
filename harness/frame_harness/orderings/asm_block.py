"""Reads an inline assembly call of LLVM IR: its template with a register for each operand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LABEL: Final = "frame_harness_label_{}"
"""The symbol that stands for operand N where that is a place in the Rust code."""

_REGISTERS: Final = (
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
    "rsi",
    "rdi",
    "rbx",
    "rdx",
    "rcx",
    "rax",
)
_WITH_HIGH_BYTE: Final = ("rbx", "rdx", "rcx", "rax")
_VECTORS: Final = tuple(f"xmm{n}" for n in range(15, -1, -1))
_POOLS: Final = {"r": _REGISTERS, "q": _REGISTERS, "Q": _WITH_HIGH_BYTE, "x": _VECTORS, "v": _VECTORS}
_OLD: Final = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")
_PLACEHOLDER: Final = re.compile(r"\$(?:\$|\{(\d+)(?::(\w))?\}|(\d+))")


class NotUnderstood(Exception):
    """A block of assembly of which nobody here can say what it does to memory; the text says why."""


@dataclass(frozen=True)
class AsmBlock:
    """One `asm!` as LLVM IR has it."""

    template: str
    """The instructions, with `$N` and `${N:m}` for operands."""
    constraints: tuple[str, ...]
    """Of outputs, inputs, labels, then what is clobbered."""
    intel: bool
    """The syntax; AT&T otherwise."""
    types: tuple[str, ...]
    """Of the inputs, such as `i64`."""
    barrier: bool
    """The compiler moves no access to memory across it; it may touch memory."""

    @property
    def excerpt(self) -> str:
        """The first instructions, on one line, much as they stand in the source."""
        source = re.sub(r"\$\{(\d+)(?::\w)?\}", r"{\1}", self.template).replace("$$", "$")
        text = "; ".join(line.strip() for line in source.splitlines() if line.strip())
        return text if len(text) <= 60 else text[:57] + "…"


@dataclass(frozen=True)
class Bound:
    """A block with a register for each operand."""

    text: str
    """For the assembler."""
    outputs: tuple[str, ...]
    """Register of each output, in order."""
    inputs: tuple[str, ...]
    """Register of each input; empty where it is a symbol."""
    labels: dict[str, int]
    """Of operands that are places in the Rust code, by the symbol that stands for them: how many such
    operands come before.
    """


def bind(block: AsmBlock, symbols: tuple[str, ...]) -> Bound:
    """Choose registers as a compiler might.

    Args:
        symbols: for each input the name of the global that it is, or nothing.
    Raises:
        NotUnderstood: a constraint or a placeholder of a kind that is not known here.
    """
    return _Binding(block, symbols).bound()


class _Binding:
    def __init__(self, block: AsmBlock, symbols: tuple[str, ...]) -> None:
        self._block = block
        self._symbols = symbols
        self._places: list[str] = []
        self._bytes: set[str] = set()
        self._labels: dict[str, int] = {}
        words = {_full(word) for word in re.findall(r"\w+", block.template)}
        fixed = {_full(name) for text in block.constraints for name in re.findall(r"\{(\w+)\}", text)}
        self._taken = words | fixed

    def bound(self) -> Bound:
        outputs, inputs = list[str](), list[str]()
        for constraint in self._block.constraints:
            if constraint.startswith("~"):
                continue
            if constraint.startswith("="):
                self._places.append(self._register(constraint.lstrip("=&")))
                outputs.append(self._places[-1])
            elif constraint.startswith("!"):
                name = LABEL.format(len(self._places))
                self._labels[name] = len(self._labels)
                self._places.append(name)
            else:
                self._places.append(self._input(constraint, len(inputs)))
                is_symbol = constraint in ("s", "i")
                inputs.append("" if is_symbol else self._places[-1])
        return Bound(self._text(), tuple(outputs), tuple(inputs), self._labels)

    def _input(self, constraint: str, index: int) -> str:
        if constraint.isdigit():
            return self._places[int(constraint)]
        if constraint in ("s", "i"):
            if not self._symbols[index]:
                raise NotUnderstood(f"operand {len(self._places)} is a symbol whose name was not found")
            return self._symbols[index]
        return self._register(constraint)

    def _register(self, constraint: str) -> str:
        if match := re.fullmatch(r"\{(\w+)\}", constraint):
            return _full(match[1])
        pool = _POOLS.get(constraint)
        if pool is None:
            raise NotUnderstood(f"an operand of the class {constraint!r} is not known here")
        free = next((name for name in pool if name not in self._taken), None)
        if free is None:
            raise NotUnderstood("it has more operands than there are registers")
        self._taken.add(free)
        if constraint == "q":
            self._bytes.add(free)
        return free

    def _text(self) -> str:
        return _PLACEHOLDER.sub(self._written, self._block.template)

    def _written(self, match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        place, modifier = self._places[int(match[1] or match[3])], match[2] or ""
        if place in self._symbols or place in self._labels:
            return place
        name = sized(place, modifier or ("b" if place in self._bytes else ""))
        return name if self._block.intel else f"%{name}"


def _full(name: str) -> str:
    """Return the 64-bit register that a name is part of; the name itself when it is none."""
    if match := re.fullmatch(r"(r\d+)[bwd]?", name):
        return match[1]
    if match := re.fullmatch(r"[re]?([abcd]x|[sd]i|[sb]p)", name):
        return f"r{match[1]}"
    if match := re.fullmatch(r"([abcd])[lh]|([sd]i|[sb]p)l", name):
        return f"r{match[1]}x" if match[1] else f"r{match[2]}"
    match = re.fullmatch(r"[xyz]mm(\d+)", name)
    return f"xmm{match[1]}" if match else name


def sized(register: str, modifier: str) -> str:
    """Return the name of a part of a register.

    Raises:
        NotUnderstood: the modifier means something else.
    """
    if register.startswith("xmm"):
        letter = {"": "x", "x": "x", "t": "y", "g": "z"}.get(modifier)
        if letter is None:
            raise NotUnderstood(f"the modifier {modifier!r} is not known here")
        return letter + register[1:]
    if modifier in ("", "q"):
        return register
    old = register[1:] in _OLD
    base = register[1:] if old else register
    names = {
        "k": f"e{base}" if old else f"{base}d",
        "w": base if old else f"{base}w",
        "b": (f"{base[0]}l" if base[1] == "x" else f"{base}l") if old else f"{base}b",
        "h": f"{base[0]}h",
    }
    if modifier not in names:
        raise NotUnderstood(f"the modifier {modifier!r} is not known here")
    return names[modifier]
