"""The contract of `slot.rs`: a slot of 32 bytes, three methods, eight clauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Paddr
from frame_harness.contract.boundaries import around
from frame_harness.contract.clauses import Clauses
from frame_harness.contract.contract import Contract, TablePromise
from frame_harness.contract.functions import Functions
from frame_harness.contract.invariant import Invariant, Invariants, Sighting, frames_finding
from frame_harness.contract.layout import RESERVED, FieldLayout, Layouts, StructLayout
from frame_harness.contract.methods import CallEnd, Operand, SlotMethod, SlotValues
from frame_harness.contract.preflight import Preflight, PreflightMoment
from frame_harness.contract.versions import Versions

HERE: Final = Path(__file__).resolve().parent
NOBODY, KERNEL = 0, 1
WORD = (1 << 32) - 1

CLAUSES = Clauses(
    {"TINY": "The tiny slot"},
    {
        "TINY": [
            ("TINY-01", "L", "a slot has 32 bytes: owner at 0, turns at 8"),
            ("TINY-02", "F", "take gives a slot that nobody holds to the owner it is given"),
            ("TINY-03", "F", "take refuses a slot that somebody holds, says who, and changes nothing"),
            ("TINY-04", "F", "put takes a slot from its owner, and returns the owner"),
            ("TINY-05", "P", "put panics where nobody holds the slot, and changes nothing"),
            ("TINY-06", "F", "turns counts each take of the slot, modulo 2^32"),
            ("TINY-07", "W", "a slot that somebody holds was taken at least once"),
            ("TINY-08", "W", "at start the kernel holds slot 0, and nobody any other"),
        ]
    },
)

TINY_SLOT = StructLayout(
    "TinySlot",
    size=32,
    alignment=32,
    fields=(
        FieldLayout("owner", 0, 8, "u64"),
        FieldLayout("turns", 8, 4, "u32"),
        FieldLayout("reserved", 12, 20, RESERVED),
    ),
)
LAYOUTS = Layouts((TINY_SLOT,), size_clause={}, field_clause={}, general="TINY-01")


def _take(before: SlotValues, arguments: Sequence[int]) -> tuple[CallEnd, ...]:
    if before["owner"] != NOBODY:
        return (CallEnd(before, {"v": before["owner"]}, "fail"),)
    return (CallEnd({"owner": arguments[0], "turns": before["turns"] + 1 & WORD}),)


def _put(before: SlotValues, _arguments: Sequence[int]) -> tuple[CallEnd, ...]:
    if before["owner"] == NOBODY:
        return (CallEnd(before, status="panic"),)
    return (CallEnd(before | {"owner": NOBODY}, {"v": before["owner"]}),)


def _turns(before: SlotValues, _arguments: Sequence[int]) -> tuple[CallEnd, ...]:
    return (CallEnd(before, {"v": before["turns"]}),)


def _is_held(before: SlotValues, _arguments: Sequence[int]) -> bool:
    return before["owner"] != NOBODY


def _is_free(before: SlotValues, _arguments: Sequence[int]) -> bool:
    return before["owner"] == NOBODY


def _is_free_for_somebody(before: SlotValues, arguments: Sequence[int]) -> bool:
    return before["owner"] == NOBODY != arguments[0]


OWNER = Operand("owner", tuple(value for value in around(64) if value != NOBODY))
METHODS = (
    SlotMethod(
        "take",
        ("TINY-02",),
        _take,
        (OWNER,),
        ("owner",),
        tuple((NOBODY, owner) for owner in OWNER.values),
        _is_free_for_somebody,
        part="free",
        by_field={"owner": "TINY-02", "turns": "TINY-06"},
    ),
    SlotMethod("take", ("TINY-03",), _take, (OWNER,), ("owner",), where=_is_held, part="held"),
    SlotMethod("put", ("TINY-04",), _put, stored=("owner", "turns"), where=_is_held),
    SlotMethod("put", ("TINY-05",), _put, stored=("owner",), where=_is_free, part="free"),
    SlotMethod("turns", ("TINY-06",), _turns, stored=("turns",), accessor=True),
)


@dataclass(frozen=True)
class Table:
    """The slots at one moment; what invariants look at."""

    slots: NDArray[Any]
    at_start: bool

    @property
    def past(self) -> Table:
        return Table(self.slots.copy(), self.at_start)


def _held_means_taken(table: Table) -> Sighting:
    slots = table.slots
    bad = np.flatnonzero((slots["owner"] != NOBODY) & (slots["turns"] == 0))
    return frames_finding(len(slots), bad, lambda _: ("turns", "at least 1 where somebody holds it", "0"))


def _start(table: Table) -> Sighting:
    if not table.at_start:
        return Sighting(0)
    owners = table.slots["owner"]
    wanted = np.zeros_like(owners)
    wanted[0] = KERNEL
    bad = np.flatnonzero(owners != wanted)
    return frames_finding(
        len(owners), bad, lambda pfn: ("owner", str(int(wanted[pfn])), f"{int(owners[pfn]):#x}")
    )


INVARIANTS: Invariants[Table, Table, Table] = Invariants(
    lambda state, _previous: state,
    (
        Invariant(
            "held slots were taken",
            ("TINY-07",),
            "s(p).owner != 0 => s(p).turns >= 1",
            "a slot whose turns came round to 0",
            _held_means_taken,
        ),
        Invariant(
            "the kernel alone holds at start",
            ("TINY-08",),
            "s(p).owner = (p = 0 ? 1 : 0)",
            "everything later than the start",
            _start,
        ),
    ),
)


class TinyGuest(Protocol):
    """What preflight needs of a guest with a tiny module."""

    def slots(self) -> NDArray[Any]: ...

    def call(self, command: str, *arguments: int | str) -> object: ...


def _moments(guest: TinyGuest) -> Iterator[PreflightMoment]:
    yield PreflightMoment(Table(guest.slots(), at_start=True))
    for number in range(1, 5):
        guest.call("slot.take", number << 12, 0x1122_3344_5566_7788 + number)
    guest.call("slot.put", 0x2000)
    yield PreflightMoment(Table(guest.slots(), at_start=False))


PREFLIGHT = Preflight[TinyGuest](
    moments=_moments,
    lend=lambda _: nullcontext(Paddr(0x9000)),
    commands=("slot.take", "slot.put"),
)

TINY: Final = Contract(
    name="tiny slots",
    reference=str(HERE / "slot.rs"),
    clauses=CLAUSES,
    layouts=LAYOUTS,
    slot=TINY_SLOT,
    methods=METHODS,
    functions=Functions(
        of_command={method.command: [f"TinySlot::{method.name}"] for method in METHODS},
        named={method.command: f"TinySlot::{method.name}" for method in METHODS},
        keeps={"owner": "subject::init", "turns": "subject::init"},
    ),
    versions=Versions(names=(), scope="", arguments="", slot=("TinySlot",)),
    invariants=INVARIANTS,
    table=TablePromise("TINY-01", "TABLE"),
    preflight=PREFLIGHT,
    adapter=str(HERE / "adapter.rs"),
)
