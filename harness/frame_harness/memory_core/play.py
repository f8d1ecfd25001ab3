"""Carries a case out on a core, and judges each of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from frame_harness.base.errors import RamError
from frame_harness.base.units import PAGE_SHIFT, PAGE_SIZE
from frame_harness.guest.backtrace import code_line
from frame_harness.guest.errors import GuestFailure
from frame_harness.guest.reply import Reply
from frame_harness.image.placed import is_part_of
from frame_harness.memory_core import answers, judging
from frame_harness.memory_core.failure import CORE, Failure, of_a_dead_guest
from frame_harness.memory_core.functions import ALLOC, ALLOC_ZONE, FREE, START, TABLE
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.judging import Accepted, Key, Owned, Violation
from frame_harness.memory_core.maps import MemoryMap, length, merged, rounded_out, without
from frame_harness.memory_core.page_tables import Tables, outside_of
from frame_harness.memory_core.state import CoreState, spans_of
from frame_harness.memory_core.steps import (
    ANY_ZONE,
    MOST_FILLED,
    Alloc,
    Fill,
    Free,
    FreeOne,
    Operation,
    PageTables,
    Poison,
    Step,
    Storm,
    WorkOf,
    WorkOfBoot,
    WrongFree,
    map_of,
    operations_of,
)
from frame_harness.memory_core.work import Meter
from frame_harness.memory_core.wrong_frees import SHOWS, Target, target_of

STATE_CLAUSES: Final = frozenset({"CORE-03", "CORE-04", "CORE-06", "CORE-07", "CORE-08", "CORE-18"})
"""What every state is judged by."""
STORM_CPU_S: Final = 60.0
"""Of a storm: CPUs that wait for a lock use CPU time, too."""
TARGETS: Final = 5
"""Frames that are mapped by the page tables of a case."""


@dataclass
class _Play:
    """What is known while a case is carried out."""

    core: CoreGuest
    memory: MemoryMap
    known: frozenset[Key]
    """Faults that do not end a case, where the core can be judged further."""
    behind: dict[Key, None] = field(default_factory=dict)
    accepted: Accepted = field(default_factory=Accepted)
    owned: dict[str, list[Owned]] = field(default_factory=dict)
    """What callers hold, by name."""
    given: dict[str, Owned] = field(default_factory=dict)
    """The last block that was given under each name."""
    poisoned: set[Owned] = field(default_factory=set)
    quarantine: list[Owned] = field(default_factory=list)
    state: CoreState | None = None
    first: CoreState | None = None
    """The state after the start."""
    function: str = START
    commands: list[str] = field(default_factory=list)
    over: bool = False
    """Nothing can be judged behind the last step."""
    blamed: str = ""
    """The core's function that panicked."""
    panicked_at: str = ""
    backtrace: tuple[str, ...] = ()

    # ---- the core ----------------------------------------------------------------------------------------

    def ask(self, line: str, cpu_s: float | None = None) -> Reply:
        reply = self.core.request(line, cpu_s)
        more = f" ({len(reply.data)} lines)" if reply.data else ""
        self.commands.append(f"{line} → {reply.shown}{more}")
        return reply

    def ask_all(self, lines: list[str]) -> Iterator[Reply]:
        if len(lines) == 1:
            yield self.ask(lines[0])
            return
        for line, reply in zip(lines, self.core.request_all(lines), strict=False):
            self.commands.append(f"{line} → {reply.shown}")
            yield reply

    def held(self) -> list[Owned]:
        """Every block that a caller holds."""
        return [block for blocks in self.owned.values() for block in blocks]

    def judged(self) -> Iterator[Violation]:
        """What is wrong with the state as it is now."""
        try:
            self.state = self.core.state(self.first)
        except RamError as error:
            text = error.summary
            yield Violation(
                "CORE-07", "what the core remembers", "addresses in RAM", text, None, "out of RAM"
            )
            return
        self.core.looked_at |= STATE_CLAUSES
        yield from self._of(self.state)

    def _of(self, state: CoreState) -> Iterator[Violation]:
        return judging.judge_state(state, self.memory, self.held(), self.quarantine, self.accepted)

    def first_new(self, found: Iterable[Violation]) -> Violation | None:
        """The first that is not known; all are looked at, since what follows needs what they find out."""
        new: list[Violation] = []
        for one in found:
            if one.key in self.known or judging.follows_from(one.key, self.known):
                self.behind[one.key] = None
            else:
                new.append(one)
        return new[0] if new else None

    def panicked(self, clause: str, what: str, expected: str, reply: Reply) -> Violation:
        """The panic of a request that must not panic; it ends the case."""
        self.over, self.backtrace = True, reply.backtrace
        frames = [found for line in reply.backtrace if (found := code_line(line))]
        inner = next((one for one in frames if CORE in one.function), None)
        self.blamed = inner.function.rpartition(CORE)[2] if inner else ""
        panicked = f"{reply.outcome.file}:{reply.outcome.line}"
        in_core = is_part_of(reply.outcome.file, str(self.core.guest.image.subject.path))
        # A panic in a library is that of the core's line which called it.
        self.panicked_at = place = panicked if in_core or not inner else f"{inner.file}:{inner.line}"
        words = " ".join(reply.outcome.text.split())
        return Violation(clause, what, expected, f"a panic: {words}", None, place)

    # ---- the start ---------------------------------------------------------------------------------------

    def start(self) -> Iterator[Violation]:
        """Start the core, judge what it made of the map."""
        reply = self.core.start(self.memory)
        self.commands.append(f"core.start → {reply.shown}")
        self.core.looked_at.add("CORE-01")
        if reply.status == "panic":
            self.over = True
            if judging.may_refuse(self.memory, reply.outcome.text):
                self.core.refused = reply.outcome.text
                return
            yield self.panicked(
                "CORE-01", "the start of the core", "a core that runs: there is room for it", reply
            )
            return
        found = list(self.judged())
        self.first = self.state
        if self.first is not None:
            # What lies where it must not explains whatever is wrong besides.
            self.core.looked_at |= {"CORE-02", "CORE-05"}
            yield from judging.judge_structures(self.first, self.memory)
        yield from found
        if self.first is None:
            self.over = True
            return
        yield from judging.judge_population(self.first, self.memory)
        yield from self._totals(self.first)
        self.accepted = judging.accepted(self.first, self.memory)

    def _totals(self, state: CoreState) -> Iterator[Violation]:
        self.core.looked_at.add("CORE-20")
        reply = self.core.request("core.totals")
        if reply.status == "panic":
            yield self.panicked("CORE-20", "the totals", "an answer", reply)
            return
        managed = sum(zone.managed for zone in state.zones)
        allocated = sum(1 << block.order for block in self.held())
        for what, wanted in (("managed", managed), ("allocated", allocated)):
            if reply[what] != wanted:
                yield Violation("CORE-20", f"{what} pages in all", str(wanted), str(reply[what]), None, what)

    # ---- operations --------------------------------------------------------------------------------------

    def carry_out(self, step: Operation) -> Iterator[Violation]:
        """Carry one operation out, judge the answer, then the state."""
        if self.state is None:
            return
        match step:
            case Alloc():
                yield from self._alloc(step, self.state)
            case Fill():
                yield from self._fill(step, self.state)
            case Free(name) | FreeOne(name):
                last = -1 if isinstance(step, FreeOne) else 0
                yield from self._free(name, tuple(self.owned.get(name, [])[last:]))
            case Poison(name):
                yield from self._poison(name)
            case WrongFree():
                yield from self._wrong_free(step, self.state)
            case Storm():
                yield from self._storm(step, self.state)
            case PageTables():
                yield from self._page_tables(step, self.state)
            case WorkOfBoot() | WorkOf():
                yield from self._work(step)

    def _alloc(self, step: Alloc, before: CoreState) -> Iterator[Violation]:
        line = f"core.alloc {step.order} {step.kind} {step.zone}"
        self.function = ALLOC if step.zone == ANY_ZONE else ALLOC_ZONE
        self.core.looked_at.add("CORE-09")
        reply = self.ask(line)
        if reply.status == "panic":
            yield self.panicked(
                "CORE-09", f"an allocation of order {step.order}", "a block or an error", reply
            )
            return
        if reply.status == "ok":
            yield from self._take(step, reply["paddr"], before)
        else:
            yield from self._failed(step, reply, line, before)
        yield from self.judged()
        if self.state is not None:
            yield from self._totals(self.state)

    def _fill(self, step: Fill, before: CoreState) -> Iterator[Violation]:
        self.function = ALLOC if step.zone == ANY_ZONE else ALLOC_ZONE
        self.core.looked_at.add("CORE-09")
        reply = self.ask(f"core.fill {step.order} {step.kind} {step.zone} {MOST_FILLED}")
        for line in reply.data:
            yield from self._take(step, int(line, 0), before)
        if reply.status == "panic":
            what = f"allocation {len(reply.data) + 1} of order {step.order}"
            yield self.panicked("CORE-09", what, "a block or an error", reply)
            return
        yield from self.judged()
        if reply.status == "fail" and self.state is not None:
            self.core.looked_at.add("CORE-10")
            yield from answers.judge_error(step, reply.outcome.code, self.state)

    def _take(self, step: Alloc | Fill, paddr: int, before: CoreState) -> Iterator[Violation]:
        block = Owned(paddr >> PAGE_SHIFT, step.order, step.kind)
        self.core.looked_at |= {"CORE-12", "CORE-13", "CORE-14"}
        usable = merged([*self.memory.usable, *self.accepted.stray])
        yield from answers.judge_block(step, block, paddr, before, usable)
        self.owned.setdefault(step.name, []).append(block)
        self.given[step.name] = block

    def _failed(self, step: Alloc, reply: Reply, line: str, before: CoreState) -> Iterator[Violation]:
        self.core.looked_at |= {"CORE-10", "CORE-11"}
        yield from answers.judge_error(step, reply.outcome.code, before)
        again = self.ask(line)
        if again.status != "fail":
            got = f"ok paddr={again['paddr']:#x}" if again.status == "ok" else again.shown
            yield Violation("CORE-11", "the same allocation again, at once", reply.outcome.code, got)
            self.over = True

    def _free(self, name: str, blocks: Sequence[Owned]) -> Iterator[Violation]:
        self.function = FREE
        lines = [f"core.free {block.pfn << PAGE_SHIFT:#x} {block.order}" for block in reversed(blocks)]
        for block, reply in zip(reversed(blocks), self.ask_all(lines), strict=False):
            self.core.looked_at.add("CORE-15")
            if reply.status == "panic":
                if judging.is_misaligned(block):
                    self.over = True  # it should not have been given
                else:
                    what = f"the free of a block of order {block.order}"
                    yield self.panicked("CORE-15", what, "a return", reply)
                return
            self.owned[name].pop()
            if block in self.poisoned:
                self.quarantine.append(block)
                self.core.looked_at.add("CORE-19")
        if blocks:
            yield from self.judged()
            yield from self._all_freed()

    def _all_freed(self) -> Iterator[Violation]:
        if self.held() or self.quarantine or self.first is None or self.state is None:
            return
        self.core.looked_at.add("CORE-16")
        if gone := without(self.first.population(), self.state.population()):
            got = f"{length(gone) // PAGE_SIZE} frames are not, the first at {gone[0][0]:#x}"
            expected = "the frames of the start are free again"
            yield Violation("CORE-16", "all is freed", expected, got, gone[0][0])

    def _poison(self, name: str) -> Iterator[Violation]:
        blocks = [block for block in self.owned.get(name, []) if block not in self.poisoned]
        if not blocks:
            return
        reply = self.ask(f"core.poison {blocks[-1].pfn << PAGE_SHIFT:#x}")
        if reply.status == "panic":
            yield self.panicked("CORE-19", "a frame that is poisoned", "a return", reply)
        self.poisoned.add(blocks[-1])

    def _storm(self, step: Storm, before: CoreState) -> Iterator[Violation]:
        """What one CPU breaks alone breaks the clause of that; what several break, theirs."""
        self.function, alone = ALLOC, step.cpus == 1
        there = {one.key for one in self._of(before)}
        what = f"{step.cpus} CPUs at once, {step.turns} requests each"
        self.core.looked_at |= set() if alone else {"CORE-21"}
        reply = self.ask(f"core.storm {step.cpus} {step.turns} {step.seed}", STORM_CPU_S)
        if reply.status == "panic":
            clause = "CORE-09" if alone else "CORE-21"
            yield self.panicked(clause, what, "each allocation and each free returns", reply)
            return
        if reply["violations"]:
            self.over, cause = True, "a frame in two hands"
            got = f"{cause}, {reply['violations']} times"
            yield Violation("CORE-14" if alone else "CORE-21", what, "one owner", got, reply["paddr"], cause)
        for one in [*self.judged(), *self._all_freed()]:
            if alone or one.key in there or one.key in self.known:
                yield one
            else:
                self.over, got = True, f"{one.what}: {one.got}"
                yield Violation("CORE-21", f"after {what}", one.expected, got, one.paddr, one.clause)

    def _page_tables(self, step: PageTables, before: CoreState) -> Iterator[Violation]:
        self.function = TABLE
        targets = [self.ask("core.alloc 0 unmovable any") for _ in range(TARGETS)]
        if any(reply.status != "ok" for reply in targets):
            return  # too little memory
        paddrs, ram = [reply["paddr"] for reply in targets], self.core.guest.ram
        if (stray := outside_of(ram, paddrs)) is not None:
            self.over = True
            yield stray
            return
        # What is the core's own is left alone, also where it is free: that is a fault of its own.
        kept = [*((paddr, paddr + PAGE_SIZE) for paddr in paddrs), *rounded_out(spans_of(before.structures))]
        free = without(before.population(), kept)
        self.core.looked_at.add("CORE-22")
        tables = Tables(self.ask, ram, free, paddrs, step.variant, step.seed)
        if (found := next(tables.use(), None)) is not None:
            self.over = True
            yield found
            return
        for paddr in paddrs:
            self.ask(f"core.free {paddr:#x} 0")
        yield from self.judged()
        yield from self._all_freed()

    def _work(self, step: WorkOfBoot | WorkOf) -> Iterator[Violation]:
        """The core is started again for it: what was done before it does not count."""
        self.over = True
        meter = Meter(self.core, self.memory, self.commands)
        found = meter.boot() if isinstance(step, WorkOfBoot) else meter.operations(step.order, step.kind)
        if meter.panic is not None and not self.behind:
            clause, self.function, reply = meter.panic
            yield self.panicked(clause, "a call whose work is counted", "a return", reply)
        if found is not None:
            self.function = found.function
            yield found.violation

    def _wrong_free(self, step: WrongFree, before: CoreState) -> Iterator[Violation]:
        held, old = self.owned.get(step.name, []), self.given.get(step.name)
        near = Target(before, self.memory, held[-1] if held else None, old, self.held())
        target = target_of(step.how, near)
        if target is None:
            return
        self.function, self.over = FREE, True
        self.core.looked_at.add("CORE-17")
        there = {one.key for one in self._of(before)}
        reply = self.ask(f"core.free {target.paddr:#x} {target.order}")
        if target.gives_up:
            held.remove(held[-1])  # the caller has given it up, whatever became of it
        seen = [one for one in self.judged() if one.key not in there and one.clause in SHOWS]
        if seen:
            did = "panicked too late" if reply.status == "panic" else "took it"
            what = f"a wrong free ({step.how}) of {target.paddr:#x}, order {target.order}: the core {did}"
            got = f"{seen[0].what}: {seen[0].got}"
            yield Violation(
                "CORE-17", what, "a refusal before a frame has two owners", got, seen[0].paddr, step.how
            )


def play(core: CoreGuest, steps: Sequence[Step], known: Iterable[Key] = ()) -> Failure | None:
    """Carry a case out on a core that has not started; returns the first thing that is wrong.

    Args:
        known: faults that do not end a case, as far as the core can be judged behind them.
    Raises:
        HarnessError: the harness broke down.
    """
    playing = _Play(core, map_of(steps), frozenset(key for key in known if key[0] in judging.LASTING))
    done: list[Step] = [step for step in steps if not isinstance(step, Operation)]
    try:
        found = playing.first_new(playing.start())
        for step in operations_of(steps):
            if found is not None or playing.over or playing.state is None:
                break
            done.append(step)
            found = playing.first_new(playing.carry_out(step))
    except GuestFailure as failure:
        return of_a_dead_guest(
            done, core.last_request, playing.function, playing.commands, playing.behind, failure
        )
    if found is None:
        return None
    return Failure(
        tuple(done), found, playing.blamed or playing.function, playing.panicked_at, tuple(playing.commands),
        playing.backtrace, tuple(playing.behind),
    )  # fmt: skip
