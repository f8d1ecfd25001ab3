"""One guest beside the reference model: each command is carried out by both, then everything is compared."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, pfn_to_paddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_guest.memory_view import memory_state
from frame_harness.frame_histories.buddy_words import BuddyWords
from frame_harness.frame_histories.commands import VTABLES, Command, Op, encode
from frame_harness.frame_histories.differences import (
    HistoryDifference,
    of_crash,
    of_hooks,
    of_invariants,
    of_payload,
    of_reply,
)
from frame_harness.frame_histories.differences import of_slots as difference_of_slots
from frame_harness.frame_histories.interpreter import Interpreter, Prediction, is_refusal, set_of_vtables
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.invariants.columns import Past
from frame_harness.frame_metadata.model import ExpectedTable, Model, booted_model, frames_of_map
from frame_harness.guest.bookkeeping import BookkeepingCopy
from frame_harness.guest.boot_options import AS_USUAL, BootOptions
from frame_harness.guest.booted import finish_well
from frame_harness.guest.errors import GuestFailure, NotInThisVersion
from frame_harness.guest.reply import SLOT_LEADS_NOWHERE, Reply
from frame_harness.image.image import Image
from frame_harness.machine.definition import Machine

WATCHED_PAGES = 24
DIRT = 0xD1  # ours
EVERY_BYTE = 0x0101_0101_0101_0101
COMPARED_AT_ONCE = 256
OF_A_LEAK = frozenset({"refcount", "flags", "order"})
"""Fields that nobody looks at on a poisoned frame that is neither handed out nor in quarantine."""
CLEARED: Mapping[str, int] = {"guard": C.guard_poisoned, "vtable": 0}
"""Where the lists are out of order: what a module may write to fields of the frame that it keeps."""

_Number = TypeVar("_Number", int, NDArray[np.int64])
_ABLED = {"0": "disabled", "1": "enabled"}


@dataclass(frozen=True)
class BootConfig:
    """How a guest comes up: what a script must say so that its addresses mean the same again."""

    name: str
    options: BootOptions
    """`ram`, `reserve` and `ramtop` are what a script says."""


class Host(Protocol):
    """Where guests of one image come from; a `Run` of the suite is one."""

    @property
    def image(self) -> Image: ...

    @property
    def machine(self) -> Machine: ...

    def boot(self, options: BootOptions = AS_USUAL) -> Kernel: ...

    def finish(self, kernel: Kernel) -> object: ...

    def note_failure(self, failure: GuestFailure) -> None: ...


@dataclass(frozen=True)
class OwnHost:
    """Boots guests for oneself, without a record of them."""

    image: Image
    machine: Machine

    def boot(self, options: BootOptions = AS_USUAL) -> Kernel:
        """Boot a guest; the caller ends it."""
        return Kernel.start(self.image, self.machine, options)

    def finish(self, kernel: Kernel) -> None:
        """End a guest; raises `GuestCrashed` where it does not exit as it should, and nobody was told."""
        finish_well(kernel)

    def note_failure(self, failure: GuestFailure) -> None:
        """Nobody asks later where guests ended."""


class LineRefused(HarnessError):
    """The guest does not know a command that the model knows, or takes other operands."""


class Lockstep:
    """A guest and a model, brought back to the state after boot as often as it takes.

    Going back writes what the guest held after boot into its RAM while it waits at its prompt: slots, statics
    of the allocators and of the subject. A guest that crashed is replaced by a new one.
    """

    def __init__(self, host: Host, boot_config: BootConfig) -> None:
        if lacks := [name for name in host.image.lacks if name != "frame_flags::MOVABLE"]:
            raise NotInThisVersion(lacks, "reference model")
        self.host, self.boot_config = host, boot_config
        self.commands = 0
        """Commands that were carried out and compared."""
        self._kernel: Kernel | None = None
        self._boot()

    # ---- a fresh guest -----------------------------------------------------------------------------------

    def _boot(self) -> None:
        kernel = self.host.boot(self.boot_config.options)
        self._kernel = kernel
        try:
            self._take_over(kernel)
        except BaseException:
            self.close()
            raise

    def _take_over(self, kernel: Kernel) -> None:
        addresses = {name: kernel.vtable(name) for name in VTABLES}
        self.vtables: Mapping[str, int] = addresses
        # No command of a history takes memory before the allocators, so the map stays.
        self._map = kernel.memory_map()
        regions = [(region.base, region.end, region.kind) for region in self._map]
        ram, given = frames_of_map(regions)
        self._booted = booted_model(
            kernel.frames, ram, given, vtables=set_of_vtables(addresses),
            movable=kernel.image.has("frame_flags::MOVABLE"),
        )  # fmt: skip
        self._table = kernel.slots()
        self._booted_table = ExpectedTable(self._booted, self._table.dtype)
        self._after_boot = BookkeepingCopy(kernel)
        self.buddy = BuddyWords(kernel)
        self.given = np.concatenate([np.arange(part.start, part.stop) for part in given])
        self._pages: dict[Pfn, NDArray[np.uint8]] = {
            pfn: kernel.payload(pfn_to_paddr(pfn)) for pfn in map(Pfn, self.given.tolist())
        }
        self._ranges = [
            (int(np.searchsorted(self.given, part.start)), _words(kernel, part)) for part in given
        ]
        self._dirty: set[Pfn] = set()
        self.payload_unknown = True
        """Whether any frame may hold something else than predicted: then all are put back, not some."""
        self.reset()
        self.at_boot: HistoryDifference | None = self._compare_slots()
        """What is different before the first command."""

    @property
    def kernel(self) -> Kernel:
        """The guest that runs at present; raises `HarnessError` after `close`."""
        if self._kernel is None:
            raise HarnessError("guest of the histories", detail="it is closed")
        return self._kernel

    def renew(self) -> None:
        """Replace the guest by one that has just booted."""
        self.host.finish(self.kernel)
        self._boot()

    def close(self) -> None:
        """End the guest; once it is closed, nothing happens."""
        if self._kernel is not None:
            kernel, self._kernel = self._kernel, None
            self.host.finish(kernel)

    def __enter__(self) -> Lockstep:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- from the start again ----------------------------------------------------------------------------

    def reset(self) -> None:
        """Bring guest and model back to the state after boot, every frame full of dirt."""
        if not self.kernel.alive:
            self.renew()
            return
        self._after_boot.restore()
        if self.payload_unknown:
            # A function that did one thing wrong may have written anywhere.
            self._dirty, self.payload_unknown = set(self._pages), False
        for pfn in self._dirty:
            self._pages[pfn].fill(_dirt(int(pfn)))
        self._dirty = set()
        self.model: Model = self._booted.copied()
        self.interpreter = Interpreter(self.model)
        self.expected = self._booted_table.copied(self.model)
        self._past: Past | None = None
        self.last: Prediction | None = None
        """Of the command that was carried out last."""
        self._filled: dict[Pfn, int] = {}
        self.without_verdict = False
        """The module took a permitted choice that the model cannot follow: the history has no verdict."""

    # ---- one command -------------------------------------------------------------------------------------

    def run(self, command: Command) -> tuple[HistoryDifference | None, tuple[Paddr, ...]]:
        """Carry one command out in both worlds; returns what is different, and the addresses handed out.

        Raises:
            LineRefused: the guest refused the command.
            HarnessError: the harness broke down.
        """
        command = command.on(self.vtables)
        self.last = prediction = self.interpreter.follow(command)
        touched = self.expected.follow()
        watched = {pfn: self._pages[pfn].tobytes() for pfn in self.watched(prediction)}
        self.commands += 1
        try:
            reply = self.kernel.request(encode(command))
        except GuestFailure as failure:
            self.host.note_failure(failure)
            return of_crash(failure), ()
        self.note_payload(prediction)
        if is_refused(prediction, reply):
            raise LineRefused("console command", repr(reply.request), detail=f"refused: {reply.outcome.text}")
        difference = (
            of_reply(prediction, reply)
            or self._compare_slots()
            or self._compare_pages(watched, prediction)
            or (self._compare_all_payload() if command.op is Op.ALLOC_ALL else None)
            or self.buddy.compare(self.model)
            or self.compare_hooks(prediction, reply)
        )
        self.payload_unknown = self.payload_unknown or difference is not None
        if difference is not None and self._is_leak(prediction, reply):
            self.without_verdict, difference = True, None
        return difference, self.handed_out(command, prediction, touched)

    def compare_all(self) -> HistoryDifference | None:
        """Compare every slot, frame, list and counter."""
        return self._compare_slots() or self.buddy.compare(self.model) or self._compare_all_payload()

    def _is_leak(self, prediction: Prediction, reply: Reply) -> bool:
        """Whether a poisoned frame that was offered is kept from everybody, yet not in quarantine.

        GUARD-08 asks that it is not handed out and not healed; where it is to go the clause leaves open.
        """
        met = prediction.poison_met
        differing = [Pfn(pfn) for pfn in self.expected.differing(self._table).tolist()]
        return bool(
            met
            and met.issuperset(differing)
            and all(int(self._table["guard"][pfn]) & C.guard_poisoned for pfn in met)
            and all(self._is_promised(name, differing, prediction) for name in self._table.dtype.names or ())
            and of_reply(prediction, reply) is None
            and self._compare_all_payload() is None
            and self.buddy.compare(self.model, differing, met) is None
        )

    def _is_promised(self, name: str, pfns: list[Pfn], prediction: Prediction) -> bool:
        """Whether a field of the slots of kept frames holds what it may hold."""
        got, expected = self._table[name][pfns], self.expected.slots[name][pfns]
        fits = got == expected
        if name in CLEARED and not prediction.sound:
            fits |= got == CLEARED[name]
        return name in OF_A_LEAK or bool(fits.all())

    def finish(self) -> HistoryDifference | None:
        """Look at what is too much to look at after each command: all payload, all invariants."""
        difference = self._compare_all_payload() or self.judge()
        self.payload_unknown = self.payload_unknown or difference is not None
        return difference

    def judge(self) -> HistoryDifference | None:
        """Hold all invariants against the guest, unless its user broke the lists himself."""
        if not self.interpreter.sound:
            return None
        kernel = self.kernel
        quarantined = [pfn_to_paddr(pfn) for pfn in sorted(self.model.buddy.quarantined)]
        state = memory_state(kernel, quarantined=quarantined, regions=self._map)
        excused = np.array(self.model.poisoned_while_free, dtype=np.int64)
        past = None if self.interpreter.rewound else self._past
        self.interpreter.rewound = False
        report = INVARIANTS.check_all(replace(state, poisoned_while_free=excused), past)
        self._past = Past(report.past.generation.copy(), report.past.poisoned)
        return of_invariants(report)

    # ---- comparing ---------------------------------------------------------------------------------------

    def _compare_slots(self) -> HistoryDifference | None:
        differences = self.expected.compare(self._table)
        return difference_of_slots(differences.examples, differences.total_slots) if differences else None

    def watched(self, prediction: Prediction) -> list[Pfn]:
        """The frames that a command is about, and their neighbors."""
        near = {Pfn(pfn + step) for pfn in sorted(prediction.frames)[:WATCHED_PAGES] for step in (-1, 0, 1)}
        return sorted(near & self._pages.keys())[: 3 * WATCHED_PAGES]

    def byte_of(self, pfn: Pfn) -> int:
        """The byte that fills a frame throughout, as things stand."""
        told = self._filled.get(pfn)
        return _dirt(int(pfn)) if told is None else told

    def _compare_pages(
        self, watched: Mapping[Pfn, bytes], prediction: Prediction
    ) -> HistoryDifference | None:
        for pfn, before in watched.items():
            byte = prediction.payload.get(pfn)
            expected = before if byte is None else bytes([byte]) * PAGE_SIZE
            if self._pages[pfn].tobytes() != expected:
                return of_payload(pfn, np.frombuffer(expected, np.uint8), self._pages[pfn], byte)
        return None

    def note_payload(self, prediction: Prediction) -> None:
        """Keep in mind what a command fills frames with."""
        self._filled.update(prediction.payload)
        self._dirty.update(prediction.payload.keys() & self._pages.keys())

    def _compare_all_payload(self) -> HistoryDifference | None:
        """Every frame that the buddy was ever given holds one byte throughout: its dirt, or what was told."""
        expected = _dirt(self.given).astype(np.uint8)
        index = np.searchsorted(self.given, list(self._filled))
        expected[index] = list(self._filled.values())
        words = expected.astype(np.uint64) * np.uint64(EVERY_BYTE)
        for first, pages in self._ranges:
            wrong = _first_unlike(pages, words[first : first + len(pages)])
            if wrong is not None:
                at = first + wrong
                pfn = Pfn(int(self.given[at]))
                told = self._filled.get(pfn)
                return of_payload(pfn, np.full(PAGE_SIZE, expected[at], np.uint8), self._pages[pfn], told)
        return None

    def compare_hooks(self, prediction: Prediction, reply: Reply) -> HistoryDifference | None:
        """The first stop on the way back of blocks that is not as predicted, where the command shows them."""
        if prediction.hooks is None:
            return None
        expected = [f"{call.hook} of {call.paddr:#x}, interrupts disabled" for call in prediction.hooks]
        got = [
            f"{row['hook']} of {int(row['paddr'], 0):#x}, interrupts {_ABLED[row['if']]}"
            for row in reply.rows()
        ]
        return of_hooks(expected, got)

    def handed_out(self, command: Command, prediction: Prediction, touched: Set[Pfn]) -> tuple[Paddr, ...]:
        """The addresses that a command hands out, of which it wrote to some slots."""
        values = getattr(prediction.outcome, "values", {})
        if "paddr" in values:
            return (values["paddr"],)
        if command.op is not Op.ALLOC_ALL:
            return ()
        claimed = sorted(pfn for pfn in touched if self.model.slots[pfn].refcount == 1)
        return tuple(pfn_to_paddr(pfn) for pfn in claimed if self.model.slots[pfn].flags & C.flag_allocated)


def is_refused(prediction: Prediction, reply: Reply) -> bool:
    """Whether the guest does not know a command that the model knows, or takes other operands."""
    refused = reply.status == "err" and reply.outcome.code != SLOT_LEADS_NOWHERE
    return refused and not is_refusal(prediction.outcome)


def _dirt(pfn: _Number) -> _Number:
    """The byte that fills a frame before a history begins: never zero, not that of its neighbors."""
    return (pfn + DIRT) % 255 + 1


def _first_unlike(pages: NDArray[np.uint64], words: NDArray[np.uint64]) -> int | None:
    """The first row that has another word than its own; so many rows at a time stay in the CPU's cache."""
    for first in range(0, len(pages), COMPARED_AT_ONCE):
        part = slice(first, first + COMPARED_AT_ONCE)
        wrong = pages[part] != words[part, None]
        if wrong.any():
            return first + int(np.flatnonzero(wrong.any(axis=1))[0])
    return None


def _words(kernel: Kernel, pfns: range) -> NDArray[np.uint64]:
    """The payload of consecutive frames as words, one row a frame; no copy."""
    view = kernel.payload(pfn_to_paddr(Pfn(pfns.start)), len(pfns))
    return view.view(np.uint64).reshape(len(pfns), -1)
