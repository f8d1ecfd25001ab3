"""Decides whether KVM can be believed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError, MachineError
from frame_harness.machine.definition import Machine
from frame_harness.machine.guest import Guest

Talk = Sequence[tuple[bytes, bytes]]
"""What is sent to the console, with what must come back, in turns."""
KVM_DEVICE: Final = Path("/dev/kvm")
PROBE_WALL_S: Final = 5.0
"""How long the kernel may take to speak under KVM. Wall clock, because a guest that hangs inside KVM uses no
CPU time; with KVM this boot takes a fraction of a second, so a slower machine loses nothing by TCG."""
_DOUBTS: Final[dict[tuple[Machine, Path], str]] = {}


def settle_accel(
    machine: Machine, elf: Path, *, append: str, talk: Talk, say: Say, device: Path = KVM_DEVICE
) -> Machine:
    """Turn `auto` into `kvm` or `tcg`, see whether `kvm` works; a machine with `tcg` comes back as it is.

    KVM is believed only after this very kernel booted with it, then did what it was asked: a device that
    opens, creates a machine, then never runs its firmware exists; so does one that gives up a little later.

    Args:
        talk: what the kernel must print once it has booted, then how it must answer.
        say: told which accelerator was chosen, with the reason.
    Raises:
        MachineError: `kvm` was asked for and does not work here.
    """
    if machine.accel == "tcg":
        return machine
    began = time.monotonic()
    if not os.access(device, os.R_OK | os.W_OK):
        doubt = f"{device} cannot be used here"
    else:
        probed = machine.override(accel="kvm")
        if (probed, elf) not in _DOUBTS:  # a process asks for each of its checks
            _DOUBTS[probed, elf] = _doubt(probed, elf, append, talk)
        doubt = _DOUBTS[probed, elf]
    if doubt and machine.accel == "kvm":
        raise MachineError(
            "accelerator", "kvm", detail=doubt, next_step="leave --accel kvm out: TCG runs everywhere"
        )
    if doubt:
        say(f"accelerator: tcg ({doubt})")
        return machine.override(accel="tcg")
    if machine.accel == "kvm":
        return machine
    say(f"accelerator: kvm (this kernel booted with it in {time.monotonic() - began:.1f} s)")
    return machine.override(accel="kvm")


def _doubt(machine: Machine, elf: Path, append: str, talk: Talk) -> str:
    """Boot once, talk; return why KVM is not to be believed, nothing when it is."""
    patient = machine.override(limits={"stall_wall_s": PROBE_WALL_S, "total_wall_s": PROBE_WALL_S})
    until = time.monotonic() + PROBE_WALL_S
    try:
        with Guest.start(patient, elf, append=append) as guest:
            for sent, wanted in talk:
                guest.console.sendall(sent)
                said = b""
                while wanted not in said:
                    if (left_s := until - time.monotonic()) <= 0:  # a guest that prints on never times out
                        raise TimeoutError
                    guest.console.settimeout(left_s)
                    piece = guest.console.recv(4096)
                    if not piece:
                        return "with kvm this kernel did not boot"
                    said = (said + piece)[-4096:]
    except TimeoutError:
        return f"with kvm this kernel was not ready after {PROBE_WALL_S:g} s"
    except OSError as error:
        return f"with kvm the guest went away: {error.strerror}"
    except HarnessError as error:
        return f"with kvm qemu did not work: {error.summary}"
    return ""
