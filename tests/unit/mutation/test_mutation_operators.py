"""Each operator makes the mutants that it says, at the places that it says, and no others."""

from __future__ import annotations

import json

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.mutation import cargo_mutants
from frame_harness.mutation.generate import mutants_of
from frame_harness.mutation.literals import moved
from frame_harness.mutation.mutants import SENTENCES, Mutant, Operator, WrongText, applied, diff, sampled
from frame_harness.mutation.source import NotRust

SLOT = """
pub struct Slot { count: AtomicU32, flags: AtomicU32, link: AtomicU64 }
pub mod bits { pub const A: u32 = 1 << 4; pub const B: u32 = 0x30; }
pub enum Why { Full, Empty, Held(u32) }
"""
T, U = Operator, "fn f(s: &Slot, n: u64, m: u64) { %s }"

# Operator, what stands in a function, what becomes of it: all that the operator makes.
TABLE = [
    (T.ORDERING, "s.count.load(Ordering::SeqCst);", ["Ordering::Acquire"]),
    (T.ORDERING, "s.count.store(1, Ordering::SeqCst);", ["Ordering::Release"]),
    (T.ORDERING, "s.count.swap(1, Ordering::SeqCst);", ["Ordering::AcqRel"]),
    (T.ORDERING, "s.count.swap(1, Ordering::AcqRel);", ["Ordering::Acquire", "Ordering::Release"]),
    (T.ORDERING, "s.count.load(Ordering::Acquire);", ["Ordering::Relaxed"]),
    (T.ORDERING, "s.count.store(1, Release);", ["core::sync::atomic::Ordering::Relaxed"]),
    (T.ORDERING, "s.count.load(Ordering::Relaxed); fence(Ordering::Acquire);", []),
    (T.ORDERING, "fence(Ordering::SeqCst);", ["Ordering::AcqRel"]),
    (T.FAILURE_ORDERING, "s.count.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);",
     ["Ordering::Relaxed"]),
    (T.FENCE_DROPPED, "atomic::fence(Ordering::Acquire);", ["()"]),
    (T.RMW_SPLIT, "s.count.fetch_add(n, Ordering::Release);",
     ["{ let before = s.count.load(Ordering::Relaxed); "
      "s.count.store(before.wrapping_add(n), Ordering::Release); before }"]),
    (T.RMW_SPLIT, "s.count.compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed);",
     ["{ let before = s.count.load(Ordering::SeqCst); "
      "if before == 0 { s.count.store(1, Ordering::SeqCst); Ok(before) } else { Err(before) } }"]),
    (T.RMW_SPLIT, "s.count.fetch_add(n, order);", []),
    (T.BIT, "s.set(n & 0xFF0);", ["0xfe0", "0x7f0", "0x1ff0"]),
    (T.BIT, "s.set(n | bits::A);", ["(bits::A << 1)", "(bits::A >> 1)"]),
    (T.LITERAL, "let a = 4096_u64;", ["4097_u64", "4095_u64"]),
    (T.LITERAL, "let a = [0; 6];", ["1"]),
    (T.LITERAL, "let a = pair.0;", []),
    (T.STORE_DROPPED, "s.count.store(1, Ordering::Relaxed);", [""]),
    (T.STORE_DROPPED, "unsafe { at.write(1) };", [""]),
    (T.STORE_DROPPED, "let mut a = 1; a = 2; a += 3;", ["", ""]),
    (T.STATEMENT_DROPPED, "free(n); let b = take(n);", [""]),
    (T.STORES_SWAPPED, "s.count.store(1, Ordering::Relaxed); s.set_flags(2);",
     ["s.set_flags(2); s.count.store(1, Ordering::Relaxed);"]),
    (T.STORES_SWAPPED, "put(1); put(1); let a = 1; put(2)", []),
    (T.RANGE_END, "for i in 0..n {}", ["..="]),
    (T.FIRST_LEFT_OUT, "for i in 0..n {}", ["1"]),
    (T.FIRST_LEFT_OUT, "for i in list {}", ["(list).into_iter().skip(1)"]),
    (T.LAST_LEFT_OUT, "for i in 0..1 << n {}", ["(1 << n) - 1"]),
    (T.LAST_LEFT_OUT, "for i in 0..=n {}", []),
    (T.NARROWED, "put(n);", ["(n as u8 as u64)", "(n as u16 as u64)"]),
    (T.NARROWED, "put(unknown); put(5);", []),
    (T.WRONG_FIELD, "s.count.load(o);", ["flags"]),
    (T.WRONG_FIELD, "s.link.load(o); s.count();", []),
    (T.WRONG_CONSTANT, "put(bits::A);", ["bits::B"]),
    (T.WRONG_CONSTANT, "fail(Why::Full);", ["Why::Empty"]),
    (T.ARGUMENTS_SWAPPED, "f(s, n, 7);", ["7, n"]),
    (T.EARLY_RETURN_DROPPED, "if n == 0 { return; } put(n);", [""]),
    (T.CHECK_DROPPED, "if n == 0 { stop() } put(n);", [""]),
    (T.CHECK_DROPPED, 'assert!(n < 5, "{} is too much", n + 1);', [""]),
    (T.CHECK_DROPPED, "let a = take(n)?; give(n)?;", ["take(n).unwrap()", "let _ = give(n)"]),
    (T.MIN_MAX, "put(n.min(m)); put(core::cmp::max(n, m));", ["max", "min"]),
    (T.OVERFLOW, "put(n.wrapping_add(m)); put(n.checked_sub(m));",
     ["saturating_add", "Some(n.wrapping_sub(m))"]),
    (T.LOCK_RELEASED, "let _guard = ZONE.lock(); let held = ZONE.lock();", ["_"]),
    (T.ARITHMETIC, "put(n + m);", ["-", "*"]),
    (T.COMPARISON, "assert!(n < m);", ["==", ">", "<="]),
    (T.LOGICAL, "put(a && b);", ["||"]),
    (T.ASSIGNMENT, "n <<= 1;", [">>="]),
    (T.UNARY, "put(!a); put(matches!(n, 1 | 2));", ["a", "!matches!(n, 1 | 2)"]),
    (T.CONDITION, "if a {} else {} while b {}", ["true", "false", "false"]),
    (T.BOOLEAN, "put(true);", ["false"]),
    (T.MATCH_ARM, "match n { 1 => a(), _ => b() };", [""]),
    (T.MATCH_ARM, "match n { A => a(), B => b() };", []),
    (T.MATCH_GUARD, "match n { 1 if a => a(), _ => b() };", ["true", "false"]),
    (T.STRUCT_FIELD, "put(Self { a, b: 1, ..self });", ["", ""]),
]  # fmt: skip


def made(operator: Operator, text: str) -> list[Mutant]:
    return [one for one in mutants_of({"a.rs": text.encode()}) if one.operator is operator]


@pytest.mark.parametrize(
    ("operator", "body", "after"), TABLE, ids=[f"{one[0]}-{number}" for number, one in enumerate(TABLE)]
)
def test_operator_makes_these_mutants_and_no_others(operator: Operator, body: str, after: list[str]) -> None:
    found = [one for one in made(operator, SLOT + U % body) if one.function == "f"]
    assert sorted(one.after for one in found) == sorted(after)


@pytest.mark.parametrize(
    ("returns", "values"),
    [
        ("-> bool", ["{ true }", "{ false }"]),
        ("-> u32", ["{ 0 }", "{ 1 }"]),
        ("-> Option<u8>", ["{ None }", "{ Some(0) }", "{ Some(1) }"]),
        ("-> Result<(), Why>", ["{ Ok(()) }", "{ Err(Why::Full) }"]),
        ("-> (u8, bool)", ["{ (0, true) }", "{ (1, false) }"]),
        ("-> !", []),
        ("", ["{ () }"]),
    ],
)
def test_function_returns_plausible_values_of_its_type(returns: str, values: list[str]) -> None:
    found = made(Operator.FUNCTION_VALUE, f"{SLOT}fn f() {returns} {{ let a = g(); a }}")
    assert sorted(one.after for one in found) == sorted(values)


def test_each_operator_has_its_sentence_and_a_row_of_the_table() -> None:
    assert SENTENCES.keys() == set(Operator)
    assert {row[0] for row in TABLE} | {Operator.FUNCTION_VALUE} == set(Operator)


@pytest.mark.parametrize(
    "text",
    [
        "#[cfg(test)] mod tests { fn f() { put(1); } }",
        "#[test] fn f() { put(1); }",
        '#[cfg(all(test, feature = "a"))]\n// why\nfn f() { put(1); }',
        "#[repr(align(64))] struct A { /* 1 */ a: [u8; 4] } // 2 + 3",
        "const _: () = assert!(size_of::<A>() == 64);",
        'fn f() -> ! { panic!("{} is more than {}", 1 + 2, LIMIT) }',
        "use a::{b, c}; type A = [u8; 4]; macro_rules! a { () => { 1 + 1 } }",
    ],
)
def test_nothing_is_made_of_what_is_not_judged(text: str) -> None:
    assert mutants_of({"a.rs": text.encode()}) == []


def test_mutant_names_its_place_and_the_path_of_its_function() -> None:
    text = "impl<T> Iterator for Range<T> {\n    fn é() { put(a); }\n    fn next() { put(a); }\n}\n"
    one = made(Operator.STATEMENT_DROPPED, text)[1]
    assert (one.function, one.line, one.column, one.before) == ("Range::next", 3, 17, "put(a);")
    assert applied(text.encode(), one).decode() == text[::-1].replace(";)a(tup", "", 1)[::-1]
    assert "-    fn next() { put(a); }\n+    fn next() {  }\n" in diff(text.encode(), one)


def test_constant_is_named_by_its_module() -> None:
    assert {one.function for one in made(Operator.BIT, SLOT)} == {"bits::A", "bits::B"}


def test_keys_are_the_same_wherever_the_function_stands() -> None:
    text = "fn f() { put(1); put(1); }"
    before, after = (mutants_of({"a.rs": each.encode()}) for each in (text, f"// more\n{text}"))
    assert [one.key for one in before] == [one.key for one in after]
    assert len({one.key for one in before}) == len(before)


def test_key_is_not_taken_over_by_the_same_edit_of_another_line() -> None:
    text = "fn f(s: &S) {\n    s.hint.store(1, Ordering::Release);\n}\n"
    owner = text.replace("    s.hint", "    s.owner.store(1, Ordering::Release);\n    s.hint")
    (before,) = (one for one in mutants_of({"a.rs": text.encode()}) if one.operator is Operator.ORDERING)
    after = [one for one in mutants_of({"a.rs": owner.encode()}) if one.operator is Operator.ORDERING]
    assert [one.key == before.key for one in after] == [False, True]


def test_mutant_of_another_text_is_refused() -> None:
    one = mutants_of({"a.rs": b"fn f() { put(1); }"})[0]
    with pytest.raises(WrongText, match=r"a\.rs"):
        applied(b"fn g() { get(2); }", one)


@pytest.mark.parametrize(
    ("text", "words"), [(b"fn f( {", "an error in line 1"), (b"// \xff", "another byte at 3")]
)
def test_what_is_no_rust_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(NotRust, match=words):
        mutants_of({"a.rs": text})


PATTERNS = [
    "Foo { .. }", "Foo { a: 1, .. }", "Some(n) if n > 3", "ref y", "ref mut y", "n @ 1..=3", "&mut _",
    "1 | 2,", "..=3", "[first, .., last]", "box_(x) if matches!(x, ref y)", "Some(\n// a comment, (\n_)",
    'Held("),", _)', "b')'",
]  # fmt: skip
SCRUTINEES = [
    "n + m", "a::<B, C<D>>(n)", "n as V<A, B>", "<A as B<C, D>>::of(n)", "n < m", "(n < m, n > m)",
    "*n", '"a, b"', "','", "n /* a, b */", "n >> 1 > 2", "f(|a, b| a < b)", "[n, m]", "x as usize >> 2",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_that_is_no_expression_takes_nothing_from_what_is_around_it(pattern: str) -> None:
    text = SLOT + 'fn f(n: u64) -> bool { assert!(matches!(g(n + 1), %s), "a"); put(n + 2); n < 5 }'
    found = {(one.operator, one.after, one.line) for one in mutants_of({"a.rs": (text % pattern).encode()})}
    plain = {(one.operator, one.after, one.line) for one in mutants_of({"a.rs": (text % "3").encode()})}
    lines = pattern.count("\n")
    kinds = {(operator, after.replace(pattern, "3")) for operator, after, _ in found}
    assert kinds == {(operator, after) for operator, after, _ in plain}
    assert max(line for _, _, line in found) == max(line for _, _, line in plain) + lines * (lines > 0)


@pytest.mark.parametrize("scrutinee", SCRUTINEES)
def test_the_first_argument_of_matches_ends_at_its_own_comma(scrutinee: str) -> None:
    two = f"put(matches!({scrutinee}, Foo {{ a: 7, .. }})); put(matches!({scrutinee}, 1));"
    text = f"{SLOT}fn f(n: u64) {{ {two} }}"
    found = [(one.operator, one.after) for one in mutants_of({"a.rs": text.encode()}) if one.function == "f"]
    assert (T.UNARY, f"!matches!({scrutinee}, Foo {{ a: 7, .. }})") in found
    assert (T.UNARY, f"!matches!({scrutinee}, 1)") in found
    alone = f"{SLOT}fn f(n: u64) {{ put({scrutinee}); }}"
    own = [one for one in mutants_of({"a.rs": alone.encode()}) if one.function == "f"]
    once = [one for one in own if one.operator is T.ARITHMETIC]
    assert [operator for operator, _ in found].count(T.ARITHMETIC) == 2 * len(once)


def test_types_are_those_of_all_files() -> None:
    files = {"slot.rs": SLOT.encode(), "user.rs": b"fn f(s: &Slot) { s.count.load(o); }"}
    assert [one.after for one in mutants_of(files) if one.operator is Operator.WRONG_FIELD] == ["flags"]


def test_the_built_in_module_has_hundreds_of_mutants_by_nearly_all_operators() -> None:
    path = frame_module().path
    mutants = mutants_of({path.name: path.read_bytes()})
    missing = set(Operator) - {one.operator for one in mutants}
    assert len(mutants) >= 300 and len({one.key for one in mutants}) == len(mutants)
    assert missing <= {Operator.MATCH_GUARD, Operator.OVERFLOW, Operator.LOCK_RELEASED}


def test_sample_is_spread_over_operators_and_functions_and_follows_its_seed() -> None:
    path = frame_module().path
    mutants = mutants_of({path.name: path.read_bytes()})
    some = sampled(mutants, 60, 1)
    assert some == sampled(mutants[::-1], 60, 1)[::-1] != sampled(mutants, 60, 2)[::-1]
    assert len(some) == 60 and {one.operator for one in some} == {one.operator for one in mutants}
    assert len({one.function for one in some}) > 30
    assert sampled(mutants, 10_000, 1) == mutants


def test_what_cargo_mutants_lists_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "fn é(a: u8) -> Frame {\n    let b = a + 1;\n    take(b)\n}\n"

    def one(genre: str, after: str, *at: int) -> dict[str, object]:
        span = {"start": {"line": at[0], "column": at[1]}, "end": {"line": at[2], "column": at[3]}}
        return {"file": "src/a.rs", "genre": genre, "replacement": after, "span": span, "name": "…"}

    made = [one("FnValue", "Default::default()", 2, 5, 3, 12), one("BinaryOperator", "-", 2, 15, 2, 16)]
    before = mutants_of({"a.rs": text.encode()})
    monkeypatch.setattr(cargo_mutants, "listed", lambda _: json.dumps(made))
    added = [each for each in mutants_of({"a.rs": text.encode()}) if each not in before]
    assert [(each.operator, each.function, each.after) for each in added] == [
        (Operator.FUNCTION_VALUE, "é", "{ Default::default() }")
    ]
    assert applied(text.encode(), added[0]).decode() == "fn é(a: u8) -> Frame { Default::default() }\n"


def test_list_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cargo_mutants, "listed", lambda _: '{"mutants": 3}')
    with pytest.raises(HarnessError, match="expected a list of mutants"):
        mutants_of({"a.rs": b"fn f() { put(1); }"})


@pytest.mark.parametrize(
    ("text", "by", "other"), [("0x0F_u8", 1, "0x10_u8"), ("1_000", -1, "999"), ("0b11usize", 1, "0b100usize")]
)
def test_another_number_keeps_its_base_and_its_type(text: str, by: int, other: str) -> None:
    assert moved(text, by) == other
