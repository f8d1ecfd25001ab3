"""What one process does of a pytest session: its runs, and what it hands over at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping

import pytest
from msgspec.structs import replace

from frame_harness.base.commands import Say, speaker, tell_through, telling_through
from frame_harness.base.errors import HarnessError
from frame_harness.base.parent import die_with_parent
from frame_harness.coverage.lines import Coverage
from frame_harness.image.code_lines import CodeLines
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult, Evidence, PlannedCheck, RunKey, Trouble, decode, encode
from frame_harness.judge.reason import Reason
from frame_harness.judge.verdict import judge_runs
from frame_harness.session.leavings import Leavings, archive_of, contents_of
from frame_harness.session.preflight import Facts
from frame_harness.session.request import SessionRequest
from frame_harness.session.run import Run
from frame_harness.session.runs import RAISED_BY_TESTS, Runs, WorkerOutput, only
from frame_harness.session.seen import Met, SessionSeen

RESULT = "frame_harness_result"
SEEN = "frame_harness_seen"
HANDED_OVER = "frame_harness"
"""Of the output of a process that works for another one."""
PARENT = "frame_harness_parent"
SENT = "frame_harness_request"


class Session:
    """What this process does; where it is no worker, it is a plugin of pytest that hears of every check.

    Attributes:
        planned: the checks that must come to an end, by node id.
        listener: is told each result.
        evidence: what was seen, once all is over; where the request asks for it.
        say: shows a line to who waits.
        is_worker: this process makes checks for another one.
        coverage: which lines of the subject ran, once all is over; where the request asks for it.
        leavings: of failing checks.
        archive: its own, where nobody else makes one for it.
        notes: what could not be kept of these, once all is over.
        reasons: what stands against this session beside its tests; none where evidence is left to be judged.
    """

    def __init__(self, config: pytest.Config, request: SessionRequest) -> None:
        self.request = request
        self.planned: Mapping[str, PlannedCheck] = {}
        self.listener: Callable[[CheckResult], None] | None = None
        self.evidence: Evidence | None = None
        self.reasons: tuple[Reason, ...] = ()
        self.coverage: Coverage | None = None
        self.notes: tuple[str, ...] = ()
        self._config = config
        self._seen = SessionSeen(request, selection=str(config.getoption("keyword") or ""))
        self.is_worker = hasattr(config, "workerinput")
        self._voice = _Voice(config, alone=not self.is_worker)
        self.say: Say = self._voice.say
        self._runs = Runs(request, self._tell, self._die_with_parent)
        self.leavings = Leavings(request.archive, request.subject.contract)
        if request.archive is not None:
            self._runs.on_violated = self.leavings.of_preflight
        self._end = contextlib.ExitStack()
        config.add_cleanup(self._end.close)
        self.archive = None if self.is_worker else archive_of(request, self._end)

    @property
    def images(self) -> tuple[Image, ...]:
        """The images that this process has, one a profile; one that could not be made is left out."""
        return self._runs.images

    @property
    def lines(self) -> CodeLines | None:
        """The subject's lines, where it is measured which of them run and the image for that is loaded."""
        return self._runs.lines

    @property
    def interrupted(self) -> bool:
        """Whether a signal or Ctrl-C ended it before its last check."""
        return self._seen.interrupted

    def run(self, key: RunKey) -> Run:
        """The run of a key, ready for its checks; what is wrong with it is raised again for each of them."""
        return self._runs.of(key)

    def load(self, profile: str) -> None:
        """Have an image ready; what is wrong with it is raised for each check that needs it."""
        self._runs.load(profile)

    def begin_check(self, check: str, group: str) -> None:
        """Say which check runs from now on; `group` names those of its module that it shares guests with."""
        self._runs.begin_check(check, group)

    def take_over(self, key: RunKey, facts: Facts, *, boots: bool = True) -> None:
        """Have a run that another process prepared; its checks raise what is wrong with it.

        Args:
            boots: its checks here start guests.
        """
        with contextlib.suppress(HarnessError):  # the run keeps it, and `run` raises it for each check
            self._runs.take_over(key, facts, boots=boots)

    def work_for_another(self, say: Say, on_prepared: Callable[[RunKey, Facts], None]) -> None:
        """Make checks for the process that this one was forked from.

        Args:
            on_prepared: is told what was taken down of each run before its first check.
        """
        self.is_worker, self.say = True, say
        self._runs.on_prepared = on_prepared
        tell_through(say)

    def _tell(self, words: str) -> None:
        self.say(words)  # which is another one in a worker

    def _die_with_parent(self) -> None:
        """Once there are guests: they and a worker whose session was killed would last for seconds more."""
        workerinput = getattr(self._config, "workerinput", {})
        if PARENT in workerinput:
            die_with_parent(int(workerinput[PARENT]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result that a check's last report carries."""
        own, met = results_in(report)
        for result in own:
            self.take(result)
        for one in met:
            self.take_on_the_way(one)

    def take(self, result: CheckResult) -> None:
        """Have the result of a check."""
        self._seen.results.append(result)
        if self.listener is not None:
            self.listener(result)

    def take_on_the_way(self, met: Met) -> None:
        """Have what a check met of a clause that is not its own to judge."""
        self._seen.take_on_the_way(met)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that somebody stopped the run; pytest's own reasons are kinds of this exception."""
        self._seen.interrupted = excinfo.type is KeyboardInterrupt

    def add_worker(self, output: WorkerOutput) -> None:
        """Add what a worker saw."""
        self._seen.outputs.append(output)

    def worker_was_lost(self, what: str, detail: str) -> None:
        """Note that a worker was lost: what it saw beside the results of its checks is missing.

        Args:
            what: its number and what happened, as in `2 died`.
        """
        self.add_worker(only(Trouble(what="suite", message=f"worker {what}", detail=detail)))

    def hand_over(self) -> WorkerOutput:
        """End the guests that are left; return what this process saw."""
        mine = self._runs.finish(self.planned.values())
        self._voice.close()
        return replace(mine, notes=self.leavings.close())

    def finish(self) -> None:
        """End the guests that are left, then hand over what was seen, or judge it."""
        mine = self.hand_over()
        if self.is_worker:
            vars(self._config)["workeroutput"][HANDED_OVER] = encode(mine)
            return
        self._seen.outputs.append(mine)
        self.notes = tuple(dict.fromkeys(note for output in self._seen.outputs for note in output.notes))
        self.coverage = self._runs.coverage(one for ledger in self._seen.ledgers for one in ledger.reached)
        if self.request.evidence:
            self.evidence = replace(self._seen.of_the_plan(), coverage=self.coverage)
            return
        troubles = {one.what for output in self._seen.outputs for one in output.troubles}
        if self._seen.ledgers or troubles - RAISED_BY_TESTS:
            self.reasons = judge_runs(self._seen.of_the_runs(), self.request.subject.contract)
        if self.archive is not None:
            seen = self._seen.of_the_plan()
            contents = contents_of(seen, self.request.subject, self.images, self.notes)
            self.notes = self.archive.finish(contents)


def results_in(report: pytest.TestReport) -> tuple[list[CheckResult], list[Met]]:
    """What a report of a check carries: its result, where it is its last one, and what it met of others."""
    own, met = list[CheckResult](), list[Met]()
    for name, value in report.user_properties:
        if name == RESULT and report.when == "teardown":
            own.append(decode(str(value), CheckResult))
        elif name == SEEN:
            met.append(decode(str(value), Met))
    return own, met


class _Voice:
    """Leads past pytest, which captures what tests print; it is made while nothing is captured yet."""

    def __init__(self, config: pytest.Config, *, alone: bool) -> None:
        self._config = config
        self._stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
        self._ended_at_width = 0
        self.say = speaker(self._stderr, alone=alone, begin=self._fresh_line)
        self._end = contextlib.ExitStack()
        self._end.callback(self._stderr.close)
        self._end.enter_context(telling_through(self.say))
        self.close = self._end.close

    def _fresh_line(self) -> None:
        """End the line that pytest's terminal report has begun, unless that was done already.

        What pytest itself would write now goes to what is captured of the running test.
        """
        if self._config.pluginmanager.has_plugin("terminalreporter"):
            width = self._config.get_terminal_writer().width_of_current_line
            if width not in (0, self._ended_at_width):
                self._stderr.write("\n")
            self._ended_at_width = width
