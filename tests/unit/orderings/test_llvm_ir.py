"""Shows what is read from the text of LLVM IR."""

from __future__ import annotations

import pytest

from frame_harness.image.errors import ImageError
from frame_harness.orderings import ir_paths
from frame_harness.orderings.events import AccessOp, MemoryAccess, MemoryOrder, Path, Space
from frame_harness.orderings.ir_compute import evaluate
from frame_harness.orderings.ir_paths import PathError
from frame_harness.orderings.ir_syntax import parse_instruction
from frame_harness.orderings.ir_text import Global, Register, bits_of, split_top
from tests.support.ir_by_hand import ATTEMPTS, module, only, walked


@pytest.mark.parametrize(
    ("text", "op", "order", "failure", "detail"),
    [
        ("%1 = load atomic i32, ptr %p acquire, align 4, !dbg !1", "load", "acquire", "", ""),
        ("%1 = load i32, ptr %p, align 4, !range !2, !noundef !3", "load", "na", "", ""),
        ("store atomic volatile i32 %v, ptr %p release, align 4", "store", "release", "", ""),
        ('store atomic i8 0, ptr %p syncscope("agent") seq_cst, align 1', "store", "seq_cst", "", ""),
        ("%1 = atomicrmw add ptr %p, i32 1 monotonic, align 4", "atomicrmw", "monotonic", "", "add"),
        ("%1 = cmpxchg weak ptr %p, i32 -1, i32 %n release acquire", "cmpxchg", "release", "acquire", "weak"),
        ("fence acq_rel, !dbg !4", "fence", "acq_rel", "", ""),
        ('fence syncscope("singlethread") acq_rel', "other", "acq_rel", "", ""),
    ],
)  # fmt: skip
def test_orderings_are_read_from_every_form(
    text: str, op: str, order: str, failure: str, detail: str
) -> None:
    found = parse_instruction(text)
    assert (found.op, found.order, found.failure, found.detail) == (op, order, failure, detail)


def test_operands_survive_attributes_and_quotes() -> None:
    text = (
        'tail call void @"a$LT$b, c$GT$"(ptr noalias noundef sret([16 x i8]) align 8 %_0, '
        "i8 noundef range(i8 0, 5) 2, ptr getelementptr inbounds nuw (i8, ptr @g, i64 8), "
        "ptr inttoptr (i64 79 to ptr)) #3"
    )
    found = parse_instruction(text)
    assert found.detail == "a$LT$b, c$GT$"
    assert found.operands == (Register("_0"), 2, Global("g", 8), 79)


def test_commas_inside_of_types_do_not_split() -> None:
    assert split_top('{ i32, i1 } %"a, b", [2 x { i8, i8 }] zeroinitializer') == [
        '{ i32, i1 } %"a, b"',
        "[2 x { i8, i8 }] zeroinitializer",
    ]


def test_an_unknown_instruction_without_a_result_is_an_error() -> None:
    with pytest.raises(ImageError, match="expected an instruction that is known"):
        parse_instruction("frobnicate ptr %p")


@pytest.mark.parametrize(
    "end",
    [
        "%r = invoke i32 @g(ptr %self)\n          to label %e unwind label %e",
        "%r = catchswitch within none [label %e] unwind to caller",
    ],
)
def test_an_end_of_a_block_that_is_not_known_is_an_error(end: str) -> None:
    with pytest.raises(ImageError, match=r"expected an end of a block .*, got (invoke|catch)"):
        walked(f"  {end}\ne:\n  ret void")


def test_fields_come_from_debug_metadata_nested_ones_too() -> None:
    assert module("  ret void").debug.fields("MetaSlot") == {0: "next", 24: "flags", 32: "refcount"}


INNER = """
!220 = distinct !DISubprogram(name: "f", linkageName: "f2", scope: !221, file: !102, line: 90, unit: !100)
!221 = !DICompositeType(tag: DW_TAG_structure_type, name: "MetaSlot", scope: !222, size: 512, elements: !113)
!222 = !DINamespace(name: "NAME", scope: !103)
!223 = distinct !DISubprogram(name: "g", linkageName: "g2", scope: !222, file: !102, line: 95, unit: !100)
"""


@pytest.mark.parametrize("name", ["decoy", "{impl#0}"])
def test_inner_modules_do_not_hide_functions_or_structures(name: str) -> None:
    functions = "".join(
        f"define void @{symbol}(ptr %self) #0 !dbg !{node} {{\nstart:\n  ret void\n}}\n"
        for symbol, node in (("f2", 220), ("g", 121), ("g2", 223))
    )
    found = module("  ret void", more=functions + INNER.replace("NAME", name))
    assert {name: [one.symbol for one in those] for name, those in found.defined("/k/frame.rs").items()} == {
        "MetaSlot::f": ["f"],
        "g": ["g"],
    }
    assert found.debug.fields("MetaSlot", found.namespace("/k/frame.rs"))[32] == "refcount"
    with pytest.raises(ImageError, match="expected a structure of this name, got 2 that differ"):
        found.debug.fields("MetaSlot", ("elsewhere",))


def test_a_function_with_type_parameters_is_judged_for_each_type() -> None:
    again = (
        "define void @f2(ptr %self) #0 !dbg !220 {{\nstart:\n"
        "  store atomic i32 1, ptr %self {}, align 4\n  ret void\n}}\n"
        '!220 = distinct !DISubprogram(name: "f<u8>", scope: !104, file: !102, line: 90, unit: !100)\n'
    )
    found = walked("  ret void", more=again.format("monotonic"))
    assert sorted([str(one.order) for one in path] for path in found.paths) == [[], ["monotonic"]]


def test_a_missing_structure_is_an_error() -> None:
    with pytest.raises(ImageError, match="Missing"):
        module("  ret void").debug.fields("Missing")


def test_an_access_carries_field_order_and_its_inlined_source() -> None:
    (access,) = only(
        walked(
            "  %p = getelementptr inbounds nuw i8, ptr %self, i64 24\n"
            "  store atomic i32 %n, ptr %p release, align 4, !dbg !132\n  ret void"
        )
    )
    assert (access.op, access.space, access.item, access.order) == (
        AccessOp.STORE,
        Space.SLOT,
        "flags",
        MemoryOrder.RELEASE,
    )
    assert [(step.function, step.line) for step in access.trail] == [("g", 21), ("MetaSlot::f", 11)]


def test_a_plain_access_through_self_is_told_as_plain() -> None:
    (access,) = only(walked("  %v = load i32, ptr %self, align 4\n  ret void"))
    assert (access.item, access.order) == ("next", MemoryOrder.PLAIN)


def test_memory_of_the_function_itself_is_not_an_access() -> None:
    body = "  %a = alloca [4 x i8], align 4\n  store i32 7, ptr %a, align 4\n  ret void"
    assert only(walked(body)) == ()


BRANCHES = """  %c = icmp eq i32 %n, 1
  br i1 %c, label %yes, label %no
yes:
  fence acquire
  br label %no
no:
  %d = icmp ne i32 %n, 1
  br i1 %d, label %last, label %end
last:
  fence release
  br label %end
end:
  ret void"""


def test_a_condition_is_decided_once_on_a_path() -> None:
    orders = {tuple(access.order for access in path) for path in walked(BRANCHES).paths}
    assert orders == {(MemoryOrder.ACQUIRE,), (MemoryOrder.RELEASE,)}


LOOP = """  br label %again
again:
  %i = phi i64 [ 0, %start ], [ %j, %again ]
  %p = getelementptr inbounds i64, ptr %0, i64 %i
  store volatile i64 0, ptr %p, align 8
  %j = add nuw nsw i64 %i, 1
  %c = icmp eq i64 %j, LIMIT
  br i1 %c, label %end, label %again
end:
  ret void"""


@pytest.mark.parametrize("limit", ["512", "%m"])
def test_a_loop_is_left_whether_its_end_is_known_or_open(limit: str) -> None:
    paths = walked(LOOP.replace("LIMIT", limit)).paths
    assert any(path.returns for path in paths)
    assert all(len(path.accesses) <= 3 for path in paths)


CAS_LOOP = """  %p = getelementptr inbounds nuw i8, ptr %self, i64 32
  %first = load atomic i32, ptr %p monotonic, align 4
  br label %again
again:
  %old = phi i32 [ %first, %start ], [ %found, %again ]
  %new = add i32 %old, -1
  %pair = cmpxchg weak ptr %p, i32 %old, i32 %new release monotonic, align 4
  %found = extractvalue { i32, i1 } %pair, 0
  %ok = extractvalue { i32, i1 } %pair, 1
  br i1 %ok, label %done, label %again
done:
  %last = icmp eq i32 %old, 1
  br i1 %last, label %acquire, label %end
acquire:
  fence acquire
  br label %end
end:
  ret void"""


def test_an_owned_field_is_computed_with() -> None:
    for count, fences in ((1, 1), (2, 0)):
        function = walked(CAS_LOOP, refcount=count)
        returning = [path for path in function.paths if path.returns]
        assert returning
        for path in returning:
            assert sum(access.op is AccessOp.FENCE for access in path) == fences
            assert [access.written for access in path if access.writes] == [count - 1]


def test_a_truth_value_that_is_written_as_a_number_is_two_paths() -> None:
    body = """  %p = getelementptr i8, ptr %self, i64 32
  %q = getelementptr i8, ptr %self, i64 24
  %1 = load atomic i32, ptr %q acquire, align 4, !dbg !130
  %2 = icmp eq i32 %1, 0
  %3 = zext i1 %2 to i32
  %4 = sub i32 8, %3
  %5 = sext i1 %2 to i32
  store atomic i32 %4, ptr %p release, align 4, !dbg !130
  %6 = atomicrmw xchg ptr %p, i32 %5 release, align 4, !dbg !130
  br i1 %2, label %yes, label %no
yes:
  store atomic i32 1, ptr %q release, align 4, !dbg !130
  ret void
no:
  ret void"""
    written = [[access.written for access in path if access.writes] for path in walked(body).paths]
    assert sorted(written) == [[7, 2**32 - 1, 1], [8, 0]]


def test_a_cmpxchg_goes_both_ways() -> None:
    ends = {tuple(access.done for access in path if access.is_update) for path in walked(CAS_LOOP).paths}
    assert {(True,), (False, True)} <= ends


HELPER = """define void @g(ptr %q, i8 %how) #0 !dbg !121 {
start:
  switch i8 %how, label %bad [
    i8 0, label %relaxed
    i8 1, label %release
  ]
bad:
  unreachable
relaxed:
  store atomic i32 1, ptr %q monotonic, align 4
  ret void
release:
  store atomic i32 1, ptr %q release, align 4
  ret void
}"""


def test_calls_are_walked_into_with_their_arguments() -> None:
    body = (
        "  %p = getelementptr inbounds nuw i8, ptr %self, i64 24\n"
        "  call void @g(ptr noundef %p, i8 noundef 1), !dbg !130\n  ret void"
    )
    (access,) = only(walked(body, more=HELPER))
    assert (access.item, access.order) == ("flags", MemoryOrder.RELEASE)


OUTSIDE = "define i64 @take() #0 !dbg !122 {\nstart:\n  fence seq_cst\n  ret i64 0\n}"


def test_what_the_rest_of_the_crate_does_is_not_the_subjects() -> None:
    (call, store) = only(
        walked(
            "  %a = call i64 @take()\n  %p = inttoptr i64 %a to ptr\n"
            "  call void @llvm.memset.p0.i64(ptr %p, i8 0, i64 4096, i1 false)\n  ret void",
            more=OUTSIDE,
        )
    )
    assert (call.op, call.item) == (AccessOp.CALL, "take")
    assert (store.op, store.space) == (AccessOp.STORE, Space.MEMORY)


def test_a_slot_is_known_by_the_static_that_leads_to_it() -> None:
    static, slot = only(
        walked(
            "  %b = load atomic i64, ptr @base acquire, align 8\n"
            "  %o = shl nuw nsw i64 %x, 6\n  %a = add i64 %b, %o\n  %p = inttoptr i64 %a to ptr\n"
            "  %q = getelementptr inbounds nuw i8, ptr %p, i64 32\n"
            "  %v = load atomic i32, ptr %q acquire, align 4\n  ret void",
            more="@base = internal global [8 x i8] zeroinitializer, align 8, !dbg !125",
        )
    )
    assert (static.space, static.item) == (Space.STATIC, "BASE")
    assert (slot.space, slot.item) == (Space.SLOT, "refcount")


def test_too_many_paths_are_an_error_rather_than_a_verdict() -> None:
    steps = [
        f"b{n}:\n  %v{n} = load atomic i32, ptr %self monotonic, align 4\n  %c{n} = icmp eq i32 %v{n}, 0\n"
        f"  br i1 %c{n}, label %f{n}, label %b{n + 1}\nf{n}:\n  fence acquire\n  br label %b{n + 1}"
        for n in range(14)
    ]
    with pytest.raises(PathError, match="at most 4,000 paths"):
        walked("  br label %b0\n" + "\n".join(steps) + "\nb14:\n  ret void")


def test_a_loop_up_to_a_constant_is_walked_to_its_end_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = (
        "  br label %b\nb:\n  %i = phi i64 [ 0, %start ], [ %n, %b ]\n"
        "  %v = load atomic i32, ptr %self monotonic, align 4\n  %n = add i64 %i, 1\n"
        "  %c = icmp ult i64 %n, {end}\n  br i1 %c, label %b, label %e\ne:\n  ret void"
    )
    assert len(only(walked(loop.format(end=9)))) == 9
    monkeypatch.setattr(ir_paths, "MAX_STEPS", 99)
    with pytest.raises(PathError, match="at most 99 instructions"):
        walked(loop.format(end=100))


def test_an_access_that_only_many_failures_lead_to_is_an_error_rather_than_a_verdict() -> None:
    weak = "  %x = atomicrmw sub ptr %self, i32 1 monotonic, align 4\n"
    with pytest.raises(PathError, match="within its first rounds, got an access that takes more"):
        walked(f"{ATTEMPTS}{weak}  br label %e\ne:\n  ret void")
    found = walked(f"{ATTEMPTS}  br label %e\ne:\n{weak}  ret void")
    assert any(access.op is AccessOp.RMW for path in found.paths if path.returns for access in path)


def test_a_loop_up_to_a_number_that_is_merely_assumed_is_walked_twice() -> None:
    """Where x is 2^62 each condition is decided; none of the rounds says more than the first two."""
    found = walked(
        f"  %k = icmp eq i64 %x, {1 << 62}\n  br i1 %k, label %b, label %e\n"
        "b:\n  %i = phi i64 [ 0, %start ], [ %n, %b ]\n"
        "  %v = load atomic i32, ptr %self monotonic, align 4\n  %n = add i64 %i, 1\n"
        "  %c = icmp eq i64 %x, %n\n  br i1 %c, label %e, label %b\ne:\n  ret void"
    )
    assert max(len(path.accesses) for path in found.paths) <= 3


@pytest.mark.parametrize(
    ("accesses", "effective"),
    [
        ([MemoryOrder.RELEASE], MemoryOrder.RELEASE),
        ([MemoryOrder.MONOTONIC], MemoryOrder.MONOTONIC),
    ],
)
def test_a_store_alone_is_what_it_says(accesses: list[MemoryOrder], effective: MemoryOrder) -> None:
    path = Path(
        tuple(MemoryAccess(AccessOp.STORE, Space.SLOT, "flags", order=order, written=1) for order in accesses)
    )
    assert path.effective(0) is effective


def test_a_fence_counts_only_next_to_its_access() -> None:
    fence = MemoryAccess(AccessOp.FENCE, Space.NONE, "", order=MemoryOrder.RELEASE)
    store = MemoryAccess(AccessOp.STORE, Space.SLOT, "flags", order=MemoryOrder.MONOTONIC, written=1)
    other = MemoryAccess(AccessOp.STORE, Space.SLOT, "guard", order=MemoryOrder.MONOTONIC, written=1)
    assert Path((fence, store)).effective(1) is MemoryOrder.RELEASE
    assert Path((fence, other, store)).effective(2) is MemoryOrder.MONOTONIC
    assert Path((store, fence)).effective(0) is MemoryOrder.MONOTONIC


@pytest.mark.parametrize(
    ("order", "weaker"),
    [
        (MemoryOrder.MONOTONIC, MemoryOrder.PLAIN),
        (MemoryOrder.MONOTONIC, MemoryOrder.UNORDERED),
        (MemoryOrder.ACQUIRE, MemoryOrder.RELEASE),
        (MemoryOrder.RELEASE, MemoryOrder.ACQUIRE),
        (MemoryOrder.ACQ_REL, MemoryOrder.RELEASE),
        (MemoryOrder.SEQ_CST, MemoryOrder.ACQ_REL),
    ],
)
def test_a_weaker_ordering_is_not_enough(order: MemoryOrder, weaker: MemoryOrder) -> None:
    assert order.at_least(order)
    assert not weaker.at_least(order)


def test_operands_are_numbers_of_their_width_or_unknown() -> None:
    assert [bits_of(kind) for kind in ("i8", "i128", "ptr")] == [8, 128, 64]
    assert evaluate({}, -1, 8) == 0xFF and evaluate({"n": 7}, Register("n")) == 7
    assert not isinstance(evaluate({}, Register("n")), int)
