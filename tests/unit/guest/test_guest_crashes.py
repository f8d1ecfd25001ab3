"""Proves that each way in which a kernel can crash is told from the others."""

from __future__ import annotations

import os
import signal

import pytest

from frame_harness.base.guest_end import GuestEnd
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import GuestCrashed, GuestFailure, QemuEndError
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine

# The kind of crash with what the harness says about it.
CRASHES = {
    "nested": ("the report itself crashed", GuestEnd.PANIC),
    "ud": ("vector=6 name=#UD", GuestEnd.PANIC),
    "pf": ("vector=14 name=#PF", GuestEnd.PANIC),
    "gp": ("vector=13 name=#GP", GuestEnd.PANIC),
    "de": ("vector=0 name=#DE", GuestEnd.PANIC),
    "df": ("vector=8 name=#DF", GuestEnd.PANIC),
    "stack": ("", GuestEnd.PANIC),
    "triple": ("the guest reset itself", GuestEnd.RESET),
}


@pytest.mark.parametrize("kind", CRASHES)
def test_crash_is_called_by_its_name(kind: str) -> None:
    words, status = CRASHES[kind]
    with Kernel.boot(build(frame_module(), "release"), load_machine("microvm")) as kernel:
        with pytest.raises(GuestCrashed) as crash:
            kernel.call("crash", kind)
        assert words in str(crash.value)
        assert crash.value.status is status
        reasons = [event.reason for event in crash.value.events if event.name == "SHUTDOWN"]
        assert reasons == (["guest-reset"] if status is GuestEnd.RESET else [])
        received = kernel.channel.transcript.n_received
        assert 0 < crash.value.console_bytes <= received, "where in the transcript it crashed"


@pytest.mark.parametrize(
    ("number", "reasons"), [(signal.SIGKILL, []), (signal.SIGTERM, ["host-signal"])], ids=["kill", "term"]
)
def test_end_of_qemu_that_is_not_the_guest_s_is_no_crash(number: signal.Signals, reasons: list[str]) -> None:
    with Kernel.boot(build(frame_module(), "release"), load_machine("microvm")) as kernel:
        before = kernel.channel.transcript.n_received
        os.kill(kernel.guest.pid, number)
        with pytest.raises(QemuEndError) as ended:
            kernel.call("help")
    error = ended.value
    assert not isinstance(error, GuestFailure), "else histories would call it a finding"
    assert error.status is GuestEnd.SIGNALED and error.console_tail
    assert error.console_bytes >= before > 0
    assert [event.reason for event in error.events if event.name == "SHUTDOWN"] == reasons
    assert f"the console ended at byte {error.console_bytes}" in str(error)
    assert ("QEMU: SHUTDOWN host-signal" in str(error)) == bool(reasons)
