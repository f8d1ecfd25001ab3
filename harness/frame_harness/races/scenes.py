"""What the slot holds when two operations begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Scene:
    """A state of the slot.

    Attributes:
        name: how a report calls it.
        changes: fields that differ from those of a frame in use; `None` leaves the slot of a free frame,
            which is handed out next, as it is.
        fields: what to write to the slot; a text is the name of an address. None for a free frame.
    """

    name: str
    changes: Mapping[str, int | str] | None
    fields: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def free(self) -> bool:
        """Whether the slot is that of a free frame, to which nothing is written."""
        return self.changes is None
