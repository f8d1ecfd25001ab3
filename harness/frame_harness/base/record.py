"""What values that travel as JSON have in common."""

import msgspec


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen value whose JSON form must have these fields and no other."""
