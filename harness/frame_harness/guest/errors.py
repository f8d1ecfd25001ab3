"""How a request to a booted guest can end other than well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from frame_harness.base.errors import HarnessError, ProtocolError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.guest.backtrace import Backtrace
from frame_harness.judge.diagrams import Diagram
from frame_harness.machine.monitor_event import PAUSE_EVENTS, MonitorEvent


class SubjectPanic(Exception):
    """The subject, or the shim on its behalf, panicked during a request; the guest recovered.

    Attributes:
        file, line: where the panic was raised, as the compiler names the file.
        message: the panic's own words.
        request: the console command that was running.
        backtrace: empty for a panic inside a batch.
        diagram: what the CPUs did, where several of them worked.
    """

    diagram: Diagram | None = None

    def __init__(
        self, *, file: str, line: int, message: str, request: str, backtrace: Backtrace = ()
    ) -> None:
        self.file, self.line, self.message, self.request = file, line, message, request
        self.backtrace = backtrace
        super().__init__(f"panic during `{request}` at {file}:{line}: {message}")


class AllocFailed(Exception):
    """The subject returned an error for a request.

    Attributes:
        kind: `OutOfMemory`, `InvalidOrder`, `InvalidAddress`, or `Err` where the error has no name.
        request: the console command that was running.
    """

    def __init__(self, kind: str, request: str) -> None:
        self.kind, self.request = kind, request
        super().__init__(f"`{request}` returned {kind}")


class OtherAnswer(ProtocolError):
    """The subject's answer to a request lacks what its reader expects.

    Attributes:
        request: the console command.
        key: of the field that the reply lacks.
        answer: the reply line.
    """

    def __init__(self, request: str, key: str, answer: str) -> None:
        super().__init__("reply", f"`{request}`", expected=f"{key}=", actual=answer)
        self.request, self.key, self.answer = request, key, answer


class CommandRefused(HarnessError):
    """The guest did not carry out a request: its words or operands make no sense."""


class NotInThisVersion(HarnessError):
    """Something was asked of a frame module that this version of it does not have.

    Attributes:
        lacks: the names that it would need.
    """

    def __init__(self, lacks: Sequence[str], what: str) -> None:
        super().__init__(
            what, detail=f"not in this version of the frame module, which lacks {', '.join(lacks)}"
        )
        self.lacks = tuple(lacks)


def told(events: Iterable[MonitorEvent]) -> tuple[str, ...]:
    """Events of QEMU's monitor in words, those of each guest left out."""
    return tuple(str(event) for event in events if event.name not in PAUSE_EVENTS)


class GuestEndError(HarnessError):
    """The guest is gone.

    Attributes:
        status: how the guest ended.
        console_tail: the last lines of the transcript.
        backtrace: where it was; of several CPUs one after the other.
        registers: of every CPU, where the guest was stopped.
        console_bytes: how many bytes of the console had come by then: where in the transcript it ended.
        events: that QEMU's monitor had reported by then, oldest first.
    """

    def __init__(
        self,
        what: str,
        *,
        detail: str,
        status: GuestEnd = GuestEnd.UNEXPECTED,
        console_tail: tuple[str, ...] = (),
        backtrace: Backtrace = (),
        registers: tuple[str, ...] = (),
        console_bytes: int = 0,
        events: tuple[MonitorEvent, ...] = (),
        evidence: tuple[str, ...] = (),
    ) -> None:
        # A crash report is told decoded, by registers and backtrace.
        printed = [line for line in console_tail if not (backtrace and line.startswith("!"))]
        seen = [*registers, *map(str, backtrace), *(f"console: {line}" for line in printed), *evidence]
        seen += [f"the console ended at byte {console_bytes}"] if console_bytes else []
        seen += [f"QEMU: {event}" for event in told(events)]
        super().__init__(what, detail=detail, evidence="\n".join(seen))
        self.status, self.console_tail, self.backtrace = status, console_tail, backtrace
        self.registers, self.console_bytes, self.events = registers, console_bytes, events


class GuestFailure(GuestEndError):
    """The guest did not survive a request, by its own doing."""


class QemuEndError(GuestEndError):
    """QEMU ended for a reason that is not the guest's: it failed, or somebody killed it."""


class GuestCrashed(GuestFailure):
    """A panic that was not recovered, an exception, a reset, or an exit nobody asked for."""


class GuestTimeout(GuestFailure):
    """The guest used up its CPU time, sleeps for ever, or floods the console."""


class WitnessesDisagree(HarnessError):
    """What the guest says, what its RAM holds, what DWARF says: two of them differ."""
