"""Makes pictures of the HTML report: `python -m tests.support.screenshots OUT`.

Without `--frame-rs` or the variable `FRAME_RS` the subject is the built-in module with a few bugs of the red
suite. For each finding there is a picture in light and one in dark colors. `report.png`, which README shows,
is the top of the last finding.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from frame_harness.cli.check import Request, examine
from frame_harness.cli.reporting import Examined
from frame_harness.html_report.excerpt import sources_of
from frame_harness.html_report.memory import Memory
from frame_harness.html_report.page import dumps
from frame_harness.image.build import build
from frame_harness.judge.evidence import CheckInRun
from frame_harness.report.progress import Progress
from frame_harness.report.terminal import console_for
from tests.support.chromium import Browser, browser
from tests.support.frame_mutants import ALLOCATION, GUARDS, REFERENCES
from tests.support.mutants import broken
from tests.support.played_memory import played

BUGS = ("the last builder call wins", "references wrap", "an allocation heals")
PLAYED = 4
"""Results of a finding whose commands are played again, to have pictures of memory."""
_README_PART = """(() => {
  const [finding] = [...document.querySelectorAll("article.finding")].slice(-1);
  const top = finding.querySelector("dl.facts").getBoundingClientRect().top;
  return ["#" + finding.id, top - finding.getBoundingClientRect().top];
})()"""


def main() -> None:
    """Judge a subject, write its page, take pictures of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the pictures and the page")
    frame_rs = os.environ.get("FRAME_RS")
    parser.add_argument("--frame-rs", type=Path, default=Path(frame_rs) if frame_rs else None)
    parser.add_argument("--machine", default="microvm")
    parser.add_argument("--profile", default="release")
    parser.add_argument("-k", dest="select", default="")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    subject, select = asked.frame_rs, asked.select
    if subject is None:
        bugs = [one for one in (*ALLOCATION, *REFERENCES, *GUARDS) if one.name in BUGS]
        subject = broken([edit for one in bugs for edit in one.edits])
        select = select or " or ".join(sorted(clause for one in bugs for clause in one.clauses))
    request = Request(frame_rs=subject, machines=(asked.machine,), profile=asked.profile, select=select)
    with Progress(console_for()) as progress:
        found = examine(request, progress)
    page = asked.out / "report.html"
    page.write_text(_page(found), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        for name in _pictures(tab, page, asked.out):
            print(asked.out / name)
        if complaints := tab.complaints():
            raise SystemExit("\n".join(complaints))


def _page(found: Examined) -> str:
    memories = dict(_memories(found))
    return dumps(
        found.evidence, found.verdict, found.known, found.subject.contract, memories,
        sources=sources_of(found.evidence),
    )  # fmt: skip


def _memories(found: Examined) -> Iterator[tuple[CheckInRun, Memory]]:
    for finding in found.verdict.findings:
        for result in finding.results[:PLAYED]:
            key = CheckInRun(run=result.run, check=result.check, case=result.case)
            memory = played(result, build(found.subject, result.run.profile))
            if memory.after is not None:
                yield key, memory


def _pictures(tab: Browser, page: Path, out: Path) -> Iterator[str]:
    for theme in ("light", "dark"):
        tab.emulate(dark=theme == "dark")
        tab.open(page)
        tab.drawn()
        articles = tab.evaluate("[...document.querySelectorAll('article.finding')].map((one) => one.id)")
        for place, id_ in enumerate(filter(None, articles), start=1):
            clause = tab.evaluate(f"document.querySelector('#{id_} .clause').textContent")
            name = f"{place}-{clause}-{theme}.png"
            (out / name).write_bytes(tab.screenshot(f"#{id_}"))
            yield name
        if theme == "light":
            finding, height = tab.evaluate(_README_PART)
            (out / "report.png").write_bytes(tab.screenshot(finding, height=height))
            yield "report.png"


if __name__ == "__main__":
    main()
