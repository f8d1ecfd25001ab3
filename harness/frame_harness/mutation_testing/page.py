"""Writes a campaign of mutants as one HTML file that needs nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from frame_harness.base.text import percent, plural
from frame_harness.html_report import shell
from frame_harness.html_report.annotated import AnnotatedLine
from frame_harness.html_report.excerpt import highlighted
from frame_harness.mutation_testing.records import Fate, MutantReport, MutationReport
from frame_harness.mutation_testing.terminal import score_line, summary

_SIGNS: Final = {"survived": "✗", "killed": "✓", "": " "}


@dataclass(frozen=True)
class MutantLine(AnnotatedLine):
    """One line of a file: `state` says whether a mutant of it survived, or all were killed."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class DiffLine:
    """One line of a diff; `kind` is `added`, `removed`, `place` or empty."""

    text: str
    kind: str


def dumps(report: MutationReport, texts: Mapping[str, str]) -> str:
    """Return the whole page.

    Args:
        texts: by name the files that the mutants were made of.
    """
    style = shell.style()
    total = report.total
    return (
        shell.environment()
        .get_template("mutants.html.j2")
        .render(
            report=report,
            tone="is-good" if report.is_good else "is-bad",
            score=percent(total.killed, total.killed + total.survived),
            line=score_line(report),
            facts=tuple(summary(report)),
            survivors=report.of(Fate.SURVIVED),
            equivalents=report.explained_equivalents,
            errors=report.of(Fate.ERROR),
            diffs={
                one.mutant.key: diff_lines(one.diff)
                for one in (*report.of(Fate.SURVIVED), *report.explained_equivalents)
            },
            sources={name: source_lines(text, _of(name, report)) for name, text in texts.items()},
            style=Markup(style),
            style_sha=shell.sha(style),
        )
    )


def diff_lines(diff: str) -> tuple[DiffLine, ...]:
    """Return the lines of a unified diff behind its header."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return tuple(DiffLine(line, kinds.get(line[:1], "")) for line in diff.splitlines()[2:])


def source_lines(text: str, mutants: Sequence[MutantReport]) -> tuple[MutantLine, ...]:
    """Return each line of a file with what became of its mutants."""
    of_line: dict[int, list[MutantReport]] = defaultdict(list)
    for one in mutants:
        of_line[one.mutant.line].append(one)
    return tuple(
        _line(number, markup, of_line.get(number, [])) for number, markup in enumerate(highlighted(text), 1)
    )


def _line(number: int, markup: Markup, mutants: Sequence[MutantReport]) -> MutantLine:
    survived = [one for one in mutants if one.fate is Fate.SURVIVED]
    killed = sum(one.judged.fate is Fate.KILLED for one in mutants)
    state = "survived" if survived else "killed" if killed else ""
    words = f"{plural(len(survived), 'mutant')} survived, {killed} killed" if state else ""
    return MutantLine(number, markup, state, _SIGNS[state], words, tuple(one.mutant.key for one in survived))


def _of(name: str, report: MutationReport) -> list[MutantReport]:
    return [one for one in report.mutants if one.mutant.file == name]
