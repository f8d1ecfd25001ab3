"""Judges the order of steps inside `allocate` (ALLOC-12, ALLOC-16)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.orderings.new_life import missing_part, stale_parts
from frame_harness.frame_metadata.orderings.table import ALLOCATE
from frame_harness.orderings.events import AccessOp, Function, MemoryAccess, MemoryOrder, Path, Space
from frame_harness.orderings.outcomes import Trial
from frame_harness.orderings.report import Compiled, OrderingScene, OrderingViolation, place_of

SOURCES_OF_FRAMES = ("alloc_migratetype", "alloc")  # the second before there were migratetypes
LIVE = 1
CLAIM = "the claim: one update of refcount, at least AcqRel, Acquire on failure"
FOR_NOTHING = "the claim may fail although the frame is free"
UNSEEN = "nothing that the small programs tried here can show; the contract asks for it by name"


@dataclass(frozen=True)
class Attempt:
    """The part of a path that turns one frame into a live one."""

    path: Path

    def find(self, field: str) -> list[int]:
        """Return where a slot's field is written."""
        return [
            index
            for index, access in enumerate(self.path.accesses)
            if access.touches(field) and access.writes
        ]

    @property
    def zeroing(self) -> list[int]:
        """The indices on the path of writes behind computed addresses, as those to the payload are."""
        return [at for at, access in enumerate(self.path) if access.space is Space.MEMORY and access.writes]

    @property
    def claim(self) -> int | None:
        """Where the count first changes."""
        return next(iter(self.find("refcount")), None)

    @property
    def succeeds(self) -> bool:
        """Whether the frame is live in the end: an attempt may give up by storing the free sentinel again."""
        counts = self.find("refcount")
        return bool(counts) and self.path.accesses[counts[-1]].written != C.refcount_unused


def violations(compiled: Compiled) -> Iterator[OrderingViolation]:
    """Yield what breaks ALLOC-12 and ALLOC-16."""
    function = compiled.functions.get(ALLOCATE)
    if function is None:
        if ALLOCATE in compiled.unread:
            return
        got = "no such function in the compiled code"
        for clause in ("ALLOC-12", "ALLOC-16"):
            yield OrderingViolation(clause, ALLOCATE, "", "the function", got, compiled.file, 0, "unknown")
        return
    attempts = list(
        dict.fromkeys(attempt for path in function.paths if path.returns for attempt in _attempts(path))
    )
    if not any(attempt.zeroing for attempt in attempts):
        expected = "a way on which the payload is zeroed, then the frame claimed"
        for clause in ("ALLOC-12", "ALLOC-16"):
            yield _at(function, None, clause, "payload", expected, "none", "unknown")
    for attempt in attempts:
        yield from _Judge(function, attempt).violations()
    yield from _refusals(function, attempts)


def _attempts(path: Path) -> Iterator[Attempt]:
    calls = [
        at
        for at, access in enumerate(path.accesses)
        if access.op is AccessOp.CALL and access.item in SOURCES_OF_FRAMES
    ]
    attempt = Attempt(Path(path.accesses[calls[-1] + 1 if calls else 0 :]))
    if attempt.succeeds:
        yield attempt


def _at(
    function: Function,
    access: MemoryAccess | None,
    clause: str,
    field: str,
    expected: str,
    got: str,
    consequence: str,
    *,
    weak: bool = False,
    scene: OrderingScene | None = None,
) -> OrderingViolation:
    # Steps in the wrong order are told by where `allocate` takes them; a weak one by where it is weak.
    file, line = place_of(function, access, outermost=not weak)
    return OrderingViolation(clause, function.name, field, expected, got, file, line, consequence, scene)


def _refusals(function: Function, attempts: Iterable[Attempt]) -> Iterator[OrderingViolation]:
    """Yield what is wrong with a claim that fails; it may end in a panic, so every path counts."""
    claims = {attempt.path.accesses[attempt.claim].trail for attempt in attempts if attempt.claim is not None}
    for path in function.paths:
        for index, access in enumerate(path.accesses):
            if access.done or access.trail not in claims:
                continue
            acquires, got = path.effective(index).acquires, access.describe()
            if not acquires or path.gives_up(index):
                why = FOR_NOTHING if acquires else UNSEEN
                scene = OrderingScene(path, access)
                yield _at(function, access, "ALLOC-12", "refcount", CLAIM, got, why, weak=True, scene=scene)


class _Judge:
    """Judges one attempt."""

    def __init__(self, function: Function, attempt: Attempt) -> None:
        self._function = function
        self._attempt = attempt
        self._accesses = attempt.path.accesses

    def violations(self) -> Iterator[OrderingViolation]:
        yield from self._life()
        claim = self._attempt.claim
        if claim is not None:
            yield from self._before(claim)
            yield from self._claim(claim)
            yield from self._after(claim)

    def _broken(self, index: int | None, field: str, expected: str, got: str) -> OrderingViolation:
        access = self._accesses[index] if index is not None else None
        consequence, scene = self._consequence(access)
        return _at(self._function, access, "ALLOC-12", field, expected, got, consequence, scene=scene)

    def _weak(self, index: int, field: str, expected: str) -> OrderingViolation:
        access, got = self._accesses[index], self._attempt.path.describe(index)
        consequence, scene = self._consequence(access)
        return _at(
            self._function, access, "ALLOC-12", field, expected, got, consequence, weak=True, scene=scene
        )

    def _before(self, claim: int) -> Iterator[OrderingViolation]:
        flags = self._attempt.find("flags")
        if not flags or flags[0] > claim:
            got = "flags after the claim" if flags else "no store of flags"
            yield self._broken(flags[0] if flags else None, "flags", "flags stored before the claim", got)
        for index in flags[:1]:
            if not self._attempt.path.effective(index).releases:
                yield self._weak(index, "flags", "flags stored with at least Release")
        order = self._attempt.find("order")
        if not order or order[0] > claim:
            got = "order after the claim" if order else "no store of order"
            yield self._broken(order[0] if order else None, "order", "order stored before the claim", got)
        zeroing = self._attempt.zeroing
        for limit, name in ((flags[0] if flags else claim, "flags"), (claim, "the claim")):
            if zeroing and zeroing[-1] > limit:
                yield self._broken(zeroing[-1], "payload", f"zeroing before {name}", f"zeroing after {name}")

    def _claim(self, index: int) -> Iterator[OrderingViolation]:
        access = self._accesses[index]
        strong = access.is_update and self._attempt.path.effective(index).at_least(MemoryOrder.ACQ_REL)
        if not strong:
            yield self._weak(index, "refcount", CLAIM)

    def _after(self, claim: int) -> Iterator[OrderingViolation]:
        generation = [at for at in self._attempt.find("generation") if at > claim]
        if not generation:
            yield self._broken(claim, "generation", "generation bumped after the claim", "no bump after it")
        for early in (at for at in self._attempt.find("generation") if at < claim):
            yield self._broken(early, "generation", "generation bumped after the claim", "a bump before it")
        for index in generation:
            if not self._attempt.path.effective(index).releases:
                yield self._weak(index, "generation", "generation bumped with at least Release")
        for field in ("vtable", "guard"):
            yield from self._epoch_field(field, claim, generation)

    def _epoch_field(self, field: str, claim: int, generation: list[int]) -> Iterator[OrderingViolation]:
        writes = [at for at in self._attempt.find(field) if at > claim]
        expected = f"{field} reset between the claim and the bump of generation"
        if not writes or (generation and writes[0] > generation[-1]):
            got = f"{field} after the bump" if writes else f"no write of {field} after the claim"
            yield self._broken(writes[0] if writes else claim, field, expected, got)
        for index in writes:
            if not self._attempt.path.effective(index).releases:
                yield self._weak(index, field, f"{field} stored with at least Release")

    def _consequence(self, access: MemoryAccess | None) -> tuple[str, OrderingScene]:
        """Return what a CPU could see that acquires count, flags or generation, and what shows it."""
        found: list[str] = []
        trial: Trial | None = None
        for place, value, words in (
            ("refcount", LIVE, "reads refcount 1"),
            ("flags", None, "reads the new flags"),
            ("generation", None, "reads the new generation"),
        ):
            stale = stale_parts(self._attempt.path, place, value) or []
            promised = [part for part in stale if part in _PROMISED[place]]
            if promised:
                trial = trial or missing_part(self._attempt.path, place, value, promised[0])
                found.append(f"a CPU that {words} may still see the old {', '.join(promised)}")
        return "; ".join(found) or UNSEEN, OrderingScene(self._attempt.path, access, trial)

    def _life(self) -> Iterator[OrderingViolation]:
        stale = stale_parts(self._attempt.path, "refcount", LIVE)
        counts = self._attempt.find("refcount")
        expected = "a CPU that acquires refcount 1 sees the whole new life"
        access = self._accesses[counts[-1]] if counts else None
        if stale is None:
            got = "refcount 1 is never stored"
            yield _at(
                self._function, access, "ALLOC-16", "refcount", expected, got, "no frame ever looks live"
            )
        elif stale:
            what = self._attempt.path.describe(counts[-1]) if counts else "nothing"
            got = f"{what}; {', '.join(stale)} not ordered before it"
            consequence = f"a CPU that reads refcount 1 may still see the old {', '.join(stale)}"
            trial = missing_part(self._attempt.path, "refcount", LIVE, stale[0])
            scene = OrderingScene(self._attempt.path, access, trial)
            yield _at(self._function, access, "ALLOC-16", "refcount", expected, got, consequence, scene=scene)


# What ALLOC-12 promises to whom; that a reader of the count sees the epoch too is ALLOC-16.
_PROMISED = {
    "refcount": ("flags", "order", "payload"),
    "flags": ("payload",),
    "generation": ("flags", "order", "payload", "guard", "vtable"),
}
