"""Which functions of a module answer for a clause, for a field, for a console command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from frame_harness.contract.requests import commands_of, steps_of

_NONE: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, eq=False)
class Functions:
    """Tables of one contract; functions are named by their paths, as `MetaSlot::dec_ref`."""

    of_command: Mapping[str, Iterable[str]] = field(default_factory=dict)
    """By console command the functions that it may call, those that these call included."""
    of_step: Mapping[str, Iterable[str]] = field(default_factory=dict)
    """The same by the name of a step of a program for one of several CPUs."""
    calls: Mapping[str, Iterable[str]] = field(default_factory=dict)
    """By function those that it may call in turn."""
    named: Mapping[str, str] = field(default_factory=dict)
    """By console command the function that it is there to call, where it is one."""
    decides: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By constant, type or module of constants the fields that cannot be right unless it is."""
    nested: frozenset[tuple[str, str]] = frozenset()
    """(inner, outer) types: what is wrong inside is seen in both."""
    keeps: Mapping[str, str] = field(default_factory=dict)
    """By field the function that has to leave it, in a free frame's slot, as it must be."""
    of_clause: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By clause the functions that can break it, for every clause that a history can find broken."""
    must_return: Mapping[str, str] = field(default_factory=dict)
    """By function the clause that is broken where an allowed call of it never returns."""
    allocates: str = ""
    """The function that gives out a frame, with which a life of it begins; empty for none."""

    def called_by(self, function: str) -> frozenset[str]:
        """The functions that another one may call; none where that is not known."""
        return frozenset(self.calls.get(function, _NONE))

    def named_by(self, line: str) -> str:
        """The function that a console command is there to call; empty where there is no such one."""
        return self.named.get(line.split(maxsplit=1)[0], "")

    def decided_by(self, item: str) -> frozenset[str]:
        """The fields of a slot whose values a constant or a type decides; none for a function."""
        return self.decides.get(item) or self.decides.get(item.partition("::")[0], _NONE)

    def keeper_of(self, field_name: str) -> str:
        """The function that has to leave a field of a free frame's slot as it must be; empty for others."""
        return self.keeps.get(field_name, "")

    def of_line(self, line: str) -> frozenset[str]:
        """The public functions of the module that a console command may call.

        Past the subject, as with `slot.peek`, there are none. A batch, or a program for one of several CPUs,
        calls what its parts call.
        """
        return frozenset().union(*map(self._of_one, commands_of(line)))

    def _of_one(self, command: str) -> frozenset[str]:
        steps = steps_of(command)
        if steps is not None:
            return frozenset(function for step in steps for function in self.of_step.get(step, ()))
        return self._of_command.get(command.split(maxsplit=1)[0], _NONE)

    def of_lines(self, lines: Iterable[str]) -> frozenset[str]:
        """The paths of the functions that any of several commands may call."""
        return frozenset().union(*map(self.of_line, lines))

    @cached_property
    def _of_command(self) -> dict[str, frozenset[str]]:
        return {name: frozenset(functions) for name, functions in self.of_command.items()}
