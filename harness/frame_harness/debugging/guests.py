"""Guests of a check that is made several times: each a QEMU of its own, with the same garbage every time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from frame_harness.base.units import Vaddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.boot_options import AS_USUAL, BootOptions
from frame_harness.image.image import Image
from frame_harness.machine.debugger import GLANCE_S, Debugger, DebuggerError, GuestEnded
from frame_harness.machine.definition import Machine
from frame_harness.machine.guest import Guest

POWER_ON: Final = -1
MOST_TIMES: Final = 50
"""So often a command may come to the places before they are let alone until the next command."""


class Position(NamedTuple):
    """Where a check is: at a command of one of its guests, both counted from 0; or at a guest's power-on."""

    guest: int = 0
    command: int = POWER_ON


class CountedGuests:
    """Counts the guests of a check and their commands."""

    def __init__(self) -> None:
        self.here = Position()
        """What was asked last."""
        self.commands: list[list[str]] = []
        """Of each guest, as they were sent."""
        self.kernels: list[Kernel] = []
        self.driven: set[int] = set()
        """Guests that the check itself drives by a debugger."""

    def begin(self) -> None:
        """Count from 0 again, for the next check."""
        self.here, self.commands, self.kernels, self.driven = Position(), [], [], set()

    def boot(
        self, kind: type[Kernel], image: Image, machine: Machine, options: BootOptions = AS_USUAL
    ) -> Kernel:
        """Start the next guest."""
        number = len(self.commands)
        self.commands.append([])
        self.here = Position(number, POWER_ON)
        if options.debugger is not None:
            self.driven.add(number)
        seed = None if options.seed is None else number + 1
        options = replace(options, seed=seed, hung_before=None)
        kernel = self.start(number, kind, image, machine, options)
        kernel.before = partial(self._before, number, kernel.guest)
        self.kernels.append(kernel)
        return kernel

    def start(
        self,
        number: int,  # noqa: ARG002  (others tell guests apart)
        kind: type[Kernel],
        image: Image,
        machine: Machine,
        options: BootOptions,
    ) -> Kernel:
        """Start one guest; others do more about it."""
        return kind.start(image, machine, options)

    def at(self, position: Position, guest: Guest) -> None:
        """Is called before each command is sent."""

    def close(self) -> None:
        """End what belongs to no single guest."""

    def _before(self, number: int, guest: Guest, command: str) -> None:
        self.commands[number].append(command)
        self.here = Position(number, len(self.commands[number]) - 1)
        self.at(self.here, guest)


class TracedGuests(CountedGuests):
    """Notes in which commands of one guest some places in its code are reached."""

    def __init__(self, guest: int, stops: Sequence[Vaddr]) -> None:
        """Args: stops: the addresses of the places."""
        super().__init__()
        self.reached: list[Position] = []
        self._guest, self._stops = guest, stops
        self._thread: threading.Thread | None = None
        self._wanted, self._set = threading.Event(), threading.Event()

    def start(
        self, number: int, kind: type[Kernel], image: Image, machine: Machine, options: BootOptions
    ) -> Kernel:
        if number != self._guest or options.debugger is not None:
            return kind.start(image, machine, options)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                kernel = kind.start(image, machine, replace(options, debugger=theirs.fileno()))
            except BaseException:
                ours.close()
                raise
        limit_s = machine.limits.stall_wall_s
        try:
            debugger = Debugger(ours, lambda: not kernel.guest.process.ended(), limit_s=limit_s)
            self._set_all(debugger)
        except BaseException:
            kernel.guest.close()
            raise
        self._thread = threading.Thread(target=self._follow, args=(debugger, ours), daemon=True)
        self._thread.start()
        return kernel

    def at(self, position: Position, guest: Guest) -> None:  # noqa: ARG002  (others hold it)
        """Have the places watched again, where the command before came to them too often."""
        if self._thread is not None and position.guest == self._guest and not self._set.is_set():
            self._wanted.set()
            while self._thread.is_alive() and not self._set.wait(GLANCE_S):
                continue

    def _set_all(self, debugger: Debugger) -> None:
        for vaddr in self._stops:
            debugger.breakpoint(vaddr)
        self._wanted.clear()
        self._set.set()

    def _follow(self, debugger: Debugger, sock: socket.socket) -> None:
        with sock:
            try:
                while True:
                    self._go_on(debugger)
            except (DebuggerError, OSError):
                return  # the guest has ended

    def _go_on(self, debugger: Debugger) -> None:
        try:
            debugger.go_on(self._wanted.is_set)
        except GuestEnded:
            raise
        except DebuggerError:
            debugger.interrupt()
            self._set_all(debugger)
            return
        self.reached.append(self.here)
        # A loop, perhaps one without end: that it comes here is known by now.
        if self.reached[-MOST_TIMES:] == [self.here] * MOST_TIMES:
            for vaddr in self._stops:
                debugger.clear(vaddr)
            self._set.clear()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join()


class HeldGuests(CountedGuests):
    """Lets a person's debugger find one guest, and calls somebody before one of its commands is sent."""

    def __init__(self, at: Position, socket_path: Path, hold: Callable[[Guest], None]) -> None:
        super().__init__()
        self._held_at, self._socket, self._hold = at, socket_path, hold
        self.held: Guest | None = None

    def start(
        self, number: int, kind: type[Kernel], image: Image, machine: Machine, options: BootOptions
    ) -> Kernel:
        if number != self._held_at.guest:
            return kind.start(image, machine, options)
        at_power_on = self._let_hold if self._held_at.command == POWER_ON else options.at_power_on
        held = replace(options, debugger=self._socket, at_power_on=at_power_on)
        return kind.start(image, machine, held)

    def at(self, position: Position, guest: Guest) -> None:
        if position == self._held_at:
            self._let_hold(guest)

    def _let_hold(self, guest: Guest) -> None:
        self.held = guest
        self._hold(guest)


class OpenGuests:
    """Lets a person's debugger find every guest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._booted = 0
        # Kernels hold the RAM of their guests: nobody keeps them here.
        self._sockets: WeakKeyDictionary[Kernel, Path] = WeakKeyDictionary()

    def boot(
        self, kind: type[Kernel], image: Image, machine: Machine, options: BootOptions = AS_USUAL
    ) -> Kernel:
        """Start the next guest; one that its check drives by a debugger has no room for another."""
        if options.debugger is not None:
            return kind.start(image, machine, options)
        self._booted += 1
        path = self._folder / f"gdb{self._booted}"
        kernel = kind.start(image, machine, replace(options, debugger=path))
        self._sockets[kernel] = path
        return kernel

    def socket_of(self, kernel: Kernel) -> Path | None:
        """Where a debugger finds a guest; None where it cannot."""
        return self._sockets.get(kernel)

    def close(self) -> None:
        """End what belongs to no single guest: nothing."""
