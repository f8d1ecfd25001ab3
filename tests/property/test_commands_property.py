"""Every command of a history survives the way to its line and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from frame_harness.frame_histories.commands import (
    PURPOSES,
    STARTS,
    VTABLES,
    Command,
    CommandOperand,
    Op,
    OperandKind,
    Recipe,
    ScriptError,
    VtableAt,
    decode,
    encode,
)
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import Purpose, custom

WORDS = st.integers(0, 2**64 - 1)
CALLS: st.SearchStrategy[bool | Purpose] = st.one_of(
    st.booleans(), st.sampled_from([*PURPOSES.values()]), st.builds(custom, st.integers(0, 2**32 - 1))
)
OPERANDS: dict[OperandKind, st.SearchStrategy[CommandOperand]] = {
    OperandKind.FRAME: WORDS,
    OperandKind.ORDER: st.integers(0, 20),
    OperandKind.COUNT: WORDS,
    OperandKind.BITS: st.one_of(WORDS, st.builds(VtableAt, st.sampled_from([*VTABLES]), st.integers(0, 9))),
    OperandKind.FRAMES: WORDS,
    OperandKind.MIGRATETYPE: st.sampled_from(Migratetype),
    OperandKind.RECIPE: st.builds(Recipe, st.sampled_from(["", *STARTS]), st.lists(CALLS).map(tuple)),
}


@st.composite
def commands(draw: st.DrawFn) -> Command:
    op = draw(st.sampled_from(Op))
    kinds = op.kinds[:-1] if OperandKind.FRAMES in op.kinds and draw(st.booleans()) else op.kinds
    return Command(op, tuple(draw(OPERANDS[kind]) for kind in kinds))


@given(commands())
def test_a_command_is_read_back_as_it_was_written(command: Command) -> None:
    assert decode(encode(command)) == command


@given(commands(), st.sampled_from([" ", "\t", "   "]))
def test_space_between_words_says_nothing(command: Command, space: str) -> None:
    assert decode(space.join(["", *encode(command).split(), ""])) == command


@given(
    st.lists(st.sampled_from([*(op.words for op in Op), "0x10", "1", "@both+4", "movable", "zeroed=1", "x"]))
)
def test_a_line_is_a_command_or_refused_with_the_line(words: list[str]) -> None:
    line = " ".join(words)
    try:
        command = decode(line)
    except ScriptError as error:
        assert error.which == line
    else:
        assert decode(encode(command)) == command
