"""Proves that histories in batches find what one command at a time finds, and tell it in the same words."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from frame_harness.base.units import Pfn
from frame_harness.frame_histories import campaign as campaigns
from frame_harness.frame_histories.ahead import Ahead, Mismatch
from frame_harness.frame_histories.boot_configs import ISLANDS
from frame_harness.frame_histories.campaign import QUICK_HISTORIES, QUICK_SEED, campaign, is_played_both_ways
from frame_harness.frame_histories.differences import HistoryDifference
from frame_harness.frame_histories.generator import Generator
from frame_harness.frame_histories.history import HistoryFailure, play_again, play_random
from frame_harness.frame_histories.lockstep import Lockstep, OwnHost
from frame_harness.frame_histories.steps import Step
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import GuestFailure, GuestTimeout
from frame_harness.image.build import build
from frame_harness.image.subject import Subject
from frame_harness.machine.definition import load_machine
from tests.support.history_mutants import AFTER_REFILL, KEEPS_POISONED, POISON_IN_CACHE
from tests.support.mutants import Edit, broken_here

LENGTH = 200
NARROW_HINT: Edit = ("meta_aux.store(v, Relaxed)", "meta_aux.store(v & 0xffff, Relaxed)")
WRONG_COUNT: Edit = ("self.refcount.store(count, Release)", "self.refcount.store(count & !4, Release)")
BEYOND_THE_END: tuple[Edit, ...] = (
    (
        "impl MetaSlot {\n",
        "impl MetaSlot {\n    fn stray(&self) -> &Self {\n"
        "        unsafe { &*ptr::from_ref(self).wrapping_add(40) }\n    }\n",
    ),
    ("self.meta_aux.store(v, Relaxed)", "self.stray().meta_aux.store(v, Relaxed)"),
)
"""A hint is stored in the slot of a frame that nobody named: nobody looks at it before the end of a batch."""
HANGING_HINT: tuple[Edit, ...] = (("self.meta_aux.store(v, Relaxed)", "loop { core::hint::spin_loop() }"),)


def host(subject: Subject) -> OwnHost:
    return OwnHost(build(subject, "release"), load_machine("microvm"))


def one_by_one(lockstep: Lockstep, seed: str) -> HistoryFailure | None:
    """The same history as `play_random` plays, without any batch."""
    written: list[Step] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ahead, "run", lambda ahead: ahead.planned.clear())
        patch.setattr(Lockstep, "judge", lambda _: None)
        generator = Generator(random.Random(seed))
        write = generator.next

        def noted(model: object) -> Step:
            written.append(write(model))  # type: ignore[arg-type]
            return written[-1]

        patch.setattr(generator, "next", noted)
        play_random(lockstep, generator, LENGTH)
    return play_again(lockstep, written)


def told(failure: HistoryFailure | None) -> object:
    return failure and (failure.clause, failure.difference, failure.commands, failure.blame, failure.seen)


@pytest.mark.parametrize(
    ("edits", "most"),
    [
        pytest.param(AFTER_REFILL.edits, 10, id="after-refill"),
        pytest.param(POISON_IN_CACHE.edits, 10, id="poison-in-cache"),
        pytest.param((NARROW_HINT,), 6, id="narrow-hint"),
        pytest.param((WRONG_COUNT,), 6, id="wrong-count"),
        pytest.param(BEYOND_THE_END, 6, id="a-slot-that-nobody-named"),
    ],
)
def test_a_finding_is_told_as_one_command_at_a_time_tells_it(edits: tuple[Edit, ...], most: int) -> None:
    n_found = 0
    with Lockstep(host(frame_module(broken_here(edits))), ISLANDS) as lockstep:
        for seed in range(most):
            found = play_random(lockstep, Generator(random.Random(f"9:{seed}")), LENGTH)
            assert told(found) == told(one_by_one(lockstep, f"9:{seed}"))
            assert found is None or not found.only_in_batch
            n_found += found is not None
    assert n_found


@dataclass(frozen=True)
class NotingHost(OwnHost):
    """Keeps what its guests ended in."""

    ends: list[GuestFailure] = field(default_factory=list)

    def note_failure(self, failure: GuestFailure) -> None:
        self.ends.append(failure)


def test_a_command_that_hangs_in_a_batch_is_named_and_its_host_is_told() -> None:
    """Where two have hung, the many of a history that is shortened get a tenth of the time."""
    machine = load_machine("microvm").override(limits={"request_cpu_s": 0.5})
    subject = frame_module(broken_here(HANGING_HINT))
    noting = NotingHost(build(subject, "release"), machine)
    with Lockstep(noting, ISLANDS) as lockstep:
        for seed in range(9):
            if found := play_random(lockstep, Generator(random.Random(seed)), LENGTH):
                break
    assert found is not None and found.difference.kind == "crash"
    assert found.commands[-1].op.words == "slot.meta_aux_store"
    # In a batch, then one command at a time.
    assert [type(failure) for failure in noting.ends] == [GuestTimeout, GuestTimeout]


@pytest.fixture
def lockstep() -> Iterator[Lockstep]:
    with Lockstep(host(frame_module()), ISLANDS) as lockstep:
        yield lockstep


def once(wrong: Mismatch) -> Callable[[Ahead], Mismatch | None]:
    """A batch that is not as predicted, whatever the guest does."""
    run = Ahead.run

    def spoilt(ahead: Ahead) -> Mismatch | None:
        prediction = ahead.planned[0].prediction if ahead.planned else None
        return run(ahead) or Mismatch(wrong.difference, wrong.at, prediction)

    return spoilt


SLOT = HistoryDifference(
    "slot", "slot of frame 0x1000, flags", "0x1", "0x2", pfn=Pfn(1), field="flags", values=(1, 2)
)


@pytest.mark.parametrize("at", [0, None])
def test_what_only_a_batch_shows_is_a_finding(monkeypatch: pytest.MonkeyPatch, at: int | None) -> None:
    monkeypatch.setattr(Ahead, "run", once(Mismatch(SLOT, at)))
    tally = campaign(host(frame_module()), 1, lambda tally: not tally.found and tally.histories < 3)
    [found] = tally.found.values()
    assert found.failure.only_in_batch
    assert "(in a batch, not one by one): expected 0x1, got 0x2" in found.script.text
    assert found.length == len(found.script.commands), "it cannot be shortened"


def test_what_a_batch_does_not_see_is_found_by_the_share_that_is_played_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Ahead.run

    def blind_run(ahead: Ahead) -> None:
        run(ahead)

    monkeypatch.setattr(Ahead, "run", blind_run)
    blind = host(frame_module(broken_here([NARROW_HINT])))
    monkeypatch.setattr(campaigns, "is_played_both_ways", lambda _: True)
    assert set(campaign(blind, 1, lambda tally: tally.histories < 6).found) == {"FRAME-08"}


BEYOND_16M = "            if frame.start_address.as_u64() >= 1 << 24 {\n"
KEEPS_SOME = BEYOND_16M.replace(">=", "<") + KEEPS_POISONED[0] + "            }\n"


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(KEEPS_POISONED, id="all"),
        pytest.param((KEEPS_POISONED[0], KEEPS_SOME), id="some-of-those-of-one-command"),
    ],
)
def test_a_module_that_keeps_poisoned_frames_cuts_few_histories_off(edit: Edit) -> None:
    """The model cannot follow it from there on; others offer poison all the same, which GUARD-08 is about."""
    keeping = host(frame_module(broken_here([edit])))
    tally = campaign(keeping, QUICK_SEED, lambda tally: tally.histories < 2 * QUICK_HISTORIES)
    assert (tally.cut_off, tally.found) == (4, {})


def test_a_module_that_keeps_some_poisoned_frames_and_hands_out_others_is_found() -> None:
    """The first history that meets poison is cut off, which clears the module of nothing that others meet."""
    hands_out = f"{BEYOND_16M}                return Ok(frame);\n            }}\n"
    mixed = host(frame_module(broken_here([(KEEPS_POISONED[0], hands_out)])))
    tally = campaign(
        mixed, QUICK_SEED, lambda tally: not tally.found and tally.histories < 2 * QUICK_HISTORIES
    )
    assert (tally.cut_off, set(tally.found)) == (1, {"GUARD-08"})


def test_what_the_suite_plays_is_in_part_played_both_ways() -> None:
    both = [n for n in range(QUICK_HISTORIES) if is_played_both_ways(f"{QUICK_SEED}:{n}")]
    assert 0 < len(both) < QUICK_HISTORIES
    share = sum(is_played_both_ways(f"7:{n}") for n in range(10_000)) / 10_000
    assert 1 / 40 < share < 1 / 25


def test_a_batch_and_its_looks_pass_on_the_builtin_module(lockstep: Lockstep) -> None:
    for seed in range(8):
        found = play_random(lockstep, Generator(random.Random(seed)), LENGTH, both_ways=seed < 2)
        assert found is None, found
