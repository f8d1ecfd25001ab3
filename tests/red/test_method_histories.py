"""Proves that random sequences of calls find what no single call shows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.boundaries import play
from frame_harness.guest.checks import ClauseViolated
from frame_harness.histories.method_history import check
from frame_harness.histories.method_stage import SLOTS, MethodStage, Unforeseen
from frame_harness.image.build import build
from frame_harness.image.subject import Subject
from frame_harness.machine.definition import load_machine
from tests.support.mutants import Edit, broken

CALLS = 300

POISON_AFTER_FLAGS: tuple[Edit, ...] = (
    (
        "impl MetaSlot {\n",
        "static WRITTEN: atomic::AtomicUsize = atomic::AtomicUsize::new(0);\n\nimpl MetaSlot {\n",
    ),
    (
        "        self.flags.store(flags, Release)\n",
        "        WRITTEN.store(ptr::from_ref(self).addr(), Relaxed);\n"
        "        self.flags.store(flags, Release)\n",
    ),
    (
        "        self.fetch_or_guard(meta_guard::POISONED);\n",
        "        self.fetch_or_guard(meta_guard::POISONED);\n"
        "        if WRITTEN.swap(0, Relaxed) == ptr::from_ref(self).addr() {\n"
        "            return;\n"
        "        }\n",
    ),
)
"""Flags that were the last thing written to any slot stay as they are when their frame is poisoned."""

FLAGS_OF_THE_NEXT_SLOT: tuple[Edit, ...] = (
    (
        "        self.flags.store(flags, Release)\n",
        "        unsafe { &*ptr::from_ref(self).wrapping_add(1) }.order.store(0x5a, Relaxed);\n"
        "        self.flags.store(flags, Release)\n",
    ),
)
"""Storing flags writes to the neighbor, too."""


def booting(subject: Subject) -> Callable[[], Kernel]:
    image = build(subject, "release")
    return lambda: Kernel.boot(image, load_machine("microvm"), init="array")


@pytest.fixture(scope="module")
def boot() -> Callable[[], Kernel]:
    return booting(frame_module(broken(POISON_AFTER_FLAGS)))


@pytest.fixture
def kernel(boot: Callable[[], Kernel]) -> Iterator[Kernel]:
    with boot() as kernel:
        yield kernel


def test_no_single_call_shows_the_bug(kernel: Kernel) -> None:
    for method in FRAME_METADATA.methods:
        play(kernel, method)


def test_a_sequence_shows_it_in_two_calls(kernel: Kernel, boot: Callable[[], Kernel]) -> None:
    with pytest.raises(ClauseViolated) as seen:
        check(kernel, boot, "GUARD-02", CALLS, seed=1)
    assert (seen.value.breaks, seen.value.field) == (("GUARD-02",), "flags")
    assert seen.value.function == "MetaSlot::mark_poisoned"
    first, last = (line.split()[:2] for line in kernel.commands)
    assert (first[0], last[0]) == ("slot.set_flags", "slot.mark_poisoned")
    assert first[1] == last[1], "both are about one slot"


def test_a_clause_that_the_bug_leaves_alone_is_held(kernel: Kernel, boot: Callable[[], Kernel]) -> None:
    for clause in ("GUARD-01", "REF-01"):
        check(kernel, boot, clause, CALLS, seed=1)


def test_rounds_that_run_ahead_are_those_that_run_one_by_one(kernel: Kernel) -> None:
    """Both ways draw the same calls, get the same answers, and stop at the same one."""
    slot = dict.fromkeys(kernel.image.subject.contract.slot.widths, 0)
    stage = MethodStage(kernel, [slot] * SLOTS, "GUARD-02")
    by_one = stage.play_random(random.Random(1), CALLS)
    ahead = stage.play_ahead(kernel.program, random.Random(1), CALLS)
    assert ahead is not None and by_one is not None
    assert (ahead.steps, ahead.lines) == (by_one.steps, by_one.lines)


def test_what_breaks_another_clause_is_left_to_a_history_of_single_rounds(kernel: Kernel) -> None:
    slot = dict.fromkeys(kernel.image.subject.contract.slot.widths, 0)
    with pytest.raises(Unforeseen):
        MethodStage(kernel, [slot] * SLOTS, "GUARD-01").play_ahead(kernel.program, random.Random(4), CALLS)


def test_what_does_not_show_again_is_told_with_all_its_calls(kernel: Kernel) -> None:
    with pytest.raises(ClauseViolated) as seen:
        check(kernel, booting(frame_module()), "GUARD-02", CALLS, seed=1)
    lines = seen.value.exhibit.splitlines()
    assert len(lines) > 2 and lines[-1].startswith("slot.mark_poisoned ")


def test_a_write_to_the_slot_beside_is_found() -> None:
    boot = booting(frame_module(broken(FLAGS_OF_THE_NEXT_SLOT)))
    with boot() as kernel:
        with pytest.raises(ClauseViolated, match="slot of a frame that no call named") as seen:
            check(kernel, boot, "LAYOUT-07", CALLS, seed=1)
        [line] = kernel.commands
    assert line.startswith("slot.set_flags ")
    assert seen.value.frame == int(line.split()[1], 0) + 0x1000
