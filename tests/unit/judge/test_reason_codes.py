"""Programs know reasons by their codes, so the words of these stay as they are."""

from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import Outcome
from frame_harness.judge.reason import BROKEN_OFF, CODE_OF_BROKEN_OFF, ReasonCode
from frame_harness.report.json_report import document
from tests.support.judging import judge
from tests.unit.evidence_samples import TABLE, healthy, with_outcome

WORDS = {
    "trouble", "subject", "subject-changed", "image", "no-runs", "runs", "no-guest", "guests", "exit",
    "layout", "layout-witness", "layout-unread", "dumps", "dump-witness", "no-dump",
    "no-selftest", "selftest", "selftest-incomplete", "no-invariants", "empty-invariant",
    "invariants-missing", "no-checks", "plan", "stray-check", "check-clause", "check-crashed",
    "check-timeout", "check-error", "check-not-evaluated", "absence", "all-absent", "all-skipped",
    "violation", "clause-unjudged", "interrupted",
}  # fmt: skip


def test_no_code_gets_another_word() -> None:
    assert {code.value for code in ReasonCode} == WORDS


def test_each_way_to_come_to_no_end_has_the_code_of_its_word() -> None:
    assert {how: code.value for how, code in CODE_OF_BROKEN_OFF.items()} == {
        how: f"check-{how}" for how in BROKEN_OFF
    }


def test_json_has_the_word_of_a_code() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.CRASHED, message="#PF at 0x0")
    reasons = document(evidence, judge(evidence), EMPTY)["reasons"]
    assert {reason["code"] for reason in reasons} == {"check-crashed"}
