"""Progress is one live line on a terminal and one line a run elsewhere."""

import io
import re

from rich.console import Console

from frame_harness.judge.evidence import Outcome
from frame_harness.report.progress import Progress
from tests.unit.evidence_samples import CHECKS, DEV, RELEASE, VTABLE, healthy, with_outcome


def watched(terminal: bool) -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=60, force_terminal=terminal, highlight=False, markup=False, _environ={}
    )
    evidence = with_outcome(healthy(), VTABLE, Outcome.VIOLATED, DEV)
    with Progress(console) as progress:
        progress.step("building dev")
        for key in (DEV, RELEASE):
            progress.begin(key, len(CHECKS))
        for result in sorted(evidence.checks, key=lambda one: one.check):
            progress.check(result.run, result.check, result.clauses)
            progress.result(result)
    return file.getvalue()


def test_without_a_terminal_each_run_is_one_line_when_it_ends() -> None:
    assert watched(terminal=False).splitlines() == [
        "building dev",
        "q35/dev: 4 checks, 3 passed, 1 broken, 0.1 s of guest time",
        "microvm/release: 4 checks, 4 passed, 0.1 s of guest time",
    ]


def test_on_a_terminal_the_live_line_names_run_count_clause_and_check_and_is_gone_at_the_end() -> None:
    raw = watched(terminal=True)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", raw)
    assert "q35/dev  1/4  ALLOC-09  new life is whole" in plain
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= 60
    assert raw.count("\x1b[?25l") == raw.count("\x1b[?25h") == 1
