"""A contract as one value: what the engines take instead of knowing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from frame_harness.contract.clauses import Clauses
from frame_harness.contract.functions import Functions
from frame_harness.contract.invariant import Invariants
from frame_harness.contract.layout import Layouts, StructLayout
from frame_harness.contract.methods import SlotMethod
from frame_harness.contract.preflight import Preflight
from frame_harness.contract.versions import Versions


@dataclass(frozen=True)
class TablePromise:
    """That the slots are an array in RAM: the clause that says so, the function that makes it so."""

    clause: str
    function: str


@dataclass(frozen=True)
class FollowedField:
    """A field of a slot that commands follow, and the clause that one which leads nowhere breaks."""

    clause: str
    field: str
    expected: str
    """What is promised to be there, for a person."""


@dataclass(frozen=True, eq=False)
class Contract:
    """What all modules of one kind promise about their metadata: one slot for each frame of memory."""

    name: str
    """Of the kind, for people."""
    reference: str
    """Path of the module in which every clause holds; relative to the shim's folder."""
    clauses: Clauses
    layouts: Layouts
    slot: StructLayout
    """The structure of one slot; it is among `layouts`."""
    methods: tuple[SlotMethod, ...]
    """Of a slot, each with its operands, what it does, and the clauses that a wrong outcome breaks."""
    functions: Functions
    """Which of the module's functions answer for a clause, a field, a command."""
    versions: Versions
    """What versions of such a module differ in."""
    invariants: Invariants[Any, Any, Any]
    """Of a whole memory state."""
    table: TablePromise
    """Who is to blame where the table of slots is not in RAM."""
    followed: FollowedField | None = None
    """What the guest follows in a slot; None for nothing."""
    adapter: str | None = None
    """Absolute path of the Rust file that the shim is built with in place of the one for frame metadata: it
    brings what the module needs around it, and a console command for each method. None for frame metadata.
    """
    preflight: Preflight[Any] | None = None
    """How a guest is used before its first check; None where a campaign of the contract's own looks at its
    guests.
    """
    wide_ram: int | None = None
    """Bytes of RAM that has frames of every kind; None where each machine has them."""
    dumped: bool = False
    """The guest prints its slots when asked; what it prints has to be what its RAM holds."""
    explanations: str | None = None
    """Dotted path of the folder whose TOML files explain the clauses; None for none."""

    def path_of(self, method: SlotMethod) -> str:
        """The path of a slot's method, as `MetaSlot::dec_ref`."""
        return f"{self.slot.name}::{method.name}"

    @property
    def unpromised(self) -> tuple[str, ...]:
        """What preflight compares where a contract says how, and this one does not, in words."""
        if self.preflight is None:
            return ()
        said = {
            "slots as the guest prints them": self.dumped,
            "addresses of slots as the module tells them": self.preflight.address is not None,
            "slots as boot leaves them": self.preflight.as_booted is not None,
        }
        return tuple(words for words, is_said in said.items() if not is_said)

    @property
    def setters(self) -> dict[str, str]:
        """By each method that stores one field and does nothing else that field."""
        return {method.name: method.owns for method in self.methods if method.owns}
