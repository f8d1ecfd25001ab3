"""Which runs a pytest session makes, with the evidence that it gathers."""

from __future__ import annotations

import os
import shlex
import time
import traceback
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from frame_harness.base import report_files
from frame_harness.base.commands import speaker, tell_through
from frame_harness.base.disk import Unwritable
from frame_harness.base.errors import HarnessError
from frame_harness.base.parent import die_with_parent
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import PROFILES, build, changed_sources
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import WrongBuild
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.conjuncts import Reason
from frame_harness.judge.evidence import (
    CheckResult,
    Evidence,
    Outcome,
    PlannedCheck,
    Record,
    RunKey,
    SubjectInfo,
    Trouble,
    decode,
    encode,
)
from frame_harness.judge.verdict import judge_runs
from frame_harness.machine.accel import settle_accel
from frame_harness.machine.definition import (
    DEFAULT_MACHINE,
    Machine,
    known_machines,
    load_machine,
    load_machines,
)
from frame_harness.session.ends import Hangs
from frame_harness.session.preflight import prepare
from frame_harness.session.results import broken_off, invariant_results
from frame_harness.session.run import Ledger, Run, merge, unhandled

if TYPE_CHECKING:
    import pytest

BUILD = "build"  # what a trouble is called that says an image is not there, or not what it should be
RESULT = "frame_harness_result"
SEEN = "frame_harness_seen"
PARENT = "frame_harness_parent"
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
    """Builds images when a check first asks for one, boots on the chosen machines, collects evidence.

    Raises:
        SubjectError: the file that is to be judged cannot be read.
        UsageError: a machine is unknown, or two have one name.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.is_worker = hasattr(config, "workerinput")
        option = config.getoption
        self.chosen_machines: list[str] | None = option("--machine")
        profile = option("--profile") or "dev"
        self.profiles: tuple[str, ...] = PROFILES if profile == "both" else (profile,)
        self._frame_rs: str | None = option("--frame-rs")
        self._marked: bool = option("--marked-machines")
        self._accel: str | None = option("--accel")
        self._evidence: str | None = option("--evidence")
        self._red: str | None = option("--red")
        self._started = time.monotonic()
        # Whoever reports on a subject says which text it was, whatever becomes of the file meanwhile.
        self._subject = self._find_subject() if self._evidence or self._frame_rs else None
        self._toolchain: Toolchain | None = None
        self._chosen = {
            machine.name: (argument, machine) for argument, machine in load_machines(self._asked_for).items()
        }
        self._machines: dict[str, Machine] = {}
        self._images: dict[str, Image | HarnessError] = {}
        self._runs: dict[RunKey, Run] = {}
        self._planned: tuple[PlannedCheck, ...] = ()
        self._outputs: list[WorkerOutput] = []
        self._results: list[CheckResult] = []
        self._seen: dict[tuple[RunKey, str], CheckResult] = {}
        self._troubles: list[Trouble] = []
        self._reasons: tuple[Reason, ...] = ()
        self._interrupted = False
        self.unwritten: Unwritable | None = None
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

    @property
    def _asked_for(self) -> Sequence[str]:
        return self.chosen_machines or [DEFAULT_MACHINE]

    @property
    def machines(self) -> Sequence[str]:
        """Names of the machines that a check without a marker runs on."""
        return list(self._chosen)

    def machine_argument(self, name: str) -> str:
        """What to give `--machine` for a machine of this session: its name, or a file as the user gave it."""
        return self._chosen[name][0] if name in self._chosen else name

    def keys_for(self, named: Sequence[str]) -> list[RunKey]:
        """The runs of a check whose marker names some machines; none where the choice excludes them all."""
        machines = list(self.machines)
        if named:
            free = self.chosen_machines is None or self._marked
            machines = [name for name in named if free or name in machines]
        return [RunKey(machine=name, profile=profile) for profile in self.profiles for name in machines]

    def all_keys(self) -> list[RunKey]:
        """Every run that a check of this session can belong to, longer machine names first."""
        names = {*self.machines, *known_machines()}
        ordered = sorted(names, key=len, reverse=True)
        return [RunKey(machine=name, profile=profile) for name in ordered for profile in PROFILES]

    def machine(self, name: str) -> Machine:
        """Load a machine once; its accelerator is the one that was asked for."""
        if name not in self._machines:
            machine = self._chosen[name][1] if name in self._chosen else load_machine(name)
            self._machines[name] = machine.override(accel=self._accel)
        return self._machines[name]

    @property
    def subject(self) -> Subject:
        """The frame module under test, as it was when it was first asked for."""
        if self._subject is None:
            self._subject = self._find_subject()
        return self._subject

    def _find_subject(self) -> Subject:
        return frame_module(self._frame_rs)

    def _changed_files(self) -> tuple[Trouble, ...]:
        """Say which files are not any more what they were at the beginning, or when they were compiled."""
        others = dict.fromkeys(one for output in self._outputs for one in output.changed)
        try:
            if self.subject.refreshed() == self.subject:
                return tuple(others)
            detail = ""
        except HarnessError as error:
            detail = str(error)
        return (_changed(self.subject.path, detail), *others)

    def _changed_sources(self) -> list[Trouble]:
        """Say so of what came with the subject: its modules, what they include."""
        images = [image for image in self._images.values() if isinstance(image, Image)]
        return [
            _changed(file) for file in dict.fromkeys(file for one in images for file in changed_sources(one))
        ]

    @cached_property
    def _hangs(self) -> Hangs:
        return Hangs(self.subject.path)

    def image(self, profile: str) -> Image:
        """Build the subject once a session; a failure is raised again for every check."""
        if profile not in self._images:
            try:
                self._toolchain = self._toolchain or find_toolchain(say=self._say)
                self._images[profile] = build(self.subject, profile, toolchain=self._toolchain, say=self._say)
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
            extra = (f"red={self._red}",) if self._red else ()
            image = self.image(key.profile)
            self._die_with_parent()
            machine = settle_accel(
                self.machine(key.machine),
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

    def _die_with_parent(self) -> None:
        """Once there are guests: they and a worker whose session was killed would last for seconds more."""
        workerinput = getattr(self.config, "workerinput", {})
        if PARENT in workerinput:
            die_with_parent(int(workerinput[PARENT]))

    def plan(self, checks: Iterable[PlannedCheck]) -> None:
        """Remember which checks must come to an end."""
        self._planned = tuple(checks)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result that a check's last report carries; registered where the evidence is written."""
        for name, value in report.user_properties:
            if name == RESULT and report.when == "teardown":
                self._results.append(decode(str(value), CheckResult))
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
            planned=self._planned,
            ledgers=tuple(run.ledger() for run in self._runs.values()),
            troubles=tuple(self._troubles),
            changed=tuple(self._changed_sources()),
            lacks=self._lacks(),
            toolchain=self._toolchain.describe().removeprefix("toolchain: ") if self._toolchain else "",
        )
        if self.is_worker:
            vars(self.config)["workeroutput"]["frame_harness"] = encode(mine)
        elif self._evidence:
            self._outputs.append(mine)
            self._write(Path(self._evidence), encode(self.evidence()))
        else:
            self._outputs.append(mine)
            evidence = self._evidence_of_runs() if self._ledgers() else None
            self._reasons = judge_runs(evidence) if evidence else ()

    def _write(self, file: Path, evidence: str) -> None:
        """Write the evidence, or remember why that cannot be done."""
        try:
            report_files.write({file: evidence})
        except Unwritable as error:
            self.unwritten = error

    def reasons(self) -> tuple[Reason, ...]:
        """What stands against this session beside its tests; nothing where evidence is left to be judged."""
        return self._reasons

    def _never_needed(self, key: RunKey, planned: Sequence[str]) -> list[Ledger]:
        """The blank record of a run of which none is left: each check was skipped, or it was interrupted."""
        outcomes = {result.check: result.outcome for result in self._results if result.run == key}
        if not self._interrupted and any(outcomes.get(check) is not Outcome.SKIPPED for check in planned):
            return []
        return [Ledger(run=key, image_sha256="", build_id="", subject_sha256=self.subject.sha256)]

    def door(self, key: RunKey, file: str = "") -> list[str]:
        """The words of a shell command that makes this run again; which checks is for the caller to add."""
        given = self.config.getoption("--reproduce-with")
        words = shlex.split(given) if given else ["pytest", *filter(None, [file])]
        if not given and self._frame_rs:
            words += ["--frame-rs", self._frame_rs]
        return [*words, "--machine", self.machine_argument(key.machine), "--profile", key.profile]

    def _ledgers(self) -> list[Ledger]:
        return [ledger for output in self._outputs for ledger in output.ledgers]

    def _subject_info(self) -> SubjectInfo:
        return SubjectInfo(name=self.subject.name, path=str(self.subject.path), sha256=self.subject.sha256)

    def _toolchain_used(self) -> str:
        return next((output.toolchain for output in self._outputs if output.toolchain), "")

    def _lacks(self) -> tuple[str, ...]:
        """What the subject lacks, in the profiles that this process built."""
        images = [image for image in self._images.values() if isinstance(image, Image)]
        return tuple(dict.fromkeys(name for image in images for name in image.lacks))

    def _violated(self, key: RunKey) -> list[CheckResult]:
        """What was found broken without a check of it: by preflight, in each process; on the way."""
        violated = {one.name: one for part in self._ledgers() if part.run == key for one in part.violated}
        on_the_way = [seen for (run, _), seen in self._seen.items() if run == key]
        return [*invariant_results(key, violated.values(), shlex.join(self.door(key))), *on_the_way]

    def _evidence_of_runs(self) -> Evidence:
        """Of runs in which tests were made that nobody planned; a broken run failed each of them already."""
        broken = {trouble.run for output in self._outputs for trouble in output.troubles}
        ledgers = [unhandled(ledger) for ledger in self._ledgers() if ledger.run not in broken]
        keys = tuple(dict.fromkeys(ledger.run for ledger in ledgers))
        runs = [
            merge([part for part in ledgers if part.run == key], self.subject.sha256, "", (), ())
            for key in keys
        ]
        return Evidence(
            subject=self._subject_info(),
            planned_runs=keys,
            runs=tuple(runs),
            checks=tuple(result for key in keys for result in self._violated(key)),
            errors=self._changed_files(),
        )

    def evidence(self) -> Evidence:
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
                        self.subject.sha256,
                        self._toolchain_used(),
                        [*checks, *(result.check for result in invariants[key])],
                        [result.check for result in [*self._results, *invariants[key]] if result.run == key],
                    )
                )
        return Evidence(
            subject=self._subject_info(),
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
