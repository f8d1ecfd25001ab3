"""Carries commands out on the model ahead of the guest, which then runs all of them in one round trip.

Behind each command the guest keeps copies of the slots that the command writes to (of many an even choice)
and of those beside the frames that it is about. Of these frames it shows the first word and how many words
follow that are the same: the model gives each frame one byte throughout. All of that is compared at once with
what the model held at that moment. At the end of a batch everything is: each slot, frame, counter, list and
cache.

A panic is its command's reply. Another crash, or a hang, is told with the command that a counter in RAM
names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, pfn_to_paddr
from frame_harness.frame_histories.commands import Command, Op, encode
from frame_harness.frame_histories.differences import HistoryDifference, of_crash, of_reply
from frame_harness.frame_histories.differences import of_slots as difference_of_slots
from frame_harness.frame_histories.interpreter import Prediction
from frame_harness.frame_histories.lockstep import EVERY_BYTE, Lockstep
from frame_harness.frame_metadata.model import Model
from frame_harness.frame_metadata.model.expected import SlotDifference, as_number
from frame_harness.guest.errors import GuestFailure
from frame_harness.guest.program import PAGE_LOOK_BYTES, Ask
from frame_harness.guest.reply import Reply

MOST_SLOTS = 64
"""Of the slots that one command writes to so many are looked at behind it; all at the end of the batch."""
_SAME_WORDS = PAGE_SIZE // 8 - 1


@dataclass(frozen=True)
class Mismatch:
    """Where a batch left the model: behind which of its commands, None where only its end shows it."""

    difference: HistoryDifference
    at: int | None = None
    prediction: Prediction | None = None


class Planned(NamedTuple):
    """A command as the model carried it out, with what the guest must show behind it."""

    command: Command
    prediction: Prediction
    ask: Ask
    seen: bytes


class Ahead:
    """The commands of one batch."""

    def __init__(self, lockstep: Lockstep) -> None:
        self._lockstep = lockstep
        self._model: Model = lockstep.model
        self._touched: set[Pfn] = set()
        self.planned: list[Planned] = []

    def __len__(self) -> int:
        return len(self.planned)

    def add(self, command: Command) -> tuple[Paddr, ...]:
        """Carry a command out on the model; returns the addresses that it hands out."""
        lockstep, slots = self._lockstep, self._model.slots
        command = command.on(lockstep.vtables)
        prediction = lockstep.interpreter.follow(command)
        touched, slots.touched = slots.touched, set()
        self._touched |= touched
        lockstep.note_payload(prediction)
        pages = lockstep.watched(prediction)
        looked = self._looked_at(touched, prediction)
        packed = lockstep.expected.packed
        seen = [packed(slots[pfn]) for pfn in looked]
        seen += [_page(lockstep.byte_of(pfn)) for pfn in pages]
        ask = Ask(encode(command), looked, pages, reports=command.op is Op.HOOK_LOG)
        self.planned.append(Planned(command, prediction, ask, b"".join(seen)))
        return lockstep.handed_out(command, prediction, touched)

    def _looked_at(self, touched: set[Pfn], prediction: Prediction) -> list[Pfn]:
        """Slots that a command may have written to, and those beside the ones that it names."""
        n_frames = self._model.slots.n_frames
        chosen = sorted(touched)
        if len(chosen) > MOST_SLOTS:
            step = -(-len(chosen) // MOST_SLOTS)
            chosen = [*chosen[::step], chosen[-1]]
        near = {Pfn(pfn + step) for pfn in sorted(prediction.frames)[:MOST_SLOTS] for step in (-1, 0, 1)}
        return sorted({*chosen, *(pfn for pfn in near if 0 <= pfn < n_frames)})

    def run(self) -> Mismatch | None:
        """Let the guest carry the commands out, which empties the batch.

        Returns the first of them that is not as predicted.
        """
        lockstep, planned = self._lockstep, self.planned
        self.planned = []
        if not planned:
            return None
        lockstep.commands += len(planned)
        lockstep.last = planned[-1].prediction
        program = lockstep.kernel.program
        try:
            ran = program.run([each.ask for each in planned])
        except GuestFailure as failure:
            lockstep.host.note_failure(failure)
            at = min(program.begun, len(planned)) - 1
            return Mismatch(of_crash(failure), *((at, planned[at].prediction) if at >= 0 else ()))
        wrong = [*self._replies(planned, ran.replies), *self._looks(planned, ran.seen)]
        if wrong:
            return min(wrong, key=lambda one: len(planned) if one.at is None else one.at)
        self._model.slots.touched |= self._touched
        self._touched = set()
        difference = lockstep.compare_all()
        return Mismatch(difference) if difference else None

    def _replies(self, planned: list[Planned], replies: list[Reply]) -> Iterator[Mismatch]:
        """The first reply that is not as predicted."""
        for at, (each, reply) in enumerate(zip(planned, replies, strict=True)):
            difference = of_reply(each.prediction, reply) or self._lockstep.compare_hooks(
                each.prediction, reply
            )
            if difference is not None:
                yield Mismatch(difference, at, each.prediction)
                return

    def _looks(self, planned: list[Planned], seen: bytes) -> Iterator[Mismatch]:
        """The first look that shows something else than predicted."""
        if seen == b"".join(each.seen for each in planned):
            return
        ends = list(accumulate(len(each.seen) for each in planned))
        for at, (each, end) in enumerate(zip(planned, ends, strict=True)):
            got = seen[end - len(each.seen) : end]
            if got != each.seen:
                yield Mismatch(self._difference(each, got), at, each.prediction)
                return
        yield Mismatch(HistoryDifference("batch", "looks", f"{ends[-1]} bytes", f"{len(seen)}"))

    def _difference(self, each: Planned, got: bytes) -> HistoryDifference:
        """What is different in what was seen behind one command."""
        at = next((at for at, pair in enumerate(zip(each.seen, got, strict=False)) if pair[0] != pair[1]), 0)
        dtype, slots, pages = self._lockstep.kernel.slots().dtype, each.ask.slots, each.ask.pages
        size = dtype.itemsize
        if at < size * len(slots):
            index = at // size
            part = slice(index * size, (index + 1) * size)
            wanted, found = (np.frombuffer(raw[part], dtype)[0] for raw in (each.seen, got))
            fields = [(name, as_number(wanted[name]), as_number(found[name])) for name in dtype.names or ()]
            examples = [SlotDifference(slots[index], *field) for field in fields if field[1] != field[2]]
            return difference_of_slots(examples, 1)
        pfn = pages[(at - size * len(slots)) // PAGE_LOOK_BYTES]
        byte = self._lockstep.byte_of(pfn)
        what = f"payload of frame {pfn_to_paddr(pfn):#x}"
        wanted, found = f"all {byte:#04x}", "something else"
        return HistoryDifference("payload", what, wanted, found, pfn=pfn, field="payload", zeroed=byte == 0)


def _page(byte: int) -> bytes:
    return struct.pack("<QQ", byte * EVERY_BYTE, _SAME_WORDS)
