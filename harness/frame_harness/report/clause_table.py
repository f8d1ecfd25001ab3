"""Which checks look at which clause, which clauses nobody looks at."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from frame_harness.contract.clauses import Clause, ClauseKind, Clauses
from frame_harness.report.text import id_ranges


@dataclass(frozen=True)
class ClauseTable:
    """Every clause of the contract in order, with the checks that name it."""

    clauses: Clauses
    checks: dict[str, tuple[str, ...]]

    @property
    def missing(self) -> tuple[str, ...]:
        """Clauses that should have a check and have none."""
        return tuple(id_ for id_, checks in self.checks.items() if not checks)

    def markdown(self) -> str:
        """A heading and a table for each section."""
        lines = []
        for letter, title in self.clauses.sections.items():
            lines += [f"## {letter}. {title}", "", "| clause | kind | words | checks |", "|---|---|---|---|"]
            for entry in self._of_section(letter):
                cell = "<br>".join(f"`{check}`" for check in self.checks[entry.id]) or "no check"
                lines.append(f"| {entry.id} | {entry.kind} | {entry.title} | {cell} |")
            lines.append("")
        return "\n".join([*lines, self.summary(), ""])

    def terminal(self) -> Table:
        """The same for a terminal: a clause's words, the names of its checks below them."""
        table = Table.grid(padding=(0, 2))
        for column in (9, 3):
            table.add_column(width=column, no_wrap=True)
        table.add_column(overflow="fold")
        for letter, title in self.clauses.sections.items():
            table.add_row(Text(letter, style="bold"), "", Text(title, style="bold"))
            for entry in self._of_section(letter):
                names = self._shown(entry)
                style = "red" if entry.id in self.missing else "dim"
                below = Text("".join(f"\n{name}" for name in names), style=style)
                table.add_row(entry.id, entry.kind, Text(entry.title) + below)
        return table

    def lines(self) -> str:
        """The same for a pipe: one clause a line, its checks at the end."""
        return "\n".join(
            f"{entry.id:<9}  {entry.kind:<3}  {entry.title}  [{', '.join(self._shown(entry))}]"
            for letter in self.clauses.sections
            for entry in self._of_section(letter)
        )

    def _of_section(self, letter: str) -> list[Clause]:
        return [entry for entry in self.clauses.values() if entry.section == letter]

    def _shown(self, entry: Clause) -> list[str]:
        return self.names(entry.id) or ["no check"]

    def names(self, id_: str) -> list[str]:
        """The short names of a clause's checks."""
        return [check.rpartition("::")[2] for check in self.checks[id_]]

    def summary(self) -> str:
        """`87 of 89 clauses have checks; without: REF-01…02`."""
        gap = f"; without: {id_ranges(self.missing)}" if self.missing else ""
        there = len(self.clauses)
        return f"{there - len(self.missing)} of {there} clauses have checks{gap}"

    def legend(self) -> str:
        """What the letters of the kinds stand for."""
        kinds = (f"{kind.value} {kind.name.lower().replace('_', ' ')}" for kind in ClauseKind)
        return f"kinds: {', '.join(kinds)}"


def clause_table(clauses: Clauses, collected: Iterable[tuple[str, Sequence[str]]]) -> ClauseTable:
    """Turn check → clauses around.

    Args:
        collected: pairs of a check's id and the ids it names.
    Raises:
        UnknownClauseError: a check names an id that the contract does not have.
    """
    checks: dict[str, dict[str, None]] = {id_: {} for id_ in clauses}
    for check, ids in collected:
        for id_ in ids:
            checks[clauses.known(id_).id][check] = None
    return ClauseTable(clauses, {id_: tuple(names) for id_, names in checks.items()})
