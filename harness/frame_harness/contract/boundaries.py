"""Boundary values of operands, with the shape in which a method declares what it does to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from frame_harness.contract.layout import META_SLOT

PAGE_SIZE = 4096
MAX_ORDER = 11
LINK_NONE = 2**64 - 1
REFCOUNT_UNUSED = 2**32 - 1

OF_EVERY_FIELD = "LAYOUT-07"
"""The clause that says of each field what others say of one: a write changes its own field alone."""

Slot = dict[str, int]
"""The fields of one slot that are not reserved, by name."""

WIDTHS = {field.name: 8 * field.size for field in META_SLOT.fields if not field.reserved}
"""Bits of each field of a slot."""


def around(bits: int) -> tuple[int, ...]:
    """0, 1, all ones, and 2^k - 1, 2^k, 2^k + 1 for every k of a width.

    The sentinels of the contract (all ones, zero, single bits) with their neighbors are among them.
    """
    centers = [0, *(1 << k for k in range(bits + 1))]
    return tuple(sorted({value for c in centers for value in (c - 1, c, c + 1) if 0 <= value < 1 << bits}))


def one_bit_off(value: int, bits: int) -> tuple[int, ...]:
    """Every value that differs in one bit: what a comparison of fewer bits takes for equal."""
    return tuple(value ^ 1 << bit for bit in range(bits))


def pattern(name: str, *, inverted: bool = False) -> int:
    """A value of a field that shares no byte with another field's: a stray write is seen."""
    index, bits = list(WIDTHS).index(name), WIDTHS[name]
    value = int.from_bytes(bytes(0x11 * (index + 1) ^ byte for byte in range(bits // 8)), "little")
    return value ^ (1 << bits) - 1 if inverted else value


def background(*, inverted: bool = False) -> Slot:
    """A slot of patterns."""
    return {name: pattern(name, inverted=inverted) for name in WIDTHS}


@dataclass(frozen=True)
class Operand:
    """What a command takes, by the name that its usage shows.

    Attributes:
        values: that a check must send.
    """

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class CallEnd:
    """One way in which a call may end.

    Attributes:
        after: the slot that it leaves.
        reply: fields of the reply line.
        status: `ok`, `fail` (the subject returned an error) or `panic`.
    """

    after: Mapping[str, int]
    reply: Mapping[str, int] = field(default_factory=dict)
    status: str = "ok"


Effect = Callable[[Slot, Sequence[int]], tuple[CallEnd, ...]]
"""From the slot before and the operands to what is allowed."""


@dataclass(frozen=True)
class Case:
    """One call: the slot before, the operands, what the contract allows."""

    before: Slot
    arguments: tuple[int, ...]
    allowed: tuple[CallEnd, ...]


@dataclass(frozen=True)
class Method:
    """A method of `MetaSlot` with what it does; several may declare one command, each a clause's share.

    Attributes:
        name: as in Rust; the command is `slot.<name>`.
        clauses: that a wrong outcome breaks.
        operands: behind the address of the frame.
        stored: fields of which every boundary value is tried as what the slot holds before.
        pairs: (value of `stored[0]`, operands...) that are tried, too, where two values are compared.
        where: whether a case is this declaration's.
        by_field: clauses of fields that the method leaves wrong, where each has one of its own; it may be one
            that another declaration of the method is about.
        accessor: it reads or writes one field; that it leaves all others alone is LAYOUT-07's to say.
    """

    name: str
    clauses: tuple[str, ...]
    effect: Effect
    operands: tuple[Operand, ...] = ()
    stored: tuple[str, ...] = ()
    pairs: tuple[tuple[int, ...], ...] = ()
    where: Callable[[Slot, Sequence[int]], bool] = lambda _before, _arguments: True
    part: str = ""
    by_field: Mapping[str, str] = field(default_factory=dict)
    accessor: bool = False

    @property
    def id(self) -> str:
        """Unlike any other declaration's."""
        return f"{self.name}-{self.part}" if self.part else self.name

    @property
    def command(self) -> str:
        """Of the console."""
        return f"slot.{self.name}"

    @property
    def at(self) -> str:
        """The function to blame."""
        return f"MetaSlot::{self.name}"

    def cases(self) -> list[Case]:
        """Each operand, then each stored field, at its boundaries, the rest of the slot being patterns."""
        inverted = (bool(number % 2) for number in count())
        tried: list[tuple[Slot, tuple[int, ...]]] = []
        plain = tuple(0x1234 % (max(operand.values) + 1) for operand in self.operands)
        for index, operand in enumerate(self.operands):
            for value in operand.values:
                arguments = (*plain[:index], value, *plain[index + 1 :])
                tried.append((background(inverted=next(inverted)), arguments))
        for name in self.stored:
            for value in around(WIDTHS[name]):
                tried.append((background(inverted=next(inverted)) | {name: value}, plain))
        for value, *rest in self.pairs:
            tried.append((background(inverted=next(inverted)) | {self.stored[0]: value}, tuple(rest)))
        return [
            Case(before, arguments, self.effect(before, arguments))
            for before, arguments in tried
            if self.where(before, arguments)
        ]


def operand(name: str, bits: int) -> Operand:
    """An operand of which every value of its width is legal."""
    return Operand(name, around(bits))


def covered(methods: Iterable[Method]) -> dict[str, dict[str, set[int]]]:
    """The values of each operand that the cases send, by command."""
    sent: dict[str, dict[str, set[int]]] = {}
    for method in methods:
        of_command = sent.setdefault(method.command, {})
        for case in method.cases():
            for declared, value in zip(method.operands, case.arguments, strict=True):
                of_command.setdefault(declared.name, set()).add(value)
    return sent
