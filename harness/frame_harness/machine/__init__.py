"""Runs one QEMU guest under control: definition, process, memory, limits, exit."""

from frame_harness.machine.accel import settle_accel
from frame_harness.machine.deadline import Deadline, LimitKind, LimitReached, TimeoutReport
from frame_harness.machine.definition import DEFAULT_MACHINE, Limits, Machine, known_machines, load_machine
from frame_harness.machine.exit_status import ExitStatus
from frame_harness.machine.guest import Guest, live_guests
from frame_harness.machine.qmp import MonitorGone
from frame_harness.machine.ram import GuestRam
from frame_harness.machine.vcpu import VcpuState

__all__ = [
    "DEFAULT_MACHINE",
    "Deadline",
    "ExitStatus",
    "Guest",
    "GuestRam",
    "LimitKind",
    "LimitReached",
    "Limits",
    "Machine",
    "MonitorGone",
    "TimeoutReport",
    "VcpuState",
    "known_machines",
    "live_guests",
    "load_machine",
    "settle_accel",
]
