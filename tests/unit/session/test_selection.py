"""What a finding names for `-k` selects the case that failed, and no other one."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

import pytest
from _pytest.mark.expression import Expression

from frame_harness.base.errors import UsageError
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.machine.definition import load_machines
from frame_harness.session.request import SessionRequest
from frame_harness.session.results import clauses_of
from frame_harness.session.selection import matcher_of, require_selection, selection_of, without_campaigns
from frame_harness.session.suite import run_suite

pytest_plugins = ["pytester"]

HARD = """
import pytest

@pytest.mark.parametrize("case", [
    "plain", "two words", "two", "words", "not", "a and b", "'quoted'", '"both"', "$HOME", "`id`", "a*",
    "größe", "(x)", "a=b", "a,b", "back\\\\slash", "tab\\t", "UPPER", "100%",
])
def test_it(case): ...

def test_it_more(): ...

def test_alone(): ...
"""


class Collector:
    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items += session.items


def selected(selection: str, items: Sequence[pytest.Item]) -> list[str]:
    expression = Expression.compile(selection)
    return [item.name for item in items if expression.evaluate(matcher_of(item))]


def through_a_shell(selections: Sequence[str]) -> list[str]:
    """What a program sees of words that are pasted into a shell."""
    script = f'for word in {shlex.join(selections)}; do printf "%s\\n" "$word"; done'
    return subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_each_check_of_the_suite_is_selected_alone() -> None:
    collector = Collector()
    request = SessionRequest(
        subject=frame_module(), machines=load_machines(["microvm"]), profiles=("dev",), any_machine=True
    )
    run_suite(request, "--collect-only", listener=collector)
    items = collector.items
    selections = [selection_of(item, items) for item in items]
    assert len(items) > 300 and any("[" in one for one in selections)
    for item, selection in zip(items, selections, strict=True):
        require_selection(selection, FRAME_METADATA.clauses)
        assert selected(selection, items) == [item.name]
    assert through_a_shell(selections) == selections


def test_function_without_cases_is_named_by_its_name(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(HARD)
    assert selection_of(items[-1], items) == "test_alone"
    assert selection_of(items[-2], items) == "test_it_more"


def test_a_case_is_selected_alone_unless_it_differs_only_in_what_k_does_not_know(
    pytester: pytest.Pytester,
) -> None:
    items = pytester.getitems(HARD)
    by_case = {item.name: selection_of(item, items) for item in items if "[" in item.name}
    chosen = {name: selected(selection, items) for name, selection in by_case.items()}
    assert all(name in names for name, names in chosen.items())
    beside = {"test_it[a and b]", "test_it[a*]", "test_it[(x)]", "test_it[a=b]", "test_it[a,b]"}
    assert {name for name, names in chosen.items() if names != [name]} == beside
    assert len(chosen["test_it[(x)]"]) < len(by_case)
    assert by_case["test_it[two words]"] == "test_it[two and words]"
    assert through_a_shell(list(by_case.values())) == list(by_case.values())


CAMPAIGN = """\
import pytest

@pytest.mark.clause("REF-01")
def test_made_for_it():
    pass

@pytest.mark.campaign
@pytest.mark.parametrize("clause", [
    pytest.param(id_, marks=pytest.mark.clause(id_), id=id_) for id_ in ("REF-01", "REF-02")
])
def test_campaign(clause):
    pass
"""


@pytest.mark.parametrize(
    ("select", "chosen"),
    [
        ("", ["test_made_for_it", "test_campaign[REF-01]", "test_campaign[REF-02]"]),
        ("REF-01", ["test_made_for_it"]),
        ("ref", ["test_made_for_it", "test_campaign[REF-02]"]),
        ("REF-02", ["test_campaign[REF-02]"]),
        ("test_campaign and REF-01", ["test_campaign[REF-01]"]),
        ("not REF-02", ["test_made_for_it", "test_campaign[REF-01]"]),
    ],
    ids=["whole", "id", "section", "id-of-no-other-check", "name", "all-but-one"],
)
def test_id_of_a_clause_selects_no_campaign_where_a_check_is_made_for_it(
    pytester: pytest.Pytester, select: str, chosen: list[str]
) -> None:
    items = pytester.getitems(CAMPAIGN)
    for item in items:
        item.extra_keyword_matches.update(clauses_of(item))
    by_k = [item for item in items if not select or item.name in selected(select, items)]
    assert [item.name for item in without_campaigns(select, by_k)] == chosen


@pytest.mark.parametrize(
    "selection", [" \t", "(", "a or", "mark(name=1)", "a and (b or c(d='x'))", "not" * 3 + " not"]
)
def test_what_is_no_selection_is_refused_before_pytest_hears_of_it(selection: str) -> None:
    with pytest.raises(UsageError, match="next: write it like"):
        require_selection(selection, FRAME_METADATA.clauses)
