"""Where an item stands in the subject's text."""

from __future__ import annotations

import re

# DWARF has lines of functions alone, and not of those that the compiler merged.
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_AROUND = r"\b(?:mod|impl|trait|struct|enum)\b[^;{{]*?\b{name}\b[^;{{]*\{{"
_ITEM = r"\b(?:const|static|struct|enum|type|mod|trait|fn)\s+{name}\b"


def declaration_line(text: str, path: str) -> int | None:
    """The line, from 1, that declares an item; None when the text has none of that name.

    Args:
        path: `FRAME_META_SIZE`, `meta_guard::POISONED`, `MetaSlot`.
    """
    code = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    *around, name = path.split("::")
    at = 0
    for part in around:
        block = re.compile(_AROUND.format(name=re.escape(part))).search(code, at)
        if block is None:
            return None
        at = block.end()
    # A type may have several `impl` blocks; the item stands behind the first of them at the earliest.
    item = re.compile(_ITEM.format(name=re.escape(name))).search(code, at)
    return None if item is None else code.count("\n", 0, item.start()) + 1
