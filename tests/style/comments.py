"""The comments and docstrings of our sources, as blocks with their lines."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LINE_COMMENT = re.compile(r"(?<![:\"'])//[/!]?(?P<text>.*)")
"""Of Rust and of assembly; not the slashes of an address."""


class Comment(NamedTuple):
    """One comment: lines that follow each other, or what stands behind code in one line, or a docstring."""

    first: int
    last: int
    text: str


def comments(path: Path) -> list[Comment]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return list(of_python(text))
    return list(of_linker(text) if path.suffix == ".ld" else of_rust(text))


def of_python(text: str) -> Iterator[Comment]:
    lines = text.splitlines()
    pieces = list[tuple[int, str]]()
    begins = True  # a string at the beginning of a statement is a docstring
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            alone = lines[token.start[0] - 1].lstrip().startswith("#")
            if alone:
                pieces.append((token.start[0], token.string.lstrip("#")))
            else:
                yield Comment(token.start[0], token.start[0], token.string.lstrip("#"))
        elif token.type == tokenize.STRING and begins:
            yield Comment(token.start[0], token.end[0], token.string.strip('r"'))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    yield from _blocks(pieces)


def of_rust(text: str) -> Iterator[Comment]:
    pieces = list[tuple[int, str]]()
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _LINE_COMMENT.search(line):
            if line.lstrip().startswith("//"):
                pieces.append((number, found["text"]))
            else:
                yield Comment(number, number, found["text"])
    yield from _blocks(pieces)


def of_linker(text: str) -> Iterator[Comment]:
    for found in re.finditer(r"/\*(.*?)\*/", text, flags=re.DOTALL):
        first = text.count("\n", 0, found.start()) + 1
        yield Comment(first, first + found[1].count("\n"), found[1])


def _blocks(pieces: list[tuple[int, str]]) -> Iterator[Comment]:
    """Lines that follow each other, together."""
    block = list[tuple[int, str]]()
    for number, words in [*pieces, (-1, "")]:
        if block and number != block[-1][0] + 1:
            yield Comment(block[0][0], block[-1][0], "\n".join(each for _, each in block))
            block = []
        block.append((number, words))
