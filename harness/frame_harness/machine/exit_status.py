"""Says what the end of a QEMU process proves."""

from __future__ import annotations

import enum
import signal
from dataclasses import dataclass
from typing import Final, Literal

PASS_STATUS: Final = 33
FAIL_STATUS: Final = 35
PANIC_STATUS: Final = 37
# isa-debug-exit: QEMU exits with (value << 1) | 1 (hw/misc/debugexit.c, QEMU 7.2); values 0x10, 0x11, 0x12.
_GUEST_WROTE: Final = {PASS_STATUS: 0x10, FAIL_STATUS: 0x11, PANIC_STATUS: 0x12}

Severity = Literal["pass", "fail", "crash", "timeout", "error"]


class GuestExit(enum.Enum):
    """How a guest ended, born of evidence; only `GUEST_PASS` may ever become a pass."""

    GUEST_PASS = "the guest reported success"
    GUEST_FAIL = "the guest reported failure"
    GUEST_PANIC = "the guest reported a panic or an exception"
    RESET = "the guest reset itself (a triple fault does that)"
    UNEXPECTED_EXIT = "QEMU exited without a word from the guest"
    TIMEOUT = "the guest was stopped at a limit"
    KILLED = "the harness ended the guest early"
    SIGNALLED = "QEMU was killed by a signal that the harness did not send"
    QEMU_FAILED = "QEMU failed"
    CONTRADICTION = "QEMU's exit status and its monitor disagree"
    UNKNOWN = "QEMU exited with a status that nothing explains"

    @property
    def severity(self) -> Severity:
        """The worst that this alone allows a verdict to be; "pass" only permits, it never proves."""
        return _SEVERITY[self]


_SEVERITY: Final[dict[GuestExit, Severity]] = {
    GuestExit.GUEST_PASS: "pass",
    GuestExit.GUEST_FAIL: "fail",
    GuestExit.GUEST_PANIC: "crash",
    GuestExit.RESET: "crash",
    GuestExit.UNEXPECTED_EXIT: "crash",
    GuestExit.TIMEOUT: "timeout",
    GuestExit.KILLED: "error",
    GuestExit.SIGNALLED: "error",
    GuestExit.QEMU_FAILED: "error",
    GuestExit.CONTRADICTION: "error",
    GuestExit.UNKNOWN: "error",
}


@dataclass(frozen=True)
class ExitStatus:
    """The end of one QEMU process with its evidence."""

    kind: GuestExit
    returncode: int
    """As `subprocess` gives it: negative is a signal's number."""
    shutdown_reasons: tuple[str, ...]
    """Reasons of the monitor's SHUTDOWN events, in order."""
    stderr_tail: str

    @property
    def severity(self) -> Severity:
        """See `GuestExit.severity`."""
        return self.kind.severity

    def describe(self) -> str:
        """Say in one line how the guest ended, with the evidence."""
        if self.returncode < 0:
            status = f"signal {_signal_name(-self.returncode)}"
        else:
            status = f"exit status {self.returncode}"
        if self.returncode in _GUEST_WROTE:
            status += f", the guest wrote {_GUEST_WROTE[self.returncode]:#x}"
        reasons = ", ".join(self.shutdown_reasons) or "none"
        return f"{self.kind.value} ({status}, monitor's shutdown reason: {reasons})"


def classify(
    returncode: int, shutdown_reasons: tuple[str, ...], *, ran: bool, timed_out: bool, killed: bool
) -> GuestExit:
    """Decide what happened; whatever is not understood is an error, never a pass.

    QEMU's own 0 is a reset or a shutdown (a triple fault under `-no-reboot` exits 0), its 1 a failure of QEMU
    or a 0 written to the port: none of these speaks for the guest.

    Args:
        ran: the guest was let run; before that no status can be the guest's.
        timed_out: a limit was reached first.
        killed: the harness sent the signal, or `quit` over the monitor.
    """
    if timed_out:
        return GuestExit.TIMEOUT
    if killed and (returncode == -signal.SIGKILL or "host-qmp-quit" in shutdown_reasons):
        return GuestExit.KILLED
    if returncode < 0:
        return GuestExit.SIGNALLED
    if returncode in _GUEST_WROTE:
        if shutdown_reasons or not ran:
            return GuestExit.CONTRADICTION
        by_status = {PASS_STATUS: GuestExit.GUEST_PASS, FAIL_STATUS: GuestExit.GUEST_FAIL}
        return by_status.get(returncode, GuestExit.GUEST_PANIC)
    if returncode == 0 and "host-signal" in shutdown_reasons:
        return GuestExit.SIGNALLED  # SIGTERM, SIGINT, SIGHUP: QEMU shuts down in good order
    if returncode == 0:
        return GuestExit.RESET if "guest-reset" in shutdown_reasons else GuestExit.UNEXPECTED_EXIT
    return GuestExit.QEMU_FAILED if returncode == 1 else GuestExit.UNKNOWN


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
