"""Names the way in which a guest ended, the same for two guests that ended in the same place."""

import re
from collections.abc import Iterable

# Limits, CPU times, addresses, counters differ between guests; line numbers, which follow a colon, do not.
_VARIES = re.compile(r"\(limit [^;)]*|0x[0-9a-f]+|(?<![:\w.])\d[\d.,]*")
_OFFSET = re.compile(r"\+0x[0-9a-f]+")
_WRAPPER = re.compile(r"^core::|\{closure")  # what was inlined into it may be anything


def words_of(message: str) -> str:
    """Return a message without the numbers that differ from one guest to the next."""
    return _VARIES.sub("#", message)


def way(message: str, backtrace: Iterable[str], *, hangs: bool) -> str:
    """Return what two guests have in common that ended in the same place.

    Args:
        backtrace: lines as `function+0x12 (file:line)`, innermost first; others are passed over.
        hangs: it did not come to an end: a loop is met at any of its lines.
    """
    place = _OFFSET.sub("", next((line for line in backtrace if "(" in line), ""))
    if not place:
        return words_of(message)
    function = place.partition(" (")[0]
    return function if hangs and not _WRAPPER.search(function) else place
