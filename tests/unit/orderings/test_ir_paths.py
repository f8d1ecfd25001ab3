"""Shows which ways through compiled code are walked, and what is said of those that are not."""

from __future__ import annotations

import pytest

from frame_harness.orderings.ir_paths import PathError
from tests.support.ir_by_hand import ATTEMPTS, walked

END = "  br label %e\ne:\n  ret void"
CALLEES = """define void @g(ptr %q) #0 !dbg !121 {
start:
  call void @g2(ptr %q)
  ret void
}
define void @g2(ptr %q) #0 !dbg !121 {
start:
  store i32 1, ptr %q, align 4
  ret void
}
define void @sum(i32 %n) #0 !dbg !121 {
start:
  %a = alloca [4 x i8], align 4
  %b = getelementptr i8, ptr %a, i64 0
  store i32 %n, ptr %b, align 4
  ret void
}
declare void @elsewhere(ptr)
declare void @_ZN4core9panicking5panic17h0123456789abcdefE(ptr, i64)
"""


@pytest.mark.parametrize(
    "behind",
    [
        "store i32 7, ptr %self, align 4",
        "store atomic i32 7, ptr %self monotonic, align 4",
        "call void @g(ptr %self)",
        "call void %fp(ptr %self)",
        "call void @elsewhere(ptr %self)",
        "call void @llvm.memset.p0.i64(ptr %self, i8 0, i64 64, i1 false)",
        "%a = alloca i64\n  call void @llvm.memcpy.p0.p0.i64(ptr %a, ptr %self, i64 8, i1 false)",
    ],
)
def test_what_only_many_failures_lead_to_is_an_error_whatever_writes_there(behind: str) -> None:
    with pytest.raises(PathError, match="within its first rounds, got an access that takes more"):
        walked(f"{ATTEMPTS}  {behind}\n{END}", more=CALLEES)


@pytest.mark.parametrize(
    "behind",
    [
        "call void @sum(i32 7)",
        "%a = alloca i64\n  call void @llvm.memset.p0.i64(ptr %a, i8 %b, i64 8, i1 false)",
        "call void @llvm.lifetime.end.p0(i64 4, ptr %self)",
        "call void @_ZN4core9panicking5panic17h0123456789abcdefE(ptr @text, i64 7)",
        "%x = load i32, ptr %self, align 4",
    ],
)
def test_what_only_computes_may_lie_behind_many_failures(behind: str) -> None:
    found = walked(f"{ATTEMPTS}  {behind}\n{END}", more=CALLEES)
    assert any(path.returns for path in found.paths)


ROUNDS = """  %p = getelementptr inbounds nuw i8, ptr %self, i64 32
  %v = load atomic i32, ptr %p acquire, align 4
  br label %b
b:
  %i = phi i64 [ 0, %start ], [ %j, %ok ]
  %q = getelementptr i64, ptr %x, i64 %i
  %w = load volatile i64, ptr %q, align 8
  %z = icmp eq i64 %w, 0
  br i1 %z, label %ok, label %bad
bad:
  unreachable
ok:
  %j = add i64 %i, 1
  %c = icmp eq i64 %j, LIMIT
  br i1 %c, label %e, label %b
e:
  ret i32 %v"""


def test_a_function_whose_ways_are_all_cut_is_an_error_rather_than_a_verdict() -> None:
    assert any(path.returns for path in walked(ROUNDS.replace("LIMIT", "2")).paths)
    with pytest.raises(PathError, match="expected a way that returns within the first rounds of its loops"):
        walked(ROUNDS.replace("LIMIT", "8"))
    halts = "  br label %b\nb:\n  %v = load atomic i32, ptr %self acquire, align 4\n  {}"
    assert [path.end for path in walked(halts.format("unreachable")).paths] == ["panic"]
