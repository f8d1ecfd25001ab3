"""Holds a clause against random sequences of method calls; tells the shortest that breaks it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from frame_harness.base.text import plural
from frame_harness.contract.boundaries import around
from frame_harness.contract.contract import Contract
from frame_harness.contract.methods import SlotValues
from frame_harness.guest.absence import require_names
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import GuestFailure, GuestTimeout
from frame_harness.guest.programmed import ProgrammedGuest
from frame_harness.histories.method_stage import SLOTS, MethodCall, MethodStage, Unforeseen, Wrong
from frame_harness.histories.shrink import shrink


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
    found = _found(kernel, fresh, start, clause, rng, n_calls)
    if found is None:
        return

    last, hung = kernel, False

    def play(calls: Sequence[MethodCall]) -> Wrong | None:
        nonlocal last, hung
        if hung:
            return None  # the next ones are likely to hang, too, each for as long as a request may take
        booted = fresh()
        try:
            with booted as last:
                return MethodStage(last, start, clause).play(calls)
        except GuestFailure as failure:
            hung = isinstance(failure, GuestTimeout)
            return None  # fewer calls that end in a crash do not show what was found, which counts

    again = play(found.steps)
    if again is None:  # it takes calls that were made before: then it is told as it was
        raise _told((kernel, last), found, "\n".join(found.lines))
    shortest = shrink(again, play, lambda one: one.clause)
    shown = play(shortest.steps) or shortest  # unless it crashes, the last guest's memory shows it, too
    raise _told((kernel, last), shown)


def _found(
    kernel: BootedGuest,
    fresh: Callable[[], BootedGuest],
    start: Sequence[SlotValues],
    clause: str,
    rng: random.Random,
    n_calls: int,
) -> Wrong | None:
    """Play one random history; what went otherwise than expected is played again round by round."""
    drawn_from, failure = rng.getstate(), None
    if not (isinstance(kernel, ProgrammedGuest) and kernel.runs_programs):
        return MethodStage(kernel, start, clause).play_random(rng, n_calls)
    try:
        return MethodStage(kernel, start, clause).play_ahead(kernel.program, rng, n_calls)
    except Unforeseen:
        pass  # it is played below, round by round
    except GuestFailure as error:
        failure = error  # perhaps of a call that was drawn for other slots than it met
    rng.setstate(drawn_from)
    with fresh() as guest:  # the other one ran calls of which the contract says nothing
        found = MethodStage(guest, start, clause).play_random(rng, n_calls)
    if found is None and failure is not None:
        raise failure
    return found


def _some_slot(contract: Contract, rng: random.Random) -> SlotValues:
    def value(bits: int) -> int:
        return rng.choice((0, rng.choice(around(bits)), rng.getrandbits(bits)))

    return {name: value(bits) for name, bits in contract.slot.widths.items()}


def _told(guests: Sequence[BootedGuest], wrong: Wrong, exhibit: str = "") -> ClauseViolated:
    """What a check raises, whose calls become the last commands of its guests: a report shows them."""
    for guest in guests:
        guest.commands.clear()
        guest.commands.extend(wrong.lines)
    slot_type = guests[0].image.subject.contract.slot.name
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
