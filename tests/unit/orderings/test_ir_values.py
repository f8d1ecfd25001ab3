"""Shows what is known of values that code computes."""

from __future__ import annotations

import pytest

from frame_harness.orderings.events import MemoryOrder
from frame_harness.orderings.ir_text import operand
from frame_harness.orderings.ir_values import Symbol, Value, binary, sources, unknown
from tests.support.ir_by_hand import only, walked

LOOKED_AT = """  %p = getelementptr inbounds nuw i8, ptr %self, i64 32
  %x0 = load atomic i32, ptr %p acquire, align 4
"""


def xorshift(value: Value, rounds: int) -> Value:
    for _ in range(rounds):
        value = binary("xor", value, binary("lshr", value, 7, 32), 32)
    return value


def test_a_value_of_many_mixing_rounds_is_walked_once() -> None:
    rounds = "".join(f"  %s{k} = lshr i32 %x{k}, 7\n  %x{k + 1} = xor i32 %x{k}, %s{k}\n" for k in range(200))
    (access,) = only(walked(f"{LOOKED_AT}{rounds}  ret i32 %x200"))
    assert (access.order, access.returned) == (MemoryOrder.ACQUIRE, True)


def test_equal_values_of_many_mixing_rounds_are_equal() -> None:
    first = unknown(Symbol("field", serial=1))
    one, other = xorshift(first, 5000), xorshift(first, 5000)
    assert one == other and hash(one) == hash(other)
    assert one != xorshift(first, 4999) and one != xorshift(unknown(Symbol("field", serial=2)), 5000)
    assert len(list(sources(one))) == 10_001


def test_a_loop_that_computes_for_long_is_walked_to_its_end() -> None:
    body = """  br label %b
b:
  %h = phi i32 [ %x0, %start ], [ %h3, %b ]
  %i = phi i64 [ 0, %start ], [ %j, %b ]
  %h2 = lshr i32 %h, 1
  %h3 = xor i32 %h2, 5
  %j = add i64 %i, 1
  %c = icmp eq i64 %j, 2000
  br i1 %c, label %e, label %b
e:
  ret i32 %h3"""
    (access,) = only(walked(LOOKED_AT + body))
    assert access.returned


UNLESS = """
  br i1 %c, label %good, label %weak
weak:
  store atomic i32 9, ptr %self monotonic, align 4
  br label %good
good:
  ret void"""


def outcomes(body: str, more: str = "") -> set[bool]:
    """Whether a store follows, on each path that returns."""
    found = walked(body + UNLESS, more=more)
    return {any(access.writes for access in path) for path in found.paths if path.returns}


@pytest.mark.parametrize(
    "computed",
    [
        "  %a = fptoui double %x to i64\n  %b = fptoui double %y to i64\n",
        "  %a = add i64 0, undef\n  %b = add i64 0, poison\n",
        "  %a = freeze i64 poison\n  %b = freeze i64 poison\n",
        "  %a = add i64 0, ptrtoint (ptr @x to i64)\n  %b = add i64 0, ptrtoint (ptr @y to i64)\n",
    ],
)
def test_values_of_which_nothing_is_known_may_differ(computed: str) -> None:
    assert outcomes(f"{computed}  %c = icmp eq i64 %a, %b") == {True, False}


def test_a_branch_on_what_is_not_read_decides_no_other_one() -> None:
    body = "  %d = fcmp olt float %x, 1.0\n  br i1 %d, label %a, label %b\na:\n  fence acquire\n"
    found = walked(f"{body}  br label %b\nb:\n  %c = fcmp olt float %y, 2.0{UNLESS}")
    assert len(found.paths) == 4


def test_equal_constants_that_are_not_read_are_equal() -> None:
    computed = "  %a = add i64 0, ptrtoint (ptr @x to i64)\n  %b = add i64 0, ptrtoint (ptr @x to i64)\n"
    assert outcomes(f"{computed}  %c = icmp eq i64 %a, %b") == {False}


def test_members_of_constants_are_read() -> None:
    pair = (
        "define {{ i64, i32 }} @{0}(i32 %x) #0 !dbg !121 {{\nstart:\n"
        "  %r = insertvalue {{ i64, i32 }} {{ i64 {1}, i32 poison }}, i32 %x, 1\n"
        "  ret {{ i64, i32 }} %r\n}}\n"
    )
    calls = "".join(
        f"  %{name} = call {{ i64, i32 }} @{name}(i32 4)\n"
        f"  %t{name} = extractvalue {{ i64, i32 }} %{name}, 0\n"
        for name in ("one", "none")
    )
    more = pair.format("one", 1) + pair.format("none", 0)
    assert outcomes(f"{calls}  %c = icmp eq i64 %tone, %tnone", more) == {True}
    assert operand("{ i8 -1, { i1, ptr } { i1 true, ptr null } }") == (255, (1, 0))


@pytest.mark.parametrize("kind", ["i8", "i32", "i64"])
def test_a_number_that_a_value_equals_keeps_its_sign(kind: str) -> None:
    body = f"""  %v = load atomic {kind}, ptr %self acquire, align 4
  %e = icmp eq {kind} %v, -1
  br i1 %e, label %is, label %end
is:
  %s = icmp slt {kind} %v, 0
  br i1 %s, label %less, label %end
less:
  fence acquire
  br label %end
end:
  ret void"""
    assert sorted(len(path.accesses) for path in walked(body).paths) == [1, 2]
    found = walked(body.replace("%v, -1", "%v, 1"))
    assert [len(path.accesses) for path in found.paths] == [1]
