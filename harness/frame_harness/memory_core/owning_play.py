"""Carries out the steps about owners of blocks, beside the exact model of who owns what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from numpy.typing import NDArray

from frame_harness.base.units import pfn_to_paddr
from frame_harness.guest.reply import Reply
from frame_harness.memory_core.judging import CoreViolation, Owned, is_misaligned
from frame_harness.memory_core.maps import common, without
from frame_harness.memory_core.ownership import (
    ALL,
    BY_CAP,
    BY_FRAME,
    CLAIMS,
    BlockReferences,
    Handle,
    OwnershipRefused,
    after,
    around,
    end_of,
    part_of,
)
from frame_harness.memory_core.owning_asks import FUNCTIONS, near_blocks, panic_of
from frame_harness.memory_core.owning_looks import LastRequest, given, look, shown
from frame_harness.memory_core.owning_steps import Own
from frame_harness.memory_core.playing import Playing
from frame_harness.memory_core.state import CoreState

FREE_RETURNS: Final = "CORE-15"
"""The last reference frees: what the allocator makes of that is its own clause."""


def own(step: Own, playing: Playing, _before: CoreState) -> Iterator[CoreViolation]:
    """Carry one request out, judge its answer, the entries, the slots, look-ups and the allocator."""
    request = _Request.of(playing, step)
    if request is not None:
        yield from request.carry_out()


class _Request:
    """A request for the last block of a name."""

    def __init__(self, playing: Playing, step: Own, block: Owned, target: Handle) -> None:
        self._playing, self._step, self._block = playing, step, block
        self._first = pfn_to_paddr(target[0])
        # Those of `cow.rs` are for the block around a frame.
        found = around(playing.owners, target[0]) if step.how in BY_FRAME else None
        self._handle = found or target
        self._outcome = after(playing.owners, step.how, self._handle, step.cap)

    @classmethod
    def of(cls, playing: Playing, step: Own) -> _Request | None:
        """The request that a step means; None where there is no such block."""
        held, state = playing.owned.get(step.name, []), playing.state
        if not held or state is None or is_misaligned(held[-1]):
            return None  # what should not have been given, no handle is for
        whole = held[-1].pfn, held[-1].order
        target = part_of(whole, step.part, state.max_order)
        if target is None:
            return None
        # A part may be claimed while nobody owns the whole: that would be another caller's mistake.
        if step.part != ALL and step.how in CLAIMS and whole not in playing.owners:
            return None
        return cls(playing, step, held[-1], target)

    @property
    def _line(self) -> str:
        how, order = self._step.how, self._handle[1]
        if how in BY_FRAME:
            return f"cow.{how} {self._first:#x}"
        cap = f" {self._step.cap}" if how in BY_CAP else ""
        return f"own.{how} {self._first:#x} {order}{cap}"

    @property
    def _shown(self) -> str:
        return f"`{self._line}`{', which is to be refused' if self._is_refused else ''}"

    @property
    def _is_refused(self) -> bool:
        return isinstance(self._outcome, OwnershipRefused)

    def carry_out(self) -> Iterator[CoreViolation]:
        playing, line = self._playing, self._line
        playing.function = FUNCTIONS[line.split(maxsplit=1)[0]]
        near, before = near_blocks(playing), playing.state
        slots = playing.core.slots()[near]
        playing.core.looked_at.add(self._clause)
        reply = playing.ask(line)
        if reply.status == "panic":
            of_allocator = FREE_RETURNS if self._outcome is None else ""
            yield panic_of(playing, self._clause, line, reply, of_allocator=of_allocator)
            return
        if self._outcome is None:
            playing.core.looked_at.add(FREE_RETURNS)
        if wrong := self._answered(reply):
            playing.over = True
            yield wrong
            return
        if not self._is_refused:
            self._note()
        whole = self._block.pfn, self._block.order
        last = LastRequest(self._shown, self._clause, self._handle)
        yield from look(playing, last, whole, handles=self._step.how in CLAIMS)
        if not playing.over:
            if self._is_refused:
                yield from self._unchanged(near, slots)
            yield from _slots(playing)
        yield from self._in_the_allocator(before)

    @property
    def _clause(self) -> str:
        """What the request promises."""
        outcome = self._outcome
        if isinstance(outcome, OwnershipRefused):
            return "CORE-26" if outcome.overlaps else "CORE-29"
        return "CORE-27" if outcome is not None else "CORE-30"

    def _answered(self, reply: Reply) -> CoreViolation | None:
        """What is wrong with the answer, beside what the model says."""
        outcome, what = self._outcome, f"`{self._line}`"
        if isinstance(outcome, OwnershipRefused):
            if reply.status == "fail" or self._step.how == "dec":  # which answers nothing
                return None
            expected, cause = f"an error: {outcome.why}", FUNCTIONS[self._line.split(maxsplit=1)[0]]
            return CoreViolation(self._clause, what, expected, reply.shown, self._first, cause)
        if reply.status == "fail":
            expected = "done" if outcome is None else given(outcome)
            return CoreViolation(
                "CORE-27", what, expected, reply.shown, self._first, f"refused {self._step.how}"
            )
        return self._counted(reply, outcome, what)

    def _counted(self, reply: Reply, outcome: BlockReferences | None, what: str) -> CoreViolation | None:
        left, fields = 0 if outcome is None else outcome.count, reply.outcome.fields
        if "left" in fields and (reply["left"] == 0) != (left == 0):
            expected = f"{left} references left" if left else "the block's release"
            got = "its release" if left else f"{reply['left']} references left"
            return CoreViolation(
                "CORE-30", what, expected, got, self._first, "too early" if left else "too late"
            )
        wanted: dict[str, object] = {"left": left, "count": left}
        if outcome is not None:
            wanted |= {"state": outcome.state, "cap": min(outcome.caps, default=None)}
        for name, value in wanted.items():
            if name in fields and reply.text(name) != str(value):
                got = f"{name} {reply.text(name)}"
                return CoreViolation("CORE-27", what, f"{name} {value}", got, self._first, name)
        return None

    def _note(self) -> None:
        """Keep the model as it is now."""
        playing, outcome = self._playing, self._outcome
        if isinstance(outcome, BlockReferences):
            playing.owners[self._handle] = outcome
            if playing.watch is not None:
                playing.watch.was_changed(self._block.pfn, 1 << self._block.order)
            return
        del playing.owners[self._handle]
        playing.owned[self._step.name].remove(self._block)
        if playing.watch is not None:
            playing.watch.released(self._block)
        if self._block in playing.poisoned:
            playing.quarantine.append(self._block)

    def _unchanged(self, near: NDArray[Any], slots: NDArray[Any]) -> Iterator[CoreViolation]:
        now = self._playing.core.slots()[near]
        if changed := near[now != slots].tolist():
            what = f"slots after {self._shown}"
            got = f"the slot of frame {pfn_to_paddr(changed[0]):#x} changed"
            yield CoreViolation("CORE-29", what, "as before", got, pfn_to_paddr(changed[0]), "slot")

    def _in_the_allocator(self, before: CoreState | None) -> Iterator[CoreViolation]:
        """Judge the state; the last reference frees that block, any other one frees nothing."""
        playing = self._playing
        found = list(playing.judged())
        if playing.state is not None and before is not None:
            lost = self._outcome is None and self._block not in playing.quarantine
            playing.core.looked_at |= {"CORE-30"} if lost or playing.owners else set()
            wrong = self._kept(before, playing.state) if lost else None
            if self._outcome is not None:
                wrong = self._freed(before, playing.state)
            if wrong is not None:
                yield wrong
        yield from found
        yield from playing.all_freed()

    def _freed(self, before: CoreState, now: CoreState) -> CoreViolation | None:
        """What is free though it is owned, since this request."""
        owned = [(pfn_to_paddr(one[0]), pfn_to_paddr(end_of(one))) for one in self._playing.owners]
        early = without(common(owned, now.population()), before.population())
        if not early:
            return None
        got = f"an owned block is free, from {early[0][0]:#x} on"
        return CoreViolation("CORE-30", f"`{self._line}`", "no block is freed", got, early[0][0], "too early")

    def _kept(self, before: CoreState, now: CoreState) -> CoreViolation | None:
        """What the allocator was never given back; what it lost then is a fault of its own."""
        given = [sum(zone.allocated for zone in state.zones) for state in (before, now)]
        block = (pfn_to_paddr(self._handle[0]), pfn_to_paddr(end_of(self._handle)))
        lost = without([block], now.population())
        if not lost or given[0] != given[1]:
            return None
        what, got = f"`{self._line}`, for the last reference", f"it is not, from {lost[0][0]:#x} on"
        return CoreViolation("CORE-30", what, "the block is free", got, lost[0][0], "too late")


def _slots(playing: Playing) -> Iterator[CoreViolation]:
    """What slots say of owned blocks."""
    slots = playing.core.slots()
    for handle, entry in playing.owners.items():
        playing.core.looked_at.add("CORE-28")
        slot = slots[handle[0]]
        for name, value in (("order", handle[1]), ("refcount", entry.count)):
            if int(slot[name]) != value:
                what = f"the slot of {shown(handle)}"
                got = f"{name} {int(slot[name])}"
                yield CoreViolation("CORE-28", what, f"{name} {value}", got, pfn_to_paddr(handle[0]), name)
                return
