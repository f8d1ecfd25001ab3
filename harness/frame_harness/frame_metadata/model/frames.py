"""The reference model: every operation of the frame module, in the plainest words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, frames_from, paddr_to_pfn, pfn_to_paddr
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model.buddy import BuddyModel
from frame_harness.frame_metadata.model.hooks import HookCall, Vtable
from frame_harness.frame_metadata.model.options import AllocOptions
from frame_harness.frame_metadata.model.outcome import (
    Done,
    Fail,
    Illegal,
    ModelResult,
    Panicked,
    PanicKind,
)
from frame_harness.frame_metadata.model.slots import U32, ModelSlot, SlotTable, slot_of
from frame_harness.frame_metadata.model.zones import MAX_ORDER, NONE, ModelBlock

P = ParamSpec("P")

OUT_OF_MEMORY = "OutOfMemory"
INVALID_ORDER = "InvalidOrder"
CAS_FAILED = "Err"
KERNEL = AllocOptions()
"""No builder call at all."""


class ModelError(HarnessError):
    """The model was asked for something that no guest can be asked for either."""


ModelOperation = Callable[Concatenate["Model", P], ModelResult]


def operation(body: ModelOperation[P]) -> ModelOperation[P]:
    """Ends in a `Panic` where the guest must panic; what was changed before stays changed."""

    @wraps(body)
    def guarded(self: Model, /, *args: P.args, **kwargs: P.kwargs) -> ModelResult:
        try:
            return body(self, *args, **kwargs)
        except Panicked as panicked:
            return panicked.panic

    return cast(ModelOperation[P], guarded)


class Model:
    """Predicts the outcome of each operation with every slot, list, cache and counter after it.

    Frames are chosen as the shim chooses them, unless an allocation is told what a guest `chose`: then that
    is checked to be legal and followed. All operations take physical addresses.

    Args:
        vtables: by the address that is registered; `hook_calls` records what they are told.
        movable: the module knows MOVABLE frames; older ones do not.
    """

    def __init__(
        self,
        slots: SlotTable,
        buddy: BuddyModel,
        vtables: Mapping[int, Vtable] | None = None,
        *,
        movable: bool = True,
    ) -> None:
        self.movable = movable
        self.slots = slots
        self.buddy = buddy
        self.vtables = dict(vtables or {})
        self.hook_calls: list[HookCall] = []
        self.payload: dict[Pfn, int] = {}
        """The byte that fills a frame, by pfn; frames with unknown or mixed content are not in it."""

    def copied(self) -> Model:
        """An independent model in the same state; costs a shallow copy of dictionaries."""
        slots = self.slots.copied()
        copy = Model(slots, self.buddy.copied(slots), self.vtables, movable=self.movable)
        copy.hook_calls = list(self.hook_calls)
        copy.payload = dict(self.payload)
        return copy

    def slot(self, paddr: Paddr) -> ModelSlot:
        """The slot of the frame that holds an address; raises `Panicked` beyond the table."""
        return self.slots[paddr_to_pfn(paddr)]

    @property
    def poisoned_while_free(self) -> list[Pfn]:
        """Pfns that the buddy has to hand out although their guard says poisoned."""
        written = self.slots.written()
        return [pfn for pfn, slot in written.items() if slot.is_poisoned and slot.says_free]

    # ---- allocation --------------------------------------------------------------------------------------

    @operation
    def alloc(
        self, options: AllocOptions = KERNEL, *, chosen: Paddr | None = None, cpu: int = 0
    ) -> ModelResult:
        """Allocate one frame; a poisoned one that the buddy offers goes back, into quarantine (GUARD-08)."""
        if chosen is not None:
            taken = self.buddy.take_chosen(chosen, 0)
            if isinstance(taken, str):
                return Illegal(chosen, taken)
            return self._claim(taken.pfn, options)
        for _ in range(self.slots.n_frames):
            block = self.buddy.alloc(0, options.migratetype(self.movable), cpu)
            if block is None:
                break
            if self.slots[block.pfn].is_poisoned and self.slots[block.pfn].refcount == C.refcount_unused:
                self.mark_poisoned(block.paddr)  # handing it out has replaced the flags
                self._to_buddy(block.paddr, 0, cpu)
                continue
            return self._claim(block.pfn, options)
        return Fail(OUT_OF_MEMORY)

    def _claim(self, pfn: Pfn, options: AllocOptions) -> ModelResult:
        """ALLOC-02, ALLOC-04, ALLOC-09, ALLOC-10, ALLOC-15, GUARD-05, GEN-01."""
        if self.slots[pfn].refcount != C.refcount_unused:
            raise Panicked(PanicKind.CLAIM)
        generation = (self.slots[pfn].generation + 1) % U32
        self.slots.write(
            pfn,
            flags=options.purpose.flags(self.movable),
            order=0,
            refcount=1,
            generation=generation,
            guard=0,
            vtable=0,
        )
        if options.zeroes:
            self.payload[pfn] = 0
        return Done({"paddr": pfn_to_paddr(pfn)})

    def alloc_all(
        self, options: AllocOptions = KERNEL, *, cpu: int = 0, orderly: bool = False
    ) -> ModelResult:
        """Allocate until there is none; `n` counts the frames.

        It makes no difference which frame comes first, but for the order in which poisoned ones go back.

        Args:
            orderly: nobody broke the lists, for sure.
        """
        frames = self.buddy.free_frames(orderly=orderly)
        poisoned = [] if frames is None else self._poisoned_of(frames)
        if frames is not None and len(poisoned) <= 1:
            return self._claim_all(frames, poisoned, options, cpu)
        count = 0
        while True:
            outcome = self.alloc(options, cpu=cpu)
            if isinstance(outcome, Fail):
                return Done({"n": count})
            if not isinstance(outcome, Done):
                return outcome
            count += 1

    def _poisoned_of(self, frames: list[Pfn]) -> list[Pfn]:
        slots, poisoned = self.slots, C.guard_poisoned
        return [pfn for pfn in frames if slots[pfn].guard & poisoned]

    def _claim_all(
        self, frames: list[Pfn], poisoned: list[Pfn], options: AllocOptions, cpu: int
    ) -> ModelResult:
        """Hand out all that can be, claim it; what is poisoned goes back, into quarantine."""
        slots, flags = self.slots, options.purpose.flags(self.movable)
        self.buddy.hand_out_all()
        for pfn in poisoned:
            self.buddy.mark_handed_out(ModelBlock(pfn, 0))
            slots.write_links(pfn, NONE, NONE)
            self.mark_poisoned(pfn_to_paddr(pfn))
            self._to_buddy(pfn_to_paddr(pfn), 0, cpu)
        frames = [pfn for pfn in frames if pfn not in poisoned] if poisoned else frames
        for pfn in frames:
            old = slots[pfn]
            life = (old.generation + 1) % U32
            slots[pfn] = slot_of((NONE, NONE, 0, flags, 0, 1, life, 0, old.meta_aux))
        slots.touched.update(frames)
        if options.zeroes:
            self.payload.update(dict.fromkeys(frames, 0))
        return Done({"n": len(frames)})

    @operation
    def release(self, paddr: Paddr, order: int, *, cpu: int = 0) -> ModelResult:
        """Call the hooks of a block, then give it to the buddy (VT-05), poisoned or not."""
        self._call_hook("on_last_ref", paddr)
        for index in range(1 << order):
            self._call_hook("on_unmap", Paddr(paddr + index * PAGE_SIZE))
        self._to_buddy(paddr, order, cpu)
        return Done()

    def _call_hook(self, hook: str, paddr: Paddr) -> None:
        bits = self.slot(paddr).vtable
        if bits % 8:
            return  # VT-03: misaligned bits mean no hook
        if bits and bits not in self.vtables:
            raise ModelError(
                "vtable", f"{bits:#x}", expected="a registered address", next_step="name it in `vtables`"
            )
        if bits and getattr(self.vtables[bits], hook):
            self.hook_calls.append(HookCall(hook, paddr))

    def _to_buddy(self, paddr: Paddr, order: int, cpu: int) -> None:
        self.hook_calls.append(HookCall("buddy", paddr))
        self.buddy.free(paddr, order, cpu)

    # ---- the buddy without the module in between ---------------------------------------------------------

    @operation
    def buddy_alloc(
        self, order: int, migratetype: Migratetype, *, chosen: Paddr | None = None, cpu: int = 0
    ) -> ModelResult:
        """Take a block without a claim: its slots keep the sentinel (FRAME-05, FRAME-06)."""
        if order > MAX_ORDER:
            return Fail(INVALID_ORDER)
        if chosen is not None:
            taken = self.buddy.take_chosen(chosen, order)
            return Illegal(chosen, taken) if isinstance(taken, str) else Done({"paddr": chosen})
        block = self.buddy.alloc(order, migratetype, cpu)
        return Fail(OUT_OF_MEMORY) if block is None else Done({"paddr": block.paddr})

    @operation
    def buddy_free(self, paddr: Paddr, order: int, *, cpu: int = 0) -> ModelResult:
        """Give a block back without hooks."""
        self._to_buddy(paddr, order, cpu)
        return Done()

    @operation
    def drain(self) -> ModelResult:
        """Empty the caches of all CPUs."""
        return Done({"n": self.buddy.drain()})

    # ---- reference count ---------------------------------------------------------------------------------

    @operation
    def inc_ref(self, paddr: Paddr) -> ModelResult:
        """One reference more, never onto the sentinel nor off it (REF-01, REF-07)."""
        count = self.slot(paddr).refcount
        if count >= C.refcount_unused - 1:
            raise Panicked(PanicKind.REFERENCE)
        self._write(paddr, refcount=count + 1)
        return Done()

    @operation
    def dec_ref(self, paddr: Paddr) -> ModelResult:
        """One reference less; `v` is the count before (REF-01, REF-07)."""
        count = self.slot(paddr).refcount
        if count in (0, C.refcount_unused):
            raise Panicked(PanicKind.REFERENCE, {"v": count})
        self._write(paddr, refcount=count - 1)
        return Done({"v": count})

    @operation
    def cas_refcount(self, paddr: Paddr, expect: int, new: int) -> ModelResult:
        """Replace the count where it is `expect`; `v` is the count before, either way (REF-02)."""
        count = self.slot(paddr).refcount
        if count != expect:
            return Fail(CAS_FAILED, {"v": count})
        self._write(paddr, refcount=new)
        return Done({"v": count})

    @operation
    def set_refcount(self, paddr: Paddr, count: int) -> ModelResult:
        """Store any count, the free sentinel included (REF-03)."""
        return self._write(paddr, refcount=count)

    def reset_refcount(self, paddr: Paddr) -> ModelResult:
        """Store the count 0 (REF-03)."""
        return self.set_refcount(paddr, 0)

    # ---- the other fields --------------------------------------------------------------------------------

    @operation
    def set_flags(self, paddr: Paddr, flags: int) -> ModelResult:
        """Store any 32 bits; none of them is checked."""
        return self._write(paddr, flags=flags)

    @operation
    def set_order(self, paddr: Paddr, order: int) -> ModelResult:
        """Store any order, one beyond `MAX_ORDER` included."""
        return self._write(paddr, order=order)

    @operation
    def set_next(self, paddr: Paddr, link: int) -> ModelResult:
        """Store any 64 bits as the link to the next block (FREE-07)."""
        return self._write(paddr, next=link)

    @operation
    def set_prev(self, paddr: Paddr, link: int) -> ModelResult:
        """Store any 64 bits as the link to the block before (FREE-07)."""
        return self._write(paddr, prev=link)

    @operation
    def set_generation(self, paddr: Paddr, generation: int) -> ModelResult:
        """Store any 32 bits, backward steps included."""
        return self._write(paddr, generation=generation)

    @operation
    def set_meta_aux(self, paddr: Paddr, value: int) -> ModelResult:
        """Store any 32 bits (FRAME-08)."""
        return self._write(paddr, meta_aux=value)

    @operation
    def set_vtable_bits(self, paddr: Paddr, bits: int) -> ModelResult:
        """Store any 64 bits; they are judged when a hook is due (VT-03)."""
        return self._write(paddr, vtable=bits)

    @operation
    def set_guard(self, paddr: Paddr, bits: int) -> ModelResult:
        """Replace all bits of the guard, POISONED included (GUARD-01)."""
        return self._write(paddr, guard=bits)

    @operation
    def fetch_or_guard(self, paddr: Paddr, bits: int) -> ModelResult:
        """Set bits of the guard; `v` is the guard before (GUARD-01)."""
        before = self.slot(paddr).guard
        self._write(paddr, guard=before | bits)
        return Done({"v": before})

    @operation
    def mark_poisoned(self, paddr: Paddr) -> ModelResult:
        """Both marks, and every other bit stays (GUARD-02)."""
        slot = self.slot(paddr)
        return self._write(paddr, guard=slot.guard | C.guard_poisoned, flags=slot.flags | C.flag_poisoned)

    @operation
    def reset_with_free_list_meta(self, paddr: Paddr) -> ModelResult:
        """Clear the vtable and all of the guard but POISONED (GUARD-04)."""
        return self._write(paddr, vtable=0, guard=self.slot(paddr).guard & C.guard_poisoned)

    @operation
    def note_new_allocation_epoch(self, paddr: Paddr) -> ModelResult:
        """Clear vtable and guard, count the generation up modulo 2^32 (GUARD-05, GEN-01, GEN-03)."""
        return self._write(paddr, vtable=0, guard=0, generation=(self.slot(paddr).generation + 1) % U32)

    def _write(self, paddr: Paddr, **fields: int) -> ModelResult:
        self.slots.write(paddr_to_pfn(paddr), **fields)
        return Done()

    # ---- payload -----------------------------------------------------------------------------------------

    def fill_payload(self, paddr: Paddr, byte: int, frames: int = 1) -> ModelResult:
        """A test fills frames with one byte."""
        self.payload.update(dict.fromkeys(frames_from(paddr_to_pfn(paddr), frames), byte))
        return Done()
