"""A report with findings of several kinds and made-up memory, for the tests of the page."""

from __future__ import annotations

from dataclasses import replace as with_fields
from typing import Any

import numpy as np
from msgspec.structs import replace

from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.html_report.memory import CheckMemory
from frame_harness.html_report.page import dumps
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import CheckInRun, Evidence, FieldValues, Outcome
from frame_harness.judge.verdict import judge
from frame_harness.pictures.life import DrawnLife
from tests.support.synthetic import SMALL, healthy_state
from tests.unit.evidence_samples import LIFE, RANGE, RELEASE, SUBJECT, TABLE, VTABLE, healthy, with_outcome

PFN = Pfn(5000)
HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)>"'--></style>{{ 7*7 }}\x1b[31m"""
SOURCE = "".join(f"// line {number} of <b>a file</b>\n" for number in range(1, 400))
SOURCES = {SUBJECT.path: SOURCE}


def broken() -> Evidence:
    """Four findings: a page, a slot's field, a panic, a range."""
    place = f"{SUBJECT.path}:179"
    evidence = with_outcome(
        healthy(), TABLE, Outcome.VIOLATED, RELEASE, message="stale bytes", expected="0", got="4096",
        frame=PFN << 12, field="payload", at=place, function="FrameAllocOptions::zeroed",
        commands=("buddy.alloc 0x0 unmovable → ok paddr=0x1388000", "alloc new → ok paddr=0x1388000"),
        values=FieldValues(expected={"payload": 0}, got={"payload": 4096}),
        reproduce="frame-harness check -k x",
    )  # fmt: skip
    evidence = with_outcome(
        evidence, LIFE, Outcome.VIOLATED, RELEASE, breaks=("ALLOC-09",), message="flags of a new life",
        expected="0x500", got="0x505", frame=PFN << 12, field="flags", at=place,
        values=FieldValues(expected={"flags": 0x500}, got={"flags": 0x505}), commands=("alloc new → ok",),
    )  # fmt: skip
    evidence = with_outcome(
        evidence, VTABLE, Outcome.VIOLATED, RELEASE, message=HOSTILE, expected="some=0x0", got=HOSTILE,
        panicked=True, at=place, commands=(f"{HOSTILE} → panic",), console_tail=(HOSTILE,),
        backtrace=(HOSTILE,), exhibit=HOSTILE, registers=(HOSTILE,), reproduce=HOSTILE,
    )  # fmt: skip
    last = (1 << 52) - 4096
    return with_outcome(
        evidence, RANGE, Outcome.VIOLATED, RELEASE, message="`frame.range`", expected="count=1", got="panic",
        panicked=True, values=FieldValues(expected={}, got={"first": last, "last": last}),
    )  # fmt: skip


def hostile() -> Evidence:
    """The same with a subject whose names are hostile, too."""
    evidence = broken()
    subject = replace(evidence.subject, name=HOSTILE, path=f"/{HOSTILE}")
    return replace(evidence, subject=subject, selection=HOSTILE)


def memory(state: MemoryState, pfn: Pfn = PFN) -> CheckMemory:
    """A frame that is poisoned before the last command, and live after it."""
    before, after = state.copied(), state.copied()
    for slots, flags, guard, refcount in (
        (before.slots, C.flag_allocated, C.guard_poisoned, 0),
        (after.slots, C.flag_allocated | C.flag_kernel, 0, 1),
    ):
        slots["flags"][pfn], slots["guard"][pfn], slots["refcount"][pfn] = flags, guard, refcount
    lived = np.stack([state.slots[[pfn]], before.slots[[pfn]], after.slots[[pfn]]])
    life = DrawnLife((pfn,), lived, ("buddy.alloc 0x0 unmovable", "alloc new"))
    return CheckMemory(before, after, (pfn,), {pfn: bytes([0x2A]) * 4096}, life, console=f"1.0  {HOSTILE}\n")


def key_of(check: str) -> CheckInRun:
    return CheckInRun(run=RELEASE, check=check)


def page(evidence: Evidence | None = None, state: MemoryState | None = None) -> str:
    """The page of these findings; two of them with memory."""
    seen = broken() if evidence is None else evidence
    small = memory(healthy_state(SMALL) if state is None else state)
    other = with_fields(small, payload={}, console="")
    memories = {key_of(TABLE): small, key_of(LIFE): other}
    verdict = judge(seen, FRAME_METADATA)
    return dumps(seen, verdict, EMPTY, FRAME_METADATA, memories, sources=SOURCES)


def written(evidence: Evidence, **more: Any) -> str:
    """The page of any evidence."""
    return dumps(evidence, judge(evidence, FRAME_METADATA), EMPTY, FRAME_METADATA, **more)
