"""A guest in which two CPUs run commands under a debugger, one after the other or one inside of the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.errors import MachineError, ProtocolError
from frame_harness.base.tables import copy_of, differing_rows
from frame_harness.base.units import Paddr, Vaddr, paddr_to_pfn
from frame_harness.concurrency.recording import Recorder, Recording, touches_of
from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.concurrency.two_cpus import FIRST, SECOND, LoadedOperand, TwoCpus, holdable, let_go
from frame_harness.concurrency.watched import Watched
from frame_harness.guest.absence import require_names
from frame_harness.guest.bookkeeping import BookkeepingCopy
from frame_harness.guest.boot_options import Boots
from frame_harness.guest.booted import BootedGuest, gone
from frame_harness.guest.errors import GuestTimeout
from frame_harness.judge.diagrams import SlotAccess
from frame_harness.machine.debugger import RSP, Debugger, DebuggerError, GuestEnded, NoStop
from frame_harness.machine.instruction import Stretch
from frame_harness.races.accesses import Access, Trace
from frame_harness.races.outcome import (
    OF_OTHER,
    OTHER_SLOTS,
    RaceResult,
    answer_parts,
    frame_of_answer,
    of_handed_out,
)
from frame_harness.races.rules import RacedFrame
from frame_harness.races.scenes import Scene

G = TypeVar("G", bound=BootedGuest)

RAM: Final = "32 MiB"
"""Little: all slots are written back before each play."""
MOST_INSTRUCTIONS: Final = 50_000
"""Of one call of the subject."""
MOST_RECORDED: Final = 5_000
"""Of a call that is recorded; one that takes more waits for the other CPU."""


class Stage:
    """Two CPUs of a guest that run commands on one frame, from the same state each time.

    Attributes:
        frame, other: physical addresses of the frame and of the second one.
        watched: its slot, and the statics of the module.
        known: addresses by the names that operations and scenes use.
        table: the guest's commands, as the lines of `help`.
        failed: the CPU whose command did not come to its end, where one did not.
    """

    def __init__(self, kernel: BootedGuest, cpus: Cpus, raced: RacedFrame) -> None:
        """Note where things are; `attach` lets both CPUs begin."""
        self.kernel, self._cpus = kernel, cpus
        self._layout = kernel.image.subject.contract.slot
        self.table = kernel.call("help").data
        self._raced = raced
        self.frame, self.other, self.known = raced.paddr, raced.other, raced.known
        self._pfn, self._other = paddr_to_pfn(self.frame), paddr_to_pfn(self.other)
        self._written: set[str] = set()
        self.failed = FIRST
        self.watched = Watched(kernel, self.frame, lambda _: True)
        self._table: NDArray[Any] = kernel.slots()
        self._slot = self._table[self._pfn : self._pfn + 1]
        self._cells = {cpu: cpus.table["cpus"][cpu] for cpu in (FIRST, SECOND)}
        names = ("smp_step_begins", "smp_call_begins", "smp_call_ended", "smp_step_panics")
        self._idle, self._begins, self._ended, self._panics = (kernel.image.symbol(n)[0] for n in names)
        # Both CPUs are held behind a store to one of two bytes: kernel_shim/src/cpus/markers.rs.
        stored = kernel.image.symbol("SMP_MARKS")[0]
        self._stored = {self._idle: stored, self._begins: Vaddr(stored + 1)}

    def attach(self, debugger: Debugger) -> None:
        """Hold both CPUs ahead of their first command; note what commands begin with."""
        self._debugger = debugger
        self._both = TwoCpus(self.kernel, self._cpus, debugger, (), self.watched.is_touched)
        debugger.mark(self._stored[self._idle], self._idle)
        self._cpus.go()
        for cpu in (FIRST, SECOND):
            self._finish(cpu)
            for line in self._raced.readying:
                self._carry_out(cpu, line)
        self._in_use = BookkeepingCopy(self.kernel)
        self._carry_out(FIRST, self._raced.offering)
        self._offered = BookkeepingCopy(self.kernel)
        self._kept = copy_of(self._table)

    def _carry_out(self, cpu: int, line: str) -> None:
        """Let a CPU carry out a command whose answer does not matter."""
        self._give(cpu, line)
        self._finish(cpu)

    @property
    def dead(self) -> bool:
        """Whether QEMU has ended."""
        return self.kernel.guest.process.ended()

    def trace(self, line: str, scene: Scene) -> tuple[Trace | None, str]:
        """Run one command alone; returns what the subject does meanwhile to what is watched, and the answer.

        None where the command never enters the subject. As of here, `GuestTimeout` is a command that hangs,
        `GuestCrashed` the end of the guest.

        Raises:
            ProtocolError: bytes of the slot have changed that no store in the trace covers.
        """
        self._set(scene)
        self._give(FIRST, line)
        if not self._enter(FIRST):
            return None, self._answer(FIRST)
        before = self._slot.view(np.uint8).copy()
        with self._told(FIRST):
            trace = self._watch()
        changed = np.flatnonzero(self._slot.view(np.uint8) != before).tolist()
        unseen = [at for at in changed if not any(one.writes and one.covers(at) for one in trace.accesses)]
        if unseen:
            raise ProtocolError(
                "races", line, expected="a store for each byte that changes", actual=f"none to bytes {unseen}"
            )
        self._finish(FIRST)
        self._written |= {
            self.watched.field_at(one.offset)
            for one in trace.accesses
            if one.writes and not self.watched.is_of_slot(one.offset)
        }
        return trace, self._answer(FIRST)

    def in_order(self, first: str, second: str, scene: Scene, *, swapped: bool = False) -> RaceResult:
        """Run two commands one after the other, each on its CPU; `swapped` runs the second one first."""
        self._set(scene)
        self._give(FIRST, first)
        self._give(SECOND, second)
        for cpu in (SECOND, FIRST) if swapped else (FIRST, SECOND):
            self._finish(cpu)
        return self._outcome()

    def interleaved(self, first: str, trace: Trace, at: Access, second: str, scene: Scene) -> RaceResult:
        """Hold the first command ahead of one of its accesses, run the second one, let the first go on."""
        self._set(scene)
        self._give(FIRST, first)
        self._give(SECOND, second)
        self._enter_again(first)
        self._advance(trace, at.instruction)
        operand = self.watched.live(at.offset, at.width) if at.inside else None
        loaded = LoadedOperand.now(operand)
        waits = self._run_unless_stuck(SECOND) is None
        with self._told(FIRST):
            self._both.store(FIRST, loaded)
        self._finish(FIRST)
        if waits:
            self._finish(SECOND)
        return self._outcome()

    def recorded(self, first: str, at: Access, second: str, scene: Scene) -> tuple[Recording, RaceResult]:
        """Interleave two commands once more, instruction by instruction, and write down what they do."""
        self._set(scene)
        self._give(FIRST, first)
        self._give(SECOND, second)
        # A static that nothing writes to, such as the table's address, tells nothing.
        watched = Watched(self.kernel, self.frame, lambda name: name in self._written)
        recorder = Recorder(self.kernel, self._debugger, watched)
        waits: list[int] = []

        def ahead() -> None:
            self._enter_again(first)
            for _ in range(at.instruction):
                recorder.step(self._both.threads[FIRST], FIRST)

        def meanwhile() -> None:
            if self._enter(SECOND) and not self._record(recorder, SECOND):
                waits.append(SECOND)

        def after() -> None:
            for cpu in (FIRST, *waits):
                if not self._record(recorder, cpu):
                    raise self._hangs(cpu)

        operand = self.watched.live(at.offset, at.width) if at.inside else None
        with self._told(FIRST):
            recording = recorder.held(
                self._both.threads[FIRST],
                FIRST,
                ahead=ahead,
                meanwhile=meanwhile,
                after=after,
                operand=operand,
            )
        return recording, self._outcome()

    def _record(self, recorder: Recorder, cpu: int) -> bool:
        """Let a CPU end its call; False where it does not come to that, as it waits for the other one."""
        ends = self._ended, self._panics, self._idle
        through = recorder.steps(self._both.threads[cpu], cpu, ends, most=MOST_RECORDED)
        if through and self._both.at(cpu) != self._idle:
            self._finish(cpu)
        return through

    def alone(self, trace: Trace, at: Access) -> tuple[SlotAccess, ...]:
        """What a command did by itself to what is watched, up to one of its accesses."""
        return tuple(
            SlotAccess(
                cpu=FIRST, field=piece.field, reads=one.reads, writes=one.writes, at=self.place(trace, one)
            )
            for one in trace.accesses[: trace.accesses.index(at)]
            for piece in self.watched.pieces(one.offset, one.offset + one.width)
            if self.watched.is_of_slot(one.offset) or piece.field in self._written
        )

    def place(self, trace: Trace, at: Access) -> str:
        """Where a command is held: `file:line`, or `function+0x12` where no line is known."""
        return self.kernel.image.symbolize(trace.addresses[at.instruction]).place

    # Running

    def _enter(self, cpu: int) -> bool:
        """Let a CPU run until it is about to call the subject; False when its command ended before."""
        self._debugger.mark(self._stored[self._begins], self._begins)
        at = self._run_unless_stuck(cpu)
        self._debugger.unmark(self._begins)
        if at is None:
            raise self._hangs(cpu)
        return at == self._begins

    def _enter_again(self, line: str) -> None:
        """Let the first CPU run until it is about to call the subject, as its command did before."""
        if not self._enter(FIRST):
            raise ProtocolError(
                "interleaving", line, detail="it entered the subject before, and does not now"
            )

    def _advance(self, trace: Trace, instruction: int) -> None:
        """Let the first CPU come to one of the instructions of its call."""
        vaddr = trace.addresses[instruction]
        self._debugger.breakpoint(vaddr)
        for _ in range(trace.addresses[: instruction + 1].count(vaddr)):
            if self._run_unless_stuck(FIRST) != vaddr:
                raise ProtocolError("interleaving", expected=f"an instruction at {vaddr:#x} again")
        self._debugger.clear(vaddr)

    def _finish(self, cpu: int) -> None:
        """Let a CPU run to the end of its command."""
        if self._run_unless_stuck(cpu) is None:
            raise self._hangs(cpu)

    def _run_unless_stuck(self, cpu: int) -> Vaddr | None:
        with self._told(cpu):
            return self._both.run(cpu)

    @contextlib.contextmanager
    def _told(self, cpu: int) -> Iterator[None]:
        """Say what became of a command that does not come to its end under the debugger.

        Raises:
            GuestTimeout: its CPU halts, or waits.
            GuestCrashed: the guest ended by its own doing.
            QemuEndError: QEMU ended for another reason.
        """
        try:
            yield
        except NoStop as error:
            raise self._hangs(cpu) from error
        except MachineError as error:
            if not isinstance(error, GuestEnded) and not self.dead:
                raise
            self.failed = cpu
            raise gone(self.kernel, self._line(cpu)) from error

    def _hangs(self, cpu: int) -> GuestTimeout:
        """What to say of a command that does not come to its end; where it stands, if that can be read."""
        self.failed = cpu
        detail, other = "it does not come to its end", FIRST + SECOND - cpu
        with contextlib.suppress(DebuggerError):  # QEMU may end, or fall silent, while it is asked
            detail += f": it stands at {self._stands_at(cpu)}"
            if self._debugger.rip(self._both.threads[other]) not in (self._idle, self._begins):
                detail += f"; {self._line(other)} waits, too, at {self._stands_at(other)}"
        return GuestTimeout(self._line(cpu), detail=detail)

    def _stands_at(self, cpu: int) -> str:
        return str(self.kernel.image.symbolize(self._debugger.rip(self._both.threads[cpu])))

    def _line(self, cpu: int) -> str:
        return _text(self._cells[cpu]["line"])

    def _watch(self) -> Trace:
        """Let the first CPU, which is about to call the subject, do so instruction by instruction."""
        at = self._begins
        addresses: list[Vaddr] = []
        accesses: list[Access] = []
        ends = frozenset((self._ended, self._panics, self._idle))
        while at not in ends:
            stretch = self._both.stretch(FIRST, at, ends) if addresses else self._into_the_call()
            if len(stretch.addresses) == 1:
                accesses += self._accesses(at, len(addresses))
            addresses += stretch.addresses
            at = self._both.follow(FIRST, stretch)
            if len(addresses) > MOST_INSTRUCTIONS:
                raise self._hangs(FIRST)
        return Trace(tuple(addresses), tuple(accesses))

    def _into_the_call(self) -> Stretch:
        """The marker ahead of a call, a NOP and a return, whose address is on the stack."""
        stack = Vaddr(self._debugger.registers(self._both.threads[FIRST])[RSP])
        behind = int.from_bytes(self._debugger.memory(stack, 8), "little")
        return Stretch((self._begins, Vaddr(self._begins + 1)), (Vaddr(behind),))

    def _accesses(self, at: Vaddr, instruction: int) -> Iterator[Access]:
        stored = touches_of(self.kernel, at, self._debugger, self._both.threads[FIRST])
        for number, touch in enumerate(stored):
            span = self.watched.span_of(touch.vaddr, touch.width)
            if span is not None:
                begin, end = span
                inside = number > 0 and touch.writes and stored[number - 1].vaddr == touch.vaddr
                yield Access(begin, end - begin, touch.reads, touch.writes, instruction, inside)

    # What the commands find and leave

    def _set(self, scene: Scene) -> None:
        (self._offered if scene.free else self._in_use).restore()
        self._raced.fill()
        for field, value in scene.fields.items():
            self._slot[field] = self.known[value] if isinstance(value, str) else value

    def _give(self, cpu: int, line: str) -> None:
        cell = self._cells[cpu]["line"]
        data = line.encode("ascii") + b"\0"
        cell[: len(data)] = np.frombuffer(data, np.uint8)

    def _answer(self, cpu: int) -> str:
        return _text(self._cells[cpu]["answer"])

    def _outcome(self) -> RaceResult:
        parts: dict[str, str] = {}
        for cpu in (FIRST, SECOND):
            parts |= answer_parts(cpu, self._answer(cpu))
        table, shown = self._table, {"": self._pfn, OF_OTHER: self._other}
        rest = set(differing_rows(table, self._kept).tolist()) - {*shown.values()}
        for cpu in self._cells:
            pfn = paddr_to_pfn(Paddr(int(parts.get(frame_of_answer(cpu), "0"), 0)))
            shown |= {of_handed_out(cpu): pfn} if pfn in rest else {}
        for begin, pfn in shown.items():
            parts |= {f"{begin}{name}": _shown(table[pfn][name]) for name in table.dtype.names or ()}
        parts |= self._raced.beside()
        unnamed = sorted(rest - {*shown.values()})
        parts[OTHER_SLOTS] = ", ".join(f"{pfn:#x}: {table[pfn].tobytes().hex()}" for pfn in unnamed)
        return RaceResult(parts, table[self._pfn].tobytes())


def _text(cells: NDArray[np.uint8]) -> str:
    return bytes(cells).partition(b"\0")[0].decode("ascii", "replace")


def _shown(value: Any) -> str:
    return f"{int(value):#x}" if np.ndim(value) == 0 else bytes(value).hex()


@contextlib.contextmanager
def staged(boot: Boots[G], take: Callable[[G], RacedFrame]) -> Iterator[Stage]:
    """Boot a guest with two CPUs that take commands; it can go on to serve its console afterwards.

    Args:
        take: takes the frame that the commands are about.
    Raises:
        NotInThisVersion: its slots lack fields that the scenes write.
    """
    with holdable(boot, ram=RAM) as guest:
        kernel, cpus = guest.kernel, guest.cpus
        whole = kernel.image.subject.contract.versions.whole_slot
        require_names(kernel.image, whole, "interleaving of any two operations")
        stage = Stage(kernel, cpus, take(kernel))
        jobs = {cpu: Job(("call",), traced=True) for cpu in (FIRST, SECOND)}
        cpus.arm(jobs)
        debugger = guest.hold()
        stage.attach(debugger)
        try:
            yield stage
        except GuestEnded as error:  # between two commands
            raise gone(kernel, "interleaving of any two operations") from error
        finally:
            # Nobody waits for them: a command may hang for ever, which does not keep CPU 0 from its exit.
            if not stage.dead:
                let_go(cpus, debugger)
