"""Proves that files, logs and what QEMU's monitor says are read, or refused with one error."""

from __future__ import annotations

import contextlib
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from frame_harness.archive import files
from frame_harness.archive.files import DamagedArchive, NoArchive
from frame_harness.archive.folder import Archive
from frame_harness.archive.memory import DamagedFile, Payload, load, load_life, load_payload, save
from frame_harness.archive.records import Begun, FailureRecord, GuestRecord, Header
from frame_harness.base.errors import UsageError
from frame_harness.base.record import Record
from frame_harness.coverage.blocks import UnreadableLog, executed
from frame_harness.frame_histories import scripts
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge import baseline
from frame_harness.judge.evidence import EvidenceError, decode, encode
from frame_harness.machine.exit_status import ExitStatus, classify
from frame_harness.machine.monitor_event import MonitorEvent, monitor_events
from frame_harness.machine.vcpu import parse_registers
from tests.support.synthetic import SMALL, healthy_state

DEEP = 100_000
"""Brackets within each other: more than Python's stack has room for."""
LONG = 5_000
"""Digits of a number: more than Python reads or writes in decimal."""
LATE = 253_402_300_799
"""The last second that a date can have, in the year 9999."""
NUMBERS = st.one_of(
    st.integers(), st.sampled_from([10**20, -(10**20), 2**63, LATE, LATE + 1, True]), st.floats()
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "event": st.one_of(st.sampled_from(["STOP", "SHUTDOWN"]), JSON),
        "data": st.one_of(st.fixed_dictionaries({"reason": JSON}), JSON),
        "timestamp": st.one_of(st.fixed_dictionaries({"seconds": NUMBERS, "microseconds": NUMBERS}), JSON),
    },
)


# ---- QEMU


@given(st.lists(EVENTS, max_size=3))
@example([{"event": "STOP", "timestamp": {"seconds": 10**20}}])
@example([{"event": 16**LONG, "data": {"reason": 16**LONG}}])
def test_any_event_of_the_monitor_has_a_name_and_perhaps_a_time(events: list[dict[str, Any]]) -> None:
    read = monitor_events(events)
    assert len(read) == len(events)
    for event in read:
        assert isinstance(event, MonitorEvent) and str(event) == f"{event.name} {event.reason}".rstrip()
        assert event.at is None or event.at >= datetime(1970, 1, 1, tzinfo=UTC)


@given(st.integers(0, LATE), st.integers(0, 999_999))
def test_every_second_that_a_date_can_have_is_read(seconds: int, microseconds: int) -> None:
    stamp = {"seconds": seconds, "microseconds": microseconds}
    [event] = monitor_events([{"event": "STOP", "timestamp": stamp}])
    assert event.at is not None and event.at.microsecond == microseconds
    assert int(event.at.replace(microsecond=0).timestamp()) == seconds


def test_the_number_of_a_cpu_may_have_any_length() -> None:
    assert parse_registers(f"CPU#{'9' * LONG}\nRIP=0 RFL=2 HLT=1\n") == ()


@given(st.integers(), st.lists(st.text(max_size=12), max_size=2).map(tuple), st.tuples(*[st.booleans()] * 4))
def test_any_end_of_qemu_is_told_in_words(
    returncode: int, reasons: tuple[str, ...], flags: tuple[bool, bool, bool, bool]
) -> None:
    ran, timed_out, killed, complained = flags
    kind = classify(returncode, reasons, ran=ran, timed_out=timed_out, killed=killed, complained=complained)
    words = ExitStatus(kind, returncode, reasons, "").describe()
    assert words.startswith(kind.words) and "shutdown reason" in words


LOG = st.sampled_from(
    [b"----------------\n", b"IN: a\n", b"IN: \n", b"0x00100470:  80 7c 24 10 01   cmpb\n", b"0x:  80 \n",
     b"0x00100475:  90   nop\n", b" 0: v=0e e=0002 i=0 cpl=0 IP=0008:0 pc=0000000000100470 SP=0\n",
     b" 1: v=20 e=0000 i=0 cpl=0 pc=100475\n", b"OBJD-T: 90\n"]
)  # fmt: skip


@given(st.lists(st.one_of(LOG, st.binary(max_size=40))).map(b"".join))
def test_any_log_of_translated_code_is_addresses_or_refused(log: bytes) -> None:
    with contextlib.suppress(UnreadableLog):
        assert all(address >= 0 for address in executed(log))


# ---- texts that a person writes

TOML = st.sampled_from(
    ["[[finding]]", 'id = "ALLOC-07"', 'reason = "why"', 'profile = "dev"', 'profile = "cow"', "finding = 1",
     "id = 1", "[finding]", "x = 1979-13-45", 'id = "NO-01"', "reason = ''", "[[finding.id]]", "id = [[1]]"]
)  # fmt: skip


@given(st.lists(st.one_of(TOML, st.text(max_size=30))).map("\n".join))
def test_any_text_is_a_baseline_or_refused(text: str) -> None:
    try:
        read = baseline.parse(text, "known.toml", CLAUSES)
    except baseline.BaselineError as error:
        assert "known.toml" in error.which
    else:
        assert all(entry.id in CLAUSES and entry.reason for entry in read.entries)


@pytest.mark.parametrize(
    "text",
    [
        f"finding = {'[' * DEEP}",
        f"finding = 0x{'f' * LONG}",
        f"finding = {'9' * LONG}",
        f"[[finding]]\nid = 0x{'f' * LONG}",
    ],
    ids=["brackets", "hex", "decimal", "hex-id"],
)
def test_a_baseline_of_too_many_brackets_or_digits_is_refused(text: str) -> None:
    with pytest.raises(baseline.BaselineError, match=r"known\.toml"):
        baseline.parse(text, "known.toml", CLAUSES)


ROWS = st.sampled_from(
    ["# machine: q35", "# profile: dev", "# profile: x", "# ram: 64M", "# ram: ²", "# ramtop: 0x",
     "# reserve: 1+2", "# reserve: 1+2+3", "# clause: ALLOC-07: it", "# clause: X-01", "# seed: 1",
     "# subject: a sha256 b", "# cause: a", "buddy.alloc 0 unmovable", "buddy.alloc -1 unmovable",
     f"buddy.alloc {'9' * LONG} unmovable", "inject x", "slot.inc_ref 1", "alloc purpose=custom:x",
     "alloc new zeroed=1  # why", "slot.set_vtable_bits 1 @both+9"]
)  # fmt: skip
WHOLE = f"# {scripts.FORMAT}\n# machine: q35\n# profile: dev\n"


@given(st.sampled_from(["", f"# {scripts.FORMAT}\n", WHOLE]), st.lists(st.one_of(ROWS, st.text(max_size=30))))
@example(WHOLE, ["# clause: X-01", "slot.inc_ref 1"])
@example(WHOLE, ["# clause: ALLOC-07: it", "# ramtop: 0x1000", "# reserve: 1+2", "slot.inc_ref 1"])
def test_any_text_is_a_script_that_can_be_written_or_refused(head: str, rows: list[str]) -> None:
    try:
        script = scripts.parse(head + "\n".join(rows), "a.txt")
    except UsageError as error:
        assert "a.txt" in error.which
    else:
        assert script.commands and scripts.parse(script.text, "a.txt").commands == script.commands
        assert script.title.startswith(script.clause) and script.file_name.endswith(".txt")


# ---- archives

BEGUN = encode(Begun(command=("check",), at="2026-01-01T00:00:00+00:00")).encode()
RECORDS: list[type[Record]] = [Begun, FailureRecord, GuestRecord, Header]


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that are cut short, or of which a few are others."""
    places = st.integers(0, len(whole) - 1)
    changed = st.builds(
        lambda at, put: whole[:at] + put + whole[at + len(put) :], places, st.binary(min_size=1, max_size=4)
    )
    return st.one_of(places.map(lambda at: whole[:at]), changed)


ANY_BYTES = st.one_of(st.binary(), JSON.map(lambda value: json.dumps(value).encode()), damaged(BEGUN))


@given(st.sampled_from(RECORDS), ANY_BYTES)
@example(Begun, BEGUN)
def test_any_bytes_are_a_record_or_refused(kind: type[Record], data: bytes) -> None:
    with contextlib.suppress(EvidenceError):
        assert isinstance(decode(data, kind), kind)


@given(ANY_BYTES, st.sampled_from([files.HEADER, files.BEGUN, files.SUMS]))
@example(b'{"schema": 1}', files.HEADER)
def test_any_folder_is_an_archive_or_refused(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / files.HEADER).write_bytes(b'{"schema": 1}' if name == files.SUMS else data)
        (folder / files.SUMS).write_text(files.written_sums(folder), encoding="utf-8")
        (folder / name).write_bytes(data)
        if name == files.BEGUN:
            (folder / files.HEADER).unlink()
        with pytest.raises((NoArchive, DamagedArchive)):
            Archive.open(folder)


def test_brackets_without_end_are_no_archive(tmp_path: Path) -> None:
    (tmp_path / files.HEADER).write_bytes(b"[" * DEEP)
    (tmp_path / files.SUMS).write_text(files.written_sums(tmp_path), encoding="utf-8")
    with pytest.raises(DamagedArchive, match=files.HEADER):
        Archive.open(tmp_path)


def memory_file() -> bytes:
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "after.npz"
        pages = np.zeros((1, 4096), np.uint8)
        save(path, healthy_state(SMALL), Payload(np.array([1], np.int64), pages))
        return path.read_bytes()


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=40), damaged(memory_file())))
def test_any_bytes_are_a_memory_state_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "after.npz"
        path.write_bytes(data)
        for read in (load, load_life, load_payload):
            with contextlib.suppress(DamagedFile):
                read(path)
