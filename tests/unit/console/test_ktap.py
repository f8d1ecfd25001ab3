"""Proves that a KTAP stream passes only when it proves something."""

from __future__ import annotations

import pytest

from frame_harness.base.errors import KtapError
from frame_harness.console import ktap

GOOD = ["KTAP version 1", "1..3", "ok 1 - split", "# why", "ok 2 coalesce", "ok 3 - cache # SKIP one CPU"]


def test_complete_plan_without_failure_passes() -> None:
    result = ktap.parse(GOOD)
    assert result.passed and result.plan == 3 and result.problems == ()
    assert [test.name for test in result.tests] == ["split", "coalesce", "cache"]
    assert result.tests[1].diagnostics == ("# why",)
    assert result.tests[2].skipped and result.tests[2].reason == "one CPU" and len(result.ran) == 2


def test_one_failure_fails_the_stream() -> None:
    result = ktap.parse(["KTAP version 1", "1..2", "ok 1 - a", "not ok 2 - b # it broke"])
    assert not result.passed and [test.name for test in result.failures] == ["b # it broke"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["1..0"], "at least one"),
        ([], "got none"),
        (["ok 1 - a"], "got none"),
        (["1..2", "ok 1 - a"], "expected 2, got 1"),
        (["1..1", "ok 1 - a", "ok 2 - b"], "expected 1, got 2"),
        (["1..2", "ok 1 - a", "ok 1 - b"], "numbering: expected 2, got 1"),
        (["1..2", "ok 2 - a", "ok 1 - b"], "numbering: expected 1, got 2"),
        (["1..1", "1..1", "ok 1 - a"], "a second"),
        (["ok 1 - a", "1..1"], "before the first result"),
    ],
)
def test_stream_that_contradicts_itself_never_passes(lines: list[str], problem: str) -> None:
    result = ktap.parse(["KTAP version 1", *lines])
    assert not result.passed and problem in " / ".join(result.problems)


def test_run_of_nothing_but_skips_is_not_a_pass() -> None:
    result = ktap.parse(["KTAP version 1", "1..1", "ok 1 - a # SKIP no memory"])
    assert not result.passed and not result.problems and not result.ran


@pytest.mark.parametrize("word", ["TIMEOUT", "ERROR"])
def test_directive_of_a_test_that_did_not_end_is_a_failure(word: str) -> None:
    assert not ktap.parse(["KTAP version 1", "1..1", f"ok 1 - a # {word} late"]).passed


@pytest.mark.parametrize(
    "lines", [[], ["1..1"], ["KTAP version 2"], ["TAP version 13"], ["KTAP version 1", "okay"]]
)
def test_what_is_no_ktap_is_refused(lines: list[str]) -> None:
    with pytest.raises(KtapError):
        ktap.parse(lines)


def test_indented_lines_belong_to_the_result_that_follows() -> None:
    result = ktap.parse(["KTAP version 1", "1..1", "    ok 1 - inner", "ok 1 - outer"])
    assert result.passed and result.tests[0].diagnostics == ("    ok 1 - inner",)
