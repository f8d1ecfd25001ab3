"""The numbers of the frame module's contract."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Constants:
    """The contract's numbers (clauses CONST-01 to CONST-04) that a slot's meaning depends on."""

    page_size: int = 4096
    link_none: int = 2**64 - 1
    refcount_unused: int = 2**32 - 1
    max_order: int = 11
    guard_kernel_only: int = 1 << 0
    guard_poisoned: int = 1 << 31
    flag_cow: int = 1 << 0
    flag_dll: int = 1 << 1
    flag_anonymous: int = 1 << 2
    flag_allocated: int = 1 << 8
    flag_free: int = 1 << 9
    flag_kernel: int = 1 << 10
    flag_user: int = 1 << 11
    flag_poisoned: int = 1 << 12
    flag_movable: int = 1 << 13


C: Final = Constants()
