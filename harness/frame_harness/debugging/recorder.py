"""Makes a check with guests that QEMU records, and keeps the recording of the one that failed."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from frame_harness.base.disk import scratch
from frame_harness.debugging.guests import CountedGuests
from frame_harness.debugging.recording import RecordingError, RecordingNote, folder_of, icount, keep, note_of
from frame_harness.debugging.session import FailedCheck, again
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.boot_options import BootOptions
from frame_harness.image.image import Image
from frame_harness.machine.definition import Machine
from frame_harness.machine.identity import version_of
from frame_harness.machine.qmp import MonitorGone
from frame_harness.session.request import SessionRequest


class RecordedGuests(CountedGuests):
    """Records each guest of a check that can be recorded."""

    def __init__(self, folder: Path, failure: FailedCheck) -> None:
        super().__init__()
        self.note: RecordingNote | None = None
        self.why_not = "its guest never came to its prompt"
        self._folder, self._failure = folder, failure
        self._machines: dict[int, Machine] = {}
        self._versions: dict[int, str] = {}

    def log(self, number: int) -> Path:
        """Where QEMU writes the log of a guest."""
        return self._folder / f"replay{number}.bin"

    def start(
        self, number: int, kind: type[Kernel], image: Image, machine: Machine, options: BootOptions
    ) -> Kernel:
        if why := _refusal(machine, options):
            self.why_not = why
            return kind.start(image, machine, options)
        machine = machine.override(ram=options.ram)
        self._machines[number] = machine
        recorded = machine.override(extra_args=(*machine.extra_args, *icount("record", self.log(number))))
        kernel = kind.start(image, recorded, replace(options, ram=None, records_input=True))
        self._versions[number] = version_of(kernel.guest)
        return kernel

    def end(self) -> None:
        """End the guest that was asked last, in such a way that its log is whole, and describe it."""
        number = self.here.guest
        if number not in self._machines or number >= len(self.kernels):
            return
        kernel = self.kernels[number]
        if kernel.guest.timeout is not None:
            self.why_not = "its guest hung, and QEMU's log is lost when it is killed"
            return
        with contextlib.suppress(MonitorGone):  # it has ended by itself, which is all that is asked
            kernel.guest.qmp("quit")
        kernel.guest.wait()
        argv = kernel.guest.argv
        self.note = note_of(
            kernel, self._failure.check, append=argv[argv.index("-append") + 1], log=self.log(number),
            commands=self.commands[number], machine=self._machines[number], version=self._versions[number],
        )  # fmt: skip


def record(request: SessionRequest, failure: FailedCheck) -> tuple[Path, RecordingNote]:
    """Make a check that failed once more, recorded; returns where the recording lies.

    Raises:
        RecordingError: it cannot be recorded, or did not fail this time.
    """
    with scratch("record") as folder:
        guests = RecordedGuests(folder, failure)
        found = again(request, failure, guests, guests.end)
        if found is None:
            raise _not(failure, "it passed when it was made again")
        if guests.note is None:
            raise _not(failure, guests.why_not)
        note = structs.replace(guests.note, finding=found.result.message, frame=found.result.frame)
        place = folder_of(request.subject, failure.check)
        keep(place, note, guests.log(found.at.guest), failure.image.elf)
    return place, note


def _refusal(machine: Machine, options: BootOptions) -> str:
    """Why a guest cannot be recorded; empty for one that can."""
    if (options.cpus or machine.cpus) > 1:
        return "its guest has several CPUs, and QEMU records one"
    if options.debugger is not None:
        return "its guest has a debugger already"
    if options.counts_instructions:
        return "its guest counts instructions in its own way"
    if machine.accel != "tcg":
        return f"QEMU records with tcg alone, not with {machine.accel}"
    return ""


def _not(failure: FailedCheck, why: str) -> RecordingError:
    return RecordingError(
        "recording",
        failure.check.check,
        detail=why,
        next_step="`frame-harness debug` stops its guest under gdb",
    )
