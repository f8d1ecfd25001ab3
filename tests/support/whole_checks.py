"""Puts every bug of the red suite through a whole `frame-harness check` on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.exit_codes import VerdictKind, exit_code
from tests.support.blame import first_finding
from tests.support.doors import Judged, check
from tests.support.edit_place import changed_items
from tests.support.frame_mutants import MUTANTS
from tests.support.history_mutants import AFTER_REFILL, POISON_IN_CACHE
from tests.support.mutants import apply, kept
from tests.support.ordering_mutants import COMMON
from tests.support.ordering_mutants_own import BUILTIN
from tests.support.race_mutants import LOOKED_AHEAD, SEEDED
from tests.support.worst_mutants import WORST

# What a bug breaks beside the clause that it is there for.
OR_FIRST = {
    # A bit of the flags that an earlier life left keeps a frame from being handed out.
    "allocation asks the flags for poison": frozenset({"ALLOC-02"}),
    "the flags' poison counts, not the guard's": frozenset({"ALLOC-02"}),
    # The scan finds poison where there is none; that a block never comes home follows from it.
    "the last block of 16 MiB never comes home": frozenset({"GUARD-06"}),
    # A count that is looked at, then changed, is wrong where two CPUs do it.
    "drop-and-claim": frozenset({"REF-04"}),
    "take-poison-last-and-generation": frozenset({"REF-04"}),
}

VERDICTS = frozenset({VerdictKind.FAIL, VerdictKind.CRASH})
"""Of a broken subject. None of the bugs here makes a guest hang, so TIMEOUT is none of them."""


@dataclass(frozen=True)
class WholeCase:
    """One broken frame module with what a whole run must say about it.

    Attributes:
        text: of the module.
        clauses: that must be among the findings; where there are `any_of`, one of them suffices.
        also_blamed: paths of items that may be blamed beside those that were changed.
        or_first: clauses that are broken as well, and that a user may read first.
        measured: whether the finding that is read first counts; a weakened ordering may break more than the
            ordering clause that it declares.
    """

    name: str
    text: str
    clauses: frozenset[str]
    profile: str = "release"
    machine: str = "microvm"
    any_of: bool = False
    also_blamed: frozenset[str] = frozenset()
    or_first: frozenset[str] = frozenset()
    measured: bool = True

    @property
    def changed(self) -> frozenset[str]:
        """Paths of the items of the built-in module that are not what they were."""
        before = frame_module().path.read_text(encoding="utf-8")
        return changed_items(before, self.text) | self.also_blamed

    def missed(self, found: set[str]) -> frozenset[str]:
        """The declared clauses that are not among the findings."""
        if self.any_of and self.clauses & found:
            return frozenset()
        return self.clauses - found


def whole_cases() -> list[WholeCase]:
    """Every bug of the red suite that lies in the frame module, each in a build of its own."""
    text = frame_module().path.read_text(encoding="utf-8")
    cases = [
        WholeCase(
            bug.name, apply(text, bug.edits, name=bug.name), bug.clauses, bug.profile, bug.machine,
            also_blamed=bug.functions, or_first=OR_FIRST.get(bug.name, frozenset()),
        )
        for bug in (*MUTANTS, *WORST)
    ]  # fmt: skip
    cases += [
        WholeCase(f"race {name}", apply(text, edits, name=name), frozenset({clause}))
        for name, (edits, _, _, clause) in SEEDED.items()
    ]
    cases += [
        WholeCase(
            f"race {name}", apply(text, edits, name=name), frozenset(clauses),
            or_first=OR_FIRST.get(name, frozenset()),
        )
        for name, (edits, _, clauses) in LOOKED_AHEAD.items()
    ]  # fmt: skip
    cases += [
        WholeCase(each.name, each.apply(text), each.clauses, any_of=True)
        for each in (AFTER_REFILL, POISON_IN_CACHE)
    ]
    cases += [
        WholeCase(f"ordering {each.name}", each.apply(text), each.clauses, measured=False)
        for each in (*COMMON, *BUILTIN)
    ]
    return cases


def whole_check(case: WholeCase, folder: Path, *arguments: str) -> Judged:
    """Judge a case by all checks of one machine and profile, as its user would; `folder` gets the report."""
    return check(
        folder, "--frame-rs", kept(case.text), "--machine", case.machine, "--profile", case.profile,
        "-n", "1", *arguments,
    )  # fmt: skip


def expect_broken(case: WholeCase, result: Judged) -> None:
    """Require that the subject is blamed, never the harness, and that each declared clause is named."""
    stopped = [reason for reason in result.report.get("reasons", []) if reason["kind"] == VerdictKind.ERROR]
    assert stopped == [], result.out
    assert result.kind in VERDICTS, result.out
    assert (result.status, result.survivors) == (exit_code(result.kind), ()), result.out
    assert case.missed(result.violated) == frozenset(), result.out


def expect_blamed(case: WholeCase, result: Judged) -> None:
    """Require that the finding which a user reads first names a declared clause and what was changed."""
    first = first_finding(result.report, case.text)
    assert first is not None, result.out
    expected = case.clauses | case.or_first
    assert first.clause in expected, f"{first} instead of {sorted(expected)}\n{result.out}"
    assert first.item in case.changed, f"{first} instead of {sorted(case.changed)}\n{result.out}"
