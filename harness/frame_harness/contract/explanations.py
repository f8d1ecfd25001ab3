"""What a clause means to the people who write a module: why it is there, how to break it, how to keep it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import msgspec

from frame_harness.base.errors import HarnessError


class ExplanationError(HarnessError):
    """A text of explanations that cannot be read; one line says which clause and why."""


class Explanation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The texts of one clause; its words stand in the contract alone."""

    why: str
    """What relies on the clause."""
    breaks: str
    """What goes wrong in a kernel where it does not hold."""
    wrong: str
    """Rust that breaks it, a few lines made up for this purpose."""
    right: str
    """The same so that the clause holds."""
    concerns: tuple[str, ...]
    """Functions of the module to look at, by their paths; constants and types, too."""
    related: tuple[str, ...] = ()
    """Ids of other clauses, also of another contract."""


def parsed(text: str, source: str) -> Mapping[str, Explanation]:
    """Read the explanations of one TOML text, by clause; a paragraph becomes one line.

    Args:
        source: of the text, for a message.
    Raises:
        ExplanationError: it is no TOML, or an entry lacks a key or has one too many.
    """
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExplanationError("explanations", source, detail=str(error)) from error
    return {id_: _entry(id_, entry, source) for id_, entry in entries.items()}


def _entry(id_: str, entry: object, source: str) -> Explanation:
    try:
        found = msgspec.convert(entry, Explanation)
    except msgspec.ValidationError as error:
        raise ExplanationError("explanations", f"{source}, {id_}", detail=str(error)) from error
    return msgspec.structs.replace(
        found,
        why=" ".join(found.why.split()),
        breaks=" ".join(found.breaks.split()),
        wrong=found.wrong.strip("\n"),
        right=found.right.strip("\n"),
    )
