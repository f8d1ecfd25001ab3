"""The shape in which a method of a slot declares what it does, and how it is tried at its boundaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from frame_harness.contract.boundaries import around
from frame_harness.contract.layout import StructLayout

SlotValues = dict[str, int]
"""The fields of one slot that are not reserved, by name."""


def background(slot: StructLayout, *, inverted: bool = False) -> SlotValues:
    """A slot whose fields share no byte with each other: a stray write is seen."""
    return {name: _pattern(slot, name, inverted=inverted) for name in slot.widths}


def _pattern(slot: StructLayout, name: str, *, inverted: bool) -> int:
    # Ours: byte by byte, 0x11, 0x10, 0x13, … for the first field, 0x22, 0x23, 0x20, … for the second.
    index, bits = list(slot.widths).index(name), slot.widths[name]
    value = int.from_bytes(bytes(0x11 * (index + 1) ^ byte for byte in range(bits // 8)), "little")
    return value ^ (1 << bits) - 1 if inverted else value


@dataclass(frozen=True)
class Operand:
    """What a command takes, by the name that its usage shows."""

    name: str
    values: tuple[int, ...]
    """That a check must send."""


@dataclass(frozen=True)
class CallEnd:
    """One way in which a call may end."""

    after: Mapping[str, int]
    """The slot that it leaves."""
    reply: Mapping[str, int] = field(default_factory=dict)
    """Fields of the reply line."""
    status: str = "ok"
    """`ok`, `fail` (the subject returned an error) or `panic`."""


Effect = Callable[[SlotValues, Sequence[int]], tuple[CallEnd, ...]]
"""From the slot before and the operands to what is allowed."""


@dataclass(frozen=True)
class Case:
    """One call: the slot before, the operands, what the contract allows."""

    before: SlotValues
    arguments: tuple[int, ...]
    allowed: tuple[CallEnd, ...]


@dataclass(frozen=True)
class SlotMethod:
    """A method of a slot with what it does; several may declare one command, each a clause's share."""

    name: str
    """As in Rust; the command is `slot.<name>`."""
    clauses: tuple[str, ...]
    """That a wrong outcome breaks."""
    effect: Effect
    operands: tuple[Operand, ...] = ()
    """Behind the address of the frame."""
    stored: tuple[str, ...] = ()
    """Fields of which every boundary value is tried as what the slot holds before."""
    pairs: tuple[tuple[int, ...], ...] = ()
    """(value of `stored[0]`, operands...) that are tried, too, where two values are compared."""
    where: Callable[[SlotValues, Sequence[int]], bool] = lambda _before, _arguments: True
    """Whether a case is this declaration's."""
    part: str = ""
    by_field: Mapping[str, str] = field(default_factory=dict)
    """Clauses of fields that the method leaves wrong, where each has one of its own; it may be one that
    another declaration of the method is about. Where all fields are right, those of values that it replies,
    each by its name there.
    """
    accessor: bool = False
    """It reads or writes one field; that it leaves all others alone is for the contract's general clause to
    say.
    """
    calls: tuple[str, ...] = ()
    """Other methods that it may call, by name."""

    @property
    def id(self) -> str:
        """The name, with the part of it that this declaration is about; unlike any other declaration's."""
        return f"{self.name}-{self.part}" if self.part else self.name

    @property
    def command(self) -> str:
        """The command of the console that calls the method."""
        return f"slot.{self.name}"

    @property
    def owns(self) -> str:
        """The one field that it writes, of a setter; else empty."""
        return self.stored[0] if self.accessor and self.operands else ""

    def cases(self, slot: StructLayout) -> list[Case]:
        """Each operand, then each stored field, at its boundaries, the rest of the slot being patterns."""
        patterns = cycle((background(slot), background(slot, inverted=True)))
        tried: list[tuple[SlotValues, tuple[int, ...]]] = []
        # The operands that are not tried have a number of ours, cut to what each takes.
        plain = tuple(0x1234 % (max(operand.values) + 1) for operand in self.operands)
        for index, operand in enumerate(self.operands):
            for value in operand.values:
                arguments = (*plain[:index], value, *plain[index + 1 :])
                tried.append((dict(next(patterns)), arguments))
        for name in self.stored:
            for value in around(slot.widths[name]):
                tried.append((next(patterns) | {name: value}, plain))
        for value, *rest in self.pairs:
            tried.append((next(patterns) | {self.stored[0]: value}, tuple(rest)))
        return [
            Case(before, arguments, self.effect(before, arguments))
            for before, arguments in tried
            if self.where(before, arguments)
        ]

    def storing(self, slot: StructLayout) -> tuple[Case, str] | None:
        """A case whose one allowed end has an operand in a field that held something else, with that field.

        None where the method does not store what it is given.
        """
        for case in self.cases(slot):
            for end in case.allowed if len(case.allowed) == 1 else ():
                changed = (name for name, value in end.after.items() if value != case.before[name])
                for name in changed:
                    if end.status == "ok" and end.after[name] in case.arguments:
                        return case, name
        return None


def operand(name: str, bits: int) -> Operand:
    """An operand of which every value of its width is legal."""
    return Operand(name, around(bits))


def covered(methods: Iterable[SlotMethod], slot: StructLayout) -> dict[str, dict[str, set[int]]]:
    """The values of each operand that the cases send, by command."""
    sent: dict[str, dict[str, set[int]]] = {}
    for method in methods:
        of_command = sent.setdefault(method.command, {})
        for case in method.cases(slot):
            for declared, value in zip(method.operands, case.arguments, strict=True):
                of_command.setdefault(declared.name, set()).add(value)
    return sent
