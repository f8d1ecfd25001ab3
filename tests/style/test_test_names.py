"""The name of a test is a sentence that says what holds: three words or more, a verb among them.

A verb is an auxiliary or a word of `VERBS`. Those of `OF_SEVERAL` look like nouns: they are verbs behind a
word in the plural. A name whose verb is not listed yet is refused, too, until the verb is added here.
Contract checks keep their names, since reports and baselines refer to them.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.style.test_wording import ROOT, TESTS, name_of
from tests.support.each import each

LEAST_WORDS = 3
AUXILIARIES = "are be can cannot could do does had has have is may must need needs never was were will would"
VERBS = """
adds agree allows answers ask asks become becomes began begin begins belongs blames boots break breaks
brings broke brought builds calls came carries changes choose clashes clears come comes compares compiles
complains completes contradict contradicts continues costs counts cover covers crashes cuts decides
declares decodes depends die died dies differ differs disagrees drew drive drops ends enters exist exists
exits explains fails falls fills find finds fires fits flushes follow follows forbid found frees gave gets
gives go goes grows hangs held hides hold holds imports installs judges keep keeps kept kills knows labels
lacks lead leads leaves led left lets lie lies lived loads looks lose loses made make makes marks matches
means meets met mirrors mixes names notices orders outlives outranks overrides owns panics passes plays
predicts prints promises puts raises ran reach reaches reads refuses rejects renews repeats replace
replaces reports restores returns runs said saw say says sees sends serve serves share shares show shows
sleeps spans spares speaks splits stand stands starts stay stays stops stores surpasses survive survives
swallows take takes talks tell tells tile tiles took touches travels trims unpacks uploads uses varies
violates wait waits wants went wins works wraps write writes wrote zoom
"""
"""Forms for one thing, those for several that no noun is written as, and of the past."""
OF_SEVERAL = "answer cost count end name pass play run"
_KNOWN = frozenset([*AUXILIARIES.split(), *VERBS.split()])
_OF_SEVERAL = frozenset(OF_SEVERAL.split())
FILES = [path for path in TESTS if ROOT / "tests" / "contract" not in path.parents]


def is_sentence(name: str) -> bool:
    words = name.split("_")[1:]
    several = any(one.endswith("s") and other in _OF_SEVERAL for one, other in itertools.pairwise(words))
    return len(words) >= LEAST_WORDS and (several or not _KNOWN.isdisjoint(words))


def names_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name


@each(FILES, ids=name_of)
def test_the_name_of_a_test_is_a_sentence(path: Path) -> None:
    assert [name for name in names_in(path) if not is_sentence(name)] == []


def test_every_verb_of_the_list_is_used() -> None:
    words = {word for path in FILES for name in names_in(path) for word in name.split("_")}
    assert (_KNOWN | _OF_SEVERAL) - words == set()


@pytest.mark.parametrize(
    "name",
    [
        "test_guard_bits",
        "test_range_at_each_boundary",
        "test_small_texts",
        "test_the_run_of_a_guest",
        "test_it_works",
        "test_usually_one_guest_a_cpu",
    ],
)
def test_a_name_that_is_no_sentence_is_seen(name: str) -> None:
    assert not is_sentence(name)


@pytest.mark.parametrize(
    "name",
    ["test_a_guest_ends_well", "test_programs_run_at_once", "test_no_guest_is_left", "test_it_never_ends"],
)
def test_a_name_that_is_a_sentence_passes(name: str) -> None:
    assert is_sentence(name)


def test_names_are_found_in_classes_too(tmp_path: Path) -> None:
    path = tmp_path / "test_a.py"
    path.write_text(
        "class A:\n    def test_b(self): ...\n\ndef test_c(): ...\ndef d(): ...\n", encoding="utf-8"
    )
    assert sorted(names_in(path)) == ["test_b", "test_c"]
