"""Judges compiled memory accesses against the ordering clauses of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from frame_harness.contract.versions import Versions, lacking
from frame_harness.frame_metadata.orderings import allocate as ordering_allocate
from frame_harness.frame_metadata.orderings import array as ordering_array
from frame_harness.frame_metadata.orderings.table import (
    ALLOCATE,
    CLAUSE_OF_FIELD,
    DEC_REF,
    FUNCTIONS,
    NEEDS,
    ORDERING_CLAUSES,
    Need,
)
from frame_harness.orderings.events import Access, Function, MemoryOrder, Op, Path, Space
from frame_harness.orderings.outcomes import (
    hides_writes,
    last_reference_is_blind,
    loses_updates,
    misses_writes,
)
from frame_harness.orderings.report import Compiled, OrderingReport, OrderingViolation, place_of
from frame_harness.orderings.unjudged import ATOMIC, certain, unjudged

RACE = "a data race: the compiler may tear, repeat or invent the access, and nothing orders it"
LOST = "two CPUs that do this at once may both start from the same value, and one of the two is lost"
HIDDEN = "a CPU that acquires the value written here may still see older values of what was written before it"
MISSED = (
    "it may return what another CPU released, and this CPU still sees older values of what was written before"
)
SPURIOUS = "it may refuse although the expected value is there: a free frame looks taken"
BY_NAME = "nothing that the small programs tried here can show; the contract asks for it by name"
UNKNOWN = "unknown: what is not there cannot be judged"
BLIND = (
    "the CPU that drops the last reference may reuse the frame while an earlier holder's writes to it "
    "are still to become visible"
)


def judge(compiled: Compiled, versions: Versions) -> OrderingReport:
    """Return what the compiled functions say about each clause."""
    absent = {one for one in ORDERING_CLAUSES if lacking(versions.of_clause(one), compiled.lacks)}
    unknown = tuple(one for one in unjudged(compiled) if one.clause not in absent)
    present = (one for one in dict.fromkeys(_violations(compiled)) if one.clause not in absent)
    found = certain(present, unknown)
    outcomes = {
        **dict.fromkeys(ORDERING_CLAUSES, "held"),
        **dict.fromkeys((one.clause for one in unknown), "not-evaluated"),
        **dict.fromkeys((violation.clause for violation in found), "violated"),
        **dict.fromkeys(absent, "not in this version"),
    }
    return OrderingReport(
        clauses=outcomes,
        unjudged=unknown,
        violations=tuple(found),
        notes=tuple(dict.fromkeys(_notes(compiled))),
        events={
            name: tuple(access.describe() for access in function.accesses() if access.op is not Op.CALL)
            for name, function in compiled.functions.items()
        },
    )


def _violations(compiled: Compiled) -> Iterator[OrderingViolation]:
    for need in NEEDS:
        function = compiled.functions.get(need.function)
        if need.function in compiled.lacks:
            continue
        if function is not None:
            yield from _unmet(need, function)
        elif not need.optional and need.function not in compiled.unread:
            got = "no such function in the compiled code"
            yield OrderingViolation(
                need.clause, need.function, need.field, need.expected, got, compiled.file, 0, UNKNOWN
            )
    for name in FUNCTIONS:
        if name in compiled.functions:
            yield from _plain(compiled.functions[name])
    yield from ordering_array.violations(compiled)
    yield from ordering_allocate.violations(compiled)
    yield from _last_reference(compiled)


def _plain(function: Function) -> Iterator[OrderingViolation]:
    for access in function.accesses():
        if access.space is Space.SLOT and not access.order.atomic:
            clause = CLAUSE_OF_FIELD.get(access.item, "REF-08")
            yield _violation(clause, function, access, access.item, ATOMIC, access.describe(), RACE)


def _violation(
    clause: str,
    function: Function,
    access: Access | None,
    field: str,
    expected: str,
    got: str,
    consequence: str,
) -> OrderingViolation:
    file, line = place_of(function, access)
    return OrderingViolation(clause, function.name, field, expected, got, file, line, consequence)


# ---- One need


def _unmet(need: Need, function: Function) -> Iterator[OrderingViolation]:
    returning = [path for path in function.paths if path.returns]
    having = [path for path in returning if any(_serves(need, access) for access in path)]
    if not having or (need.always and len(having) < len(returning)):
        lacking = next((path for path in returning if path not in having), None)
        yield _missing(need, function, lacking)
    for path in returning:
        for index, access in enumerate(path.accesses):
            if access.touches(need.field) and access.order.atomic:
                yield from _too_weak(need, function, path, index)


def _serves(need: Need, access: Access) -> bool:
    if not access.touches(need.field):
        return False
    if need.what == "update":
        return access.is_update or (need.failure is not None and access.op is Op.LOAD)
    return access.reads if need.what == "read" else access.writes


def _missing(need: Need, function: Function, path: Path | None) -> OrderingViolation:
    touching = [access for access in path or () if access.touches(need.field)]
    got = " then ".join(access.describe() for access in touching) or "nothing of the kind"
    loses = path is not None and need.what == "update" and loses_updates(path, need.field)
    first = touching[0] if touching else None
    return _violation(
        need.clause, function, first, need.field, need.expected, got, LOST if loses else BY_NAME
    )


def _too_weak(need: Need, function: Function, path: Path, index: int) -> Iterator[OrderingViolation]:
    access = path.accesses[index]
    checks = {"update": _weak_update, "read": _weak_read, "write": _weak_write}
    consequence = checks[need.what](need, path, index)
    if consequence:
        yield _violation(
            need.clause, function, access, need.field, need.expected, _with_fences(path, index), consequence
        )


def _with_fences(path: Path, index: int) -> str:
    return path.describe(index) + (" (never tried again)" if path.accesses[index].spurious else "")


def _weak_update(need: Need, path: Path, index: int) -> str:
    """Return what follows from what is wrong with one access where an update is asked; empty: nothing is."""
    access, effective = path.accesses[index], path.effective(index)
    if access.op is Op.LOAD:
        return _weak_guess(need, path, index)
    if access.op is Op.STORE:
        return LOST if loses_updates(path, need.field) else BY_NAME
    if not access.done:
        return _weak_refusal(need, path, index)
    if effective.at_least(need.order):
        return ""
    if need.order.releases and not effective.releases:
        return _when(hides_writes(path, index), HIDDEN)
    return _when(misses_writes(path, index), MISSED)


def _weak_guess(need: Need, path: Path, index: int) -> str:
    # An update proves or refutes what was loaded ahead of it. Without one, the load is the refusal itself.
    if need.failure is None or any(access.is_update and access.touches(need.field) for access in path):
        return ""
    return "" if path.effective(index).at_least(need.failure) else _when(misses_writes(path, index), MISSED)


def _weak_refusal(need: Need, path: Path, index: int) -> str:
    if path.gives_up(index):
        return SPURIOUS
    if need.failure is None or path.effective(index).at_least(need.failure):
        return ""
    return _when(misses_writes(path, index), MISSED)


def _weak_read(need: Need, path: Path, index: int) -> str:
    access = path.accesses[index]
    if not access.reads or not need.order.acquires or path.effective(index).acquires:
        return ""
    return _when(misses_writes(path, index), MISSED)


def _weak_write(need: Need, path: Path, index: int) -> str:
    access = path.accesses[index]
    if not access.writes or not need.order.releases or path.effective(index).releases:
        return ""
    return _when(hides_writes(path, index), HIDDEN)


def _when(shown: bool, words: str) -> str:
    return words if shown else BY_NAME


# ---- What spans two calls


def _last_reference(compiled: Compiled) -> Iterator[OrderingViolation]:
    function = compiled.functions.get(DEC_REF)
    if function is None:
        return  # REF-08 says so already, and nothing is known about this clause
    blind = last_reference_is_blind(compiled.earlier_drop, compiled.last_drop)
    if blind is False:
        return
    drop = next((access for path in compiled.last_drop for access in path if access.is_update), None)
    got = drop.describe() if drop is not None else "no update of refcount"
    expected = "Release on each drop, Acquire on the way on which the previous value was 1"
    if blind and drop is not None:
        alone = all(_acquires_after_drop(path) for path in compiled.last_drop if path.returns)
        got += ": the Acquire after it has no Release to pair with" if alone else ", no Acquire after it"
    yield _violation("REF-09", function, drop, "refcount", expected, got, BLIND if blind else UNKNOWN)


def _acquires_after_drop(path: Path) -> bool:
    """Whether a way on which the last reference is dropped acquires, by the drop itself or behind it."""
    drops = [index for index, access in enumerate(path.accesses) if access.is_update and access.done]
    return any(
        path.effective(drop).acquires or any(one.order.acquires for one in path.accesses[drop + 1 :])
        for drop in drops
    )


# ---- Notes


def _notes(compiled: Compiled) -> Iterator[str]:
    for need in NEEDS:
        function = compiled.functions.get(need.function)
        if function is not None:
            yield from _stronger(need, function)
    poison = compiled.functions.get("MetaSlot::mark_poisoned")
    if poison is not None and any(loses_updates(path, "flags") for path in poison.paths if path.returns):
        file, line = place_of(poison, _first_store(poison.paths, "flags"))
        yield f"{file}:{line}: {poison.name}: flags are loaded, then stored: {LOST} (GUARD-09)"


def _first_store(paths: Iterable[Path], field: str) -> Access | None:
    return next(
        (access for path in paths for access in path if access.writes and access.touches(field)), None
    )


def _stronger(need: Need, function: Function) -> Iterator[str]:
    if need.function == ALLOCATE:
        return
    for access in function.accesses():
        if not access.touches(need.field) or not _serves(need, access):
            continue
        ceiling = need.ceiling or (
            MemoryOrder.ACQ_REL if access.is_update and need.what != "update" else need.order
        )
        if not ceiling.at_least(access.order) and access.order.atomic:
            file, line = place_of(function, access)
            asked = f"is stronger than {need.clause} asks ({need.order.shown})"
            yield f"{file}:{line}: {function.name}: {access.describe()} {asked}"
