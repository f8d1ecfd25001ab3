"""Shows that what ended in the same way is told once."""

from __future__ import annotations

from msgspec.structs import replace

from frame_harness.judge.evidence import CheckResult, Outcome, RunKey, Trouble
from frame_harness.report.causes import causes_of, shared

MICROVM, Q35 = RunKey(machine="microvm", profile="dev"), RunKey(machine="q35", profile="dev")


def broken_off(
    check: str, message: str, *backtrace: str, run: RunKey = MICROVM, outcome: Outcome = Outcome.CRASHED
) -> CheckResult:
    return CheckResult(
        check=check, clauses=("REF-01",), run=run, outcome=outcome, duration_s=0, message=message,
        backtrace=backtrace,
    )  # fmt: skip


def test_one_panic_in_many_checks_is_one_cause() -> None:
    results = [
        broken_off("a", "panic: panic at f.rs:7:1: got 1", "f+0x1 (f.rs:7)"),
        broken_off("b", "panic: panic at f.rs:7:1: got 2", "f+0x1 (f.rs:7)", run=Q35),
        broken_off("c", "panic: panic at f.rs:8:1: got 2", "f+0x9 (f.rs:8)"),
    ]
    causes = causes_of(results, ())
    assert [[result.check for result in cause.results] for cause in causes] == [["a", "b"], ["c"]]
    assert (causes[0].runs, causes[0].others) == ((MICROVM, Q35), ("b",))
    again = [results[0], replace(results[0], run=Q35), results[1], replace(results[1], run=MICROVM)]
    assert [cause.others for cause in causes_of(again, ())] == [("b",)]
    assert [cause.others for cause in causes_of(again[:2], ())] == [()]


def test_panics_at_two_lines_are_two_causes_without_a_backtrace_too() -> None:
    results = [broken_off("a", "panic at f.rs:7:1: no"), broken_off("b", "panic at f.rs:8:1: no")]
    assert len(causes_of(results, ())) == 2


def test_loops_inlined_into_a_wrapper_are_told_apart_by_their_lines() -> None:
    results = [
        broken_off(
            name, "timeout: 3 s", f"core::ops::FnOnce::call_once+0x1 (f.rs:{n})", outcome=Outcome.TIMEOUT
        )
        for n, name in enumerate("ab")
    ]
    assert len(causes_of(results, ())) == 2


def test_a_loop_met_at_two_lines_is_one_cause() -> None:
    results = [
        broken_off(name, f"timeout: 3.{n} s", f"f+{n:#x} (f.rs:{n})", outcome=Outcome.TIMEOUT)
        for n, name in enumerate("ab")
    ]
    assert len(causes_of(results, ())) == 1


def test_what_a_trouble_of_the_run_explains_is_counted_with_it() -> None:
    troubles = [
        Trouble(
            what="preflight", message=f"panic at f.rs:7:1: I got {count}", run=run, outcome=Outcome.CRASHED
        )
        for run, count in ((MICROVM, 6144), (Q35, 8192))
    ]
    results = [broken_off(name, one.message, run=one.run) for one in troubles if one.run for name in "ab"]
    assert causes_of(results, troubles) == []
    [told] = shared(troubles, results)
    assert (told.runs, told.stopped) == ((MICROVM, Q35), 4)
