"""Decides when a guest has had its time."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Vaddr
from frame_harness.machine.definition import Machine
from frame_harness.machine.process import QemuProcess
from frame_harness.machine.qmp import Guard, MonitorGone
from frame_harness.machine.stall import StallWatch
from frame_harness.machine.vcpu import VcpuState

POLL_S: Final = (
    0.02  # how long a reader may wait for bytes before it asks again; doubles while there are none
)
MAX_POLL_S: Final = 0.25
CONFIRMATIONS: Final = 3
"""How many round trips through QEMU's main loop must find every CPU halted. The first makes the loop handle
all that was sent to the guest before; the others see that it woke nobody."""
HANG_SHARE: Final = 0.1
"""Of its CPU time, what a guest gets where others hung."""
HANG_LOOKS: Final = 5
"""How often in a row it must be seen there; the looks lie apart by `HANG_STEP_S` of its CPU time."""
HANG_STEP_S: Final = 0.1
TAIL_LINES: Final = 20


class LimitKind(enum.Enum):
    """Which limit was reached."""

    CPU = "the guest used up its CPU time"
    ASLEEP = "every CPU is halted for good"
    PAUSED = "QEMU paused the guest"
    STALLED = "QEMU got no further and used no CPU time"
    WALL = "the last resort, a limit in wall-clock time, was reached"
    FLOOD = "the guest printed without end"


@dataclass(frozen=True)
class TimeoutReport:
    """What a guest was doing when it reached a limit; it is stopped since."""

    kind: LimitKind
    what: str
    """What the harness was waiting for."""
    limit: str
    cpu_s: float
    wall_s: float
    received_bytes: int
    vcpus: tuple[VcpuState, ...]
    registers: str
    """As QEMU printed them, every CPU; empty when QEMU did not answer."""
    tail: tuple[str, ...] = ()
    """The last lines of the console."""

    @property
    def interrupts_off(self) -> bool:
        """Whether every CPU has interrupts disabled."""
        return bool(self.vcpus) and not any(vcpu.interrupts_enabled for vcpu in self.vcpus)

    def describe(self) -> str:
        """Say in one line what happened."""
        spent = f"{self.cpu_s:.1f} s CPU, {self.wall_s:.1f} s wall, {self.received_bytes} bytes"
        off = ", interrupts off" if self.kind is LimitKind.ASLEEP and self.interrupts_off else ""
        return f"{self.kind.value}{off} (limit {self.limit}; {spent})"


class LimitReached(HarnessError):
    """The guest reached a limit; it is stopped, its state is in `report`."""

    def __init__(self, report: TimeoutReport) -> None:
        evidence = [vcpu.describe() for vcpu in report.vcpus]
        evidence += [f"console: {line}" for line in report.tail]
        super().__init__("timeout", report.what, detail=report.describe(), evidence="\n".join(evidence))
        self.report = report


class WatchedQemu(Protocol):
    """A running QEMU, as far as its limits look at it."""

    machine: Machine
    process: QemuProcess
    timeout: TimeoutReport | None
    hung_at: Callable[[Vaddr], bool] | None
    debugged: bool

    def debugger_attached(self) -> bool: ...

    def cpu_time_s(self) -> float: ...

    def qmp(self, command: str, **arguments: object) -> Any: ...

    def vcpus(self, guard: Guard | None = None) -> tuple[VcpuState, ...]: ...

    def vcpu_threads(self, guard: Guard | None = None) -> tuple[int, ...]: ...

    def stop_and_look(self) -> tuple[str, tuple[VcpuState, ...]]: ...


class Deadline:
    """What a guest may still use up until it has done one thing.

    The reader of the console waits at most `poll_s` at a time, then calls `check` with how much has been
    received in all; `check` raises when a limit is reached. Limits count from the making of the object.
    """

    def __init__(
        self,
        guest: WatchedQemu,
        what: str,
        *,
        cpu_s: float,
        max_bytes: int,
        tail: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self._guest = guest
        self._limits = guest.machine.limits
        self._what = what
        self._cpu_s = cpu_s
        self._max_bytes = max_bytes
        self._tail = tail
        self._began_cpu_s = guest.cpu_time_s()
        self._began = time.monotonic()
        self._stall = StallWatch(self._began_cpu_s)
        self._first_received: int | None = None
        self._received = 0
        self._sleep = _SleepWatch(guest)
        self._hang = _HangWatch(guest, cpu_s * HANG_SHARE)
        self.poll_s = POLL_S
        """How long to wait for bytes before `check` must be called again."""

    def check(self, received: int) -> None:
        """Ask whether the guest may go on.

        Raises:
            LimitReached: it may not.
        """
        # The first call only tells where counting begins: nobody knows whether the guest was silent before.
        silent = self._first_received is not None and received == self._received
        if self._first_received is None:
            self._first_received = received
        self._received = received
        cpu_s, limits = self._guest.cpu_time_s(), self._limits
        if silent:
            self._stall.look(cpu_s)
        else:
            self._stall.renew(cpu_s)
        if received - self._first_received > self._max_bytes:
            self._reached(LimitKind.FLOOD, f"{self._max_bytes} bytes")
        if cpu_s - self._began_cpu_s > self._cpu_s:
            self._reached(LimitKind.CPU, f"{self._cpu_s:g} s of QEMU's CPU time")
        if self._hang.seen(cpu_s - self._began_cpu_s, self.check_progress):
            self._reached(LimitKind.CPU, f"{HANG_SHARE * self._cpu_s:g} s where other guests hung before")
        self.poll_s = min(2 * self.poll_s, MAX_POLL_S) if silent else POLL_S
        if not silent:
            self._sleep.reset()
        else:
            found = self._sleep.look(limits.asleep_wall_s, self.check_progress)
            if self._sleep.held:
                self._stall.alive()
            if found is not None:
                self._reached(found, f"{CONFIRMATIONS} looks")
        self.check_progress()

    def check_progress(self) -> None:
        """Ask only whether QEMU still runs at all; used while QEMU itself owes an answer."""
        limits = self._limits
        if self._stall.look(self._guest.cpu_time_s()) > limits.stall_wall_s:
            self._reached(LimitKind.STALLED, f"{limits.stall_wall_s:g} s")
        if time.monotonic() - self._began > limits.total_wall_s:
            self._reached(LimitKind.WALL, f"{limits.total_wall_s:g} s")

    def _reached(self, kind: LimitKind, limit: str) -> None:
        """Raise, unless a person's debugger is attached: then counting begins again."""
        if self._guest.debugger_attached():
            self._began_cpu_s = self._guest.cpu_time_s()
            self._began = time.monotonic()
            self._stall.renew(self._began_cpu_s)
            self._first_received = self._received
            self._sleep.reset()
            self._hang.reset()
            return
        report = TimeoutReport(
            kind=kind,
            what=self._what,
            limit=limit,
            cpu_s=self._guest.cpu_time_s() - self._began_cpu_s,
            wall_s=time.monotonic() - self._began,
            received_bytes=self._received - (self._first_received or 0),
            vcpus=(),
            registers="",
        )
        if kind not in (LimitKind.STALLED, LimitKind.WALL):
            # A QEMU that does not run cannot be asked either.
            registers, vcpus = self._guest.stop_and_look()
            report = replace(report, registers=registers, vcpus=vcpus)
        if self._tail is not None:
            report = replace(report, tail=tuple(self._tail())[-TAIL_LINES:])
        self._guest.timeout = report
        raise LimitReached(report)


class _HangWatch:
    """Finds out whether the guest stays where other guests hung until their limit."""

    def __init__(self, guest: WatchedQemu, from_s: float) -> None:
        self._guest = guest
        self._next_s = self._from_s = from_s
        self._looks = 0

    def reset(self) -> None:
        """Forget what was seen: the guest's CPU time counts from now on."""
        self._next_s, self._looks = self._from_s, 0

    def seen(self, spent_s: float, guard: Guard) -> bool:
        """Look, when it is time for it, with the guest's CPU time so far."""
        hung_at = self._guest.hung_at
        if hung_at is None or spent_s < self._next_s:
            return False
        self._next_s = spent_s + HANG_STEP_S
        try:
            vcpus = self._guest.vcpus(guard)
        except MonitorGone:
            return False  # the end of the console's stream tells the reader
        there = any(hung_at(vcpu.rip) for vcpu in vcpus if not vcpu.halted)
        self._looks = self._looks + 1 if there else 0
        return self._looks >= HANG_LOOKS


class _SleepWatch:
    """Finds out whether anything can still wake the guest.

    Asleep is: every virtual CPU halted, its thread sleeping in the host without having run, over several
    round trips through QEMU's main loop, which in each delivers what was sent to the guest and every timer
    that was due. With interrupts disabled on all CPUs that is for ever; otherwise a timer of the guest may
    still be to come, so that the state must last for a while.
    """

    def __init__(self, guest: WatchedQemu) -> None:
        self._guest = guest
        self._looks = 0
        self._since = 0.0
        self._ticks: tuple[int, ...] | None = None
        self.held = False
        """Whether a debugger held the guest when it was last looked at: that is no hang."""

    def reset(self) -> None:
        """Forget what was seen: the guest has moved."""
        self._looks = 0

    def look(self, lasting_s: float, guard: Guard) -> LimitKind | None:
        """Look once more; return what holds the guest for good, None while it may still wake."""
        try:
            before = self._sleeping_ticks(guard)
            if before is None:
                self.reset()
                return None
            vcpus = self._guest.vcpus(guard)
            halted = bool(vcpus) and all(vcpu.halted for vcpu in vcpus)
            status = "running" if halted else self._guest.qmp("query-status")["status"]
            stopped = status in ("debug", "paused")
            self.held = stopped and (self._guest.debugged or self._guest.debugger_attached())
            paused = status != "running" and not self.held
            same = self._sleeping_ticks(guard) == before and (not self._looks or before == self._ticks)
        except MonitorGone:
            # The end of the console's stream tells the reader.
            self.reset()
            return None
        if not same or not (halted or paused):
            self.reset()
            return None
        if not self._looks:
            self._since, self._ticks = time.monotonic(), before
        self._looks += 1
        if self._looks < CONFIRMATIONS:
            return None
        if paused:
            return LimitKind.PAUSED
        for_ever = not any(vcpu.interrupts_enabled for vcpu in vcpus)
        return LimitKind.ASLEEP if for_ever or time.monotonic() - self._since >= lasting_s else None

    def _sleeping_ticks(self, guard: Guard) -> tuple[int, ...] | None:
        """Return each CPU thread's time in ticks; None when one of them is not sleeping."""
        ticks = []
        for tid in self._guest.vcpu_threads(guard):
            state = self._guest.process.thread_state(tid)
            if state is None or state[0] != "S":
                return None
            ticks.append(state[1])
        return tuple(ticks)
