"""One clause explained: for a terminal or a pipe, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from frame_harness.contract.clauses import Clause
from frame_harness.contract.contract import Contract
from frame_harness.contract.explanations import Explanation, ExplanationError, parsed
from frame_harness.report.blocks import INDENT, LABEL, LABEL_WIDTH, verbatim

WIDEST = 80
_KEYWORDS = "as const else enum fn for if impl in let loop match mut pub return static struct unsafe while"
# Of the sixteen colors that a terminal has in its own scheme, so that it can be read on light and on dark.
_COLORS = {
    rf"\b(?:{_KEYWORDS.replace(' ', '|')})\b": "blue",
    r'"[^"]*"|\b(?:0x[0-9a-fA-F_]+|[0-9][0-9_]*)\b': "magenta",
    r"//.*": "default dim italic",
}


def explanations_of(contract: Contract) -> Mapping[str, Explanation]:
    """The explanations of a contract's clauses, by id, in no order.

    Raises:
        ExplanationError: a file cannot be understood, or two explain the same clause.
    """
    found: dict[str, Explanation] = {}
    if contract.explanations is None:
        return found
    folder = files(contract.explanations)
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        if not file.name.endswith(".toml"):
            continue
        new = parsed(file.read_text(encoding="utf-8"), file.name)
        if twice := sorted(found.keys() & new.keys()):
            raise ExplanationError(
                "explanations", file.name, detail=f"{twice[0]} is explained elsewhere, too"
            )
        found |= new
    return found


@dataclass(frozen=True)
class Explained:
    """A clause with all that there is to say about it.

    Attributes:
        contract: its name.
        section: its title.
        checks: that look at it, by their short names.
        titles: the words of clauses, by id, the related ones among them.
        command: which runs the checks of the clause alone.
    """

    clause: Clause
    contract: str
    section: str
    text: Explanation
    checks: Sequence[str]
    titles: Mapping[str, str]
    command: str

    @property
    def kinds(self) -> str:
        """The kinds of evidence in words: `parallel, hazard`."""
        return ", ".join(kind.name.lower().replace("_", " ") for kind in sorted(self.clause.kinds))

    def terminal(self) -> RenderableType:
        """All of it, for people."""
        return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        yield _row(self.clause.id, Text(self.clause.title), style="bold")
        yield ""
        yield _row("clause", f"{self.contract}, {self.clause.section} {self.section}; kind: {self.kinds}")
        yield _row("why", self.text.why)
        yield _row("breaks", self.text.breaks)
        for label, code in (("wrong", self.text.wrong), ("right", self.text.right)):
            yield ""
            yield Text(label, style="bold red" if label == "wrong" else "bold green")
            yield from _code(code)
        yield ""
        yield from _rows("concerns", self.text.concerns)
        yield from _rows("checks", self.checks or ["no check"])
        yield from _rows("related", [_named(id_, self.titles[id_]) for id_ in self.text.related])
        yield _row("run them", verbatim(self.command))

    def value(self) -> dict[str, object]:
        """The explanation as a value for JSON."""
        return {
            "id": self.clause.id,
            "kind": self.clause.kind,
            "contract": self.contract,
            "section": self.section,
            "title": self.clause.title,
            **msgspec.structs.asdict(self.text),
            "checks": list(self.checks),
            "command": self.command,
        }


def json_of(explained: Iterable[Explained]) -> str:
    """An array with one object for each clause."""
    return msgspec.json.format(msgspec.json.encode([one.value() for one in explained])).decode()


def _row(label: str, words: RenderableType, style: str = LABEL) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=LABEL_WIDTH, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label, style=style), Text(words) if isinstance(words, str) else words)
    return grid


def _rows(label: str, values: Iterable[RenderableType]) -> Iterator[RenderableType]:
    for place, value in enumerate(values):
        yield _row("" if place else label, value)


def _named(id_: str, title: str) -> RenderableType:
    return _row(id_, title, style="")


def _code(code: str) -> Iterator[RenderableType]:
    """Rust with its tokens marked; in a pipe nothing of that is left."""
    for line in code.splitlines():
        shown = verbatim(" " * INDENT + line)
        for pattern, style in _COLORS.items():
            shown.highlight_regex(pattern, style)
        yield shown
