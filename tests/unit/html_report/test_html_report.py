"""Proves that the page shows all there is to a run, and that nothing of a guest becomes markup."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from frame_harness.base.errors import HarnessError
from frame_harness.cli.html_page import save_page
from frame_harness.cli.reporting import Examined
from frame_harness.coverage.lines import LineCoverage, LineState, SourceCoverage
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.html_report.annotated import annotated
from frame_harness.html_report.excerpt import excerpt, highlighted, sources_of
from frame_harness.html_report.figures import FigureScene, figures_of
from frame_harness.html_report.memory import NOTHING, CheckMemory, Memories
from frame_harness.html_report.page import dumps
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.diagrams import Diagram
from frame_harness.judge.evidence import (
    CheckInRun,
    Evidence,
    FieldValues,
    Outcome,
    SourceFile,
    SubjectInfo,
    Trouble,
)
from frame_harness.judge.verdict import Verdict, judge
from frame_harness.pictures.moment import moment_of
from tests.support import report_scene
from tests.support.report_scene import HOSTILE, PFN, SOURCES, written
from tests.support.synthetic import SMALL, Shape, healthy_state
from tests.unit.evidence_samples import LIFE, RELEASE, SUBJECT, TABLE, VTABLE, healthy, with_outcome
from tests.unit.judge.test_diagrams import LOST, RATES, STALE


class Read(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@cache
def broken_page() -> str:
    return report_scene.page()


# ---- what it says ---------------------------------------------------------------------------------------


def test_the_page_names_the_verdict_and_every_clause_in_the_contract_s_words() -> None:
    page = Read(written(healthy()))
    assert "PASS" in page.text
    assert all(
        id_ in page.text and " ".join(clause.title.split()) in page.text for id_, clause in CLAUSES.items()
    )


def test_the_page_says_what_the_contract_left_out_and_nothing_where_it_left_nothing() -> None:
    verdict = judge(healthy(), FRAME_METADATA)
    left_out = replace(verdict, unpromised=("slots as the guest <prints> them",))
    pages = [dumps(healthy(), one, EMPTY, FRAME_METADATA) for one in (verdict, left_out)]
    assert "the contract says nothing of it" not in Read(pages[0]).text
    shown = Read(pages[1])
    assert "Not evaluated: the contract says nothing of it slots as the guest <prints> them" in shown.text
    links = {one["href"] for one in shown.named("a")}
    assert links - {f"#{one['id']}" for _, one in shown.elements if "id" in one} == set()


def test_each_finding_has_pictures_its_source_and_the_command_to_see_it_again() -> None:
    page = Read(broken_page())
    findings = [one for one in page.named("article") if (one.get("id") or "").startswith("finding-")]
    assert len(findings) == 4
    assert len([one for one in page.named("svg") if one.get("role") == "img"]) >= 8
    assert "// line 179 of <b>a file</b>" in page.text
    assert "frame-harness check -k x" in page.text
    assert "buddy.alloc 0x0 unmovable" in page.text


@pytest.mark.parametrize(
    ("check", "kinds"),
    [
        (TABLE, ["page", "life", "lists"]),
        (LIFE, ["slot", "life", "lists"]),
        (VTABLE, ["outcome"]),
    ],
)
def test_the_picture_fits_the_finding(check: str, kinds: list[str]) -> None:
    memory = report_scene.memory(healthy_state(SMALL)) if check != VTABLE else NOTHING
    result = next(one for one in report_scene.broken().checks if one.check == check and one.run == RELEASE)
    before, after = (None if one is None else moment_of(one) for one in (memory.before, memory.after))
    found = figures_of(FigureScene(result, memory, before, after, META_SLOT))
    assert [one.kind for one in found if one.kind != "lists"] == [kind for kind in kinds if kind != "lists"]


def test_the_result_that_shows_the_fault_comes_first() -> None:
    """The simplest result says it in words alone; another one has a frame, and memory."""
    words = next(one for one in report_scene.broken().checks if one.check == LIFE and one.run == RELEASE)
    words = replace(words, frame=None, values=None, field="", message="in words", expected="[]", got="[5]")
    shown = replace(
        words, check="test_x.py::test_frame", frame=PFN << 12, field="guard", message="on a frame"
    )
    evidence = replace(healthy(), checks=(words, shown))
    memories = {report_scene.key_of(shown.check): report_scene.memory(healthy_state(SMALL))}
    for known, first in ((memories, "on a frame"), ({}, "in words")):
        text = Read(written(evidence, memories=known)).text
        finding = text.partition("what this subject breaks")[2].partition("The contract")[0]
        told = [finding.find(f" what {words}") for words in ("on a frame", "in words")]
        assert told[0 if first == "on a frame" else 1] == min(at for at in told if at >= 0)


def test_the_bytes_of_a_page_are_shown_where_they_are_known() -> None:
    result = next(one for one in report_scene.broken().checks if one.check == TABLE and one.run == RELEASE)
    page = bytes([0] * 4000 + [1] * 96)
    some = replace(result, values=FieldValues(expected={"payload": 0}, got={"payload": 96}))
    known = FigureScene(some, CheckMemory(payload={PFN: page}), None, None, META_SLOT)
    assert "96 bytes of 4096 are wrong" in figures_of(known)[0].svg
    # Of which bytes are wrong nothing is known: no picture pretends to know.
    unknown = FigureScene(some, NOTHING, None, None, META_SLOT)
    assert [one.kind for one in figures_of(unknown)] == ["outcome"]


@pytest.mark.parametrize(
    ("diagram", "caption"), [(LOST, "Two CPUs"), (STALE, "memory orderings"), (RATES, "Steps a second")]
)
def test_what_an_engine_drew_comes_first(diagram: Diagram, caption: str) -> None:
    result = next(one for one in report_scene.broken().checks if one.check == TABLE and one.run == RELEASE)
    drawn = replace(result, diagram=diagram)
    assert caption in figures_of(FigureScene(drawn, NOTHING, None, None, META_SLOT))[0].caption


def test_what_stands_against_a_pass_is_told() -> None:
    trouble = Trouble(what="build", message="it does not compile", detail="error[E0308]: mismatched types")
    page = Read(written(Evidence(subject=SUBJECT, planned_runs=(), errors=(trouble,))))
    assert "ERROR" in page.text
    assert "it does not compile" in page.text
    assert "error[E0308]: mismatched types" in page.text


def test_a_check_that_crashed_is_told_with_its_registers() -> None:
    evidence = with_outcome(
        healthy(), TABLE, Outcome.CRASHED, RELEASE, message="page fault", registers=("RIP=0x1234",),
        backtrace=("dec_ref+0x4",),
    )  # fmt: skip
    page = Read(written(evidence))
    assert "CRASHED" in page.text
    assert "RIP=0x1234" in page.text


def test_a_run_without_a_subject_s_path_is_a_page_too() -> None:
    subject = SubjectInfo(name="built-in", path="", sha256="")
    assert "built-in" in Read(written(Evidence(subject=subject, planned_runs=(), interrupted=True))).text


# ---- what it must not do --------------------------------------------------------------------------------


def test_nothing_of_a_guest_becomes_markup() -> None:
    page = Read(report_scene.page(report_scene.hostile()))
    assert [one.get("type") for one in page.named("script")] == ["application/json", None]
    assert page.named("img") == []
    assert "\x1b" not in " ".join(page.words)
    assert "{{ 7*7 }}" in page.text
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        links = [attributes.get(name) or "" for name in ("href", "src", "action", "data", "xlink:href")]
        assert all(link == "" or link.startswith("#") for link in links), tag


def test_the_policy_lets_nothing_run_but_the_page_s_own_script() -> None:
    markup = broken_page()
    policy = next(one for one in Read(markup).named("meta") if one.get("http-equiv"))["content"] or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        text = markup.rpartition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_ids_are_given_once() -> None:
    ids = [attributes["id"] for _, attributes in Read(broken_page()).elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_link_leads_to_a_part_of_the_page() -> None:
    page = Read(broken_page())
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {(one.get("href") or "")[1:] for one in page.named("a")} <= ids


def test_only_files_of_the_subject_are_read_as_they_were_judged(tmp_path: Path) -> None:
    inside, edited, outside = (tmp_path / name for name in ("frame.rs", "edited.rs", "secret.rs"))
    for path in (inside, edited, outside):
        path.write_text("fn main() {}\n")
    files = tuple(
        SourceFile(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for path in (inside, edited)
    )
    edited.write_text("fn another() {}\n")
    evidence = replace(healthy(), subject=replace(SUBJECT, path=str(inside), files=files))
    for path in (inside, edited, outside, Path("/etc/passwd")):
        evidence = replace(evidence, checks=(*evidence.checks, replace(evidence.checks[0], at=f"{path}:1")))
    assert sources_of(evidence) == {str(inside): "fn main() {}\n"}


# ---- source lines ---------------------------------------------------------------------------------------


def test_the_marked_line_is_the_one_that_was_named() -> None:
    text = "\r\n".join(["fn one() {", '    let s = "two\\', '    lines";', "/* a", "comment */", "}"])
    for number in range(1, 7):
        found = excerpt(f"x.rs:{number}", {"x.rs": text}, around=0)
        assert found is not None
        [line] = found.lines
        plain = Read(str(line.markup)).words
        assert (line.number, line.marked, "".join(plain).strip()) == (
            number, True, text.split("\r\n")[number - 1].strip(),
        )  # fmt: skip


def test_source_is_text_and_no_markup() -> None:
    assert all(
        "<b>" not in line and "<script" not in line for line in highlighted('// <b>\nlet a = "<script>";\x1b')
    )
    assert all("<b>" not in line for line in highlighted("// <b>" + "x" * 1000))


@pytest.mark.parametrize("at", ["", "x.rs", "x.rs:0", "x.rs:9", "x.rs:no", "y.rs:1"])
def test_a_place_that_is_none_has_no_lines(at: str) -> None:
    assert excerpt(at, {"x.rs": "one\n"}) is None


# ---- coverage -------------------------------------------------------------------------------------------


HIT, NOT_HIT = LineState.HIT, LineState.NOT_HIT


def ran(line: int, state: LineState, *checks: int) -> LineCoverage:
    return LineCoverage(line=line, state=state, checks=checks)


def covered(path: str, *lines: LineCoverage, checks: tuple[str, ...] = ()) -> SourceCoverage:
    return SourceCoverage(path=path, lines=lines, functions=(), checks=checks)


def test_coverage_is_shown_beside_each_line() -> None:
    lines = ran(1, HIT, 0, 1, 2, 0), ran(3, NOT_HIT), ran(4, LineState.NOT_IN_KERNEL)
    source = covered("x.rs", *lines, checks=("test_<i>one</i>", "test_two", "test_three"))
    page = Read(written(healthy(), sources={"x.rs": "fn a() {\n// none\nb();\nc();\n}"}, coverage=[source]))
    rows = {one["class"]: one.get("title") for one in page.named("span") if "row" in (one.get("class") or "")}
    assert rows["row hit"] == "ran, in test_<i>one</i>, test_two, test_three and 1 more"
    assert rows["row not-hit"] == "did not run"
    assert rows["row"] is None
    assert "1 of 3 lines with code ran" in page.text
    assert "✗ 3" in page.text


def test_coverage_of_a_file_that_is_gone_has_its_numbers() -> None:
    shown = annotated(covered("gone.rs", ran(7, HIT), ran(9, NOT_HIT)), {})
    assert [(line.number, line.sign) for line in shown.lines] == [(7, "✓"), (9, "✗")]


# ---- from an archive ------------------------------------------------------------------------------------


class Kept:
    """A failure of an archive, as the reader of archives has it."""

    def __init__(self, key: CheckInRun, memory: CheckMemory, wrong: bool = False) -> None:
        self.keys = (key,)
        self.record, self.guests = self, ()
        self.before, self.after, self.life = memory.before, memory.after, None
        self.console, self.notes = "console", ("a note",)
        self._wrong = wrong

    @property
    def payload(self) -> Any:
        if self._wrong:
            raise HarnessError("archive", "after.npz", detail="damaged")
        return None


class Run:
    def __init__(self, evidence: Evidence, *failures: Kept) -> None:
        self.evidence = evidence
        self.by_key = {key: one for one in failures for key in one.record.keys}

    def source(self, path: str) -> Path | None:
        return None if path else Path()


def test_memory_of_an_archive_is_read_when_it_is_asked_for() -> None:
    made = report_scene.memory(healthy_state(SMALL))
    archive: Any = Run(report_scene.broken(), Kept(report_scene.key_of(TABLE), made))
    memories = Memories(archive)
    assert list(memories) == [report_scene.key_of(TABLE)]
    found = memories[report_scene.key_of(TABLE)]
    assert (found.before, found.after, found.notes) == (made.before, made.after, ("a note",))


def test_a_damaged_file_of_an_archive_costs_its_pictures_alone() -> None:
    key = report_scene.key_of(TABLE)
    archive: Any = Run(report_scene.broken(), Kept(key, NOTHING, wrong=True))
    memories = Memories(archive)
    assert any("damaged" in note for note in memories[key].notes)
    assert "damaged" in written(report_scene.broken(), memories=memories)


def test_without_memory_every_finding_still_has_a_picture() -> None:
    evidence = report_scene.broken()
    page = Read(written(evidence, sources=SOURCES))
    verdict: Verdict = judge(evidence, FRAME_METADATA)
    assert len(page.named("figure")) >= len(verdict.findings)
    assert page.named("canvas") == []
    assert HOSTILE.split("<")[0] in page.text


def test_a_million_frames_make_a_small_page() -> None:
    page = report_scene.page(state=healthy_state(Shape(1 << 20)))
    assert len(page) < 3_000_000


# ---- as a file ------------------------------------------------------------------------------------------


def test_the_page_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    evidence = report_scene.broken()
    found = Examined(evidence, judge(evidence, FRAME_METADATA), EMPTY, frame_module())
    save_page(None, found, None)
    assert list(tmp_path.iterdir()) == []
    save_page(tmp_path / "report.html", found, None)
    page = Read((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "ALLOC-07" in page.text
    with pytest.raises(OSError):
        save_page(tmp_path / "gone" / "report.html", found, None)
