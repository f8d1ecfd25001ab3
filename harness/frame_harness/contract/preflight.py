"""What the first guest of a run has to show of a contract, before any check of it is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from frame_harness.base.units import Paddr
from frame_harness.contract.invariant import InvariantResult

G = TypeVar("G")


@dataclass(frozen=True)
class AddressPromise:
    """That the module finds the slot of a frame where the table in RAM has it."""

    name: str
    """Under which wrong addresses are reported, beside the invariants."""
    command: str
    """Of the console, which asks the module; it takes the address of a frame."""
    reply: str
    """The field of its reply that has the address of the slot."""
    clauses: tuple[str, ...]
    """Broken where an address is wrong."""
    high_clauses: tuple[str, ...]
    """Broken instead where only those of frames at 4 GiB or above are wrong."""


@dataclass(frozen=True, eq=False)
class PreflightMoment:
    """A state for the invariants of the contract, and an earlier one of that guest where there is one."""

    state: Any
    before: Any = None


@dataclass(frozen=True, eq=False)
class Preflight(Generic[G]):
    """What preflight does with a guest of the contract that is not the same for all of them.

    `G` is what the contract needs of a guest, as a protocol. Whatever the functions call in the guest may
    panic or be refused; preflight knows what to make of that.
    """

    moments: Callable[[G], Iterator[PreflightMoment]]
    """Uses the module so that every invariant has something to look at; gives the states to judge, each while
    the guest stands still.
    """
    lend: Callable[[G], AbstractContextManager[Paddr]]
    """Gives the address of a frame whose slot may be changed for a while."""
    commands: tuple[str, ...]
    """Of the console, those with which boot, `lend` and `moments` call the module."""
    address: AddressPromise | None = None
    """None where no command tells the address of a slot."""
    as_booted: Callable[[G], InvariantResult] | None = None
    """Judges the slots as boot left them, before anything else is called; None where the contract says
    nothing of them that no invariant says.
    """
