"""Memory in a page is packed so that a page of many findings stays small, and comes out as it was."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace as with_fields
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from frame_harness.base.units import Paddr, Pfn
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.frame_states import FrameState, runs_of
from frame_harness.html_report import packing
from frame_harness.html_report.packing import Packed
from frame_harness.html_report.page import _Builder
from frame_harness.judge.evidence import (
    CheckResult,
    FieldValues,
    Outcome,
)
from frame_harness.pictures.moment import Moment, SlotWindow, moment_of
from tests.support import report_scene
from tests.support.report_scene import PFN, written
from tests.support.synthetic import SMALL, healthy_state
from tests.unit.evidence_samples import RELEASE, healthy


def unpacked(document: Mapping[str, Any], number: int) -> np.ndarray[Any, Any]:
    """What the page's script makes of a map."""
    entry = document["maps"][number]
    data = np.frombuffer(zlib.decompress(base64.b64decode(entry["data"])), np.uint8)
    runs = len(data) // 5
    cells = np.repeat(data[runs * 4 :], data[: runs * 4].view("<u4"))
    return cells if "base" not in entry else cells ^ unpacked(document, entry["base"])


def test_what_is_packed_comes_out_again() -> None:
    state = healthy_state(SMALL)
    memory = report_scene.memory(state)
    packed = Packed()
    for one in (memory.before, memory.after, memory.before):
        assert one is not None
        moment = moment_of(one, [PFN])
        added = packed.add(moment)
        assert added is not None
        assert unpacked(packed.document(), added["map"]).tolist() == moment.runs.expanded().tolist()
        [window] = added["windows"]
        entry = packed.windows[window]
        data = np.frombuffer(zlib.decompress(base64.b64decode(entry["data"])), np.uint8)
        if "base" in entry:
            base = packed.windows[entry["base"]]["data"]
            data = data ^ np.frombuffer(zlib.decompress(base64.b64decode(base)), np.uint8)
        rows = np.ascontiguousarray(data.reshape(entry["size"], entry["count"]).T)
        assert rows.tobytes() == one.slots.tobytes()


def test_what_was_packed_before_takes_no_room() -> None:
    packed, moment = Packed(), moment_of(healthy_state(SMALL))
    first = packed.add(moment)
    left = packed.left
    second = packed.add(moment)
    assert first is not None and second is not None
    assert left - packed.left < 1000


def test_a_map_that_is_too_large_gets_coarser_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_ROOM_OF_A_MAP", 2000)
    rng = np.random.default_rng(1)
    states = rng.choice([FrameState.KERNEL, FrameState.USER, FrameState.FREE], 1 << 15).astype(np.uint8)
    states[12345] = FrameState.CONFLICT
    packed = Packed()
    number = packed.add_map(runs_of(states))
    assert number is not None
    entry = packed.maps[number]
    assert entry["perCell"] > 1
    assert unpacked(packed.document(), number)[12345 // entry["perCell"]] == FrameState.CONFLICT


def test_memory_of_another_size_is_another_map_though_its_runs_begin_alike() -> None:
    packed = Packed()
    sizes = [100, 200, 100]
    numbers = [packed.add_map(runs_of(np.zeros(size, dtype=np.uint8))) for size in sizes]
    assert [packed.maps[number or 0]["frames"] for number in numbers] == sizes and len(packed.maps) == 2


def test_maps_of_cells_of_two_sizes_are_not_held_against_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_ROOM_OF_A_MAP", 2000)
    rng = np.random.default_rng(1)
    calm = np.full(1 << 15, FrameState.KERNEL, dtype=np.uint8)
    wild = rng.choice([FrameState.KERNEL, FrameState.USER], 1 << 15).astype(np.uint8)
    before, after = (Moment(runs_of(states), (), ()) for states in (calm, wild))
    result = report_scene.broken().checks[0]
    for now, names in ((before, ["after", "before"]), (after, ["after"])):
        view = _Builder(FRAME_METADATA, {}, {})._memory(before, now, (), result)
        assert view is not None
        moments = json.loads(view.data)["moments"]
        assert sorted(name for name, moment in moments.items() if moment) == names


def test_where_no_room_is_left_nothing_is_added() -> None:
    packed = Packed(left=10)
    assert packed.add_map(runs_of(np.zeros(100, dtype=np.uint8))) is None
    assert packed.add_windows([SlotWindow(Pfn(0), healthy_state(SMALL).slots[:64])]) == []


def test_many_findings_stay_below_three_megabytes() -> None:
    """Each of 89 clauses broken, each with memory of its own."""
    state = healthy_state(SMALL)
    base = healthy()
    names = [f"test_x.py::test_{at}" for at in range(len(CLAUSES))]
    checks = tuple(
        CheckResult(
            check=name, clauses=(id_,), run=RELEASE, outcome=Outcome.VIOLATED, duration_s=0,
            frame=Paddr(at << 12), field="order", values=FieldValues(expected={"order": 0}, got={"order": 1}),
        )
        for at, (name, id_) in enumerate(zip(names, CLAUSES, strict=True))
    )  # fmt: skip
    evidence = replace(base, checks=checks)
    memories = {
        report_scene.key_of(name): with_fields(
            report_scene.memory(state, Pfn(4200 + at)), payload={}, life=None
        )
        for at, name in enumerate(names[:24])
    }
    assert len(written(evidence, memories=memories)) < 3_000_000
