"""The clauses of a contract: stable id, kind, words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from frame_harness.base.errors import UsageError


class UnknownClauseError(UsageError):
    """An id that the contract does not have; the text names the nearest one that it has."""


class ClauseKind(StrEnum):
    """What sort of evidence settles a clause; the value is the contract's letter."""

    LAYOUT = "L"
    FUNCTIONAL = "F"
    PANIC = "P"
    PARALLEL = "S"
    ORDERING = "O"
    WHOLE_MEMORY = "W"
    HAZARD = "H"


@dataclass(frozen=True)
class Clause:
    """One promise of a module; `kind` is as the contract writes it, `S/H` for two kinds."""

    id: str
    kind: str
    section: str
    title: str

    @cached_property
    def kinds(self) -> frozenset[ClauseKind]:
        """The sorts of evidence that settle it; raises ValueError for a letter that is none."""
        return frozenset(ClauseKind(letter) for letter in self.kind.split("/"))

    @property
    def hazard(self) -> bool:
        """Whether breaking it is a hazard, alone or beside another kind."""
        return ClauseKind.HAZARD in self.kinds


class Clauses(Mapping[str, Clause]):
    """The clauses of one contract by id, in the contract's order."""

    def __init__(
        self, sections: Mapping[str, str], rows: Mapping[str, Iterable[tuple[str, str, str]]]
    ) -> None:
        """Make them of tables.

        Args:
            sections: the title of each section, by its letter.
            rows: by section the (id, kind, title) of each clause.
        """
        self.sections = dict(sections)
        self._by_id = {
            id_: Clause(id_, kind, section, title)
            for section, of_section in rows.items()
            for id_, kind, title in of_section
        }

    def __getitem__(self, id_: str) -> Clause:
        return self._by_id[id_]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def known(self, id_: str) -> Clause:
        """Look up a clause that a user named.

        Raises:
            UnknownClauseError: names the nearest id of the contract.
        """
        if id_ not in self:
            next_step = self.nearest(id_)
            raise UnknownClauseError("clause", repr(id_), detail="not in the contract", next_step=next_step)
        return self[id_]

    def joined(self, other: Clauses) -> Clauses:
        """The clauses of two contracts, to look an id up in both."""
        rows: dict[str, list[tuple[str, str, str]]] = {}
        for one in (*self.values(), *other.values()):
            rows.setdefault(one.section, []).append((one.id, one.kind, one.title))
        return Clauses(self.sections | other.sections, rows)

    def nearest(self, id_: str) -> str:
        """What to do about an id that the contract does not have."""
        near = difflib.get_close_matches(id_.upper(), self, n=1, cutoff=0.7)
        if near:
            return f"did you mean {near[0]}"
        ids = list(self)
        return f"use an id from {ids[0]} to {ids[-1]}"

    def in_order(self, ids: Iterable[str]) -> list[str]:
        """Sort known ids by their place in the contract, unknown ones last, each once."""
        return sorted(set(ids), key=lambda id_: (self.rank(id_), id_))

    def rank(self, id_: str) -> int:
        """The place of a clause in the contract; behind all others for an unknown one."""
        return self._ranks.get(id_, len(self))

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {id_: place for place, id_ in enumerate(self)}
