"""Says what the end of a QEMU process proves."""

from __future__ import annotations

from dataclasses import dataclass
from signal import SIGKILL, Signals
from typing import Final

from frame_harness.base.guest_end import GuestEnd

PASS_STATUS: Final = 33
FAIL_STATUS: Final = 35
PANIC_STATUS: Final = 37
# isa-debug-exit: QEMU exits with (value << 1) | 1 (hw/misc/debugexit.c, QEMU 7.2); values 0x10, 0x11, 0x12.
_GUEST_WROTE: Final = {PASS_STATUS: 0x10, FAIL_STATUS: 0x11, PANIC_STATUS: 0x12}
# What the monitor says of such an end: QEMU 7.2 exits on the spot, QEMU 10 shuts down, with that status.
_BY_DEBUG_EXIT: Final = ((), ("guest-shutdown",))


@dataclass(frozen=True)
class ExitStatus:
    """The end of one QEMU process with its evidence."""

    kind: GuestEnd
    returncode: int
    """As `subprocess` gives it: negative is a signal's number."""
    shutdown_reasons: tuple[str, ...]
    """Reasons of the monitor's SHUTDOWN events, in order."""
    stderr_tail: str
    stood: bool = False
    """The guest stood before the write that would have ended QEMU with `returncode`; QEMU goes on."""

    def describe(self) -> str:
        """Say in one line how the guest ended, with the evidence."""
        if self.stood:
            return f"{self.kind.words} (it stood ready to write {_GUEST_WROTE[self.returncode]:#x})"
        if self.returncode < 0:
            status = f"signal {_signal_name(-self.returncode)}"
        else:
            status = f"exit status {self.returncode}"
        if self.returncode in _GUEST_WROTE:
            status += f", the guest wrote {_GUEST_WROTE[self.returncode]:#x}"
        elif self.kind is GuestEnd.UNKNOWN and self.returncode & 1:
            status += f", as after a write of {self.returncode >> 1:#x} to the exit port"
        reasons = ", ".join(self.shutdown_reasons) or "none"
        return f"{self.kind.words} ({status}, monitor's shutdown reason: {reasons})"


def complains(stderr: str) -> bool:
    """Whether QEMU has printed more than warnings: it does so of each failure of its own."""
    return any(line.strip() and ": warning: " not in line for line in stderr.splitlines())


def classify(
    returncode: int,
    shutdown_reasons: tuple[str, ...],
    *,
    ran: bool,
    timed_out: bool,
    killed: bool,
    complained: bool,
) -> GuestEnd:
    """Decide what happened; whatever is not understood is an error, never a pass.

    QEMU's own 0 is a reset or a shutdown (a triple fault under `-no-reboot` exits 0), its 1 a failure of QEMU
    or a 0 written to the port: none of these speaks for the guest. Of a failure QEMU says something.

    Args:
        ran: the guest was let run; before that no status can be the guest's.
        complained: QEMU has printed what may be the reason of a failure.
        timed_out: a limit was reached first.
        killed: the harness sent the signal, or `quit` over the monitor.
    """
    if timed_out:
        return GuestEnd.TIMEOUT
    if killed and (returncode == -SIGKILL or "host-qmp-quit" in shutdown_reasons):
        return GuestEnd.KILLED
    if returncode < 0:
        return GuestEnd.SIGNALED
    if returncode in _GUEST_WROTE:
        if shutdown_reasons not in _BY_DEBUG_EXIT or not ran:
            return GuestEnd.CONTRADICTION
        by_status = {PASS_STATUS: GuestEnd.PASS, FAIL_STATUS: GuestEnd.FAIL}
        return by_status.get(returncode, GuestEnd.PANIC)
    if returncode == 0 and "host-signal" in shutdown_reasons:
        return GuestEnd.SIGNALED  # SIGTERM, SIGINT, SIGHUP: QEMU shuts down in good order
    if returncode == 0:
        return GuestEnd.RESET if "guest-reset" in shutdown_reasons else GuestEnd.UNEXPECTED
    if returncode == 1 and (complained or not ran or shutdown_reasons not in _BY_DEBUG_EXIT):
        return GuestEnd.REFUSED
    return GuestEnd.UNKNOWN


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return str(number)
