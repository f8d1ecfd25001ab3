"""Makes the names of Rust symbols readable."""

from __future__ import annotations

import functools
import re

from frame_harness.image.demangle_v0 import NotMangled, demangle_v0

_LEGACY_ESCAPES = {
    "$SP$": "@", "$BP$": "*", "$RF$": "&", "$LT$": "<", "$GT$": ">", "$LP$": "(", "$RP$": ")", "$C$": ",",
}  # fmt: skip
_HASH = re.compile(r"h[0-9a-f]{16}")


@functools.cache
def demangle(symbol: str) -> str:
    """Return a readable name: the same one for both schemes; of any other symbol, itself.

    Accepts:
        `_ZN11kernel_shim6memory5frame8get_meta17h50e48689bb98f19eE` → `kernel_shim::memory::frame::get_meta`
        `_RNvNtCs1234_7mycrate3foo3bar` → `mycrate::foo::bar`
    Source:
        rustc 1.95, compiler/rustc_symbol_mangling (legacy.rs, v0.rs); RFC 2603
    """
    if symbol.startswith("_ZN"):
        return _legacy(symbol)
    if symbol.startswith("_R"):
        try:
            return demangle_v0(symbol)
        except (NotMangled, RecursionError):
            return symbol
    return symbol


def _legacy(symbol: str) -> str:
    words: list[str] = []
    at = 3
    while at < len(symbol) and symbol[at].isdigit():
        digits = re.match(r"\d+", symbol[at:])
        if digits is None:
            break
        at += len(digits[0])
        words.append(symbol[at : at + int(digits[0])])
        at += int(digits[0])
    if words and _HASH.fullmatch(words[-1]):
        words.pop()
    return "::".join(map(_unescape, words)) if words else symbol


def _unescape(word: str) -> str:
    word = word.removeprefix("_") if word.startswith("_$") else word
    for escape, plain in _LEGACY_ESCAPES.items():
        word = word.replace(escape, plain)
    word = re.sub(r"\$u([0-9a-f]+)\$", lambda match: chr(int(match[1], 16)), word)
    return word.replace("..", "::")
