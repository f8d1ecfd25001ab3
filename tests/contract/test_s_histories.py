"""Contract kind S, small: what two CPUs saw happened in some order that the reference model allows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest

from frame_harness.base.units import PAGE_SHIFT, PAGE_SIZE, Paddr
from frame_harness.concurrency.interleaving import interleaved
from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.concurrency.turn import Turn
from frame_harness.concurrency.two_cpus import FIRST, SECOND
from frame_harness.contract.linear import LinearCall, Sequential, linearization
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.frame_metadata.model import Done, Fail, Model, ModelResult, booted_model
from frame_harness.guest.checks import ClauseViolated, NotEvaluated, expect

pytestmark = [pytest.mark.one_machine, pytest.mark.level("interleaving")]

CPUS = 2
STEPS = 4  # between two barriers
ROUNDS = 12  # the log has room for them
HISTORIES = 8
FRAME = Paddr(PAGE_SIZE)  # of the model, which has no other that the buddy may own
PART_HISTORIES = 2
BEGIN = 1000  # no history drops that many references
SWAPPED = 1 << 32  # in a result: the swap took place
CAS = f"cas@0={BEGIN | (BEGIN + 7) << 32:#x}"
PAIRS = [*itertools.product(["inc@0", "dec@0", CAS], repeat=2), ("set@0=9", "inc@0"), (CAS, "set@0=9")]


def random_step(rng: random.Random, names: Sequence[str]) -> str:
    near = BEGIN + rng.randrange(-3, 4)
    swap = near | (BEGIN + rng.randrange(-3, 4)) << 32
    steps = {
        "inc": ["inc@0", "inc@0"], "dec": ["dec@0", "dec@0"], "cas": [f"cas@0={swap:#x}"],
        "set": [f"set@0={near}"],
    }  # fmt: skip
    step = rng.choice([step for name in names for step in steps[name]])
    return f"{step}~{rng.choice([0, 0, 4, 16])}"


def ask_model(model: Model, step: str) -> ModelResult:
    """The call that a step makes, made to the model."""
    name, _, value = step.partition("~")[0].partition("=")
    number = int(value or "0", 0)
    match name:
        case "inc@0":
            return model.inc_ref(FRAME)
        case "dec@0":
            return model.dec_ref(FRAME)
        case "cas@0":
            return model.cas_refcount(FRAME, number & 0xFFFF_FFFF, number >> 32)
        case _:
            return model.set_refcount(FRAME, number)


def after(before: Model, call: LinearCall) -> tuple[Model, int]:
    """The model after a call, with the result as the guest's programs write it down."""
    model = before.copied()
    outcome = ask_model(model, call.name)
    assert isinstance(outcome, Done | Fail)
    value = outcome.values.get("v", 0)
    return model, value | SWAPPED if isinstance(outcome, Done) and call.name.startswith("cas") else value


def count_of(model: Model) -> int:
    return model.slot(FRAME).refcount


OPERATIONS = {
    "inc": ("inc_ref", "REF-01", "REF-04"),
    "dec": ("dec_ref", "REF-01", "REF-04"),
    "cas": ("cas_refcount", "REF-02", "REF-05"),
    "set": ("set_refcount", "REF-03", "REF-04"),
}
"""By step: the method, the clause that it breaks alone, the clause when another CPU comes between."""


def operation_of(step: str) -> tuple[str, str, str]:
    return OPERATIONS[step.partition("@")[0]]


def looks_at(*steps: str) -> pytest.MarkDecorator:
    """The clauses of some steps alone: a version that lacks a method of others is judged by these."""
    ids = sorted({id_ for step in steps for id_ in operation_of(step)[1:]})
    blamed = next((step for step in steps if step.startswith("cas")), steps[-1])
    return pytest.mark.clause(*ids, at=f"MetaSlot::{operation_of(blamed)[0]}")


def expect_right_alone(kernel: Kernel, paddr: Paddr, steps: Sequence[str]) -> None:
    """What is wrong on one CPU is no race."""
    for step in dict.fromkeys(steps):
        method, clause, _ = operation_of(step)
        model = booted_model(2, [range(2)], [range(1, 2)])
        model.set_refcount(FRAME, BEGIN)
        outcome = ask_model(model, step)
        assert isinstance(outcome, Done | Fail)
        kernel.slots()[paddr >> PAGE_SHIFT]["refcount"] = BEGIN
        number = int(step.partition("~")[0].partition("=")[2] or "0", 0)
        operands = {"cas": (number & 0xFFFF_FFFF, number >> 32), "set": (number,)}.get(step[:3], ())
        words = " ".join([f"slot.{method}", *(f"{value:#x}" for value in (paddr, *operands))])
        reply = kernel.request(words)
        returned = reply["v"] if outcome.values else 0
        expect(
            f"count after {method} on {BEGIN}, one CPU alone, and what it returned",
            (int(kernel.slots()[paddr >> PAGE_SHIFT]["refcount"]), returned),
            (count_of(model), outcome.values.get("v", 0)),
            frame=paddr,
            field="refcount",
            function=f"MetaSlot::{method}",
            clause=clause,
        )


def expect_explained(
    what: str,
    histories: Sequence[Sequence[LinearCall]],
    left: int,
    frame: Paddr,
    *,
    function: str = "",
    clause: str = "",
    turn: Turn | None = None,
) -> None:
    model = booted_model(2, [range(2)], [range(1, 2)])
    model.set_refcount(FRAME, BEGIN)
    rules = Sequential(after, count_of)
    if linearization(histories, model, rules, lambda state: count_of(state) == left) is None:
        calls = sorted((call for history in histories for call in history), key=lambda call: call.began)
        expected = "an order of the calls that explains every result"
        got = f"none, from a count of {BEGIN} to one of {left}"
        diagram = None if turn is None else turn.diagram(what, expected, got, "refcount")
        raise ClauseViolated(
            what if diagram is None else diagram.what,
            expected=expected,
            got=got,
            diagram=diagram,
            frame=frame,
            field="refcount",
            function=function,
            breaks=(clause,) if clause else (),
            exhibit="\n".join(f"cpu {c.cpu} {c.began}..{c.ended} {c.name} -> {c.result:#x}" for c in calls),
        )


def play(kernel: Kernel, seed: int, names: Sequence[str]) -> None:
    rng = random.Random(seed)
    programs = {cpu: [random_step(rng, names) for _ in range(STEPS)] for cpu in range(CPUS)}
    cpus, paddr = Cpus(kernel), kernel.alloc(zeroed=False)
    cpus.frames([paddr])
    expect_right_alone(kernel, paddr, [step for program in programs.values() for step in program])
    kernel.slots()[paddr >> PAGE_SHIFT]["refcount"] = BEGIN
    what = f"calls of two cpus on one frame, seed {seed}"
    cpus.run({cpu: Job(("barrier", *program), ROUNDS, logged=True) for cpu, program in programs.items()})
    histories = []
    for cpu, program in programs.items():
        entries = [entry for entry in cpus.log(cpu) if entry.op != "barrier"]
        if len(entries) != ROUNDS * STEPS:
            raise NotEvaluated(what, expected=f"{ROUNDS * STEPS} on CPU {cpu}", actual=len(entries))
        histories.append(
            [LinearCall(cpu, program[n % STEPS], e.began, e.ended, e.result) for n, e in enumerate(entries)]
        )
    left = int(kernel.slots()[paddr >> PAGE_SHIFT]["refcount"])
    expect_explained(what, histories, left, paddr)


@pytest.mark.level("storm")
@pytest.mark.parametrize(
    ("names", "histories"),
    [
        pytest.param(names, histories, id="-".join(names), marks=looks_at(*names))
        for names, histories in (
            (("inc", "dec", "cas", "set"), HISTORIES),
            (("inc", "dec"), PART_HISTORIES),
            (("inc", "dec", "cas"), PART_HISTORIES),
            (("inc", "dec", "set"), PART_HISTORIES),
        )
    ],
)
def test_reference_operations_of_two_cpus_happen_one_after_the_other(
    boot: Boot, names: Sequence[str], histories: int
) -> None:
    kernel = boot(cpus=CPUS)
    for seed in range(histories):
        play(kernel, seed, names)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(*pair, id="-".join(step.partition("@")[0] for step in pair), marks=looks_at(*pair))
        for pair in PAIRS
    ],
)
def test_forced_into_each_other_two_operations_still_have_an_order(
    boot: Boot, first: str, second: str
) -> None:
    frames: list[Paddr] = []

    def prepare(kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
        frames.append(kernel.alloc(zeroed=False))
        expect_right_alone(kernel, frames[0], (first, second))
        cpus.frames(frames)
        return first, second

    # The first one is held in its middle: where the two have no order, it is the one that came apart.
    method, _, raced = operation_of(first)
    with interleaved(boot, prepare) as both:
        pfn = frames[0] >> PAGE_SHIFT
        slot = both.kernel.slots()[pfn : pfn + 1]

        def reset() -> None:
            slot["refcount"] = BEGIN

        for turn in both.every_preemption(slot.view(np.uint8), reset):
            calls = [
                [LinearCall(cpu, step, 0, 1, both.cpus.last(cpu))]
                for cpu, step in ((FIRST, first), (SECOND, second))
            ]
            what, left = f"{first} and {second}", int(slot["refcount"][0])
            function = f"MetaSlot::{method}"
            expect_explained(what, calls, left, frames[0], function=function, clause=raced, turn=turn)
