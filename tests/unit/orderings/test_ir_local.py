"""Shows what is known of memory that no other CPU sees."""

from __future__ import annotations

import pytest

from frame_harness.orderings.events import MemoryOrder
from tests.support.ir_by_hand import walked

COUNT = "  %p = getelementptr inbounds nuw i8, ptr %self, i64 32\n"
OBJECT = "  %a = alloca [8 x i8], align 8\n  %b = getelementptr inbounds i8, ptr %a, i64 4\n"
OUTSIDE = "define void @take(ptr %0) #0 !dbg !122 {\nstart:\n  ret void\n}"
TAKE = "  call void @take(ptr {})\n"


def is_weak(before: str, condition: str) -> set[bool]:
    """Whether a Relaxed store is on a path that returns, behind a condition about what is in %a."""
    found = walked(
        f"""{COUNT}{OBJECT}{before}{condition}
  br i1 %c, label %good, label %weak
weak:
  store atomic i32 9, ptr %p monotonic, align 4
  br label %good
good:
  ret void""",
        more=OUTSIDE,
    )
    return {
        any(access.order is MemoryOrder.MONOTONIC for access in path) for path in found.paths if path.returns
    }


FIRST_IS_ZERO = "  %v = load i32, ptr %a, align 4\n  %c = icmp eq i32 %v, 0\n"
SECOND_IS_7 = "  %v = load i32, ptr %b, align 4\n  %c = icmp eq i32 %v, 7\n"
ZERO = "  store i32 0, ptr %a, align 4\n"
SEVEN = "  store i32 7, ptr %b, align 4\n"


@pytest.mark.parametrize(
    "update",
    [
        "  %o = atomicrmw xchg ptr %a, i32 1 seq_cst, align 4\n",
        "  %o = atomicrmw add ptr %a, i32 1 seq_cst, align 4\n",
        "  %o = cmpxchg ptr %a, i32 0, i32 1 seq_cst acquire, align 4\n",
    ],
)
def test_an_update_of_local_memory_leaves_what_it_wrote(update: str) -> None:
    assert is_weak(ZERO + update, FIRST_IS_ZERO) == {True}


def test_an_update_of_local_memory_that_cannot_succeed_leaves_it() -> None:
    update = "  %o = cmpxchg ptr %a, i32 3, i32 1 seq_cst acquire, align 4\n"
    assert is_weak(ZERO + update, FIRST_IS_ZERO) == {False}


def test_an_update_of_local_memory_is_no_access() -> None:
    (path,) = walked(f"{OBJECT}  %o = atomicrmw xchg ptr %a, i32 1 seq_cst, align 4\n  ret void").paths
    assert path.accesses == ()


def test_a_fill_changes_all_of_its_bytes() -> None:
    fill = "  call void @llvm.memset.p0.i64(ptr %a, i8 {}, i64 {}, i1 false)\n"
    assert is_weak(SEVEN + fill.format(0, 8), SECOND_IS_7) == {True}
    assert is_weak(SEVEN + fill.format(0, 4), SECOND_IS_7) == {False}
    assert is_weak(SEVEN + fill.format(0, "%n"), SECOND_IS_7) == {True, False}
    is_filled = "  %v = load i16, ptr %b, align 4\n  %c = icmp eq i16 %v, -258\n"
    assert is_weak(SEVEN + fill.format(-2, 8), is_filled) == {False}
    assert is_weak(SEVEN + fill.format(-2, 8), is_filled.replace("-258", "254")) == {True}


def test_a_wider_store_changes_what_it_covers() -> None:
    assert is_weak(f"{SEVEN}  store i64 0, ptr %a, align 8\n", SECOND_IS_7) == {True}
    assert is_weak(f"{SEVEN}{ZERO}", SECOND_IS_7) == {False}


def test_a_store_at_an_unknown_index_may_change_any_element() -> None:
    store = "  %q = getelementptr inbounds i32, ptr %a, i64 %i\n  store i32 1, ptr %q, align 4\n"
    assert is_weak(SEVEN + store, SECOND_IS_7) == {True, False}


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("  store ptr %a, ptr %env, align 8\n" + TAKE.format("%env"), False),
        (TAKE.format("%a") + SEVEN + TAKE.format("%env"), False),
        (TAKE.format("%env"), True),
    ],
)
def test_a_call_changes_what_it_can_have_the_address_of(before: str, kept: bool) -> None:
    env = "  %env = alloca [8 x i8], align 8\n"
    assert is_weak(env + SEVEN + before, SECOND_IS_7) == ({False} if kept else {True, False})


def test_what_a_call_left_is_the_same_until_the_next_one() -> None:
    look = "  %{} = load i64, ptr %a, align 8\n"
    equal = "  %c = icmp eq i64 %x, %y\n"
    call = TAKE.format("%a")
    assert is_weak(call + look.format("x") + look.format("y"), equal) == {False}
    assert is_weak(call + look.format("x") + call + look.format("y"), equal) == {True, False}


def test_a_copy_takes_what_is_known_along() -> None:
    copy = (
        "  %to = alloca [8 x i8], align 8\n"
        "  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %a, i64 {}, i1 false)\n"
    )
    look = "  %q = getelementptr i8, ptr %to, i64 4\n  %v = load i32, ptr %q, align 4\n"
    condition = f"{look}  %c = icmp eq i32 %v, 7\n"
    assert is_weak(SEVEN + copy.format(8), condition) == {False}
    assert is_weak(SEVEN + copy.format(4), condition) == {True, False}


def test_a_retry_loop_around_a_call_with_a_result_in_memory_is_walked() -> None:
    body = f"""{COUNT}  %r = alloca [16 x i8], align 8
  br label %again
again:
  call void @take(ptr %r)
  %d = load i8, ptr %r, align 8
  %e = icmp eq i8 %d, 1
  br i1 %e, label %again, label %ok
ok:
  store atomic i32 9, ptr %p release, align 4
  ret void"""
    ends = [(path.end, len(path.accesses)) for path in walked(body, more=OUTSIDE).paths]
    assert ("return", 3) in ends
