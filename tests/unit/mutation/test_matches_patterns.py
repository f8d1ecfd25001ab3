"""The patterns of `matches!` are taken out of a text before it is read as expressions, and nothing else."""

from __future__ import annotations

import pytest
import tree_sitter_rust
from tree_sitter import Language, Parser

from frame_harness.mutation.patterns import without_patterns


def blanked(body: str) -> str:
    """What is left of the body of a function; a blank out of a pattern shows as `_`."""
    text = f"fn f() {{ {body} }}".encode()
    tree = Parser(Language(tree_sitter_rust.language())).parse(text)
    left = without_patterns(text, tree)
    assert len(left) == len(text), "every byte else stays where it was"
    assert left.count(b"\n") == text.count(b"\n"), "lines stay what they are"
    shown = "".join("_" if was != now else chr(now) for was, now in zip(text, left, strict=True))
    return shown[len("fn f() { ") : -len(" }")]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("matches!(n, 1 | 2)", "matches!(n, _ _ _)"),
        ("matches!(n, Some(m) if m > 3)", "matches!(n, _______ __ _ _ _)"),
        ("core::matches!(n, A)", "core::matches!(n, _)"),
        ("matches!(pair(a, b), (1, 2))", "matches!(pair(a, b), ___ __)"),
        ("matches!([a, b], [1, ..])", "matches!([a, b], ___ ___)"),
        ("matches!(a < b, true)", "matches!(a < b, ____)"),
        ("matches!(get::<u8, u16>(n), 1)", "matches!(get::<u8, u16>(n), _)"),
        ("matches!(get::<Vec<u8>, u16>(n), 1)", "matches!(get::<Vec<u8>, u16>(n), _)"),
        ("matches!(get::<Vec<Vec<u8>>, u16>(n), 1)", "matches!(get::<Vec<Vec<u8>>, u16>(n), _)"),
        ("matches!(n, A if matches!(m, B))", "matches!(n, _ __ ___________ __)"),
        ("matches!(n as Pair<u8, u16>, P)", "matches!(n as Pair<u8, u16>, _)"),
        ("matches!((n as u64) < m, true)", "matches!((n as u64) < m, ____)"),
        ("matches!(a << 2, 1)", "matches!(a << 2, _)"),
        ("matches!(<T as Of<A, B>>::of(n), 1)", "matches!(<T as Of<A, B>>::of(n), _)"),
        ("matches!(n /* a, b */, 1)", "matches!(n /* a, b */, _)"),
        ("matches!(matches!(n, 1), true)", "matches!(matches!(n, _), ____)"),
        ("g(matches!(n, 1), matches!(m, 2))", "g(matches!(n, _), matches!(m, _))"),
        ("assert!(n, 1); matches(n, 1); other!(n, 1)", "assert!(n, 1); matches(n, 1); other!(n, 1)"),
        ("matches!(n)", "matches!(n)"),
        ("matches!()", "matches!()"),
    ],
)
def test_the_second_argument_is_blanked_wherever_its_comma_is(body: str, left: str) -> None:
    assert blanked(body) == left


def test_a_pattern_of_several_lines_keeps_them() -> None:
    assert blanked("matches!(n,\n    1\n    | 2)") == "matches!(n,\n    _\n    _ _)"


def test_a_name_that_is_not_ascii_is_as_long_as_before() -> None:
    text = 'fn f() { matches!(n, "ä") }'.encode()
    tree = Parser(Language(tree_sitter_rust.language())).parse(text)
    assert without_patterns(text, tree) == b"fn f() { matches!(n," + b" " * 5 + b") }"
