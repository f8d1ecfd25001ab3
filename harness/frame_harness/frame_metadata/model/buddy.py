"""The buddy with its CPU caches, its quarantine."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model.outcome import Panicked, PanicKind
from frame_harness.frame_metadata.model.slots import SlotTable
from frame_harness.frame_metadata.model.zones import MAX_ORDER, NONE, ModelBlock, ZoneModel, block_at

N_CPUS = 8
CACHE_CAPACITY = 64
BATCH = 16

# Index of the zone to try first, second and third: memory that old devices need goes last.
PREFERRED_ZONES = {Migratetype.UNMOVABLE: (1, 2, 0), Migratetype.MOVABLE: (2, 1, 0)}


@dataclass
class Faults:
    """What a test makes the buddy do wrong."""

    next_pfn: Pfn | None = None
    refusals: int = 0
    missing_stamps: int = 0


class BuddyModel:
    """Free blocks by zone, migratetype and order.

    Promises no more than the shim's: poison is looked at when a block comes back, a single frame goes into
    a cache as often as it is freed.

    Args:
        zones: ascending; frames beyond the first two are the third's.
        given: ranges of frames that the buddy may own.
    """

    def __init__(self, slots: SlotTable, zones: list[ZoneModel], given: list[range]) -> None:
        self.slots = slots
        self.zones = zones
        self.given = given
        self.caches: dict[tuple[int, Migratetype], list[Pfn]] = {
            (cpu, migratetype): [] for cpu in range(N_CPUS) for migratetype in Migratetype
        }
        self.quarantined: set[Pfn] = set()
        self.faults = Faults()

    def copied(self, slots: SlotTable) -> BuddyModel:
        """The same buddy over a copy of its slots."""
        zones = [replace(zone, slots=slots, heads=dict(zone.heads)) for zone in self.zones]
        twin = BuddyModel(slots, zones, self.given)
        twin.caches = {key: list(frames) for key, frames in self.caches.items()}
        twin.quarantined = set(self.quarantined)
        twin.faults = copy.copy(self.faults)
        return twin

    def zone_of(self, pfn: Pfn) -> ZoneModel:
        """The first zone that ends above a frame; the last zone for any frame beyond."""
        for zone in self.zones[:-1]:
            if pfn < zone.end_pfn:
                return zone
        return self.zones[-1]

    def block(self, paddr: Paddr, order: int) -> ModelBlock | None:
        """The block, if it is one that the buddy can have handed out."""
        block = block_at(paddr, order)
        if block is None:
            return None
        inside = any(part.start <= block.pfn and block.frames.stop <= part.stop for part in self.given)
        return block if inside else None

    def populate(self) -> None:
        """The first filling: the largest blocks there are, from the top down."""
        for part in reversed(self.given):
            end = part.stop
            while end > part.start:
                order = min((end & -end).bit_length() - 1, (end - part.start).bit_length() - 1, MAX_ORDER)
                block = ModelBlock(Pfn(end - (1 << order)), order)
                zone = self.zone_of(block.pfn)
                zone.stamp_free(block)
                zone.push(block)
                end = block.pfn

    # ---- handing out -------------------------------------------------------------------------------------

    def alloc(self, order: int, migratetype: Migratetype, cpu: int) -> ModelBlock | None:
        """A block, marked as handed out but not claimed (its sentinel stays); None when memory is out."""
        if self.faults.refusals:
            self.faults.refusals -= 1
            return None
        if order == 0 and self.faults.next_pfn is not None:
            pfn, self.faults.next_pfn = self.faults.next_pfn, None
            return self._offer(pfn)
        block = self._serve(order, migratetype, cpu)
        # What the caches hold may be the missing half of a block, or all that is left.
        if block is None and self.drain():
            block = self._serve(order, migratetype, cpu)
        return block

    def _offer(self, pfn: Pfn) -> ModelBlock:
        """A frame that a test asked for, whatever its state, its slot untouched."""
        zone = self.zone_of(pfn)
        if zone.take_frame(pfn) is not None or self._take_from_any_cache(pfn):
            zone.allocated += 1
        return ModelBlock(pfn, 0)

    def _serve(self, order: int, migratetype: Migratetype, cpu: int) -> ModelBlock | None:
        block = self._take_block(order, migratetype) if order else self._take_cached(migratetype, cpu)
        if block is not None:
            self._hand_out(block)
        return block

    def _hand_out(self, block: ModelBlock) -> None:
        self.mark_handed_out(block)
        self.zone_of(block.pfn).allocated += len(block.frames)

    def mark_handed_out(self, block: ModelBlock) -> None:
        """Let slots say what they do from where a block is handed out until it is claimed."""
        movable = self.zone_of(block.pfn).home(block.pfn) is Migratetype.MOVABLE
        flags = C.flag_allocated | (C.flag_movable if movable else 0)
        self.slots.write_flags_and_order(block.pfns, flags, block.order)

    def take_chosen(self, paddr: Paddr, order: int) -> ModelBlock | str:
        """The block that a guest with a policy of its own chose, or why it may not hand that out."""
        block = self.block(paddr, order)
        if block is None:
            return f"no block of order {order} of the buddy's starts there"
        if any(self.slots[pfn].is_poisoned for pfn in block.pfns) and order == 0:
            return "the frame is poisoned"
        taken = self.zone_of(block.pfn).take_inside(block)
        if not taken and not (order == 0 and self._take_from_any_cache(block.pfn)):
            return f"no free block of order {order} or more covers it"
        self._hand_out(block)
        return block

    def _take_block(self, order: int, migratetype: Migratetype) -> ModelBlock | None:
        for index in PREFERRED_ZONES[migratetype]:
            block = self.zones[index].take(order, migratetype)
            if block is not None:
                return block
        return None

    # ---- CPU caches --------------------------------------------------------------------------------------

    def _take_cached(self, migratetype: Migratetype, cpu: int) -> ModelBlock | None:
        """The frame that went into the cache last; an empty cache is filled by a batch first."""
        cache = self.caches[cpu, migratetype]
        if not cache:
            for _ in range(BATCH):
                block = self._take_block(0, migratetype)
                if block is None:
                    break
                cache.append(block.pfn)
                self.zone_of(block.pfn).cached += 1
            cache.reverse()
        if not cache:
            return None
        pfn = cache.pop()
        self.zone_of(pfn).cached -= 1
        return ModelBlock(pfn, 0)

    def _make_room(self, key: tuple[int, Migratetype]) -> None:
        """A full cache gives its oldest frames back to the lists."""
        if len(self.caches[key]) == CACHE_CAPACITY:
            for _ in range(BATCH):
                self._flush_oldest(key)

    def _flush_oldest(self, key: tuple[int, Migratetype]) -> None:
        pfn = self.caches[key].pop(0)
        zone = self.zone_of(pfn)
        zone.cached -= 1
        if not self.slots[pfn].says_free:
            raise Panicked(PanicKind.FREED_TWICE)
        zone.insert(ModelBlock(pfn, 0))

    def _take_from_any_cache(self, pfn: Pfn) -> bool:
        for frames in self.caches.values():
            if pfn in frames:
                frames.remove(pfn)
                self.zone_of(pfn).cached -= 1
                return True
        return False

    def drain(self) -> int:
        """Put everything in the caches back on the lists; returns how many frames."""
        drained = 0
        for key, frames in self.caches.items():
            while frames:
                self._flush_oldest(key)
                drained += 1
        return drained

    def free_frames(self, *, orderly: bool = True) -> list[Pfn] | None:
        """Every frame that can be handed out; None where each has to be asked for, to see what becomes of it.

        So it is where a test makes the buddy do wrong, or a frame is not as a free one.

        Args:
            orderly: nobody broke the lists; otherwise a frame that says free by mistake is looked for, too.
        """
        cached = [pfn for frames in self.caches.values() for pfn in frames]
        frames = list(cached)
        for zone in self.zones:
            listed = zone.listed_frames()
            if listed is None:
                return None
            frames += listed
        known = self.faults == Faults() and len(set(frames)) == len(frames)
        known = known and all(
            self.slots[pfn][:2] == (NONE, NONE) and not self.slots[pfn].order for pfn in cached
        )
        if not orderly:
            free = C.flag_free
            known = known and sum(slot.flags & free != 0 for slot in self.slots.values()) == len(frames)
        free, unused = C.flag_free, C.refcount_unused
        found = map(self.slots.__getitem__, frames)
        return (
            frames if known and all(slot.refcount == unused and slot.flags & free for slot in found) else None
        )

    def hand_out_all(self) -> None:
        """Empty lists and caches, which `free_frames` found in order."""
        for zone in self.zones:
            zone.allocated += zone.free + zone.cached
            zone.forget_lists()
            zone.cached = 0
        for cached in self.caches.values():
            cached.clear()

    # ---- taking back -------------------------------------------------------------------------------------

    def free(self, paddr: Paddr, order: int, cpu: int) -> None:
        """Take a block back: into quarantine when a frame of it is poisoned (GUARD-07)."""
        block = self.block(paddr, order)
        if block is None:
            raise Panicked(PanicKind.NOT_A_BLOCK)
        zone = self.zone_of(block.pfn)
        cache = (cpu, zone.home(block.pfn))
        poisoned = any(self.slots[pfn].is_poisoned for pfn in block.pfns)
        if order == 0 and not poisoned:
            self._make_room(cache)
        if zone.block_covering(block.pfn) is not None:
            raise Panicked(PanicKind.FREED_TWICE)
        if order and any(self.slots[pfn].says_free for pfn in block.pfns):
            raise Panicked(PanicKind.FREED_TWICE)
        if poisoned:
            self._quarantine(block, zone)
            return
        if order:
            zone.coalesced(block)
        sentinel = self.faults.missing_stamps == 0
        self.faults.missing_stamps -= not sentinel
        zone.stamp_free(block, sentinel=sentinel)
        zone.note_returned(len(block.frames))
        if order:
            zone.insert(block)
        else:
            self.caches[cache].append(block.pfn)
            zone.cached += 1

    def _quarantine(self, block: ModelBlock, zone: ZoneModel) -> None:
        """Take a block out of circulation; all other fields stay, as evidence of the corruption."""
        for pfn in block.pfns:
            self.slots.write(pfn, flags=self.slots[pfn].flags & ~C.flag_free, refcount=0)
        zone.note_returned(len(block.frames))
        zone.quarantined += len(block.frames)
        self.quarantined.update(block.pfns)

    # ---- as a user sees it -------------------------------------------------------------------------------

    def cached_frames(self) -> list[tuple[Pfn, int, int]]:
        """(pfn, migratetype, cpu) of every cache entry."""
        return [(pfn, int(kind), cpu) for (cpu, kind), frames in self.caches.items() for pfn in frames]

    def listed(self) -> dict[tuple[str, int, int], list[Pfn]]:
        """Pfns of the blocks on each list that is not empty, from its head on."""
        lists = {}
        for zone in self.zones:
            for (kind, order), head in sorted(zone.heads.items()):
                pfns = []
                link = head
                while link != C.link_none:
                    pfns.append(paddr_to_pfn(Paddr(link)))
                    link = self.slots[pfns[-1]].next
                if pfns:
                    lists[zone.name, int(kind), order] = pfns
        return lists
