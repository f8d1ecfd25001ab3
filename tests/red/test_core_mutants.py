"""Proves that each clause of a memory core notices a core that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from frame_harness.guest.booted import BootedGuest
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine
from frame_harness.memory_core.bounds import STORM_CPUS
from frame_harness.memory_core.campaign import (
    OFFERS,
    Site,
    campaign,
    huge_site,
    large_site,
    small_site,
    work_site,
)
from frame_harness.memory_core.catalogue import catalogue
from frame_harness.memory_core.clauses import CORE_CLAUSES
from frame_harness.memory_core.cores import COUNTING, LARGE, SMALL
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.machines import RAM, is_huge
from frame_harness.memory_core.maps import MemoryMap
from frame_harness.memory_core.owning_files import OWNERSHIP
from frame_harness.memory_core.play import play
from frame_harness.memory_core.steps import counts_work, parsed, written
from frame_harness.memory_core.tally import Tally
from frame_harness.memory_core.tree import memory_core
from frame_harness.memory_core.worker import SEED
from tests.support.core_mutants import CORE_MUTANTS, TREE, CoreMutant, broken_tree
from tests.support.hidden_core_mutants import HIDDEN_MUTANTS
from tests.support.owning_mutants import OWNING_MUTANTS
from tests.support.rare_core_mutants import RARE_MUTANTS
from tests.support.same_place import same_place

MOST_STEPS = 12
RACE_TRIES = 20


BUGS = HIDDEN_MUTANTS + CORE_MUTANTS + RARE_MUTANTS + OWNING_MUTANTS
# Of the tables that find a bug soonest first: the last one that a clause is given here stays.
SOONEST_LAST = RARE_MUTANTS + HIDDEN_MUTANTS + OWNING_MUTANTS + CORE_MUTANTS
ONE_A_CLAUSE = tuple({bug.clause: bug for bug in SOONEST_LAST}.values())
SLOWEST = frozenset({"CORE-21", "CORE-22", "CORE-24"})
"""Clauses whose bugs a campaign meets last: each takes a minute, so `make mutants` looks for them."""
BY_DEFAULT = tuple(bug for bug in ONE_A_CLAUSE if bug.clause not in SLOWEST)


WITHOUT_ROOM = [
    "wraps around",
    "boot reaches all slots but a page",
    "boot reaches too little",
    "too little memory",
]
"""Maps that have none, or say what cannot be."""


def core_guest(tree: Path, ram: str, *, counts: bool = False) -> CoreGuest:
    """A guest with the tree's core in it, built as it is shipped; `counts` instructions, on one CPU."""
    image, machine = build(memory_core(tree), "release"), load_machine("microvm")
    cpus = 1 if counts else STORM_CPUS
    return CoreGuest(
        lambda: BootedGuest.boot(image, machine, init="none", ram=ram, cpus=cpus, counts_instructions=counts),
        lambda guest: guest.finish(),
    )


@pytest.mark.slow
@pytest.mark.parametrize("bug", BY_DEFAULT, ids=str)
def test_a_bug_of_each_clause_of_a_core_is_found_first_by_it(bug: CoreMutant) -> None:
    find(bug)


@pytest.mark.whole
@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug not in BY_DEFAULT], ids=str)
def test_every_other_bug_of_a_core_is_found_first_by_its_clause(bug: CoreMutant) -> None:
    find(bug)


def nothing_found(so_far: Tally) -> bool:
    return not so_far.found


def first_map(first: int, end: int) -> Iterator[MemoryMap]:
    return islice(catalogue(first, end), 1)


def find(bug: CoreMutant) -> None:
    """Let a campaign find a bug; what it finds first has to be the bug's clause, in a short case."""
    tree = broken_tree(same_place(), bug)
    with (
        core_guest(tree, SMALL) as small,
        core_guest(tree, LARGE) as large,
        core_guest(tree, COUNTING, counts=True) as counting,
        core_guest(tree, RAM) as huge,
    ):
        if bug.file in OWNERSHIP:
            # Histories of owners are the same whatever was played before them: one map is enough.
            tally = campaign([Site(small, first_map)], SEED, nothing_found, histories=0)
        else:
            sites = [small_site(small), large_site(large)]
            tally = campaign(sites, SEED, nothing_found, work_site(counting), huge_site(huge))
        assert tally.found, f"nothing was found in {tally.maps} maps and {tally.histories} histories"
        failure = next(iter(tally.found.values())).failure
        case = written(failure.steps)
        # A race does not show each time.
        tries = RACE_TRIES if bug.clause == "CORE-21" else 1
        core = counting if counts_work(parsed(case)) else huge if is_huge(parsed(case)) else large
        again = next(filter(None, (play(core, parsed(case)) for _ in range(tries))), None)
    assert failure.violation.clause == bug.clause, f"{failure.violation} {failure.commands}"
    assert again is not None and again.violation.clause == bug.clause, "its text shows something else"
    assert len(failure.steps) <= MOST_STEPS, case


def test_a_sound_core_starts_on_every_map_that_has_room_for_its_slots() -> None:
    """A map that is always refused would judge nothing, and nobody would hear of it."""
    refused = []
    with core_guest(TREE, SMALL) as small, core_guest(TREE, LARGE) as large:
        for site in (small_site(small), large_site(large)):
            site.offers = dict.fromkeys(OFFERS, True)
            refused += [one.name for one in site.maps if site.core.start(one).status != "ok"]
    assert refused == WITHOUT_ROOM


def test_every_clause_of_a_core_has_a_bug() -> None:
    assert {bug.clause for bug in BUGS} == set(CORE_CLAUSES)


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_every_bug_of_a_core_has_its_place(bug: CoreMutant, tmp_path: Path) -> None:
    assert broken_tree(tmp_path, bug).is_dir()
