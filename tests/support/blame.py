"""What a whole run blames first, measured against what is really broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.edit_place import item_at


@dataclass(frozen=True)
class FirstFinding:
    """The finding that a user reads first: its clause, the item of the module that its line lies in."""

    clause: str
    item: str

    def names(self, clauses: frozenset[str], items: frozenset[str]) -> bool:
        """Whether it is about one of these clauses, at one of these items."""
        return self.clause in clauses and self.item in items


def first_finding(report: dict[str, Any], text: str) -> FirstFinding | None:
    """Read it off a JSON report; None where there is no finding.

    Args:
        text: of the module that was judged.
    """
    if not report.get("findings"):
        return None
    first = report["findings"][0]
    line = (first["at"] or "").rpartition(":")[2]
    return FirstFinding(first["clause"], item_at(text, int(line)) if line else "")
