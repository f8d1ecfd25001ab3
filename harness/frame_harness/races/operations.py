"""What CPUs do to one slot: the commands of the guest's table, with operands that can be told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Final

FRAME_OPERAND: Final = "paddr"
"""The operand that names the frame which a command is about."""
FRAME: Final = "frame"
"""Among the known addresses that of the frame that commands are about."""


@dataclass(frozen=True)
class Method:
    """One command of the guest's table, as `help` shows it."""

    name: str
    operands: tuple[str, ...]
    help: str


@dataclass(frozen=True)
class Operation:
    """One call of a method of the slot, as a line for the console.

    Attributes:
        function: the end of the path of the subject's function behind it, as DWARF names it.
    """

    method: Method
    line: str
    function: str

    @property
    def shown(self) -> str:
        """The function with its operands but the frame's address, which is always the same."""
        _, *words = self.line.split()
        if self.method.operands[:1] == (FRAME_OPERAND,):
            words = words[1:]
        return f"{self.function}({', '.join(words)})"


@dataclass(frozen=True, eq=False)
class Calls:
    """How the commands of a contract's guest are called.

    Attributes:
        left_out: by name, why a command takes no part.
        arguments: of commands whose usage is no list of numbers.
        values: by operand, or command and operand; each half of a value differs from what slots begin with.
            A text is made with the addresses that are known in the guest.
        any_value: of an operand that is not among them.
        apart: of commands that name no frame: the words of further calls, beside which another CPU is given
            another frame.
        function_of: the end of the path of the subject's function behind a method.
    """

    left_out: Mapping[str, str]
    arguments: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[int | str, ...]]
    any_value: tuple[int | str, ...]
    function_of: Callable[[Method], str]
    apart: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def why_left_out(self, name: str) -> str | None:
        """Why a command takes no part; None when it does."""
        return self.left_out.get(name)

    def operations(self, method: Method, known: Mapping[str, int]) -> tuple[Operation, ...]:
        """Return a method's command lines, one for each choice of operands.

        Args:
            known: what texts among the values are made with: addresses by name.
        """
        function = self.function_of(method)
        if method.name in self.arguments:
            return self._with_words(method, self.arguments[method.name])
        choices = [
            self.values.get(f"{method.name} {operand}") or self.values.get(operand) or self.any_value
            for operand in method.operands
        ]
        return tuple(
            Operation(method, " ".join([method.name, *(_shown(value, known) for value in values)]), function)
            for values in product(*choices)
        )

    def operations_apart(self, method: Method, known: Mapping[str, int], other: int) -> tuple[Operation, ...]:
        """The same on another frame, whose physical address is given."""
        if method.name in self.arguments:
            return self._with_words(method, self.apart.get(method.name, ()))
        return self.operations(method, {**known, FRAME: other})

    def _with_words(self, method: Method, choices: Iterable[str]) -> tuple[Operation, ...]:
        function = self.function_of(method)
        return tuple(Operation(method, f"{method.name} {words}", function) for words in choices)


def methods(table: Iterable[str]) -> Iterator[Method]:
    """Yield the commands of the lines of `help`: `name <operand>… - text`."""
    for line in table:
        head, _, text = line.partition(" - ")
        name, *words = head.split()
        yield Method(name, tuple(word.strip("<>") for word in words), text)


def _shown(value: int | str, known: Mapping[str, int]) -> str:
    return f"{value:#x}" if isinstance(value, int) else value.format(**known)
