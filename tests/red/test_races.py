"""Proves that races in a frame module, or in the kernel around it, are found on two CPUs."""

from __future__ import annotations

import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec import convert

from frame_harness.concurrency.storms import run_storm
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.frame_storms.table import STORMS
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated
from frame_harness.guest.errors import GuestCrashed, SubjectPanic
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.diagrams import Interleaving, StormRates
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from frame_harness.machine.definition import load_machine
from frame_harness.pictures import interleaving
from tests.support.doors import Judged, check, write_machine
from tests.support.frame_mutants import MUTANTS
from tests.support.mutants import broken, broken_here
from tests.support.race_mutants import (
    ASKED_TWICE,
    COUNTED_UNDER_A_LOCK,
    HANGS,
    LOCKED,
    LOOKED_AHEAD,
    PASSED_THROUGH_A_STATIC,
    SEEDED,
    SILENT_STORE,
    TOUCHED_TWICE,
    WAITS_IN_A_STATIC,
)
from tests.support.red_kernels import red_shim

pytestmark = pytest.mark.slow

LIMIT_S = 60.0
SLICE_S = 1.0


def seconds_until_found(image: Image, name: str, *, extra: tuple[str, ...] = ()) -> float:
    """Repeat a storm until it breaks something."""
    began = time.monotonic()
    seed = 0
    while (spent := time.monotonic() - began) < LIMIT_S:
        seed += 1
        with Kernel.boot(image, load_machine("q35"), cpus=2, seed=seed, extra=extra) as kernel:
            try:
                run_storm(STORMS[name], kernel, seconds=SLICE_S, seed=seed)
            except (ClauseViolated, SubjectPanic, GuestCrashed):
                return time.monotonic() - began
    return spent


def diagrams(result: Judged) -> list[Interleaving]:
    """What CPUs did, of each check that found something broken."""
    found = [
        convert(one["diagram"], Interleaving)
        for run in result.report["runs"]
        for one in run["checks"]
        if one["outcome"] == "violated"
    ]
    assert found
    return found


def expect_recorded(diagram: Interleaving) -> None:
    """Both CPUs touched the field, the second one while the first one was held, with values and lines."""
    ahead, meanwhile = diagram.held_after, diagram.held_after + diagram.meanwhile
    assert {one.cpu for one in diagram.accesses[:ahead]} == {1}, diagram
    assert {one.cpu for one in diagram.accesses[ahead:meanwhile]} == {2}, diagram
    assert diagram.wrong, diagram
    assert any(".rs:" in one.at for one in diagram.accesses), diagram
    for one in diagram.accesses:
        assert (one.found is not None, one.left is not None) == (one.reads, one.writes), diagram
    root = ElementTree.fromstring(interleaving.svg(diagram))
    assert diagram.got in (root.findtext("{*}desc") or "")


@pytest.mark.parametrize("name", SEEDED)
def test_a_storm_finds_a_seeded_race_within_a_minute(name: str) -> None:
    edits, storm, _, _ = SEEDED[name]
    image = build(frame_module(broken_here(edits)), "release")
    assert seconds_until_found(image, storm) < LIMIT_S


def test_a_storm_names_the_clause_that_memory_breaks_after_it() -> None:
    """Odd orders break no promise about references, though a storm of references finds them."""
    [bug] = [each for each in MUTANTS if each.name == "odd frames of a block have an order of their own"]
    image = build(frame_module(broken_here(bug.edits)), "release")
    with (
        Kernel.boot(image, load_machine("q35"), cpus=2) as kernel,
        pytest.raises(OtherClauseViolated, match="W-ORDER-RANGE") as raised,
    ):
        run_storm(STORMS["balanced references"], kernel, seconds=0.1)
    rates = raised.value.diagram
    assert isinstance(rates, StormRates)
    assert (rates.storm, rates.cpus) == ("balanced references", (0, 1))
    assert all(rate > 0 for cpu in rates.cpus for rate in [max(one[2] for one in rates.rates(cpu))])
    assert raised.value.clause == "FREE-04"
    assert raised.value.function == "MetaSlot::set_order"


@pytest.mark.parametrize("name", SEEDED)
def test_a_forced_interleaving_finds_a_seeded_race_every_time(name: str, tmp_path: Path) -> None:
    edits, _, words, id_ = SEEDED[name]
    subject = broken_here(edits)
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", subject, "--profile", "both", "-n", "1",
        "-k", f"interleavings and {words}",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ())
    assert result.violated == {id_}
    for diagram in diagrams(result):
        expect_recorded(diagram)


@pytest.mark.parametrize("name", LOOKED_AHEAD)
def test_what_takes_another_cpu_is_found_at_once(name: str, tmp_path: Path) -> None:
    edits, words, ids = LOOKED_AHEAD[name]
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken_here(edits), "--profile",
        "release", "-n", "1", "-k", words,
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    assert result.violated == ids, result.out


def all_touched_twice() -> Path:
    return broken([edit for edits, _ in TOUCHED_TWICE.values() for edit in edits])


@pytest.mark.parametrize("profile", ["dev", "release"])
def test_whatever_is_touched_twice_is_found_by_a_derived_interleaving(profile: str, tmp_path: Path) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", all_touched_twice(), "--profile",
        profile, "-n", "1", "-k", "test_s_races",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    assert result.violated == set().union(*(ids for _, ids in TOUCHED_TWICE.values())), result.out
    for diagram in diagrams(result):
        assert not diagram.alone
        expect_recorded(diagram)


@pytest.mark.parametrize("name", PASSED_THROUGH_A_STATIC)
def test_what_two_calls_on_two_frames_mix_up_in_a_static_is_found(name: str, tmp_path: Path) -> None:
    edits, ids = PASSED_THROUGH_A_STATIC[name]
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken_here(edits), "--profile",
        "release", "-n", "1", "-k", "test_s_races",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    assert result.violated == ids, result.out
    for diagram in diagrams(result):
        assert diagram.hold.field not in META_SLOT.widths, "it is held at a static"
        values = [one for one in diagram.accesses if one.field == diagram.hold.field]
        assert {one.cpu for one in values} == {1, 2}, diagram
        assert any(one.writes and one.left is not None for one in values), diagram


def test_two_on_two_frames_that_come_to_no_end_are_told_once(tmp_path: Path) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken_here(WAITS_IN_A_STATIC),
        "--profile", "release", "-n", "1", "-k", "test_s_races",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    assert result.violated == {"ALLOC-09"}, result.out
    for clause in ("ALLOC-02", "ALLOC-04", "GEN-01"):
        assert result.report["clauses"][clause]["outcome"] == "not-evaluated", clause
    assert result.says("does not come to its end: it stands at"), result.out
    assert result.says("FrameAllocOptions::allocate"), result.out


@pytest.mark.whole
def test_what_is_touched_twice_passes_every_check_of_another_kind(tmp_path: Path) -> None:
    """Storms apart, which may or may not meet it, and the orderings, which see the code and not its doing."""
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", all_touched_twice(), "--profile",
        "release", "-k", "not test_s_races and not storms and not test_s_histories and not orderings",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.PASS, VerdictKind.PASS, ()), result.out


def test_cleared_hooks_silent_stores_waits_are_told_from_locks(tmp_path: Path) -> None:
    """A store that changes nothing while its CPU is alone loses what another one stored; a lock does not."""
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs",
        broken_here([*ASKED_TWICE, *SILENT_STORE, *LOCKED, *HANGS]), "--profile", "release", "-n", "1",
        "-k", "test_s_races and (VT-04 or GUARD-09 or LAYOUT-02 or FRAME-08) or test_a_flag_that",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    assert result.violated == {"VT-04", "GUARD-09", "FRAME-08"}, result.out
    assert result.report["clauses"]["LAYOUT-02"]["outcome"] == "held"
    (poison,) = (one for one in result.report["findings"] if one["clause"] == "GUARD-09")
    assert all("test_s_races" in name for name in poison["checks"]), "forced by hand it is not found"
    held = "while frame::invoke_vtable_on_last_ref() is held before its access to vtable at"
    assert result.says(f"MetaSlot::set_vtable_bits(0x0) {held}"), result.out
    assert result.says("does not come to its end"), result.out


def test_references_that_are_counted_under_a_lock_are_judged(tmp_path: Path) -> None:
    """A CPU that is held with the lock keeps the other one waiting: no turn of the two can be had there."""
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken_here(COUNTED_UNDER_A_LOCK),
        "--profile", "release", "-n", "1",
        "-k", "test_no_reference_is_lost_between_two_cpus or test_forced_into_each_other",
    )  # fmt: skip
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out
    assert result.report["clauses"]["REF-04"]["outcome"] == "held"


def test_a_storm_finds_an_unlocked_free_list_within_a_minute() -> None:
    with red_shim():
        image = build(frame_module(), "release")
    spent = seconds_until_found(image, "frames and blocks", extra=("red=unlocked-buddy",))
    assert spent < LIMIT_S


@pytest.mark.parametrize(
    ("words", "id_"), [("a_flag_that_is_set", "GUARD-09"), ("half_a_life", "ALLOC-16")], ids=str
)
def test_a_real_frame_rs_shows_its_races_in_one_command(
    real: Path, words: str, id_: str, tmp_path: Path
) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", real, "--profile", "both", "-n", "1",
        "-k", f"interleavings and {words}",
    )  # fmt: skip
    assert (result.status, result.violated) == (ExitCode.FAIL, {id_})


@pytest.mark.parametrize("storm", ["poison", "lives"])
def test_a_real_frame_rs_breaks_in_a_storm_within_a_minute(real: Path, storm: str) -> None:
    image = build(frame_module(real), "release")
    assert seconds_until_found(image, storm) < LIMIT_S
