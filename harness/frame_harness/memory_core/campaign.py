"""Starts a core on map after map, plays operations, keeps one short case for each fault."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count, islice

from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.histories.shrink import shrink
from frame_harness.memory_core.basics import basics
from frame_harness.memory_core.bounds import STORM_CPUS
from frame_harness.memory_core.catalogue import (
    KIB,
    MIB,
    catalogue,
    large_catalogue,
    random_map,
    work_catalogue,
)
from frame_harness.memory_core.failure import Failure
from frame_harness.memory_core.filling import filled
from frame_harness.memory_core.generate import Writer, on_cpus
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.judging import Key
from frame_harness.memory_core.machines import fewer, is_huge, machines, operations, room_for
from frame_harness.memory_core.maps import MapRegion, MemoryMap, Span, length
from frame_harness.memory_core.owning_histories import OwningWriter
from frame_harness.memory_core.owning_steps import MOST_SHARING, SHARED_BY, CopyOnWrite
from frame_harness.memory_core.page_tables import VARIANTS
from frame_harness.memory_core.play import play
from frame_harness.memory_core.state import KINDS, MAX_ORDER
from frame_harness.memory_core.steps import (
    CaseStep,
    CaseStorm,
    Fill,
    PageTables,
    counts_work,
    map_of,
    operations_of,
    steps_of,
)
from frame_harness.memory_core.tally import Found, Tally
from frame_harness.memory_core.work_steps import WorkOf, WorkOfBoot

OFFERS = ("kinds", "poison", "protected", "tables", "hhdm", "slots", "ownership")
"""What versions of a core know or do not know; see `CoreGuest.offers`."""
STORM_TURNS, STORMS = 6000, 4
"""Requests of each CPU, storms on each map that has them."""
LARGEST_BLOCKS = Fill("b1", MAX_ORDER)
"""Asked for behind a storm: what is left in caches, also of other CPUs, has to come back for it."""
STORM_MAPS = ("one piece", "low memory and high memory", "ACPI islands", "little in each zone")
SCARCE_MAPS = ("little of the second zone alone",)
"""So little memory that CPUs take it all: behind a storm single frames are asked for, until all are given."""
HISTORIES, STEPS = 260, 24
"""What a whole run plays on each build: so many histories of about so many operations."""
OWNING_HISTORIES, REQUESTS = 60, 14
"""The same of histories of owners, where the core knows any, and of requests."""
AMPLE_BYTES = 8 * MIB
"""Memory that page tables never use up."""
MOST_TRIES = 400
"""So often a case is played to shorten it; most need a tenth of that."""
WORK_TRIES = 30
"""The same for a case that counts instructions: each starts the core several times."""
HUNG_TRIES, MOST_HANGS = 12, 6
"""The same for a case that hangs; so many cases that hang, and a campaign ends."""
HUGE_TRIES = 24
"""The same for a case on a map of tens of GiB, of which a start takes seconds."""
WORK_OF = (
    *((0, order, "unmovable") for order in range(MAX_ORDER + 1)),
    *((0, order, "movable") for order in (0, 1, 4)),
    *((2, order, "unmovable") for order in (0, 3)),
    *((3, order, "unmovable") for order in (0, 2)),
)
"""Of which operations work is counted: the number of the map, order, kind."""
SPOILT = 2
"""So many starts that end at a known fault, and a map is left alone: nothing else can be seen behind it."""


Offers = Mapping[str, bool]


class Site:
    """A guest with the maps that its RAM has room for; it boots when it is first used."""

    def __init__(self, core: CoreGuest, maps: Callable[[int, int], Iterator[MemoryMap]]) -> None:
        self.core, self._catalogue = core, maps
        self.offers: Offers = {}
        """What the core knows; known before its maps are asked for."""

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """RAM that the core may be given, in bytes."""
        return tuple(self.core.available())

    @cached_property
    def piece(self) -> Span:
        """The largest piece of it, cut to whole numbers."""
        first, end = max(self.spans, key=lambda span: span[1] - span[0])
        return Paddr(-(-first // (2 * MIB)) * 2 * MIB), Paddr(end // MIB * MIB)

    @cached_property
    def maps(self) -> tuple[MemoryMap, ...]:
        """The catalogue's maps for this RAM, as far as this version of the core knows all that they have."""
        start, end = self.piece
        maps = self._catalogue(start, max(end, self.spans[-1][1]))
        return tuple(memory for memory in maps if _is_for(memory, self.offers))


NamedCase = tuple[Site, str, tuple[CaseStep, ...]]
"""Where, the name of the map, what."""


def small_site(core: CoreGuest) -> Site:
    """Maps of a machine with little memory: each start takes milliseconds."""
    return Site(core, catalogue)


def large_site(core: CoreGuest) -> Site:
    """Maps that need memory in every zone."""
    return Site(core, large_catalogue)


def huge_site(core: CoreGuest) -> Site:
    """Maps in the shape of machines with tens of GiB."""
    return Site(core, machines)


def work_site(core: CoreGuest) -> Site:
    """Maps on which work is counted."""
    return Site(core, work_catalogue)


def campaign(
    sites: Sequence[Site],
    seed: int,
    go_on: Callable[[Tally], bool] = lambda _: True,
    counting: Site | None = None,
    huge: Site | None = None,
    histories: int = HISTORIES,
    known: frozenset[Key] = frozenset(),
    *,
    shortens: bool = True,
) -> Tally:
    """Start on every map of the catalogue, play operations on these and on random maps, then storms.

    The same seed plays the same cases as long as the core finds them right.

    Args:
        go_on: is asked after each case.
        counting: where work is counted, that of starts behind the maps of the first site.
        huge: where maps of tens of GiB are played, last of all but storms: each start takes seconds.
        histories: so many, beside those of owners.
        known: faults that are not looked for.
        shortens: make cases that show faults shorter.
    """
    tally, spoilt = Tally(planned=histories, known=known, shortens=shortens), Counter[str]()
    cases = cases_of(sites, seed, tally, spoilt, histories, counting=counting, huge=huge)
    for site, name, steps in cases:
        _try(site.core, name, steps, tally, spoilt)
        if _hangs_too_often(tally) or not go_on(tally):
            return tally
    _storms(sites, seed, tally, go_on)
    return tally


def cases_of(
    sites: Sequence[Site],
    seed: int,
    tally: Tally,
    spoilt: Counter[str],
    most: int = HISTORIES,
    of_owners: int = OWNING_HISTORIES,
    counting: Site | None = None,
    huge: Site | None = None,
) -> Iterator[NamedCase]:
    """Every case of a campaign but storms.

    Args:
        most: so many histories.
        of_owners: so many histories of owners, where the core knows any.
        counting, huge: as for `campaign`.
        tally: what was yielded so far is counted there.
        spoilt: by map how often its start showed a known fault; the caller counts.
    """
    offers = {what: sites[0].core.offers(what) for what in OFFERS}
    for site in sites:
        site.offers = offers
    tally.planned += of_owners if offers["ownership"] else 0
    yield from _starts(sites[:1], tally)
    if counting:
        # A start whose work grows too fast would take for ever on a large map: so it is counted before.
        yield from _work_of_boot(counting, offers)
    yield from _starts(sites[1:], tally)
    yield from _basics(sites, offers)
    yield from islice(_histories(sites, seed, offers, tally, spoilt), most)
    if offers["tables"]:
        yield from _page_tables(sites, seed)
    if offers["ownership"]:
        yield from islice(_owning_histories(sites, seed, offers, tally), of_owners)
        yield from _sharing(sites, seed)
    if counting:
        yield from _work_of_operations(counting, offers)
    if huge:
        yield from _machines(huge, offers, tally)


def _is_for(memory: MemoryMap, offers: Offers) -> bool:
    return (offers["hhdm"] or memory.hhdm_end is None) and (offers["protected"] or not memory.protected)


def _starts(sites: Sequence[Site], tally: Tally) -> Iterator[NamedCase]:
    """Every map alone."""
    for site in sites:
        for memory in site.maps:
            tally.maps += 1
            yield site, memory.name, steps_of(memory)


def _basics(sites: Sequence[Site], offers: Offers) -> Iterator[NamedCase]:
    """What every core is asked for, on maps of some names."""
    for site in sites:
        for memory in site.maps:
            for steps in basics(memory.name, offers):
                yield site, memory.name, (*steps_of(memory), *steps)


def _work_of_boot(site: Site, offers: Offers) -> Iterator[NamedCase]:
    """What starts cost."""
    site.offers = offers
    for memory in site.maps:
        yield site, memory.name, (*steps_of(memory), WorkOfBoot())


def _work_of_operations(site: Site, offers: Offers) -> Iterator[NamedCase]:
    """What operations cost; nobody looks at the core's state between them, so other cases come first."""
    site.offers = offers
    for at, order, kind in WORK_OF:
        if kind in KINDS[: 1 + offers["kinds"]]:
            yield site, site.maps[at].name, (*steps_of(site.maps[at]), WorkOf(order, kind))


def _machines(site: Site, offers: Offers, tally: Tally) -> Iterator[NamedCase]:
    """Maps of real machines with a few operations; the guest ends behind them, for the host's memory."""
    room = room_for(site.core)
    tally.left_out = room.why
    for memory in room.maps:
        tally.maps += 1
        yield site, memory.name, (*steps_of(memory), *operations(KINDS[offers["kinds"]]))
    site.core.renew()


def _page_tables(sites: Sequence[Site], seed: int) -> Iterator[NamedCase]:
    """Page tables on the smallest map of each site that is not scarce: all of its free memory is filled."""
    for number, variant in enumerate(VARIANTS * 2):
        site = sites[number % len(sites)]
        ample = [one for one in site.maps if not one.strange and length(one.usable) >= AMPLE_BYTES]
        memory = min(ample or site.maps, key=lambda one: length(one.usable))
        yield site, memory.name, (*steps_of(memory), PageTables(variant, seed + number))


def _owning_histories(sites: Sequence[Site], seed: int, offers: Offers, tally: Tally) -> Iterator[NamedCase]:
    """Random requests of owners, most of them where little memory is."""
    rng = random.Random(f"owners {seed}")
    for number in count():
        site = sites[number % len(sites)] if number % 10 == 1 else sites[0]
        memory = site.maps[0] if rng.random() < 0.2 else _small_map(rng, site)
        writer = OwningWriter(rng, kinds=offers["kinds"])
        tally.histories += 1
        yield site, memory.name, (*steps_of(memory), *writer.write(rng.randint(2, REQUESTS)))


def _sharing(sites: Sequence[Site], seed: int) -> Iterator[NamedCase]:
    """Copy-on-write on the first map of each site, with each number of owners."""
    ways = [(owners, by) for owners in range(2, MOST_SHARING + 1) for by in SHARED_BY]
    for number, (owners, by) in enumerate(ways):
        site = sites[number % len(sites)]
        memory = site.maps[0]
        yield site, memory.name, (*steps_of(memory), CopyOnWrite(owners, by, seed + number))


def _histories(
    sites: Sequence[Site], seed: int, offers: Offers, tally: Tally, spoilt: Counter[str]
) -> Iterator[NamedCase]:
    """Random operations, on maps that show nothing wrong by themselves as far as there are such."""
    rng, cpus = random.Random(f"{seed}"), random.Random(f"cpus {seed}")
    for number in count():
        site = sites[0] if rng.random() < 0.85 else rng.choice(sites)
        memory = _map_for(rng, site, spoilt, number, protects=offers["protected"])
        writer = Writer(rng, kinds=offers["kinds"], poison=offers["poison"], slots=offers["slots"])
        tally.histories += 1
        yield site, memory.name, (*steps_of(memory), *on_cpus(cpus, writer.write(rng.randint(1, STEPS))))


def _storms(sites: Sequence[Site], seed: int, tally: Tally, go_on: Callable[[Tally], bool]) -> None:
    """Let several CPUs work where one CPU alone breaks nothing: what they break comes of their number.

    One CPU comes first, with as many requests as several have together: else they would be blamed for what it
    does not meet in a few.
    """
    each = ((1, STORM_CPUS * STORM_TURNS), (STORM_CPUS, STORM_TURNS))
    storms = [CaseStorm(*work, number) for work in each for number in range(seed, seed + STORMS)]
    for site in sites:
        kinds = KINDS[: 1 + site.offers["kinds"]]
        for memory in (one for one in site.maps if one.name in STORM_MAPS + SCARCE_MAPS):
            broken: set[int] = set()
            for storm in storms:
                frames = Fill("b1", 0, kinds[storm.seed % len(kinds)])
                behind = frames if memory.name in SCARCE_MAPS else LARGEST_BLOCKS
                if storm.seed not in broken and _breaks(site.core, (*steps_of(memory), storm, behind), tally):
                    broken.add(storm.seed)
                if _hangs_too_often(tally) or not go_on(tally):
                    return


def _hangs_too_often(tally: Tally) -> bool:
    """Whether the campaign ends for it; then what was not played stands against a PASS."""
    if tally.hangs >= MOST_HANGS:
        tally.cut = f"the campaign ended after {plural(tally.hangs, 'hang')}"
    return bool(tally.cut)


def _breaks(core: CoreGuest, steps: Sequence[CaseStep], tally: Tally) -> bool:
    """Play a storm as it is: a race does not show each time, so that no shorter case can be trusted."""
    tally.storms += 1
    failure = play(core, steps, tally.all_known)
    if failure is None:
        return False
    tally.hangs += failure.hung
    if not _is_known(failure, tally):
        tally.found[failure.key] = Found(failure, fresh=None)
        core.renew()
    return True


def _is_known(failure: Failure, tally: Tally) -> bool:
    """Whether it is known, or panics where one CPU alone does."""
    causes = {cause for _, cause in tally.all_known}
    return failure.key in tally.all_known or bool(failure.at and failure.violation.cause in causes)


def _map_for(
    rng: random.Random, site: Site, spoilt: Counter[str], number: int, *, protects: bool
) -> MemoryMap:
    roll = rng.random()
    if roll < 0.3:
        return random_map(rng, f"random {number}", site.spans, protects)
    if roll < 0.6:
        return _small_map(rng, site)
    fit = [one for one in site.maps if spoilt[one.name] < SPOILT]
    return rng.choice(fit or site.maps)


def _small_map(rng: random.Random, site: Site) -> MemoryMap:
    """A map whose memory can be used up in a few steps; all of its pieces begin at 2 MiB."""
    start, end = site.piece
    first = start + rng.randrange((end - start) // (4 * MIB)) * 2 * MIB
    slots = (first + MIB) // PAGE_SIZE * 64
    size = (slots + rng.choice((128, 256, 512, 1024, 2048)) * KIB) // PAGE_SIZE * PAGE_SIZE
    return MemoryMap("little memory", (MapRegion(first, min(size, end - first)),))


def _try(core: CoreGuest, name: str, steps: Sequence[CaseStep], tally: Tally, spoilt: Counter[str]) -> None:
    """Play a case as often as it shows something new: behind one fault there may be another."""
    while (failure := play(core, steps, tally.all_known)) is not None:
        tally.hangs += failure.hung
        if not operations_of(failure.steps):
            spoilt[name] += 1
        key = failure.key
        if key in tally.all_known:
            return
        if not tally.shortens:
            tally.found[key] = Found(failure, fresh=None)
            core.renew()
            return
        tally.found[key] = _shortened(core, failure, tally.all_known)


def _shortened(core: CoreGuest, failure: Failure, known: tuple[Key, ...]) -> Found:
    rest = HUGE_TRIES if is_huge(failure.steps) else MOST_TRIES
    tries = iter(range(HUNG_TRIES if failure.hung else WORK_TRIES if counts_work(failure.steps) else rest))

    def shorter(steps: Sequence[CaseStep]) -> Failure | None:
        # Half of a region that cannot be may be of memory that is not there: nobody could play that again.
        if core.missing(map_of(steps)) or next(tries, None) is None:
            return None
        return play(core, steps, known)

    if is_huge(failure.steps):
        small = (found for steps in fewer(failure.steps) if (found := shorter(steps)) is not None)
        failure = next((found for found in small if found.key == failure.key), failure)
    races = any(isinstance(step, CaseStorm) for step in failure.steps)
    shortest = shrink(filled(failure, shorter), shorter, lambda one: one.key, by_chance=races or failure.hung)
    core.renew()
    again = play(core, shortest.steps, known)
    fresh = again is not None and again.key == failure.key
    return Found(again if again is not None and fresh else shortest, fresh)
