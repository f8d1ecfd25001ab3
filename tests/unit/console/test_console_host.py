"""What the console's own commands show: a slot in words, memory as a picture, fields that change."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from frame_harness.cli.console_map import COLUMNS, LINES, LOOKS, frames_of_a_sign, picture
from frame_harness.cli.console_slot import frame_words
from frame_harness.cli.main import cli
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_states import WORDS, FrameState, state_of_slot
from frame_harness.frame_metadata.slot_words import FLAGS, GUARDS, bits_in_words
from frame_harness.judge.exit_codes import ExitCode
from tests.support.synthetic import SLOT

FRAMES_OF_64_GIB = 1 << 24


def drawn(states: np.ndarray[tuple[int], np.dtype[np.uint8]], first: int = 0) -> list[str]:
    return [line.plain for line in picture(states, first, len(states))]


def rows(lines: list[str]) -> str:
    return "".join(line[20:] for line in lines if line.startswith("0x"))


def test_64_gib_fit_on_a_screen_and_one_poisoned_frame_is_seen() -> None:
    states = np.full(FRAMES_OF_64_GIB, FrameState.FREE, dtype=np.uint8)
    states[::2] = FrameState.USER
    states[12_345_678] = FrameState.POISONED
    lines = drawn(states)
    assert len(lines) <= 24 and max(map(len, lines)) <= 84
    assert rows(lines).count("P") == 1 and "  P poisoned: 1 frame, 4 KiB" in lines
    assert "+" in rows(lines) and any("the same on" in line for line in lines)


def test_every_state_has_a_sign_of_its_own() -> None:
    assert set(LOOKS) == set(WORDS) == set(FrameState)
    assert len({look.sign for look in LOOKS.values()} | {"+"}) == len(FrameState) + 1
    states = np.array(FrameState, dtype=np.uint8)
    assert rows(drawn(states)) == "".join(LOOKS[state].sign for state in FrameState)


def test_free_blocks_of_any_order_share_one_sign() -> None:
    states = np.array([FrameState.FREE + order for order in range(C.max_order + 1)], dtype=np.uint8)
    lines = drawn(states)
    assert rows(lines) == "-" * len(states)
    assert lines[-1] == f"  - free: {len(states)} frames, {4 * len(states)} KiB"


@given(st.lists(st.sampled_from(FrameState), min_size=1, max_size=3000), st.integers(0, 2999))
def test_picture_tells_how_many_frames_have_a_state(values: list[FrameState], first: int) -> None:
    first %= len(values)
    lines = drawn(np.array(values, dtype=np.uint8), first)
    for state in FrameState:
        told = [line for line in lines if line.startswith(f"  {LOOKS[state].sign} {WORDS[state]}: ")]
        count = values[first:].count(state)
        assert [line.split(": ")[1].split()[0] for line in told] == ([str(count)] if count else [])
    assert len(lines) <= LINES + 2 + len(FrameState)


@pytest.mark.parametrize(("frames", "each"), [(1, 1), (1024, 1), (1025, 2), (FRAMES_OF_64_GIB, 16384)])
def test_sign_stands_for_as_few_frames_as_fit(frames: int, each: int) -> None:
    assert frames_of_a_sign(frames) == each
    assert COLUMNS * LINES * each >= frames


def test_bits_have_the_contract_s_names() -> None:
    assert bits_in_words(C.flag_allocated | C.flag_user | 0x40, FLAGS) == "ALLOCATED USER 0x40"
    assert bits_in_words(C.guard_poisoned, GUARDS) == "POISONED"
    assert bits_in_words(0, FLAGS) == "none"
    assert len(FLAGS) == 9 and len(GUARDS) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"flags": C.flag_allocated | C.flag_user}, "live, user, order 3"),
        ({"flags": C.flag_allocated}, "live, no purpose named, order 3"),
        ({"flags": C.flag_free}, "free, order 3"),
        ({"flags": 0}, "neither free nor allocated"),
        ({"flags": C.flag_allocated, "guard": C.guard_poisoned, "refcount": 0}, "quarantined, order 3"),
        (
            {"flags": C.flag_allocated | C.flag_kernel | C.flag_poisoned, "guard": C.guard_poisoned},
            "poisoned (live, kernel, order 3)",
        ),
        ({"flags": C.flag_free, "guard": C.guard_poisoned}, "poisoned (free, order 3)"),
    ],
)
def test_frame_is_told_with_its_order_and_purpose(fields: dict[str, int], words: str) -> None:
    slot = np.zeros(1, dtype=SLOT)
    slot["refcount"], slot["order"] = 1, 3
    for name, value in fields.items():
        slot[name] = value
    flags, guard, refcount, order = (int(slot[name][0]) for name in ("flags", "guard", "refcount", "order"))
    assert (
        frame_words(slot[0], state_of_slot(flags=flags, guard=guard, refcount=refcount, order=order)) == words
    )


def said(lines: str, *words: str) -> list[str]:
    on = ("console", "--machine", "microvm", "--profile", "release", *words)
    run = CliRunner().invoke(cli, on, input=lines, env={"FRAME_RS": ""})
    assert run.exit_code == ExitCode.PASS, run.output
    return run.output.splitlines()


def test_a_session_may_use_the_host_s_commands() -> None:
    lines = said(
        "help\nalloc new purpose=user\nslot.poke 0x1060000 48 11\nslot 0x1060abc\n"
        "watch 0x1060000 refcount\nslot.inc_ref 0x1060000\n"
        "slot.get_flags 0x1060000\nwatch off\nslot.inc_ref 0x1060000\nmap\n"
        "map regions\nmap pfn:0x1060 0x1061000\n"
    )
    text = "\n".join(lines)
    assert "watch <frame> <field> - tell" in text and "buddy.drain - " in text and "map - show" not in text
    fields = dict(
        line.split(None, 1) for line in lines if line.startswith(("frame ", "flags", "refcount", "next"))
    )
    assert fields["frame"].split(None, 1)[1] == "pfn 0x1060: live, user, order 0"
    assert fields["flags"].split(None, 1)[1] == "ALLOCATED USER MOVABLE"
    assert fields["next"] == "0xffffffffffffffff  none"
    assert f"reserved_tail 11{'00' * 15}" in lines
    told = [line for line in lines if line.startswith("watch refcount of")]
    assert told == [
        "watch refcount of frame 0x1060000: 0x1",
        "watch refcount of frame 0x1060000: 0x1 → 0x2",
        "watch refcount of frame 0x1060000: 0x2, unchanged",
    ]
    assert "  A slot table: 96 frames, 384 KiB" in lines and "0x1000000 0x1060000 meta" in lines
    assert "4 KiB a sign, 256 KiB a line; frames 0x1060 to 0x1061" in lines
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("slot", "slot: expected one frame, got none"),
        ("slot zork", "frame: zork: expected a physical address"),
        ("slot 0x200000000", "frame: 0x200000000: expected one of the table's 6144"),
        ("slot pfn:-1", "frame: pfn:-1: expected one of the table's 6144"),
        ("watch 0x1000 zork", "watch: field: expected one of next, prev, vtable"),
        ("watch 0x1000", "watch: expected a frame and a field"),
        ("map 0x2000 0x1000", "map: expected the first frame, then the last"),
        ("map 1 2 3", "map: expected at most two frames"),
    ],
)
def test_line_that_makes_no_sense_gets_one_message(
    line: str, words: str, asked: dict[str, list[str]]
) -> None:
    [message, *more] = asked[line]
    assert message.startswith(words) and all(one.startswith("next: ") for one in more)


@pytest.fixture(scope="module")
def asked() -> dict[str, list[str]]:
    """What the console says to each wrong line, in one session; `const` answers between them."""
    lines = [
        "slot", "slot zork", "slot 0x200000000", "slot pfn:-1", "watch 0x1000 zork", "watch 0x1000",
        "map 0x2000 0x1000", "map 1 2 3",
    ]  # fmt: skip
    answers: dict[str, list[str]] = {}
    left = iter(said("const\n" + "".join(f"{line}\nconst\n" for line in lines)))
    next(one for one in left if one.startswith("ok PAGE_SIZE"))
    for line in lines:
        answers[line] = []
        for one in left:
            if one.startswith("ok PAGE_SIZE"):
                break
            answers[line].append(one)
    return answers


def test_guest_without_a_table_says_so_and_goes_on() -> None:
    lines = said("slot 0x1000\nmap\nmap regions\n", "--init", "none")
    assert sum(line.startswith("slot table: the metadata array does not exist yet") for line in lines) == 2
    assert lines[-1].startswith("ok regions=")


def test_guest_with_a_table_alone_has_a_picture() -> None:
    lines = said("map\n", "--init", "array")
    assert "  A slot table: 96 frames, 384 KiB" in lines
