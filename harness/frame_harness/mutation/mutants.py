"""What a mutant is: one edit of one file, with the operator that made it."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from frame_harness.base.record import Record

KEY_DIGITS: Final = 12


class Operator(StrEnum):
    """A way to change code; `SENTENCES` says what each does."""

    # What cargo-mutants makes.
    FUNCTION_VALUE = "function-value"
    ARITHMETIC = "arithmetic"
    COMPARISON = "comparison"
    LOGICAL = "logical"
    ASSIGNMENT = "assignment"
    UNARY = "unary"
    MATCH_ARM = "match-arm"
    MATCH_GUARD = "match-guard"
    STRUCT_FIELD = "struct-field"
    # What else is usual.
    CONDITION = "condition"
    BOOLEAN = "boolean"
    LITERAL = "literal"
    STATEMENT_DROPPED = "statement-dropped"
    EARLY_RETURN_DROPPED = "early-return-dropped"
    CHECK_DROPPED = "check-dropped"
    # What code of frames needs.
    ORDERING = "ordering"
    FAILURE_ORDERING = "failure-ordering"
    RMW_SPLIT = "rmw-split"
    FENCE_DROPPED = "fence-dropped"
    BIT = "bit"
    STORE_DROPPED = "store-dropped"
    STORES_SWAPPED = "stores-swapped"
    RANGE_END = "range-end"
    FIRST_LEFT_OUT = "first-left-out"
    LAST_LEFT_OUT = "last-left-out"
    NARROWED = "narrowed"
    WRONG_FIELD = "wrong-field"
    WRONG_CONSTANT = "wrong-constant"
    ARGUMENTS_SWAPPED = "arguments-swapped"
    MIN_MAX = "min-max"
    OVERFLOW = "overflow"
    LOCK_RELEASED = "lock-released"


SENTENCES: Final[Mapping[Operator, str]] = {
    Operator.FUNCTION_VALUE: "A function returns a fixed value of its type and does nothing else.",
    Operator.ARITHMETIC: "An arithmetic, bit or shift operator is replaced by another.",
    Operator.COMPARISON: "A comparison is replaced by another.",
    Operator.LOGICAL: "`&&` and `||` are exchanged.",
    Operator.ASSIGNMENT: "An assignment with an operator is made with another one.",
    Operator.UNARY: "A negation is left out.",
    Operator.MATCH_ARM: "An arm of a match is left out, where another one takes every value.",
    Operator.MATCH_GUARD: "The guard of an arm is always true, or never.",
    Operator.STRUCT_FIELD: "A field is left to the base of its structure's expression.",
    Operator.CONDITION: "A condition is always true, or never.",
    Operator.BOOLEAN: "`true` and `false` are exchanged.",
    Operator.LITERAL: "An integer literal is one more, or one less.",
    Operator.STATEMENT_DROPPED: "A call whose value nobody uses is left out.",
    Operator.EARLY_RETURN_DROPPED: "An `if` that only leaves the function or the loop is left out.",
    Operator.CHECK_DROPPED: "An assertion, another `if`, or the `?` behind a value is left out.",
    Operator.ORDERING: "A memory ordering is one step weaker.",
    Operator.FAILURE_ORDERING: "The ordering of a failed exchange is one step weaker.",
    Operator.RMW_SPLIT: "An atomic read-modify-write is a load, then a store.",
    Operator.FENCE_DROPPED: "A fence is left out.",
    Operator.BIT: "A mask or a constant differs in one bit.",
    Operator.STORE_DROPPED: "A store or an assignment is left out.",
    Operator.STORES_SWAPPED: "Two statements, one behind the other, change places.",
    Operator.RANGE_END: "A range takes its end in, or leaves it out.",
    Operator.FIRST_LEFT_OUT: "The first index, or the first value of an iterator, is left out.",
    Operator.LAST_LEFT_OUT: "The last index, or the last value of an iterator, is left out.",
    Operator.NARROWED: "A value goes through an integer of 8 or 16 bits.",
    Operator.WRONG_FIELD: "Another field of the same type is used.",
    Operator.WRONG_CONSTANT: "Another constant of the same module, or variant of the same enum, is used.",
    Operator.ARGUMENTS_SWAPPED: "Two arguments of the same type change places.",
    Operator.MIN_MAX: "`min` and `max` are exchanged.",
    Operator.OVERFLOW: "Arithmetic that wraps, saturates or checks does another of these.",
    Operator.LOCK_RELEASED: "A lock that is held to the end of a block is released at once.",
}
"""What each operator does."""


class Mutant(Record, frozen=True, kw_only=True):
    """One edit of one file.

    Attributes:
        key: follows from the file's name, the function, the operator, the edit and the text of the line that
            it begins in, not from where that stands.
        file: as `mutants_of` was given it.
        start: of the replaced bytes.
        end: of the replaced bytes, not included.
        line: from 1.
        column: from 1, in characters.
        function: path in the file, as `MetaSlot::dec_ref`; of a constant or a static its own.
        before: the replaced text.
        after: what stands there instead.
    """

    key: str
    operator: Operator
    file: str
    start: int
    end: int
    line: int
    column: int
    function: str
    before: str
    after: str


class WrongText(ValueError):
    """A mutant is applied to a text that it was not made of."""


def keyed(mutants: Sequence[Mutant], texts: Mapping[str, bytes]) -> list[Mutant]:
    """Give mutants their keys; those of the same edit of the same line are told apart by their order."""
    seen: Counter[tuple[str, ...]] = Counter()
    found = []
    for one in mutants:
        line = " ".join(_line_around(texts[one.file], one.start).split())
        what = (one.file, one.function, one.operator.value, one.before, one.after, line)
        number, seen[what] = seen[what], seen[what] + 1
        digest = hashlib.sha256("\0".join((*what, str(number))).encode()).hexdigest()
        found.append(replace(one, key=digest[:KEY_DIGITS]))
    return found


def _line_around(text: bytes, at: int) -> str:
    begin, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
    return text[begin : end if end >= 0 else len(text)].decode()


def applied(text: bytes, mutant: Mutant) -> bytes:
    """Return the text of a file with the edit made.

    Raises:
        WrongText: the mutant was made of another text.
    """
    if text[mutant.start : mutant.end] != mutant.before.encode():
        raise WrongText(f"mutant {mutant.key}: {mutant.file} is not the text that it was made of")
    return text[: mutant.start] + mutant.after.encode() + text[mutant.end :]


def diff(text: bytes, mutant: Mutant) -> str:
    """Return the edit as a unified diff with three lines around it."""
    old, new = (data.decode("utf-8").splitlines(keepends=True) for data in (text, applied(text, mutant)))
    lines = difflib.unified_diff(old, new, f"a/{mutant.file}", f"b/{mutant.file}")
    ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(ended)


def sampled(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Choose some mutants, in their order: evenly over operators, then over functions.

    Args:
        seed: chooses others, where there are others.
    """
    shuffled = sorted(mutants, key=lambda one: hashlib.sha256(f"{seed} {one.key}".encode()).digest())
    left: dict[Operator, list[Mutant]] = defaultdict(list)
    for one in shuffled:
        left[one.operator].append(one)
    operators = sorted(left, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    chosen: set[str] = set()
    used: Counter[str] = Counter()
    while len(chosen) < min(count, len(mutants)):
        for operator in operators:
            if left[operator] and len(chosen) < count:
                one = min(left[operator], key=lambda each: used[each.function])
                left[operator].remove(one)
                used[one.function] += 1
                chosen.add(one.key)
    return [one for one in mutants if one.key in chosen]
