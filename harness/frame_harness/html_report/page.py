"""Writes the report of a run as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from frame_harness.base.units import paddr_to_pfn
from frame_harness.contract.contract import Contract
from frame_harness.coverage.lines import SourceCoverage
from frame_harness.html_report import excerpt, shell, tables
from frame_harness.html_report.annotated import annotated
from frame_harness.html_report.figures import Figure, FigureScene, figures_of
from frame_harness.html_report.memory import NOTHING, CheckMemory, split_command
from frame_harness.html_report.packing import Packed
from frame_harness.judge.baseline import Baseline
from frame_harness.judge.evidence import ON_SEVERAL_CPUS, CheckInRun, CheckResult, Evidence
from frame_harness.judge.findings import Finding
from frame_harness.judge.verdict import Verdict, what_was_seen
from frame_harness.pictures import frame_map, palette
from frame_harness.pictures.moment import WHOLE_TABLE, Moment, moment_of
from frame_harness.report.origins import origin_words
from frame_harness.report.summary import findings_in_words, run_rows, skipped

_OTHERS = 2
_CANDIDATES = 12
_SHOWS_IT = 2
_ROOM_OF_OVERVIEWS = 600_000
_SIGHTS = 12
_CONSOLE_LINES = 400
_CONSOLE_CHARACTERS = 60_000


@dataclass(frozen=True, eq=False)
class MemoryView:
    """The map of memory before and after the last command, for the script and as pictures.

    Attributes:
        names: `before`, `after`, as far as each is known.
        marked: whether the finding is about any frame of it.
        telling: whether there is anything to see: a frame of the finding, or a change.
    """

    names: tuple[str, ...]
    data: str
    overviews: tuple[tuple[str, Markup], ...]
    legend: tuple[palette.StateLook, ...]
    n_frames: int
    marked: bool
    telling: bool


@dataclass(frozen=True, eq=False)
class ResultView:
    """One result as the page shows it."""

    result: CheckResult
    figures: tuple[Figure, ...]
    source: excerpt.Excerpt | None
    commands: tuple[tuple[str, str], ...]
    memory: MemoryView | None
    console: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FindingView:
    """A finding with the results that are shown of it at length; `sights` are the others, in words."""

    finding: Finding
    kind: str
    number: int
    first: ResultView
    others: tuple[ResultView, ...]
    sights: tuple[tuple[CheckResult, str], ...]
    n_more: int
    origin: str


def dumps(
    evidence: Evidence,
    verdict: Verdict,
    baseline: Baseline,
    contract: Contract,
    memories: Mapping[CheckInRun, CheckMemory] | None = None,
    *,
    sources: Mapping[str, str] | None = None,
    coverage: Sequence[SourceCoverage] = (),
) -> str:
    """The whole page.

    Args:
        memories: what is known of the memory behind failing checks; each is asked for once.
        sources: by path the texts of the subject's files, as results name them.
        coverage: which lines of these files ran, where that was measured.
    """
    builder = _Builder(contract, memories or {}, sources or {})
    findings = [builder.finding(finding, at) for at, finding in enumerate(verdict.findings, start=1)]
    stopped = [(builder.result(cause.first), cause) for cause in tables.stopped(evidence)]
    style, script = shell.style(), shell.text("report.js")
    return shell.environment().get_template("report.html.j2").render(
        evidence=evidence, verdict=verdict, baseline=baseline, contract=contract,
        findings=[one for one in findings if not one.finding.known],
        n_findings=findings_in_words([one for one in verdict.findings if not one.known]),
        known=[one for one in findings if one.finding.known], stopped=stopped,
        summary=tables.summary(evidence, verdict), runs=run_rows(evidence),
        sections=tables.sections(contract, verdict), reasons=tables.reasons(verdict),
        skipped=skipped(evidence), details=tables.details(evidence), looks=palette.LOOKS,
        annotated=[annotated(one, sources or {}) for one in coverage],
        style=Markup(style), script=Markup(script), style_sha=shell.sha(style), script_sha=shell.sha(script),
        memory=Markup(shell.json_text(builder.packed.document() | {"looks": _looks()})),
    )  # fmt: skip


def prepare() -> None:
    """Compile the templates and make the style sheet, which `dumps` does otherwise."""
    templates = shell.environment()
    for name in templates.list_templates(["j2"]):
        templates.get_template(name)
    shell.style()


def _looks() -> list[list[Any]]:
    return [[look.state, look.name, look.sign, look.hatch, look.rank] for look in palette.LOOKS]


class _Builder:
    """Makes the parts of one page; memory that several findings share is packed once."""

    def __init__(
        self, contract: Contract, memories: Mapping[CheckInRun, CheckMemory], sources: Mapping[str, str]
    ) -> None:
        self.packed = Packed()
        self._contract, self._memories, self._sources = contract, memories, sources
        self._room = _ROOM_OF_OVERVIEWS

    def finding(self, finding: Finding, number: int) -> FindingView:
        """A finding: the simplest result whose picture shows the fault, then others that look different."""
        candidates = list(finding.results[:_CANDIDATES])
        lead = candidates[0]
        if self._telling(lead)[0] > _SHOWS_IT:
            lead = min(candidates, key=self._telling)
        views = [self.result(lead)]
        for result in [one for one in candidates if one is not lead]:
            if len(views) <= _OTHERS and not finding.known and self._adds(result, views):
                views.append(self.result(result, again_at=lead.at))
        shown = {id(view.result) for view in views}
        rest = [(one, what_was_seen(one)) for one in finding.results if id(one) not in shown]
        clause = self._contract.clauses[finding.clause]
        return FindingView(
            finding, clause.kind, number, views[0], tuple(views[1:]), tuple(rest[:_SIGHTS]),
            max(0, len(rest) - _SIGHTS), origin_words(finding.origin) if finding.origin else "",
        )  # fmt: skip

    def _telling(self, result: CheckResult) -> tuple[int, str]:
        """How well the best picture of a result will show its fault, the least first, and which kind that is.

        Memory is not looked at yet, only whether there is any.
        """
        best = self.figures(result, NOTHING, None, None)[0]
        told = (best.rank, best.kind)
        if result.key not in self._memories or result.frame is None:
            return told
        of_a_slot = self._contract.slot.field(result.field) is not None
        return min(told, (1, "slot") if of_a_slot else (2, "life"))

    def _adds(self, result: CheckResult, views: Sequence[ResultView]) -> bool:
        """Whether a result shows something that no other one does."""
        rank, kind = self._telling(result)
        shown = {one.kind for view in views for one in view.figures}
        if rank < _SHOWS_IT and kind not in shown:
            return True
        if result.key not in self._memories:
            return False
        # What several CPUs did is not played again: nobody knows what was when.
        has_a_life = result.frame is not None and result.level not in ON_SEVERAL_CPUS
        return all(view.memory is None for view in views) or ("life" not in shown and has_a_life)

    def figures(
        self, result: CheckResult, memory: CheckMemory, before: Moment | None, after: Moment | None
    ) -> tuple[Figure, ...]:
        found = figures_of(FigureScene(result, memory, before, after, self._contract.slot))
        return tuple({one.kind: one for one in reversed(found)}.values())[::-1]

    def result(self, result: CheckResult, again_at: str = "") -> ResultView:
        """A result with its pictures, source lines, commands and memory.

        Args:
            again_at: a place whose lines are shown already.
        """
        memory = self._memories.get(result.key, NOTHING)
        marked = _marked(result, memory)
        whole = WHOLE_TABLE if self.packed.left > 0 else 0
        before, after = (
            None if state is None else moment_of(state, marked, whole_table=whole)
            for state in (memory.before, memory.after)
        )
        return ResultView(
            result,
            self.figures(result, memory, before, after),
            None if result.at == again_at else excerpt.excerpt(result.at, self._sources),
            tuple(split_command(line) for line in result.commands),
            self._memory(before, after, marked, result),
            _console(memory.console, result),
            memory.notes,
        )

    def _memory(
        self, before: Moment | None, after: Moment | None, marked: Sequence[int], result: CheckResult
    ) -> MemoryView | None:
        known = [(name, one) for name, one in (("before", before), ("after", after)) if one is not None]
        if not known:
            return None
        packed = {name: self.packed.add(moment) for name, moment in known}
        if len({self.packed.maps[one["map"]]["perCell"] for one in packed.values() if one}) > 1:
            packed["before"] = None  # a cell of one map would be held against another frame's of the other
        states = {state for _, moment in known for state in moment.runs.counts()}
        document = {"moments": packed, "marked": list(marked), "field": result.field}
        overviews = self._overviews(known, marked)
        legend = tuple(look for look in palette.LOOKS if look.state in states)
        last = known[-1][1].runs
        telling = bool(marked) or (before is not None and before.runs.counts() != last.counts())
        names = tuple(name for name, _ in known)
        data = shell.json_text(document)
        return MemoryView(names, data, overviews, legend, last.n_frames, bool(marked), telling)

    def _overviews(
        self, known: Sequence[tuple[str, Moment]], marked: Sequence[int]
    ) -> tuple[tuple[str, Markup], ...]:
        """Pictures of memory for paper and for pages without scripts, as long as there is room for them."""
        made = []
        for name, moment in known if self._room > 0 else ():
            title = f"physical memory {name} the last command"
            made.append((name, Markup(frame_map.svg(moment.runs, marked, title=title))))
            self._room -= len(made[-1][1])
        return tuple(made)


def _marked(result: CheckResult, memory: CheckMemory) -> tuple[int, ...]:
    own = () if result.frame is None else (paddr_to_pfn(result.frame),)
    return tuple(dict.fromkeys((*own, *memory.frames)))


def _console(transcript: str, result: CheckResult) -> tuple[str, ...]:
    """The end of a console: of the transcript where there is one."""
    lines = transcript[-_CONSOLE_CHARACTERS:].splitlines() if transcript else result.console_tail
    return tuple(lines[-_CONSOLE_LINES:])
