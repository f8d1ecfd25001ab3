"""Derives which two operations to interleave, where, from what each of them does to a slot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from msgspec import structs

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr
from frame_harness.concurrency.two_cpus import FIRST, SECOND
from frame_harness.contract.versions import lacking
from frame_harness.guest.errors import GuestFailure, NotInThisVersion
from frame_harness.judge.diagrams import Hold, Interleaving
from frame_harness.races.accesses import Access, Trace
from frame_harness.races.operations import FRAME_OPERAND, Method, Operation, methods
from frame_harness.races.outcome import OTHER_SLOTS, PartNames, RaceResult, is_of_second, of_handed_out
from frame_harness.races.rules import RaceRules
from frame_harness.races.scenes import Scene
from frame_harness.races.stage import Stage

PlayKey = tuple[Scene, Operation, Access, Operation]
"""The scene, the operation that is held, ahead of what, the one that runs meanwhile."""
END = "end"
"""The part of an outcome that there is none of."""


@dataclass(frozen=True)
class Play:
    """One operation held ahead of one access to a field or a static, another one that runs meanwhile.

    Attributes:
        clause: the id of the one that an outcome counts against, by the held method and the field.
        apart: the other one is on another frame: nothing but statics of the module joins the two. Parts of
            an outcome that count against other clauses are not looked at.
    """

    scene: Scene
    held: Operation
    trace: Trace
    at: Access
    field: str
    meanwhile: Operation
    clause: str
    apart: bool = False

    @property
    def operations(self) -> tuple[str, str]:
        """Both in words."""
        on_another = self.apart and FRAME_OPERAND in self.meanwhile.method.operands
        return self.held.shown, self.meanwhile.shown + (" on another frame" if on_another else "")

    @property
    def key(self) -> PlayKey:
        """The same for each clause that it can break, and in each guest of one image."""
        return self.scene, self.held, self.at, self.meanwhile


@dataclass(frozen=True)
class Race:
    """An outcome that no order of the two operations explains.

    Attributes:
        diagram: what came of it; the accesses where they were recorded.
        frame: physical address of the frame whose slot it was.
        clause: the id of the one that is broken: the play's own, unless the operations come to no end.
        unordered: why it could not be played a second time; empty where it was not tried, or came to an end.
    """

    play: Play
    diagram: Interleaving
    frame: Paddr
    clause: str
    unordered: str = ""
    standing: Operation | None = None
    """The one of the two that did not come to its end; None where both did."""
    slot: bytes = b""
    """The bytes of the frame's slot behind it; empty where the guest did not come so far."""

    parts: PartNames = ()
    """What no order explains; empty where the operations come to no end."""

    remembered: bool = False
    """Whether it was not played in this guest: an earlier one did not survive it."""

    @property
    def function(self) -> str:
        """The subject's function to blame: of the one that did not come to its end, else of the held one."""
        return (self.standing or self.play.held).function

    @property
    def at(self) -> str:
        """Where the held operation was held; empty where it is the other one that is to blame."""
        return "" if self.standing not in (None, self.play.held) else self.diagram.hold.at

    @property
    def fatal(self) -> bool:
        """Whether the guest may have been left out of order."""
        lost = not self.parts or self.diagram.got.startswith("fault")
        return bool(self.unordered) or (lost and not self.remembered)


@dataclass
class Explorer:
    """What the operations of one guest do, found out once.

    Attributes:
        traces: of operations that meet others on their frame, in each of its scenes.
        alone: of operations that meet others which are on another frame.
        absent: commands that take no part because this version of the subject lacks a name that they need:
            those names, by command.
        endless: plays that came to no end in an earlier guest, which the next one is given: none is played
            again, for whichever clause.
    """

    stage: Stage
    rules: RaceRules
    endless: dict[PlayKey, Race] = field(default_factory=dict)
    traces: dict[tuple[Scene, Operation], Trace] = field(default_factory=dict)
    alone: dict[tuple[Scene, Operation], Trace] = field(default_factory=dict)
    absent: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _touched: dict[Method, set[Access]] = field(default_factory=dict)
    _orders: dict[tuple[Scene, Operation, Operation, bool], RaceResult] = field(default_factory=dict)
    _outcomes: dict[PlayKey, RaceResult] = field(default_factory=dict)
    _plays: dict[str, list[Play]] | None = None

    @classmethod
    def of(cls, stage: Stage, rules: RaceRules, endless: dict[PlayKey, Race] | None = None) -> Explorer:
        """Run every operation of the guest's table alone.

        Args:
            endless: of the explorer before this one.
        Raises:
            HarnessError: one of them never enters the subject, so that it would take part in no play, or
                belongs to a clause that nobody would ask for.
        """
        explorer = cls(stage, rules, {} if endless is None else endless)
        versions = stage.kernel.image.subject.contract.versions
        for method in methods(stage.table):
            if lacks := lacking(versions.of_line(method.name), stage.kernel.image.lacks):
                explorer.absent[method.name] = lacks
            elif rules.calls.why_left_out(method.name) is None:
                for operation in rules.calls.operations(method, stage.known):
                    explorer._learn(operation)
                if method.name in rules.calls.apart:
                    explorer._learn_apart(method)
        if strange := explorer.clauses() - set(rules.clauses):
            raise HarnessError("races", "clauses", expected="those of the table", actual=str(sorted(strange)))
        return explorer

    def plays(self, clause: str) -> Sequence[Play]:
        """What can break a clause, in an order of its own."""
        if self._plays is None:
            self._plays = {}
            for play in self._all():
                self._plays.setdefault(play.clause, []).append(play)
        return self._plays.get(clause, [])

    def require_plays(self, clause: str) -> None:
        """Go on only where nothing is absent, or something is left that can break a clause.

        Raises:
            NotInThisVersion: all operations that could are among those that are absent.
        """
        if self.absent and not self.plays(clause):
            names = dict.fromkeys(name for lacks in self.absent.values() for name in lacks)
            raise NotInThisVersion(tuple(names), "interleaving of two operations")

    def clauses(self) -> set[str]:
        """Those that the methods break whose accesses were seen."""
        return {
            self.rules.clause_of(operation.method.name, self._field(access))
            for (_, operation), trace in self.traces.items()
            for access in trace.accesses
            if self._is_of_slot(access)
        } | {clause for _, operation in self.traces for clause in self._clauses_apart(operation)}

    def _all(self) -> Iterator[Play]:
        yield from self._on_one_frame()
        yield from self._apart()

    def _on_one_frame(self) -> Iterator[Play]:
        others = list(dict.fromkeys(operation for _, operation in self.traces))
        for (scene, held), trace in self.traces.items():
            for meanwhile in others:
                if not self._may_meet(scene, held, meanwhile):
                    continue
                clashing = trace.clashing(self._touched[meanwhile.method])
                fields = {self._field(access) for access in clashing}
                if scene.changes and not fields & scene.changes.keys():
                    continue  # all the same as where nothing is changed
                for at in clashing[1:]:
                    touched = self._field(at)
                    of_slot = self._is_of_slot(at)
                    clause = (
                        self.rules.clause_of(held.method.name, touched) if of_slot else self._clause(held)
                    )
                    yield Play(scene, held, trace, at, touched, meanwhile, clause)

    def _apart(self) -> Iterator[Play]:
        """Pairs on two frames that touch one static: each has to come to what it comes to alone."""
        statics = {
            method: {access for access in accesses if not self._is_of_slot(access)}
            for method, accesses in self._touched.items()
        }
        others = [
            other for method, accesses in statics.items() if accesses for other in self._apart_of(method)
        ]
        for (scene, held), trace in self.alone.items():
            for meanwhile in others:
                clauses = dict.fromkeys((*self._clauses_apart(held), *self._clauses_apart(meanwhile)))
                for at in trace.clashing(statics[meanwhile.method])[1:]:
                    for clause in clauses:
                        yield Play(scene, held, trace, at, self._field(at), meanwhile, clause, apart=True)

    def judge(self, play: Play) -> Race | None:
        """Interleave two operations; None when an order of the two explains what comes of it."""
        if play.key in self.endless:
            return replace(self.endless[play.key], play=play, remembered=True)
        try:
            got = self._interleaved(play)
        except GuestFailure as failure:
            orders = ("both come to their end",) * 2
            standing = play.meanwhile if self.stage.failed == SECOND else play.held
            clause = self._clause(standing) if play.apart else play.clause
            race = self._race(play, (), orders, failure.summary)
            race = replace(race, clause=clause, standing=standing)
            self.endless[play.key] = race
            return race
        got = self._judged(play, got)
        first = self._judged(play, self._in_order(play, swapped=False))
        if got == first:
            return None
        legal = first, self._judged(play, self._in_order(play, swapped=True))
        if play.apart:
            # Which frame each of them is given depends on the order; one order has all the rest.
            legal = (got.nearest(legal),) * 2
        in_steps = {play.held.method.name, play.meanwhile.method.name} & self.rules.in_steps.keys()
        for parts in got.differences(legal, self.rules.of_one_order if in_steps else None):
            if play.apart and play.clause not in {self._spoiled(play, part) for part in parts}:
                continue
            orders = (legal[0].shown(parts), legal[1].shown(parts))
            return self._race(play, parts, orders, got.shown(parts), got.slot)
        return None

    def _interleaved(self, play: Play) -> RaceResult:
        """What comes of a play; it is the same for each clause that it can break."""
        if play.key not in self._outcomes:
            self._outcomes[play.key] = self.stage.interleaved(
                play.held.line, play.trace, play.at, play.meanwhile.line, play.scene
            )
        return self._outcomes[play.key]

    def recorded(self, race: Race) -> Race:
        """The same with the accesses to the slot: those of the play once more.

        Where that does not end, or ends otherwise, they are those of the held operation alone.
        """
        if race.parts:
            try:
                found = self._played_again(race)
            except HarnessError as error:
                # What was found counts; the guest does no longer.
                race = replace(race, unordered=error.summary)
            else:
                if found is not None:
                    return replace(race, diagram=found)
        ahead = self.stage.alone(race.play.trace, race.play.at)
        diagram = structs.replace(race.diagram, accesses=ahead, held_after=len(ahead), alone=True)
        return replace(race, diagram=diagram)

    def _played_again(self, race: Race) -> Interleaving | None:
        """The diagram with the accesses of a second play; None where that ends otherwise."""
        play, diagram = race.play, race.diagram
        recording, outcome = self.stage.recorded(play.held.line, play.at, play.meanwhile.line, play.scene)
        same = self._judged(play, outcome).shown(race.parts) == diagram.got
        return recording.added_to(diagram) if same else None

    def _race(
        self, play: Play, parts: PartNames, orders: tuple[str, str], got: str, slot: bytes = b""
    ) -> Race:
        hold = Hold(
            cpu=FIRST, instructions=play.at.instruction, at=self.stage.place(play.trace, play.at),
            inside=play.at.inside, field=play.field,
        )  # fmt: skip
        diagram = Interleaving(
            operations=play.operations, hold=hold, state=play.scene.name,
            part=", ".join(parts) or END, orders=orders, got=got,
        )  # fmt: skip
        return Race(play, diagram, self.stage.frame, play.clause, slot=slot, parts=parts)

    def _in_order(self, play: Play, *, swapped: bool) -> RaceResult:
        key = play.scene, play.held, play.meanwhile, swapped
        if key not in self._orders:
            self._orders[key] = self.stage.in_order(
                play.held.line, play.meanwhile.line, play.scene, swapped=swapped
            )
        return self._orders[key]

    def _learn(self, operation: Operation) -> None:
        rules = self.rules
        scene = rules.offered if operation.method.name == rules.allocates else rules.in_use
        trace = self._trace(operation, scene)
        self.alone[scene, operation] = trace
        if scene is rules.offered:
            return
        touched = {self._field(access) for access in trace.accesses}
        for scene in rules.variants:
            if touched & (scene.changes or {}).keys():
                self._trace(operation, scene)
        if not self._writes_slot(trace.accesses) or operation.method.name in rules.on_a_free_frame:
            self._trace(operation, rules.offered)

    def _learn_apart(self, method: Method) -> None:
        for operation in self._apart_of(method):
            self.alone[self.rules.offered, operation] = self._seen(operation, self.rules.offered)

    def _apart_of(self, method: Method) -> tuple[Operation, ...]:
        return self.rules.calls.operations_apart(method, self.stage.known, self.stage.other)

    def _trace(self, operation: Operation, scene: Scene) -> Trace:
        trace = self.traces[scene, operation] = self._seen(operation, scene)
        return trace

    def _seen(self, operation: Operation, scene: Scene) -> Trace:
        trace, answer = self.stage.trace(operation.line, scene)
        if trace is None:
            raise HarnessError(
                "races", operation.line, expected=f"a call of the subject, {scene.name}", actual=answer,
                next_step="see why the command comes back before it calls the subject",
            )  # fmt: skip
        self._touched.setdefault(operation.method, set()).update(trace.accesses)
        return trace

    def _field(self, access: Access) -> str:
        """The field of a slot, or the static, that an access begins in."""
        return self.stage.watched.field_at(access.offset)

    def _is_of_slot(self, access: Access) -> bool:
        return self.stage.watched.is_of_slot(access.offset)

    def _writes_slot(self, accesses: Iterable[Access]) -> bool:
        """Whether any access writes to the slot: one that counts its calls in a static is a reader, too."""
        return any(access.writes and self._is_of_slot(access) for access in accesses)

    def _clause(self, operation: Operation) -> str:
        """The clause of an operation that a static of the module mixes up with another one."""
        if operation.method.name == self.rules.allocates:
            return self.rules.clause_of_life(operation.line, "")
        fields = (
            self._field(access)
            for (_, other), trace in self.traces.items()
            if other == operation
            for access in trace.accesses
            if self._is_of_slot(access)
        )
        return self.rules.clause_of(operation.method.name, next(fields, ""))

    def _clauses_apart(self, operation: Operation) -> tuple[str, ...]:
        """What an operation can break whose result one on another frame spoils."""
        if operation.method.name == self.rules.allocates:
            return tuple(self.rules.clauses_of_life)
        return (self._clause(operation),)

    def _spoiled(self, play: Play, part: str) -> str:
        """The clause that a part of an outcome breaks: that of the operation whose result it is."""
        operation = play.meanwhile if is_of_second(part) else play.held
        allocations = [one for one in (play.held, play.meanwhile) if one.method.name == self.rules.allocates]
        if part == OTHER_SLOTS and len(allocations) == 1:
            [operation] = allocations  # the other one has no business with any frame but its own
        if operation in allocations:
            for cpu in (FIRST, SECOND):
                part = part.removeprefix(of_handed_out(cpu))
            return self.rules.clause_of_life(operation.line, part)
        return self._clause(operation)

    def _may_meet(self, scene: Scene, held: Operation, meanwhile: Operation) -> bool:
        allocates = self.rules.allocates
        if not scene.free:
            return meanwhile.method.name != allocates
        if meanwhile.method.name in self.rules.on_a_free_frame:
            # Two allocations get two frames.
            return not held.method.name == meanwhile.method.name == allocates
        # What a reader sees of a life that is being set up has checks of its own.
        writes = self._writes_slot(self._touched[meanwhile.method])
        return not writes and held.method.name != allocates

    def _judged(self, play: Play, outcome: RaceResult) -> RaceResult:
        """An outcome without what nobody is to look at."""
        if play.apart or not all(
            outcome.parts.get(one) in them for one, them in self.rules.of_free_frame.items()
        ):
            return outcome
        for (method, part), (mask, _) in self.rules.left_behind.items():
            if method == play.held.method.name:
                outcome = outcome.masked(part, mask)
        return outcome
