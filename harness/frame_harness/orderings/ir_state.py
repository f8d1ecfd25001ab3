"""Holds what is known on one path through compiled code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

from frame_harness.orderings.events import MemoryAccess, Space
from frame_harness.orderings.ir_local import LocalMemory
from frame_harness.orderings.ir_syntax import Instruction
from frame_harness.orderings.ir_values import Sum, Symbol, Value, compare, single, unknown
from frame_harness.orderings.llvm_ir import BasicBlock, CompiledFunction

ORDERED = ("ult", "ugt", "slt", "sgt")


@dataclass
class Frame:
    """One activation of a function."""

    function: CompiledFunction
    block: BasicBlock
    values: dict[str, Value]
    at: int = 0
    came_from: str = ""
    visits: dict[str, int] = field(default_factory=dict)

    @property
    def instruction(self) -> Instruction:
        """The instruction that runs next."""
        return self.block.instructions[self.at]

    def count(self, event: str) -> int:
        """Count an event of this activation; return how often it has happened."""
        self.visits[event] = self.visits.get(event, 0) + 1
        return self.visits[event]


@dataclass
class State:
    """One path so far: what runs, what is known, what was accessed."""

    frames: list[Frame]
    owned: dict[str, Value]
    """Fields of the slot that no other CPU writes in this walk, by name."""
    outdated: dict[str, Value] = field(default_factory=dict)
    """What reads of such a field may still find in place of that; another CPU wrote behind it."""
    local: LocalMemory = field(default_factory=LocalMemory)
    facts: dict[Symbol, bool] = field(default_factory=dict)
    """Truth values that were decided on the way."""
    equal: dict[Value, int] = field(default_factory=dict)
    """Values that were found to be a number."""
    accesses: list[MemoryAccess] = field(default_factory=list)
    read_by: list[int] = field(default_factory=list)
    """Serial number of the value that each access read; 0 for none."""
    spurious: dict[int, Value] = field(default_factory=dict)
    """For each weak cmpxchg that failed: whether it found what it expected, as a value."""
    serial: int = 0
    end: str = ""
    result: Value | None = None

    def copy(self) -> State:
        """Return an independent path; instructions and values are shared, as neither changes."""
        frames = [
            replace(frame, values=dict(frame.values), visits=dict(frame.visits)) for frame in self.frames
        ]
        return replace(
            self,
            frames=frames,
            owned=dict(self.owned),
            outdated=dict(self.outdated),
            local=self.local.copy(),
            facts=dict(self.facts),
            equal=dict(self.equal),
            accesses=list(self.accesses),
            read_by=list(self.read_by),
            spurious=dict(self.spurious),
        )

    def become(self, other: State) -> None:
        """Go on as another path that began as a copy of this one."""
        for name in (one.name for one in fields(self)):
            setattr(self, name, getattr(other, name))

    def leave_to_others(self, values: Iterable[Value]) -> None:
        """Let code run that is not walked into, to which some values are given."""
        self.local.give_away(values)
        self.local.forget_known()

    @property
    def frame(self) -> Frame:
        """The innermost activation; where the path has ended, the one that ended it."""
        return self.frames[-1]

    def fresh(self, kind: str, name: str = "") -> Sum:
        """Return a value that is equal to no other."""
        self.serial += 1
        return unknown(Symbol(kind, name=name, serial=self.serial))

    def define(self, value: Value) -> None:
        """Give the instruction that runs its result, then go on to the next one."""
        frame = self.frame
        result = frame.instruction.result
        if result is not None:
            frame.values[result] = value
        frame.at += 1

    def note(self, access: MemoryAccess, value: Value | None = None) -> None:
        """Append an access; `value` is what it read."""
        if access.space is Space.MEMORY and self.accesses[-1:] == [access]:
            return  # a loop that fills memory: the first step says it all
        symbol = single(value) if value is not None else None
        self.accesses.append(access)
        self.read_by.append(symbol.serial if symbol is not None else 0)

    def truth(self, value: Value) -> bool | None:
        """Return whether a truth value holds on this path; None when it is open."""
        if isinstance(value, int):
            return bool(value & 1)
        symbol = single(value)
        if symbol is None:
            return None
        if symbol.kind == "not":
            inner = self.truth(symbol.inputs[0])
            return None if inner is None else not inner
        if symbol in self.facts:
            return self.facts[symbol]
        return self._derived(symbol)

    def _derived(self, symbol: Symbol) -> bool | None:
        if symbol.kind in ("and", "or") and symbol.name == "1":
            return self._joint(symbol)
        if symbol.kind == "eq" or symbol.kind in ORDERED:
            left, right = symbol.inputs
            known = self.equal.get(left)
            if known is not None and isinstance(right, int):
                return compare(symbol.kind, known, right, int(symbol.name or 64)) == 1
        return self._equality(*symbol.inputs) if symbol.kind == "eq" else None

    def _equality(self, left: Value, right: Value) -> bool | None:
        """Return whether two values are equal, by what equals the one and what differs from the other."""
        one, other = self._equals_of(left), self._equals_of(right)
        if one & other:
            return True
        different = (
            symbol.inputs for symbol, truth in self.facts.items() if symbol.kind == "eq" and not truth
        )
        if any((a in one and b in other) or (a in other and b in one) for a, b in different):
            return False
        return None

    def _equals_of(self, value: Value) -> set[Value]:
        pairs = [symbol.inputs for symbol, truth in self.facts.items() if symbol.kind == "eq" and truth]
        return {value} | {b for a, b in pairs if a == value} | {a for a, b in pairs if b == value}

    def _joint(self, symbol: Symbol) -> bool | None:
        parts = [self.truth(part) for part in symbol.inputs]
        decisive = symbol.kind == "or"
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive

    def assume(self, value: Value, truth: bool) -> None:
        """Take a truth value as given from here on."""
        symbol = single(value)
        if symbol is None:
            return
        if symbol.kind == "not":
            self.assume(symbol.inputs[0], not truth)
            return
        self.facts[symbol] = truth
        if symbol.kind in ("and", "or") and symbol.name == "1" and truth == (symbol.kind == "and"):
            for part in symbol.inputs:
                self.assume(part, truth)
        elif symbol.kind == "eq" and truth and isinstance(symbol.inputs[1], int):
            self.equal[symbol.inputs[0]] = symbol.inputs[1]
