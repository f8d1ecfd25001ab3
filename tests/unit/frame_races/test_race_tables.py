"""Proves which operations of a frame module are interleaved, and that its tables speak of them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.clauses import CLAUSES as CONTRACT
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.frame_metadata.surface import ALONE
from frame_harness.frame_races.operations import ANY_VALUE, CALLS
from frame_harness.frame_races.rules import RULES, clause_of
from frame_harness.guest.errors import NotInThisVersion
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.machine.definition import load_machine
from frame_harness.races.explorer import Explorer
from frame_harness.races.operations import methods
from frame_harness.races.stage import Stage, staged

COMPUTING = {"array.size", "purpose.zero", "frame.containing", "frame.from_start"}
"""They touch nothing in a sound module."""


@pytest.fixture(scope="module")
def image() -> Image:
    return build(frame_module(), "release")


@pytest.fixture(scope="module")
def stage(image: Image) -> Iterator[Stage]:
    kernels: list[Kernel] = []

    def boot(**options: object) -> Kernel:
        kernels.append(Kernel.boot(image, load_machine("q35"), **options))  # type: ignore[arg-type]
        return kernels[-1]

    with staged(boot, RULES.take) as stage:
        yield stage
    assert kernels[0].finish()[0] == "pass"


@pytest.fixture(scope="module")
def explorer(stage: Stage) -> Explorer:
    return Explorer.of(stage, RULES)


def test_every_command_of_the_guest_takes_part_or_has_a_reason_not_to(explorer: Explorer) -> None:
    entering = {operation.method.name for _, operation in explorer.traces}
    touching = {operation.method.name for (_, operation), trace in explorer.traces.items() if trace.accesses}
    names = {method.name for method in methods(explorer.stage.table)}
    reasoned = set(ALONE)
    assert names - entering - reasoned == set()
    assert names - touching - reasoned == COMPUTING
    assert reasoned - names == set(), "reasons for commands that there are none of"
    assert entering & reasoned == set()


def test_command_of_an_absent_name_is_left_out_and_its_clause_not_judged() -> None:
    image = SimpleNamespace(lacks=("MetaSlot::cas_refcount",), subject=frame_module())
    table = ["slot.cas_refcount <paddr> <expect> <new> - MetaSlot::cas_refcount"]
    old = cast("Stage", SimpleNamespace(table=table, known={}, kernel=SimpleNamespace(image=image)))
    explorer = Explorer.of(old, RULES)
    assert explorer.absent == {"slot.cas_refcount": ("MetaSlot::cas_refcount",)}
    with pytest.raises(NotInThisVersion) as raised:
        explorer.require_plays("REF-05")
    assert raised.value.lacks == ("MetaSlot::cas_refcount",)


def test_tables_speak_of_commands_that_take_part(explorer: Explorer) -> None:
    known = {operation.method.name for _, operation in explorer.traces}
    held = {method for method, _ in RULES.left_behind}
    assert RULES.in_steps.keys() | RULES.on_a_free_frame.keys() | held | {RULES.allocates} <= known


def test_the_built_in_module_can_break_each_clause_that_there_is_a_check_for(explorer: Explorer) -> None:
    assert explorer.clauses() == set(RULES.clauses)
    assert set(RULES.clauses) <= CONTRACT.keys()


def test_the_vtable_is_loaded_once_by_an_invoker(explorer: Explorer) -> None:
    field_at = META_SLOT.field_at
    seen = {
        operation.method.name: [
            (field_at(one.offset), one.reads, one.writes)
            for one in trace.accesses
            if explorer.stage.watched.is_of_slot(one.offset)
        ]
        for (scene, operation), trace in explorer.traces.items()
        if scene is RULES.in_use
    }
    assert seen["array.unmap"] == seen["array.lastref"] == [("vtable", True, False)]
    assert seen["slot.mark_poisoned"] == [("guard", True, True), ("flags", True, True)]
    assert seen["slot.set_flags"] == [("flags", False, True)]


def test_a_command_that_enters_nothing_of_the_subject_is_found_out(stage: Stage) -> None:
    trace, answer = stage.trace("slot.peek {frame:#x}".format(**stage.known), RULES.in_use)
    assert trace is None
    assert answer.startswith("ok bytes=")


def test_a_store_of_what_is_there_already_is_an_access(stage: Stage) -> None:
    frame = f"{stage.known['frame']:#x}"
    order = int(RULES.in_use.fields["order"])
    trace, _ = stage.trace(f"slot.set_order {frame} {order}", RULES.in_use)
    assert trace is not None
    assert [(META_SLOT.field_at(one.offset), one.writes) for one in trace.accesses] == [("order", True)]


def test_a_method_with_unknown_operands_is_given_values(stage: Stage) -> None:
    (method,) = methods(["slot.anything <paddr> <novelty> - what nobody has thought of"])
    (operation,) = CALLS.operations(method, stage.known)
    assert operation.line.split()[2] == f"{ANY_VALUE[0]:#x}"
    assert CALLS.why_left_out(method.name) is None
    assert clause_of(method.name, "vtable") == "VT-02"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("slot.inc_ref {frame:#x}", "ok"),
        ("slot.get_refcount {frame:#x}", "ok v="),
        ("slot.inc_ref", "err usage"),
        ("crash panic", "panic "),
        ("crash pf", "fault #PF"),
        ("crash stack", "fault #PF"),
    ],
)
def test_what_becomes_of_a_command_on_another_cpu_is_its_answer(image: Image, line: str, answer: str) -> None:
    with Kernel.boot(image, load_machine("q35"), cpus=2) as kernel:
        cpus = Cpus(kernel)
        text = line.format(frame=kernel.alloc(zeroed=False)).encode("ascii") + b"\0"
        cells = cpus.table["cpus"][1]
        cells["line"][: len(text)] = np.frombuffer(text, np.uint8)
        cpus.run({1: Job(("call",), 1)})
        assert bytes(cells["answer"]).decode("ascii").startswith(answer)
        assert kernel.call("slot.get_refcount", kernel.alloc(zeroed=False))["v"] == 1
