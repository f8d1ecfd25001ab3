"""Makes pictures of the reports: `python -m tests.support.screenshots OUT`.

Without `--frame-rs` or the variable `FRAME_RS` the subject is the built-in module with a few bugs of the red
suite. For each finding of the HTML report there is a picture in light and one in dark colors. README shows
`report.png` and `report-dark.png`, the top of the last finding, and `terminal.png`, the report in a terminal.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from frame_harness.cli.check import CheckRequest, examine
from frame_harness.cli.reporting import Examined, keep, show
from frame_harness.publishing.reports import PAGE
from frame_harness.publishing.run_archive import archive_of_a_run
from frame_harness.report.progress import Progress
from frame_harness.report.terminal import console_for
from tests.support.chromium import NAMES, Browser, browser, chromium
from tests.support.frame_mutants import ALLOCATION, GUARDS, REFERENCES
from tests.support.mutants import broken

BUGS = ("the last builder call wins", "references wrap", "an allocation heals")
COLUMNS = 118
TERMINAL = "terminal.png"
_TERMINAL_PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #0d1117; }}
pre {{ display: inline-block; margin: 0; padding: 14px 18px; background: #0d1117; color: #d6dde6;
  font: 13px/1.4 "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
{stylesheet}
</style><pre id="terminal">{code}</pre>"""
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
    if chromium() is None:
        raise SystemExit(f"pictures: expected Chromium ({', '.join(NAMES)})\nnext: apt-get install chromium")
    asked.out.mkdir(parents=True, exist_ok=True)
    subject, select = asked.frame_rs, asked.select
    if subject is None:
        bugs = [one for one in (*ALLOCATION, *REFERENCES, *GUARDS) if one.name in BUGS]
        subject = broken([edit for one in bugs for edit in one.edits])
        select = select or " or ".join(sorted(clause for one in bugs for clause in one.clauses))
    request = CheckRequest(frame_rs=subject, machines=(asked.machine,), profile=asked.profile, select=select)
    with archive_of_a_run(asked.out / "run") as kept:
        assert kept is not None
        with Progress(console_for()) as progress:
            found = examine(request, progress, archive=kept.folder)
        keep(found, kept)
    terminal = asked.out / "terminal.html"
    terminal.write_text(_terminal(found), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        for name in _pictures(tab, kept.folder / PAGE, asked.out):
            print(asked.out / name)
        tab.open(terminal)
        (asked.out / TERMINAL).write_bytes(tab.screenshot("#terminal"))
        print(asked.out / TERMINAL)
        if complaints := tab.complaints():
            raise SystemExit("\n".join(complaints))


def _terminal(found: Examined) -> str:
    """The report as a terminal shows it, as a page."""
    printed = io.StringIO()
    console = Console(width=COLUMNS, force_terminal=True, color_system="truecolor", file=printed)
    show(found.evidence, found.verdict, found.known, console, found.subject.contract)
    text = printed.getvalue().replace(str(found.subject.path.parent), "~/kernel/src/memory")
    text = text.replace(str(Path.home()), "~")
    record = Console(record=True, width=COLUMNS, file=io.StringIO())
    record.print(Text.from_ansi(text), soft_wrap=True)
    return record.export_html(theme=MONOKAI, code_format=_TERMINAL_PAGE, inline_styles=False)


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
        finding, height = tab.evaluate(_README_PART)
        name = "report.png" if theme == "light" else "report-dark.png"
        (out / name).write_bytes(tab.screenshot(finding, height=height))
        yield name


if __name__ == "__main__":
    main()
