"""One image on one machine: its guests, with the record of what became of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import msgspec
import pytest

from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.record import Record
from frame_harness.coverage.lines import Reached
from frame_harness.coverage.measurement import Measurement
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.boot_options import AS_USUAL, BootOptions
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.errors import GuestFailure
from frame_harness.guest.pool import POOL
from frame_harness.image.image import Image
from frame_harness.judge.evidence import (
    DumpEvidence,
    GuestExits,
    LayoutEvidence,
    RunEvidence,
    RunKey,
    SelftestEvidence,
    ViolatedInvariant,
    Witness,
)
from frame_harness.machine.definition import Machine
from frame_harness.machine.identity import version_of
from frame_harness.session.ends import Ends, Hangs

UNREAD_LAYOUT = LayoutEvidence(dwarf=Witness.UNREAD, guest_bytes=Witness.UNREAD)
NO_SELFTEST = SelftestEvidence(plan=0, passed=0, failed=0)


class Ledger(Record, frozen=True, kw_only=True):
    """What one process saw of a run, as a value that can be added to another's.

    `raised` are those of `exits` that came as an exception to the caller that drove the guest.
    """

    run: RunKey
    image_sha256: str
    build_id: str
    subject_sha256: str
    accelerator: str = ""
    qemu_version: str = ""
    guests_booted: int = 0
    guests_put_back: int = 0
    exits: tuple[GuestExits, ...] = ()
    raised: tuple[GuestExits, ...] = ()
    layout: LayoutEvidence = UNREAD_LAYOUT
    dumps: DumpEvidence = DumpEvidence(requested=0, whole=0)
    selftest: SelftestEvidence = NO_SELFTEST
    invariants: dict[str, int] = msgspec.field(default_factory=dict)
    violated: tuple[ViolatedInvariant, ...] = ()
    duration_s: float = 0.0
    preflight_s: float = 0.0
    reached: tuple[Reached, ...] = ()


class Guests(Protocol):
    """Where the guests of checks come from."""

    def boot(
        self, kind: type[Kernel], image: Image, machine: Machine, options: BootOptions = AS_USUAL
    ) -> Kernel: ...

    def close(self) -> None: ...


GUESTS: Final = pytest.StashKey[Guests]()
"""In pytest's configuration: what the guests of checks come from, where that is not a `GuestPool`."""


@dataclass
class Run:
    """Boots the guests of one run and remembers how each ended.

    Preflight facts (layout, self-test, invariants) are recorded once in each process, before its first check.

    Attributes:
        extra: words on the kernel command line of every guest.
        on_violated: is given the guest of preflight, at its prompt, where an invariant does not hold in it;
            None where nothing is kept of guests.
        hangs: where guests of this process hung, this run's and others'; they are added to it.
    """

    key: RunKey
    image: Image
    machine: Machine
    extra: tuple[str, ...] = ()
    hangs: Hangs | None = None
    on_violated: Callable[[Kernel], None] | None = None
    layout: LayoutEvidence = UNREAD_LAYOUT
    selftest: SelftestEvidence = NO_SELFTEST
    invariants: dict[str, int] = field(default_factory=dict)
    violated: tuple[ViolatedInvariant, ...] = ()
    contradicted: int = 0
    preflight_s: float = 0.0
    broken: HarnessError | None = None
    pool: Guests = POOL
    """What guests come from; a `GuestPool` puts them back to their prompt where it can."""
    measurement: Measurement | None = None
    """Of the lines that its guests run, where that was asked for."""
    stopped: HarnessError | None = None
    """What the run was stopped for after it began: no further guest is started."""
    _ends: Ends = field(default_factory=Ends)
    _booted: int = 0
    _put_back: int = 0
    _exits: Counter[tuple[GuestEnd, str]] = field(default_factory=Counter)
    _raised: Counter[tuple[GuestEnd, str]] = field(default_factory=Counter)
    _dumps: list[int] = field(default_factory=lambda: [0, 0])
    _open: dict[int, Kernel] = field(default_factory=dict)
    """Guests that were booted and are not finished; by identity."""
    _shared: dict[BootOptions, Kernel] = field(default_factory=dict)
    _tainted: bool = False
    _seed: int = 0
    _accelerator: str = ""
    _qemu_version: str = ""
    _busy_s: float = 0.0

    def boot(self, options: BootOptions = AS_USUAL) -> Kernel:
        """Start a guest of this run; `finish` it, or `finish_all` does at the end of the session."""
        if self.stopped is not None:
            raise self.stopped
        started = time.monotonic()
        self._seed += 1
        if self.measurement:
            self.measurement.collect()
        try:
            kernel = self.pool.boot(Kernel, self.image, self.machine, self._completed(options))
        except GuestFailure as failure:
            # Any other error means that it never came up, and says why.
            self._booted += 1
            end = failure.status or GuestEnd.UNEXPECTED, failure.summary
            self._exits[end] += 1
            self._raised[end] += 1
            raise
        if self.measurement:
            self.measurement.booted(options.words_of_memory(), was_put_back=kernel.was_put_back)
        self._booted += 1
        self._put_back += kernel.was_put_back
        self._open[id(kernel)] = kernel
        try:
            self._note_qemu(kernel)
        except BaseException:
            self.finish(kernel)
            raise
        self._busy_s += time.monotonic() - started
        return kernel

    def _completed(self, options: BootOptions) -> BootOptions:
        """The same with what guests of this run have in common.

        Raises:
            UsageError: a seed was asked for.
        """
        if options.seed != AS_USUAL.seed:
            raise UsageError("boot", "seed", detail="a run gives each of its guests garbage of its own")
        return replace(
            options, seed=self._seed, extra=(*self.extra, *options.extra),
            hung_before=self.hangs.known if self.hangs else None,
            logs=self.measurement.logs if self.measurement else options.logs,
        )  # fmt: skip

    def _note_qemu(self, kernel: Kernel) -> None:
        self._accelerator = kernel.machine.accel
        if not self._qemu_version:
            self._qemu_version = version_of(kernel.guest)

    def finish(self, kernel: Kernel) -> GuestEnd:
        """Ask a guest to exit, reap it, remember its exit status; a second time only tells it again."""
        if self._open.pop(id(kernel), None) is None:
            return kernel.end[0]
        started = time.monotonic()
        raised = kernel.failure is not None
        try:
            kernel.finish()
        finally:
            # Also while an exception passes: whatever was booted has an end in the record.
            self._exits[kernel.end] += 1
            self._raised[kernel.end] += raised
            self._dumps[0] += kernel.dumps_requested
            self._dumps[1] += kernel.dumps_whole
            self._busy_s += time.monotonic() - started
        return kernel.end[0]

    def finish_any(self, guest: BootedGuest) -> GuestEnd:
        """The same for a caller that knows of a frame module no more than that there is a guest."""
        kernel = self._open.get(id(guest))
        return guest.end[0] if kernel is None else self.finish(kernel)

    def shared(self, options: BootOptions = AS_USUAL) -> Kernel:
        """The guest with these options that modest checks share; a new one after a check that failed."""
        if self.stopped is not None:
            raise self.stopped
        if self._tainted or not all(kernel.alive for kernel in self._shared.values()):
            self.finish_shared()
        if options not in self._shared:
            self._shared[options] = self.boot(options)
        return self._shared[options]

    def note_end(self, error: BaseException | None) -> None:
        """Remember how a check of this run ended, and stop the run when its guests all end the same.

        Args:
            error: what the check died of; None when it passed, or broke nothing but a clause.
        """
        self.note_failure(error)
        if self.stopped is None:
            self.stopped = self._ends.stops(error)

    def note_failure(self, error: BaseException | None) -> None:
        """Remember where a guest hung, whatever it was a sign of: later ones are waited for less long."""
        if self.hangs:
            self.hangs.note(error)

    def retire_shared(self) -> None:
        """Let no further check meet the shared guests: one failed in one, others must not suffer."""
        self._tainted = True
        # What a check that failed did to its guests is not known: none of them is put back.
        for kernel in self._open.values():
            kernel.prompt = None

    def finish_shared(self) -> None:
        """End the shared guests, if there are any."""
        self._tainted = False
        kernels, self._shared = list(self._shared.values()), {}
        for kernel in kernels:
            self.finish(kernel)

    def finish_all(self) -> None:
        """End every guest that is left, and those that the pool keeps: for a run that has it alone."""
        with ExitStack() as stack:
            stack.callback(self.pool.close)
            self.finish_guests()

    def finish_guests(self) -> None:
        """End every guest that is left: the shared ones, and those that an exception kept from `finish`."""
        self._shared = {}
        with ExitStack() as stack:
            for kernel in self._open.values():
                stack.callback(self.finish, kernel)

    def credit(self, check: str, group: str) -> None:
        """Credit to a check what guests run from now on, where that is measured; it gets guests of its own.

        Args:
            group: of checks that share guests beside those; empty for none.
        """
        if self.measurement:
            self.finish_shared()
            self.measurement.begin(check, group)

    def ledger(self) -> Ledger:
        """What this process saw of the run so far."""
        if self.measurement:
            self.measurement.collect()
        return Ledger(
            run=self.key,
            image_sha256=self.image.sha256,
            build_id=self.image.build_id,
            subject_sha256=self.image.subject.sha256,
            accelerator=self._accelerator,
            qemu_version=self._qemu_version,
            guests_booted=self._booted,
            guests_put_back=self._put_back,
            exits=_as_evidence(self._exits),
            raised=_as_evidence(+self._raised),
            layout=self.layout,
            dumps=DumpEvidence(
                requested=self._dumps[0], whole=self._dumps[1], contradicted=self.contradicted
            ),
            selftest=self.selftest,
            invariants=self.invariants,
            violated=self.violated,
            duration_s=self._busy_s,
            preflight_s=self.preflight_s,
            reached=self.measurement.reached() if self.measurement else (),
        )


def _as_evidence(exits: Counter[tuple[GuestEnd, str]]) -> tuple[GuestExits, ...]:
    return tuple(GuestExits(got=status, count=count, text=text) for (status, text), count in exits.items())


def unhandled(ledger: Ledger) -> Ledger:
    """The same without guests whose end was raised: the check that met the exception was judged by it."""
    ends = Counter({(entry.got, entry.text): entry.count for entry in ledger.exits})
    caught = Counter({(entry.got, entry.text): entry.count for entry in ledger.raised})
    return msgspec.structs.replace(
        ledger,
        exits=_as_evidence(ends - caught),
        raised=(),
        guests_booted=ledger.guests_booted - caught.total(),
    )


def merge(parts: Sequence[Ledger], subject_sha256: str, toolchain: str) -> RunEvidence:
    """Add up what several processes, at least one, saw of the same run.

    The worst word counts: a witness that differs in one process differs, and so does the subject. What one of
    them did not look at was not looked at, and two images of one subject are no image.

    Args:
        subject_sha256: of the subject that is to be judged.
    """
    exits: Counter[tuple[GuestEnd, str]] = Counter()
    for part in parts:
        for entry in part.exits:
            exits[entry.got, entry.text] += entry.count
    used = [part for part in parts if part.guests_booted] or parts
    subject = next(
        (one.subject_sha256 for one in parts if one.subject_sha256 != subject_sha256), subject_sha256
    )
    built = [part for part in parts if part.subject_sha256 == subject]
    return RunEvidence(
        run=parts[0].run,
        accelerator=_each_once(part.accelerator for part in used),
        qemu_version=_each_once(part.qemu_version for part in used),
        image_sha256=_each_once(part.image_sha256 for part in built),
        build_id=_each_once(part.build_id for part in built),
        subject_sha256=subject,
        toolchain=toolchain,
        guests_booted=sum(part.guests_booted for part in parts),
        guests_put_back=sum(part.guests_put_back for part in parts),
        exits=_as_evidence(exits),
        layout=_worst_layout([part.layout for part in used]),
        dumps=DumpEvidence(
            requested=sum(part.dumps.requested for part in parts),
            whole=sum(part.dumps.whole for part in parts),
            contradicted=sum(part.dumps.contradicted for part in parts),
        ),
        selftest=_worst_selftest([part.selftest for part in used]),
        invariants=_in_all([part.invariants for part in used]),
        duration_s=sum(part.duration_s for part in parts),
        preflight_s=sum(part.preflight_s for part in parts),
    )


def _each_once(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, words)))


def _in_all(invariants: list[dict[str, int]]) -> dict[str, int]:
    """The least that each invariant looked at, of those that were evaluated in every process."""
    first, *others = invariants
    return {
        name: min([frames, *(other[name] for other in others)])
        for name, frames in first.items()
        if all(name in other for other in others)
    }


def _worst_layout(layouts: list[LayoutEvidence]) -> LayoutEvidence:
    order = [Witness.EQUAL, Witness.UNPROMISED, Witness.UNREAD, Witness.DIFFERS]
    return LayoutEvidence(
        dwarf=max((layout.dwarf for layout in layouts), key=order.index),
        guest_bytes=max((layout.guest_bytes for layout in layouts), key=order.index),
        text=next((layout.text for layout in layouts if layout.text), ""),
    )


def _worst_selftest(tests: list[SelftestEvidence]) -> SelftestEvidence:
    return max(tests, key=lambda test: (test.plan == 0, test.plan - test.passed, test.failed))
