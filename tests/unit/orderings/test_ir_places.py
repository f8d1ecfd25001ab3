"""Shows what addresses and widths of accesses mean."""

from __future__ import annotations

import pytest

from frame_harness.image.errors import ImageError
from frame_harness.orderings.events import AccessOp, MemoryOrder, Space
from frame_harness.orderings.ir_places import VAGUE
from tests.support.ir_by_hand import only, walked

AT = "  %p = getelementptr inbounds nuw i8, ptr %self, i64 {}\n"


def touched(body: str, *, more: str = "") -> list[tuple[str, str]]:
    return [(str(one.op), one.item) for one in only(walked(f"{body}  ret void", more=more))]


@pytest.mark.parametrize(
    ("offset", "kind", "fields"),
    [
        (24, "i64", ["flags"]),
        (28, "i64", ["+28", "refcount"]),
        (32, "i32", ["refcount"]),
        (34, "i16", ["refcount"]),
        (40, "i8", ["+40"]),
    ],
)
def test_an_access_is_told_by_all_fields_that_it_covers(offset: int, kind: str, fields: list[str]) -> None:
    address = AT.format(offset)
    assert touched(f"{address}  store atomic {kind} 1, ptr %p release, align 8\n") == [
        ("store", field) for field in fields
    ]
    assert touched(f"{address}  %v = load atomic {kind}, ptr %p acquire, align 8\n") == [
        ("load", field) for field in fields
    ]


def test_a_fill_writes_every_field() -> None:
    fill = "  call void @llvm.memset.p0.i64(ptr %self, i8 0, i64 {}, i1 false)\n"
    every = [("store", field) for field in ("next", "flags", "refcount")]
    assert touched(fill.format(64)) == touched(fill.format("%n")) == every
    assert touched(fill.format(32)) == every[:2]
    assert {one.written for one in only(walked(f"{fill.format(64)}  ret void"))} == {0}


def test_a_wide_store_leaves_its_part_in_each_field() -> None:
    body = AT.format(24) + f"  store atomic i64 {5 + (7 << 32)}, ptr %p release, align 8\n  ret void"
    assert [one.written for one in only(walked(body))] == [5]
    body = AT.format(28) + f"  store atomic i64 {5 + (7 << 32)}, ptr %p release, align 8\n  ret void"
    assert [one.written for one in only(walked(body))] == ["?", 7]


def test_a_part_of_an_owned_field_is_not_known() -> None:
    look = (
        "  %v = load atomic i16, ptr %p acquire, align 2\n  %w = load atomic i32, ptr %q acquire, align 4\n"
    )
    body = f"{AT.format(34)}{AT.format(32).replace('%p', '%q')}{look}  ret void"
    assert [one.read for one in only(walked(body, refcount=2))] == ["?", 2]
    store = "  store atomic i16 9, ptr %p release, align 2\n"
    assert [one.read for one in only(walked(body.replace(look, store + look), refcount=2))] == [
        None,
        "?",
        "?",
    ]


def test_an_update_of_several_fields_is_not_understood() -> None:
    for update in ("atomicrmw add ptr %p, i64 1 acq_rel", "cmpxchg ptr %p, i64 1, i64 2 acq_rel acquire"):
        (access,) = only(walked(f"{AT.format(28)}  %o = {update}, align 8\n  ret void"))
        assert access.op is AccessOp.OPAQUE and access.reach == {Space.SLOT}
        assert "it updates +28 and refcount in one step" in access.item


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        (
            "call void @llvm.memcpy.p0.p0.i64(ptr %a, ptr %self, i64 64, i1 false)",
            ["next", "flags", "refcount"],
        ),
        ("call ptr @memmove(ptr %a, ptr %p, i64 4)", ["flags"]),
        ("call i32 @memcmp(ptr %a, ptr %p, i64 12)", ["flags", "refcount"]),
        ("call i32 @bcmp(ptr %p, ptr %self, i64 4)", ["flags", "next"]),
    ],
)
def test_what_is_copied_or_compared_is_read_plainly(call: str, fields: list[str]) -> None:
    body = f"  %a = alloca [64 x i8], align 64\n{AT.format(24)}  %r = {call}\n  ret void"
    found = only(
        walked(body.replace("%r = call void", "call void"), more="declare i32 @memcmp(ptr, ptr, i64)")
    )
    assert [(one.op, one.item) for one in found] == [(AccessOp.LOAD, field) for field in fields]
    assert {one.order for one in found} == {MemoryOrder.PLAIN}


def test_what_is_copied_to_a_slot_is_written_plainly() -> None:
    body = "  call void @llvm.memcpy.p0.p0.i64(ptr %self, ptr @x, i64 28, i1 false)\n"
    assert touched(body) == [("store", "next"), ("store", "flags")]


SLOT_OF = """  %b = load atomic i64, ptr @base acquire, align 8
  %o = shl nuw nsw i64 %n, 6
"""
BASE = "@base = internal global [8 x i8] zeroinitializer, align 8, !dbg !125"
STORE = "  store atomic i32 9, ptr %p monotonic, align 4\n"


def test_an_offset_that_is_joined_by_or_is_a_field() -> None:
    body = f"{SLOT_OF}  %d = or disjoint i64 %o, 32\n  %a = add i64 %b, %d\n  %p = inttoptr i64 %a to ptr\n"
    assert touched(body + STORE, more=BASE)[1:] == [("store", "refcount")]


@pytest.mark.parametrize(
    "address",
    [
        "  %i = ptrtoint ptr %self to i64\n  %m = and i64 %i, -64\n  %p = inttoptr i64 %m to ptr\n",
        f"{SLOT_OF}  %a = add i64 %b, %o\n  %m = or i64 %a, 32\n  %p = inttoptr i64 %m to ptr\n",
    ],
)
def test_an_address_computed_from_that_of_a_slot_may_be_any_field(address: str) -> None:
    for access in (
        STORE,
        "  %v = load i32, ptr %p, align 4\n",
        STORE.replace("atomic ", "").replace(" monotonic", ""),
    ):
        found = only(walked(f"{address}{access}  ret void", more=BASE))[-1]
        assert (found.op, found.item, found.reach) == (AccessOp.OPAQUE, VAGUE, frozenset({Space.SLOT}))


def test_an_index_computed_from_the_address_of_a_slot_leads_elsewhere() -> None:
    body = "  %i = ptrtoint ptr %self to i64\n  %k = lshr i64 %i, 6\n  %m = shl i64 %k, 12\n"
    assert touched(f"{body}  %p = inttoptr i64 %m to ptr\n{STORE}") == [("store", "payload")]


def test_an_address_computed_from_that_of_local_memory_is_local() -> None:
    body = "  %x = alloca [64 x i8], align 4\n  %i = ptrtoint ptr %x to i64\n  %m = and i64 %i, -8\n"
    assert touched(f"{body}  %p = inttoptr i64 %m to ptr\n{STORE}") == []


def test_a_constant_address_that_is_not_read_is_an_error_where_a_variable_is_there() -> None:
    store = "  store i64 1, ptr getelementptr inbounds ([2 x i64], ptr @{}, i64 0, i64 1), align 8\n"
    with pytest.raises(ImageError, match=r"@base.* expected an address that is known here"):
        touched(store.format("base"), more=BASE)
    assert touched(store.format("text"), more="@text = constant [16 x i8] zeroinitializer") == [
        ("store", "payload")
    ]


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        ("AtomicPtr<k::frame::Stats>", "*BASE"),
        ("Atomic<*mut k::frame::Stats>", "*BASE"),
        ("Option<&k::frame::Stats>", "*BASE"),
        ("AtomicPtr<k::frame::MetaSlot>", "refcount"),
        ("AtomicPtr<u8>", "refcount"),
        ("AtomicUsize", "refcount"),
    ],
)
def test_a_static_pointer_to_another_structure_leads_to_no_slot(kind: str, item: str) -> None:
    typed = (
        "@base = internal global [8 x i8] zeroinitializer, align 8, !dbg !225\n"
        '!224 = distinct !DIGlobalVariable(name: "BASE", scope: !103, file: !102, line: 3, type: !226)\n'
        "!225 = !DIGlobalVariableExpression(var: !224, expr: !DIExpression())\n"
        f'!226 = !DICompositeType(tag: DW_TAG_structure_type, name: "{kind}", size: 64, elements: !113)\n'
    )
    look = "  %b = load atomic ptr, ptr @base acquire, align 8\n  %p = getelementptr i8, ptr %b, i64 32\n"
    found = touched(f"{look}  %v = load i32, ptr %p, align 4\n{STORE}", more=typed)
    assert found == [("load", "BASE"), ("load", item), ("store", item)]
