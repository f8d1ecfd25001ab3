"""Shows what is known of values that code computes."""

from __future__ import annotations

from frame_harness.orderings.events import MemoryOrder
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
