"""The reports that lie in every archive; each is made from the archive alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Final

from frame_harness.archive.folder import Archive
from frame_harness.archive.writing import INSTEAD
from frame_harness.base.disk import writing
from frame_harness.base.errors import HarnessError
from frame_harness.contract.contract import Contract
from frame_harness.judge.verdict import Verdict
from frame_harness.report import json_report, junit
from frame_harness.report.terminal import console_for, print_report

PAGE: Final = "report.html"
WriteReport = Callable[[Archive, Verdict, Contract], str]
"""Makes the text of a report."""


def _json(archive: Archive, verdict: Verdict, _: Contract) -> str:
    return json_report.dumps(archive.evidence, verdict, archive.header.baseline)


def _junit(archive: Archive, verdict: Verdict, _: Contract) -> str:
    return junit.dumps(archive.evidence, verdict, archive.header.baseline)


def _text(archive: Archive, verdict: Verdict, contract: Contract) -> str:
    room, explained = io.StringIO(), contract.explanations is not None
    print_report(
        archive.evidence, verdict, archive.header.baseline, console_for(room), contract.slot,
        explained=explained, copies=archive.copies, kept=archive.kept,
    )  # fmt: skip
    return room.getvalue()


def prepare() -> None:
    """Read what the page is made with, which takes longest of all: there may be time for it now."""
    try:
        from frame_harness.html_report import page  # noqa: PLC0415  most commands write no page

        page.prepare()
    except Exception:
        return  # it is met again, and told, where the page is written; it must not cost the checks


def _page(archive: Archive, verdict: Verdict, contract: Contract) -> str:
    from frame_harness.html_report import page  # noqa: PLC0415  most commands write no page
    from frame_harness.html_report.memory import Memories, sources_in  # noqa: PLC0415

    covered = archive.evidence.coverage.sources if archive.evidence.coverage else ()
    return page.dumps(
        archive.evidence, verdict, archive.header.baseline, contract, Memories(archive),
        sources=sources_in(archive, (one.path for one in covered)), coverage=covered,
    )  # fmt: skip


WRITERS: Final[Mapping[str, WriteReport]] = {
    "report.json": _json,
    "report.xml": _junit,
    "report.txt": _text,
    PAGE: _page,
}
"""By name of the file in the archive."""


def write_reports(
    archive: Archive, contract: Contract, writers: Mapping[str, WriteReport] = WRITERS
) -> tuple[str, ...]:
    """Write every report; return what went wrong, each in a sentence: one must not cost the others."""
    wrong, verdict = [], archive.verdict(contract)
    for name, text_of in writers.items():
        path = archive.folder / name
        try:
            with writing(path, INSTEAD):
                path.write_text(text_of(archive, verdict, contract), encoding="utf-8", errors="replace")
        except Exception as error:
            path.unlink(missing_ok=True)  # a part would be read as a whole
            said = error.summary if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            wrong.append(f"{name} is not written: {said}")
    return tuple(wrong)
