"""Makes a check again and again: to find what fails, where that happens, and to hold it there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import pytest

from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.debugging.guests import CountedGuests, Position
from frame_harness.debugging.waiting import end_guests
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckInRun, CheckResult, Outcome
from frame_harness.judge.reason import BROKEN_OFF
from frame_harness.session import results
from frame_harness.session.plugin import SESSION
from frame_harness.session.preflight import Facts
from frame_harness.session.request import SessionRequest
from frame_harness.session.run import GUESTS, NO_SELFTEST, UNREAD_LAYOUT
from frame_harness.session.selection import without_campaigns
from frame_harness.session.suite import run_suite

FAILED = frozenset({Outcome.VIOLATED, *BROKEN_OFF})
_NOTHING_LOOKED_AT = Facts(layout=UNREAD_LAYOUT, selftest=NO_SELFTEST, invariants={}, violated=())


@dataclass(frozen=True)
class FailedCheck:
    """A check that failed.

    Attributes:
        at: what it had asked last.
        commands: of each of its guests.
        driven: the check itself drives that guest by a debugger.
    """

    result: CheckResult
    image: Image
    at: Position
    commands: tuple[tuple[str, ...], ...]
    driven: bool = False

    @property
    def check(self) -> CheckInRun:
        """The check with the run that it failed in."""
        return CheckInRun(run=self.result.run, check=self.result.check)

    def command(self, position: Position) -> str:
        """The command at a position; empty at power-on."""
        return self.commands[position.guest][position.command] if position.command >= 0 else ""


@dataclass(frozen=True)
class MadeChecks:
    """What came of checks that were made until one failed.

    Attributes:
        failure: None where none failed.
        outcomes: of those that did not fail, how often each came; many of them may have looked at nothing.
        reasons: what the first check of an outcome said, where it said anything.
    """

    failure: FailedCheck | None
    outcomes: Mapping[Outcome, int]
    reasons: Mapping[Outcome, str]


def first_failure(
    request: SessionRequest,
    check: str,
    guests: CountedGuests | None = None,
    on_failure: Callable[[], None] | None = None,
) -> MadeChecks:
    """Make the checks of a name, or of a clause, until one of them fails.

    Args:
        guests: where the guests of checks come from.
        on_failure: is called while the guests of the check that failed are still there.
    Raises:
        UsageError: there is no such check.
        KeyboardInterrupt: pytest took it for the end of its session.
        HarnessError: the suite came to no end.
    """
    making = _Making(check, guests or CountedGuests(), on_failure)
    status, session = run_suite(request, "-s", listener=making, here=True)
    if making.error is not None:
        raise making.error
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if session is None or status == pytest.ExitCode.INTERNAL_ERROR:
        raise HarnessError("suite", detail=f"pytest ended with status {status}", evidence=making.trouble)
    if not making.made:
        raise _no_such(check, making.names)
    return MadeChecks(making.failure, making.outcomes, making.reasons)


def again(
    request: SessionRequest,
    failure: FailedCheck,
    guests: CountedGuests,
    on_failure: Callable[[], None] | None = None,
) -> FailedCheck | None:
    """Make a check that failed once more, with other guests."""
    only = replace(request, only=frozenset({failure.check}))
    return first_failure(only, failure.check.check, guests, on_failure).failure


def _no_such(check: str, names: Collection[str]) -> UsageError:
    alike = sorted(name for name in names if check.lower() in name.lower())[:3]
    near = f"such as {', '.join(alike)}" if alike else "`clauses` lists ids and checks"
    return UsageError(
        "check", check, expected="a check's name, or a clause's id", actual="neither", next_step=near
    )


class _Making:
    """A plugin of pytest that chooses the checks, gives them their guests, and stops at the first failure."""

    def __init__(self, check: str, guests: CountedGuests, on_failure: Callable[[], None] | None) -> None:
        self.failure: FailedCheck | None = None
        self.error: HarnessError | None = None
        self.trouble = ""
        self.names: set[str] = set()
        self.made = False
        self.outcomes = Counter[Outcome]()
        self.reasons: dict[Outcome, str] = {}
        self._check, self._guests, self._on_failure = check, guests, on_failure
        self._failed_at: Position | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        planned = [item for item in items if results.planned_check(item) is not None]
        self.names = {results.check_name(item) for item in planned}
        if self._check in CLAUSES:
            chosen = without_campaigns(
                self._check, [item for item in planned if self._check in results.clauses_of(item)]
            )
            chosen.sort(key=lambda item: results.level_of(item).rank)
        else:
            chosen = [item for item in planned if self._check in _names_of(item)]
        items[:] = chosen

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._session, self._ours = session, session.config.stash[SESSION]
        self._ours.listener = self._take
        session.config.stash[GUESTS] = self._guests
        for run in dict.fromkeys(filter(None, map(results.planned_run, session.items))):
            # What preflight looks at is no part of a check, and takes longer than one.
            self._ours.take_over(run, _NOTHING_LOOKED_AT)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        self.made = True
        if (key := results.planned_run(item)) is not None:
            self._ours.run(key).finish_shared()  # else what it is asked depends on the checks before
        self._guests.begin()
        self._failed_at = None

    def pytest_exception_interact(self, node: object, call: pytest.CallInfo[None]) -> None:
        """Hear of a failure while the guests of the check are as it left them."""
        if isinstance(node, pytest.Item) and self._failed_at is None and call.when != "teardown":
            self._failed_at = self._guests.here
            if self._on_failure is not None:
                try:
                    self._on_failure()
                except HarnessError as error:
                    self.error = error
                    self._session.shouldfail = error.summary

    def pytest_keyboard_interrupt(self) -> None:
        end_guests()

    def pytest_internalerror(self, excrepr: object) -> None:
        self.trouble = str(excrepr)

    def _take(self, result: CheckResult) -> None:
        if result.outcome not in FAILED:
            self.outcomes[result.outcome] += 1
            if result.message:
                self.reasons.setdefault(result.outcome, result.message)
            return
        at = self._guests.here if self._failed_at is None else self._failed_at
        commands = tuple(map(tuple, self._guests.commands))
        driven = at.guest in self._guests.driven
        self.failure = FailedCheck(result, self._ours.run(result.run).image, at, commands, driven)
        self._session.shouldfail = "a check failed"


def _names_of(item: pytest.Item) -> tuple[str, ...]:
    """What a check may be called: with its file and its case, or without one of them, or both."""
    name = results.check_name(item)
    short = name.partition("::")[2]
    return name, short, name.partition("[")[0], short.partition("[")[0]
