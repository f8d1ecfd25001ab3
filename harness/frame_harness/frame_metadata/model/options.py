"""The builder calls of an allocation, as a user makes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Migratetype


@dataclass(frozen=True)
class Purpose:
    """What a frame is for; `custom` alone carries flags of its own."""

    name: str
    custom_flags: int = 0

    def flags(self, movable: bool = True) -> int:
        """ALLOC-02; of a module that knows MOVABLE frames, or of an older one."""
        own = {
            "pagetable": C.flag_kernel,
            "kernel": C.flag_kernel,
            "user": C.flag_user | (C.flag_movable if movable else 0),
            "custom": self.custom_flags,
        }
        return own[self.name] | C.flag_allocated

    @property
    def requires_zero(self) -> bool:
        """Whether the payload is zeroed whatever the caller asks for (ALLOC-03)."""
        return self.name == "pagetable"


PAGE_TABLE = Purpose("pagetable")
KERNEL_DATA = Purpose("kernel")
USER_DATA = Purpose("user")


def custom(flags: int) -> Purpose:
    """Flags of the caller's own."""
    return Purpose("custom", flags)


@dataclass(frozen=True)
class AllocOptions:
    """Builder calls in the order in which they are made: a bool for `zeroed`, a `Purpose` for `purpose`."""

    calls: tuple[bool | Purpose, ...] = ()

    @cached_property
    def purpose(self) -> Purpose:
        """The last one called for; kernel data when none was (ALLOC-01)."""
        purposes = [call for call in self.calls if isinstance(call, Purpose)]
        return purposes[-1] if purposes else KERNEL_DATA

    @cached_property
    def zeroes(self) -> bool:
        """Whether the payload is zeroed (ALLOC-01, ALLOC-04 to ALLOC-07)."""
        asked = [call for call in self.calls if isinstance(call, bool)]
        return self.purpose.requires_zero or (asked[-1] if asked else True)

    def migratetype(self, movable: bool = True) -> Migratetype:
        """ALLOC-08; of a module that knows MOVABLE frames, or of an older one."""
        asked = movable and self.purpose.flags() & C.flag_movable
        return Migratetype.MOVABLE if asked else Migratetype.UNMOVABLE
