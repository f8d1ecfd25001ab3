"""Proves that a version counts as bad or good only where its case says so, and what is said of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey
from frame_harness.judge.findings import Finding
from frame_harness.judge.origin import Commit, Origin, OriginKind, Unjudged
from frame_harness.memory_core.follow import wanted_of
from frame_harness.memory_core.history import Shown
from frame_harness.memory_core.maps import MapRegion
from frame_harness.memory_core.sightings import CaseSighting, Fault, near
from frame_harness.memory_core.steps import map_of, parsed
from frame_harness.report.origins import origin_words

PANIC = Fault.of("CORE-15", "/home/u/kernel/src/memory/buddy.rs:839", "a panic: index 7 out of range")
STRAY = Fault.of("CORE-03", "a reserved region", "a reserved region")
TOTALS = Fault.of("CORE-20", "allocated", "7")
FAILED = Fault.of("CORE-10", "free blocks that were not merged", "OutOfMemory")
ALL = tuple(f"CORE-{number:02}" for number in range(1, 23))


def test_a_panic_is_the_same_at_another_line_with_other_numbers() -> None:
    assert Fault.of("CORE-15", "/tmp/v/memory/buddy.rs:312", "a panic: index 9 out of range") == PANIC
    assert Fault.of("CORE-15", "/tmp/v/memory/buddy.rs:839", "a panic: overflow") != PANIC
    assert Fault.of("CORE-09", "/tmp/v/memory/buddy.rs:839", "a panic: index 7 out of range") != PANIC


def test_other_faults_are_the_same_by_clause_and_cause() -> None:
    assert Fault.of("CORE-03", "a reserved region", "somewhere else") == STRAY
    assert Fault.of("CORE-03", "frame 0", "a reserved region") != STRAY


@pytest.mark.parametrize(
    ("sighting", "fault", "shown", "why"),
    [
        (CaseSighting(faults=(STRAY,), looked_at=ALL), STRAY, Shown.BAD, ""),
        (CaseSighting(faults=(STRAY, PANIC), ended="at a panic", looked_at=ALL), STRAY, Shown.BAD, ""),
        (CaseSighting(elsewhere=((STRAY, "0x0..0x9000 free"),), ended="x"), STRAY, Shown.BAD, ""),
        (CaseSighting(looked_at=ALL), STRAY, Shown.GOOD, ""),
        (CaseSighting(faults=(TOTALS,), looked_at=ALL), STRAY, Shown.GOOD, ""),
        (
            CaseSighting(faults=(PANIC,), ended="at a panic", looked_at=ALL),
            STRAY,
            Shown.UNKNOWN,
            "at a panic",
        ),
        (
            CaseSighting(looked_at=("CORE-01",)),
            STRAY,
            Shown.UNKNOWN,
            "its case is not judged by CORE-03 there",
        ),
        # A request that succeeds breaks no promise of requests that fail.
        (CaseSighting(looked_at=("CORE-09",)), FAILED, Shown.GOOD, ""),
        (
            CaseSighting(looked_at=("CORE-01",)),
            FAILED,
            Shown.UNKNOWN,
            "its case is not judged by CORE-10 there",
        ),
        # One cause hides another, but where each is told.
        (
            CaseSighting(faults=(replace(STRAY, cause="frame 0"),), looked_at=ALL),
            *(STRAY, Shown.UNKNOWN, "its case breaks CORE-03 in another way: frame 0"),
        ),
        (CaseSighting(faults=(replace(TOTALS, cause="managed"),), looked_at=ALL), TOTALS, Shown.GOOD, ""),
    ],
)
def test_what_a_version_says(sighting: CaseSighting, fault: Fault, shown: Shown, why: str) -> None:
    assert sighting.of(fault) == (shown, why)


def test_maps_near_by_have_other_ends_and_stay_in_memory_that_is_there() -> None:
    case = parsed(
        "0x400000..0x410000 free; 0x800000..0x810000 free; 0x811000..0x820000 reserved; "
        "b1 = alloc 0 unmovable any"
    )
    ram = [(Paddr(0x200000), Paddr(0x4000000))]
    maps = [map_of(one).regions for one in near(case, ram)]
    assert all(one[2] == MapRegion(0x811000, 0xF000, map_of(case).regions[2].kind) for one in maps)
    assert {one[0].end for one in maps} > {0x411000, 0x412000, 0x510000}
    assert {one[0].base for one in maps} == {0x400000, 0x401000}
    assert max(one[1].end for one in maps) == 0x811000, "it would reach into the next region"
    assert list(near(parsed("0x0..0x1000 free"), [(Paddr(0), Paddr(PAGE_SIZE))])) == []


def test_slow_cases_are_not_varied() -> None:
    for operation in ("storm of 3 for 300 seed 1", "page tables late seed 2"):
        assert list(near(parsed(f"0x400000..0x410000 free; {operation}"), [(Paddr(0), Paddr(1 << 30))])) == []


def result(profile: str, case: str) -> CheckResult:
    return CheckResult(
        check="c",
        clauses=("CORE-03",),
        run=RunKey("m", profile),
        outcome=Outcome.VIOLATED,
        duration_s=0.1,
        case=case,
    )


def finding(*profiles: str, known: str = "") -> Finding:
    results = tuple(result(profile, f"a case of {profile}") for profile in profiles)
    return Finding(clause="CORE-03", title="", where="", results=results, known=known)


def test_each_finding_is_followed_once_in_the_profile_that_serves_most() -> None:
    wanted = wanted_of([finding("dev", "release"), finding("dev"), finding("dev", known="audited")])
    assert [(one.profile, one.case) for one in wanted] == [("dev", "a case of dev")] * 2
    wanted = wanted_of([finding("dev", "release"), finding("dev", "release")])
    assert [one.profile for one in wanted] == ["release", "release"]
    assert [one.profile for one in wanted_of([finding("release"), finding("dev")])] == ["release", "dev"]


OLD, MID, NEW = (
    Commit(id=name * 40, short=name * 7, date=f"2026-01-0{day}", subject=f"Step {day}")
    for day, name in enumerate("abc", start=1)
)
SILENT = (Unjudged(commit=MID, why="it does not compile: e"),)


def origin(kind: OriginKind, commit: Commit, before: Commit | None = None, **more: object) -> str:
    made = Origin(clause="CORE-03", cause="", kind=kind, profile="dev", commit=commit, before=before)
    return origin_words(replace(made, **more))


def test_each_answer_has_its_words() -> None:
    brought = origin(OriginKind.BROUGHT, NEW, MID)
    assert brought == 'brought by ccccccc 2026-01-03 "Step 3"'
    assert origin(OriginKind.BROUGHT, replace(NEW, merge=True), MID) == f"{brought}, a merge"
    assert (
        origin(OriginKind.BROUGHT, NEW, MID, tries=6) == f"{brought}; a race: each version was given 6 tries"
    )
    assert origin(OriginKind.BROUGHT, NEW, MID, case="0x0..0x9000 free").endswith(
        "; there by --case '0x0..0x9000 free'"
    )
    assert origin(OriginKind.BROUGHT, Commit(), NEW) == (
        'not committed yet; ccccccc 2026-01-03 "Step 3", the last commit, does not show it'
    )
    assert (
        origin(OriginKind.ALREADY, OLD) == 'already in aaaaaaa 2026-01-01 "Step 1", the oldest one looked at'
    )
    assert origin(OriginKind.ALREADY, NEW, unjudged=SILENT) == (
        'already in ccccccc 2026-01-03 "Step 3"; the version before it cannot be judged '
        "(bbbbbbb: it does not compile: e)"
    )
    assert origin(OriginKind.BETWEEN, NEW, OLD, unjudged=SILENT) == (
        'between aaaaaaa 2026-01-01 "Step 1" and ccccccc 2026-01-03 "Step 3": '
        "1 version in between cannot be judged (bbbbbbb: it does not compile: e)"
    )
    assert origin(OriginKind.NOT_SHOWN, NEW, unjudged=(Unjudged(commit=NEW, why=""),)) == (
        "not followed: its case alone does not show it"
    )
