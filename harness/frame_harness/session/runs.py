"""What one process builds and boots in a session, each thing when a check first asks for it."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.profiles import COVERAGE
from frame_harness.base.record import Record
from frame_harness.coverage.lines import Coverage, Reached
from frame_harness.coverage.measurement import Measurement
from frame_harness.coverage.summary import summary
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.pool import NEW_GUESTS, GuestPool
from frame_harness.image.build import build, changed_sources
from frame_harness.image.code_lines import CodeLines, code_lines
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import CompileError, NotJudgeable, WrongBuild
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.evidence import Outcome, PlannedCheck, RunKey, Trouble
from frame_harness.machine.accel import settle_accel
from frame_harness.machine.definition import Machine
from frame_harness.session.ends import Hangs
from frame_harness.session.preflight import Facts, facts_of, prepare, take_over
from frame_harness.session.request import SessionRequest
from frame_harness.session.results import broken_off
from frame_harness.session.run import Ledger, Run

BUILD: Final = "build"
"""What a trouble is called that says an image is not there, or not what it should be."""
ACCELERATOR: Final = "accelerator"
"""What a trouble is called that says guests cannot be run as the user wants them to be."""
NO_PREFLIGHT: Final = "preflight"
"""What a trouble is called that says the witnesses of a run could not be compared."""
RAISED_BY_TESTS: Final = frozenset({BUILD, ACCELERATOR, NO_PREFLIGHT})
"""Troubles that each test of the run fails by."""
# The banner, then the guest's own checks: what a guest must manage before its accelerator is believed.
_PROBE: Final = [(b"", b"*frame-harness"), (b"1 selftest\n", b"=1 ok"), (b"2 exit pass\n", b"=2 ok")]


class WorkerOutput(Record, frozen=True, kw_only=True):
    """What one process hands to the one that makes the evidence."""

    planned: tuple[PlannedCheck, ...]
    ledgers: tuple[Ledger, ...]
    troubles: tuple[Trouble, ...]
    changed: tuple[Trouble, ...] = ()
    lacks: tuple[str, ...] = ()
    toolchain: str = ""
    notes: tuple[str, ...] = ()
    """What could not be kept of failing checks."""


def only(*troubles: Trouble, toolchain: str = "", notes: tuple[str, ...] = ()) -> WorkerOutput:
    """What is known of work of which nothing came but this."""
    return WorkerOutput(planned=(), ledgers=(), troubles=troubles, toolchain=toolchain, notes=notes)


class Runs:
    """Images by profile, runs by their keys; what is wrong with one is raised again for every check of it.

    Attributes:
        on_violated: is given a run with its guest of preflight where an invariant does not hold in it.
        on_prepared: is told what was taken down of a run that was prepared here.
        lines: of the subject in the image of profile `cov`, where it is measured which of them run.
    Args:
        before_guests: is called before there are any.
    """

    def __init__(self, request: SessionRequest, say: Say, before_guests: Callable[[], None]) -> None:
        self.on_prepared: Callable[[RunKey, Facts], None] | None = None
        self.on_violated: Callable[[Run, Kernel], None] | None = None
        self._request, self._say, self._before_guests = request, say, before_guests
        self._hangs = Hangs(request.subject.path)
        self._toolchain: Toolchain | None = None
        self._images: dict[str, Image | HarnessError] = {}
        self._runs: dict[RunKey, Run] = {}
        self.lines: CodeLines | None = None
        self._check = "", ""
        self._troubles: list[Trouble] = []

    @property
    def images(self) -> tuple[Image, ...]:
        """The images that this process has, one a profile; one that could not be made is left out."""
        return tuple(image for image in self._images.values() if isinstance(image, Image))

    def load(self, profile: str) -> None:
        """Build an image, or find it built, and read of it what checks need."""
        with contextlib.suppress(HarnessError):  # it is raised again for every check
            self._image(profile).load(Kernel.RECORDS)

    def begin_check(self, check: str, group: str) -> None:
        """Credit to a check which lines guests run from now on, where that is measured; see `Run.credit`."""
        self._check = check, group
        for run in self._runs.values():
            run.credit(check, group)

    def coverage(self, reached: Iterable[Reached]) -> Coverage | None:
        """What all processes saw of the subject's lines; None where it was not measured."""
        if not (reached := list(reached)):
            return None
        self.load(COVERAGE)
        return summary(self.lines, reached) if self.lines else None

    def of(self, key: RunKey) -> Run:
        """The run of a key, its witnesses compared."""
        if key not in self._runs:
            self._prepare(key)
        run = self._runs[key]
        if run.broken is not None:
            raise run.broken
        return run

    def finish(self, planned: Iterable[PlannedCheck]) -> WorkerOutput:
        """End the guests that are left; return what this process saw, beside the results of checks."""
        for key, run in self._runs.items():
            self._end(run.finish_guests, key)
        # Runs share a pool: what it keeps is of any of them, and says itself of which.
        for pool in dict.fromkeys(run.pool for run in self._runs.values()):
            self._end(pool.close)
        images = self.images
        return WorkerOutput(
            planned=tuple(planned),
            ledgers=tuple(run.ledger() for run in self._runs.values()),
            troubles=tuple(self._troubles),
            changed=changed_in(images),
            lacks=tuple(dict.fromkeys(name for image in images for name in image.lacks)),
            toolchain=words_of(self._toolchain) if self._toolchain else "",
        )

    def _end(self, end: Callable[[], None], run: RunKey | None = None) -> None:
        """End guests; what goes wrong is a trouble: evidence is written all the same."""
        try:
            end()
        except Exception as error:
            message = f"a guest could not be ended in good order: {type(error).__name__}: {error}"
            todo = f"run it again with {NEW_GUESTS}=1, which starts each guest anew; report it if that passes"
            self._troubles.append(Trouble(what="guests", message=message, run=run, next=todo))

    def _image(self, profile: str) -> Image:
        if profile not in self._images:
            try:
                self._images[profile] = self._made(profile)
            except HarnessError as error:
                self._refuse(profile, error)
        kept = self._images[profile]
        if isinstance(kept, HarnessError):
            raise kept
        return kept

    def _made(self, profile: str) -> Image:
        """An image that nobody asked for yet; a compiler is looked for where one is needed."""
        request = self._request
        image = request.images.get(profile)
        if image is None:
            image = build(request.subject, profile, toolchain=self._compiler(), say=self._say)
        if request.measures_coverage and profile == COVERAGE:
            self.lines = request.lines or code_lines(image, self._compiler(), self._say)
        return image

    def _compiler(self) -> Toolchain:
        self._toolchain = self._toolchain or find_toolchain(say=self._say)
        return self._toolchain

    def _refuse(self, profile: str, error: HarnessError) -> None:
        """Remember that a profile cannot be judged at all; once for all of its runs."""
        self._images[profile] = error
        if (trouble := trouble_of(BUILD, error)) not in self._troubles:
            self._troubles.append(trouble)

    def take_over(self, key: RunKey, facts: Facts, *, boots: bool = True) -> None:
        """Have a run whose witnesses another process compared; nothing where it is here already.

        Args:
            boots: guests of it will be started here.
        Raises:
            HarnessError: its image is no good, or its accelerator does not work.
        """
        if key not in self._runs:
            run = self._begun(key, boots=boots)
            take_over(run, facts)
            run.credit(*self._check)

    def _begun(self, key: RunKey, *, boots: bool = True) -> Run:
        image, machine = self._image(key.profile), self._request.machine(key.machine)
        if boots:
            self._before_guests()
            machine = settled(machine, image, self._say)
        extra = (f"red={self._request.red}",) if self._request.red else ()
        self._runs[key] = run = Run(key, image, machine, extra, self._hangs)
        if self.lines and self._request.measures(key):
            if machine.accel != "tcg":
                raise UsageError("coverage", key.machine, expected="accel tcg", actual=machine.accel)
            run.measurement, run.pool = Measurement(self.lines), GuestPool(at_once=True, forget_boot=True)
        if self.on_violated is not None:
            run.on_violated = partial(self.on_violated, run)
        return run

    def _prepare(self, key: RunKey) -> None:
        run = self._begun(key)
        try:
            prepare(run)
        except WrongBuild as wrong:
            del self._runs[key]
            self._refuse(key.profile, wrong)
            raise
        except Exception as caught:
            # Else the checks would go on as if all witnesses had been compared.
            run.broken = error = caught if isinstance(caught, HarnessError) else _breakdown(caught)
            self._hangs.note(error)
            how = broken_off(error)
            todo = error.next_step or f"see it again: {self._request.run_again(key)}"
            self._troubles.append(
                Trouble(
                    what=NO_PREFLIGHT,
                    message=error.summary,
                    run=key,
                    outcome=how,
                    detail=error.seen,
                    next=todo,
                )
            )
        else:
            if self.on_prepared is not None:
                self.on_prepared(key, facts_of(run))
        finally:
            run.credit(*self._check)


def words_of(toolchain: Toolchain) -> str:
    """What evidence says of a toolchain."""
    return toolchain.describe().removeprefix("toolchain: ")


def settled(machine: Machine, image: Image, say: Say) -> Machine:
    """The machine with an accelerator under which this image boots and answers."""
    return settle_accel(machine, image.elf, append="nonce=probe", talk=_PROBE, say=say)


def accelerator_trouble(error: HarnessError) -> Trouble:
    """Say why the accelerator that was asked for does not work."""
    message = error.summary.removeprefix(f"{ACCELERATOR}: ")
    return Trouble(what=ACCELERATOR, message=message, next=error.next_step)


def trouble_of(what: str, error: HarnessError) -> Trouble:
    """Say what an error kept from being judged."""
    return Trouble(what=what, message=error.summary, detail=error.evidence, next=error.next_step)


def build_trouble(error: HarnessError) -> Trouble:
    """Say why there is no image; a version that cannot be judged is no fault of it."""
    if isinstance(error, NotJudgeable):
        return Trouble(what="version", message=error.summary, outcome=Outcome.ABSENT)
    if isinstance(error, CompileError):
        return Trouble(what=BUILD, message=error.first, detail=error.rendered, next=error.next_step)
    return trouble_of(BUILD, error)


def changed(file: Path, detail: str = "") -> Trouble:
    """Say that a file is not any more what it was."""
    message = f"{file} changed while it was judged"
    todo = "leave the file alone, run the same command again"
    return Trouble(what="subject", message=message, detail=detail, next=todo)


def changed_in(images: Iterable[Image]) -> tuple[Trouble, ...]:
    """Say which files that came with the subject of images are not any more what was compiled."""
    return tuple(map(changed, dict.fromkeys(file for image in images for file in changed_sources(image))))


def changes(subject: Subject, images: Iterable[Image] = ()) -> tuple[Trouble, ...]:
    """Say which files are not any more as they are in a subject, or as they were compiled into images."""
    others = changed_in(images)
    try:
        if subject.refreshed() == subject:
            return others
        detail = ""
    except HarnessError as error:
        detail = str(error)
    return (changed(subject.path, detail), *others)


def _breakdown(error: Exception) -> HarnessError:
    where = "".join(traceback.format_exception(error))
    return HarnessError("preflight", detail=f"{type(error).__name__}: {error}", evidence=where)
