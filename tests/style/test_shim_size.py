"""Proves that the shim's files and functions are short enough to be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.style.test_shim_modules import SHIM, SUBJECT, texts_of
from tests.support.each import each

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MOST_LINES = 11_500

TEXTS = {name: text for name, text in texts_of(SHIM).items() if name != SUBJECT}
_FUNCTION = re.compile(r"^( *)(?:pub(?:\([^)]*\))? |const |unsafe |extern \"C\" )*fn (\w+)")


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Every function with its number of lines; rustfmt puts its end in the column of its beginning."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        found = _FUNCTION.match(line)
        if found and not line.endswith(";"):
            end = next(
                (more for more in range(at, len(lines)) if lines[more].startswith(f"{found[1]}}}")), at
            )
            yield found[2], end - at + 1


@each(TEXTS)
def test_file_of_the_shim_is_short(name: str) -> None:
    assert len(TEXTS[name].splitlines()) <= LONGEST_FILE


@each(TEXTS)
def test_functions_of_the_shim_are_short(name: str) -> None:
    assert [(one, n) for one, n in functions(TEXTS[name]) if n > LONGEST_FUNCTION] == []


def test_a_function_that_is_too_long_is_seen() -> None:
    body = "    let x = 1;\n" * LONGEST_FUNCTION
    assert list(functions(f"pub const fn long() {{\n{body}}}\n")) == [("long", LONGEST_FUNCTION + 2)]


def test_the_shim_without_subject_and_tests_is_small() -> None:
    lines = [text.count("\n") for name, text in TEXTS.items() if not Path(name).is_relative_to("parts/tests")]
    assert sum(lines) <= MOST_LINES
