"""Rewrites of a frame module's text that weaken its orderings, or leave them as good as they were."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Edit = Callable[[str], str]


class SubstitutionError(AssertionError):
    """A rewrite found nothing to rewrite: the module's text has changed."""


@dataclass(frozen=True)
class Variant:
    """One rewrite; `clauses` are those that it must be found guilty of, none for a harmless one."""

    name: str
    edits: tuple[Edit, ...]
    clauses: frozenset[str] = frozenset()

    def apply(self, text: str) -> str:
        for edit in self.edits:
            changed = edit(text)
            if changed == text:
                raise SubstitutionError(f"variant {self.name}: a rewrite left the text as it was")
            text = changed
        return text


def weak(name: str, clauses: str, *edits: Edit) -> Variant:
    return Variant(name, edits, frozenset(clauses.split()))


def harmless(name: str, *edits: Edit) -> Variant:
    return Variant(name, edits)


def span(text: str, function: str) -> tuple[int, int]:
    """Return where the body of a function lies, braces excluded; the first of that name counts."""
    head = re.search(rf"\bfn {function}\b", text)
    if head is None:
        raise SubstitutionError(f"no function {function}")
    start = text.index("{", head.end())
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return start + 1, at
    raise SubstitutionError(f"function {function} never ends")


def swap(function: str, old: str, new: str, *, nth: int = 1) -> Edit:
    """Replace the nth occurrence of some words inside one function."""

    def edit(text: str) -> str:
        start, end = span(text, function)
        code = re.sub("//[^\n]*", lambda comment: " " * len(comment[0]), text[start:end])
        at = -1
        for _ in range(nth):
            at = code.find(old, at + 1)
            if at < 0:
                raise SubstitutionError(f"function {function}: no {old!r} number {nth}")
        return text[: start + at] + new + text[start + at + len(old) :]

    return edit


def body(function: str, new: str) -> Edit:
    """Replace all that a function does."""

    def edit(text: str) -> str:
        start, end = span(text, function)
        return text[:start] + f"\n{new}\n" + text[end:]

    return edit


def move(function: str, line: str, before: str) -> Edit:
    """Move the line that holds some words in front of the line that holds others, inside one function."""

    def edit(text: str) -> str:
        start, end = span(text, function)
        lines = text[start:end].split("\n")
        moved = _only(lines, line, function)
        lines.remove(moved)
        lines.insert(lines.index(_only(lines, before, function)), moved)
        return text[:start] + "\n".join(lines) + text[end:]

    return edit


def _only(lines: list[str], words: str, function: str) -> str:
    found = [line for line in lines if words in line and not line.lstrip().startswith("//")]
    if len(found) != 1:
        raise SubstitutionError(f"function {function}: {words!r} on {len(found)} lines, expected 1")
    return found[0]


def insert(before: str, new: str) -> Edit:
    """Insert text in front of the first occurrence of some words."""

    def edit(text: str) -> str:
        at = text.find(before)
        if at < 0:
            raise SubstitutionError(f"no {before!r}")
        return text[:at] + new + text[at:]

    return edit


def rename(old: str, new: str) -> Edit:
    """Replace a name wherever it stands."""
    return lambda text: re.sub(rf"\b{old}\b", new, text)
