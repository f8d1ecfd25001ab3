"""A storm goes through the same steps whatever the contract: here that of the tiny slots, without a guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr
from frame_harness.concurrency.smp import COUNTERS, VIOLATION, Job, ProgramResult
from frame_harness.concurrency.storms import LEAST_ROUNDS, MOST_TRIES, Storm, StormContext, run_storm
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated
from tests.tiny_contract.contract import KERNEL, TINY, Table

CPUS = 2
FRAME = Paddr(0x7000)
Runs = Sequence[Mapping[str, int]]
"""By run what the record of CPU 1 holds behind it, beside iterations enough."""

RECORD = np.dtype(
    [
        *((f"counters.{name}", "<u8") for name in COUNTERS),
        *((f"first.{name}", "<u8") for name in VIOLATION),
        ("began_tsc", "<u8"),
        ("ended_tsc", "<u8"),
    ]
)
SMP = np.dtype([("ready", "<u4"), ("run", "<u4"), ("stop", "<u4"), ("cpus", RECORD, (CPUS,))])


class Guest:
    """Stands in for a guest with two CPUs, whose programs do what a test says."""

    def __init__(self, runs: Runs) -> None:
        self.sent: list[str] = []
        self.machine = SimpleNamespace(limits=SimpleNamespace(request_cpu_s=60))
        self.image = SimpleNamespace(subject=SimpleNamespace(contract=TINY))
        self._table = np.zeros(1, SMP)
        self._table["ready"] = CPUS
        self._runs = iter(runs)

    def static(self, _symbol: str, _type_name: str) -> Any:
        return self._table[0]

    def call(self, command: str, *arguments: object, **_: object) -> None:
        self.sent.append(" ".join([command.split(maxsplit=1)[0], *map(str, arguments)]))
        if command == "smp.run":
            self._table["run"] += 1
            for record in self._table["cpus"][0]:
                record["counters.iterations"] = LEAST_ROUNDS
            for name, value in next(self._runs).items():
                self._table["cpus"][0][1][name] = value


def tiny_slots(turns_of_the_holder: int = 1) -> Table:
    slots = np.zeros(4, np.dtype([("owner", "<u8"), ("turns", "<u4")]))
    slots[0] = (KERNEL, turns_of_the_holder)
    return Table(slots, at_start=False)


class Memory:
    """Writes down what a storm asks of it."""

    def __init__(self, log: list[str], table: Table) -> None:
        self._log, self._table = log, table

    def take(self, count: int) -> list[Paddr]:
        self._log.append(f"take {count}")
        return [FRAME] * count

    def begin(self) -> None:
        self._log.append("begin")

    def end(self, outcome: ProgramResult, frames: Sequence[Paddr]) -> None:
        self._log.append(f"end of {outcome.steps} steps with {len(frames)} frames")

    def state(self) -> Table:
        return self._table

    def expect_as_before(self) -> None:
        self._log.append("as before")


Played = tuple[list[str], Guest, Callable[[], ProgramResult]]


def played(
    runs: Runs,
    *,
    clauses: tuple[str, ...] = ("TINY-07",),
    in_rounds: bool = False,
    table: Table | None = None,
) -> Played:
    """A storm on one frame, ready to run, with the log of what it asks for."""
    log: list[str] = []
    guest = Guest(runs)
    memory = Memory(log, tiny_slots() if table is None else table)

    def ready(context: StormContext[Kernel]) -> dict[int, Job]:
        log.append(f"ready with {context.frames}")
        return context.everyone("take@0")

    def judge(context: StormContext[Kernel]) -> None:
        log.append(f"judge {context.outcome.total('rounds')} rounds")

    storm = Storm("takes", clauses, lambda _: memory, ready, frames=1, judge=judge, in_rounds=in_rounds)

    def run() -> ProgramResult:
        seen = lambda outcome: log.append(f"seen {outcome.steps} steps")  # noqa: E731
        return run_storm(storm, cast("Kernel", guest), seconds=0, seed=3, seen=seen)

    return log, guest, run


def test_a_storm_asks_its_memory_for_each_step_in_order() -> None:
    log, guest, run = played([{"counters.steps": 7, "counters.rounds": 2}])
    assert run().steps == 7
    assert log == [
        "take 1", f"ready with {[FRAME]}", "begin", "seen 7 steps", "judge 2 rounds",
        "end of 7 steps with 1 frames", "as before",
    ]  # fmt: skip
    assert guest.sent == [f"smp.frames {FRAME}", "smp.job", "smp.job", "smp.run 3"]


def rounds(*counts: int) -> Iterator[Mapping[str, int]]:
    return ({"counters.steps": 1, "counters.rounds": count} for count in counts)


def test_cpus_that_hardly_met_run_once_more_from_the_beginning() -> None:
    log, _, run = played([*rounds(3, LEAST_ROUNDS - 1, LEAST_ROUNDS)], in_rounds=True)
    assert run().total("rounds") == LEAST_ROUNDS
    assert [line for line in log if line.startswith(("ready", "begin"))] == [log[1], "begin"] * 3
    assert [line for line in log if line.startswith(("take", "seen"))] == ["take 1", "seen 1 steps"]


def test_a_cpu_that_hardly_began_is_run_once_more_where_cpus_meet_nowhere() -> None:
    late = ({"counters.steps": 1, "counters.iterations": count} for count in (0, LEAST_ROUNDS - 1, 20, 0))
    log, _, run = played([*late])
    assert run().least("iterations") == LEAST_ROUNDS
    assert log.count("begin") == 3


def test_a_cpu_that_never_began_is_no_verdict() -> None:
    log, _, run = played([{"counters.iterations": 0}] * 100)
    with pytest.raises(HarnessError, match=f"expected {LEAST_ROUNDS} iterations of each CPU, got 0"):
        run()
    assert "as before" not in log


def test_cpus_that_never_met_are_no_verdict() -> None:
    log, _, run = played([*rounds(*[LEAST_ROUNDS - 1] * 100)], in_rounds=True)
    with pytest.raises(HarnessError, match=f"expected {LEAST_ROUNDS} rounds, got {LEAST_ROUNDS - 1}"):
        run()
    assert "as before" not in log


def test_cpus_that_ran_one_after_the_other_run_once_more() -> None:
    log, _, run = played([{"began_tsc": 5, "ended_tsc": 9}, {"began_tsc": 0, "ended_tsc": 9}])
    run()
    assert log.count("begin") == 2


def test_cpus_that_always_run_one_after_the_other_are_no_verdict() -> None:
    log, _, run = played([{"began_tsc": 5, "ended_tsc": 9}] * MOST_TRIES)
    with pytest.raises(HarnessError, match="expected CPUs that run at the same time"):
        run()
    assert (log.count("begin"), "as before" in log) == (MOST_TRIES, False)


def test_what_a_program_finds_wrong_ends_the_storm_and_is_counted_before() -> None:
    wrong = {
        "counters.steps": 9, "counters.violations": 4, "first.op": 1, "first.paddr": FRAME,
        "first.expected": 2, "first.got": 5,
    }  # fmt: skip
    log, _, run = played([wrong, *rounds(LEAST_ROUNDS)], in_rounds=True)
    with pytest.raises(ClauseViolated) as raised:
        run()
    assert "takes (cpu 1, iteration 0: inc; 3 more in 9 steps)" in str(raised.value)
    assert (raised.value.expected, raised.value.got, raised.value.frame) == ("0x2", "0x5", FRAME)
    assert log[-1] == "seen 9 steps"


def test_memory_that_breaks_a_clause_of_the_storm_breaks_it_by_the_contract_s_invariants() -> None:
    log, _, run = played([*rounds(1)], table=tiny_slots(turns_of_the_holder=0))
    with pytest.raises(ClauseViolated) as raised:
        run()
    assert not isinstance(raised.value, OtherClauseViolated)
    assert (raised.value.field, raised.value.function) == ("turns", "subject::init")
    assert "held slots were taken" in raised.value.exhibit
    assert log[-1] == "end of 1 steps with 1 frames"


def test_memory_that_breaks_another_clause_leaves_that_of_the_storm_open() -> None:
    _, _, run = played([*rounds(1)], clauses=("TINY-02",), table=tiny_slots(turns_of_the_holder=0))
    with pytest.raises(OtherClauseViolated) as raised:
        run()
    assert (raised.value.clause, raised.value.frame) == ("TINY-07", Paddr(0))
    assert raised.value.expected == "at least 1 where somebody holds it"
