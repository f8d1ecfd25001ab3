"""What values that travel as JSON have in common."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from frame_harness.base.units import Paddr

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=0)]
Address = Annotated[Paddr, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


def decode_json(data: str | bytes, type_: type[T]) -> T:
    """Read a value from JSON that somebody else wrote, or a disk kept.

    Raises:
        msgspec.DecodeError: it is no such value; nor is a text that is not UTF-8, or brackets without end.
    """
    try:
        return msgspec.json.decode(data, type=type_)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"text is not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise msgspec.DecodeError("brackets are too deep") from error


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen value whose JSON form must have these fields and no other."""
