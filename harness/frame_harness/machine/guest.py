"""One running machine under the harness's control."""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import socket
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Final, Self, cast

from frame_harness.base.errors import MachineError, UsageError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.units import Vaddr
from frame_harness.machine.argv import DEBUGGER_ID, Handles, qemu_argv
from frame_harness.machine.deadline import Deadline, LimitReached, TimeoutReport
from frame_harness.machine.definition import Machine
from frame_harness.machine.exit_status import PASS_STATUS, ExitStatus, classify, complains
from frame_harness.machine.firmware import bios_argument, find_qemu
from frame_harness.machine.flatview import RamRange, parse_flat_view
from frame_harness.machine.monitor_event import MonitorEvent, monitor_events
from frame_harness.machine.process import QemuProcess
from frame_harness.machine.qmp import SLICE_S, Guard, MonitorGone, Qmp
from frame_harness.machine.ram import GuestRam
from frame_harness.machine.stall import StallWatch
from frame_harness.machine.translation_log import TranslationLog, TranslationLogs
from frame_harness.machine.vcpu import VcpuState, parse_registers

GARBAGE_SEED: Final = 1
_LIVE: Final[dict[int, Guest]] = {}
_FLAT_VIEWS: Final[dict[Hashable, tuple[RamRange, ...]]] = {}


class Guest:
    """A QEMU that was started paused, is watched, and never outlives its owner.

    Made by `start`; a context manager. Not for use by two threads at once.
    """

    def __init__(
        self,
        machine: Machine,
        process: QemuProcess,
        console: socket.socket,
        monitor: Qmp,
        *,
        debugger: int | Path | None = None,
        log: TranslationLog | None = None,
    ) -> None:
        self.machine = machine
        self.log = log
        """Of the code that QEMU translates, where that was asked for."""
        self.debugged = isinstance(debugger, int)
        """Whether a debugger of our own may hold it."""
        self._gdb_may_come = isinstance(debugger, Path)
        self.process = process
        self.console = console
        self.timeout: TimeoutReport | None = None
        """Set by the deadline that stopped this guest."""
        self.hung_at: Callable[[Vaddr], bool] | None = None
        """Tells of a code address whether other guests hung there."""
        self._asked_at = time.monotonic()
        self._began_cpu_s = process.cpu_time_s()
        self._stall = StallWatch(0.0)
        self._monitor = monitor
        monitor.guarded_by(self._still_alive)
        self._ram: GuestRam | None = None
        self._tids: tuple[int, ...] = ()
        self._ran = False
        self._killed = False
        self._status: ExitStatus | None = None
        _LIVE[id(self)] = self

    @classmethod
    def start(
        cls,
        machine: Machine,
        elf: Path,
        *,
        append: str = "",
        ram_fill: int | None = GARBAGE_SEED,
        resume: bool = True,
        debugger: int | Path | None = None,
        logs: TranslationLogs | None = None,
    ) -> Guest:
        """Start QEMU paused with a kernel, learn where its RAM lies, then let it run.

        Args:
            append: the kernel's command line.
            ram_fill: seed of the garbage in RAM; None leaves zeroes.
            resume: False leaves the guest paused, before its first instruction, until `resume()`, or until a
                debugger lets it run.
            debugger: a socket's descriptor, through which QEMU talks to a debugger; the caller closes it. A
                guest that it holds reaches no limit but `total_wall_s`. Or a path, at which a person's
                debugger finds QEMU: while one is attached, there are no limits.
            logs: where QEMU is to log the code that it translates.
        Raises:
            MissingToolError: QEMU, setpriv or a firmware file is not installed.
            MachineError: QEMU did not come up; the text holds its own words.
            UsageError: no such machine can be started.
        """
        if not Path(elf).is_file():
            raise UsageError("kernel", str(elf), detail="no such file", next_step="build it first")
        qemu = find_qemu(machine.qemu)
        bios = bios_argument(machine, qemu)
        guest_ram = GuestRam(machine.ram, ram_fill)

        def argv(handles: Handles) -> list[str]:
            return qemu_argv(machine, handles, qemu=qemu, elf=Path(elf), append=append, bios=bios)

        with contextlib.ExitStack() as failed:
            log = logs.open() if logs else None
            if log is not None:
                failed.callback(log.end)
            process, console, monitor = _launch(argv, guest_ram, debugger, log)
            for each in (console, monitor, process):
                failed.callback(each.close)
            guest = cls(machine, process, console, Qmp(monitor), debugger=debugger, log=log)
            failed.callback(guest.close)
            guest._come_up(guest_ram)
            guest._ran = debugger is not None
            if resume:
                guest.resume()
            failed.pop_all()
        return guest

    def _come_up(self, ram: GuestRam) -> None:
        try:
            self._monitor.connect()
            self.process.require_threads(self.vcpu_threads())
            ram.ranges = self._flat_view()
        except MonitorGone as error:
            raise self._refused() from error
        except MachineError as error:
            self.process.kill()
            error.evidence = f"{self.stderr_text().strip()}\n{shlex.join(self.argv)}".strip()
            raise
        self._ram = ram

    def _refused(self) -> MachineError:
        # The connection is gone before the process is; what it still has to say comes first.
        while not self.process.ended(SLICE_S):
            self._still_alive()
        text = self.process.stderr_text().strip()
        first = next((line for line in text.splitlines() if line[:5] != "... ("), "it said nothing")
        return MachineError(
            "qemu", self.machine.name,
            detail=f"ended at once with status {self.process.returncode}: {first}",
            evidence=f"{text}\n{shlex.join(self.argv)}",
            next_step="correct the machine's file where it is yours, else `make doctor` tells of this QEMU",
        )  # fmt: skip

    @property
    def argv(self) -> list[str]:
        """The command that QEMU was started with."""
        return self.process.argv

    @property
    def pid(self) -> int:
        """The id of QEMU's process, which may have ended."""
        return self.process.pid

    @property
    def ram(self) -> GuestRam:
        """The guest's memory; readable also after the guest died, until the last view is gone.

        Raises:
            MachineError: QEMU ended before it told where RAM lies.
        """
        if self._ram is None:
            raise MachineError("guest RAM", self.machine.name, detail="QEMU never told where it lies")
        return self._ram

    def _flat_view(self) -> tuple[RamRange, ...]:
        """Where RAM lies, asked of QEMU once for each way to start it: no guest can change it."""
        machine = self.machine
        options = tuple(sorted(machine.options))
        way = (self.argv[0], machine.type, options, machine.extra_args, machine.ram, machine.firmware)
        if way not in _FLAT_VIEWS:
            _FLAT_VIEWS[way] = parse_flat_view(self.hmp("info mtree -f"))
        return _FLAT_VIEWS[way]

    def debugger_attached(self) -> bool:
        """Whether a person's debugger is connected, as QEMU says."""
        if not self._gdb_may_come or self._status is not None:
            return False
        try:
            devices = self.qmp("query-chardev")
        except MonitorGone:
            return False
        [name] = [one["filename"] for one in devices if one["label"] == DEBUGGER_ID]
        return not str(name).startswith("disconnected:")

    def resume(self) -> None:
        """Let the guest run; it may have ended before this returns."""
        self._ran = True
        with contextlib.suppress(MonitorGone):
            # A guest that ends at once takes QEMU along before the answer is out; its end is seen by `wait`.
            self.qmp("cont")

    def qmp(self, command: str, **arguments: object) -> Any:
        """Run a QMP command (underscores in argument names stand for dashes), return what QEMU returns.

        Raises:
            MonitorGone: QEMU ended.
            MachineError: QEMU refused, or does not run any more.
        """
        self._note_question()
        return self._monitor.execute(command, {key.replace("_", "-"): arguments[key] for key in arguments})

    def _note_question(self) -> None:
        self._asked_at = time.monotonic()
        self._stall.alive()

    def hmp(self, text: str) -> str:
        """Run a command of the human monitor, return what it prints."""
        self._note_question()
        return self._monitor.hmp(text)

    def events(self, *, ask: bool = True) -> tuple[MonitorEvent, ...]:
        """Return the events of QEMU's monitor, oldest first.

        Args:
            ask: ask QEMU something first, so that none is on its way; False gives those that were read so
                far, also where QEMU hangs.
        """
        if ask and self._status is None:
            with contextlib.suppress(MonitorGone):
                # Events precede the answer to whatever is asked after them.
                self.qmp("query-status")
        return monitor_events(self._monitor.events())

    def cpu_time_s(self) -> float:
        """Return the CPU time that QEMU has used for this guest, all threads, in seconds."""
        return self.process.cpu_time_s() - self._began_cpu_s

    def stderr_text(self) -> str:
        """Return the end of what QEMU itself has printed."""
        return self._status.stderr_tail if self._status else self.process.stderr_text()

    def boot_deadline(self, *, tail: Callable[[], Sequence[str]] | None = None) -> Deadline:
        """Return the limits for the way to the banner; `tail` gives the console's last lines."""
        limits = self.machine.limits
        return self.deadline("the banner", cpu_s=limits.boot_cpu_s, max_bytes=limits.boot_bytes, tail=tail)

    def deadline(
        self,
        what: str,
        *,
        cpu_s: float | None = None,
        max_bytes: int | None = None,
        tail: Callable[[], Sequence[str]] | None = None,
    ) -> Deadline:
        """Return the limits for one thing that the guest is to do, by default those of one request."""
        limits = self.machine.limits
        seconds = limits.request_cpu_s if cpu_s is None else cpu_s
        n_bytes = limits.console_bytes if max_bytes is None else max_bytes
        return Deadline(self, what, cpu_s=seconds, max_bytes=n_bytes, tail=tail)

    def vcpus(self, guard: Guard | None = None) -> tuple[VcpuState, ...]:
        """Return the state of every virtual CPU, now."""
        if guard is None:
            self._note_question()
        return parse_registers(self._monitor.hmp("info registers -a", guard))

    def vcpu_threads(self, guard: Guard | None = None) -> tuple[int, ...]:
        """Return the host's thread id of every virtual CPU."""
        if not self._tids:
            answer = cast("list[dict[str, Any]]", self._monitor.execute("query-cpus-fast", None, guard))
            self._tids = tuple(int(each["thread-id"]) for each in answer)
        return self._tids

    def stop_and_look(self) -> tuple[str, tuple[VcpuState, ...]]:
        """Stop the guest, return its registers as text with what was read of them; empty if QEMU is gone."""
        try:
            self.qmp("stop")
            text = self.hmp("info registers -a")
        except MachineError:
            # It died, or hangs: the report of the limit says the rest.
            return "", ()
        return text, parse_registers(text)

    def _still_alive(self) -> None:
        """While QEMU owes an answer: give up when it does not run at all, or runs without ever answering."""
        cpu_s, limits = self.cpu_time_s(), self.machine.limits
        stalled_s, owed_s = self._stall.look(cpu_s), time.monotonic() - self._asked_at
        if stalled_s > limits.stall_wall_s:
            why = f"used no CPU time for {stalled_s:.1f} s"
        elif owed_s > limits.total_wall_s:
            why = f"answered nothing for {owed_s:.1f} s"
        elif not self._ran and cpu_s > limits.boot_cpu_s:
            why = f"did not come up within {limits.boot_cpu_s:g} s of CPU time"
        else:
            return
        raise MachineError("qemu", self.machine.name, detail=why, evidence=self.stderr_text())

    def wait(self, deadline: Deadline | None = None) -> ExitStatus:
        """Wait for the guest to end of its own accord, return how it ended; it is killed at the deadline.

        The console should have been read to its end first: a guest that prints on blocks when nobody reads.
        """
        if self._status is None and self.timeout is None and not self.process.ended():
            limit = deadline or self.deadline("the end of QEMU", cpu_s=self.machine.limits.exit_cpu_s)
            with contextlib.suppress(LimitReached):
                # The deadline left its report in `timeout`, from which `kill` draws the conclusion.
                while not self.process.ended(limit.poll_s):
                    limit.check(0)
        return self.kill()

    def kill(self) -> ExitStatus:
        """End QEMU now if it still runs, reap it, return how it ended."""
        if self._status is None:
            self._killed = not self.process.ended()
            returncode = self.process.kill()
            self._monitor.drain()
            reasons = [
                e["data"].get("reason", "") for e in self._monitor.events() if e.get("event") == "SHUTDOWN"
            ]
            kind = classify(
                returncode, tuple(reasons), ran=self._ran, timed_out=self.timeout is not None,
                killed=self._killed, complained=complains(self.stderr_text()),
            )  # fmt: skip
            self._status = ExitStatus(kind, returncode, tuple(reasons), self.stderr_text())
            _LIVE.pop(id(self), None)
            self._monitor.close()
        return self._status

    def hand_over(self) -> Guest:
        """End this guest, which stands before its last write, but not its QEMU; return the next guest in it.

        QEMU must be paused. The RAM of both is the same memory.
        """
        monitor, console = self._monitor.hand_over(), self.console.dup()
        successor = Guest(self.machine, self.process, console, monitor, log=self.log)
        successor._ram, successor._tids, successor._ran = self.ram.again(), self._tids, True
        self._status = ExitStatus(GuestEnd.PASS, PASS_STATUS, (), "", stood=True)
        _LIVE.pop(id(self), None)
        self.console.close()
        return successor

    def close(self) -> None:
        """End QEMU, release every descriptor; `ram`, `wait()` and `stderr_text()` go on working."""
        if self.kill().stood:
            return
        if self.log is not None:
            self.log.end()
        self.process.close()
        self.console.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def live_guests() -> tuple[Guest, ...]:
    """Return every guest of this process that has not been ended."""
    return tuple(_LIVE.values())


def _end_all(owner: int = os.getpid()) -> None:
    if os.getpid() == owner:
        for guest in live_guests():
            guest.close()


atexit.register(_end_all)


def _launch(
    argv: Callable[[Handles], list[str]],
    ram: GuestRam,
    debugger: int | Path | None,
    log: TranslationLog | None,
) -> tuple[QemuProcess, socket.socket, socket.socket]:
    """Start QEMU, paused; return it with our ends of its console and of its monitor."""
    console, console_far = socket.socketpair()
    monitor, monitor_far = socket.socketpair()
    try:
        handles = Handles(
            ram=ram.fd, console=console_far.fileno(), monitor=monitor_far.fileno(), debugger=debugger, log=log
        )
        return QemuProcess(argv(handles), handles.inherited), console, monitor
    except BaseException:
        console.close()
        monitor.close()
        raise
    finally:
        # QEMU's ends must be QEMU's alone, or its death would not be the end of the stream.
        console_far.close()
        monitor_far.close()
