"""The report of a campaign of mutants that a person reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from frame_harness.base.text import percent, plural, printable, seconds
from frame_harness.mutation_testing.order import OF_ORDERINGS
from frame_harness.mutation_testing.records import Fate, JudgedMutant, MutantReport, MutationReport, Share
from frame_harness.report.text import matrix

_DIFF: Final = {"+": "green", "-": "red", "@": "cyan"}
IDLE: Final = "a reason that nothing needs"
_MOST_ROWS: Final = 12
_STYLE: Final = {
    Fate.KILLED: "green", Fate.SURVIVED: "bold red", Fate.EQUIVALENT: "dim", Fate.DOES_NOT_COMPILE: "dim",
    Fate.NOT_LINKED: "yellow", Fate.ERROR: "bold magenta",
}  # fmt: skip


def print_report(report: MutationReport, console: Console, again: str) -> None:
    """Print survivors first, then counts, the score last.

    Args:
        again: the command that judges one mutant again, before its key.
    """
    for one in report.of(Fate.ERROR):
        _line(console, f"ERROR {_place(one)}: {one.judged.why}", style=_STYLE[Fate.ERROR])
    for one in report.unexplained:
        print_mutant(one, console, again)
    for one in report.of(Fate.SURVIVED):
        if one.explained:
            _line(console, f"survived {_place(one)}")
            _line(console, f"    explained {one.explained}", style="dim")
    for one in report.explained_equivalents:
        _line(console, f"equivalent {_place(one)}", style="dim")
        _line(console, f"    explained {one.explained}", style="dim")
    for words in report.idle_reasons:
        _line(console, f"{IDLE}: {words}", style="yellow")
    _print_shares("operator", report.by_operator, console)
    _print_shares("function", [one for one in report.by_function if one.survived], console)
    if left := sorted({one.mutant.function for one in report.of(Fate.NOT_LINKED)}):
        some = ", ".join(left[:_MOST_ROWS]) + (
            f" and {len(left) - _MOST_ROWS} more" if left[_MOST_ROWS:] else ""
        )
        _line(
            console, f"no code of these is in the kernel, so nothing was said of them: {some}", style="yellow"
        )
    if report.own_findings:
        names = ", ".join(report.own_findings)
        _line(console, f"the subject itself breaks {names}: no mutant is killed by that")
    for words in summary(report):
        _line(console, words)
    _line(console, score_line(report), style="bold green" if report.is_good else "bold red")


def print_mutant(one: MutantReport, console: Console, again: str = "") -> None:
    """Print one mutant: its place, what became of it, its diff, who should have noticed."""
    judged = one.judged
    console.print(Text(judged.fate.upper(), style=_STYLE[judged.fate]), Text(printable(_place(one))))
    for line in one.diff.splitlines()[2:]:
        _line(console, f"    {line}", style=_DIFF.get(line[:1], ""))
    for label, words in (*_of_a_kill(judged), *_of_a_survivor(one)):
        _line(console, f"    {label:<10}{words}")
    if again:
        _line(console, f"    again     {again} {one.mutant.key}", style="dim")
    console.print()


def _of_a_kill(judged: JudgedMutant) -> Iterator[tuple[str, str]]:
    if judged.why:
        yield "why", judged.why
    if (kill := judged.kill) is not None:
        clauses = f" ({', '.join(kill.clauses)})" if kill.clauses else ""
        yield "by", f"{kill.how}: {kill.check or 'the run'}{clauses}"
        where = {"in": str(kill.run) if kill.run else "", "what": kill.message, "expected": kill.expected}
        for label, words in {**where, "got": kill.got, "case": kill.case}.items():
            if words:
                yield label, words


def _of_a_survivor(one: MutantReport) -> Iterator[tuple[str, str]]:
    if one.judged.fate is not Fate.SURVIVED:
        return
    yield "reached", one.reached
    for place, clue in enumerate(one.clues):
        yield "" if place else "clauses", f"{clue.clause:<9} {clue.title}"
    if not one.clues:
        words = "no clause asks for more" if one.mutant.operator in OF_ORDERINGS else "none is about it"
        yield "clauses", words
    if one.explained:
        yield "explained", one.explained


def _print_shares(what: str, shares: Sequence[Share], console: Console) -> None:
    if not shares:
        return
    _line(console, f"{what:<36} killed  survived  equivalent  not compiled", style="dim")
    for one in shares[:_MOST_ROWS]:
        name = one.name if len(one.name) <= 35 else f"…{one.name[-34:]}"
        row = f"{name:<36} {one.killed:>6}  {one.survived or '·':>8}  {one.equivalent or '·':>10}"
        _line(console, f"{row}  {one.does_not_compile or '·':>12}")
    if len(shares) > _MOST_ROWS:
        rest = shares[_MOST_ROWS:]
        survived = sum(one.survived for one in rest)
        _line(console, f"{len(rest)} others: {sum(one.killed for one in rest)} killed, {survived} survived")
    console.print()


def summary(report: MutationReport) -> Iterator[str]:
    """Yield what was judged, and what it took."""
    judged = len(report.mutants)
    selected = f" ({report.selection})" if report.selection else ""
    yield f"{judged} of {plural(report.generated, 'mutant')} judged{selected}"
    yield f"a survivor survived every check on {matrix(report.runs)}"
    if report.of_one_run:
        yield f"except {report.of_one_run} with a reason: these were judged in one run (--every-run: in all)"
    each = report.cpu_s / judged if judged else 0.0
    reference = f", {seconds(report.reference_s)} before it for the subject" if report.reference_s else ""
    yield f"{each:.1f} s of a core each; {seconds(report.duration_s)} in all{reference}"


def score_line(report: MutationReport) -> str:
    """`SCORE 98.2 %: 321 killed, 6 survived; 12 equivalent, 9 not compiled`."""
    total = report.total
    score = percent(total.killed, total.killed + total.survived)
    by_reason = len(report.explained_equivalents)
    more = [f"{total.equivalent} equivalent" + (f" ({by_reason} by a reason)" if by_reason else "")]
    more = more if total.equivalent else []
    more += [f"{total.not_linked} not in the kernel"] if total.not_linked else []
    more += [f"{total.does_not_compile} not compiled"] if total.does_not_compile else []
    more += [plural(total.errors, "error")] if total.errors else []
    stopped = "interrupted; " if report.interrupted else ""
    explained = total.survived - len(report.unexplained)
    counts = f"{total.killed} killed, {total.survived} survived" + (
        f" ({explained} explained)" if explained else ""
    )
    return f"{stopped}SCORE {score}: {'; '.join([counts, ', '.join(more)] if more else [counts])}"


def _place(one: MutantReport) -> str:
    mutant = one.mutant
    return f"{mutant.key}  {mutant.operator}  {mutant.file}:{mutant.line}  {mutant.function}"


def _line(console: Console, words: str, style: str = "") -> None:
    console.print(Text(printable(words), style=style), soft_wrap=True)
