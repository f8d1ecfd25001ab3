"""Which orderings of two drops, and of a new epoch, leave another CPU with something old (REF-09, GEN-04)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from frame_harness.frame_metadata.orderings import last_reference, new_life
from frame_harness.frame_metadata.orderings.last_reference import (
    EARLIER,
    LAST,
    OVERTAKEN,
    last_reference_is_blind,
)
from frame_harness.frame_metadata.orderings.table import DEC_REF, NEW_EPOCH
from frame_harness.orderings.events import (
    AccessOp,
    Function,
    MemoryAccess,
    MemoryOrder,
    Path,
    SourceStep,
    Space,
)
from frame_harness.orderings.report import Compiled, OrderingViolation

FILE = "/k/frame.rs"
RELAXED, ACQUIRE, RELEASE, ACQ_REL = (
    MemoryOrder.MONOTONIC, MemoryOrder.ACQUIRE, MemoryOrder.RELEASE, MemoryOrder.ACQ_REL,
)  # fmt: skip


def drop(order: MemoryOrder, count: int, line: int = 7) -> MemoryAccess:
    trail = (SourceStep(DEC_REF, FILE, line),)
    return MemoryAccess(
        AccessOp.RMW,
        Space.SLOT,
        "refcount",
        order=order,
        detail="sub",
        read=count,
        written=count - 1,
        trail=trail,
    )


def fence(order: MemoryOrder) -> MemoryAccess:
    return MemoryAccess(AccessOp.FENCE, Space.NONE, "", order=order)


def dropping(count: int, order: MemoryOrder, *behind: MemoryAccess, end: str = "return") -> Path:
    return Path((drop(order, count), *behind), end)


def compiled(earlier: Sequence[Path], last: Sequence[Path]) -> Compiled:
    function = Function(DEC_REF, FILE, 5, (*earlier, *last))
    return Compiled(
        {DEC_REF: function}, {EARLIER: tuple(earlier), LAST: tuple(last), OVERTAKEN: ()}, FILE, {}
    )


@pytest.mark.parametrize(
    ("earlier", "last", "behind", "blind"),
    [
        (ACQ_REL, ACQ_REL, (), False),
        (RELEASE, RELEASE, (fence(ACQUIRE),), False),
        (RELEASE, ACQUIRE, (), False),
        (RELEASE, RELEASE, (), True),
        (RELEASE, RELEASE, (fence(RELEASE),), True),
        (RELAXED, ACQ_REL, (), True),
        (ACQUIRE, ACQ_REL, (), True),
        (RELAXED, RELAXED, (fence(ACQUIRE),), True),
    ],
)
def test_the_last_drop_sees_an_earlier_one_where_release_meets_acquire(
    earlier: MemoryOrder, last: MemoryOrder, behind: tuple[MemoryAccess, ...], blind: bool
) -> None:
    ways = [dropping(2, earlier)], [dropping(1, last, *behind)]
    assert last_reference_is_blind(*ways) is blind
    assert bool(list(last_reference.violations(compiled(*ways)))) is blind


def test_each_pair_of_ways_that_return_counts() -> None:
    good, bad = dropping(2, RELEASE), dropping(2, RELAXED)
    last = [dropping(1, RELEASE, fence(ACQUIRE))]
    assert last_reference_is_blind([good, bad], last) is True
    assert last_reference_is_blind([good, dropping(2, RELAXED, end="panic")], last) is False


@pytest.mark.parametrize(
    "earlier",
    [[], [dropping(2, RELEASE, end="cut")], [Path((fence(ACQ_REL),))]],
    ids=["none", "cut", "no drop"],
)
def test_where_no_way_drops_a_reference_nothing_is_known(earlier: list[Path]) -> None:
    last = [dropping(1, RELEASE, fence(ACQUIRE))]
    assert last_reference_is_blind(earlier, last) is None
    [found] = last_reference.violations(compiled(earlier, last))
    assert (found.clause, found.scene) == ("REF-09", None)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (dropping(1, RELEASE), "fetch_sub refcount Release, no Acquire after it"),
        (
            dropping(1, ACQ_REL),
            "fetch_sub refcount AcqRel: the Acquire after it has no Release to pair with",
        ),
        (
            dropping(1, RELAXED, fence(ACQUIRE)),
            "fetch_sub refcount Relaxed: the Acquire after it has no Release to pair with",
        ),
    ],
)
def test_a_blind_drop_is_told_with_what_it_lacks_at_its_line(last: Path, words: str) -> None:
    [found] = last_reference.violations(compiled([dropping(2, RELAXED)], [last]))
    assert (found.clause, found.got, found.file, found.line) == ("REF-09", words, FILE, 7)
    assert found.scene is not None and found.scene.trial is not None and found.scene.trial.witness()


def test_a_version_without_the_method_or_a_way_through_it_is_judged_elsewhere() -> None:
    bad = compiled([dropping(2, RELAXED)], [dropping(1, RELAXED)])
    assert list(last_reference.violations(Compiled({}, bad.walks, FILE, {}))) == []
    unwalked = Compiled(bad.functions, {}, FILE, {}, unwalked={DEC_REF: "assembly"})
    assert list(last_reference.violations(unwalked)) == []


def write(field: str, line: int) -> MemoryAccess:
    update = field == "generation"
    op, order = (AccessOp.RMW, RELEASE) if update else (AccessOp.STORE, RELAXED)
    trail = (SourceStep(NEW_EPOCH, FILE, line),)
    return MemoryAccess(
        op, Space.SLOT, field, order=order, detail="add" if update else "", written="x", trail=trail
    )


def published(*fields: str, end: str = "return") -> list[OrderingViolation]:
    path = Path(tuple(write(field, line) for line, field in enumerate(fields, start=20)), end)
    function = Function(NEW_EPOCH, FILE, 10, (path,))
    return list(new_life.violations(Compiled({NEW_EPOCH: function}, {}, FILE, {})))


@pytest.mark.parametrize(
    ("fields", "late"),
    [
        (("vtable", "guard", "generation"), []),
        (("vtable", "generation", "guard"), [("guard", 22)]),
        (("generation", "guard", "vtable"), [("guard", 21), ("vtable", 22)]),
        (("vtable", "guard", "generation", "flags"), []),
        (("vtable", "guard"), []),
    ],
)
def test_a_field_that_is_reset_behind_the_bump_is_published_too_early(
    fields: tuple[str, ...], late: list[tuple[str, int]]
) -> None:
    found = published(*fields)
    assert [(one.field, one.line) for one in found] == late
    assert all(one.clause == "GEN-04" and one.scene is not None for one in found)


def test_nothing_is_published_on_a_way_into_a_panic() -> None:
    assert published("generation", "guard", end="panic") == []
