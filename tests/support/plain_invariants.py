"""Each invariant as a plain definition, one slot after another, to judge the fast ones by.

Nothing is shared with what it judges but constants and the names of fields. A `Claim` is what an invariant
says: how much it looked at, and every counterexample as (pfn, field, expected, got).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from frame_harness.frame_metadata.memory_state import SLOT_FIELDS, MemoryState, Zone
from tests.support.plain_lists import PlainLists

Example = tuple[int | None, str, str, str]
NEW = dict.fromkeys(("vtable", "flags", "order", "refcount", "generation", "guard", "meta_aux"), 0)


@dataclass
class Claim:
    evaluated: int = 0
    bad: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class PlainPast:
    generation: list[int]
    poisoned: list[bool]


class Plain:
    """A state as lists of Python numbers."""

    def __init__(self, state: MemoryState) -> None:
        self.state, self.c, self.n = state, state.constants, state.n_frames
        columns = {name: state.slots[name].tolist() for name in SLOT_FIELDS}
        self.slots = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        self.ram = self._inside(state.ram.tolist())
        self.off_limits = self._inside(state.off_limits.tolist())
        self.cache = state.cached["pfn"].tolist()
        cached = set(self.cache)
        self.cached = [pfn in cached for pfn in range(self.n)]
        self.free = [bool(slot["flags"] & self.c.flag_free) for slot in self.slots]
        self.allocated = [bool(slot["flags"] & self.c.flag_allocated) for slot in self.slots]
        self.poisoned = [bool(slot["guard"] & self.c.guard_poisoned) for slot in self.slots]
        self.listed = [self.free[pfn] and not self.cached[pfn] for pfn in range(self.n)]
        self.reserved = list(self._reserved_bytes())
        self.movable = [self._is_movable(pfn) for pfn in range(self.n)]
        self.zone = [self._zone_of(pfn) for pfn in range(self.n)]

    def _inside(self, ranges: Iterable[tuple[int, int]]) -> list[bool]:
        inside = [False] * self.n
        for first, end in ranges:
            for pfn in range(max(first, 0), min(end, self.n)):
                inside[pfn] = True
        return inside

    def _reserved_bytes(self) -> Iterator[tuple[int, int] | None]:
        """The first reserved byte of each slot that is not zero, with its place."""
        dtype = self.state.slots.dtype
        used: set[int] = set()
        for name, (kind, offset, *_) in (dtype.fields or {}).items():
            if name in SLOT_FIELDS:
                used |= set(range(offset, offset + kind.itemsize))
        reserved = [at for at in range(dtype.itemsize) if at not in used]
        for pfn in range(self.n):
            row = self.state.slots[pfn].tobytes()
            yield next(((at, row[at]) for at in reserved if row[at]), None)

    def _is_movable(self, pfn: int) -> bool:
        dma = [zone for zone in self.state.zones if zone.name.lower() == "dma"]
        return pfn // 2048 % 2 == 1 and not any(pfn in self.rows(zone) for zone in dma)

    def _zone_of(self, pfn: int) -> int:
        return max((at for at, zone in enumerate(self.state.zones) if pfn in self.rows(zone)), default=-1)

    def rows(self, zone: Zone) -> range:
        return range(min(max(zone.first_pfn, 0), self.n), min(max(zone.end_pfn, 0), self.n))

    def usable(self, pfn: int) -> bool:
        return self.ram[pfn] and not self.off_limits[pfn]

    def linked(self, pfn: int) -> bool:
        return any(self.slots[pfn][name] != self.c.link_none for name in ("next", "prev"))

    def alignment(self, pfn: int) -> int:
        return next(k for k in range(self.c.max_order, -1, -1) if pfn % (1 << k) == 0)

    def starts_block(self, pfn: int) -> bool:
        return self.listed[pfn] and self.ram[pfn] and self.slots[pfn]["order"] <= self.alignment(pfn)

    def held(self, pfn: int) -> bool:
        purpose = self.c.flag_kernel | self.c.flag_user
        mine = self.ram[pfn] and self.allocated[pfn] and not self.free[pfn]
        return mine and bool(self.slots[pfn]["flags"] & purpose)

    @cached_property
    def lists(self) -> PlainLists:
        return PlainLists(self)


Rule = Callable[[int], tuple[str, str, str] | None]


def each(pfns: Iterable[int], rule: Rule) -> Claim:
    """A claim about frames, from what a rule says of each: None, or field, expected, got."""
    claim = Claim()
    for pfn in pfns:
        claim.evaluated += 1
        if wrong := rule(pfn):
            claim.bad.append((pfn, *wrong))
    return claim


def plain_past(m: Plain) -> PlainPast:
    """What a later state is compared with."""
    if (known := m.state.quarantined) is None:
        counts = (0, m.c.refcount_unused)
        nobodys = [slot["refcount"] in counts for slot in m.slots]
    else:
        away = set(known.tolist())
        nobodys = [m.free[pfn] or pfn in away for pfn in range(m.n)]
    poisoned = [m.poisoned[pfn] and nobodys[pfn] for pfn in range(m.n)]
    return PlainPast([slot["generation"] for slot in m.slots], poisoned)


def plain_claims(m: Plain, past: PlainPast | None) -> dict[str, Claim]:
    """What each invariant has to say, by its id."""
    frames = range(m.n)
    ram = [pfn for pfn in frames if m.ram[pfn]]
    usable = [pfn for pfn in frames if m.usable(pfn)]
    claims = {
        "W-ORDER-RANGE": each(ram, lambda p: _order_in_range(m, p)),
        "W-RESERVED-ZERO": each(ram, lambda p: _reserved(m, p)),
        "W-HOLE-UNTOUCHED": each(
            [p for p in frames if not m.ram[p]], lambda p: _new(m, p) or _reserved(m, p)
        ),
        "W-OFF-LIMITS-UNTOUCHED": each([p for p in ram if m.off_limits[p]], lambda p: _new(m, p)),
        "W-ONE-OWNER": each(usable, lambda p: _one_owner(m, p)),
        "W-OFF-LIMITS": each([p for p in frames if not m.usable(p)], lambda p: _off_limits(m, p)),
        "W-HELD-COUNT": each(filter(m.held, frames), lambda p: _counted(m, p)),
        "W-HELD-ORDER": each(filter(m.held, frames), lambda p: _single(m, p)),
        "W-CACHE-ENTRY": _cache(m),
        "W-QUARANTINE": _quarantine(m),
        "W-PAYLOAD-CANARY": _canary(m),
        "W-GENERATION-FORWARD": _generation(m, past),
        "W-POISON-STAYS": _poison_stays(m, past),
        "W-ACCOUNT-SUM": _sums(m),
        "W-ACCOUNT-RECOUNT": _recount(m),
        "W-ZONE-TILES": _tiles(m, ram),
    }
    free = [pfn for pfn in ram if m.free[pfn]]
    excused = set(m.state.poisoned_while_free.tolist())
    for name, rule in (
        ("REFCOUNT", _free_refcount), ("VTABLE", _free_vtable), ("GUARD", _free_guard), ("FLAGS", _free_flags)
    ):  # fmt: skip
        claims[f"W-FREE-{name}"] = each(free, lambda p, rule=rule: rule(m, p, p in excused))  # type: ignore[misc]
    for name, (evaluated, bad) in m.lists.claims().items():
        claims[name] = Claim(evaluated, bad)
    return claims


# ---- any slot ---------------------------------------------------------------------------------------------


def _order_in_range(m: Plain, p: int) -> tuple[str, str, str] | None:
    order = m.slots[p]["order"]
    return ("order", f"at most {m.c.max_order}", str(order)) if order > m.c.max_order else None


def _reserved(m: Plain, p: int) -> tuple[str, str, str] | None:
    found = m.reserved[p]
    return (f"reserved byte {found[0]}", "0x0", f"{found[1]:#x}") if found else None


def _new(m: Plain, p: int) -> tuple[str, str, str] | None:
    for name, value in {"next": m.c.link_none, "prev": m.c.link_none, **NEW}.items():
        if (found := m.slots[p][name]) != value:
            return name, f"{value:#x}", f"{found:#x}"
    return None


# ---- free frames ------------------------------------------------------------------------------------------


def _free_refcount(m: Plain, p: int, _excused: bool) -> tuple[str, str, str] | None:
    count, unused = m.slots[p]["refcount"], m.c.refcount_unused
    return ("refcount", f"{unused:#x}", f"{count:#x}") if count != unused else None


def _free_vtable(m: Plain, p: int, _excused: bool) -> tuple[str, str, str] | None:
    vtable = m.slots[p]["vtable"]
    return ("vtable", "0x0", f"{vtable:#x}") if vtable else None


def _free_guard(m: Plain, p: int, excused: bool) -> tuple[str, str, str] | None:
    guard = m.slots[p]["guard"]
    if guard == 0 or (excused and guard == m.c.guard_poisoned):
        return None
    return "guard", "0x0", f"{guard:#x}"


def _free_flags(m: Plain, p: int, excused: bool) -> tuple[str, str, str] | None:
    flags = m.slots[p]["flags"]
    right = m.c.flag_free | (m.c.flag_movable if m.movable[p] else 0)
    wrong = (flags & ~m.c.flag_allocated) ^ (right & ~m.c.flag_allocated)
    if wrong == 0 or (excused and wrong == m.c.flag_poisoned):
        return None
    return "flags", "FREE, with MOVABLE exactly in a movable 8 MiB block", f"{flags:#x}"


# ---- owners -----------------------------------------------------------------------------------------------


def _one_owner(m: Plain, p: int) -> tuple[str, str, str] | None:
    if m.free[p] != m.allocated[p] or (not m.free[p] and m.poisoned[p]):
        return None
    return "flags", "either FREE or ALLOCATED, or neither if poisoned", f"{m.slots[p]['flags']:#x}"


def _off_limits(m: Plain, p: int) -> tuple[str, str, str] | None:
    if not (m.free[p] or m.allocated[p] or m.cached[p]):
        return None
    return "flags", "neither FREE nor ALLOCATED, in no cache", f"{m.slots[p]['flags']:#x}"


def _counted(m: Plain, p: int) -> tuple[str, str, str] | None:
    count = m.slots[p]["refcount"]
    return ("refcount", "a count of holders", f"{count:#x}") if count == m.c.refcount_unused else None


def _single(m: Plain, p: int) -> tuple[str, str, str] | None:
    order = m.slots[p]["order"]
    return ("order", "0", str(order)) if order else None


def _cache(m: Plain) -> Claim:
    claim = Claim()
    for pfn in m.cache:
        if pfn >= m.n:
            claim.evaluated += 1
            claim.bad.append((pfn, "cache entry", f"a frame below {m.n:#x}", f"{pfn:#x}"))
    for pfn in sorted({pfn for pfn in m.cache if pfn < m.n}):
        claim.evaluated += 1
        times, slot = m.cache.count(pfn), m.slots[pfn]
        if times != 1 or not m.free[pfn] or slot["order"] or m.linked(pfn):
            links = "links" if m.linked(pfn) else "no links"
            got = f"{times} times, flags {slot['flags']:#x} order {slot['order']} {links}"
            claim.bad.append((pfn, "cache entry", "once, FREE, order 0, no links", got))
    return claim


def _quarantine(m: Plain) -> Claim:
    def rule(p: int) -> tuple[str, str, str] | None:
        slot = m.slots[p]
        if not (m.free[p] or m.cached[p] or slot["refcount"] or m.linked(p)):
            return None
        expected = "out of circulation: not FREE, in no cache, refcount 0, no links"
        return "flags", expected, f"flags {slot['flags']:#x} refcount {slot['refcount']:#x}"

    known: Any = m.state.quarantined
    return (
        each(sorted({pfn for pfn in known.tolist() if 0 <= pfn < m.n}), rule)
        if known is not None
        else Claim()
    )


# ---- against an earlier state, or what was planted --------------------------------------------------------


def _generation(m: Plain, past: PlainPast | None) -> Claim:
    def rule(p: int) -> tuple[str, str, str] | None:
        before, now = past.generation[p], m.slots[p]["generation"]  # type: ignore[union-attr]
        return (
            ("generation", f"from {before:#x} on", f"{now:#x}") if (now - before) % 2**32 >= 2**31 else None
        )

    return each(range(min(m.n, len(past.generation))), rule) if past else Claim()


def _poison_stays(m: Plain, past: PlainPast | None) -> Claim:
    if past is None:
        return Claim()

    def rule(p: int) -> tuple[str, str, str] | None:
        before, slot = past.generation[p], m.slots[p]
        if m.poisoned[p] and slot["generation"] == before:
            return None
        expected = f"POISONED, generation {before:#x}, as before"
        return "guard", expected, f"{slot['guard']:#x}, generation {slot['generation']:#x}"

    return each((p for p in range(min(m.n, len(past.poisoned))) if past.poisoned[p]), rule)


def _canary(m: Plain) -> Claim:
    claim, canary = Claim(), m.state.canary
    if canary is None:
        return claim
    for row in zip(canary.pfns.tolist(), canary.expected.tolist(), canary.found.tolist(), strict=True):
        pfn, expected, found = row
        if 0 <= pfn < m.n and m.free[pfn]:
            claim.evaluated += 1
            if found != expected:
                claim.bad.append((pfn, "payload", f"digest {expected:#x} of its fill", f"{found:#x}"))
    return claim


# ---- zones ------------------------------------------------------------------------------------------------


def _sums(m: Plain) -> Claim:
    claim = Claim(len(m.state.zones))
    for zone in m.state.zones:
        parts = zone.free + zone.cached + zone.allocated + zone.quarantined + zone.reserved
        if parts != zone.managed:
            words = f"zone {zone.name} free + cached + allocated + quarantined + reserved"
            claim.bad.append((None, words, f"managed {zone.managed}", str(parts)))
    return claim


def _recount(m: Plain) -> Claim:
    claim = Claim()
    for zone in m.state.zones:
        rows = m.rows(zone)
        counts = {
            "managed": (sum(m.ram[p] for p in rows), zone.managed),
            "free": (sum(m.listed[p] and m.ram[p] for p in rows), zone.free),
            "cached": (sum(p in rows for p in m.cache), zone.cached),
            "reserved": (sum(m.ram[p] and m.off_limits[p] for p in rows), zone.reserved),
            "allocated + quarantined": (
                sum(m.usable(p) and not m.free[p] for p in rows), zone.allocated + zone.quarantined
            ),
        }  # fmt: skip
        if m.state.quarantined is not None:
            away = set(m.state.quarantined.tolist())
            counts["quarantined"] = (sum(p in rows for p in away), zone.quarantined)
        for name, (counted, published) in counts.items():
            claim.evaluated += 1
            if counted != published:
                claim.bad.append(
                    (None, f"zone {zone.name} {name}", f"{counted} by the slots", str(published))
                )
    return claim


def _tiles(m: Plain, ram: list[int]) -> Claim:
    zones = m.state.zones
    claim = Claim(len(zones) + len(ram))
    for zone in zones:
        if not 0 <= zone.first_pfn <= zone.end_pfn:
            bounds = f"[{zone.first_pfn:#x}, {zone.end_pfn:#x})"
            claim.bad.append((None, f"zone {zone.name} bounds", "first_pfn <= end_pfn", bounds))
    for low, high in pairwise(zones):
        if high.first_pfn < low.end_pfn:
            expected = f"from {low.end_pfn:#x} on, where {low.name} ends"
            claim.bad.append((None, f"zone {high.name} first_pfn", expected, f"{high.first_pfn:#x}"))
    claim.bad += [(pfn, "zone", "a zone, as it is RAM", "none") for pfn in ram if m.zone[pfn] < 0]
    return claim
