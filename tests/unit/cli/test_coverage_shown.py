"""Proves what is shown of a report's coverage, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.cli.coverage import shown
from frame_harness.coverage.lines import Coverage, LineCoverage, LineState, SourceCoverage
from frame_harness.judge.evidence import SourceFile, SubjectInfo, encode


def report_of(folder: Path, source: Path, *others: SourceCoverage, name: str = "x") -> Path:
    """A report with the coverage of four lines: two checks ran the first, the last one has no code."""
    lines = (
        LineCoverage(line=1, state=LineState.HIT, checks=(0, 1)),
        LineCoverage(line=2, state=LineState.NOT_HIT, checks=()),
        LineCoverage(line=3, state=LineState.NOT_IN_KERNEL, checks=()),
    )
    found = SourceCoverage(path=str(source), lines=lines, functions=(), checks=("test_one", "test_two"))
    report = folder / "report.json"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    judged = encode(
        SubjectInfo(
            name=name, path=str(source), sha256="", files=(SourceFile(path=str(source), sha256=digest),)
        )
    )
    report.write_text(
        f'{{"other": 1, "subject": {judged}, "coverage": {encode(Coverage(sources=(found, *others)))}}}'
    )
    return report


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "frame.rs"
    path.write_text("ran();\nnever();\nunused();\n// \x1b[31mred\n", encoding="utf-8")
    return path


def test_each_line_stands_beside_how_many_checks_ran_it(source: Path, tmp_path: Path) -> None:
    _, *lines = shown(report_of(tmp_path, source), None)
    assert [line.split() for line in lines[:3]] == [
        ["2", "checks", "1", "ran();"], ["not", "hit", "2", "never();"], ["no", "code", "3", "unused();"],
    ]  # fmt: skip
    assert lines[3].split()[0] == "4" and "\x1b" not in lines[3]


def test_the_checks_of_one_line_are_named(source: Path, tmp_path: Path) -> None:
    report = report_of(tmp_path, source)
    assert list(shown(report, 1))[1:] == [f"{source}:1 hit", "  test_one", "  test_two"]
    assert list(shown(report, 2))[1:] == [f"{source}:2 not-hit"]


def test_a_line_without_code_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a line with code") as caught:
        list(shown(report_of(tmp_path, source), 4))
    assert "leave the number away" in caught.value.next_step


@pytest.mark.parametrize("line", [1, 7])
def test_of_several_sources_those_with_code_in_that_line_are_shown(
    line: int, source: Path, tmp_path: Path
) -> None:
    ran = LineCoverage(line=7, state=LineState.HIT, checks=(0,))
    other = SourceCoverage(path="frame/other.rs", lines=(ran,), functions=(), checks=("test_three",))
    places = [one for one in shown(report_of(tmp_path, source, other), line) if one.endswith(f":{line} hit")]
    assert places == [f"{source if line == 1 else 'frame/other.rs'}:{line} hit"]


def test_a_source_that_is_gone_is_named(source: Path, tmp_path: Path) -> None:
    report = report_of(tmp_path, source)
    source.unlink()
    with pytest.raises(UsageError, match=r"frame\.rs"):
        list(shown(report, None))


@pytest.mark.parametrize("name", ["x", "built-in"])
def test_the_advice_to_judge_again_names_the_module(name: str, tmp_path: Path) -> None:
    source = tmp_path / "my frame.rs"
    source.write_text("ran();\n")
    report = report_of(tmp_path, source, name=name)
    source.unlink()
    with pytest.raises(UsageError) as caught:
        list(shown(report, None))
    assert (f"--frame-rs '{source}'" in caught.value.next_step) is (name == "x")


def test_marks_are_not_put_beside_lines_of_another_text(source: Path, tmp_path: Path) -> None:
    report, judged = report_of(tmp_path, source), source.read_bytes()
    source.write_bytes(b"// a new first line\n" + judged)
    with pytest.raises(UsageError, match="expected the text that was judged, got another one") as caught:
        list(shown(report, None))
    assert f"--cov --json {report}" in caught.value.next_step
    assert list(shown(report, 1))[1] == f"{source}:1 hit", "what ran a line of then is known all the same"


def test_a_file_whose_sum_a_report_does_not_have_is_not_shown(source: Path, tmp_path: Path) -> None:
    """Whoever forged the report does not know what the file holds."""
    report = report_of(tmp_path, source)
    forged = report.read_text().replace(f'"files": [{{"path": "{source}"', '"files": [{"path": "other.rs"')
    assert forged != report.read_text()
    report.write_text(forged)
    with pytest.raises(UsageError, match="got no sum of it in the report"):
        list(shown(report, None))


def test_the_copy_in_the_archive_is_shown_where_the_file_was_edited(source: Path, tmp_path: Path) -> None:
    report, copy = report_of(tmp_path, source), tmp_path / "sources" / "0" / "frame.rs"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(source.read_bytes())
    source.write_text("// edited\n")
    _, first, *_ = shown(report, None)
    assert first.split() == ["2", "checks", "1", "ran();"]


def test_a_form_feed_ends_no_line(source: Path, tmp_path: Path) -> None:
    source.write_text("ran(); // a \x0c\nnever();\n", encoding="utf-8")
    _, first, second = shown(report_of(tmp_path, source), None)
    assert first.split()[:2] == ["2", "checks"] and second.split() == ["not", "hit", "2", "never();"]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", None, pytest.param('{"more": ' + "[" * 100_000, id="too deep")]
)
def test_what_is_no_report_with_coverage_is_refused_with_the_command_for_one(
    content: str | None, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    if content is not None:
        report.write_text(content)
    with pytest.raises(UsageError, match="check --cov --json"):
        list(shown(report, None))
