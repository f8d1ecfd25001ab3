"""What one round of watching does, for a frame module and for a memory core."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from frame_harness.base.errors import UsageError
from frame_harness.cli.baseline_file import load_baseline
from frame_harness.cli.check import CheckRequest, asked_for, examine
from frame_harness.cli.core import CoreRequest, examine_core, remember_core, selected
from frame_harness.cli.endings import ending
from frame_harness.cli.last_broken import broken_last, remember
from frame_harness.cli.reporting import Examined
from frame_harness.contract.functions import Functions
from frame_harness.image.changed_code import changed_functions
from frame_harness.image.image import Image
from frame_harness.image.placed import KERNEL_S_NAME
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import CheckInRun, CheckResult, Evidence, RunKey
from frame_harness.judge.verdict import judge
from frame_harness.memory_core.owning_files import OWNERSHIP
from frame_harness.memory_core.tree import NEEDED
from frame_harness.report.progress import Progress
from frame_harness.session import results
from frame_harness.session.request import info_of
from frame_harness.session.runs import BUILD
from frame_harness.session.selection import require_selection
from frame_harness.session.suite import run_suite
from frame_harness.watching.content import WatchedPlace
from frame_harness.watching.loop import Before
from frame_harness.watching.messages import (
    Began,
    Built,
    BuiltImage,
    CheckCame,
    Doing,
    Looked,
    Noted,
    Refused,
    RoundJudged,
    Tell,
)

Answerable = Mapping[CheckInRun, frozenset[str]]
"""By check the functions that it may find broken, by their paths as the contract writes them."""


class FrameRounds:
    """Judges a frame module again and again."""

    def __init__(self, request: CheckRequest) -> None:
        """Collect the checks once: they do not depend on the module's text.

        Raises:
            HarnessError: the request makes no sense: a wrong path, machine, baseline or selection.
        """
        self._request = request
        self._subject, machines = asked_for(request)
        self._checks = _Checks(self._subject.contract.functions)
        selection = ["-k", request.select] if request.select else []
        asked = dataclasses.replace(request.of_a_session(self._subject, machines), evidence=False)
        run_suite(asked, "--collect-only", *selection, listener=self._checks)
        load_baseline(request.baseline, self._subject.contract.clauses)
        if not self._checks.of:
            raise nothing_selected(request.select)

    @property
    def checks(self) -> Answerable:
        """Those that every round makes."""
        return self._checks.of

    @property
    def place(self) -> WatchedPlace:
        """The module, and its own modules, which lie where rustc looks for them in a kernel."""
        path = self._subject.path
        folders = (path.with_suffix(""),) if path.name == KERNEL_S_NAME else ()
        return WatchedPlace((path,), folders=folders)

    def judge(self, before: Before, tell: Tell) -> None:
        """Judge the module as it is now, and say what is seen."""
        began = time.monotonic()
        telling = _Telling(tell)

        def order(images: Sequence[Image]) -> frozenset[CheckInRun]:
            changed = _changed(before.images, images)
            broken = before.standing.checks or {one.place for one in broken_last(self._subject)}
            first = first_of(self._checks.of, changed or frozenset(), broken)
            sources = dict.fromkeys(file for image in images for file, _ in image.sources)
            tell(
                Built(
                    seconds=time.monotonic() - began,
                    images=tuple(
                        BuiltImage(elf=str(one.elf), sha256=one.sha256, profile=one.profile) for one in images
                    ),
                    sources=tuple(file for file in sources if Path(file) != self._subject.path),
                    changed=None if changed is None else tuple(sorted(changed)),
                    first=len(first),
                )
            )
            if len(first) < len(self._checks.of):
                telling.tell_after(first, partial(self._so_far, images[-1].subject))
            return first

        found = examine(self._request, telling, order)
        if not found.evidence.interrupted:
            remember(found.subject, found.evidence.checks)
            tell(_judged(found))

    def _so_far(self, subject: Subject, seen: Sequence[CheckResult]) -> Looked:
        runs = tuple(dict.fromkeys(one.run for one in seen))
        evidence = Evidence(subject=info_of(subject), planned_runs=runs, checks=tuple(seen))
        known = load_baseline(self._request.baseline, subject.contract.clauses)
        return Looked(evidence=evidence, verdict=judge(evidence, subject.contract, known))


class CoreRounds:
    """Judges a memory core again and again: first the cases that showed faults, then all."""

    def __init__(self, request: CoreRequest) -> None:
        """Find the core.

        Raises:
            HarnessError: the request makes no sense: a wrong path, baseline or selection.
        """
        self._request = request
        self._subject = request.core().subject
        require_selection(request.select, self._subject.contract.clauses)
        load_baseline(request.baseline, self._subject.contract.clauses)
        if not selected(request.select):
            raise nothing_selected(request.select)

    @property
    def place(self) -> WatchedPlace:
        """The core's files, with those of the ownership of blocks, which may come or go, and own modules."""
        folder = self._subject.path
        needed = tuple(folder / name for name in NEEDED)
        others = tuple(folder / name for name in OWNERSHIP)
        return WatchedPlace(needed, others, tuple(file.with_suffix("") for file in (*needed, *others)))

    def judge(self, before: Before, tell: Tell) -> None:
        """Judge the core as it is now, and say what is seen."""
        telling = _Telling(tell)
        if cases := before.standing.cases:
            part = examine_core(self._request, telling, cases)
            if not part.evidence.errors and not part.evidence.interrupted:
                tell(Looked(evidence=part.evidence, verdict=part.verdict))
        found = examine_core(self._request, telling)
        if not found.evidence.interrupted:
            remember_core(self._request, found)
            tell(_judged(found))


def guarded(rounds: FrameRounds | CoreRounds, before: Before, tell: Tell) -> None:
    """Judge; what goes wrong is said in one line, as the command `check` says it."""
    try:
        rounds.judge(before, tell)
    except Exception as error:  # a round that ends in silence would look like one that still goes on
        status, words = ending(error)
        tell(Refused(status=status, words=words))


def first_of(
    checks: Answerable, changed: Collection[str], broken: Collection[CheckInRun]
) -> frozenset[CheckInRun]:
    """The checks that are made first: those that were broken, and those of functions that changed.

    Args:
        changed: full paths, `kernel_shim::memory::frame::MetaSlot::dec_ref`.
    """
    ends = {end for path in changed for end in _ends_of(path)}
    return frozenset(check for check, functions in checks.items() if functions & ends) | (
        checks.keys() & set(broken)
    )


def _ends_of(path: str) -> Iterable[str]:
    """`MetaSlot::dec_ref`, and every other end of a path that begins with a whole name."""
    names = path.split("::")
    return ("::".join(names[at:]) for at in range(len(names)))


def _judged(found: Examined) -> RoundJudged:
    """What is told of it; a report of `check` advises to run the command again, which a save does here."""
    errors = tuple(replace(one, next="") if one.what == BUILD else one for one in found.evidence.errors)
    evidence = replace(found.evidence, errors=errors)
    return RoundJudged(evidence=evidence, verdict=found.verdict, known=found.known)


def _changed(before: Sequence[BuiltImage], images: Sequence[Image]) -> frozenset[str] | None:
    """The functions whose machine code is another than in the images of the round before.

    Returns:
        None where that is not known.
    """
    earlier = {one.profile: one for one in before}
    found: set[str] = set()
    for image in images:
        of_profile = earlier.get(image.profile)
        if of_profile is None or not Path(of_profile.elf).is_file():  # the build folder is bounded
            return None
        old = Image(Path(of_profile.elf), of_profile.sha256, image.profile, image.subject)
        changed = changed_functions(old, image)
        if changed is None:
            return None
        found |= changed
    return frozenset(found)


def nothing_selected(select: str) -> UsageError:
    """Say that a selection leaves nothing to judge."""
    return UsageError(
        "selection", repr(select), expected="a clause's id or a check's name", actual="neither",
        next_step="`clauses` lists ids and checks",
    )  # fmt: skip


class _Checks:
    """A plugin of pytest that notes what each check may find broken."""

    def __init__(self, functions: Functions) -> None:
        self.of: dict[CheckInRun, frozenset[str]] = {}
        self._functions = functions

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if (check := results.planned_check(item)) is not None:
                named = {results.blamed_function(item)} | self._of_clauses(check.clauses)
                self.of[CheckInRun(run=check.run, check=check.check)] = frozenset(named - {""})

    def _of_clauses(self, clauses: Iterable[str]) -> set[str]:
        functions = self._functions
        named = {one for clause in clauses for one in functions.of_clause.get(clause, ())}
        return named | {one for one, clause in functions.must_return.items() if clause in clauses}


class _Telling(Progress):
    """Hands on what goes on; once the first checks are over, what they saw."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(Console(quiet=True))
        self._tell = tell
        self._seen: list[CheckResult] = []
        self._left: set[CheckInRun] = set()
        self._so_far: Callable[[Sequence[CheckResult]], Looked] | None = None

    def tell_after(
        self, first: Iterable[CheckInRun], so_far: Callable[[Sequence[CheckResult]], Looked]
    ) -> None:
        """Once these checks came to their end, tell what was seen until then."""
        self._left, self._so_far = set(first), so_far

    def step(self, what: str) -> None:
        self._tell(Doing(words=what))

    def note(self, text: str) -> None:
        self._tell(Noted(words=text))

    def begin(self, run: RunKey, total: int) -> None:
        self._tell(Began(run=run, total=total))

    def check(self, run: RunKey, check: str, clauses: tuple[str, ...]) -> None:
        pass  # the count of those that came to their end says enough

    def result(self, result: CheckResult) -> None:
        self._tell(CheckCame(result=result))
        self._seen.append(result)
        check = CheckInRun(run=result.run, check=result.check)
        if self._so_far is not None and check in self._left:
            self._left.remove(check)
            if not self._left:
                self._tell(self._so_far(self._seen))
