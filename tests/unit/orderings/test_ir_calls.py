"""Shows what calls do to the paths of compiled code."""

from __future__ import annotations

import pytest

from frame_harness.orderings.events import AccessOp, MemoryOrder, Space
from frame_harness.orderings.ir_syntax import parse_instruction
from frame_harness.orderings.ir_text import Global, Register
from tests.support.ir_by_hand import only, walked

COUNT = "  %p = getelementptr inbounds nuw i8, ptr %self, i64 32\n"
WEAK = "  store atomic i32 9, ptr %p monotonic, align 4\n"
UNLESS_ZERO = f"""  %v = load i8, ptr %ok, align 1
  %c = icmp eq i8 %v, 0
  br i1 %c, label %good, label %weak
weak:
{WEAK}  br label %good
good:
  ret void"""
PUT = """define void @g(ptr %q) #0 !dbg !121 {
start:
  store atomic i32 1, ptr %q monotonic, align 4
  ret void
}"""


@pytest.mark.parametrize(
    ("text", "operands"),
    [
        ("call void %fp(ptr noundef %p, i64 5) #3", (Register("p"), 5, Register("fp"))),
        ('call i64 (ptr, ...) %fp(ptr %p) #3 [ "kcfi"(i32 7) ]', (Register("p"), Register("fp"))),
        ("call void inttoptr (i64 79 to ptr)(ptr @x)", (Global("x"), 79)),
    ],
)
def test_a_call_through_a_pointer_keeps_its_arguments(text: str, operands: tuple[object, ...]) -> None:
    found = parse_instruction(text)
    assert (found.detail, found.operands) == ("", operands)


@pytest.mark.parametrize("given", ["  call void %fp(ptr %p)\n", "  call void %fp(ptr %boxed)\n"])
def test_a_call_through_a_pointer_that_gets_a_slot_may_do_anything(given: str) -> None:
    boxed = "  %boxed = alloca [8 x i8], align 8\n  store ptr %p, ptr %boxed, align 8\n"
    (access,) = only(walked(f"{COUNT}{boxed}{given}  ret void"))
    assert (access.op, access.reach & {Space.SLOT}) == (AccessOp.OPAQUE, frozenset({Space.SLOT}))
    assert access.item == "a call through a pointer: its target is not known here"


def test_a_call_through_a_pointer_that_gets_a_number_is_a_call() -> None:
    (access,) = only(walked("  call void %fp(i64 4096)\n  ret void"))
    assert access.op is AccessOp.CALL


def test_a_call_through_a_pointer_to_a_known_function_is_walked_into() -> None:
    body = "  %fp = select i1 true, ptr @g, ptr null\n  call void %fp(ptr %p)\n  ret void"
    (access,) = only(walked(COUNT + body, more=PUT))
    assert (access.item, access.order) == ("refcount", MemoryOrder.MONOTONIC)


def test_a_call_through_a_pointer_may_write_where_it_is_led() -> None:
    local = "  %ok = alloca [1 x i8], align 1\n  store i8 0, ptr %ok, align 1\n  call void %fp(ptr %ok)\n"
    found = walked(COUNT + local + UNLESS_ZERO)
    assert {access.order for path in found.paths for access in path if access.writes} == {
        MemoryOrder.MONOTONIC
    }


CRATE = """define void @take(ptr %0) #0 !dbg !122 {
start:
  ret void
}
declare void @_ZN5other4weak17h0123456789abcdefE(ptr)
declare void @_ZN4core9panicking5panic17h0123456789abcdefE(ptr)
@base = internal global [8 x i8] zeroinitializer, align 8, !dbg !125
@lock = internal global [8 x i8] zeroinitializer, align 8
"""


@pytest.mark.parametrize("callee", ["take", "_ZN5other4weak17h0123456789abcdefE"])
@pytest.mark.parametrize("given", ["%p", "@base", "%boxed"])
def test_code_outside_of_the_subject_that_gets_a_slot_or_a_static_may_do_anything(
    callee: str, given: str
) -> None:
    boxed = "  %boxed = alloca [8 x i8], align 8\n  store ptr %p, ptr %boxed, align 8\n"
    (access,) = only(walked(f"{COUNT}{boxed}  call void @{callee}(ptr {given})\n  ret void", more=CRATE))
    assert access.op is AccessOp.OPAQUE and access.item.endswith("it gets a slot or a static")


@pytest.mark.parametrize(
    ("callee", "given"),
    [
        ("take", "@lock"),
        ("_ZN5other4weak17h0123456789abcdefE", "@lock"),
        ("_ZN4core9panicking5panic17h0123456789abcdefE", "%p"),
    ],
)
def test_code_outside_of_the_subject_that_gets_other_memory_is_a_call(callee: str, given: str) -> None:
    (access,) = only(walked(f"{COUNT}  call void @{callee}(ptr {given})\n  ret void", more=CRATE))
    assert access.op is AccessOp.CALL


def test_a_call_that_is_too_deep_to_be_walked_into_may_do_anything() -> None:
    deep = "".join(
        f"define void @d{at}(ptr %q) #0 !dbg !121 {{\nstart:\n  call void @d{at + 1}(ptr %q)\n"
        "  ret void\n}\n"
        for at in range(30)
    )
    end = PUT.replace("@g", "@d30")
    (access,) = only(walked(f"{COUNT}  call void @d10(ptr %p)\n  ret void", more=deep + end))
    assert (access.op, access.order) == (AccessOp.STORE, MemoryOrder.MONOTONIC)
    (access,) = only(walked(f"{COUNT}  call void @d0(ptr %p)\n  ret void", more=deep + end))
    assert access.op is AccessOp.OPAQUE and access.item.endswith("it is more than 24 calls deep")
