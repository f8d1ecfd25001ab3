"""The functions of a core that steps call, by today's names."""

from __future__ import annotations

from typing import Final

START: Final = "buddy::init_buddy_allocator"
ALLOC: Final = "buddy::alloc_migratetype"
ALLOC_ZONE: Final = "BuddyAllocator::alloc_zone_migratetype"
FREE: Final = "buddy::free"
TABLE: Final = "FrameAllocOptions::allocate"
OLDER: Final = {ALLOC: "buddy::alloc", ALLOC_ZONE: "BuddyAllocator::alloc_zone"}
"""What a version calls them that has no kinds."""
