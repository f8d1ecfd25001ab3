"""Judges compiled memory accesses against the ordering clauses of the contract."""

from __future__ import annotations

from collections.abc import Iterator

from frame_harness.contract.versions import Versions, lacking
from frame_harness.orderings.demands import Need, OrderingRules
from frame_harness.orderings.events import AccessOp, Function, MemoryAccess, MemoryOrder, Path, Space
from frame_harness.orderings.outcomes import (
    Trial,
    hides_writes,
    hiding,
    loses_updates,
    losing,
    misses_writes,
    missing,
)
from frame_harness.orderings.report import (
    Compiled,
    OrderingReport,
    OrderingScene,
    OrderingViolation,
    place_of,
)
from frame_harness.orderings.unjudged import ATOMIC, certain, looked_at, unjudged

RACE = "a data race: the compiler may tear, repeat or invent the access, and nothing orders it"
LOST = "two CPUs that do this at once may both start from the same value, and one of the two is lost"
HIDDEN = "a CPU that acquires the value written here may still see older values of what was written before it"
MISSED = (
    "it may return what another CPU released, and this CPU still sees older values of what was written before"
)
SPURIOUS = "it may refuse although the expected value is there: a free frame looks taken"
BY_NAME = "nothing that the small programs tried here can show; the contract asks for it by name"
UNKNOWN = "unknown: what is not there cannot be judged"


def judge(compiled: Compiled, rules: OrderingRules, versions: Versions) -> OrderingReport:
    """Return what the compiled functions say about each clause."""
    absent = {one for one in rules.clauses if lacking(versions.of_clause(one), compiled.lacks)}
    unknown = tuple(one for one in unjudged(compiled, rules) if one.clause not in absent)
    present = (one for one in dict.fromkeys(_violations(compiled, rules)) if one.clause not in absent)
    found = certain(present, unknown, rules)
    outcomes = {
        **dict.fromkeys(rules.clauses, "not-evaluated"),
        **dict.fromkeys(looked_at(compiled, rules), "held"),
        **dict.fromkeys((one.clause for one in unknown), "not-evaluated"),
        **dict.fromkeys((violation.clause for violation in found), "violated"),
        **dict.fromkeys(absent, "not in this version"),
    }
    return OrderingReport(
        clauses=outcomes,
        unjudged=unknown,
        violations=tuple(found),
        notes=tuple(dict.fromkeys(_notes(compiled, rules))),
        events={
            name: tuple(access.describe() for access in function.accesses() if access.op is not AccessOp.CALL)
            for name, function in compiled.functions.items()
        },
    )


def _violations(compiled: Compiled, rules: OrderingRules) -> Iterator[OrderingViolation]:
    for need in rules.needs:
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
    for name in rules.functions:
        if name in compiled.functions:
            yield from _plain(compiled.functions[name], rules)
    for steps in rules.steps:
        yield from steps(compiled)


def _plain(function: Function, rules: OrderingRules) -> Iterator[OrderingViolation]:
    for access in function.accesses():
        if access.space is Space.SLOT and not access.order.atomic:
            clause = rules.clause_of_field.get(access.item, rules.clause_of_slot)
            scene = _scene_of(function, access)
            yield violation_at(clause, function, access, access.item, ATOMIC, access.describe(), RACE, scene)


def violation_at(
    clause: str,
    function: Function,
    access: MemoryAccess | None,
    field: str,
    expected: str,
    got: str,
    consequence: str,
    scene: OrderingScene | None = None,
) -> OrderingViolation:
    """A violation at an access of a function, or at the function itself."""
    file, line = place_of(function, access)
    return OrderingViolation(clause, function.name, field, expected, got, file, line, consequence, scene)


def _scene_of(function: Function, access: MemoryAccess) -> OrderingScene | None:
    path = next((path for path in function.paths if access in path.accesses), None)
    return None if path is None else OrderingScene(path, access)


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


def _serves(need: Need, access: MemoryAccess) -> bool:
    if not access.touches(need.field):
        return False
    if need.what == "update":
        return access.is_update or (need.failure is not None and access.op is AccessOp.LOAD)
    return access.reads if need.what == "read" else access.writes


def _missing(need: Need, function: Function, path: Path | None) -> OrderingViolation:
    touching = [access for access in path or () if access.touches(need.field)]
    got = " then ".join(access.describe() for access in touching) or "nothing of the kind"
    loses = path is not None and need.what == "update" and loses_updates(path, need.field)
    first = touching[0] if touching else None
    trial = losing(path, need.field) if path is not None and loses else None
    return violation_at(
        need.clause, function, first, need.field, need.expected, got, LOST if loses else BY_NAME,
        None if path is None else OrderingScene(path, first, trial),
    )  # fmt: skip


def _too_weak(need: Need, function: Function, path: Path, index: int) -> Iterator[OrderingViolation]:
    access = path.accesses[index]
    checks = {"update": _weak_update, "read": _weak_read, "write": _weak_write}
    consequence = checks[need.what](need, path, index)
    if consequence:
        yield violation_at(
            need.clause, function, access, need.field, need.expected, _with_fences(path, index), consequence,
            OrderingScene(path, access, _trial(need, path, index, consequence)),
        )  # fmt: skip


def _trial(need: Need, path: Path, index: int, consequence: str) -> Trial | None:
    """The program that showed a consequence."""
    if consequence == LOST:
        return losing(path, need.field)
    programs = {HIDDEN: hiding, MISSED: missing}
    return programs[consequence](path, index) if consequence in programs else None


def _with_fences(path: Path, index: int) -> str:
    return path.describe(index) + (" (never tried again)" if path.accesses[index].spurious else "")


def _weak_update(need: Need, path: Path, index: int) -> str:
    """Return what follows from what is wrong with one access where an update is asked; empty: nothing is."""
    access, effective = path.accesses[index], path.effective(index)
    if access.op is AccessOp.LOAD:
        return _weak_guess(need, path, index)
    if access.op is AccessOp.STORE:
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


# ---- Notes


def _notes(compiled: Compiled, rules: OrderingRules) -> Iterator[str]:
    for need in rules.needs:
        function = compiled.functions.get(need.function)
        if function is not None and need.function not in rules.no_notes:
            yield from _stronger(need, function)
    for notes in rules.notes:
        yield from notes(compiled)


def _stronger(need: Need, function: Function) -> Iterator[str]:
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
