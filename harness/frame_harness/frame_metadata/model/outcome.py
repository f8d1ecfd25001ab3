"""What an operation may come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from frame_harness.base.units import Paddr


@dataclass(frozen=True)
class Done:
    """The operation returned; `values` are the fields of the guest's reply."""

    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Fail:
    """The operation returned `Err`; `error` is the guest's word for it."""

    error: str
    values: Mapping[str, int] = field(default_factory=dict)


class PanicKind(StrEnum):
    """Why an operation must not return; the value says it in words."""

    CLAIM = "the buddy offered a frame whose refcount is not REFCOUNT_UNUSED"
    REFERENCE = "a reference operation would step onto or off the free sentinel, or below zero"
    OUT_OF_BOUNDS = "there is no slot for the address"
    NOT_A_BLOCK = "the buddy cannot have handed out such a block"
    FREED_TWICE = "the block, or a part of it, is free already"
    CORRUPT_LIST = "a link of a free list leads to something else than a free block of its order"


# Panics that the contract asks for; the rest are the shim's own, which checks before it changes anything.
CLAUSES_OF_PANIC: Mapping[PanicKind, tuple[str, ...]] = {
    PanicKind.CLAIM: ("ALLOC-10", "ALLOC-15", "FREE-08"),
    PanicKind.REFERENCE: ("REF-07",),
    PanicKind.OUT_OF_BOUNDS: ("ARRAY-07",),
    PanicKind.FREED_TWICE: ("FREE-08",),
}


@dataclass(frozen=True)
class Panic:
    """The operation must panic; what it changed before stays.

    Attributes:
        quietly: fields of the reply, of a reference operation: REF-07 lets it refuse without a panic.
    """

    kind: PanicKind
    quietly: Mapping[str, int] = field(default_factory=dict)

    @property
    def clauses(self) -> tuple[str, ...]:
        """The clauses that ask for the panic; empty where it is the shim's own check."""
        return CLAUSES_OF_PANIC.get(self.kind, ())


@dataclass(frozen=True)
class Illegal:
    """The guest chose a block that it may not hand out; the model stays as it was."""

    paddr: Paddr
    reason: str
    clauses: tuple[str, ...] = ("ALLOC-14",)


ModelResult = Done | Fail | Panic | Illegal


class Panicked(Exception):
    """Unwinds an operation of the model to where it becomes a `Panic`."""

    def __init__(self, kind: PanicKind, quietly: Mapping[str, int] | None = None) -> None:
        super().__init__(kind.value)
        self.panic = Panic(kind, quietly or {})
