"""Proves what a person reads beside an editor: on a terminal, and where the output is kept."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.difference import Standing, difference
from frame_harness.judge.evidence import Evidence, Outcome
from frame_harness.watching.messages import Built
from frame_harness.watching.screen import Screen
from tests.support.judging import judge
from tests.unit.evidence_samples import DEV, TABLE, healthy, passed, with_outcome

FRAME = "kernel_shim::memory::frame"
FILES = [Path(f"/k/memory/{name}.rs") for name in ("frame", "zone", "buddy", "cow")]
BROKEN = with_outcome(healthy(), TABLE, Outcome.VIOLATED, message="stale bytes")


class Shown:
    """A screen with all that it printed."""

    def __init__(self, *, terminal: bool = False) -> None:
        self._file = io.StringIO()
        console = Console(file=self._file, width=100, force_terminal=terminal, highlight=False)
        self.screen = Screen(console)

    @property
    def text(self) -> str:
        return self._file.getvalue()

    def judge(self, evidence: Evidence, known: Standing) -> Standing:
        verdict = judge(evidence)
        seen = difference(known, evidence, verdict)
        self.screen.judged(seen, evidence, verdict, EMPTY)
        return seen.standing


def built(*changed: str, first: int = 0) -> Built:
    return Built(seconds=1.25, images=(), sources=(), changed=changed, first=first)


def test_the_first_round_ends_with_the_whole_report_and_later_ones_with_the_difference() -> None:
    shown = Shown()
    standing = shown.judge(BROKEN, Standing())
    assert "subject  frame.rs" in shown.text and "what      stale bytes" in shown.text
    whole = len(shown.text)
    shown.judge(healthy(), standing)
    assert "newly held (1)" in shown.text[whole:] and "subject  frame.rs" not in shown.text[whole:]


def test_a_finding_that_was_shown_after_the_first_checks_is_shown_once() -> None:
    shown = Shown()
    standing = shown.judge(healthy(), Standing())
    shown.screen.looked(difference(standing, BROKEN, judge(BROKEN)), BROKEN)
    shown.judge(BROKEN, standing)
    assert shown.text.count("stale bytes") == 1 and "(shown above)" in shown.text


def test_a_save_names_its_files_and_the_round_that_it_ends() -> None:
    shown = Shown()
    shown.screen.begins(FILES, anew=True)
    assert (
        shown.text
        == "\nsaved frame.rs, zone.rs, buddy.rs and 1 more; the round that was under way is given up\n"
    )


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (built(), "built in 1.2 s; the same machine code"),
        (
            built(f"{FRAME}::MetaSlot::inc_ref", first=1),
            "built in 1.2 s; machine code of MetaSlot::inc_ref changed; 1 check first",
        ),
        (
            built(*(f"{FRAME}::f{number}" for number in range(5)), first=12),
            "built in 1.2 s; machine code of f0, f1, f2 and 2 more changed; 12 checks first",
        ),
        (Built(seconds=1.25, images=(), sources=(), changed=None, first=0), "built in 1.2 s"),
    ],
)
def test_a_build_says_what_it_changed(told: Built, line: str) -> None:
    shown = Shown()
    shown.screen.built(told)
    assert shown.text == f"{line}\n"


def test_a_note_is_told_once() -> None:
    shown = Shown()
    for _ in range(2):
        shown.screen.noted("memory core in /k")
    assert shown.text == "memory core in /k\n"


def test_what_is_kept_has_no_control_codes_and_no_line_for_each_check() -> None:
    shown = Shown()
    shown.screen.begins(FILES[:1], anew=False)
    shown.screen.built(built())
    shown.screen.began(DEV, 2)
    shown.screen.came(passed(TABLE, DEV))
    shown.judge(healthy(), Standing())
    assert "\x1b" not in shown.text and "1/2" not in shown.text
    assert shown.text.endswith("waiting for a save; Ctrl-C ends\n")


def test_a_terminal_shows_how_far_a_round_is() -> None:
    shown = Shown(terminal=True)
    shown.screen.built(built())
    shown.screen.began(DEV, 2)
    shown.screen.came(passed(TABLE, DEV))
    shown.screen.close()
    assert "built in 1.2 s · 1/2 checks · q35/dev" in shown.text


def test_words_of_a_guest_or_a_file_s_name_do_nothing_to_a_terminal() -> None:
    shown = Shown()
    shown.screen.gone([Path("/k/\x1b[2J.rs")])
    assert "\x1b" not in shown.text and "gone; waiting for it\n" in shown.text
    shown.screen.gone(FILES[:2])
    assert "/k/memory/frame.rs, /k/memory/zone.rs: gone; waiting for them\n" in shown.text
