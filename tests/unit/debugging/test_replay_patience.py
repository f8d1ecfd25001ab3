"""A replay that hangs, silently or busily, is given up; one of a damaged note, or of no frame, is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.base.units import Paddr
from frame_harness.debugging.recording import RecordingError
from frame_harness.debugging.replay import Patience, Replay
from frame_harness.debugging.rewind import last_write
from frame_harness.image.image import Image
from frame_harness.machine import stall


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = SimpleNamespace(wall_s=0.0, cpu_s=0.0)
    monkeypatch.setattr(stall, "time", SimpleNamespace(monotonic=lambda: now.wall_s))
    return now


def patience(clock: Any) -> Patience:
    limits = SimpleNamespace(boot_cpu_s=5.0)
    guest: Any = SimpleNamespace(cpu_time_s=lambda: clock.cpu_s, machine=SimpleNamespace(limits=limits))
    note: Any = SimpleNamespace(cpu_s=1.0)
    return Patience(guest, note, stall_s=10.0)


def test_replay_that_uses_no_cpu_time_is_over_after_a_while(clock: Any) -> None:
    watch = patience(clock)
    clock.wall_s = 9.0
    assert not watch.is_over()
    clock.wall_s, clock.cpu_s = 18.0, 0.1  # a busy host: it got on meanwhile
    assert not watch.is_over()
    clock.wall_s = 29.0
    assert watch.is_over()


def test_replay_that_comes_nowhere_is_over_by_its_cpu_time(clock: Any) -> None:
    watch = patience(clock)
    clock.cpu_s = 15.0
    assert not watch.is_over()
    clock.cpu_s = 15.1
    assert watch.is_over()


def test_each_write_renews_the_patience(clock: Any) -> None:
    watch = patience(clock)
    clock.cpu_s = 14.0
    watch.renew()
    clock.cpu_s = 28.0
    assert not watch.is_over()


def note_of(**facts: Any) -> Any:
    fields = {"refcount": (24, 4)}
    known = {"fields": fields, "frame": Paddr(0x1000), "meta_paddr": Paddr(0x40000)}
    return SimpleNamespace(**{**known, "n_frames": 16, "slot_bytes": 64, **facts})


@pytest.mark.parametrize("frame", [-1, -0x1000, 0x10000])
def test_frame_without_a_slot_is_refused(frame: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected one of 16 frames with a slot"):
        last_write(tmp_path, note_of(), cast("Image", None), "refcount", Paddr(frame))


def test_recording_that_was_removed_meanwhile_is_to_be_made_again(tmp_path: Path) -> None:
    note = note_of(machine={"name": "m", "type": "pc", "ram": 64 << 20}, append="", seed=1)
    with pytest.raises(RecordingError, match=r"kernel\.elf: no such file") as refused:
        list(Replay(tmp_path, note).writes(Paddr(0x1000), 4))
    assert "record again" in str(refused.value)


def test_recording_of_a_machine_that_is_none_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"recording\.json is damaged") as refused:
        list(Replay(tmp_path, note_of(machine={"type": "toaster"})).writes(Paddr(0x1000), 4))
    assert "record again" in str(refused.value)
