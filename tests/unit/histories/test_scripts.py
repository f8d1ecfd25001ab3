"""Histories are shortened and saved as scripts as their modules say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.guest.boot_options import AS_USUAL, BootOptions
from frame_harness.histories.attribution import Blame
from frame_harness.histories.boot_configs import ISLANDS
from frame_harness.histories.commands import Command, Op, Recipe, VtableAt, decode
from frame_harness.histories.differences import HistoryDifference, Look
from frame_harness.histories.history import HistoryFailure
from frame_harness.histories.lockstep import BootConfig
from frame_harness.histories.scripts import FoundOn, Script, parse
from frame_harness.histories.shrink import shrink
from frame_harness.histories.steps import Got, Step
from frame_harness.steering.causes import Cause


def failure(clause: str, steps: Sequence[Step]) -> HistoryFailure:
    difference = HistoryDifference("slot", "", "", "")
    return HistoryFailure(Blame(clause, "", frozenset()), difference, tuple(steps), (), Look.AT_THE_END)


def test_history_is_shortened_to_the_steps_that_it_takes() -> None:
    """It takes an allocation, then its release; anything else is ballast."""
    history = [Step(number, Op.ALLOC, (Recipe("new", (bool(number % 2),)),)) for number in range(40)]
    history[30] = Step(30, Op.RELEASE, (Got(7, 3), 0))

    def play(steps: Sequence[Step]) -> HistoryFailure | None:
        known: set[int] = set()
        for at, step in enumerate(steps):
            if step.op is Op.RELEASE and 7 in known:
                return failure("X", steps[: at + 1])
            known.add(step.number)
        return None

    first = play(history)
    assert first is not None
    shortest = (Step(7, Op.ALLOC, (Recipe(),)), Step(30, Op.RELEASE, (Got(7), 0)))
    assert shrink(first, play).steps == shortest


def test_shortening_keeps_to_the_clause_it_began_with() -> None:
    def play(steps: Sequence[Step]) -> HistoryFailure | None:
        return failure("A" if len(steps) > 3 else "B", steps) if steps else None

    first = play([Step(number, Op.ALLOC, (Recipe(),)) for number in range(9)])
    assert first is not None
    assert len(shrink(first, play).steps) == 4


def test_shortening_keeps_to_the_cause_where_that_is_its_key() -> None:
    def play(steps: Sequence[Step]) -> HistoryFailure | None:
        if len(steps) > 5:
            return failure("A", steps)
        other = HistoryDifference("payload", "", "", "")
        return replace(failure("A", steps), difference=other) if steps else None

    first = play([Step(number, Op.ALLOC, (Recipe(),)) for number in range(9)])
    assert first is not None
    assert len(shrink(first, play).steps) == 1
    shortest = shrink(first, play, Cause.of)
    assert (len(shortest.steps), shortest.difference.kind) == (6, "slot")


# ---- scripts ----------------------------------------------------------------------------------------------


def script(boot_config: BootConfig = ISLANDS) -> Script:
    return Script(
        machine="q35", profile="dev", boot_config=boot_config,
        commands=(decode("alloc"), Command(Op.SET_VTABLE_BITS, (0x1000, VtableAt("both", 4)))),
        clause="VT-03", seen="words", subject=FoundOn("frame.rs", "0" * 64), seed="1:2",
        remarks={1: "expect success"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "boot_config", [ISLANDS, BootConfig("whole", AS_USUAL), BootConfig("small", BootOptions(ram="8 MiB"))]
)
def test_script_is_read_back_as_it_was_written(boot_config: BootConfig) -> None:
    assert parse(script(boot_config).text, "x") == replace(script(boot_config), remarks={})


def test_script_is_saved_by_clause_profile_and_module() -> None:
    assert script().file_name == "VT-03-dev-00000000.txt"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty file"),
        ("alloc\n", "first line"),
        ("# frame-harness script 1\n# machine: q35\nalloc\n", "profile"),
        ("# frame-harness script 1\n# machine: q35\n# profile: dev\n# ramtop: high\n", "high"),
    ],
)
def test_file_that_is_no_script_is_refused_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(text, "x")
