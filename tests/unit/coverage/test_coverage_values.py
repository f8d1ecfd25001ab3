"""Proves what is made of lines that ran: states, ranges, checks, words, the file for other programs."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from frame_harness.base.record import Record
from frame_harness.base.text import percent
from frame_harness.base.units import Vaddr
from frame_harness.coverage import lcov, words
from frame_harness.coverage.lines import Coverage, LineState, Reached, SourceCoverage
from frame_harness.coverage.summary import summary
from frame_harness.image.code_lines import CodeLines
from frame_harness.image.line_table import CodeRow, LineTable, Spot
from frame_harness.judge.evidence import RunKey, decode, encode
from frame_harness.report.terminal import console_for, coverage_parts, print_parts
from frame_harness.session.run import Ledger

FILE = "/kernel/memory/frame.rs"
CLAIM, DROP, SPARE = (
    [Spot(FILE, line, name) for line in lines]
    for name, lines in (("claim", (10, 11, 12)), ("MetaSlot::drop", (20, 21, 24)), ("spare", (30, 31)))
)
SPOTS = (*CLAIM, *DROP, *SPARE)


def place(line: int) -> int:
    return next(number for number, spot in enumerate(SPOTS) if spot.line == line)


def reached(check: str, *lines: int, group: str = "") -> Reached:
    return Reached(check=check, group=group, spots=tuple(map(place, lines)))


def of(*seen: Reached) -> SourceCoverage:
    """The coverage of a file of three functions, of which the last one is not in the kernel."""
    rows = [CodeRow(Vaddr(16 * at), Vaddr(16 * at + 16), (spot,)) for at, spot in enumerate((*CLAIM, *DROP))]
    (source,) = summary(CodeLines(SPOTS, LineTable(tuple(rows), ((Vaddr(0), Vaddr(96)),))), seen).sources
    return source


def test_a_line_is_hit_or_not_hit_or_not_in_this_kernel() -> None:
    source = of(reached("one", 10, 12))
    states = {one.line: one.state for one in source.lines}
    assert states == {
        10: LineState.HIT, 11: LineState.NOT_HIT, 12: LineState.HIT,
        20: LineState.NOT_HIT, 21: LineState.NOT_HIT, 24: LineState.NOT_HIT,
        30: LineState.NOT_IN_KERNEL, 31: LineState.NOT_IN_KERNEL,
    }  # fmt: skip
    assert source.state_of(13) is None


def test_each_line_names_the_checks_that_ran_it() -> None:
    source = of(reached("one", 10, 11), reached("two", 11), reached("one", 12))
    assert [source.checks_of(line) for line in (10, 11, 12, 20, 99)] == [
        ("one",), ("one", "two"), ("one",), (), (),
    ]  # fmt: skip


def test_checks_that_share_a_guest_have_what_it_ran() -> None:
    source = of(reached("a", 10, group="m.py"), reached("b", 11, group="m.py"), reached("c", 12))
    assert [source.checks_of(line) for line in (10, 11, 12)] == [("a", "b"), ("a", "b"), ("c",)]


def test_lines_that_did_not_run_are_told_as_ranges_over_lines_without_code() -> None:
    source = of(reached("one", 10, 12))
    assert source.unreached() == ("11", "20-31")
    assert source.unreached(source.functions[1]) == ("20-24",)


def test_a_share_is_whole_only_where_all_ran() -> None:
    assert [percent(*of) for of in ((2, 2), (1999, 2000), (1, 3), (0, 0))] == [
        "100 %",
        "99.9 %",
        "33.3 %",
        "–",
    ]


def test_functions_that_did_not_run_whole_are_listed() -> None:
    source = of(reached("one", 10, 11, 12, 24))
    assert list(words.lines(Coverage(sources=(source,)))) == [
        "coverage of frame.rs: 50 % of the lines (4 of 8), 2 of 3 functions",
        "  MetaSlot::drop: 33.3 %, 1 of 3 lines; not reached: 20-21",
        "  spare: 0 %, 0 of 2 lines; not reached: 30-31",
    ]


def test_the_terminal_shows_the_same_table() -> None:
    file = io.StringIO()
    print_parts(coverage_parts(Coverage(sources=(of(reached("one", 10, 11, 12, 24)),))), console_for(file))
    shown = [re.sub(" +", " ", line).strip() for line in file.getvalue().splitlines()]
    assert shown == [
        "coverage of frame.rs 50 % of the lines (4 of 8), 2 of 3 functions",
        "function lines hit share not reached",
        "MetaSlot::drop 3 1 33.3 % 20-21",
        "spare 2 0 0 % 30-31",
        "each line of 1 other function was reached",
        "",
    ]


def test_coverage_travels_as_json() -> None:
    coverage: Record = Coverage(sources=(of(reached("one", 10, 11)),))
    assert decode(encode(coverage), Coverage) == coverage


def test_what_a_worker_saw_travels_as_json() -> None:
    run = RunKey(machine="microvm", profile="cov")
    seen = (reached("one", 10, 11), reached("two", group="m.py"))
    ledger = Ledger(run=run, image_sha256="", build_id="", subject_sha256="", reached=seen)
    assert decode(encode(ledger), Ledger) == ledger


def test_the_tracefile_says_what_the_values_say() -> None:
    source = of(reached("one", 10, 12, 20))
    lines = lcov.dumps(Coverage(sources=(source,))).splitlines()
    found = [line.partition(":")[::2] for line in lines]
    assert dict(found) | {"DA": "", "FN": "", "FNDA": ""} == {
        "TN": "frame-harness", "SF": FILE, "FNF": "3", "FNH": "2", "LF": "8", "LH": "3", "end_of_record": "",
        "DA": "", "FN": "", "FNDA": "",
    }  # fmt: skip
    counts = {int(line): int(count) for line, count in (v.split(",") for k, v in found if k == "DA")}
    assert counts == {one.line: int(one.state is LineState.HIT) for one in source.lines}
    assert [value for key, value in found if key == "FN"] == ["10,claim", "20,MetaSlot::drop", "30,spare"]
    assert [value for key, value in found if key == "FNDA"] == ["1,claim", "1,MetaSlot::drop", "0,spare"]


@pytest.mark.skipif(shutil.which("lcov") is None, reason="lcov is not installed (apt-get install lcov)")
def test_lcov_itself_reads_the_tracefile(tmp_path: Path) -> None:
    file = tmp_path / "frame.info"
    file.write_text(lcov.dumps(Coverage(sources=(of(reached("one", 10, 12, 20)),))), encoding="utf-8")
    read = subprocess.run(["lcov", "--summary", file], capture_output=True, text=True, check=True)
    said = read.stdout + read.stderr
    assert "37.5% (3 of 8 lines)" in said and "66.7% (2 of 3 functions)" in said
