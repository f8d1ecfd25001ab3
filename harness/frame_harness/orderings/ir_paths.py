"""Walks every path through a compiled function of the subject."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Final

from frame_harness.base.errors import HarnessError
from frame_harness.contract.layout import StructLayout
from frame_harness.orderings.assembler import Assemble, without
from frame_harness.orderings.events import Function, Path, distinct
from frame_harness.orderings.ir_access import Accesses
from frame_harness.orderings.ir_assembly import Assembly
from frame_harness.orderings.ir_calls import ModuleCalls
from frame_harness.orderings.ir_compute import evaluate, value_of
from frame_harness.orderings.ir_state import Frame, State
from frame_harness.orderings.ir_syntax import Instruction
from frame_harness.orderings.ir_text import Register, bits_of
from frame_harness.orderings.ir_values import (
    Symbol,
    Value,
    compare,
    sources,
    unknown,
    widened_truth,
    with_truth,
)
from frame_harness.orderings.llvm_ir import CompiledFunction, Module

MAX_PATHS: Final = 4_000
MAX_STEPS: Final = 400_000
# A loop whose end is open is walked through not at all, once and twice: enough to see what follows what. So
# is one whose end is merely assumed on this path: it may count to 2^64. One that counts to a constant is
# walked to its end.
OPEN_VISITS: Final = 2
VISITS: Final = 10_000
_WRITES: Final = {"store": 1, "atomicrmw": 0, "cmpxchg": 0}
"""What writes, with the place of the address among its operands."""


class PathError(HarnessError):
    """A function has more paths than can be walked."""


class Walker:
    """Walks functions of one module.

    Every load of a shared place gives a new unknown, since other CPUs write there too. The exception are the
    fields in `owned`: nobody else writes to these in this walk.

    Args:
        subject: the source file whose functions are walked into, as debug metadata names it.
        slot: the structure whose fields are told apart; its methods get one as `self`.
        assemble: needed where there is assembly; without, no block of it is understood.
    """

    def __init__(
        self, module: Module, subject: str, slot: StructLayout, assemble: Assemble = without
    ) -> None:
        self._module = module
        self._subject = subject
        self._methods = f"{slot.name}::"
        self._accesses = accesses = Accesses(module, subject, slot)
        assembly = Assembly(module, accesses, assemble)
        self._calls = ModuleCalls(module, subject, accesses, assembly)
        self._handlers: dict[str, Callable[[State, Instruction], list[State]]] = {
            **accesses.handlers(),
            "call": self._calls.call,
            "asm": assembly.inline,
            "br": _branch,
            "switch": _switch,
            "select": _select,
            "phi": _phi,
            "ret": _return,
            "unreachable": _unreachable,
            "alloca": _alloca,
        }

    def functions(self) -> tuple[str, ...]:
        """Return the names of the subject's functions that were compiled."""
        return tuple(self._module.defined(self._subject))

    def function(
        self, name: str, *, owned: Mapping[str, int] | None = None, outdated: Mapping[str, int] | None = None
    ) -> Function:
        """Return a function of the subject with every path through it.

        Args:
            owned: what fields of the slot hold at the start, when no other CPU writes to them.
            outdated: what first reads of such a field find in place of that; see `Accesses.load`.
        Raises:
            KeyError: no such function was compiled.
            PathError: there are too many paths.
        """
        functions = self._module.defined(self._subject)[name]
        program = self._module.subprograms[functions[0].symbol]
        paths = [
            path
            for function in functions
            for path in self._walk(function, name, State([], dict(owned or {}), dict(outdated or {})))
        ]
        return Function(name, program.file, program.line, distinct(paths))

    def _walk(self, function: CompiledFunction, name: str, first: State) -> list[Path]:
        is_method = name.startswith(self._methods)
        arguments: dict[str, Value] = {
            parameter: unknown(
                Symbol("slot" if is_method and parameter == "self" else "argument", name=parameter)
            )
            for parameter, _ in function.parameters
        }
        entry = next(iter(function.blocks.values()))
        pending = [replace(first, frames=[Frame(function, entry, arguments)])]
        paths: dict[Path, None] = {}
        seen: set[tuple[str, str]] = set()
        cut: dict[tuple[str, str], CompiledFunction] = {}
        steps = 0
        while pending:
            state = pending.pop()
            while not state.end:
                seen.add(_place(state.frame))
                pending += self._step(state)
                steps += 1
                if steps > MAX_STEPS:
                    raise _too_many(name, MAX_STEPS, "instructions on all paths")
                if len(pending) > MAX_PATHS:
                    raise _too_many(name, MAX_PATHS, "paths")
            if state.end == "cut":
                cut |= {_place(frame): frame.function for frame in state.frames}
            if state.end != "impossible":
                paths.setdefault(_path(state))
            if len(paths) > MAX_PATHS:
                raise _too_many(name, MAX_PATHS, "paths")
        if not first.owned and (behind := self._not_seen(cut, seen)):
            raise self._behind_a_loop(name, behind)
        if cut and not any(path.returns for path in paths):
            raise PathError(
                "compiled code", name, expected="a way that returns within the first rounds of its loops",
                actual="none",
            )  # fmt: skip
        return list(paths)

    def _behind_a_loop(self, name: str, instruction: Instruction) -> PathError:
        places = [place for place in self._module.debug.places(instruction.dbg) if place.line]
        at = f"{places[0].file}:{places[0].line}" if places else instruction.op
        return PathError(
            "compiled code", name, expected="all that follows a loop within its first rounds",
            actual=f"an access that takes more of them, at {at}",
        )  # fmt: skip

    def _not_seen(
        self, cut: Mapping[tuple[str, str], CompiledFunction], seen: Container[tuple[str, str]]
    ) -> Instruction | None:
        """An instruction that others may notice, which no path came to, and those that were cut would have.

        Args:
            cut: the blocks in which each activation of a path stood when it was cut.
            seen: the blocks that paths came to.
        """
        for (symbol, first), function in cut.items():
            reached, pending = {first}, [first]
            while pending:
                block = function.blocks[pending.pop()]
                if (symbol, block.label) not in seen:
                    for instruction in block.instructions:
                        if self._calls.is_noticed(function, instruction):
                            return instruction
                following = set(block.instructions[-1].labels) - reached
                reached |= following
                pending += following
        return None

    def _step(self, state: State) -> list[State]:
        instruction = state.frame.instruction
        if instruction.op in _WRITES and (other := self._decided(state, instruction)):
            return [other]
        handler = self._handlers.get(instruction.op)
        if handler is not None:
            return handler(state, instruction)
        value = value_of(self._module, state.frame.values, instruction)
        state.define(state.fresh(instruction.op) if value is None else value)
        return []

    def _decided(self, state: State, instruction: Instruction) -> State | None:
        """Decide a truth value of which what is written was made; return the path on which it does not hold.

        `u32::from(a == b)` is one value to the compiler, and two to whoever reads it.
        """
        bits, values = bits_of(instruction.type), state.frame.values
        if self._accesses.places.where(
            evaluate(values, instruction.operands[_WRITES[instruction.op]])
        ).is_local:
            return None
        for at, operand in enumerate(instruction.operands):
            widened = widened_truth(evaluate(values, operand, bits))
            if widened is None or at == _WRITES[instruction.op] or not isinstance(operand, Register):
                continue
            other: State | None = None
            truth = state.truth(widened.inputs[0])
            if truth is None:
                truth, other = True, state.copy()
                other.assume(widened.inputs[0], False)
                state.assume(widened.inputs[0], True)
            values[operand.name] = with_truth(values[operand.name], widened, truth, bits)
            return other or self._decided(state, instruction)
        return None


def _place(frame: Frame) -> tuple[str, str]:
    return frame.function.symbol, frame.block.label


def _too_many(name: str, most: int, what: str) -> PathError:
    return PathError("compiled code", name, expected=f"at most {most:,} {what}", actual="more")


def _path(state: State) -> Path:
    found = sources(state.result) if state.result is not None else ()
    used = {symbol.serial for symbol in found if symbol.serial}
    spurious = {index for index, equal in state.spurious.items() if state.truth(equal) is not False}
    return Path(
        tuple(
            replace(access, returned=serial in used, spurious=index in spurious)
            if serial in used or index in spurious
            else access
            for index, (access, serial) in enumerate(zip(state.accesses, state.read_by, strict=True))
        ),
        state.end,
    )


def _jump(state: State, label: str, *, is_open: bool = False) -> None:
    frame = state.frame
    frame.came_from, frame.block, frame.at = frame.block.label, frame.function.blocks[label], 0
    if frame.count(label) > VISITS or (is_open and frame.count(f"{label} (open)") > OPEN_VISITS):
        state.end = "cut"


def _branch(state: State, instruction: Instruction) -> list[State]:
    if len(instruction.labels) == 1:
        _jump(state, instruction.labels[0])
        return []
    condition = evaluate(state.frame.values, instruction.operands[0], 1)
    truth = state.truth(condition)
    if truth is not None:
        _jump(state, instruction.labels[0 if truth else 1], is_open=not isinstance(condition, int))
        return []
    other = state.copy()
    other.assume(condition, False)
    _jump(other, instruction.labels[1], is_open=True)
    state.assume(condition, True)
    _jump(state, instruction.labels[0], is_open=True)
    return [other]


def _switch(state: State, instruction: Instruction) -> list[State]:
    bits = bits_of(instruction.type)
    value = evaluate(state.frame.values, instruction.operands[0], bits)
    default, *labels = instruction.labels
    others = []
    for number, label in zip(instruction.operands[1:], labels, strict=True):
        case = evaluate({}, number, bits)
        condition = compare("eq", value, case, bits)
        truth = state.truth(condition)
        if truth is None:
            taken = state.copy()
            taken.assume(condition, True)
            _jump(taken, label, is_open=True)
            others.append(taken)
            state.assume(condition, False)
        elif truth:
            _jump(state, label, is_open=not isinstance(value, int))
            return others
    _jump(state, default, is_open=not isinstance(value, int))
    return others


def _select(state: State, instruction: Instruction) -> list[State]:
    values, bits = state.frame.values, bits_of(instruction.type)
    condition = evaluate(values, instruction.operands[0], 1)
    truth = state.truth(condition)
    others = []
    if truth is None:
        truth = True
        other = state.copy()
        other.assume(condition, False)
        other.define(evaluate(values, instruction.operands[2], bits))
        others.append(other)
        state.assume(condition, True)
    state.define(evaluate(values, instruction.operands[1 if truth else 2], bits))
    return others


def _phi(state: State, _: Instruction) -> list[State]:
    # All phis of a block read their inputs at once.
    frame = state.frame
    found: dict[str, Value] = {}
    while frame.instruction.op == "phi":
        phi = frame.instruction
        chosen = phi.operands[phi.labels.index(frame.came_from)]
        found[phi.result or ""] = evaluate(frame.values, chosen, bits_of(phi.type))
        frame.at += 1
    frame.values |= found
    return []


def _return(state: State, instruction: Instruction) -> list[State]:
    value: Value = 0
    if instruction.operands:
        value = evaluate(state.frame.values, instruction.operands[0], bits_of(instruction.type))
    if len(state.frames) == 1:
        state.end, state.result = "return", value
        return []
    state.frames.pop()
    state.define(value)
    return []


def _unreachable(state: State, _: Instruction) -> list[State]:
    state.end = "panic"
    return []


def _alloca(state: State, _: Instruction) -> list[State]:
    state.define(state.fresh("alloca"))
    return []
