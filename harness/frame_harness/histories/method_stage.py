"""Plays random sequences of calls on a few slots, all of it from the methods that a contract declares.

A round is one batch: calls on different slots, so that RAM shows afterwards what each of them left. The next
round begins with what is there: with one of several allowed ends, or with what breaks a clause that is not
looked at. Where the contract leaves no choice, rounds are drawn ahead and run in one go; whatever becomes of
them otherwise is left to a history that is played round by round.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Any

import numpy as np

from frame_harness.base.units import Paddr, Pfn, frames_from, pfn_to_paddr
from frame_harness.contract.methods import Case, SlotMethod, SlotValues
from frame_harness.contract.versions import lacking
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.boundaries import is_allowed, outcomes, require_known, violation, write_slots
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.program import Ask, Program
from frame_harness.guest.reply import Reply
from frame_harness.histories.shrink import PlainStep

SLOTS = 4
BESIDE = 16
"""Slots on each side of these that no call may change."""
TRIES = 8
"""Operands that are drawn for a call before another slot has its turn."""
PLAIN = (0, 1)
AHEAD = 64
"""Rounds that run at a time: the guest keeps what it sees of the slots behind each of them."""


@dataclass(frozen=True)
class MethodCall(PlainStep):
    """One call of a method of one of the history's slots; calls of one round are about different ones."""

    round: int
    slot: int
    method: str
    arguments: tuple[int, ...]

    def simpler(self) -> Iterator[MethodCall]:
        """Yield the call with one argument replaced by each smaller value of `PLAIN`."""
        for at, value in enumerate(self.arguments):
            for plain in PLAIN:
                if plain < value:
                    yield replace(self, arguments=(*self.arguments[:at], plain, *self.arguments[at + 1 :]))


class Unforeseen(Exception):
    """A call left another slot than those were drawn for that come behind it."""


@dataclass(frozen=True)
class _Round:
    """Calls with the slots that they find, and those that the contract makes expect behind them."""

    calls: list[MethodCall]
    before: Sequence[SlotValues]
    after: list[SlotValues]
    sure: bool
    """Whether the contract leaves no choice."""


@dataclass(frozen=True)
class Wrong:
    """A history whose last round broke a clause; the last of `steps` did where one call is to blame."""

    clause: str
    steps: tuple[MethodCall, ...]
    told: ClauseViolated
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Made:
    """The calls of a history so far, with the guest's answers."""

    calls: list[MethodCall] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def wrong(self, clause: str, told: ClauseViolated) -> Wrong:
        return Wrong(clause, tuple(self.calls), told, tuple(self.lines))


class MethodStage:
    """Some slots in the middle of a table, what each holds when a history begins, the clause judged."""

    def __init__(self, kernel: BootedGuest, start: Sequence[SlotValues], clause: str) -> None:
        self.kernel, self.start, self.clause = kernel, start, clause
        self.contract = kernel.image.subject.contract
        self.methods: dict[str, list[SlotMethod]] = {}
        for method in self.contract.methods:
            if not lacking(self.contract.versions.of_line(method.command), kernel.image.lacks):
                self.methods.setdefault(method.name, []).append(method)
        self.first = Pfn(len(kernel.slots()) // 2)
        self._offset = min(self.first, BESIDE) if clause == self.contract.layouts.general else 0
        """Where the first of the history's slots is among those that are looked at."""

    def play_random(self, rng: random.Random, n_calls: int) -> Wrong | None:
        """A history of so many calls, round by round."""
        return self._run(self._drawing(rng, n_calls))

    def play_ahead(self, program: Program, rng: random.Random, n_calls: int) -> Wrong | None:
        """The same history, of which many rounds run at a time.

        Raises:
            Unforeseen: it did not go as the contract makes expect; the clause may be broken, or another one.
            GuestFailure: there is no guest any more, for this reason or another.
        """
        draw, made, watched = self._drawing(rng, n_calls), _Made(), self._watched()
        now: Sequence[SlotValues] = self.start
        with self._begun():
            while rounds := list(self._ahead(draw, now)):
                before, now = watched.copy(), rounds[-1].after
                called = [one for one in rounds if one.calls]
                ran = program.run([ask for one in called for ask in self._asks(one.calls)])
                seen = np.frombuffer(ran.seen, watched.dtype).reshape(-1, len(watched))
                replies = iter(ran.replies)
                for one, after in zip(called, seen, strict=True):
                    answers = require_known(list(islice(replies, len(one.calls))))
                    if wrong := self._judged(one.calls, answers, one.before, (before, after), made):
                        return wrong
                    now, before = self._slots_in(after), after
                    if one.sure and now != one.after:
                        raise Unforeseen
        return None

    def _ahead(
        self, draw: Callable[[Sequence[SlotValues]], list[MethodCall] | None], now: Sequence[SlotValues]
    ) -> Iterator[_Round]:
        """Rounds up to one of which several ends are allowed, or to as many as run at a time."""
        for _ in range(AHEAD):
            if (calls := draw(now)) is None:
                return
            ends = {call.slot: self._ends(call, now[call.slot]) for call in calls}
            after = [ends[slot][0] if slot in ends else before for slot, before in enumerate(now)]
            sure = all(len(of_call) == 1 for of_call in ends.values())
            yield _Round(calls, now, after, sure)
            if not sure:
                return
            now = after

    def _ends(self, call: MethodCall, before: SlotValues) -> list[SlotValues]:
        """What the slot may hold behind a call."""
        ends: list[SlotValues] = []
        for method in self._parts(call, before):
            for end in method.effect(before, call.arguments):
                if (after := {**before, **end.after}) not in ends:
                    ends.append(after)
        return ends

    def _asks(self, calls: Sequence[MethodCall]) -> Iterator[Ask]:
        """A round's commands; behind the last one all slots are looked at, as the host does in a round."""
        first = Pfn(self.first - self._offset)
        for call in calls:
            slots = (*frames_from(first, len(self._watched())),) if call is calls[-1] else ()
            yield Ask(self._line(call), slots)

    def _drawing(
        self, rng: random.Random, n_calls: int
    ) -> Callable[[Sequence[SlotValues]], list[MethodCall] | None]:
        """What draws a history of so many calls."""
        pools = self._pools()
        left = n_calls

        def draw(now: Sequence[SlotValues]) -> list[MethodCall]:
            nonlocal left
            slots = rng.sample(range(SLOTS), min(left, rng.randint(1, SLOTS)))
            left -= len(slots)
            called = [(slot, self._call(rng, now[slot], pools)) for slot in slots]
            return [MethodCall(left, slot, *call) for slot, call in called if call]

        return lambda now: draw(now) if left else None

    def _pools(self) -> list[list[str]]:
        """The methods to draw from: the clause's own, those that share a field with these, all."""
        own = [one for parts in self.methods.values() for one in parts if self.clause in one.clauses]
        fields = {name for one in own for name in (*one.stored, *one.by_field)}
        near = [one for parts in self.methods.values() for one in parts if fields & {*one.stored}]
        pools = [list(dict.fromkeys(one.name for one in each)) for each in (own, near)]
        return [pool for pool in (*pools, list(self.methods)) if pool]

    def _call(
        self, rng: random.Random, now: SlotValues, pools: Sequence[Sequence[str]]
    ) -> tuple[str, tuple[int, ...]] | None:
        """A method with operands of which the contract speaks."""
        for _ in range(TRIES):
            name = rng.choice(rng.choice(pools))
            operands = self.methods[name][0].operands
            arguments = tuple(_operand(rng, declared.values, now) for declared in operands)
            if any(method.where(now, arguments) for method in self.methods[name]):
                return name, arguments
        return None

    def play(self, calls: Sequence[MethodCall]) -> Wrong | None:
        """Given calls; those that the contract does not speak of, as things stand, are left out."""
        rounds = iter([list(group) for _, group in groupby(calls, lambda call: call.round)])

        def take(now: Sequence[SlotValues]) -> list[MethodCall] | None:
            group = next(rounds, None)
            return group and [call for call in group if self._parts(call, now[call.slot])]

        return self._run(take)

    def _parts(self, call: MethodCall, before: SlotValues) -> list[SlotMethod]:
        return [method for method in self.methods[call.method] if method.where(before, call.arguments)]

    def _run(self, choose: Callable[[Sequence[SlotValues]], list[MethodCall] | None]) -> Wrong | None:
        watched, made = self._watched(), _Made()
        now: Sequence[SlotValues] = self.start
        with self._begun():
            while (calls := choose(now)) is not None:
                before = watched.copy()
                replies = outcomes(self.kernel, [self._line(call) for call in calls])
                if wrong := self._judged(calls, replies, now, (before, watched), made):
                    return wrong
                now = self._slots_in(watched)
        return None

    def _table(self) -> Any:
        """The history's slots, live."""
        return self.kernel.slots()[self.first : self.first + SLOTS]

    def _watched(self) -> Any:
        """Those that are looked at behind each round, live: with others beside them where these count."""
        behind = BESIDE if self.clause == self.contract.layouts.general else 0
        return self.kernel.slots()[self.first - self._offset : self.first + SLOTS + behind]

    @contextlib.contextmanager
    def _begun(self) -> Iterator[None]:
        """Let the slots be as the history finds them, and then as they were, with those beside them."""
        near = self.kernel.slots()[max(self.first - BESIDE, 0) : self.first + SLOTS + BESIDE]
        kept = near.copy()
        try:
            write_slots(self._table(), [Case(slot, (), ()) for slot in self.start], self.contract.slot)
            yield
        finally:
            near[:] = kept

    def _slots_in(self, watched: Any) -> list[SlotValues]:
        """What the history's slots hold, given all that are looked at."""
        table = watched[self._offset : self._offset + SLOTS]
        columns = [table[name].tolist() for name in self.contract.slot.widths]
        return [dict(zip(self.contract.slot.widths, row, strict=True)) for row in zip(*columns, strict=True)]

    def _judged(
        self,
        calls: Sequence[MethodCall],
        replies: Sequence[Reply],
        now: Sequence[SlotValues],
        seen: tuple[Any, Any],
        made: _Made,
    ) -> Wrong | None:
        """Judge a round; its calls are added to those that were made.

        Args:
            seen: all slots that are looked at, before it and after it.
        """
        before, after = seen
        table = after[self._offset : self._offset + SLOTS]
        for call, reply in zip(calls, replies, strict=True):
            made.calls.append(call)
            made.lines.append(f"{reply.request} → {'panic' if reply.status == 'panic' else reply.shown}")
            if told := self._judge(call, reply, now[call.slot], table[call.slot]):
                return made.wrong(self.clause, told)
        if self.clause == self.contract.layouts.general and (told := self._strays(calls, before, after)):
            return made.wrong(self.clause, told)
        return None

    def _line(self, call: MethodCall) -> str:
        command = self.methods[call.method][0].command
        return " ".join([command, f"{self._paddr(call.slot):#x}", *(f"{v:#x}" for v in call.arguments)])

    def _paddr(self, slot: int) -> Paddr:
        return pfn_to_paddr(Pfn(self.first + slot))

    def _judge(self, call: MethodCall, reply: Reply, before: SlotValues, after: Any) -> ClauseViolated | None:
        for method in self._parts(call, before):
            case = Case(before, call.arguments, method.effect(before, call.arguments))
            if is_allowed(case, reply, after, self.contract.slot):
                continue
            told = violation(self.contract, method, case, reply, after.copy(), self._paddr(call.slot))
            if self.clause in told.breaks:
                return told
        return None

    def _strays(self, calls: Sequence[MethodCall], before: Any, after: Any) -> ClauseViolated | None:
        """Whether slots changed that no call of a round is about."""
        untouched = set(range(len(before))) - {self._offset + call.slot for call in calls}
        for at in sorted(untouched):
            if before[at].tobytes() != after[at].tobytes():
                return ClauseViolated(
                    "slot of a frame that no call named",
                    expected=before[at].tobytes().hex(),
                    got=after[at].tobytes().hex(),
                    frame=self._paddr(at - self._offset),
                )
        return None


def _operand(rng: random.Random, values: Sequence[int], now: SlotValues) -> int:
    """A declared value, one that the slot holds, or any between the least and the largest declared one."""
    low, high = min(values), max(values)
    held = [value for value in now.values() if low <= value <= high]
    return rng.choice((rng.choice(values), rng.choice(held or values), rng.randint(low, high)))
