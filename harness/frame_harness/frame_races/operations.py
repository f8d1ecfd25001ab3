"""What CPUs do to one slot: every command of the guest's table, with operands that can be told apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from frame_harness.frame_metadata.constants import C

UNUSED: Final = C.refcount_unused
POISONED: Final = C.guard_poisoned
GENERATION: Final = 0x100_0029
"""Of the frame, to begin with; ours."""

LEFT_OUT: Final[Mapping[str, tuple[str, ...]]] = {
    "serves the console, the guest or the harness, and calls no function of the subject": (
        "help", "banner", "map", "onpanic", "exit", "batch", "run", "const", "dump", "dump.sums", "crash",
        "selftest", "inject", "boot.log", "vt.addr", "vt.log", "vt.clear", "stats", "lists", "buddy.log",
        "buddy.cache",
        "payload.fill", "payload.verify", "payload.peek", "payload.poke",
        "smp.ops", "smp.frames", "smp.job", "smp.run", "smp.arm", "smp.wait", "smp.result", "smp.log",
    ),
    "drives a whole memory core, which is started by itself and judged by clauses of its own": (
        "core.offers", "core.layout", "core.start", "core.alloc", "core.fill", "core.free", "core.poison",
        "core.storm", "core.totals", "frame.words", "frame.alloc", "frame.free",
        "tables.new", "tables.map", "tables.unmap", "tables.probe", "tables.free",
        "work.loop", "work.start", "work.scatter", "work.alloc", "work.free", "work.merge",
    ),
    "looks at slots or changes them past the subject": ("slot.peek", "slot.poke"),
    "computes a value of its operands alone; no slot is near": (
        "slot.new", "array.size", "purpose.zero", "frame.containing", "frame.from_start", "frame.range",
        "frame.cmp",
    ),
    "finds a slot, touches none": ("array.get", "array.slot"),
    "fills the table before there is a second CPU": ("array.init",),
    "is a walk of the shim's own under the buddy's lock; what it calls of the subject has a command each": (
        "release", "buddy.alloc", "buddy.free", "buddy.drain", "trait.alloc", "trait.alloc_frame",
        "trait.free",
    ),
    "is alloc again and again": ("alloc.all",),
}  # fmt: skip
"""By reason: commands that take no part."""

ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    # Through the builder; not zeroed, as the zeros are the payload's, not the slot's.
    "alloc": ("new zeroed=0",),
}
"""Of commands whose usage is no list of numbers."""

VALUES: Final[Mapping[str, tuple[int | str, ...]]] = {
    "paddr": ("{frame:#x}",),
    "slot.set_vtable_bits bits": (0, "{unmap:#x}", "{lastref:#x}", "{misaligned:#x}"),
    "slot.set_guard bits": (0, POISONED | 2),
    "slot.fetch_or_guard bits": (2, POISONED),
    "slot.set_order order": (3, 10),
    "array.poisoned order": (0,),
    "flags": (0xA5A5_0902, 0),
    "count": (0x5A_0005, 1),
    "expect": (2, UNUSED),
    "new": (9,),
    "generation": (GENERATION + 2, 0xA5A5_5A5A),
    "gen": (GENERATION, GENERATION + 1),
    "value": (0xA5A5_5A5A, 0),
    "next": (0xA5A5_0000_5A5A_0000, 0),
    "prev": (0xA5A5_0000_5A5A_0000, 0),
}
"""By operand, or command and operand; ours: each half of a value differs from what the scenes begin with."""
ANY_VALUE: Final = (0x5A,)
"""Of an operand that the table does not know; ours."""


@dataclass(frozen=True)
class Method:
    """One command of the guest's table, as `help` shows it."""

    name: str
    operands: tuple[str, ...]
    help: str

    @property
    def function(self) -> str:
        """The end of the path of the subject's function behind it, as DWARF names it."""
        if self.name == "alloc":
            return "FrameAllocOptions::allocate"
        room, _, rest = self.name.partition(".")
        return f"MetaSlot::{rest}" if room == "slot" else f"frame::{self.help.split()[0]}"


@dataclass(frozen=True)
class Operation:
    """One call of a method of the slot, as a line for the console."""

    method: Method
    line: str

    @property
    def shown(self) -> str:
        """The function with its operands but the frame's address, which is always the same."""
        _, *words = self.line.split()
        if self.method.operands[:1] == ("paddr",):
            words = words[1:]
        return f"{self.method.function}({', '.join(words)})"


def methods(table: Iterable[str]) -> Iterator[Method]:
    """Yield the commands of the lines of `help`: `name <operand>… - text`."""
    for line in table:
        head, _, text = line.partition(" - ")
        name, *words = head.split()
        yield Method(name, tuple(word.strip("<>") for word in words), text)


def left_out(name: str) -> str | None:
    """Why a command takes no part; None when it does."""
    return next((reason for reason, names in LEFT_OUT.items() if name in names), None)


def operations(method: Method, known: Mapping[str, int]) -> tuple[Operation, ...]:
    """Return a method's command lines, one for each choice of operands.

    Args:
        known: what the values of the table are made with: `frame`, addresses of vtables.
    """
    if method.name in ARGUMENTS:
        return tuple(Operation(method, f"{method.name} {words}") for words in ARGUMENTS[method.name])
    choices = [
        VALUES.get(f"{method.name} {operand}") or VALUES.get(operand) or ANY_VALUE
        for operand in method.operands
    ]
    return tuple(
        Operation(method, " ".join([method.name, *(_shown(value, known) for value in values)]))
        for values in product(*choices)
    )


def _shown(value: int | str, known: Mapping[str, int]) -> str:
    return f"{value:#x}" if isinstance(value, int) else value.format(**known)
