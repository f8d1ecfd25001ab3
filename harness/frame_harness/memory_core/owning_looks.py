"""Questions about owned blocks whose answers follow from the model: entries, handles, look-ups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from frame_harness.base.units import PAGE_SIZE, Pfn, pfn_to_paddr
from frame_harness.guest.reply import Reply
from frame_harness.memory_core.clauses import LASTING
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.ownership import BlockReferences, Handle, around, end_of
from frame_harness.memory_core.owning_asks import FUNCTIONS, panic_of
from frame_harness.memory_core.playing import Playing
from frame_harness.memory_core.state import LARGEST_BYTE_ORDER


def shown(handle: Handle) -> str:
    """The block in words, by its physical address and order."""
    return f"the block {pfn_to_paddr(handle[0]):#x}, order {handle[1]}"


def given(entry: BlockReferences) -> str:
    """What an entry holds, in words."""
    caps = ", ".join(map(str, sorted(entry.caps))) or "none"
    return f"{entry.state}, count {entry.count}: capabilities {caps}; {entry.pins} pins"


@dataclass(frozen=True)
class LastRequest:
    """The last request, in words."""

    shown: str
    clause: str
    """What it promises."""
    handle: Handle
    """The block that it was for."""


@dataclass(frozen=True)
class _Question:
    """A request that changes nothing."""

    line: str
    clause: str
    """The one that the answer speaks of."""
    judge: Callable[[Reply], CoreViolation | None]
    """What is wrong with an answer."""


def look(playing: Playing, last: LastRequest, block: Handle, *, handles: bool) -> Iterator[CoreViolation]:
    """Ask for all entries, and look a block up.

    Args:
        last: what was asked before.
        handles: whether the block's handle is asked, too.
    """
    questions = [*_entries(playing, last)]
    if handles:
        questions += _handles(playing, block)
    questions += _lookups(playing, block)
    # A case tells only the question whose answer is wrong.
    answers = playing.core.request_all([one.line for one in questions])
    for question, reply in zip(questions, answers, strict=False):
        playing.core.looked_at.add(question.clause)
        if reply.status == "panic":
            yield panic_of(playing, question.clause, question.line, reply)
            return
        wrong = question.judge(reply)
        if wrong is None:
            continue
        known = wrong.key in playing.known
        if not known:
            command = question.line.split(maxsplit=1)[0]
            playing.function = FUNCTIONS.get(command, playing.function)
            playing.commands.append(f"{question.line} → {reply.shown}")
        playing.over |= wrong.clause not in LASTING
        yield wrong
        if not known:
            return


def _entries(playing: Playing, last: LastRequest) -> Iterator[_Question]:
    for handle in dict.fromkeys([last.handle, *playing.owners]):
        yield _entry(handle, playing.owners.get(handle), last)


def _entry(handle: Handle, entry: BlockReferences | None, last: LastRequest) -> _Question:
    def judge(reply: Reply) -> CoreViolation | None:
        got = _entry_of(reply)
        if got == (entry and given(entry)):
            return None
        gone = entry is None or got is None
        done = last.clause in ("CORE-27", "CORE-30")
        broken = last.clause if not done else "CORE-30" if gone else "CORE-27"
        what, expected = (
            f"the owner entry of {shown(handle)}, after {last.shown}",
            given(entry) if entry else "none",
        )
        return CoreViolation(broken, what, expected, got or "none", pfn_to_paddr(handle[0]), "entry")

    return _Question(f"own.get {pfn_to_paddr(handle[0]):#x} {handle[1]}", last.clause, judge)


def _entry_of(reply: Reply) -> str | None:
    """The entry that the guest tells, in the words of `given`; None for none."""
    if not reply["found"]:
        return None
    caps = (
        "none" if reply.text("caps") == "none" else ", ".join(sorted(reply.text("caps").split(","), key=int))
    )
    told = "" if reply["asked"] == reply["count"] else f" but {reply['asked']} where the count alone is asked"
    return f"{reply.text('state')}, count {reply['count']}{told}: capabilities {caps}; {reply['pins']} pins"


def _handles(playing: Playing, handle: Handle) -> Iterator[_Question]:
    """What handles say of themselves: the block's own, and some that no block has."""
    if playing.state is None or handle not in playing.owners:
        return
    base, order, most = pfn_to_paddr(handle[0]), handle[1], playing.state.max_order
    asked = ((base, order), (base + (PAGE_SIZE << order) // 2, order), (base, most), (0, most), (0, most + 1))
    for at, of_order in dict.fromkeys((*asked, (0, LARGEST_BYTE_ORDER))):
        there = of_order <= most
        wanted = {"valid": int(there and at % (PAGE_SIZE << of_order) == 0)}
        if there:
            # What a block of an order that cannot be would measure is not asked.
            wanted |= {"size": PAGE_SIZE << of_order, "pages": 1 << of_order}
        yield _handle(f"block.handle {at:#x} {of_order}", wanted)


def _handle(line: str, wanted: dict[str, int]) -> _Question:
    def judge(reply: Reply) -> CoreViolation | None:
        for name, value in wanted.items():
            if reply[name] != value:
                expected, got = (f"{name} {one:#x}" for one in (value, reply[name]))
                return CoreViolation("CORE-25", f"`{line}`", expected, got, None, name)
        return None

    return _Question(line, "CORE-25", judge)


def _lookups(playing: Playing, handle: Handle) -> Iterator[_Question]:
    """Look a block up by its frames, and what is beside it."""
    first, end = handle[0], end_of(handle)
    for pfn in dict.fromkeys(map(Pfn, (first, end - 1, (first + end) // 2, first - 1, end))):
        if pfn < 0:
            continue
        there = around(playing.owners, pfn)
        wanted = {} if there is None else {"around": pfn_to_paddr(there[0]), "around_order": there[1]}
        if there is not None and there[0] == pfn:
            wanted |= {"begins": pfn_to_paddr(there[0]), "begins_order": there[1]}
        yield _lookup(f"own.find {pfn_to_paddr(pfn):#x}", wanted, "find")
        if there is not None:
            # By the last byte of the frame.
            line = f"own.resolve {pfn_to_paddr(pfn) + PAGE_SIZE - 1:#x}"
            yield _lookup(line, {"base": pfn_to_paddr(there[0]), "order": there[1]}, "resolve")


def _lookup(line: str, wanted: dict[str, int], cause: str) -> _Question:
    def judge(reply: Reply) -> CoreViolation | None:
        if {name: reply[name] for name in reply.outcome.fields} == wanted:
            return None
        words = " ".join(f"{name}={value:#x}" for name, value in wanted.items()) or "no block"
        return CoreViolation("CORE-31", f"`{line}`", words, reply.shown, None, cause)

    return _Question(line, "CORE-31", judge)
