"""Why mutants may survive: a file of reasons that the owner of a subject writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from frame_harness.base.errors import UsageError
from frame_harness.mutation.mutants import Mutant


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key of a mutant, the function that it is in, the reason."""

    mutant: str
    function: str
    why: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    survivor: tuple[_Entry, ...] = ()


def load(path: Path) -> dict[str, str]:
    """Read the reasons of a TOML file, by the mutants' keys; the tables are called `survivor`.

    Raises:
        UsageError: the file cannot be read, or says something else; or a reason is empty or doubled.
    """
    try:
        entries = msgspec.toml.decode(path.read_bytes(), type=_File).survivor
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        detail = error.strerror if isinstance(error, OSError) else str(error)
        raise _wrong(path, str(detail)) from error
    found: dict[str, str] = {}
    for one in entries:
        if not one.why.strip():
            raise _wrong(path, f"{one.mutant}: no reason")
        if one.mutant in found:
            raise _wrong(path, f"{one.mutant}: two reasons")
        found[one.mutant] = one.why
    return found


def idle(reasons: Mapping[str, str], made: Collection[Mutant], survivors: Collection[str]) -> tuple[str, ...]:
    """Say of each reason why nobody needs it; of mutants that were not chosen nothing is known.

    Args:
        made: all mutants of the subject.
        survivors: the keys of those that survived, or were not judged.
    """
    keys = {one.key for one in made}
    gone = [f"{key}: no such mutant is made of this text" for key in reasons if key not in keys]
    killed = [f"{key}: it did not survive" for key in reasons if key in keys and key not in survivors]
    return (*gone, *killed)


def _wrong(path: Path, detail: str) -> UsageError:
    return UsageError(
        "--explained", str(path), detail=detail,
        next_step="write tables [[survivor]] with mutant, function, why; the first two as a report has them",
    )  # fmt: skip
