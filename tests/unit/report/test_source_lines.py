"""A finding shows the lines around its place as they were judged: marked, numbered, cut to the terminal."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console
from rich.text import Text

from frame_harness.judge.evidence import SourceFile, SubjectInfo
from frame_harness.report.context import FindingContext
from frame_harness.report.source_lines import SourceExcerpt

TEXT = (
    "fn first() {\n    fn second() {\n\n\tlet third = 3;\n        wide();\n}\n" + "\n" * 93 + "// hundred\n"
)


@pytest.fixture
def context(tmp_path: Path) -> FindingContext:
    file = tmp_path / "frame.rs"
    file.write_text(TEXT)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    judged = SourceFile(path=str(file), sha256=digest)
    info = SubjectInfo(name="frame.rs", path=str(file), sha256=digest, files=(judged,))
    return FindingContext(info)


def shown(
    context: FindingContext, line: int, *, width: int = 80, color: bool = False, indent: int = 2
) -> list[str]:
    assert context.subject is not None
    file = io.StringIO()
    system: Literal["standard"] | None = "standard" if color else None
    console = Console(file=file, width=width, force_terminal=color, color_system=system)
    console.print(SourceExcerpt(context, (context.subject.path, line), indent))
    return file.getvalue().splitlines()


def test_lines_are_marked_and_lose_the_blanks_that_all_of_them_have(context: FindingContext) -> None:
    assert shown(context, 4) == ["    3 ", "  > 4 let third = 3;", "    5     wide();"]
    assert shown(context, 1, indent=0) == ["> 1 fn first() {", "  2     fn second() {"]


def test_numbers_are_as_wide_as_the_last_one(context: FindingContext) -> None:
    assert [line.rstrip() for line in shown(context, 99)] == ["     98", "  >  99", "    100 // hundred"]


def test_a_line_is_cut_where_the_terminal_ends(context: FindingContext) -> None:
    assert shown(context, 4, width=14)[1] == "  > 4 let thi…"


def test_color_adds_nothing_but_color(context: FindingContext) -> None:
    colored = shown(context, 4, color=True)
    assert "\x1b[" in colored[1]
    plain = [Text.from_ansi(line).plain for line in colored]
    assert plain == shown(context, 4)


def test_a_text_that_is_not_the_one_that_was_judged_is_not_shown(context: FindingContext) -> None:
    assert context.subject is not None
    Path(context.subject.path).write_text("// another text\n")
    assert shown(FindingContext(context.subject), 1) == []
