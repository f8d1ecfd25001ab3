"""The names that the harness uses of a module, with what depends on those that a version lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from frame_harness.contract.requests import commands_of, steps_of


@dataclass(frozen=True)
class Name:
    """One public name of a module."""

    path: str
    """As it is written inside of the module; a field has a dot: `MetaSlot.meta_aux`."""
    use: str
    """A Rust statement that compiles when the name is there and is of use to the shim. In scope is what
    `Versions` brings there.
    """
    needed: bool = False
    """Without it, nothing can be judged."""


@dataclass(frozen=True)
class Alternative:
    """Something that the crate around the module offers in one of two forms."""

    name: str
    """Under which its absence is known, beside the names of the module."""
    asked: str
    """What a module that needs the other form asks for in vain."""
    flag: str
    """Of the compiler, for a crate with the first form."""


@dataclass(frozen=True, eq=False)
class Versions:
    """What the versions of a module differ in."""

    names: tuple[Name, ...]
    """All that the harness uses."""
    scope: str
    """Rust lines in front of the statements that use them."""
    arguments: str
    """Of the function around each statement, as Rust declares them."""
    slot: tuple[str, ...]
    """Names for the type of a slot, today's first; `Slot` stands for the one that is there."""
    alternative: Alternative | None = None
    """What the crate offers in two forms, if there is such a thing."""
    by_clause: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names that a clause speaks of beyond what every version must have."""
    by_section: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same for all clauses of a section, by the letters ahead of the dash."""
    by_command: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names that the guest uses for a console command."""
    by_step: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same for a step of a program for one of several CPUs."""
    whole_slot: tuple[str, ...] = ()
    """The type of a slot and those of its fields that not every version has."""

    def of_clause(self, id_: str) -> tuple[str, ...]:
        """The names that a clause speaks of, but for those that every version has."""
        return (*self.by_clause.get(id_, ()), *self.by_section.get(id_.partition("-")[0], ()))

    def of_clauses(self, ids: Collection[str]) -> tuple[str, ...]:
        """The same for several clauses, each name once."""
        return tuple(dict.fromkeys(name for id_ in ids for name in self.of_clause(id_)))

    def are_absent(self, ids: Collection[str], lacks: Collection[str]) -> bool:
        """Whether each of some clauses speaks of a name that a version lacks: none of them is judged there.

        Args:
            lacks: names that the version lacks.
        """
        return bool(ids) and all(lacking(self.of_clause(id_), lacks) for id_ in ids)

    def of_line(self, line: str) -> tuple[str, ...]:
        """The names that the guest uses for a console command, but for those that every version has."""
        return tuple(dict.fromkeys(name for command in commands_of(line) for name in self._of_one(command)))

    def _of_one(self, command: str) -> tuple[str, ...]:
        steps = steps_of(command)
        if steps is None:
            return self.by_command.get(command.split(maxsplit=1)[0], ())
        return tuple(name for step in steps for name in self.by_step.get(step, ()))

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The names without which nothing can be judged."""
        return tuple(name.path for name in self.names if name.needed)


def lacking(needs: Collection[str], lacks: Collection[str]) -> tuple[str, ...]:
    """Those of some names that a version lacks, each once."""
    return tuple(dict.fromkeys(name for name in needs if name in lacks))
