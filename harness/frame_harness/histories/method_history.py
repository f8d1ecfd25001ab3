"""Plays random sequences of calls on a few slots, all of it from the methods that a contract declares.

A round is one batch: calls on different slots, so that RAM shows afterwards what each of them left. The next
round begins with what is there: with one of several allowed ends, or with what breaks a clause that is not
looked at.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SHIFT
from frame_harness.contract.boundaries import around
from frame_harness.contract.contract import Contract
from frame_harness.contract.methods import Case, Method, Slot
from frame_harness.contract.versions import lacking
from frame_harness.guest.absence import require_names
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.boundaries import is_allowed, outcomes, violation, write_slots
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.reply import Reply
from frame_harness.histories.shrink import shrink

SLOTS = 4
BESIDE = 16
"""Slots on each side of these that no call may change."""
TRIES = 8
"""Operands that are drawn for a call before another slot has its turn."""
PLAIN = (0, 1)


@dataclass(frozen=True)
class Call:
    """One call of a method of one of the history's slots; calls of one round are about different ones."""

    round: int
    slot: int
    method: str
    arguments: tuple[int, ...]

    def simpler(self) -> Iterator[Call]:
        for at, value in enumerate(self.arguments):
            for plain in PLAIN:
                if plain < value:
                    yield replace(self, arguments=(*self.arguments[:at], plain, *self.arguments[at + 1 :]))

    def instead(self) -> Iterable[Call]:
        return ()


@dataclass(frozen=True)
class Wrong:
    """A history whose last round broke a clause; the last of `steps` did where one call is to blame."""

    clause: str
    steps: tuple[Call, ...]
    told: ClauseViolated
    lines: tuple[str, ...]


def clauses_at_stake(contract: Contract) -> list[str]:
    """Those of which a history may find a method guilty."""
    of_methods = {id_ for one in contract.methods for id_ in (*one.clauses, *one.by_field.values())}
    return contract.clauses.in_order({*of_methods, contract.layouts.general})


def check(
    kernel: BootedGuest, fresh: Callable[[], BootedGuest], clause: str, n_calls: int, seed: int
) -> None:
    """Require that a random history keeps a clause.

    A third of the calls are of the clause's own methods, a third of those that work on the same fields.

    Nobody in the guests may use the slots: boot with `init="array"`.

    Args:
        fresh: boots a guest of the same image. What goes wrong is shortened there, each time in a new one: a
            module may remember something outside of its slots.
    Raises:
        ClauseViolated: the clause is broken; tells the shortest sequence that was found.
        NotInThisVersion: slots lack fields that a history writes and reads.
    """
    contract = kernel.image.subject.contract
    require_names(kernel.image, contract.versions.whole_slot, "histories of its methods")
    rng = random.Random(seed)
    start = tuple(_some_slot(contract, rng) for _ in range(SLOTS))
    found = Stage(kernel, start, clause).play_random(rng, n_calls)
    if found is None:
        return

    def play(calls: Sequence[Call]) -> Wrong | None:
        with fresh() as guest:
            wrong = Stage(guest, start, clause).play(calls)
            _show(guest, wrong)
            return wrong

    again = play(found.steps)
    if again is None:  # it takes calls that were made before: then it is told as it was
        raise _told(kernel, found, "\n".join(found.lines))
    shortest = shrink(again, play)
    raise _told(kernel, play(shortest.steps) or shortest)  # whose commands the last guest shows


def _some_slot(contract: Contract, rng: random.Random) -> Slot:
    def value(bits: int) -> int:
        return rng.choice((0, rng.choice(around(bits)), rng.getrandbits(bits)))

    return {name: value(bits) for name, bits in contract.slot.widths.items()}


class Stage:
    """Some slots in the middle of a table, what each holds when a history begins, the clause judged."""

    def __init__(self, kernel: BootedGuest, start: Sequence[Slot], clause: str) -> None:
        self.kernel, self.start, self.clause = kernel, start, clause
        self.contract = kernel.image.subject.contract
        self.methods: dict[str, list[Method]] = {}
        for method in self.contract.methods:
            if not lacking(self.contract.versions.of_line(method.command), kernel.image.lacks):
                self.methods.setdefault(method.name, []).append(method)
        self.first = len(kernel.slots()) // 2

    def play_random(self, rng: random.Random, n_calls: int) -> Wrong | None:
        """A history of so many calls."""
        pools = self._pools()
        left = n_calls

        def draw(now: Sequence[Slot]) -> list[Call]:
            nonlocal left
            slots = rng.sample(range(SLOTS), min(left, rng.randint(1, SLOTS)))
            left -= len(slots)
            called = [(slot, self._call(rng, now[slot], pools)) for slot in slots]
            return [Call(left, slot, *call) for slot, call in called if call]

        return self._run(lambda now: draw(now) if left else None)

    def _pools(self) -> list[list[str]]:
        """The methods to draw from: the clause's own, those that share a field with these, all."""
        own = [one for parts in self.methods.values() for one in parts if self.clause in one.clauses]
        fields = {name for one in own for name in (*one.stored, *one.by_field)}
        near = [one for parts in self.methods.values() for one in parts if fields & {*one.stored}]
        pools = [list(dict.fromkeys(one.name for one in each)) for each in (own, near)]
        return [pool for pool in (*pools, list(self.methods)) if pool]

    def _call(
        self, rng: random.Random, now: Slot, pools: Sequence[Sequence[str]]
    ) -> tuple[str, tuple[int, ...]] | None:
        """A method with operands of which the contract speaks."""
        for _ in range(TRIES):
            name = rng.choice(rng.choice(pools))
            operands = self.methods[name][0].operands
            arguments = tuple(_operand(rng, declared.values, now) for declared in operands)
            if any(method.where(now, arguments) for method in self.methods[name]):
                return name, arguments
        return None

    def play(self, calls: Sequence[Call]) -> Wrong | None:
        """Given calls; those that the contract does not speak of, as things stand, are left out."""
        rounds = iter([list(group) for _, group in groupby(calls, lambda call: call.round)])

        def take(now: Sequence[Slot]) -> list[Call] | None:
            group = next(rounds, None)
            return group and [call for call in group if self._parts(call, now[call.slot])]

        return self._run(take)

    def _parts(self, call: Call, before: Slot) -> list[Method]:
        return [method for method in self.methods[call.method] if method.where(before, call.arguments)]

    def _run(self, choose: Callable[[Sequence[Slot]], list[Call] | None]) -> Wrong | None:
        around_them = slice(max(self.first - BESIDE, 0), self.first + SLOTS + BESIDE)
        table = self.kernel.slots()[self.first : self.first + SLOTS]
        near, kept = self.kernel.slots()[around_them], self.kernel.slots()[around_them].copy()
        steps: list[Call] = []
        lines: list[str] = []
        try:
            write_slots(table, [Case(slot, (), ()) for slot in self.start], self.contract.slot)
            now = self.start
            while (calls := choose(now)) is not None:
                before = near.copy()
                replies = outcomes(self.kernel, [self._line(call) for call in calls])
                for call, reply in zip(calls, replies, strict=True):
                    steps.append(call)
                    lines.append(f"{reply.request} → {'panic' if reply.status == 'panic' else reply.shown}")
                    if told := self._judge(call, reply, now[call.slot], table[call.slot]):
                        return Wrong(self.clause, tuple(steps), told, tuple(lines))
                if self.clause == self.contract.layouts.general and (
                    told := self._strays(calls, before, near)
                ):
                    return Wrong(self.clause, tuple(steps), told, tuple(lines))
                now = [{name: int(row[name]) for name in self.contract.slot.widths} for row in table]
        finally:
            near[:] = kept
        return None

    def _line(self, call: Call) -> str:
        command = self.methods[call.method][0].command
        return " ".join([command, f"{self._paddr(call.slot):#x}", *(f"{v:#x}" for v in call.arguments)])

    def _paddr(self, slot: int) -> int:
        return self.first + slot << PAGE_SHIFT

    def _judge(self, call: Call, reply: Reply, before: Slot, after: Any) -> ClauseViolated | None:
        for method in self._parts(call, before):
            case = Case(before, call.arguments, method.effect(before, call.arguments))
            if is_allowed(case, reply, after, self.contract.slot):
                continue
            told = violation(self.contract, method, case, reply, after.copy(), self._paddr(call.slot))
            if self.clause in told.breaks:
                return told
        return None

    def _strays(self, calls: Sequence[Call], before: Any, after: Any) -> ClauseViolated | None:
        """Whether slots changed that no call of a round is about."""
        offset = min(self.first, BESIDE)
        untouched = set(range(len(before))) - {offset + call.slot for call in calls}
        for at in sorted(untouched):
            if before[at].tobytes() != after[at].tobytes():
                return ClauseViolated(
                    "slot of a frame that no call named",
                    expected=before[at].tobytes().hex(),
                    got=after[at].tobytes().hex(),
                    frame=self._paddr(at - offset),
                )
        return None


def _operand(rng: random.Random, values: Sequence[int], now: Slot) -> int:
    """A declared value, one that the slot holds, or any between the least and the largest declared one."""
    low, high = min(values), max(values)
    held = [value for value in now.values() if low <= value <= high]
    return rng.choice((rng.choice(values), rng.choice(held or values), rng.randint(low, high)))


def _show(guest: BootedGuest, wrong: Wrong | None) -> None:
    """Make the calls of a history the last commands of a guest."""
    if wrong is not None:
        guest.commands.clear()
        guest.commands.extend(wrong.lines)


def _told(kernel: BootedGuest, wrong: Wrong, exhibit: str = "") -> ClauseViolated:
    _show(kernel, wrong)
    slot_type = kernel.image.subject.contract.slot.name
    told, paths = wrong.told, [f"{slot_type}::{call.method}" for call in wrong.steps]
    before = f", after {plural(len(paths) - 1, 'call')}" if paths[1:] else ""
    return ClauseViolated(
        f"{told.what}{before}",
        expected=told.expected,
        got=told.got,
        frame=told.frame,
        field=told.field,
        slot=told.slot,
        exhibit=exhibit,
        function=paths[-1],
        calls=paths,
        breaks=(wrong.clause,),
    )
