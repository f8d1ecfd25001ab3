"""What a check says when a clause does not hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr
from frame_harness.guest.boot_options import BootOptions
from frame_harness.guest.errors import SubjectPanic
from frame_harness.judge.diagrams import Diagram

_NUMBER: Final = re.compile(r"0x[0-9a-f]+|\d+")
_DIGITS: Final = re.compile("[0-9a-fx]+")


class Shows(Protocol):
    """Commands that show a violation on a guest as after boot."""

    @property
    def options(self) -> BootOptions:
        """What the guest was booted with."""

    def lines_on(self, address_of: Callable[[str], int]) -> Sequence[str]:
        """The commands, for a guest that has its vtables at these addresses."""


@dataclass(frozen=True)
class Values:
    """Fields as numbers, by their names: before the last command where known, as they should be, as they are.

    `payload` counts bytes of a frame's content that are wrong. `first` and `last` are the ends of a
    range of physical addresses.
    """

    expected: Mapping[str, int]
    got: Mapping[str, int]
    before: Mapping[str, int] = field(default_factory=dict)


class ClauseViolated(AssertionError):
    """The subject breaks a promise; the parts stay readable for reports.

    Attributes:
        shown_by: what shows it, of a check whose guests are gone.
        frame: physical address of the frame it shows on, if any.
        field: the slot's field, or `payload`.
        exhibit: text that is shown as it is, such as a layout map.
        at: `file:line` in the subject, where it is known better than by the function that the check blames.
        function: path of the subject's item that is to blame, where the check's marker does not say it:
            `MetaSlot::inc_ref`, `meta_guard::POISONED`.
        calls: paths of the functions that were called, where that happened out of the check's own sight.
        breaks: the clauses that are broken, of a check that looks at others, too; empty means all of them.
        diagram: what the CPUs did, where the violation takes several of them.
        values: what was expected and got as numbers, where they are fields.
        slot: all bytes of the frame's slot as the check saw it, where they may be others by now.
        panicked: what was got is a panic.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: str,
        got: str,
        frame: Paddr | None = None,
        field: str = "",
        exhibit: str = "",
        at: str = "",
        function: str = "",
        calls: Iterable[str] = (),
        breaks: Iterable[str] = (),
        diagram: Diagram | None = None,
        values: Values | None = None,
        slot: bytes = b"",
        panicked: bool = False,
        shown_by: Shows | None = None,
    ) -> None:
        self.diagram, self.shown_by = diagram, shown_by
        self.what, self.expected, self.got = what, expected, got
        self.frame, self.field, self.exhibit, self.at = frame, field, exhibit, at
        self.function, self.calls, self.breaks = function, frozenset(calls), tuple(breaks)
        self.values, self.slot, self.panicked = values, slot, panicked
        where = "" if frame is None else f" on frame {frame:#x}"
        where += f" ({field})" if field else ""
        text = f"{what}{where}: expected {expected}, got {got}"
        super().__init__(f"{text}\n{exhibit}" if exhibit else text)


class OtherClauseViolated(ClauseViolated):
    """A clause is broken that the check may not look at; it cannot tell whether its own holds.

    Attributes:
        clause: the one that is broken.
        incidental: a call failed by which the check wanted to get somewhere.
    """

    def __init__(
        self,
        clause: str,
        what: str,
        *,
        expected: str,
        got: str,
        frame: Paddr | None = None,
        field: str = "",
        exhibit: str = "",
        at: str = "",
        function: str = "",
        calls: Iterable[str] = (),
        diagram: Diagram | None = None,
        values: Values | None = None,
        slot: bytes = b"",
        panicked: bool = False,
        incidental: bool = False,
    ) -> None:
        super().__init__(
            what, expected=expected, got=got, frame=frame, field=field, exhibit=exhibit, at=at,
            function=function, calls=calls, breaks=(clause,), diagram=diagram, values=values, slot=slot,
            panicked=panicked,
        )  # fmt: skip
        self.clause, self.incidental = clause, incidental


class ImpossibleValue(OtherClauseViolated):
    """A value of the guest leads nowhere, whatever it was read for; `clause` promises otherwise."""


class NotEvaluated(HarnessError):
    """A check cannot tell whether its clause holds; the text says why, and what to do. Never a PASS."""


def expect(
    what: str,
    got: Any,
    expected: Any,
    *,
    base: int = 10,
    frame: Paddr | None = None,
    field: str = "",
    function: str = "",
    clause: str = "",
) -> None:
    """Require equality.

    Args:
        base: 16 shows integers as addresses or bit masks.
        frame: physical address of the frame that `got` was read from.
        function: path of the subject's item to blame, where the check's marker names another one.
        clause: what is broken then, in a check that looks at several clauses.
    Raises:
        ClauseViolated: they differ.
    """
    if got != expected:
        raise ClauseViolated(
            what,
            expected=_show(expected, base),
            got=_show(got, base),
            frame=frame,
            field=field,
            function=function,
            breaks=(clause,) if clause else (),
            values=_of_a_field(field, got, expected),
        )


def _of_a_field(field: str, got: object, expected: object) -> Values | None:
    """Both as numbers, where they are those of a field."""
    wanted, found = _number(expected), _number(got)
    return None if not field or wanted is None or found is None else Values({field: wanted}, {field: found})


def _number(value: object) -> int | None:
    """A number of 64 bits, numpy's included; None where it is none. A truth value is none."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return None
    return int(value) if 0 <= int(value) < 1 << 64 else None


def _show(value: Any, base: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and base == 16:
        return f"{value:#x}"
    if isinstance(value, tuple | list):
        inside = ", ".join(_show(item, base) for item in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    return str(value)


@dataclass
class Call:
    """What became of the calls inside `expect_loud`."""

    panic: SubjectPanic | None = field(default=None)

    @property
    def panicked(self) -> bool:
        """Whether a call inside panicked; it ended the block."""
        return self.panic is not None


@contextmanager
def expect_loud() -> Iterator[Call]:
    """Allow a panic: for calls that may refuse loudly; what they leave behind is for the caller to check."""
    call = Call()
    try:
        yield call
    except SubjectPanic as panic:
        call.panic = panic


@contextmanager
def expect_panic(what: str, *words: str, function: str = "") -> Iterator[None]:
    """Require a panic whose message has all the words, whatever their case.

    Args:
        words: each one a text, or several of which one suffices: `0x40|64`.
        function: path of the subject's item to blame, where the check's marker names another one.
    Raises:
        ClauseViolated: no panic, or one that does not say it.
    """
    try:
        yield
    except SubjectPanic as panic:
        missing = [word for word in words if not says(panic.message, word)]
        if missing:
            wish, got = f"a panic that names {_named(missing)}", f'the panic "{panic.message}"'
            raise ClauseViolated(what, expected=wish, got=got, function=function) from panic
    else:
        named = f" that names {_named(words)}" if words else ""
        raise ClauseViolated(what, expected=f"a panic{named}", got="no panic", function=function)


def says(message: str, words: str) -> bool:
    """Whether a message has one of some texts, `0x40|64`, whatever their case; a number stands by itself."""
    return any(_is_in(text.lower(), message.lower()) for text in words.split("|"))


def _is_in(text: str, message: str) -> bool:
    if not _NUMBER.fullmatch(text):
        return text in message
    prefix, digits = ("0x", text[2:]) if text.startswith("0x") else ("", text)
    heads = (one.removesuffix(digits) for one in _DIGITS.findall(message) if one.endswith(digits))
    return any(head.startswith(prefix) and not head.removeprefix(prefix).strip("0") for head in heads)


def _named(words: Sequence[str]) -> str:
    return ", ".join(word.replace("|", " or ") for word in words)


def number(value: int) -> str:
    """A number for `expect_panic`, in hexadecimal or decimal, as the subject likes."""
    return f"{value:#x}|{value}"
