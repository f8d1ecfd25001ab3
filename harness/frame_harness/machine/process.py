"""Owns one QEMU process from spawn to reap."""

from __future__ import annotations

import functools
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from frame_harness.base.disk import scratch_place, writing
from frame_harness.base.errors import MachineError, MissingToolError

STDERR_TAIL_BYTES: Final = 16 << 10
# sh's own parent is compared with the process that asked for it: when that died before the signal was armed,
# sh has another parent already, so QEMU is never started. PPID is fixed when sh starts (POSIX.1-2017 XCU
# 2.5.3).
PARENT_CHECK: Final = 'test "$PPID" = "$0" && exec "$@"'


class QemuProcess:
    """A child that dies with this process, even when this process is killed by SIGKILL.

    The kernel sends the child SIGKILL when its parent *thread* ends (prctl(2), PR_SET_PDEATHSIG); therefore
    threads other than the main one spawn through one thread that lives as long as the process.
    """

    def __init__(self, argv: Sequence[str], pass_fds: Sequence[int]) -> None:
        """Spawn in a process group of its own, with stderr kept in a nameless file.

        Raises:
            MissingToolError: setpriv or sh is not installed, or the program is not one.
            Unwritable: there is no room for what it prints.
        """
        self.argv = list(argv)
        with writing(scratch_place()):
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (`close` closes it)
        command = [*_die_with_parent(), *argv]
        try:
            self._child = _in_lasting_thread(lambda: self._spawn(command, pass_fds))
        except BaseException:
            self._stderr.close()
            raise
        self.pid = self._child.pid
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except BaseException:
            self._child.kill()
            self._child.wait()
            self._stderr.close()
            raise
        self._clock = _cpu_clock_of(self.pid)
        self._last_cpu_s = 0.0
        self._last_stderr = ""

    def _spawn(self, command: list[str], pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,
            stderr=self._stderr,
            pass_fds=pass_fds,
            process_group=0,
        )

    @property
    def returncode(self) -> int | None:
        """As `subprocess` gives it; None while the process runs or nobody reaped it."""
        return self._child.returncode

    def cpu_time_s(self) -> float:
        """Return the CPU time of all threads so far, in seconds; of a dead process the last value seen."""
        if self._child.returncode is None:
            try:
                self._last_cpu_s = max(self._last_cpu_s, time.clock_gettime(self._clock))
            except OSError:
                # Dead, not reaped yet: its clock is gone, the last value stands.
                return self._last_cpu_s
        return self._last_cpu_s

    def thread_state(self, tid: int) -> tuple[str, int] | None:
        """Return a thread's state letter with its CPU time in ticks (proc(5), stat); None: no such thread."""
        try:
            text = Path(f"/proc/{self.pid}/task/{tid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        fields = text[text.rindex(")") + 2 :].split()
        return fields[0], int(fields[11]) + int(fields[12])

    def require_threads(self, tids: Iterable[int]) -> None:
        """Require threads to be this process's: QEMU's virtual CPUs run in the program that was started.

        A script that starts QEMU as a child is ended in its place, and limits would look at its CPU time.

        Raises:
            MachineError: one of them is another process's.
        """
        if any(self.thread_state(tid) is None for tid in tids) and not self.ended():
            raise MachineError(
                "qemu",
                self.argv[0],
                expected="a program that is QEMU, or becomes it",
                actual="one that starts QEMU as another process",
                next_step="in a script, write `exec` in front of the call of QEMU",
            )

    def ended(self, wait_s: float = 0.0) -> bool:
        """Tell whether the process is over, after waiting for that up to `wait_s`; reap it if it is."""
        if self._child.returncode is None:
            poller = select.poll()
            poller.register(self._pidfd, select.POLLIN)
            if poller.poll(max(0, int(wait_s * 1000))):
                # Of its group others may be left; until the reap its number is nobody else's.
                self._kill_group()
                self._child.wait()
        return self._child.returncode is not None

    def kill(self) -> int:
        """End the process with its whole group, reap it, return its return code; harmless when it is over."""
        if not self.ended():
            self._kill_group()
        return self._child.wait()

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            # It is over, or (between fork and setpgid) has no group yet.
            self._child.kill()

    def stderr_text(self) -> str:
        """Return the end of what QEMU wrote to stdout and stderr so far."""
        if self._stderr.closed:
            return self._last_stderr
        size = os.fstat(self._stderr.fileno()).st_size
        tail = os.pread(self._stderr.fileno(), STDERR_TAIL_BYTES, max(0, size - STDERR_TAIL_BYTES))
        cut = f"... ({size} bytes)\n" if size > STDERR_TAIL_BYTES else ""
        return cut + tail.decode("utf-8", "replace")

    def close(self) -> None:
        """Kill, reap, release every descriptor; harmless a second time."""
        self.kill()
        if not self._stderr.closed:
            self._last_stderr = self.stderr_text()
            self._stderr.close()
            os.close(self._pidfd)


def host_program(name: str, package: str) -> str:
    """Return the path of a program of the operating system.

    Raises:
        MissingToolError: it is not installed; the next step names Debian's package.
    """
    if (found := shutil.which(name)) is None:
        raise MissingToolError(
            "host", name, detail="not found", next_step=f"install it (Debian, Ubuntu: apt install {package})"
        )
    return found


def _die_with_parent() -> list[str]:
    setpriv, shell = host_program("setpriv", "util-linux"), host_program("sh", "dash")
    return [setpriv, "--pdeathsig", "KILL", shell, "-c", PARENT_CHECK, str(os.getpid())]


@functools.cache
def _lasting_thread(pid: int) -> ThreadPoolExecutor:
    # Keyed by process: threads do not survive a fork.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"qemu-parent-{pid}")


def _in_lasting_thread(spawn: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    if threading.current_thread() is threading.main_thread():
        return spawn()
    return _lasting_thread(os.getpid()).submit(spawn).result()


def _cpu_clock_of(pid: int) -> int:
    # What clock_getcpuclockid(3) computes: `make_process_cpuclock(pid, CPUCLOCK_SCHED)`, Linux 6.1,
    # linux/posix-timers.h.
    return (~pid << 3) | 2
