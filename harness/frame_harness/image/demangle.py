"""Makes the names of Rust symbols readable."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final

MOST_STEPS: Final = 10_000
"""Back references make a name that is exponentially longer than its symbol, or that has no end."""
DEEPEST: Final = 100
_BASIC: Final = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize",
    "j": "usize", "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16",
    "u": "()", "v": "...", "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
_MARKS: Final = {"R": "&", "Q": "&mut ", "P": "*const ", "O": "*mut "}
_IDENTIFIER: Final = re.compile(r"(?:s[0-9a-zA-Z]*_)?u?(0|[1-9][0-9]*)_?")
_BASE_62: Final = re.compile(r"([0-9a-zA-Z]*)_")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class NotMangled(ValueError):
    """The text does not follow the grammar."""


def demangle_v0(symbol: str) -> str:
    """Return `kernel_shim::memory::frame::FrameAllocOptions::allocate`.

    Args:
        symbol: with its `_R`.
    Raises:
        NotMangled: it is no name of this scheme.
    """
    return _Reader(symbol.removeprefix("_R")).path()


class _Reader:
    """A cursor in the text behind `_R`, where back references count from."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._steps = self._depth = 0

    def path(self) -> str:
        """One path, without its generic arguments."""
        self._step()
        match self._next():
            case "C":
                return self._identifier()
            case "M":
                self._impl_path()
                return self._type()
            case "X":
                self._impl_path()
                return f"<{self._type()} as {self.path()}>"
            case "Y":
                return f"<{self._type()} as {self.path()}>"
            case "N":
                return self._nested()
            case "I":
                path = self.path()
                self._arguments()
                return path
            case "B":
                return self._elsewhere(self.path)
        raise NotMangled(self._text)

    def _nested(self) -> str:
        namespace = self._next()
        path, name = self.path(), self._identifier()
        if namespace.isupper():
            made_up = {"C": "closure", "S": "shim"}.get(namespace, namespace)
            name = f"{{{{{made_up}}}}}"
        return f"{path}::{name}"

    def _impl_path(self) -> None:
        """Where an impl block is written: of no interest."""
        if self._peek() == "s":
            self._match(re.compile(r"s[0-9a-zA-Z]*_"))
        self.path()

    def _arguments(self) -> None:
        while self._peek() != "E":
            self._step()
            if self._peek() == "L":
                self._lifetime()
            elif self._peek() == "K":
                self._next()
                self._const()
            else:
                self._type()
        self._next()

    def _type(self) -> str:
        self._step()
        kind = self._peek()
        if kind in _BASIC:
            return _BASIC[self._next()]
        if kind in "CMXYNI":
            return self.path()
        if kind in _MARKS:
            return self._pointer()
        return self._compound(self._next())

    def _pointer(self) -> str:
        mark = _MARKS[self._next()]
        if self._peek() == "L":
            self._lifetime()
        return mark + self._type()

    def _compound(self, kind: str) -> str:
        match kind:
            case "S":
                return f"[{self._type()}]"
            case "A":
                of = self._type()
                self._const()
                return f"[{of}; _]"
            case "T":
                return f"({', '.join(self._types())})"
            case "F":
                return self._function()
            case "D":
                return self._trait_object()
            case "B":
                return self._elsewhere(self._type)
        raise NotMangled(self._text)

    def _types(self) -> list[str]:
        types = []
        while self._peek() != "E":
            types.append(self._type())
        self._next()
        return types

    def _function(self) -> str:
        self._binder()
        if self._peek() == "U":
            self._next()
        if self._peek() == "K":
            self._next()
            if self._peek() == "C":
                self._next()
            else:
                self._identifier()
        types, result = self._types(), self._type()
        return f"fn({', '.join(types)})" + ("" if result == "()" else f" -> {result}")

    def _trait_object(self) -> str:
        self._binder()
        traits = []
        while self._peek() != "E":
            traits.append(self.path())
            while self._peek() == "p":
                self._next()
                self._identifier()
                self._type()
        self._next()
        self._lifetime()
        return f"dyn {' + '.join(traits)}"

    def _binder(self) -> None:
        if self._peek() == "G":
            self._lifetime()

    def _lifetime(self) -> None:
        self._next()  # L, or the G of a binder
        self._match(_BASE_62)

    def _const(self) -> None:
        if self._peek() == "p":
            self._next()
        elif self._peek() == "B":
            self._next()
            self._elsewhere(self._skipped_const)
        else:
            self._type()
            self._match(re.compile(r"n?[0-9a-f]*_"))

    def _skipped_const(self) -> str:
        self._const()
        return ""

    def _identifier(self) -> str:
        length = int(self._match(_IDENTIFIER)[1])
        name = self._text[self._at : self._at + length]
        if len(name) != length:
            raise NotMangled(self._text)
        self._at += length
        return name

    def _elsewhere(self, read: Callable[[], str]) -> str:
        digits = self._match(_BASE_62)[1]
        place = sum(_DIGITS.index(digit) * 62**power for power, digit in enumerate(reversed(digits)))
        back, self._at = self._at, place + bool(digits)
        if self._at >= back:
            raise NotMangled(self._text)
        self._depth += 1
        text = read()
        self._depth -= 1
        self._at = back
        return text

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1] or "end"

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise NotMangled(self._text)
        self._at += 1
        return self._text[self._at - 1]

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise NotMangled(self._text)
        self._at = found.end()
        return found

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS or self._depth > DEEPEST:
            raise NotMangled(self._text)


_LEGACY_ESCAPES = {
    "$SP$": "@", "$BP$": "*", "$RF$": "&", "$LT$": "<", "$GT$": ">", "$LP$": "(", "$RP$": ")", "$C$": ",",
}  # fmt: skip
_HASH = re.compile(r"h[0-9a-f]{16}")
_LENGTH = re.compile(r"[0-9]+")
_CODE_POINT = re.compile(r"\$u([0-9a-f]+)\$")


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
    while at < len(symbol) and (digits := _LENGTH.match(symbol, at)):
        at = digits.end()
        words.append(symbol[at : at + int(digits[0])])
        at += int(digits[0])
    if words and _HASH.fullmatch(words[-1]):
        words.pop()
    return "::".join(map(_unescape, words)) if words else symbol


def _unescape(word: str) -> str:
    word = word.removeprefix("_") if word.startswith("_$") else word
    if "$" in word:
        for escape, plain in _LEGACY_ESCAPES.items():
            word = word.replace(escape, plain)
        word = _CODE_POINT.sub(lambda match: chr(int(match[1], 16)), word)
    return word.replace("..", "::")
