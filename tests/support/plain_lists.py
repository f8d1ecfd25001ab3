"""Free lists and free blocks by following one link after another."""

from __future__ import annotations

from typing import Any, Protocol

from frame_harness.frame_metadata.constants import Constants
from frame_harness.frame_metadata.memory_state import MemoryState

Example = tuple[int | None, str, str, str]
Said = tuple[int, list[Example]]
NONE, NOWHERE = "LINK_NONE", "no frame"
Target = int | str
List = int
"""A list's number: by zone, then migratetype, then order."""


class Memory(Protocol):
    """What is asked of `plain_invariants.Plain`."""

    state: MemoryState
    c: Constants
    n: int
    slots: list[dict[str, Any]]
    ram: list[bool]
    cached: list[bool]
    listed: list[bool]
    movable: list[bool]
    zone: list[int]

    def linked(self, pfn: int) -> bool: ...
    def alignment(self, pfn: int) -> int: ...
    def starts_block(self, pfn: int) -> bool: ...


class PlainLists:
    """Lists, paths that no list leads into, and free blocks; all of them by pfn."""

    def __init__(self, m: Memory) -> None:
        self.m = m
        self.heads = [int(link) for zone in m.state.zones for link in zone.heads.ravel()]
        self.head_targets = [self.target(link) for link in self.heads]
        seen = {p for p in range(m.n) if m.ram[p] and m.linked(p)} | set(filter(m.starts_block, range(m.n)))
        seen |= {at for at in self.head_targets if isinstance(at, int)}
        seen |= {at for p in seen for name in ("next", "prev") if isinstance(at := self.leads(p, name), int)}
        self.nodes = sorted(seen)
        self._follow()
        self.blocks = self._blocks()

    def target(self, link: int) -> Target:
        if link == self.m.c.link_none:
            return NONE
        return link >> 12 if link % 4096 == 0 and link >> 12 < self.m.n else NOWHERE

    def leads(self, pfn: int, name: str) -> Target:
        return self.target(self.m.slots[pfn][name])

    def answered(self, source: int | List, target: int, *, head: bool) -> bool:
        return self.leads(target, "prev") == (NONE if head else source)

    # ---- who reaches what -------------------------------------------------------------------------------

    def _edges(self) -> dict[tuple[bool, int], int]:
        """Source (whether it is a list, its pfn or number) to the node that it leads to, in order."""
        nodes = set(self.nodes)
        edges = {}
        for pfn in self.nodes:
            if (at := self.leads(pfn, "next")) in nodes:
                edges[False, pfn] = int(at)
        for number, at in enumerate(self.head_targets):
            if isinstance(at, int):
                edges[True, number] = at
        return edges

    def _follow(self) -> None:
        edges = self._edges()
        into: dict[int, list[tuple[bool, int]]] = {}
        for source, at in edges.items():
            into.setdefault(at, []).append(source)
        self.cut = []
        for at, sources in into.items():
            strong = [(head, who) for head, who in sources if self.answered(who, at, head=head)]
            keeper = (strong or sources)[-1]
            self.cut += [source for source in sources if source != keeper]
        self.cut.sort()
        self.cut_targets = [edges.pop(source) for source in self.cut]

        roots = [(True, number) for number in range(len(self.heads))]
        led_to = set(edges.values())
        roots += [(False, pfn) for pfn in self.nodes if pfn not in led_to]
        self.root: dict[tuple[bool, int], tuple[bool, int]] = {}
        for root in roots:
            here: tuple[bool, int] | None = root
            while here is not None:
                self.root[here] = root
                here = (False, edges[here]) if here in edges else None

    def list_of(self, pfn: int) -> List:
        head, number = self.root.get((False, pfn), (False, -1))
        return number if head else -1

    def _blocks(self) -> list[int]:
        """Free blocks: held by a list through links that agree, or inside no other block."""
        held = set()
        for pfn in self.nodes:
            if isinstance(at := self.leads(pfn, "next"), int) and self.answered(pfn, at, head=False):
                held.add(at)
        for number, at in enumerate(self.head_targets):
            if isinstance(at, int) and self.answered(number, at, head=True):
                held.add(at)
        blocks, end_before = [], 0
        for pfn in self.nodes:
            if self.m.listed[pfn]:
                is_held = pfn in held and self.list_of(pfn) >= 0
                if is_held or (self.m.starts_block(pfn) and pfn >= end_before):
                    blocks.append(pfn)
                end_before = max(end_before, self.end(pfn))
        return blocks

    def order(self, pfn: int) -> int:
        return int(self.m.slots[pfn]["order"])

    def end(self, pfn: int) -> int:
        return pfn + (1 << min(self.order(pfn), self.m.c.max_order))

    # ---- what the invariants say ------------------------------------------------------------------------

    def claims(self) -> dict[str, Said]:
        return {
            "W-LINK-IN-TABLE": self._in_table(),
            "W-LINK-SYMMETRIC": self._symmetric(),
            "W-LINK-HEADS-ONLY": self._heads_only(),
            "W-LIST-HEAD": self._head_pointers(),
            "W-LIST-HEAD-NO-PREV": self._head_no_prev(),
            "W-LIST-ACYCLIC": self._acyclic(),
            "W-LIST-REACHES-ONCE": self._reaches_once(),
            "W-LIST-HOME": self._home(),
            "W-LIST-ONLY-FREE": self._only_free(),
            "W-BLOCK-ALIGNED": self._aligned(),
            "W-BLOCK-ONE-ZONE": self._one_zone(),
            "W-BLOCK-AGREES": self._agrees(),
            "W-BLOCK-DISJOINT": self._disjoint(),
            "W-BLOCK-COALESCED": self._coalesced(),
        }

    def _in_table(self) -> Said:
        expected = "a frame's address in the table or LINK_NONE"
        places = [(name, p) for name in ("next", "prev") for p in self.nodes if self.leads(p, name) != NONE]
        bad: list[Example] = [
            (p, name, expected, f"{self.m.slots[p][name]:#x}")
            for name, p in places
            if self.leads(p, name) == NOWHERE
        ]
        return len(places), bad

    def _symmetric(self) -> Said:
        evaluated, bad = 0, list[Example]()
        for name, other in (("next", "prev"), ("prev", "next")):
            for pfn in self.nodes:
                if not isinstance(at := self.leads(pfn, name), int):
                    continue
                evaluated += 1
                if (back := self.leads(at, other)) != pfn:
                    words = back if isinstance(back, str) else f"pfn {back:#x}"
                    got = f"pfn {at:#x} whose {other} leads to {words}"
                    bad.append((pfn, name, f"a slot whose {other} leads back", got))
        return evaluated, bad

    def _heads_only(self) -> Said:
        bad: list[Example] = []
        for pfn in self.nodes:
            if self.m.linked(pfn) and pfn not in self.blocks:
                name = "next" if self.m.slots[pfn]["next"] != self.m.c.link_none else "prev"
                expected = "LINK_NONE, as it starts no free block"
                bad.append((pfn, name, expected, f"{self.m.slots[pfn][name]:#x}"))
        return self.m.n - len(self.blocks), bad

    def _head_pointers(self) -> Said:
        expected = "a frame's address in the table or LINK_NONE"
        bad: list[Example] = [
            (None, f"head of {self.name(number)}", expected, f"{self.heads[number]:#x}")
            for number, at in enumerate(self.head_targets)
            if at == NOWHERE
        ]
        return len(self.heads), bad

    def _head_no_prev(self) -> Said:
        heads = sorted({at for at in self.head_targets if isinstance(at, int)})
        bad: list[Example] = [
            (pfn, "prev", "LINK_NONE, as a list starts here", f"{self.m.slots[pfn]['prev']:#x}")
            for pfn in heads
            if self.leads(pfn, "prev") != NONE
        ]
        return len(heads), bad

    def _acyclic(self) -> Said:
        ring = {pfn for pfn in self.nodes if (False, pfn) not in self.root}
        for source, at in zip(self.cut, self.cut_targets, strict=True):
            if self.root.get(source) == self.root.get((False, at)):
                ring.add(at)
        bad: list[Example] = [
            (pfn, "next", "a list that ends", "one that comes back to this frame") for pfn in sorted(ring)
        ]
        return len(self.nodes), bad

    def _reaches_once(self) -> Said:
        bad: list[Example] = [
            (pfn, "next", f"free block of order {self.order(pfn)} on one list", "on none")
            for pfn in self.blocks
            if self.list_of(pfn) < 0
        ]
        again = sorted(set(self.cut_targets))
        bad += [(pfn, "next", "a frame that one link leads to", "two") for pfn in again]
        return len(self.blocks), bad

    def _home(self) -> Said:
        evaluated, bad = 0, list[Example]()
        for pfn in self.blocks:
            if (found := self.list_of(pfn)) < 0:
                continue
            evaluated += 1
            n_orders = self.m.c.max_order + 1
            home = (self.m.zone[pfn] * 2 + self.m.movable[pfn]) * n_orders + self.order(pfn)
            if self.m.zone[pfn] < 0 or self.order(pfn) >= n_orders:
                home = -1
            if home != found:
                bad.append((pfn, "list", self.name(home), self.name(found)))
        return evaluated, bad

    def _only_free(self) -> Said:
        reached = [pfn for pfn in self.nodes if self.list_of(pfn) >= 0]
        bad: list[Example] = [
            (
                pfn,
                "flags",
                "FREE and in no cache, as a list holds it",
                f"{self.m.slots[pfn]['flags']:#x}{' in a cache' if self.m.cached[pfn] else ''}",
            )
            for pfn in reached
            if not self.m.listed[pfn]
        ]
        return len(reached), bad

    def name(self, number: List) -> str:
        if number < 0:
            return "no list"
        n_orders = self.m.c.max_order + 1
        zone = self.m.state.zones[number // (2 * n_orders)].name
        return f"{zone} {('unmovable', 'movable')[number // n_orders % 2]} order {number % n_orders}"

    # ---- blocks -----------------------------------------------------------------------------------------

    def _aligned(self) -> Said:
        bad: list[Example] = [
            (pfn, "order", f"at most {self.m.alignment(pfn)}, by its start", str(self.order(pfn)))
            for pfn in self.blocks
            if self.order(pfn) > self.m.alignment(pfn)
        ]
        return len(self.blocks), bad

    def _one_zone(self) -> Said:
        bad: list[Example] = []
        for pfn in self.blocks:
            end, zone = self.end(pfn), self.m.zone[pfn]
            if zone < 0 or end > self.m.n or self.m.zone[end - 1] != zone:
                bad.append(
                    (pfn, "order", "a block inside one zone", f"order {self.order(pfn)} across its edge")
                )
        return len(self.blocks), bad

    def _agrees(self) -> Said:
        m = self.m
        inside = [p for p in range(m.n) if m.listed[p] and m.ram[p] and not m.starts_block(p)]
        bad: list[Example] = []
        for pfn in inside:
            before = max(pfn - 1, 0)
            if pfn == 0 or not m.listed[before] or self.order(before) != self.order(pfn):
                flags = m.slots[before]["flags"]
                got = f"order {self.order(pfn)} after flags {flags:#x} order {self.order(before)}"
                bad.append((pfn, "order", "FREE and order of the slot before, inside one block", got))
        for pfn in self.blocks:
            end, order = self.end(pfn), self.order(pfn)
            if end > m.n or not m.listed[end - 1] or self.order(end - 1) != order:
                got = "another slot at the block's end"
                bad.append((pfn, "order", f"2^{order} FREE slots of order {order}", got))
        return len(inside) + len(self.blocks), bad

    def _disjoint(self) -> Said:
        bad: list[Example] = []
        end_before = 0
        for pfn in self.blocks:
            if pfn < end_before:
                got = f"order {self.order(pfn)} inside another block"
                bad.append((pfn, "order", "a block outside all others", got))
            end_before = max(end_before, self.end(pfn))
        return len(self.blocks), bad

    def _coalesced(self) -> Said:
        bad: list[Example] = []
        for low, high in zip(self.blocks, self.blocks[1:], strict=False):
            order = self.order(low)
            buddies = self.end(low) == high and order == self.order(high) and order < self.m.alignment(low)
            if buddies and self.m.zone[low] == self.m.zone[high]:
                got = f"free buddies {low:#x} and {high:#x} of order {order}"
                bad.append((low, "order", f"one free block of order {order + 1}", got))
        return sum(self.order(pfn) < self.m.c.max_order for pfn in self.blocks), bad
