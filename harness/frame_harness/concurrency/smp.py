"""Programs that the CPUs of a guest run at the same time, driven from the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from frame_harness.base.errors import MachineError
from frame_harness.base.units import Paddr
from frame_harness.concurrency.rates import RateWatch
from frame_harness.console.stream import Watch
from frame_harness.guest.checks import ClauseViolated
from frame_harness.judge.diagrams import RateSample

if TYPE_CHECKING:
    from frame_harness.guest.booted import BootedGuest

OPERATIONS: Final = (
    "inc", "dec", "claim", "own", "cas", "set", "alloc", "alloc.user", "alloc.zeroed", "alloc.table",
    "alloc.custom", "hook", "clean", "flagged", "drop", "churn", "poison", "or", "andnot", "has", "hasnot",
    "heal", "look", "life", "barrier", "tally", "nothing", "panic", "fault", "call",
)  # fmt: skip
"""By number, as in the guest's tables; `smp.ops` explains them."""

COUNTERS: Final = (
    "iterations", "steps", "allocated", "released", "out_of_memory", "won", "lost", "last_refs", "rounds",
    "live", "on_last_ref", "on_unmap", "violations", "panics",
)  # fmt: skip
VIOLATION: Final = ("op", "paddr", "expected", "got", "iteration", "tsc")
SEEN: Final = ("refcount", "generation", "guard", "vtable", "flags", "order", "payload", "looks")

UNTIL_STOPPED: Final = 2**63
"""Iterations of a program that ends when the host says so."""


@dataclass(frozen=True)
class Job:
    """One CPU's program: steps `op[@frame][=value][~delay]`, repeated."""

    steps: tuple[str, ...]
    iterations: int = UNTIL_STOPPED
    """How often, at most; a run with a limit in seconds may end before."""
    seed: int = 1
    traced: bool = False
    """A debugger can stop the CPU before and after each step."""
    logged: bool = False
    """Each step is written down with the time stamp counter."""

    def command(self, cpu: int) -> str:
        """The request that hands it to a CPU."""
        words = [word for word, wanted in (("traced", self.traced), ("logged", self.logged)) if wanted]
        return " ".join(["smp.job", str(cpu), str(self.iterations), *words, f"seed={self.seed}", *self.steps])


@dataclass(frozen=True)
class OpViolation:
    """An expectation of a program that failed."""

    cpu: int
    op: str
    paddr: Paddr
    expected: int
    got: int
    iteration: int
    share: float = 0.0
    """Of the CPU's time in the run that had passed, from 0 to 1."""

    def describe(self) -> str:
        """Say on which CPU, at which iteration, for which operation; not what was found."""
        return f"cpu {self.cpu}, iteration {self.iteration}: {self.op}"


@dataclass(frozen=True)
class Entry:
    """One logged step; times are those of the time stamp counter, which all CPUs share."""

    cpu: int
    op: str
    began: int
    ended: int
    result: int


@dataclass(frozen=True)
class ProgramResult:
    """What a run left behind."""

    counters: dict[int, dict[str, int]]
    """Of each CPU that took part, by name."""
    violations: tuple[OpViolation, ...]
    """The first one of each CPU."""
    seconds: float
    """As the host saw them."""
    at_once: bool = True
    """Whether there was a moment at which all of them ran."""

    def total(self, name: str) -> int:
        """A counter, added up over the CPUs."""
        return sum(counters[name] for counters in self.counters.values())

    def least(self, name: str) -> int:
        """A counter of the CPU that has the least."""
        return min(counters[name] for counters in self.counters.values())

    @property
    def steps(self) -> int:
        """The steps that all CPUs of the run did together."""
        return self.total("steps")

    def expect_none(self, what: str) -> None:
        """Require that no expectation of a program failed.

        Raises:
            ClauseViolated: one did; the text tells the first and counts the rest.
        """
        if self.violations:
            first = self.violations[0]
            more = self.total("violations") - 1
            raise ClauseViolated(
                f"{what} ({first.describe()}; {more} more in {self.steps} steps)",
                expected=f"{first.expected:#x}",
                got=f"{first.got:#x}",
                frame=first.paddr or None,
            )


class Cpus:
    """The CPUs of one guest as a machine for small programs.

    Attributes:
        samples: how far the CPUs of the last `run` had come, in the order of their numbers; also where it
            broke off.
    """

    def __init__(self, kernel: BootedGuest) -> None:
        self.kernel = kernel
        self.table = kernel.static("SMP", "Smp")
        self.count = int(self.table["ready"])
        self.samples: tuple[RateSample, ...] = ()

    def frames(self, paddrs: Sequence[Paddr]) -> None:
        """Name the frames that steps reach as @0, @1, and so on."""
        self.kernel.call("smp.frames", *paddrs)

    def give(self, jobs: dict[int, Job]) -> int:
        """Hand out programs; returns the mask of their CPUs."""
        for cpu, job in jobs.items():
            self.kernel.call(job.command(cpu))
        return sum(1 << cpu for cpu in jobs)

    def run(self, jobs: dict[int, Job], *, seconds: float | None = None) -> ProgramResult:
        """Let CPUs run their programs to the end, or until the time is up; each ends with a whole iteration.

        Raises:
            SubjectPanic: the first panic on any of them.
        """
        mask = self.give(jobs)
        # On a busy host the time may be up before the guest has heard of the run.
        coming = int(self.table["run"]) + 1
        began = time.monotonic()
        limit = None if seconds is None else began + seconds
        records = [self.table["cpus"][cpu] for cpu in sorted(jobs)]
        watches: list[RateWatch] = []

        def limited(inner: Watch) -> Watch:
            ending = _Limit(inner, limit, lambda: self.stop(coming))
            watches.append(RateWatch(ending, records, lambda: int(self.table["run"]) == coming, began))
            return watches[-1]

        try:
            self.kernel.call("smp.run", mask, watching=limited)
        except BaseException:
            self.stop(coming)  # nobody waits for its end any more: the guest has to hear the next request
            raise
        finally:
            for watch in watches:
                self.samples = watch.last(time.monotonic())
        return self._outcome(sorted(jobs), time.monotonic() - began)

    def stop(self, run: int | None = None) -> None:
        """End a run, by default the present one; a program stops after its iteration or at a barrier.

        A run that has not begun yet ends at once when it does; one that has ended ignores it.
        """
        self.table["stop"] = self.table["run"] if run is None else run

    def arm(self, jobs: dict[int, Job]) -> None:
        """Wake CPUs other than CPU 0 for a run that begins with `go`."""
        self.kernel.call("smp.arm", self.give(jobs))

    def go(self) -> None:
        """Let the armed CPUs begin."""
        self.table["go"] = self.table["run"]

    def wait(self, jobs: dict[int, Job]) -> ProgramResult:
        """Wait for the end of the armed run."""
        began = time.monotonic()
        self.kernel.call("smp.wait")
        return self._outcome(sorted(jobs), time.monotonic() - began)

    def counted(self, cpu: int) -> dict[str, int]:
        """The counters of a CPU's run, as they are now."""
        return _numbers(self.table["cpus"][cpu], "counters", COUNTERS)

    def seen(self, cpu: int) -> dict[str, int]:
        """What the last `look` of a CPU found."""
        return _numbers(self.table["cpus"][cpu], "seen", SEEN)

    def last(self, cpu: int) -> int:
        """What the last step of a traced program returned."""
        return int(self.table["cpus"][cpu]["last"])

    def thread(self, cpu: int) -> int:
        """QEMU's number of a CPU, from 0: the guest counts CPUs as they come up."""
        return int(self.table["cpus"][cpu]["apic_id"])

    def halts(self, thread: int) -> bool:
        """Whether a CPU, by QEMU's number, executes nothing until an interrupt comes; False without QEMU."""
        try:
            return self.kernel.guest.vcpus()[thread].halted
        except MachineError:
            return False

    def log(self, cpu: int) -> list[Entry]:
        """The logged steps of a CPU's last run, as far as there was room for them."""
        record = self.table["cpus"][cpu]
        length = min(int(record["n_logged"]), len(record["log"]))
        return [
            Entry(cpu, _operation(int(e["op"])), int(e["began_tsc"]), int(e["ended_tsc"]), int(e["result"]))
            for e in record["log"][:length]
        ]

    def _outcome(self, cpus: Sequence[int], seconds: float) -> ProgramResult:
        records = {cpu: self.table["cpus"][cpu] for cpu in cpus}
        counters = {cpu: self.counted(cpu) for cpu in cpus}
        first = {cpu: _numbers(record, "first", VIOLATION) for cpu, record in records.items()}
        violations = tuple(
            OpViolation(
                cpu,
                _operation(v["op"] - 1),
                Paddr(v["paddr"]),
                v["expected"],
                v["got"],
                v["iteration"],
                _share(records[cpu], v["tsc"]),
            )
            for cpu, v in first.items()
            if v["op"]
        )
        began, ended = ([int(one[at]) for one in records.values()] for at in ("began_tsc", "ended_tsc"))
        return ProgramResult(counters, violations, seconds, at_once=max(began) <= min(ended))


def _operation(number: int) -> str:
    """The name of an operation, as the guest numbers them; a number that is none stays a number."""
    return OPERATIONS[number] if 0 <= number < len(OPERATIONS) else f"operation {number}"


def _share(record: Any, tsc: int) -> float:
    """How much of a CPU's run had passed at a moment of its time stamp counter."""
    began, ended = int(record["began_tsc"]), int(record["ended_tsc"])
    return min(1.0, max(0.0, (tsc - began) / (ended - began))) if ended > began else 0.0


class _Limit:
    """The guest's own limits, with a budget of time after which the run is told to stop."""

    def __init__(self, inner: Watch, end: float | None, stop: Callable[[], None]) -> None:
        self._inner, self._end, self._stop = inner, end, stop

    @property
    def poll_s(self) -> float:
        if self._end is None:
            return self._inner.poll_s
        return max(0.0, min(self._inner.poll_s, self._end - time.monotonic()))

    def check(self, received: int) -> None:
        if self._end is not None and time.monotonic() >= self._end:
            self._stop()
            self._end = None
        self._inner.check(received)


def _numbers(record: Any, group: str, names: Sequence[str]) -> dict[str, int]:
    """The fields of a nested structure; those whose names occur twice carry its name, too."""
    known = record.dtype.names
    return {name: int(record[path if (path := f"{group}.{name}") in known else name]) for name in names}
