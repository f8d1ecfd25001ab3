"""What values that travel as JSON have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec

from frame_harness.base.units import Paddr

Count = Annotated[int, msgspec.Meta(ge=0)]
Address = Annotated[Paddr, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen value whose JSON form must have these fields and no other."""
