"""What a contract says of two operations at the same time, as the engine takes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from frame_harness.base.units import Paddr
from frame_harness.races.operations import Calls
from frame_harness.races.scenes import Scene


class RacedFrame(Protocol):
    """A frame of one guest, whose slot two CPUs are on, and a second one in use that only one of them is on.

    Each field of the second one's slot differs from that of the first one's.
    """

    @property
    def paddr(self) -> Paddr: ...

    @property
    def other(self) -> Paddr: ...

    @property
    def known(self) -> Mapping[str, int]:
        """Addresses by the names that operations and scenes use."""

    @property
    def readying(self) -> Sequence[str]:
        """Commands that each CPU carries out once, so that what it does later for the first time is short."""

    @property
    def offering(self) -> str:
        """The command that makes it a free frame, the next one that is handed out."""

    def fill(self) -> None:
        """Fill the payload of the frame with what no operation leaves there."""

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
        clause_of_life: by the line of an allocation and a part of its outcome (empty: any) the clause that is
            broken where another allocation, of another frame, spoils it.
        clauses_of_life: all of them.
        clauses: everything that a race can be found to break.
        in_steps: by method that is several steps by its own words, the reason: each step is of one piece, and
            what lies between two of them may be seen.
        of_one_order: parts of an outcome that say together whose the frame is: a mixture of two orders is
            wrong even where each step may be seen.
        left_behind: by the method that is held and part of the outcome: the bits that are judged of a frame
            that nobody holds, why no others are.
        of_free_frame: by part of an outcome the values that it has where nobody holds the frame;
            `left_behind` applies to such outcomes alone.
        on_a_free_frame: methods that may write to the slot of a free frame, with the reason; others read it.
        allocates: the method that is given the free frame.
    """

    calls: Calls
    take: Callable[[Any], RacedFrame]
    in_use: Scene
    offered: Scene
    clause_of: Callable[[str, str], str]
    clause_of_life: Callable[[str, str], str]
    clauses_of_life: Collection[str]
    clauses: Collection[str]
    allocates: str
    variants: tuple[Scene, ...] = ()
    in_steps: Mapping[str, str] = field(default_factory=dict)
    of_one_order: Collection[str] = ()
    left_behind: Mapping[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    of_free_frame: Mapping[str, Collection[str]] = field(default_factory=dict)
    on_a_free_frame: Mapping[str, str] = field(default_factory=dict)
