"""Every unsafe block of the shim proves itself where it stands, every unsafe function says what it asks for.

Clippy says so, too, where it is installed; Debian has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.style.test_shim_modules import SHIM, texts_of

TEXTS = texts_of(SHIM)
_USE = re.compile(r"\bunsafe (?:\{|impl\b)")
_FUNCTION = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?unsafe (?:extern \"C\" )?fn \w")
_BETWEEN = re.compile(r"\s*(?:#\[|//|$)")
"""What may stand between the words and the line that they are about: attributes, further words."""


def unproved(text: str) -> Iterator[str]:
    """The lines with an unsafe block or implementation without words of its own ahead of it."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        code = line.partition("//")[0]
        if _USE.search(code):
            ahead = "\n".join(_words_ahead(lines, at))
            if "SAFETY:" not in ahead or re.search(r"SAFETY: as above[.,]", ahead):
                yield f"{at + 1}: {line.strip()}"


def undocumented(text: str) -> Iterator[str]:
    """The lines with an unsafe function that does not say what its caller promises."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if _FUNCTION.match(line) and "# Safety" not in "\n".join(_words_ahead(lines, at)):
            yield f"{at + 1}: {line.strip()}"


def _words_ahead(lines: list[str], at: int) -> list[str]:
    """The comments and attributes ahead of the statement that a line belongs to."""
    start = at
    while start and not _ends_a_statement(lines[start - 1]):
        start -= 1
    first = start
    while first and lines[first - 1].strip() and _BETWEEN.match(lines[first - 1]):
        first -= 1
    return lines[first : at + 1]


def _ends_a_statement(line: str) -> bool:
    code = line.strip()
    return not code or code.startswith(("//", "#[")) or code.endswith((";", "{", "}", ","))


@pytest.mark.parametrize("name", TEXTS)
def test_unsafe_code_is_proved_where_it_stands(name: str) -> None:
    assert list(unproved(TEXTS[name])) == []


@pytest.mark.parametrize("name", TEXTS)
def test_unsafe_functions_say_what_they_ask_for(name: str) -> None:
    implemented = {"    unsafe fn alloc(", "    unsafe fn dealloc("}  # `GlobalAlloc` says it
    missing = [
        one for one in undocumented(TEXTS[name]) if not any(each.strip() in one for each in implemented)
    ]
    assert missing == []


@pytest.mark.parametrize(
    "text",
    [
        "    let a = 1;\n    unsafe { f() };\n",
        "    // SAFETY: as above.\n    unsafe { f() };\n",
        "    // SAFETY: it is mapped.\n    let a = 1;\n    unsafe { f() };\n",
        "// It is safe.\nunsafe impl Sync for A {}\n",
    ],
)
def test_unsafe_code_without_words_is_seen(text: str) -> None:
    assert len(list(unproved(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "    // SAFETY: it is mapped.\n    unsafe { f() };\n",
        "    // SAFETY: it is mapped,\n    // and nobody's.\n    let a =\n        unsafe { f() };\n",
    ],
)
def test_unsafe_code_with_words_is_none(text: str) -> None:
    assert list(unproved(text)) == []


def test_an_unsafe_function_without_words_is_seen() -> None:
    assert len(list(undocumented("/// Does it.\npub unsafe fn f() {\n"))) == 1
    assert list(undocumented("/// # Safety\n/// It is mapped.\npub unsafe fn f() {\n")) == []
