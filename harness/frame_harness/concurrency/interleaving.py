"""Forced interleavings: two CPUs of a guest take turns where the host says so, instruction by instruction."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr, Vaddr
from frame_harness.concurrency.recording import Recorder, Recording, code_at, keeps_frame
from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.concurrency.turn import StepPanicked, Turn
from frame_harness.concurrency.two_cpus import FIRST, SECOND, LoadedOperand, TwoCpus, holdable, let_go
from frame_harness.concurrency.watched import Watched, touches_a_slot
from frame_harness.guest.boot_options import Boots
from frame_harness.guest.booted import BootedGuest, gone
from frame_harness.guest.checks import NotEvaluated
from frame_harness.guest.errors import AllocFailed, SubjectPanic
from frame_harness.judge.diagrams import Hold
from frame_harness.machine.debugger import Debugger, GuestEnded, NoStop
from frame_harness.machine.instruction import is_private, unlocked_width

G = TypeVar("G", bound=BootedGuest)

MOST_INSTRUCTIONS: Final = 20_000
"""Of one step of a program: a step that takes more never ends."""


@dataclass(frozen=True)
class _Instruction:
    """One instruction of the first CPU's step, with what it wrote to the watched memory."""

    vaddr: Vaddr
    fresh: bool
    """The step had not come here before."""
    written: slice | None


@dataclass(frozen=True)
class _Change:
    """An instruction after which watched memory was another: which bytes, and what all of them held then."""

    vaddr: Vaddr
    changed: list[int]
    now: NDArray[np.uint8]


class Turns(Generic[G]):
    """Two CPUs whose programs of one step each are repeated under a debugger."""

    def __init__(self, kernel: G, cpus: Cpus, debugger: Debugger, steps: tuple[str, str]) -> None:
        self.kernel, self.cpus, self._debugger, self._steps = kernel, cpus, debugger, steps
        names = ("smp_step_begins", "smp_step_ended", "smp_step_panics")
        self._begins, self._ended, self._panics = (kernel.image.symbol(name)[0] for name in names)
        self._markers = frozenset((self._begins, self._ended, self._panics))
        self._both = TwoCpus(kernel, cpus, debugger, self._markers, partial(touches_a_slot, kernel))
        self._first, self._second = (self._both.threads[cpu] for cpu in (FIRST, SECOND))
        for vaddr in self._markers:
            debugger.breakpoint(vaddr)

    def every_preemption(self, watched: NDArray[np.uint8], reset: Callable[[], None]) -> Iterator[Turn]:
        """Run both steps again and again, the second CPU's step each time at another point of the first's.

        The points are: before each instruction that touches memory which the other CPU can see, up to the
        last that writes; behind that one, as what the step reads later is all the same; inside of each that
        loads and stores. At any other point the second CPU would find and leave what it does at the next
        of these. A store of what is there already counts for none.

        Yields when both are through; `reset` is called before each time, while nothing runs.

        Args:
            watched: live bytes of the guest's RAM that the steps are about, shape (n_bytes,), aligned to 8.
        """
        trace = self._trace(watched, reset)
        writes = [index for index, instruction in enumerate(trace) if instruction.written is not None]
        behind = max(writes, default=-1) + 1
        for index in range(min(behind + 1, len(trace))):
            if index != behind and self._is_private(trace[index]):
                continue
            yield self._preempt(trace, index, reset, None)
            operand = self._operand(trace[index])
            if operand is not None:
                yield self._preempt(trace, index, reset, watched[operand])

    def preempted_write(
        self,
        watched: NDArray[np.uint8],
        number: int,
        reset: Callable[[], None],
        between: Callable[[], None] = lambda: None,
    ) -> Turn | None:
        """Run both steps, the second CPU's where the first one is about to write to what is watched.

        A step that panics ends the turn, and the `Turns` with it.

        Args:
            watched: live bytes of the guest's RAM, shape (n_bytes,).
            number: of the write, as an index: 0 is the first one, -1 the last.
            reset: called before each time that the first CPU's step begins: once to find its writes.
            between: called where the first CPU stands before its write, ahead of the second CPU's step.
        Returns:
            None when the first CPU's step writes nothing, or panics without any help.
        """
        with contextlib.suppress(StepPanicked):  # nothing could come between: the caller is told None
            trace = self._trace(watched, reset)
            writes = [index for index, instruction in enumerate(trace) if instruction.written is not None]
            return self._refusable(trace, writes[number], reset, between) if writes else None
        return None

    def _refusable(
        self,
        trace: list[_Instruction],
        index: int,
        reset: Callable[[], None],
        between: Callable[[], None],
    ) -> Turn:
        try:
            return self._preempt(trace, index, reset, None, between)
        except StepPanicked:
            hold = self._hold(index, trace[index].vaddr)
            return Turn(hold, self._steps, panicked=True)

    def every_change(self, watched: NDArray[np.uint8]) -> Iterator[Turn]:
        """Run the first CPU's step once; the second CPU's whole step whenever what is watched has changed.

        Yields when the second CPU is through, once more when the first CPU's step has ended.

        Args:
            watched: live bytes from the beginning of the slot that the steps are about, shape (n_bytes,).
        Raises:
            NotEvaluated: the step takes too many instructions.
        """
        self._park()
        before, at = watched.copy(), self._begins
        changes: list[_Change] = []
        instructions = 0
        while instructions < MOST_INSTRUCTIONS:
            executed, following = self._go_on(at)
            stood, at, instructions = executed[-1], following, instructions + len(executed)
            now = watched.copy()
            changed = np.flatnonzero(now != before).tolist()
            if changed or at == self._ended:
                changes.append(_Change(stood, changed, now))
                self._run_to(SECOND, self._ended)
                hold, again = self._hold(instructions, at), partial(self._look_again, changes)
                yield Turn(hold, self._steps, ended=at == self._ended, again=again)
                self._run_to(SECOND, self._begins)
                before = now
            if at == self._ended:
                return
        raise self._endless()

    def overtaken(self, reset: Callable[[], None], ahead_of_write: Callable[[str], None]) -> None:
        """Run the first CPU's step once; call back ahead of each instruction that may write to the slot.

        Args:
            ahead_of_write: given the field's name, changes the field as another CPU could at that moment.
        Raises:
            NotEvaluated: the step takes too many instructions.
        """
        self._park()
        reset()
        ends = (self._ended, self._panics)
        steps = partial(self._recorder().steps, self._first, FIRST, ends, most=MOST_INSTRUCTIONS)
        if not steps(ahead_of_write=ahead_of_write):
            raise self._endless()

    def _look_again(self, changes: list[_Change]) -> Recording:
        """Run the second CPU's step once more, which only reads, and write down its accesses."""
        recorder = self._recorder()
        for change in changes:
            recorder.changed(FIRST, change.vaddr, change.changed, change.now)
        held_after = len(recorder.accesses)
        self._run_to(SECOND, self._begins)
        self._record(recorder, self._second, SECOND)
        return Recording(tuple(recorder.accesses), held_after, len(recorder.accesses) - held_after)

    def _recorded(
        self,
        trace: list[_Instruction],
        index: int,
        reset: Callable[[], None],
        operand: NDArray[np.uint8] | None,
        between: Callable[[], None],
    ) -> Recording:
        """Make a turn as `_preempt` does, instruction by instruction, and write down the accesses."""
        recorder = self._recorder()

        def ahead() -> None:
            self._park()
            reset()
            for instruction in trace[:index]:
                if self._both.at(FIRST) != instruction.vaddr:
                    raise NotEvaluated("interleaving", detail="the step goes another way than before")
                recorder.step(self._first, FIRST)
            between()

        return recorder.held(
            self._first, FIRST, ahead=ahead,
            meanwhile=lambda: self._record(recorder, self._second, SECOND),
            after=lambda: self._record(recorder, self._first, FIRST), operand=operand,
        )  # fmt: skip

    def _recorder(self) -> Recorder:
        frame = Paddr(int(self.cpus.table["frames"][0]))
        return Recorder(self.kernel, self._debugger, Watched(self.kernel, frame))

    def _record(self, recorder: Recorder, thread: int, cpu: int) -> None:
        if not recorder.steps(thread, cpu, (self._ended, self._panics), most=MOST_INSTRUCTIONS):
            raise self._endless()

    def _trace(self, watched: NDArray[np.uint8], reset: Callable[[], None]) -> list[_Instruction]:
        self._park()
        reset()
        trace: list[_Instruction] = []
        seen: set[Vaddr] = set()
        at = self._begins
        while at != self._ended:
            before = watched.copy()
            executed, at = self._go_on(at)
            changed = np.flatnonzero(watched != before)
            written = slice(int(changed[0]), int(changed[-1]) + 1) if len(changed) else None
            for vaddr in executed:
                # Where several ran in one go, none of them writes to what is watched.
                trace.append(_Instruction(vaddr, vaddr not in seen, written))
                seen.add(vaddr)
            if len(trace) > MOST_INSTRUCTIONS:
                raise self._endless()
        return trace

    def _go_on(self, at: Vaddr) -> tuple[Sequence[Vaddr], Vaddr]:
        """Let the first CPU execute an instruction, or several that nobody else can see; returns where it is.

        Raises:
            StepPanicked: it comes to where its step says so.
        """
        stretch = self._both.stretch(FIRST, at, self._markers)
        following = self._both.follow(FIRST, stretch)
        if following == self._panics:
            raise StepPanicked
        return stretch.addresses, following

    def _operand(self, instruction: _Instruction) -> slice | None:
        """The watched bytes that an instruction loads, then stores, without the bus lock."""
        if instruction.written is None:
            return None
        width = unlocked_width(self._code(instruction))
        if width is None:
            return None
        first = instruction.written.start // width * width
        return slice(first, first + width)

    def _preempt(
        self,
        trace: list[_Instruction],
        index: int,
        reset: Callable[[], None],
        operand: NDArray[np.uint8] | None,
        between: Callable[[], None] = lambda: None,
    ) -> Turn:
        self._park()
        reset()
        at = self._advance(trace, index)
        between()
        loaded = LoadedOperand.now(operand)
        waits = not self._comes_to(SECOND, self._ended)
        self._both.store(FIRST, loaded)
        self._run_to(FIRST, self._ended)
        if waits:  # as for a lock, with which the first one was held
            self._run_to(SECOND, self._ended)
        again = partial(self._recorded, trace, index, reset, operand, between)
        return Turn(self._hold(index, at, inside=operand is not None), self._steps, again=again)

    def _hold(self, instructions: int, at: Vaddr, *, inside: bool = False) -> Hold:
        return Hold(cpu=FIRST, instructions=instructions, at=self._name(at), inside=inside)

    def _advance(self, trace: list[_Instruction], index: int) -> Vaddr:
        """Let the first CPU execute the first `index` instructions of its step."""
        nearest = max(i for i in range(index + 1) if trace[i].fresh)
        at = trace[nearest].vaddr
        if at != self._begins:
            self._debugger.breakpoint(at)
            self._run_to(FIRST, at)
            self._debugger.clear(at)
        for _ in range(index - nearest):
            at = self._both.step(FIRST)
        return at

    def _park(self) -> None:
        for cpu in (FIRST, SECOND):
            self._run_to(cpu, self._begins)

    def _run_to(self, cpu: int, vaddr: Vaddr) -> None:
        """Let a CPU run to an address; raises `NotEvaluated` where it waits for one that is held."""
        if not self._comes_to(cpu, vaddr):
            raise NotEvaluated(
                "interleaving", detail="a step waits for the other CPU, which is held, as for a lock"
            )

    def _comes_to(self, cpu: int, vaddr: Vaddr) -> bool:
        """Let a CPU run to an address; False where it does not come there while the other one is held.

        Raises:
            NotEvaluated: it begins its step, and begins it again, without coming there.
        """
        at, begun = self._both.at(cpu), 0
        while at != vaddr:
            stopped = self._both.run(cpu)
            if stopped is None:
                return False
            if (at := stopped) == self._panics:
                raise StepPanicked
            begun += at == self._begins != vaddr
            if begun > 1:
                raise NotEvaluated("interleaving", detail="the step goes another way than before")
        return True

    def _is_private(self, instruction: _Instruction) -> bool:
        framed = keeps_frame(self.kernel, instruction.vaddr)
        return is_private(self._code(instruction), framed=framed)

    def _code(self, instruction: _Instruction) -> bytes:
        return code_at(self.kernel, instruction.vaddr)

    def _name(self, vaddr: Vaddr) -> str:
        return self.kernel.image.symbolize(vaddr).place

    def _endless(self) -> NotEvaluated:
        return NotEvaluated(
            "interleaving",
            detail=f"a step takes over {MOST_INSTRUCTIONS} instructions: too many to go one by one",
        )


@contextlib.contextmanager
def interleaved(boot: Boots[G], prepare: Callable[[G, Cpus], tuple[str, str]]) -> Iterator[Turns[G]]:
    """Boot a guest, let two of its CPUs begin their steps under a debugger.

    Args:
        prepare: readies the guest, names its frames; returns the step of the first CPU, that of the second.
    Raises:
        SubjectPanic: on leaving, when a step panicked.
        HarnessError: on leaving, when a step did, which ended the block, and the guest tells of no panic.
    """
    with holdable(boot) as guest:
        kernel, cpus = guest.kernel, guest.cpus
        steps = prepare(kernel, cpus)
        jobs = {cpu: Job((step,), traced=True) for cpu, step in zip((FIRST, SECOND), steps, strict=True)}
        cpus.arm(jobs)
        debugger = guest.hold()
        cpus.go()
        panicked: StepPanicked | None = None
        try:
            try:
                yield Turns(kernel, cpus, debugger, steps)
            except StepPanicked as error:  # the guest tells it, when it is waited for
                panicked = error
        except GuestEnded as error:
            raise gone(kernel, " beside ".join(steps)) from error
        except NoStop:
            # One that halts reaches a limit, which tells where it stands; one that only waited goes on now.
            let_go(cpus, debugger)
            cpus.wait(jobs)
            raise
        except Exception:
            # Nobody may talk to the guest before its CPUs are through: they may be reporting a panic. What
            # was found counts, not what they say now; a guest that ends here is on record by itself.
            with contextlib.suppress(HarnessError, SubjectPanic, AllocFailed):
                let_go(cpus, debugger)
                cpus.wait(jobs)
            raise
        let_go(cpus, debugger)
        cpus.wait(jobs)
        if panicked is not None:
            both = " beside ".join(steps)
            raise HarnessError(
                "interleaving", both, expected="the panic of a step", actual="none",
                next_step="see the console's end in the evidence: the panic handler began and told nothing",
            ) from panicked  # fmt: skip
