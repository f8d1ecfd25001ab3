"""The files of a core that own its blocks: what the shim calls in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_CALLED: Final[Mapping[str, tuple[str, ...]]] = {
    "block.rs": (
        "BlockHandle", "PhysBlock", "size_bytes", "page_count", "is_valid", "from_handle", "into_handle",
    ),
    "block_meta.rs": ("get_block_meta", "resolve_handle"),
    "ownership.rs": (
        "OwnershipTable", "OwnerEntry", "OwnerError", "RemoveRefResult", "BlockState", "claim", "ensure_ref",
        "add_ref", "remove_ref", "release", "pin", "unpin", "get", "refcount", "handle_for_base",
        "handle_containing",
    ),
    "cow.rs": (
        "handle_init_ref", "frame_inc_ref", "frame_dec_ref", "frame_get_refcount", "frame_set_cow",
        "frame_clear_cow", "frame_is_cow", "frame_set_dll", "frame_is_dll",
    ),
    "frame.rs": ("FramePurpose", "FrameAllocOptions"),
}  # fmt: skip
OWNERSHIP: Final = ("block.rs", "block_meta.rs", "ownership.rs", "cow.rs")
"""They are judged together, or not at all: each asks for the others."""


def lacking(folder: Path) -> str:
    """What a core's folder lacks first for the ownership of its blocks; empty for nothing."""
    for name, called in _CALLED.items():
        file = folder / name
        if not file.is_file():
            return name
        text = file.read_text(encoding="utf-8", errors="replace")
        for each in called:
            if not re.search(rf"^\s*pub\b[^\n;]*\b(?:fn|struct|enum) {each}\b", text, re.MULTILINE):
                return f"{each} of {name}"
    return ""
