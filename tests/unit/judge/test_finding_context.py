"""A finding shows the lines around its place and the bytes of its slot, and never what was not judged."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.evidence import CheckResult, Outcome, SlotBytes, SourceFile, SubjectInfo
from frame_harness.memory_core.tree import memory_core
from frame_harness.report.blocks import result_block
from frame_harness.report.byte_map import cells
from frame_harness.report.context import FindingContext
from frame_harness.session.request import info_of
from tests.unit.evidence_samples import CHECKS, DEV, LIFE

TEXT = "\n".join(["// one", "    fn two() {", "        let three = 3;", "    }", "// five"])
TREE = Path(__file__).resolve().parents[2] / "kernel_tree"
SLOT = SlotBytes(got=bytes(range(1, 65)).hex(), expected={"refcount": 7, "guard": 0x2C2B2A29})


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    path = tmp_path / "frame.rs"
    path.write_text(TEXT)
    return path


def context(path: Path) -> FindingContext:
    file = SourceFile(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    info = SubjectInfo(name="frame.rs", path=str(path), sha256=file.sha256, files=(file,))
    return FindingContext(info, META_SLOT)


def shown(at: str, known: FindingContext, *, width: int = 80, terminal: bool = False, **facts: Any) -> str:
    result = CheckResult(
        check=LIFE, clauses=CHECKS[LIFE], run=DEV, outcome=Outcome.VIOLATED, duration_s=0, at=at, **facts,
    )  # fmt: skip
    file = io.StringIO()
    color = "standard" if terminal else None
    console = Console(file=file, width=width, force_terminal=terminal, color_system=color, highlight=False)  # type: ignore[arg-type]
    console.print(result_block(result, known), crop=False)
    return file.getvalue()


def test_with_copies_no_other_file_is_read(subject: Path, tmp_path: Path) -> None:
    whole = context(subject)
    copy = tmp_path / "copy.rs"
    copy.write_text(TEXT)
    assert FindingContext(whole.subject, copies={str(subject): copy}).lines(str(subject)) == TEXT.split("\n")
    assert FindingContext(whole.subject, copies={}).lines(str(subject)) == ()


def test_line_is_shown_between_its_neighbors_without_their_common_margin(subject: Path) -> None:
    lines = shown(f"{subject}:3", context(subject)).splitlines()
    excerpt = [line.strip() for line in lines if re.match(r" +[> ] \d", line)]
    assert excerpt == ["2 fn two() {", "> 3     let three = 3;", "4 }"]


@pytest.mark.parametrize(("line", "numbers"), [(1, [1, 2]), (5, [4, 5]), (0, []), (6, [])])
def test_first_and_last_line_have_one_neighbor_and_no_other_line_is_made_up(
    subject: Path, line: int, numbers: list[int]
) -> None:
    around = context(subject).around((str(subject), line))
    assert [one.number for one in around] == numbers


def test_text_that_changed_since_it_was_judged_is_not_shown(subject: Path) -> None:
    known = context(subject)
    subject.write_text(TEXT.replace("three = 3", "three = 4"))
    assert "let three" not in shown(f"{subject}:3", known)


def test_text_that_is_gone_is_not_shown(subject: Path) -> None:
    known = context(subject)
    subject.unlink()
    assert "let three" not in shown(f"{subject}:3", known)


def test_file_that_is_not_the_subject_s_is_not_read(subject: Path, tmp_path: Path) -> None:
    other = tmp_path / "secret"
    other.write_text(TEXT)
    assert "let three" not in shown(f"{other}:3", context(subject))


@pytest.mark.parametrize("at", ["", "nowhere", "frame.rs:x", ":3"])
def test_place_without_a_line_shows_none(subject: Path, at: str) -> None:
    assert "let three" not in shown(at, context(subject))


def test_long_line_is_cut_to_the_width(subject: Path) -> None:
    subject.write_text(TEXT.replace("= 3", "= " + "9" * 300))
    lines = shown(f"{subject}:3", context(subject)).splitlines()
    assert max(map(len, lines)) <= 80 and any(line.endswith("…") for line in lines)


def test_control_characters_of_a_source_reach_no_terminal(subject: Path) -> None:
    subject.write_text(TEXT.replace("three", "th\x1b[31mree"))
    assert r"th\x1b[31mree" in shown(f"{subject}:3", context(subject))


@pytest.mark.parametrize("text", [TEXT, f"\n\n{TEXT}", f"/* a\n\tb */ fn x() {{}}\n{TEXT}\n\n", '"'])
def test_color_is_for_terminals_alone(subject: Path, text: str) -> None:
    subject.write_text(text)
    facts: dict[str, Any] = {"slot": SLOT, "field": "refcount", "frame": 0x1000}
    plain = shown(f"{subject}:3", context(subject), **facts)
    colored = shown(f"{subject}:3", context(subject), terminal=True, **facts)
    assert "\x1b" not in plain and "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_lines_are_counted_as_the_compiler_counts_them(subject: Path) -> None:
    subject.write_bytes(b"// a\x0cb\r\n// \xe2\x80\xa8 c\r\nfn three() {}\r\n")
    assert [one.text for one in context(subject).around((str(subject), 3))][1] == "fn three() {}"


def test_promised_value_stands_above_the_one_that_was_found(subject: Path) -> None:
    lines = shown("", context(subject), slot=SLOT, field="refcount", frame=0x1000).splitlines()
    [names] = [line for line in lines if "refcount" in line and "generation" in line]
    at = names.index("refcount")
    expected, got = lines[lines.index(names) + 1 : lines.index(names) + 3]
    assert expected.split() == ["expected", "00000007"] and expected[at : at + 8] == "00000007"
    assert got[at : at + 8] == "24232221" and "2c2b2a29" in got, "as promised: not told twice"


@pytest.mark.parametrize("width", [80, 120, 20_000])
def test_every_byte_has_its_place_in_lines_that_fit(subject: Path, width: int) -> None:
    lines = shown("", context(subject), width=width, slot=SLOT, field="flags", frame=0).splitlines()
    digits = "".join(word for line in lines if line.split()[0] == "got" for word in line.split()[1:])
    assert len(digits) == 128
    assert max(map(len, lines)) <= min(width, 110) and len(lines) <= 10


def test_cells_follow_the_contract_s_layout() -> None:
    found = cells(SLOT, "order", META_SLOT)
    assert [one.name for one in found if not one.name.startswith("+")] == list(META_SLOT.widths)
    assert [one.name for one in found if one.wrong] == ["order", "refcount"]


@pytest.mark.parametrize("field", ["payload", "", "paddr"])
def test_finding_about_something_else_than_a_field_shows_no_slot(subject: Path, field: str) -> None:
    assert "generation" not in shown("", context(subject), slot=SLOT, field=field, frame=0)


def test_contract_without_a_layout_shows_no_slot(subject: Path) -> None:
    assert "generation" not in shown("", FindingContext(), slot=SLOT, field="refcount", frame=0)


def test_evidence_names_the_files_that_were_judged() -> None:
    one, core = info_of(frame_module()), info_of(memory_core(TREE))
    assert [(file.path, file.sha256) for file in one.files] == [(one.path, one.sha256)]
    assert {Path(file.path).name for file in core.files} >= {"frame.rs", "buddy.rs", "zone.rs"}
    assert all(hashlib.sha256(Path(file.path).read_bytes()).hexdigest() == file.sha256 for file in core.files)


def test_contract_s_slot_is_what_reports_draw() -> None:
    assert FRAME_METADATA.slot is META_SLOT
