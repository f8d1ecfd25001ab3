"""What files declare says what could be mistaken for something else, and what is not sure is not known."""

from __future__ import annotations

import pytest

from frame_harness.mutation.facts import DeclaredFacts, Signature, type_of
from frame_harness.mutation.source import RustSource, below

SLOT = """
pub struct Slot { next: u64, count: AtomicU32, prev: u64, flags: AtomicU32, last: u64 }
pub struct Pair(u64, u64);
pub struct Zone { base: u64, head: u64, count: AtomicU32 }
pub mod bits { pub const A: u32 = 1; pub const B: u32 = 2; pub const WIDE: u64 = 3; pub const C: u32 = 4; }
impl Slot { pub const A: u8 = 9; fn take(&self, at: u64, n: u32) -> bool { true } }
pub const TOP: usize = 5;
pub enum Why { Full, Held(u32), Empty, Named { at: u64 }, Gone }
fn give(at: u64) -> u16 { 0 }
"""
OTHER = """
pub const TOP: u32 = 6;
trait Gives { fn give(at: u64) -> u16; fn take(&self) -> bool; }
pub struct Node { next: u32 }
"""


def facts(*texts: str) -> DeclaredFacts:
    return DeclaredFacts.of(RustSource.of(f"{number}.rs", text.encode()) for number, text in enumerate(texts))


@pytest.mark.parametrize(
    ("name", "owner", "others"),
    [
        ("next", None, ["prev", "last"]),
        ("prev", None, ["last", "next"]),
        ("flags", "Slot", ["count"]),
        ("count", None, []),  # two structures have one
        ("count", "Zone", []),  # alone of its type there
        ("base", "Slot", []),  # not in this one
        ("base", "Elsewhere", ["head"]),
        ("nothing", None, []),
    ],
)
def test_fields_of_one_type_in_one_structure_can_be_mistaken(
    name: str, owner: str | None, others: list[str]
) -> None:
    assert facts(SLOT).like_field(name, owner) == others


@pytest.mark.parametrize(
    ("module", "name", "others"),
    [
        ("bits", "A", ["B", "C"]),
        ("bits", "C", ["A", "B"]),
        ("bits", "WIDE", []),
        ("Slot", "A", []),
        ("", "A", []),
    ],
)
def test_constants_of_one_type_in_one_module_can_be_mistaken(
    module: str, name: str, others: list[str]
) -> None:
    assert facts(SLOT).like_constant(module, name) == others


def test_variants_that_hold_nothing_can_be_mistaken() -> None:
    known = facts(SLOT)
    assert known.like_variant("Why", "Empty") == ["Gone", "Full"]
    assert known.like_variant("Why", "Held") == known.like_variant("Else", "Empty") == []


def test_what_is_declared_twice_in_different_ways_is_not_known() -> None:
    one, both = facts(SLOT), facts(SLOT, OTHER)
    assert (one.constant_type("TOP"), both.constant_type("TOP")) == ("usize", None)
    assert (one.field_type("next"), both.field_type("next")) == ("u64", None)
    assert one.field_type("count") == both.field_type("count") == "AtomicU32"
    assert one.signature("take") == Signature(("u64", "u32"), "bool")
    assert both.signature("take") is None
    assert both.signature("give") == Signature(("u64",), "u16")


BODY = """
fn f(s: &Slot, n: u16, mut m: u64) {{
    let a: u8 = 1; let b = n; let c = s.next; let d = a; let a = c;
    put({});
}}
"""


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("n", "u16"),
        ("m", "u64"),
        ("a", "u64"),  # the later declaration counts
        ("d", "u8"),  # the earlier one counted there
        ("b", "u16"),
        ("unknown", None),
        ("s.next", "u64"),
        ("s.nothing", None),
        ("bits::WIDE", "u64"),
        ("TOP", "usize"),
        ("n as i32", "i32"),
        ("(n)", "u16"),
        ("!n", "u16"),
        ("*n", None),
        ("n + 1", "u16"),
        ("1 + n", "u16"),
        ("1 << n", None),
        ("n << m", "u16"),
        ("n < m", "bool"),
        ("s.count.load(o)", "u32"),
        ("s.flags.fetch_or(1, o)", "u32"),
        ("s.next.load(o)", None),
        ("n.wrapping_add(m)", "u16"),
        ("give(1)", "u16"),
        ("s.take(1, 2)", "bool"),
        ("list.len()", "usize"),
        ("nobody(1)", None),
    ],
)
def test_the_type_of_an_expression_is_that_which_the_text_says(expression: str, kind: str | None) -> None:
    source = RustSource.of("f.rs", (SLOT + BODY.format(expression)).encode())
    call = next(
        node for node in below(source.tree.root_node)
        if node.type == "call_expression" and source.of_node(node).startswith("put(")
    )  # fmt: skip
    arguments = call.child_by_field_name("arguments")
    assert arguments is not None
    assert type_of(DeclaredFacts.of([source]), source, arguments.named_children[0]) == kind


@pytest.mark.parametrize(("depth", "kind"), [(4, "u8"), (9, None)])
def test_an_expression_that_is_nested_deeply_is_not_known(depth: int, kind: str | None) -> None:
    source = RustSource.of("f.rs", f"fn f(n: u8) {{ put({'(' * depth}n{')' * depth}); }}".encode())
    name = next(node for node in below(source.tree.root_node) if node.type == "arguments").named_children[0]
    assert type_of(DeclaredFacts.of([source]), source, name) == kind
