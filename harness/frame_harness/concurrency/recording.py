"""Records what CPUs under a debugger do to one slot, access by access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import iced_x86
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from frame_harness.base.errors import RamError
from frame_harness.base.units import Vaddr
from frame_harness.concurrency.watched import Piece, Watched, pieces
from frame_harness.guest.booted import BootedGuest
from frame_harness.judge.diagrams import Interleaving, SlotAccess
from frame_harness.machine.debugger import Debugger
from frame_harness.machine.instruction import LONGEST, Touch, is_private, touches

_R: Final = iced_x86.Register
_GDB_ORDER: Final = (
    _R.RAX, _R.RBX, _R.RCX, _R.RDX, _R.RSI, _R.RDI, _R.RBP, _R.RSP,
    _R.R8, _R.R9, _R.R10, _R.R11, _R.R12, _R.R13, _R.R14, _R.R15,
)  # fmt: skip


_PROLOGUE: Final = bytes.fromhex("554889e5")  # push rbp; mov rbp, rsp


@dataclass(frozen=True)
class Recording:
    """What two CPUs did to a slot."""

    accesses: tuple[SlotAccess, ...]
    held_after: int
    """How many accesses the first one made before it was held."""
    meanwhile: int
    """How many of those behind are the second one's."""

    def added_to(self, diagram: Interleaving) -> Interleaving:
        """Return a copy of the diagram with these accesses in place of its own."""
        return replace(diagram, accesses=self.accesses, held_after=self.held_after, meanwhile=self.meanwhile)


def code_at(kernel: BootedGuest, vaddr: Vaddr) -> bytes:
    """The bytes of the instruction at an address; none where there is no RAM: a CPU may be led anywhere."""
    try:
        return kernel.bytes_at(vaddr, LONGEST).tobytes()
    except RamError:
        return b""


def keeps_frame(kernel: BootedGuest, vaddr: Vaddr) -> bool:
    """Whether the code at an address is of a function that keeps its frame in RBP, by how it begins."""
    _, offset = kernel.image.function_at(vaddr) or ("", 0)
    return offset >= len(_PROLOGUE) and code_at(kernel, Vaddr(vaddr - offset)).startswith(_PROLOGUE)


def registers_of(debugger: Debugger, thread: int) -> dict[int, int]:
    """The general registers of a stopped CPU, by their numbers in iced-x86."""
    return dict(zip(_GDB_ORDER, debugger.registers(thread), strict=False))


def touches_of(kernel: BootedGuest, at: Vaddr, debugger: Debugger, thread: int) -> tuple[Touch, ...]:
    """The accesses of the instruction that a stopped CPU is about to execute, which is the one at an address.

    Nothing where only that CPU can tell.
    """
    code = code_at(kernel, at)
    if is_private(code):
        return ()
    return touches(code, at, registers_of(debugger, thread))


class Recorder:
    """Lets CPUs of a guest go on instruction by instruction, writes down what they do to watched memory."""

    def __init__(self, kernel: BootedGuest, debugger: Debugger, watched: Watched) -> None:
        """Write nothing down yet."""
        self._kernel, self._debugger, self._watched = kernel, debugger, watched
        self._layout = kernel.image.subject.contract.slot
        self.accesses: list[SlotAccess] = []

    def step(self, thread: int, cpu: int) -> Vaddr:
        """Let a CPU execute one instruction; returns where it is then."""
        at = self._debugger.rip(thread)
        touched = self._touched(touches_of(self._kernel, at, self._debugger, thread))
        found = [(touch, piece, self._watched.value(piece)) for touch, piece in touched]
        following = self._debugger.step(thread)
        for touch, piece, before in found:
            self.accesses.append(
                SlotAccess(
                    cpu=cpu, field=piece.field, reads=touch.reads, writes=touch.writes,
                    found=before if touch.reads else None,
                    left=self._watched.value(piece) if touch.writes else None,
                    at=self._place(at),
                )
            )  # fmt: skip
        return following

    def steps(
        self,
        thread: int,
        cpu: int,
        ends: Sequence[Vaddr],
        *,
        most: int,
        ahead_of_write: Callable[[str], None] | None = None,
    ) -> bool:
        """Let a CPU come to one of some addresses; False where it is not there after so many instructions.

        Args:
            ahead_of_write: called ahead of each instruction that may write to the slot, with the field.
        """
        for _ in range(most):
            if (at := self._debugger.rip(thread)) in ends:
                return True
            if ahead_of_write is not None:
                for touch, piece in self._touched(touches_of(self._kernel, at, self._debugger, thread)):
                    if touch.writes:
                        ahead_of_write(piece.field)
            self.step(thread, cpu)
        return self._debugger.rip(thread) in ends

    def peek(self, thread: int, cpu: int) -> int:
        """Write down what a CPU is about to load, as if it had; returns how many accesses that is."""
        at = self._debugger.rip(thread)
        loads = [
            SlotAccess(
                cpu=cpu, field=piece.field, reads=True, writes=False, found=self._watched.value(piece),
                at=self._place(at),
            )
            for touch, piece in self._touched(touches_of(self._kernel, at, self._debugger, thread))
            if touch.reads and not touch.writes
        ]  # fmt: skip
        self.accesses += loads
        return len(loads)

    def held(
        self,
        thread: int,
        cpu: int,
        *,
        ahead: Callable[[], None],
        meanwhile: Callable[[], None],
        after: Callable[[], None],
        operand: NDArray[np.uint8] | None,
    ) -> Recording:
        """Write down an operation that is held, and what another CPU does meanwhile.

        Args:
            ahead: lets the CPU come to where it is held.
            operand: bytes that its instruction had loaded by then and not yet stored, live, shape (width,).
        """
        ahead()
        loaded = None if operand is None else operand.copy()
        loads = 0 if operand is None else self.peek(thread, cpu)
        held_after = len(self.accesses)
        meanwhile()
        behind = len(self.accesses)
        if operand is not None and loaded is not None:
            operand[:] = loaded
            self.step(thread, cpu)
            del self.accesses[behind : behind + loads]
        after()
        return Recording(tuple(self.accesses), held_after, behind - held_after)

    def changed(self, cpu: int, at: Vaddr, changed: Sequence[int], now: NDArray[np.uint8]) -> None:
        """Write down an instruction of which only is known which bytes it changed, and what they hold now.

        Args:
            changed: offsets in the slot.
            now: bytes from the beginning of the slot, shape (n_bytes,).
        """
        touched = {piece.field for byte in changed for piece in pieces(self._layout, byte, byte + 1)}
        for piece in pieces(self._layout, 0, self._layout.size):
            if piece.field in touched and piece.end <= len(now):
                self.accesses.append(
                    SlotAccess(
                        cpu=cpu, field=piece.field, reads=False, writes=True, left=piece.value(now),
                        at=self._place(at),
                    )
                )  # fmt: skip

    def _touched(self, found: Sequence[Touch]) -> list[tuple[Touch, Piece]]:
        spans = [(touch, self._watched.span_of(touch.vaddr, touch.width)) for touch in found]
        return [
            (touch, piece)
            for touch, span in spans
            if span is not None
            for piece in self._watched.pieces(*span)
        ]

    def _place(self, vaddr: Vaddr) -> str:
        return self._kernel.image.symbolize(vaddr).place
