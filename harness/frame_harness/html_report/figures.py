"""Chooses the pictures of a result: those that show its fault without words come first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from frame_harness.base.text import printable
from frame_harness.base.units import PAGE_SIZE, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.contract.layout import StructLayout
from frame_harness.html_report.memory import CheckMemory, split_command
from frame_harness.judge.diagrams import Interleaving, OrderingTrace, StormRates
from frame_harness.judge.evidence import CheckResult, Level
from frame_harness.pictures import (
    address_axis,
    byte_map,
    free_lists,
    interleaving,
    life,
    orderings,
    outcome,
    page_map,
    storm,
)
from frame_harness.pictures.address_axis import near_the_end
from frame_harness.pictures.moment import Moment, ZoneLists

PAYLOAD = "payload"
_COMMANDS = 4
_FEW_STEPS = 6
_OF_LISTS = {Level.SEQUENCE, Level.MEMORY, Level.HISTORY, Level.STORM}
"""Levels of checks whose faults may lie in the free lists, changed by the last command or before."""


@dataclass(frozen=True)
class Figure:
    """One picture.

    Attributes:
        kind: no result shows two pictures of one kind.
        rank: how well it shows the fault; the least first.
    """

    kind: str
    caption: str
    svg: Markup
    rank: int


@dataclass(frozen=True, eq=False)
class FigureScene:
    """A result with what is known of the memory behind it."""

    result: CheckResult
    memory: CheckMemory
    before: Moment | None
    after: Moment | None
    slot: StructLayout

    @property
    def pfn(self) -> Pfn | None:
        """The frame that the result is about."""
        return None if self.result.frame is None else paddr_to_pfn(self.result.frame)


def figures_of(scene: FigureScene) -> list[Figure]:
    """The pictures of a result, the most telling first; there is always one."""
    found = [*_diagrams(scene.result), *_of_bytes(scene), *_of_history(scene)]
    telling = any(one.rank < 3 for one in found)
    if scene.result.panicked or not telling:
        found.append(_outcome(scene.result, 2 if scene.result.panicked else 3))
    return sorted(found, key=lambda one: one.rank)


def _diagrams(result: CheckResult) -> Iterator[Figure]:
    """What the engine that found it drew as a value: an interleaving, an ordering, the rates of a storm."""
    match result.diagram:
        case None:
            return
        case Interleaving():
            name, svg = "Two CPUs, and who was held where", interleaving.svg(result.diagram)
        case OrderingTrace():
            name = "What the memory orderings of the compiled code allow"
            svg = orderings.svg(result.diagram)
        case StormRates():
            name, svg = "Steps a second of each CPU", storm.svg(result.diagram)
        case _:
            assert_never(result.diagram)
    yield Figure(name, name, _safe(svg), 0)


def _of_bytes(scene: FigureScene) -> Iterator[Figure]:
    result = scene.result
    if result.field == PAYLOAD:
        if (wrong := _wrong_bytes(scene)) is not None:
            picture = page_map.svg(
                wrong, expected=result.expected, got=result.got, title="bytes of the page that are wrong"
            )
            yield Figure("page", _on_frame("Content of the page", result), _safe(picture), 1)
        return
    if axis := _axis(result):
        yield axis
        return
    rows = _rows(scene)
    known = [values for _, values in rows]
    field = result.field or next(iter(result.values.got if result.values else ()), "")
    if any(field in values for values in known):
        picture = byte_map.svg(scene.slot, rows, field=field, title="bytes of the slot")
        yield Figure("slot", _on_frame("Slot, field by field", result), _safe(picture), 1)


def _axis(result: CheckResult) -> Figure | None:
    """A range at the end of the address space, where the result is about one."""
    known = result.values.got if result.values else {}
    if not {"first", "last"} <= known.keys() or not near_the_end(known["first"], known["last"]):
        return None
    picture = address_axis.svg(
        known["first"], known["last"], panicked=result.panicked, title="the range that was walked"
    )
    return Figure("axis", "The range, at the end of the physical address space", _safe(picture), 1)


def _wrong_bytes(scene: FigureScene) -> NDArray[np.bool_] | None:
    """Which bytes of a page are wrong, by the page itself or else by their number, where that says it."""
    values = scene.result.values
    page = None if scene.pfn is None else scene.memory.payload.get(scene.pfn)
    if values is None:
        return None
    count = values.got.get(PAYLOAD, 0)
    if page is not None and len(page) == PAGE_SIZE:
        stale: NDArray[np.bool_] = np.frombuffer(page, dtype=np.uint8) != 0
        if int(np.count_nonzero(stale)) == count:
            return stale
    return np.ones(PAGE_SIZE, dtype=np.bool_) if count == PAGE_SIZE else None


def _rows(scene: FigureScene) -> Sequence[byte_map.ByteRow]:
    """Before, expected, got, as far as each is known; what memory shows fills what a result leaves out."""
    values, pfn = scene.result.values, scene.pfn
    before = _slot_in(scene.before, pfn)
    after = _slot_in(scene.after, pfn)
    if values is None:
        rows: list[byte_map.ByteRow] = [("before", before), ("after", after)] if before and after else []
        return rows
    rows = []
    if before or values.before:
        rows.append(("before", {**before, **values.before}))
    rows += [("expected", values.expected)] if values.expected else []
    rows.append(("got", {**after, **values.got}))
    return rows


def _slot_in(moment: Moment | None, pfn: Pfn | None) -> Mapping[str, int]:
    return (moment.slot(pfn) if moment is not None and pfn is not None else None) or {}


def _of_history(scene: FigureScene) -> Iterator[Figure]:
    known, pfn = scene.memory.life, scene.pfn
    if known is not None and known.pfns:
        shown = pfn if pfn in known.pfns else known.pfns[0]
        if shown is not None and len(known.slots) > 1:
            picture = life.svg(known, shown, field=scene.result.field, title=f"life of frame {shown:#x}")
            where = f"Life of frame {pfn_to_paddr(shown):#x} over the commands"
            yield Figure("life", where, _safe(picture), 2 if shown == pfn else 4)
    past = scene.before.lists if scene.before is not None else ()
    if scene.after is not None and (changed(past, scene.after.lists) or scene.result.level in _OF_LISTS):
        picture = free_lists.svg(past, scene.after.lists, title="free lists by zone and order")
        words = "Free lists by zone and order, before and after the last command"
        yield Figure("lists", words, _safe(picture), 6)
    if len(scene.memory.free_frames) > _FEW_STEPS:
        picture = free_lists.fragmentation(scene.memory.free_frames, title="free memory by order")
        yield Figure("fragmentation", "Free memory by order over the commands", _safe(picture), 7)


def changed(before: Sequence[ZoneLists], after: Sequence[ZoneLists]) -> bool:
    """Whether a list holds other blocks than before, or is broken."""
    moved = len(before) == len(after) and any(
        (one.blocks != other.blocks).any() for one, other in zip(before, after, strict=True)
    )
    return moved or any(zone.faults for zone in after)


def _outcome(result: CheckResult, rank: int) -> Figure:
    steps = [split_command(line) for line in result.commands[-_COMMANDS:]]
    picture = outcome.svg(
        [(printable(command), printable(reply)) for command, reply in steps],
        expected=printable(result.expected or "as the clause says"),
        got=printable(result.got or result.message),
        panicked=result.panicked, title="what should have happened, and what did",
    )  # fmt: skip
    return Figure("outcome", "What should have happened, and what did", _safe(picture), rank)


def _on_frame(words: str, result: CheckResult) -> str:
    return words if result.frame is None else f"{words}, frame {result.frame:#x}"


def _safe(svg: str) -> Markup:
    """SVG of our own pictures, in which every word of a guest is escaped."""
    return Markup(svg)
