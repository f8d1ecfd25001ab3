"""What a contract says of two operations on one slot at the same time, as the engine takes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from frame_harness.base.units import Paddr
from frame_harness.races.operations import Calls
from frame_harness.races.scenes import Scene


class RacedFrame(Protocol):
    """A frame of one guest, whose slot two CPUs are on."""

    @property
    def paddr(self) -> Paddr: ...

    @property
    def known(self) -> Mapping[str, int]:
        """Addresses by the names that operations and scenes use."""

    def offer(self) -> None:
        """Make it a free frame, the next one that is handed out."""

    def beside(self) -> Mapping[str, str]:
        """What two commands did beside answers and slots, in parts that are compared one by one."""


@dataclass(frozen=True, eq=False)
class RaceRules:
    """The operations of a contract, with what may come of two of them.

    Attributes:
        calls: of the guest's commands.
        take: takes the frame that all of it is about, in a guest of the contract that has just booted; its
            slot is then as that of a frame in use begins.
        in_use: the scene in which every operation is tried.
        offered: the scene of a free frame.
        variants: played with those operations alone that touch a field in which they differ.
        clause_of: by method and field the clause that a method breaks whose accesses are not of one piece.
        clauses: everything that a race can be found to break.
        in_steps: by method that is several steps by its own words, the reason: each step is of one piece, and
            what lies between two of them may be seen.
        left_behind: by the method that is held and part of the outcome: the bits that are judged, why no
            others are.
        on_a_free_frame: methods that may write to the slot of a free frame, with the reason; others read it.
        allocates: the method that is given the free frame.
    """

    calls: Calls
    take: Callable[[Any], RacedFrame]
    in_use: Scene
    offered: Scene
    clause_of: Callable[[str, str], str]
    clauses: Collection[str]
    allocates: str
    variants: tuple[Scene, ...] = ()
    in_steps: Mapping[str, str] = field(default_factory=dict)
    left_behind: Mapping[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    on_a_free_frame: Mapping[str, str] = field(default_factory=dict)
