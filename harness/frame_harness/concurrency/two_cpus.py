"""Two CPUs of a guest under a debugger, of which one runs at a time."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Vaddr
from frame_harness.concurrency.recording import code_at, keeps_frame, registers_of
from frame_harness.concurrency.smp import Cpus
from frame_harness.guest.boot_options import Boots
from frame_harness.guest.booted import BootedGuest
from frame_harness.machine.debugger import Debugger
from frame_harness.machine.instruction import Stretch, private_stretch, repetition

G = TypeVar("G", bound=BootedGuest)

CPUS: Final = 3
"""CPU 0 serves the console; the other two take turns, so only one of them ever runs."""
FIRST, SECOND = 1, 2
PATIENCE_CPU_S: Final = 0.3
"""QEMU's CPU time after which a CPU is taken to wait for the other one; a step needs a hundredth of that."""


@dataclass(frozen=True)
class LoadedOperand:
    """What an instruction is about to store to, and what that held when it loaded it."""

    live: NDArray[np.uint8]
    """Bytes in the guest's RAM, shape (width,)."""
    loaded: NDArray[np.uint8]
    """Bytes, shape (width,)."""

    @classmethod
    def now(cls, live: NDArray[np.uint8] | None) -> LoadedOperand | None:
        """Load bytes, shape (width,), now; None for an instruction that does not load and store."""
        return None if live is None else cls(live, live.copy())


class TwoCpus(Generic[G]):
    """Lets one of two CPUs run, step by step or to where somebody waits for it.

    Args:
        nops: breakpoints that are NOPs of one byte: kernel_shim/src/cpus/markers.rs.
        watched: whether somebody looks, after each instruction, at any of so many bytes at an address.
    """

    def __init__(
        self,
        kernel: G,
        cpus: Cpus,
        debugger: Debugger,
        nops: Collection[Vaddr],
        watched: Callable[[Vaddr, int], bool],
    ) -> None:
        self.kernel, self.cpus, self.debugger = kernel, cpus, debugger
        self.threads = {cpu: cpus.thread(cpu) for cpu in (FIRST, SECOND)}
        self._nops, self._watched = frozenset(nops), watched

    def at(self, cpu: int) -> Vaddr:
        """Where a CPU is held."""
        return self.debugger.rip(self.threads[cpu])

    def step(self, cpu: int) -> Vaddr:
        """Let a CPU execute one instruction; returns where it is then."""
        return self.debugger.step(self.threads[cpu])

    def run(self, cpu: int) -> Vaddr | None:
        """Let a CPU run to a breakpoint; None where it does not come to one while the other CPU is held."""
        if (at := self.at(cpu)) in self._nops:
            # It would have to be stepped off its breakpoint.
            self.debugger.jump(self.threads[cpu], Vaddr(at + 1))
        process = self.kernel.guest.process
        until = process.cpu_time_s() + PATIENCE_CPU_S
        return self.debugger.run_unless(self.threads[cpu], lambda: process.cpu_time_s() > until)

    def stretch(self, cpu: int, at: Vaddr, stops: Collection[Vaddr]) -> Stretch:
        """The next instruction of a CPU that is there, or several that nobody else can see."""
        code = partial(code_at, self.kernel)
        stretch = private_stretch(code, at, stops, partial(keeps_frame, self.kernel))
        if len(stretch.addresses) > 1:
            return stretch
        thread, debugger = self.threads[cpu], self.debugger
        again = repetition(
            code(at), at, lambda: registers_of(debugger, thread), lambda: debugger.flags(thread)
        )
        if again is None or any(self._watched(*span) for span in again.touched):
            return Stretch((at,), ())
        return Stretch((at,) * again.rounds, (again.behind,))

    def follow(self, cpu: int, stretch: Stretch) -> Vaddr:
        """Let a CPU execute a stretch; returns where it is then."""
        return self.debugger.run_to(self.threads[cpu], stretch.ends) if stretch.ends else self.step(cpu)

    def store(self, cpu: int, operand: LoadedOperand | None) -> None:
        """End an instruction that had loaded: it finds what was there then, stores what it makes of that."""
        if operand is not None:
            operand.live[:] = operand.loaded
            self.step(cpu)


@dataclass(frozen=True)
class Holdable(Generic[G]):
    """A guest whose CPUs a debugger can hold from some moment on."""

    kernel: G
    cpus: Cpus
    _socket: socket.socket

    def hold(self) -> Debugger:
        """Stop the guest: nobody can ask it anything until its CPUs run."""
        process, limit_s = self.kernel.guest.process, self.kernel.machine.limits.stall_wall_s
        return Debugger(
            self._socket,
            lambda: not process.ended(),
            limit_s=limit_s,
            halted=self.cpus.halts,
            meanwhile=self.kernel.channel.listen,
        )


@contextlib.contextmanager
def holdable(boot: Boots[G], *, ram: str | None = None) -> Iterator[Holdable[G]]:
    """Boot a guest whose CPUs can be held."""
    ours, theirs = socket.socketpair()
    with ours:
        try:
            kernel = boot(cpus=CPUS, ram=ram, debugger=theirs.fileno())
        finally:
            theirs.close()
        yield Holdable(kernel, Cpus(kernel), ours)


def let_go(cpus: Cpus, debugger: Debugger) -> None:
    """Let both CPUs run on, without the debugger."""
    cpus.stop()
    debugger.detach()
