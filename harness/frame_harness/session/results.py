"""Turns what pytest saw of one check into the evidence that is judged."""

from __future__ import annotations

import re
import struct
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from urllib.parse import quote

import pytest
from msgspec.structs import asdict, replace

from frame_harness.base.errors import HarnessError, MachineError, RamError
from frame_harness.console.protocol import has_mark
from frame_harness.contract.clauses import Clauses
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.backtrace import Backtrace, calls, texts
from frame_harness.guest.checks import ClauseViolated, NotEvaluated, OtherClauseViolated
from frame_harness.guest.errors import (
    AllocFailed,
    CommandRefused,
    GuestCrashed,
    GuestEndError,
    GuestTimeout,
    NotInThisVersion,
    OtherAnswer,
    QemuEndError,
    SubjectPanic,
    told,
)
from frame_harness.image.image import Image
from frame_harness.image.placed import is_part_of
from frame_harness.judge.evidence import (
    WELL,
    CheckFacts,
    CheckInRun,
    CheckResult,
    FieldValues,
    LayoutEvidence,
    Level,
    Outcome,
    PlannedCheck,
    RunKey,
    SlotBytes,
    Source,
    Witness,
)

Phases = dict[str, tuple[pytest.TestReport, BaseException | None]]
"""By the name of each phase of a check what pytest reports of it, with what it raised."""
CONSOLE_TAIL = 8
TRACEBACK_LINES = 4
OF_PREFLIGHT = f"{Source.PREFLIGHT}::"
"""Begins the names of results of invariants that did not hold before the first check."""
ON_THE_WAY = f"{Source.ON_THE_WAY}::"
"""Begins the names of results that no check was planned for: what checks of other clauses met."""
UNREADABLE = (LookupError, ValueError, OverflowError, struct.error, RamError, CommandRefused)
"""What reading a guest's data, or asking for more with it, raises where nobody foresaw what is there."""
# How numpy says it of an array and of its dtype.
_NO_FIELD = re.compile(r"no field of name (\w+)|Field named '(\w+)' not found\.")


def planned_run(item: pytest.Item) -> RunKey | None:
    """The run that a check was collected for; None for a test that needs no guest."""
    callspec = getattr(item, "callspec", None)
    key = callspec.params.get("frame_run") if callspec else None
    return key if isinstance(key, RunKey) else None


def planned_check(item: pytest.Item) -> PlannedCheck | None:
    """A check with its run and its clauses; None for a test that lacks either."""
    run, clauses = planned_run(item), clauses_of(item)
    return PlannedCheck(run=run, check=check_name(item), clauses=clauses) if run and clauses else None


def is_one_of(item: pytest.Item, checks: Collection[CheckInRun]) -> bool:
    """Whether a test is one of these checks."""
    check = planned_check(item)
    return check is not None and CheckInRun(run=check.run, check=check.check) in checks


def shares_a_fixture(item: pytest.Item) -> bool:
    """Whether a test shares something with others of its module, perhaps a guest."""
    if not isinstance(item, pytest.Function):
        return False
    defined = item._fixtureinfo.name2fixturedefs
    return any(each.scope in ("module", "class", "package") for every in defined.values() for each in every)


def check_name(item: pytest.Item) -> str:
    """The name of a check without its run: `test_d_allocation.py::test_x[pagetable]`."""
    name = item.name
    if isinstance(item, pytest.Function) and (run := planned_run(item)) is not None:
        # The plugin gives a check its run before anybody else gives it a case.
        case = item.callspec.id.removeprefix(run_id(run)).removeprefix("-")
        name = f"{item.originalname}[{case}]" if case else item.originalname
    return f"{item.path.name}::{name}"


def run_id(run: RunKey) -> str:
    """How a run is written in a test's id: in signs that pytest leaves as they are."""
    return f"{quote(run.machine)}:{run.profile}"


def clauses_of(item: pytest.Item) -> tuple[str, ...]:
    """The contract clauses that a check names in its markers."""
    names = [name for mark in item.iter_markers("clause") for name in mark.args]
    return tuple(dict.fromkeys(names))


def blamed_function(item: pytest.Item) -> str:
    """The subject's function that a check blames; empty when it names none."""
    return next((mark.kwargs["at"] for mark in item.iter_markers("clause") if "at" in mark.kwargs), "")


def level_of(item: pytest.Item) -> Level:
    """How much goes on in a check, as its nearest marker says.

    Raises:
        ValueError: the marker does not say it in a word that is known.
    """
    mark = item.get_closest_marker("level")
    if mark is None:
        return Level.CALL
    if len(mark.args) != 1 or mark.args[0] not in list(Level):
        given = ", ".join(map(repr, mark.args)) or "nothing"
        raise ValueError(f"level: expected one of {', '.join(Level)}, got {given}")
    return Level(mark.args[0])


def needs_compiler(item: pytest.Item) -> bool:
    """Whether a check reads what the compiler makes of the subject, and no guest."""
    return level_of(item) is Level.COMPILED


def result_of(
    item: pytest.Item,
    run: RunKey,
    facts: CheckFacts,
    reports: Phases,
    kernels: list[Kernel],
    reproduce: Callable[[], str],
    *,
    slot: SlotBytes | None = None,
) -> CheckResult:
    """What a check came to.

    Args:
        facts: what its phases show.
        reproduce: says how to see it again.
        slot: of the frame that a violation is about.
    """
    duration = sum(report.duration for report, _ in reports.values())
    met = any(isinstance(error, OtherClauseViolated) for _, error in reports.values())
    if met or facts.outcome not in (Outcome.PASSED, Outcome.SKIPPED, Outcome.ABSENT):
        facts = replace(facts, reproduce=reproduce())
        if kernels:
            facts = _with_the_last_guest(facts, kernels[-1])
    if facts.outcome is Outcome.VIOLATED:
        called = facts.calls or frozenset[str]().union(*(kernel.called for kernel in kernels))
        facts = replace(facts, calls=tuple(sorted(called)), slot=slot)
    return CheckResult(
        check=check_name(item), clauses=clauses_of(item), run=run, level=level_of(item),
        duration_s=duration, **asdict(facts),
    )  # fmt: skip


def _with_the_last_guest(facts: CheckFacts, last: Kernel) -> CheckFacts:
    """Add what a check's last guest tells, where the error does not."""
    tail = last.console_tail(CONSOLE_TAIL)
    if facts.outcome is Outcome.VIOLATED:
        # The guest lives: commands with their replies say all but what it printed of its own accord.
        tail = tuple(line for line in tail if not has_mark(line))
    return replace(
        facts,
        commands=tuple(last.commands),
        console_tail=facts.console_tail or tail,
        console_bytes=facts.console_bytes or last.channel.transcript.n_received,
        events=facts.events or told(last.guest.events(ask=False)),
    )


def of_the_phases(
    item: pytest.Item, image: Image | None, layout: LayoutEvidence | None, reports: Phases
) -> tuple[CheckFacts, str]:
    """What the first phase shows that came to a fault, or else the first that did not pass, with that phase.

    Args:
        layout: what the run's preflight saw of it, if it came so far.
    Returns:
        no phase where all passed.
    """
    shown: list[tuple[CheckFacts, str]] = []
    for phase in (phase for phase in ("setup", "call", "teardown") if phase in reports):
        report, error = reports[phase]
        # A failure that was expected is one all the same; pytest calls it skipped.
        if report.failed or (report.skipped and hasattr(report, "wasxfail")):
            shown.append((_of_a_failure(error, item, image, layout), phase))
        elif report.skipped:
            shown.append((CheckFacts(outcome=Outcome.SKIPPED, message=skip_reason(report)), phase))
    faults = [one for one in shown if one[0].outcome not in WELL]
    return next(iter([*faults, *shown]), (CheckFacts(outcome=Outcome.PASSED), ""))


def _of_a_failure(
    error: BaseException | None, item: pytest.Item, image: Image | None, layout: LayoutEvidence | None
) -> CheckFacts:
    if isinstance(error, OtherClauseViolated) and error.clause not in clauses_of(item):
        message = f"{error.clause} is broken: {error}"
        return CheckFacts(outcome=Outcome.SKIPPED, message=message, hindered_by=error.clause)
    if isinstance(error, NotInThisVersion):
        return CheckFacts(outcome=Outcome.ABSENT, message=error.summary, lacks=error.lacks)
    if image and isinstance(error, (ValueError, KeyError)) and (field := _no_such_field(error, image)):
        return CheckFacts(outcome=Outcome.ABSENT, message=f"a slot has no {field}", lacks=(field,))
    facts = _facts(error, item, image)
    if facts.outcome is Outcome.ERROR and layout is not None and layout.dwarf is Witness.DIFFERS:
        # The check looks at slots through names and widths that this subject has not. The verdict is
        # a FAIL already, for the layout; that the check cannot look is no fault of the harness.
        return CheckFacts(outcome=Outcome.SKIPPED, message=f"the layout differs: {facts.message}")
    return facts


def seen_on_the_way(
    item: pytest.Item,
    result: CheckResult,
    error: BaseException | None,
    image: Image | None,
    slot: SlotBytes | None = None,
) -> CheckResult | None:
    """What a check met that is broken and not its own to judge, as a result of that clause.

    Its name is the same whichever check meets it, so that one cause is one finding.
    """
    if not isinstance(error, OtherClauseViolated) or error.clause in clauses_of(item):
        return None
    return CheckResult(
        check=f"{ON_THE_WAY}{error.clause}",
        clauses=(error.clause,),
        run=result.run,
        outcome=Outcome.VIOLATED,
        duration_s=0.0,
        level=result.level,
        message=error.what,
        expected=error.expected,
        got=error.got,
        frame=error.frame,
        field=error.field,
        diagram=error.diagram,
        at=error.at or _panic_line(error, image) or _line_of(error.function, image),
        function=error.function,
        calls=tuple(sorted(error.calls)),
        incidental=error.incidental,
        commands=result.commands,
        console_tail=result.console_tail,
        console_bytes=result.console_bytes,
        events=result.events,
        reproduce=result.reproduce,
        slot=slot,
        values=_values(error),
        panicked=error.panicked,
        source=Source.ON_THE_WAY,
    )


def skip_reason(report: pytest.TestReport) -> str:
    """The words of a skip, without pytest's prefix."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _facts(error: BaseException | None, item: pytest.Item, image: Image | None) -> CheckFacts:
    blamed = blamed_function(item)
    at = _line_of(blamed, image)
    match error:
        case ClauseViolated():
            own = _line_of(error.function, image)
            return CheckFacts(
                outcome=Outcome.VIOLATED, message=error.what, expected=error.expected, got=error.got,
                frame=error.frame, field=error.field, exhibit=error.exhibit,
                at=error.at or _panic_line(error, image) or own or at, function=error.function or blamed,
                calls=tuple(error.calls), breaks=error.breaks, diagram=error.diagram, values=_values(error),
                panicked=error.panicked,
            )  # fmt: skip
        case SubjectPanic():
            return CheckFacts(
                outcome=Outcome.VIOLATED, message=f"`{error.request}` panicked", expected="no panic",
                got=error.message, at=_panic_line(error, image) or at, function=blamed,
                backtrace=texts(error.backtrace), incidental=True, diagram=error.diagram, panicked=True,
            )  # fmt: skip
        case OtherAnswer():
            return CheckFacts(
                outcome=Outcome.VIOLATED, message=f"`{error.request}` answered otherwise",
                expected=f"an answer with {error.key}", got=error.answer, at=at, function=blamed,
                incidental=True,
            )  # fmt: skip
        case AllocFailed():
            return CheckFacts(
                outcome=Outcome.VIOLATED, message=f"`{error.request}` failed", expected="success",
                got=error.kind, at=at, function=blamed, incidental=True,
            )  # fmt: skip
        case NotEvaluated():
            return CheckFacts(outcome=Outcome.NOT_EVALUATED, message=error.summary, at=at)
        # The latter of `pytest.raises` where nothing was raised.
        case AssertionError() | pytest.fail.Exception():
            message = str(error).split("\n")[0]
            return CheckFacts(outcome=Outcome.VIOLATED, message=message, at=at, function=blamed)
        case GuestEndError():
            there = "" if isinstance(error, QemuEndError) else at
            return CheckFacts(
                outcome=broken_off(error), message=error.summary,
                at=_innermost_line(error.backtrace, image) or there, console_tail=error.console_tail,
                backtrace=texts(error.backtrace), registers=error.registers,
                console_bytes=error.console_bytes, events=told(error.events),
            )  # fmt: skip
        case HarnessError():
            unreadable = isinstance(error, UNREADABLE)
            there = "" if isinstance(error, MachineError) and not unreadable else at
            return CheckFacts(outcome=Outcome.ERROR, unreadable=unreadable, message=error.summary, at=there)
        case None:
            return CheckFacts(outcome=Outcome.ERROR, message="failed without an exception")
        case _:
            return _unforeseen(error)


def _values(error: ClauseViolated) -> FieldValues | None:
    if error.values is None:
        return None
    sides = (error.values.expected, error.values.got, error.values.before)
    expected, got, before = ({name: int(value) for name, value in side.items()} for side in sides)
    return FieldValues(expected=expected, got=got, before=before)


def _unforeseen(error: BaseException) -> CheckFacts:
    where = traceback.extract_tb(error.__traceback__)[-TRACEBACK_LINES:]
    words = str(error).splitlines()[0] if str(error) else ""
    return CheckFacts(
        outcome=Outcome.ERROR,
        unreadable=isinstance(error, UNREADABLE),
        message=f"{type(error).__name__}: {words}",
        backtrace=tuple(f"{Path(f.filename).name}:{f.lineno} in {f.name}" for f in reversed(where)),
    )


def _no_such_field(error: ValueError | KeyError, image: Image) -> str:
    """The field of a slot that numpy did not find, where this version of the subject lacks it."""
    found = _NO_FIELD.fullmatch(str(error.args[0]) if error.args else "")
    name = f"{image.subject.contract.slot.name}.{found[1] or found[2]}" if found else ""
    return name if name in image.lacks else ""


def broken_off(error: HarnessError) -> Outcome:
    """How the guest that an error tells about came to its end."""
    if isinstance(error, GuestCrashed):
        return Outcome.CRASHED
    return Outcome.TIMEOUT if isinstance(error, GuestTimeout) else Outcome.ERROR


def _panic_line(error: BaseException, image: Image | None) -> str:
    """The subject's line that a panic comes from, when that is what a violation is about."""
    cause = error if isinstance(error, SubjectPanic) else error.__cause__
    if image is None or not isinstance(cause, SubjectPanic):
        return ""
    subject = str(image.subject.path)
    if is_part_of(cause.file, subject):
        return f"{cause.file}:{cause.line}"
    # It panicked in a library: the innermost line of the subject on the way there.
    return _innermost_line(cause.backtrace, image)


def _innermost_line(backtrace: Backtrace, image: Image | None) -> str:
    """The subject's innermost line in a backtrace; empty where it has none."""
    if image is None:
        return ""
    subject = str(image.subject.path)
    return next((code.place for code in calls(backtrace) if is_part_of(code.file, subject)), "")


def _line_of(function: str, image: Image | None) -> str:
    place = image.item_line(function) if image and function else None
    return f"{place[0]}:{place[1]}" if place else ""


def sections(item: pytest.Item, kernels: list[Kernel], clauses: Clauses) -> list[tuple[str, str]]:
    """What a failing test shows beside its traceback: the clauses' words, the last commands, the console."""
    shown = [("contract", "\n".join(f"{id_}: {clauses[id_].title}" for id_ in clauses_of(item)))]
    if kernels:
        last = kernels[-1]
        shown.append(("last commands", "\n".join(last.commands)))
        shown.append(("console", "\n".join(last.console_tail(CONSOLE_TAIL))))
    return [(title, text) for title, text in shown if text]
