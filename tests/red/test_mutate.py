"""Proves that a mutant is judged by what differs from the subject, in guests, and no longer than it takes.

A few checks of one run stand for all: how many there are makes no difference to how they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_fields
from functools import cache, partial
from typing import Final

import pytest
from msgspec.structs import replace

from frame_harness.coverage.lines import (
    Coverage,
    FunctionCoverage,
    LineCoverage,
    LineState,
    SourceCoverage,
)
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckInRun, CheckResult, RunKey
from frame_harness.judge.verdict import judge
from frame_harness.machine.definition import load_machines
from frame_harness.mutation.generate import mutants_of
from frame_harness.mutation.mutants import Mutant, Operator
from frame_harness.mutation_testing import suite as suite_module
from frame_harness.mutation_testing.records import How, Kill
from frame_harness.mutation_testing.reference import Reference, reference_of
from frame_harness.mutation_testing.suite import STORMS_AGAIN, MutantSeen, Suite, functions_of
from frame_harness.session.request import SessionRequest
from frame_harness.session.suite import run_suite
from tests.support.mutants import broken

RUN: Final = RunKey("microvm", "release")
DEC_REF: Final = "test_e_refcount.py::test_dec_ref_returns_the_value_before"
RESET: Final = "test_e_refcount.py::test_reset_refcount_stores_zero"
BITS: Final = "test_a_constants.py::test_flag_bits"
CHECKS: Final = (DEC_REF, RESET, BITS)
TEXT: Final = frame_module().path.read_bytes()
TAKES_TWO: Final = (("held => Some(held - 1),", "held => Some(held - 2),"),)
NEVER_RETURNS: Final = (
    ("held => Some(held - 1),", "held => Some(held - 1).filter(|_| loop { core::hint::spin_loop() }),"),
)


def requested(image: Image, checks: Sequence[str] = CHECKS) -> SessionRequest:
    machines = {
        name: one.override(limits={"request_cpu_s": 0.5})
        for name, one in load_machines([RUN.machine]).items()
    }
    return SessionRequest(
        subject=image.subject, machines=machines, profiles=(RUN.profile,), any_machine=True, evidence=True,
        only=frozenset(CheckInRun(run=RUN, check=check) for check in checks),
        images={RUN.profile: image},
    )  # fmt: skip


@cache
def image_of(edits: Sequence[tuple[str, str]] = ()) -> Image:
    return build(frame_module(broken(edits) if edits else None), RUN.profile)


@cache
def reference(edits: Sequence[tuple[str, str]] = ()) -> Reference:
    """What the checks say of a module, as if a measurement had told that one of them runs `dec_ref`."""
    request = requested(image_of(edits))
    _, session = run_suite(request, here=True)
    assert session is not None
    assert session.evidence is not None
    found = reference_of(
        session.evidence,
        judge(session.evidence, FRAME_METADATA),
        functions_of(with_fields(request, images={})),
    )
    lines = tuple(LineCoverage(line=line, state=LineState.HIT, checks=(0,)) for line in places())
    function = FunctionCoverage(name="MetaSlot::dec_ref", lines=places())
    source = SourceCoverage(path="/k/frame.rs", lines=lines, functions=(function,), checks=(DEC_REF,))
    return replace(found, coverage=Coverage(sources=(source,)))


@cache
def mutant() -> Mutant:
    """One of `dec_ref`, for the order of checks."""
    return next(
        one
        for one in mutants_of({"frame.rs": TEXT})
        if one.function == "MetaSlot::dec_ref" and one.operator is Operator.ARITHMETIC
    )


def places() -> tuple[int, ...]:
    return (mutant().line,)


def judged(
    edits: Sequence[tuple[str, str]], own: Sequence[tuple[str, str]] = (), alike: Sequence[str] = ()
) -> MutantSeen:
    """What checks show of a module with some edits, beside one with others."""
    image = image_of(edits)
    suite = Suite(requested(image), reference(own), mutant())
    suite.make([RUN], {RUN.profile: image}, alike)
    return suite.seen


def test_a_mutant_is_killed_by_the_check_of_its_function_and_no_other_is_made() -> None:
    seen = judged(TAKES_TWO)
    assert seen.kill is not None
    assert (seen.kill.how, seen.kill.check, seen.kill.run) == (How.FINDING, DEC_REF, RUN)
    assert "REF-01" in seen.kill.clauses
    assert (seen.checks, seen.error) == (1, "")


def test_a_mutant_that_never_comes_back_is_killed_by_its_hang() -> None:
    seen = judged(NEVER_RETURNS)
    assert seen.kill is not None
    assert (seen.kill.how, seen.error) == (How.HANG, "")


def test_what_the_subject_itself_breaks_kills_nothing() -> None:
    assert reference(TAKES_TWO).own_findings
    seen = judged(TAKES_TWO, own=TAKES_TWO)
    assert (seen.kill, seen.error, seen.checks) == (None, "", len(CHECKS))


def test_a_mutant_of_which_every_check_holds_survives_all_of_them() -> None:
    seen = judged(())
    assert (seen.kill, seen.error, seen.checks) == (None, "", len(CHECKS))


def test_of_a_profile_with_the_same_machine_code_only_what_the_compiler_says_is_looked_at() -> None:
    seen = judged((), alike=[RUN.profile])
    assert (seen.kill, seen.error, seen.checks) == (None, "", 1)


def test_where_the_compiler_says_nothing_of_a_profile_with_the_same_code_nothing_is_looked_at() -> None:
    image, known = image_of(), reference()
    without = replace(known, results=tuple(one for one in known.results if one.check == DEC_REF))
    suite = Suite(requested(image, [DEC_REF]), without, mutant())
    suite.make([RUN], {RUN.profile: image}, [RUN.profile])
    assert (suite.seen.kill, suite.seen.error, suite.seen.checks) == (None, "", 0)


def test_a_check_is_made_once_more_by_itself() -> None:
    """The others of the run are neither made nor missed."""
    image = image_of(TAKES_TWO)
    suite = Suite(requested(image), reference(), mutant(), only=DEC_REF)
    suite.make([RUN], {RUN.profile: image})
    assert suite.seen.kill is not None
    assert (suite.seen.kill.check, suite.seen.checks, suite.seen.error) == (DEC_REF, 1, "")
    held = Suite(requested(image), reference(), mutant(), only=RESET)
    held.make([RUN], {RUN.profile: image})
    assert (held.seen.kill, held.seen.checks, held.seen.error) == (None, 1, "")


def as_found_by_a_storm(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Take the first findings for those of storms, and hide all others, like a race that does not show."""
    tells, left = Reference.kill_by, iter(range(times))

    def kill_by(known: Reference, result: CheckResult) -> Kill | None:
        kill = tells(known, result)
        return None if kill is None or next(left, None) is None else replace(kill, by_storm=True)

    monkeypatch.setattr(Reference, "kill_by", kill_by)


def test_what_a_storm_finds_twice_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    reference()  # made before anything is hidden
    as_found_by_a_storm(monkeypatch, times=2)
    seen = judged(TAKES_TWO)
    assert seen.kill is not None
    assert (seen.kill.check, seen.doubtful, seen.checks) == (DEC_REF, [], 2)


def test_what_a_storm_finds_once_kills_nothing_and_the_other_checks_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference()
    as_found_by_a_storm(monkeypatch, times=1)
    seen = judged(TAKES_TWO)
    assert (seen.kill, [one.check for one in seen.doubtful]) == (None, [DEC_REF])
    assert seen.checks == 1 + STORMS_AGAIN + len(CHECKS) - 1


def test_a_storm_that_cannot_be_played_again_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the subject would be suspected of a race that nobody looked for."""
    reference()
    as_found_by_a_storm(monkeypatch, times=1)
    asks = Suite.asks_for
    monkeypatch.setattr(
        Suite, "asks_for", lambda suite, run, check: not suite.only and asks(suite, run, check)
    )
    seen = judged(TAKES_TWO)
    assert (seen.kill, seen.error) == (None, f"{DEC_REF}: not made again, so that nobody knows what it found")


def test_a_suite_that_pytest_did_not_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a mutant would survive checks that were never made."""
    reference()
    monkeypatch.setattr(suite_module, "run_suite", partial(run_suite, maker=NoPlugin()))
    seen = judged(())
    assert seen.kill is None
    assert seen.error.startswith("pytest ended with status")


class NoPlugin:
    """Breaks pytest before anything is collected."""

    def pytest_configure(self) -> None:
        raise pytest.UsageError("asked for in vain")


def test_checks_that_the_subject_was_never_judged_by_are_an_error() -> None:
    image = image_of()
    known = reference()
    more = replace(known.results[0], check="test_e_refcount.py::test_that_is_gone")
    suite = Suite(requested(image), replace(known, results=(*known.results, more)), mutant())
    suite.make([RUN], {RUN.profile: image})
    assert suite.seen.kill is None
    assert "test_that_is_gone" in suite.seen.error


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_kept() -> None:
    """Values of this module are made for it alone."""
    for each in (image_of, reference, mutant):
        each.cache_clear()
