"""Guests that are put back to their prompt instead of being started.

Of the second guest of a kind a snapshot is taken at its prompt. Where it ends well, and nobody looks at its
memory any more, the next guest of its kind goes on in its QEMU, from that prompt.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from frame_harness.base.errors import HarnessError, MachineError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.units import MIB
from frame_harness.console.channel import Channel
from frame_harness.console.protocol import Banner
from frame_harness.guest.boot_options import AS_USUAL, BootOptions
from frame_harness.guest.booted import BootedGuest, hung_at
from frame_harness.guest.ending import status_of
from frame_harness.image.image import Image
from frame_harness.machine.definition import Machine
from frame_harness.machine.exit_status import ExitStatus
from frame_harness.machine.guest import Guest
from frame_harness.machine.monitor_event import PAUSE_EVENTS
from frame_harness.machine.qmp import MonitorGone
from frame_harness.machine.snapshot import Snapshot

K = TypeVar("K", bound=BootedGuest)

NEW_GUESTS: Final = "FRAME_HARNESS_NEW_GUESTS"
"""Set to anything, this variable makes every guest a new QEMU: for comparing both ways."""
LARGEST_RAM: Final = 128 * MIB
"""A guest with more is started: to write its RAM takes as long."""
KEPT_BYTES: Final = 192 * MIB
"""How much RAM kept guests have at most, all together."""
YOUNG: Final = 1
"""The generation of Python's objects up to which circles are looked for: a fraction of what a start takes."""
STEP_S: Final = 0.0005  # how long QEMU's end is waited for before the guest's word is looked at again
MOST_LOOKS: Final = 20
"""So often a guest is looked at again that handles an interrupt; one that never comes back exits for real."""

# `kernel_shim/src/arch/exit.rs`
_HOLD, _STAND = "EXIT_HOLD", "stand_before_exit"
_HELD, _STANDING, _FREE = 1, 2, 0


@dataclass(frozen=True)
class GuestKind:
    """What guests have in common that can take each other's place: all that they can see but the nonce."""

    image: str
    machine: Machine
    options: BootOptions


@dataclass(eq=False)
class Prompt:
    """A guest at its prompt, as `BootedGuest.finish` meets it, for the decision whether its QEMU is kept."""

    pool: GuestPool
    kind: GuestKind
    snapshot: Snapshot
    banner: Banner
    said: bytes
    """All that the guest said on the way to its prompt."""
    options: BootOptions
    """Of its boot; guests that are put back have its garbage, too."""

    def hold(self, guest: BootedGuest) -> None:
        """Make the guest stand before its last write, once it is asked to exit."""
        _hold_word(guest)[0] = _HELD

    def keep(self, guest: BootedGuest) -> ExitStatus | None:
        """Keep the QEMU of a guest that was asked to exit, once it stands; None: it ends by itself, or hangs.

        Whatever is not exactly as it should be is left to the judgment of a real exit.
        """
        try:
            if not self._comes_to_stand(guest) or not self._stands_well(guest):
                return None
        except MonitorGone:
            return None  # its exit status tells why
        left = guest.guest.ram.watch()
        successor = guest.guest.hand_over()
        self.pool.put(_Kept(self, successor, guest.image, left))
        return guest.guest.wait()

    def _comes_to_stand(self, guest: BootedGuest) -> bool:
        """Wait for the guest's word; False where it is gone, or says more and was let go.

        Raises:
            LimitReached: it reached one.
        """
        machine, word = guest.guest, _hold_word(guest)
        limit = machine.deadline("the exit", cpu_s=machine.machine.limits.exit_cpu_s)
        wait_s = 0.0
        while int(word[0]) != _STANDING:
            if machine.process.ended(wait_s):
                return False
            if not guest.channel.quiet:
                machine.qmp("stop")
                _let_go(guest)
                return False
            limit.check(guest.channel.transcript.n_received)
            wait_s = min(max(2 * wait_s, STEP_S), limit.poll_s)
        return True

    def _stands_well(self, guest: BootedGuest) -> bool:
        """Pause the guest, and look; one that is not kept is let go."""
        machine, there = guest.guest, _paused_where_it_stands(guest)
        ordinary = {event.name for event in machine.events()} <= PAUSE_EVENTS
        if there and ordinary and not machine.stderr_text() and guest.channel.quiet:
            return True
        _let_go(guest)
        return False


@dataclass(eq=False)
class _Kept:
    """A QEMU between two guests."""

    prompt: Prompt
    successor: Guest
    image: Image
    left: Callable[[], object]
    """Gives None once nobody looks at the memory of the last guest any more."""

    def put_back(self, kind: type[K], image: Image) -> K:
        """Return the next guest, at its prompt."""
        prompt, successor = self.prompt, self.successor
        try:
            prompt.snapshot.put_back(successor)
            guest = self._guest(kind, image)
            successor.qmp("cont")
        except BaseException:
            successor.close()
            raise
        guest.prompt, guest.was_put_back, guest.options = prompt, True, prompt.options
        return guest

    def end(self) -> str:
        """Let the last guest do the write that it stands before; say what is wrong with how it ends."""
        guest = self._guest(BootedGuest, self.image)
        try:
            _let_go(guest)
            status, text = status_of(self.successor, guest.channel)
        except HarnessError as error:
            return error.summary
        finally:
            self.successor.close()
        return "" if status is GuestEnd.PASS else text

    def _guest(self, kind: type[K], image: Image) -> K:
        channel = Channel.at_prompt(self.successor.console, self.prompt.banner, self.prompt.said)
        return kind(self.successor, channel, image, self.prompt.banner)


class GuestPool:
    """The QEMUs of this process that wait for their next guest; for one thread."""

    def __init__(self, *, at_once: bool = False, forget_boot: bool = False) -> None:
        """Keep nothing yet.

        Args:
            at_once: take the snapshot of the first guest of a kind, not of the second.
            forget_boot: put that one back, too, so that QEMU translates again what ran on the way to the
                prompt.
        """
        self._at_once, self._forget_boot = at_once, forget_boot
        self.refusal = ""
        """Why this QEMU makes no snapshots, where it makes none."""
        self._started: Counter[GuestKind] = Counter()
        """How many guests of a kind were begun since one was last put back, which counts as the first."""
        self._kept: list[_Kept] = []
        self._others: list[_Kept] = []
        self._wrong: list[str] = []
        self._pid = os.getpid()

    def boot(self, kind: type[K], image: Image, machine: Machine, options: BootOptions = AS_USUAL) -> K:
        """Return a guest at its prompt: one that is put back, or a new one.

        Args:
            options: one that is put back has the garbage of the first in its QEMU.
        """
        alike = _kind_of(image, machine, options)
        if alike is None or self.refusal:
            return kind.start(image, machine, options)
        if kept := self._take(alike):
            guest = kept.put_back(kind, image)
            guest.guest.hung_at = hung_at(image, options.hung_before)
            return guest
        guest = kind.start(image, machine, options)
        if not self._pays(alike):
            return guest
        try:
            self._prepare(guest, alike)
        except MonitorGone:
            pass  # whoever asks it something first learns how it ended
        except BaseException:
            guest.guest.close()
            raise
        return guest

    def _pays(self, alike: GuestKind) -> bool:
        """Whether a snapshot is worth half of a start: not for kinds that are asked for once, as most are.

        Where guests do not end well, one after the other, no snapshot is of use: then only the second, the
        fourth and each eighth has one.
        One QEMU of a kind is enough: that its last guest's memory is still looked at does not last.
        """
        self._started[alike] += 1
        waits = any(kept.prompt.kind == alike for kept in self._own())
        number = self._started[alike]
        return self._at_once or (not waits and (number in (2, 4) or number % 8 == 0))

    def _take(self, alike: GuestKind) -> _Kept | None:
        """Return a QEMU of a kind, if one waits whose last guest's memory nobody looks at."""
        waiting = [kept for kept in self._own() if kept.prompt.kind == alike]
        if waiting and all(kept.left() is not None for kept in waiting):
            # A check that caught an error often leaves its guest in a circle with the error's traceback.
            gc.collect(YOUNG)
        for kept in waiting:
            if kept.left() is None:
                self._kept.remove(kept)
                self._started[alike] = 1  # where it does not come back, the next one is worth a snapshot
                return kept
        return None

    def _own(self) -> list[_Kept]:
        """What this process keeps: after a fork, the rest is the other one's, and is not even closed."""
        if self._pid != os.getpid():
            self._others, self._kept, self._pid = self._kept, [], os.getpid()
        return self._kept

    def _prepare(self, guest: BootedGuest, alike: GuestKind) -> None:
        """Keep what a guest is at its prompt."""
        channel, machine = guest.channel, guest.guest
        machine.qmp("stop")
        # A guest that says more than its banner is not at its prompt.
        if channel.banner is not None and channel.quiet:
            try:
                snapshot = Snapshot(machine)
            except MonitorGone:
                raise
            except MachineError as error:
                self.refusal = error.summary
            else:
                if self._forget_boot:
                    snapshot.put_back(machine)
                guest.prompt = Prompt(
                    self, alike, snapshot, channel.banner, channel.transcript.raw(), guest.options
                )
        machine.qmp("cont")

    def put(self, kept: _Kept) -> None:
        """Keep a QEMU; the ones that wait longest go where there are too many."""
        self._kept.append(kept)
        while sum(each.successor.machine.ram for each in self._kept) > KEPT_BYTES:
            self._end(self._kept.pop(0))

    def close(self) -> None:
        """Let every guest exit for good.

        Raises:
            HarnessError: one of those that stood before their last write did not end well.
        """
        while self._own():
            self._end(self._kept.pop(0))
        wrong, self._wrong = self._wrong, []
        if wrong:
            raise HarnessError("guest", "exit", detail=f"expected pass, got: {'; '.join(wrong)}")

    def _end(self, kept: _Kept) -> None:
        if wrong := kept.end():
            self._wrong.append(f"{kept.prompt.kind.machine.name}/{kept.image.profile}: {wrong}")


POOL: Final = GuestPool()
"""That of this process."""


def _kind_of(image: Image, machine: Machine, options: BootOptions) -> GuestKind | None:
    """Of what kind a guest is; None: it needs a QEMU of its own."""
    own = options.debugger is not None or options.counts_instructions
    if own or options.seed is None or os.environ.get(NEW_GUESTS):
        return None
    if options.ram is not None or options.cpus is not None:
        machine = machine.override(ram=options.ram, cpus=options.cpus)
    # KVM: nobody has shown that it forgets as much. Under TCG all that a CPU is lies in QEMU.
    if machine.accel != "tcg" or machine.ram > LARGEST_RAM:
        return None
    # Garbage is not to be relied on, and where others hung is not the guest's to see.
    alike = replace(options.for_any_seed(), ram=None, cpus=None, hung_before=None)
    return GuestKind(image.sha256, machine, alike)


def _paused_where_it_stands(guest: BootedGuest) -> bool:
    """Pause a guest, one of whose CPUs stands before its last write; False where it is somewhere else.

    That CPU sleeps with interrupts enabled, so that it first handles one that was pending until then.
    """
    first, size = guest.image.symbol(_STAND)
    for look in range(MOST_LOOKS):
        if look:
            guest.guest.qmp("cont")
        guest.guest.qmp("stop")
        if [first <= vcpu.rip < first + size for vcpu in guest.guest.vcpus()].count(True) == 1:
            return True
    return False


def _hold_word(guest: BootedGuest) -> npt.NDArray[np.uint64]:
    """The kernel's word for the host's wish that it stands before its last write, live."""
    return guest.bytes_at(guest.image.symbol(_HOLD)[0], 8).view("<u8")


def _let_go(guest: BootedGuest) -> None:
    """Let a paused guest go on to its exit, whether it stands already or not."""
    word = _hold_word(guest)
    stands, word[0] = int(word[0]) == _STANDING, _FREE
    if stands:
        guest.channel.wake()
    guest.guest.resume()
