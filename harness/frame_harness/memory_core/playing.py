"""What is known while a case is carried out on a core, and the questions that every step asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from frame_harness.base.errors import RamError
from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, pfn_to_paddr
from frame_harness.guest.backtrace import texts
from frame_harness.guest.reply import Reply
from frame_harness.image.placed import is_part_of
from frame_harness.memory_core import judging
from frame_harness.memory_core.boot_memory import judge_boot
from frame_harness.memory_core.clauses import STATE_CLAUSES, UNSURE
from frame_harness.memory_core.failure import clause_of_return
from frame_harness.memory_core.functions import START
from frame_harness.memory_core.guest import LOW_MEMORY, CoreGuest
from frame_harness.memory_core.judging import Accepted, CoreViolation, Key, Owned
from frame_harness.memory_core.maps import MemoryMap, common, length, merged, without
from frame_harness.memory_core.ownership import BlockReferences, Handle
from frame_harness.memory_core.slots import SlotWatch
from frame_harness.memory_core.state import CoreState, spans_of
from frame_harness.memory_core.steps import CaseStep
from frame_harness.memory_core.untouched import Untouched

ASIDE: Final = "blocks set aside"
"""Under this name blocks are held that no step gives back."""


@dataclass
class Playing:
    """What is known while a case is carried out."""

    core: CoreGuest
    memory: MemoryMap
    known: frozenset[Key]
    """Faults that do not end a case, where the core can be judged further."""
    behind: dict[Key, None] = field(default_factory=dict)
    accepted: Accepted = field(default_factory=Accepted)
    owned: dict[str, list[Owned]] = field(default_factory=dict)
    """What callers hold, by name."""
    owners: dict[Handle, BlockReferences] = field(default_factory=dict)
    """Which of these the core's ownership table has, and who owns them."""
    given: dict[str, Owned] = field(default_factory=dict)
    """The last block that was given under each name."""
    poisoned: set[Owned] = field(default_factory=set)
    quarantine: list[Owned] = field(default_factory=list)
    sick: set[Pfn] = field(default_factory=set)
    """Frames that were poisoned while they were free."""
    untouched: Untouched | None = None
    """None before the start."""
    watch: SlotWatch | None = None
    """None before the start, and where this version's slots say too little."""
    state: CoreState | None = None
    first: CoreState | None = None
    """The state after the start."""
    step: CaseStep | None = None
    """The one that is carried out; None for the start."""
    function: str = START
    commands: list[str] = field(default_factory=list)
    cpu: int = 0
    """Whose caches the core uses."""
    refused: tuple[str, int] | None = None
    """The last request that filled memory until it was refused, with the number of commands behind it."""
    over: bool = False
    """Nothing can be judged behind the last step."""
    blamed: str = ""
    """The core's function that panicked."""
    panicked_at: str = ""
    backtrace: tuple[str, ...] = ()

    # ---- the core ----------------------------------------------------------------------------------------

    def ask(self, line: str, cpu_s: float | None = None) -> Reply:
        """Send a request and note it with its reply; raises what `CoreGuest.request` raises."""
        reply = self.core.request(line, cpu_s)
        more = f" ({len(reply.data)} lines)" if reply.data else ""
        self.commands.append(f"{line} → {reply.shown}{more}")
        return reply

    def ask_all(self, lines: list[str]) -> Iterator[Reply]:
        """Send requests in few round trips; the replies end behind an error or a panic."""
        if len(lines) == 1:
            yield self.ask(lines[0])
            return
        for line, reply in zip(lines, self.core.request_all(lines), strict=False):
            self.core.last_request = line
            self.commands.append(f"{line} → {reply.shown}")
            yield reply

    def held(self) -> list[Owned]:
        """Every block that a caller holds."""
        return [block for blocks in self.owned.values() for block in blocks]

    def judged(self) -> Iterator[CoreViolation]:
        """What is wrong with the state as it is now."""
        try:
            self.state = self.core.state(self.first)
        except RamError as error:
            text = error.summary
            yield CoreViolation(
                "CORE-07", "what the core remembers", "addresses in RAM", text, None, "out of RAM"
            )
            return
        self.core.looked_at |= STATE_CLAUSES
        for lock in self.state.locked:
            clause, what = clause_of_return(self.step), f"`{self.core.last_request}` came back"
            yield CoreViolation(clause, what, "no lock is held", f"the lock of {lock} is", None, "a lock")
        yield from self.of(self.state)

    def of(self, state: CoreState) -> Iterator[CoreViolation]:
        """What is wrong with what the core remembers, then with slots."""
        held = self.held()
        yield from judging.judge_state(state, self.memory, held, self.quarantine, self.accepted)
        yield from self.lost(state)
        if self.untouched is not None:
            taken = spans_of(state.structures)
            yield from self.untouched.judge([*taken, *self.accepted.stray])
        if self.watch is not None:
            yield from self.watch.judge(state, held, self.sick)
            self.core.looked_at |= self.watch.looked_at

    def first_new(self, found: Iterable[CoreViolation]) -> CoreViolation | None:
        """The first that is not known; all are looked at, since what follows needs what they find out."""
        new: list[CoreViolation] = []
        for one in found:
            if self.sick and one.clause in UNSURE:
                continue
            if one.key in self.known or judging.follows_from(one.key, self.known):
                self.behind[one.key] = None
            else:
                new.append(one)
        return new[0] if new else None

    def panicked(self, clause: str, what: str, expected: str, reply: Reply) -> CoreViolation:
        """The panic of a request that must not panic; it ends the case."""
        self.over, self.backtrace = True, texts(reply.backtrace)
        design = self.core.design
        inner = design.innermost(reply.backtrace)
        self.blamed = design.short(inner.function) if inner else ""
        panicked = f"{reply.outcome.file}:{reply.outcome.line}"
        in_core = is_part_of(reply.outcome.file, str(self.core.guest.image.subject.path))
        # A panic in a library is that of the core's line which called it.
        self.panicked_at = place = panicked if in_core or not inner else f"{inner.file}:{inner.line}"
        words = " ".join(reply.outcome.text.split())
        return CoreViolation(clause, what, expected, f"a panic: {words}", None, place)

    # ---- the start ---------------------------------------------------------------------------------------

    def start(self) -> Iterator[CoreViolation]:
        """Start the core, judge what it made of the map."""
        there = merged([*self.core.available(), LOW_MEMORY])
        self.untouched = Untouched(self.memory, there, self.core.guest.ram)
        reply = self.core.start(self.memory)
        self.commands.append(f"core.start → {reply.shown}")
        self.core.looked_at.add("CORE-01")
        if reply.status == "panic":
            self.over = True
            if may_refuse(self.memory, reply.outcome.text):
                self.core.refused = reply.outcome.text
                return
            yield self.panicked(
                "CORE-01", "the start of the core", "a core that runs: there is room for it", reply
            )
            return
        found = list(self.judged())
        self.first = self.state
        if self.first is not None and (words := self.core.slot_words) is not None:
            self.watch = SlotWatch(words, self.core.slots(), self.core.guest.ram)
            self.watch.fill(self.first)
            found += self.watch.judge(self.first, [])
            self.core.looked_at |= self.watch.looked_at
        if self.first is not None:
            # What lies where it must not explains whatever is wrong besides.
            self.core.looked_at |= {"CORE-02"} if self.memory.strange else {"CORE-02", "CORE-05"}
            yield from judging.judge_structures(self.first, self.memory)
        yield from found
        if self.first is None:
            self.over = True
            return
        yield from judging.judge_population(self.first, self.memory)
        yield from judge_boot(self.first)
        yield from self.totals(self.first)
        self.accepted = judging.accepted(self.first, self.memory)

    def totals(self, state: CoreState) -> Iterator[CoreViolation]:
        """Hold the core's totals against its zones and the held blocks (CORE-20); a panic ends the case.

        Behind a call that left a lock locked they would panic, which is that call's fault.
        """
        if state.locked:
            return
        self.core.looked_at.add("CORE-20")
        reply = self.core.request("core.totals")
        if reply.status == "panic":
            yield self.panicked("CORE-20", "the totals", "an answer", reply)
            return
        managed = sum(zone.managed for zone in state.zones)
        allocated = sum(1 << block.order for block in self.held())
        for what, wanted in (("managed", managed), ("allocated", allocated)):
            if reply[what] != wanted:
                yield CoreViolation(
                    "CORE-20", f"{what} pages in all", str(wanted), str(reply[what]), None, what
                )

    def lost(self, state: CoreState) -> Iterator[CoreViolation]:
        """Look for frames of the start that are neither free nor held (CORE-16)."""
        kept = [*self.held(), *self.quarantine]
        missing = (self.first or state).n_free - state.n_free - sum(1 << one.order for one in kept)
        if self.first is not None and missing > 0:
            spans = [(pfn_to_paddr(one.pfn), pfn_to_paddr(one.end)) for one in kept]
            nowhere = without(self.first.population(), [*state.population(), *spans])
            what, paddr = "frames that nobody holds", nowhere[0][0] if nowhere else None
            expected, got = "all are on free lists, or in caches", f"{missing} are not"
            yield CoreViolation("CORE-16", what, expected, got, paddr)

    def all_freed(self) -> Iterator[CoreViolation]:
        """Look for frames of the start that are not free (CORE-16), once nobody holds any."""
        aside = self.owned.get(ASIDE, [])
        if len(self.held()) > len(aside) or self.first is None or self.state is None:
            return
        self.core.looked_at.add("CORE-16")
        apart = [(pfn_to_paddr(block.pfn), pfn_to_paddr(block.end)) for block in (*self.quarantine, *aside)]
        if gone := without(self.first.population(), [*self.state.population(), *apart]):
            got = f"{length(gone) // PAGE_SIZE} frames are not, the first at {gone[0][0]:#x}"
            expected = "the frames of the start are free again" + (", or in quarantine" if apart else "")
            yield CoreViolation("CORE-16", "all is freed", expected, got, gone[0][0])


Perform = Callable[[Any, Playing, CoreState], Iterator[CoreViolation]]
"""Carries an operation out: its step, the case, the state in which the core is asked."""


_DEFECTS = (
    "attempt to", "index out of bounds", "out of range", "assertion", "called `", "unreachable",
    "range start", "range end", "slice index", "ptr::", "unsafe precondition", "capacity overflow",
    "null pointer", "misaligned", "deadlock:", "inconsistency",
)  # fmt: skip
_SLOT_BYTES, _BITS_BYTES, _REGION_BYTES, _SPARE = 64, 4, 1024, 512 << 10


def may_refuse(memory: MemoryMap, words: str) -> bool:
    """Whether a panic while the core starts is a refusal in words, of a map that may be refused.

    It may be where the largest piece of usable memory cannot hold twice what a core of this design needs: a
    slot for each frame up to the highest, bits and tags, a table of segments.
    """
    if any(sign in words for sign in _DEFECTS):
        return False
    if memory.strange:
        return True
    within = (
        memory.usable
        if memory.hhdm_end is None
        else common(memory.usable, [(Paddr(0), Paddr(memory.hhdm_end))])
    )
    largest = max((end - first for first, end in within), default=0)
    frames, slots = length(memory.usable) // PAGE_SIZE, memory.top // PAGE_SIZE
    need = slots * _SLOT_BYTES + frames * _BITS_BYTES + len(memory.regions) * _REGION_BYTES + _SPARE
    return largest < 2 * need
