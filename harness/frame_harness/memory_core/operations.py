"""The operations of a case: what each asks of the core, and how its answer is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, frames_from, paddr_to_pfn, pfn_to_paddr
from frame_harness.guest.reply import Reply
from frame_harness.memory_core import answers, judging
from frame_harness.memory_core.clauses import TWO_OWNERS
from frame_harness.memory_core.functions import ALLOC, ALLOC_ZONE, FREE, TABLE
from frame_harness.memory_core.judging import CoreViolation, Owned
from frame_harness.memory_core.maps import Span, merged, rounded_out, without
from frame_harness.memory_core.marking import mark
from frame_harness.memory_core.owning_play import own
from frame_harness.memory_core.owning_steps import CopyOnWrite, Mark, Own
from frame_harness.memory_core.page_tables import Tables
from frame_harness.memory_core.playing import Perform, Playing
from frame_harness.memory_core.sharing import share
from frame_harness.memory_core.slots import Claim
from frame_harness.memory_core.state import CoreState, free_frame, inner, spans_of
from frame_harness.memory_core.steps import (
    ANY_ZONE,
    MOST_FILLED,
    Alloc,
    AsCpu,
    CaseStorm,
    Fill,
    FrameAlloc,
    Free,
    FreeHalf,
    FreeOne,
    PageTables,
    Poison,
    PoisonFree,
    WrongFree,
)
from frame_harness.memory_core.storms import storm
from frame_harness.memory_core.work import Meter
from frame_harness.memory_core.work_steps import WorkOf, WorkOfBoot, WorkStep
from frame_harness.memory_core.wrong_frees import Target, cause_of, target_of

TARGETS: Final = 5
"""Frames that are mapped by the page tables of a case."""


def _alloc(step: Alloc, play: Playing, before: CoreState) -> Iterator[CoreViolation]:
    line, refused = f"core.alloc {_request(step)}", _was_refused(step, play)
    play.function = ALLOC if step.zone == ANY_ZONE else ALLOC_ZONE
    play.core.looked_at.add("CORE-09")
    reply = play.ask(line)
    if reply.status == "panic":
        yield play.panicked("CORE-09", f"an allocation of order {step.order}", "a block or an error", reply)
        return
    if reply.status == "ok":
        if refused:
            yield _other_answer("a refusal", f"ok paddr={reply['paddr']:#x}")
        yield from _take(play, step, [Paddr(reply["paddr"])], before)
    else:
        yield from _failed(play, step, reply, line, before)
    yield from play.judged()
    if play.state is not None:
        yield from play.totals(play.state)


def _fill(step: Fill, play: Playing, before: CoreState) -> Iterator[CoreViolation]:
    play.function = ALLOC if step.zone == ANY_ZONE else ALLOC_ZONE
    play.core.looked_at.add("CORE-09")
    refused = _was_refused(step, play)
    reply = play.ask(f"core.fill {_request(step)} {MOST_FILLED}")
    if refused and reply.data:
        yield _other_answer("a refusal", plural(len(reply.data), "block"))
    yield from _take(play, step, [Paddr(int(line, 0)) for line in reply.data], before)
    if reply.status == "panic":
        what = f"allocation {len(reply.data) + 1} of order {step.order}"
        yield play.panicked("CORE-09", what, "a block or an error", reply)
        return
    yield from play.judged()
    if reply.status == "fail":
        play.refused = _request(step), len(play.commands)
        if play.state is not None:
            play.core.looked_at.add("CORE-10")
            yield from answers.judge_error(step, reply.outcome.code, play.state, play.cpu)
    if play.state is not None:
        yield from play.totals(play.state)


def _frame(step: FrameAlloc, play: Playing, before: CoreState) -> Iterator[CoreViolation]:
    if play.watch is None or (step.writes and play.accepted.given_up):
        return  # the frame may be one that the core still needs, which is a fault of its own
    play.function = TABLE
    reply = play.ask(f"frame.alloc {step.purpose} {'zeroed' if step.zeroed else 'unzeroed'}")
    if reply.status == "panic":
        what = f"the allocation of a frame for {step.purpose}"
        yield play.panicked("CORE-34", what, "a frame or an error", reply)
        return
    if reply.status == "ok":
        claim = Claim(paddr_to_pfn(Paddr(reply["paddr"])), step.purpose, step.zeroed)
        play.core.looked_at.add("CORE-09")
        yield from _take(play, step, [Paddr(reply["paddr"])], before)
        if claim.pfn < len(play.core.slots()):
            play.core.looked_at.add("CORE-34")
            yield from play.watch.judge_claim(claim)
            _fill_owned(play, play.owned[step.name][-1:])
    else:
        play.core.looked_at.add("CORE-10")
        yield from answers.judge_error(step, reply.outcome.code, before, play.cpu)
    yield from play.judged()
    if play.state is not None:
        yield from play.totals(play.state)


def _take(
    play: Playing, step: Alloc | Fill | FrameAlloc, paddrs: Sequence[Paddr], before: CoreState
) -> Iterator[CoreViolation]:
    """Judge blocks that were given, in this order, and let their owner fill them."""
    usable = merged([*play.memory.usable, *play.accepted.stray])
    had = len(play.owned.get(step.name, []))
    for paddr in paddrs:
        yield from _take_one(play, step, paddr, before, usable)
    if not isinstance(step, FrameAlloc):
        _fill_owned(play, play.owned.get(step.name, [])[had:])


def _take_one(
    play: Playing, step: Alloc | Fill | FrameAlloc, paddr: Paddr, before: CoreState, usable: Sequence[Span]
) -> Iterator[CoreViolation]:
    block = Owned(paddr_to_pfn(paddr), step.order, step.kind)
    play.core.looked_at |= {"CORE-12", "CORE-13", "CORE-14"}
    if step.order > before.max_order:
        play.over = True  # nobody can say which frames it has
        yield answers.too_large(step.order, paddr, before.max_order)
        return
    yield from answers.judge_block(step, block, paddr, before, usable)
    play.owned.setdefault(step.name, []).append(block)
    play.given[step.name] = block
    if sick := [pfn for pfn in frames_from(block.pfn, 1 << block.order) if pfn in play.sick]:
        play.over = True
        what, got = (
            f"the block of order {step.order} that was given",
            f"{pfn_to_paddr(sick[0]):#x} is poisoned",
        )
        yield CoreViolation(
            "CORE-37", what, "no frame that was poisoned while it was free", got, pfn_to_paddr(sick[0])
        )


def _failed(
    play: Playing, step: Alloc, reply: Reply, line: str, before: CoreState
) -> Iterator[CoreViolation]:
    play.core.looked_at |= {"CORE-10", "CORE-11"}
    yield from answers.judge_error(step, reply.outcome.code, before, play.cpu)
    if play.core.locked():
        return  # it would wait for ever: its state is judged next, and tells of the lock
    again = play.ask(line)
    if again.status != "fail":
        got = f"ok paddr={again['paddr']:#x}" if again.status == "ok" else again.shown
        yield _other_answer(reply.outcome.code, got)
        play.over = True


def _request(step: Alloc | Fill) -> str:
    return f"{step.order} {step.kind} {step.zone}"


def _was_refused(step: Alloc | Fill, play: Playing) -> bool:
    """Whether the last command filled memory with the same request, until it was refused."""
    return play.refused == (_request(step), len(play.commands))


def _other_answer(expected: str, got: str) -> CoreViolation:
    """What is wrong where a request that was refused is answered otherwise at once."""
    return CoreViolation("CORE-11", "the same allocation again, at once", expected, got)


def _free(step: Free, play: Playing, _before: CoreState) -> Iterator[CoreViolation]:
    yield from _give_back(play, step.name, tuple(play.owned.get(step.name, [])))


def _free_one(step: FreeOne, play: Playing, _before: CoreState) -> Iterator[CoreViolation]:
    yield from _give_back(play, step.name, tuple(play.owned.get(step.name, [])[-1:]))


def _free_half(step: FreeHalf, play: Playing, _before: CoreState) -> Iterator[CoreViolation]:
    yield from _give_back(play, step.name, tuple(play.owned.get(step.name, [])[1::2]))


def _as_cpu(step: AsCpu, play: Playing, _before: CoreState) -> Iterator[CoreViolation]:
    """Ask as another CPU from now on; nothing can be wrong with that."""
    play.ask(f"core.cpu {step.cpu}")
    play.cpu = step.cpu
    yield from ()


def _give_back(play: Playing, name: str, held: Sequence[Owned]) -> Iterator[CoreViolation]:
    play.function = FREE
    # What somebody owns is freed by its last owner.
    blocks = [block for block in held if (block.pfn, block.order) not in play.owners]
    _fill_owned(play, blocks)
    lines = [_line_of_free(play, block) for block in reversed(blocks)]
    for block, reply in zip(reversed(blocks), play.ask_all(lines), strict=False):
        play.core.looked_at.add("CORE-15")
        if reply.status == "panic":
            if judging.is_misaligned(block):
                play.over = True  # it should not have been given
            else:
                what = f"the free of a block of order {block.order}"
                yield play.panicked("CORE-15", what, "a return", reply)
            return
        _forget(play.owned[name], block)
        if play.watch is not None:
            play.watch.released(block)
        if block in play.poisoned:
            play.quarantine.append(block)
            play.core.looked_at.add("CORE-19")
    if blocks:
        yield from play.judged()
        yield from play.all_freed()


def _fill_owned(play: Playing, blocks: Sequence[Owned]) -> None:
    """Let an owner fill what he has; not where that may be memory that somebody else still needs."""
    if play.watch is not None and not play.accepted.given_up:
        spans = [(pfn_to_paddr(one.pfn), pfn_to_paddr(one.end)) for one in blocks]
        usable = play.memory.usable
        if without(spans, usable):
            blocks = [block for block, span in zip(blocks, spans, strict=True) if not without([span], usable)]
        play.watch.fill_owned(blocks)


def _forget(owned: list[Owned], block: Owned) -> None:
    """Take a block out of those that a caller holds, of which the last is given back first."""
    if owned[-1] == block:
        owned.pop()
    else:
        owned.remove(block)


def _line_of_free(play: Playing, block: Owned) -> str:
    paddr = pfn_to_paddr(block.pfn)
    if play.watch is not None and play.watch.is_claimed(block):
        return f"frame.free {paddr:#x}"
    return f"core.free {paddr:#x} {block.order}"


def _poison(step: Poison, play: Playing, _before: CoreState) -> Iterator[CoreViolation]:
    blocks = [block for block in play.owned.get(step.name, []) if block not in play.poisoned]
    if not blocks:
        return
    block = blocks[-1]
    at = {"first": 0, "middle": inner(block.order), "last": (1 << block.order) - 1}[step.place]
    pfn = Pfn(block.pfn + at)
    reply = play.ask(f"core.poison {pfn_to_paddr(pfn):#x}")
    if reply.status == "panic":
        yield play.panicked("CORE-19", "a frame that is poisoned", "a return", reply)
    play.core.looked_at.add("CORE-19")
    play.poisoned.add(block)
    if play.watch is not None:
        play.watch.was_changed(pfn)


def _poison_free(step: PoisonFree, play: Playing, before: CoreState) -> Iterator[CoreViolation]:
    pfn = free_frame(before, step.where)
    if pfn is None or play.watch is None:
        return
    reply = play.ask(f"core.poison {pfn_to_paddr(pfn):#x}")
    if reply.status == "panic":
        yield play.panicked("CORE-37", "a free frame that is poisoned", "a return", reply)
    play.core.looked_at.add("CORE-37")
    play.sick.add(pfn)


def _page_tables(step: PageTables, play: Playing, before: CoreState) -> Iterator[CoreViolation]:
    play.function = TABLE
    paddrs, ram = list[Paddr](), play.core.guest.ram
    for _ in range(TARGETS):
        reply = play.ask("core.alloc 0 unmovable any")
        if reply.status == "panic":
            yield play.panicked("CORE-09", "an allocation of order 0", "a block or an error", reply)
            return
        if reply.status != "ok":  # too little memory
            yield from _give_targets_back(play, paddrs)
            return
        paddrs.append(Paddr(reply["paddr"]))
    play.core.looked_at.add("CORE-09")
    play.core.looked_at.add("CORE-12")
    if stray := [paddr for paddr in paddrs if not ram.holds(paddr, PAGE_SIZE)]:
        play.over = True
        yield CoreViolation(
            "CORE-12", "a frame that was given", "memory", f"no RAM at {stray[0]:#x}", stray[0]
        )
        return
    # What is the core's own is left alone, also where it is free: that is a fault of its own.
    kept = [
        *((paddr, Paddr(paddr + PAGE_SIZE)) for paddr in paddrs),
        *rounded_out(spans_of(before.structures)),
    ]
    free = without(before.population(), kept)
    tables = Tables(play.ask, ram, free, paddrs, step.variant, step.seed)
    found = next(tables.use(), None)
    if tables.looked:
        play.core.looked_at.add("CORE-22")
    if found is not None:
        play.over = True
        yield found
        return
    yield from _give_targets_back(play, paddrs)
    if play.over:
        return
    if play.watch is not None:
        play.watch.forget_lives()
    yield from play.judged()
    yield from play.all_freed()


def _give_targets_back(play: Playing, paddrs: Sequence[Paddr]) -> Iterator[CoreViolation]:
    """Free what page tables led to; a panic ends the case."""
    for paddr in paddrs:
        reply = play.ask(f"core.free {paddr:#x} 0")
        if reply.status == "panic":
            yield play.panicked("CORE-15", "the free of a block of order 0", "a return", reply)
            return
        play.core.looked_at.add("CORE-15")


def _wrong_free(step: WrongFree, play: Playing, before: CoreState) -> Iterator[CoreViolation]:
    held = play.owned.get(step.name, [])
    old = play.given.get(step.name)
    target = target_of(step.how, Target(before, play.memory, held[-1] if held else None, old, play.held()))
    if target is None:
        return
    play.function, play.over = FREE, True
    play.core.looked_at.add("CORE-17")
    there = {one.key for one in play.of(before)}
    reply = play.ask(f"core.free {target.paddr:#x} {target.order}")
    if target.gives_up:
        held.remove(held[-1])  # the caller has given it up, whatever became of it
    seen = [one for one in play.judged() if one.key not in there and one.clause in TWO_OWNERS]
    if seen:
        did = "panicked too late" if reply.status == "panic" else "took it"
        what = f"a wrong free ({step.how}) of {target.paddr:#x}, order {target.order}: the core {did}"
        got = f"{seen[0].what}: {seen[0].got}"
        yield CoreViolation(
            "CORE-17", what, "a refusal before a frame has two owners", got, seen[0].paddr, cause_of(step.how)
        )


def _work(step: WorkStep, play: Playing, _before: CoreState) -> Iterator[CoreViolation]:
    """The core is started again for it: what was done before it does not count."""
    play.over = True
    meter = Meter(play.core, play.memory, play.commands)
    found = meter.boot() if isinstance(step, WorkOfBoot) else meter.operations(step.order, step.kind)
    if meter.panic is not None and not play.behind:
        clause, play.function, reply = meter.panic
        yield play.panicked(clause, "a call whose work is counted", "a return", reply)
        return
    if found is not None:
        play.function = found.function
        yield found.violation


OPERATIONS: Final[Mapping[type, Perform]] = {
    Alloc: _alloc,
    Fill: _fill,
    FrameAlloc: _frame,
    Free: _free,
    FreeHalf: _free_half,
    FreeOne: _free_one,
    AsCpu: _as_cpu,
    Poison: _poison,
    PoisonFree: _poison_free,
    WrongFree: _wrong_free,
    CaseStorm: storm,
    PageTables: _page_tables,
    WorkOfBoot: _work,
    WorkOf: _work,
    Own: own,
    Mark: mark,
    CopyOnWrite: share,
}
