"""Which runs a pytest session makes, with the evidence that it gathers."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from frame_harness.base.commands import speaker, tell_through
from frame_harness.base.errors import HarnessError
from frame_harness.base.parent import die_with_parent
from frame_harness.image.build import build, changed_sources
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import WrongBuild
from frame_harness.image.image import Image
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.conjuncts import Reason
from frame_harness.judge.evidence import (
    CheckResult,
    Evidence,
    Outcome,
    PlannedCheck,
    Record,
    RunKey,
    Trouble,
    decode,
    encode,
)
from frame_harness.judge.verdict import judge_runs
from frame_harness.machine.accel import settle_accel
from frame_harness.session.ends import Hangs
from frame_harness.session.preflight import prepare
from frame_harness.session.request import SessionRequest, info_of
from frame_harness.session.results import broken_off, invariant_results
from frame_harness.session.run import Ledger, Run, merge, unhandled

if TYPE_CHECKING:
    import pytest

BUILD = "build"  # what a trouble is called that says an image is not there, or not what it should be
RESULT = "frame_harness_result"
SEEN = "frame_harness_seen"
PARENT = "frame_harness_parent"
SENT = "frame_harness_request"
# The banner, then the guest's own checks: what a guest must manage before its accelerator is believed.
PROBE = [(b"", b"*frame-harness"), (b"1 selftest\n", b"=1 ok"), (b"2 exit pass\n", b"=2 ok")]


class WorkerOutput(Record, frozen=True, kw_only=True):
    """What one process hands to the one that writes the evidence."""

    planned: tuple[PlannedCheck, ...]
    ledgers: tuple[Ledger, ...]
    troubles: tuple[Trouble, ...]
    changed: tuple[Trouble, ...] = ()
    lacks: tuple[str, ...] = ()
    toolchain: str = ""


class Session:
    """Builds images when a check first asks for one, boots on the chosen machines, collects evidence."""

    def __init__(self, config: pytest.Config, request: SessionRequest) -> None:
        self.config = config
        self.request = request
        self.is_worker = hasattr(config, "workerinput")
        self.evidence: Evidence | None = None
        """What was seen, once all is over; where the request asks for it."""
        self._started = time.monotonic()
        self._toolchain: Toolchain | None = None
        self._images: dict[str, Image | HarnessError] = {}
        self._runs: dict[RunKey, Run] = {}
        self.planned: Mapping[str, PlannedCheck] = {}
        """The checks that must come to an end, by node id."""
        self.listener: Callable[[CheckResult], None] | None = None
        """Is told each result."""
        self._outputs: list[WorkerOutput] = []
        self._results: list[CheckResult] = []
        self._seen: dict[tuple[RunKey, str], CheckResult] = {}
        self._troubles: list[Trouble] = []
        self._reasons: tuple[Reason, ...] = ()
        self._interrupted = False
        # Pytest captures what tests print; this leads past it, and is made while nothing is captured yet.
        self._stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
        self._ended_at_width = 0
        self._say = speaker(self._stderr, alone=not self.is_worker, begin=self._fresh_line)
        tell_through(self._say)

    def _fresh_line(self) -> None:
        """End the line that pytest's terminal report has begun, unless that was done already.

        What pytest itself would write now goes to what is captured of the running test.
        """
        if self.config.pluginmanager.has_plugin("terminalreporter"):
            width = self.config.get_terminal_writer().width_of_current_line
            if width not in (0, self._ended_at_width):
                self._stderr.write("\n")
            self._ended_at_width = width

    def _changed_files(self) -> tuple[Trouble, ...]:
        """Say which files are not any more what they were at the beginning, or when they were compiled."""
        others = dict.fromkeys(one for output in self._outputs for one in output.changed)
        try:
            if self.request.subject.refreshed() == self.request.subject:
                return tuple(others)
            detail = ""
        except HarnessError as error:
            detail = str(error)
        return (_changed(self.request.subject.path, detail), *others)

    def _changed_sources(self) -> list[Trouble]:
        """Say so of what came with the subject: its modules, what they include."""
        images = [image for image in self._images.values() if isinstance(image, Image)]
        return [
            _changed(file) for file in dict.fromkeys(file for one in images for file in changed_sources(one))
        ]

    @cached_property
    def _hangs(self) -> Hangs:
        return Hangs(self.request.subject.path)

    def image(self, profile: str) -> Image:
        """Build the subject once a session; a failure is raised again for every check."""
        if profile not in self._images:
            try:
                self._toolchain = self._toolchain or find_toolchain(say=self._say)
                self._images[profile] = build(
                    self.request.subject, profile, toolchain=self._toolchain, say=self._say
                )
            except HarnessError as error:
                self._no_image(profile, error)
        image = self._images[profile]
        if isinstance(image, HarnessError):
            raise image
        return image

    def _no_image(self, profile: str, error: HarnessError) -> None:
        """Remember that a profile cannot be judged at all; once for all of its runs."""
        self._images[profile] = error
        trouble = Trouble(what=BUILD, message=error.summary, detail=error.evidence, next=error.next_step)
        if trouble not in self._troubles:
            self._troubles.append(trouble)

    def run(self, key: RunKey) -> Run:
        """The run of a key, its witnesses compared; what is wrong with it is raised again for every check."""
        if key not in self._runs:
            extra = (f"red={self.request.red}",) if self.request.red else ()
            image = self.image(key.profile)
            self._die_with_parent()
            machine = settle_accel(
                self.request.machine(key.machine),
                image.elf,
                append="nonce=probe",
                talk=PROBE,
                say=self._say,
            )
            run = Run(key, image, machine, extra, self._hangs)
            self._runs[key] = run
            try:
                prepare(run)
            except WrongBuild as wrong:
                del self._runs[key]
                self._no_image(key.profile, wrong)
                raise
            except Exception as caught:
                # Else the checks would go on as if all witnesses had been compared.
                error = caught if isinstance(caught, HarnessError) else _breakdown(caught)
                run.broken = error
                self._hangs.note(error)
                self._troubles.append(
                    Trouble(
                        what="preflight",
                        message=error.summary,
                        run=key,
                        outcome=broken_off(error),
                        detail=str(error),
                    )
                )
        run = self._runs[key]
        if run.broken is not None:
            raise run.broken
        return run

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped it."""
        return self._interrupted

    def _die_with_parent(self) -> None:
        """Once there are guests: they and a worker whose session was killed would last for seconds more."""
        workerinput = getattr(self.config, "workerinput", {})
        if PARENT in workerinput:
            die_with_parent(int(workerinput[PARENT]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result that a check's last report carries; registered where the evidence is written."""
        for name, value in report.user_properties:
            if name == RESULT and report.when == "teardown":
                result = decode(str(value), CheckResult)
                self._results.append(result)
                if self.listener is not None:
                    self.listener(result)
            elif name == SEEN:
                seen = decode(str(value), CheckResult)
                self._seen.setdefault((seen.run, seen.check), seen)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that somebody stopped the run; pytest's own reasons are kinds of this exception."""
        self._interrupted = excinfo.type is KeyboardInterrupt

    def add_worker(self, output: str) -> None:
        """Add what an xdist worker saw."""
        self._outputs.append(decode(output, WorkerOutput))

    def finish(self) -> None:
        """End the guests that are left, then hand over or write what was seen."""
        for key, run in self._runs.items():
            try:
                run.finish_all()
            except Exception as error:
                # Evidence is written all the same: what is on record must not be lost to this.
                message = f"a guest could not be ended in good order: {type(error).__name__}: {error}"
                self._troubles.append(Trouble(what="guests", message=message, run=key))
        self._stderr.close()
        mine = WorkerOutput(
            planned=tuple(self.planned.values()),
            ledgers=tuple(run.ledger() for run in self._runs.values()),
            troubles=tuple(self._troubles),
            changed=tuple(self._changed_sources()),
            lacks=self._lacks(),
            toolchain=self._toolchain.describe().removeprefix("toolchain: ") if self._toolchain else "",
        )
        if self.is_worker:
            vars(self.config)["workeroutput"]["frame_harness"] = encode(mine)
            return
        self._outputs.append(mine)
        if self.request.evidence:
            self.evidence = self._evidence()
        elif self._ledgers():
            self._reasons = judge_runs(self._evidence_of_runs())

    def reasons(self) -> tuple[Reason, ...]:
        """What stands against this session beside its tests; nothing where evidence is left to be judged."""
        return self._reasons

    def _never_needed(self, key: RunKey, planned: Sequence[str]) -> list[Ledger]:
        """The blank record of a run of which none is left: each check was skipped, or it was interrupted."""
        outcomes = {result.check: result.outcome for result in self._results if result.run == key}
        if not self._interrupted and any(outcomes.get(check) is not Outcome.SKIPPED for check in planned):
            return []
        return [Ledger(run=key, image_sha256="", build_id="", subject_sha256=self.request.subject.sha256)]

    def _ledgers(self) -> list[Ledger]:
        return [ledger for output in self._outputs for ledger in output.ledgers]

    def _toolchain_used(self) -> str:
        return next((output.toolchain for output in self._outputs if output.toolchain), "")

    def _lacks(self) -> tuple[str, ...]:
        """What the subject lacks, in the profiles that this process built."""
        images = [image for image in self._images.values() if isinstance(image, Image)]
        return tuple(dict.fromkeys(name for image in images for name in image.lacks))

    def _violated(self, key: RunKey) -> list[CheckResult]:
        """What was found broken without a check of it: by preflight, in each process; on the way."""
        violated = {one.name: one for part in self._ledgers() if part.run == key for one in part.violated}
        again = partial(self.request.check_again, key)
        on_the_way = [seen for (run, _), seen in self._seen.items() if run == key]
        return [*invariant_results(key, violated.values(), again), *on_the_way]

    def _evidence_of_runs(self) -> Evidence:
        """Of runs in which tests were made that nobody planned; a broken run failed each of them already."""
        broken = {trouble.run for output in self._outputs for trouble in output.troubles}
        ledgers = [unhandled(ledger) for ledger in self._ledgers() if ledger.run not in broken]
        keys = tuple(dict.fromkeys(ledger.run for ledger in ledgers))
        runs = [
            merge([part for part in ledgers if part.run == key], self.request.subject.sha256, "", (), ())
            for key in keys
        ]
        return Evidence(
            subject=info_of(self.request.subject),
            planned_runs=keys,
            runs=tuple(runs),
            checks=tuple(result for key in keys for result in self._violated(key)),
            errors=self._changed_files(),
        )

    def _evidence(self) -> Evidence:
        """Everything that was seen, by this process and its workers."""
        # Every process collects the same checks; the others make up for one that died before it could say so.
        planned = max((output.planned for output in self._outputs), key=len, default=())
        if self._interrupted and not planned:  # the workers were ended before they could say
            planned = tuple(map(_planned, self._results))
        keys = tuple(dict.fromkeys(one.run for one in planned))
        ledgers = self._ledgers()
        invariants = {key: self._violated(key) for key in keys}
        troubles = dict.fromkeys(trouble for output in self._outputs for trouble in output.troubles)
        runs = []
        for key in keys:
            parts = [ledger for ledger in ledgers if ledger.run == key]
            checks = [one.check for one in planned if one.run == key]
            if parts := parts or self._never_needed(key, checks):
                runs.append(
                    merge(
                        parts,
                        self.request.subject.sha256,
                        self._toolchain_used(),
                        [*checks, *(result.check for result in invariants[key])],
                        [result.check for result in [*self._results, *invariants[key]] if result.run == key],
                    )
                )
        return Evidence(
            subject=info_of(self.request.subject),
            planned_runs=keys,
            plan=(*planned, *(_planned(result) for found in invariants.values() for result in found)),
            runs=tuple(runs),
            checks=(*self._results, *(result for found in invariants.values() for result in found)),
            errors=(*troubles, *self._changed_files()),
            lacks=tuple(dict.fromkeys(name for output in self._outputs for name in output.lacks)),
            selection=str(self.config.getoption("keyword") or ""),
            duration_s=time.monotonic() - self._started,
            interrupted=self._interrupted,
        )


def _changed(file: Path, detail: str = "") -> Trouble:
    message = f"{file} changed while it was judged"
    todo = "leave the file alone, run the same command again"
    return Trouble(what="subject", message=message, detail=detail, next=todo)


def _breakdown(error: Exception) -> HarnessError:
    where = "".join(traceback.format_exception(error))
    return HarnessError("preflight", detail=f"{type(error).__name__}: {error}", evidence=where)


def _planned(result: CheckResult) -> PlannedCheck:
    """The plan of what came to its end without one."""
    return PlannedCheck(run=result.run, check=result.check, clauses=result.clauses)
