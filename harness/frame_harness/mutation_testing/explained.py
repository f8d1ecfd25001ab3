"""Why mutants may survive: a file of reasons that the owner of a subject writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from frame_harness.base.errors import UsageError
from frame_harness.base.reading import bytes_of
from frame_harness.mutation.mutants import Mutant


class SurvivorExplanation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a mutant may survive.

    Attributes:
        mutant: its key.
        function: that it is in.
        equivalent: nothing can tell it from the subject, although it is compiled to other machine code.
    """

    mutant: str
    function: str
    why: str
    equivalent: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    survivor: tuple[SurvivorExplanation, ...] = ()


def load(path: Path) -> dict[str, SurvivorExplanation]:
    """Read the reasons of a TOML file, by the mutants' keys; the tables are called `survivor`.

    Raises:
        UsageError: the file cannot be read, or says something else; or a reason is empty or doubled.
    """
    try:
        entries = msgspec.toml.decode(bytes_of(path), type=_File).survivor
    except (OSError, ValueError, RecursionError) as error:  # brackets may be too deep
        detail = error.strerror if isinstance(error, OSError) else str(error)
        raise _wrong(path, str(detail)) from error
    found: dict[str, SurvivorExplanation] = {}
    for one in entries:
        if not one.why.strip():
            raise _wrong(path, f"{one.mutant}: no reason")
        if one.mutant in found:
            raise _wrong(path, f"{one.mutant}: two reasons")
        found[one.mutant] = one
    return found


def reason_for(mutant: Mutant, reasons: Mapping[str, SurvivorExplanation]) -> SurvivorExplanation | None:
    """The reason why a mutant may survive; None without one, or where it is about another function."""
    reason = reasons.get(mutant.key)
    return reason if reason is not None and reason.function == mutant.function else None


def idle(
    reasons: Mapping[str, SurvivorExplanation], made: Collection[Mutant], survivors: Collection[str]
) -> tuple[str, ...]:
    """Say of each reason why nobody needs it; of mutants that were not chosen nothing is known.

    Args:
        reasons: by the keys of the mutants that they are for.
        made: all mutants of the subject.
        survivors: the keys of those that survived, or were not judged.
    """
    functions = {one.key: one.function for one in made}
    gone = [f"{key}: no such mutant is made of this text" for key in reasons if key not in functions]
    other = [
        f"{key}: it is in {functions[key]}, not in {one.function}"
        for key, one in reasons.items()
        if functions.get(key, one.function) != one.function
    ]
    killed = [f"{key}: it did not survive" for key in reasons if key in functions and key not in survivors]
    return (*gone, *other, *killed)


def _wrong(path: Path, detail: str) -> UsageError:
    return UsageError(
        "--explained", str(path), detail=detail,
        next_step="write tables [[survivor]] with mutant, function, why; the first two as a report has them; "
        "equivalent = true where nothing can tell it from the subject",
    )  # fmt: skip
