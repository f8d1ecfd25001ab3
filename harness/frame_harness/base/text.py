"""Makes numbers and foreign text fit to be read by a person."""

_KEPT = "\n\t"


def printable(text: str) -> str:
    """Show control characters as escapes, so that nothing from a guest can act on a terminal or break XML."""
    return "".join(char if char.isprintable() or char in _KEPT else _escape(char) for char in text)


def _escape(char: str) -> str:
    """As Python writes a character of 8, 16 or 32 bits; the form is ours to choose."""
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plural(count: int, noun: str) -> str:
    """`1 check`, `2 checks`; a noun in -y or -s must be given in a form that takes an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def seconds(duration_s: float) -> str:
    """Show a duration: `1.5 s`, from one minute on `2 min 5 s`."""
    minutes, rest = divmod(round(duration_s), 60)
    return f"{minutes} min {rest} s" if minutes else f"{duration_s:.1f} s"


def percent(part: int, of: int) -> str:
    """A share, rounded down: `100 %` are all of them; `–` of none."""
    return f"{1000 * part // of / 10:.1f} %".replace(".0 %", " %") if of else "–"


def rate_words(rate: float) -> str:
    """`2.35 M/s`, `41 k/s`, `7 /s`."""
    shown = float(f"{rate:.3g}")  # 999,600 are 1 M/s: the unit is that of the number that is written
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if shown >= size:
            return f"{shown / size:.3g} {unit}/s"
    return f"{rate:.0f} /s"
