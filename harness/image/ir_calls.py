"""Performs the calls of a path: walks in where it matters, gives an unknown where it does not."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

from harness.contract.ordering_events import Space
from harness.image.ir_access import Accesses
from harness.image.ir_compute import bits_of, evaluate
from harness.image.ir_state import Frame, State
from harness.image.ir_syntax import ASSEMBLY, Instruction
from harness.image.ir_values import Sum, Symbol, Value, binary, compare, unknown
from harness.image.llvm_ir import CompiledFunction, Module

MAX_DEPTH: Final = 24
SHORT: Final = 80  # lines: cheap enough to walk into for the sake of its result
_SILENT: Final = (
    "llvm.lifetime.",
    "llvm.assume",
    "llvm.dbg.",
    "llvm.experimental.noalias",
    "llvm.invariant.",
)
_FILLS: Final = ("llvm.memset.", "memset")
_COPIES: Final = ("llvm.memcpy.", "llvm.memmove.", "memcpy", "memmove")


class Calls:
    """Performs calls within one module.

    What belongs to the crate but not to the subject (the buddy, the address translation) is not the subject's
    doing: calls of it are noted by name, its result is unknown.
    """

    def __init__(self, module: Module, subject: str, accesses: Accesses) -> None:
        self._module = module
        self._subject = subject
        self._accesses = accesses

    def call(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a call."""
        symbol = instruction.detail
        arguments = [evaluate(state.frame.values, operand) for operand in instruction.operands]
        if symbol.startswith(_SILENT):
            state.define(0)
        elif symbol.startswith(_FILLS):
            self._accesses.write(state, arguments[0], arguments[1], instruction)
            state.define(arguments[0])
        elif symbol.startswith(_COPIES):
            self._copy(state, arguments, instruction)
        elif symbol == ASSEMBLY:
            self._assembly(state, arguments, instruction)
        elif symbol.startswith("llvm."):
            state.define(_intrinsic(symbol, arguments, state))
        else:
            self._enter(state, symbol, arguments)
        return []

    def _copy(self, state: State, arguments: list[Value], instruction: Instruction) -> None:
        target, source = arguments[:2]
        if self._accesses.where(state, target).local:
            self._forget(state, target)
            if isinstance(target, Sum) and isinstance(source, Sum):
                moved: dict[tuple[object, int], Value] = {
                    (target.terms, target.constant + key[1] - source.constant): value
                    for key, value in state.local.items()
                    if key[0] == source.terms and key[1] >= source.constant
                }
                state.local.update(moved)
        else:
            self._accesses.write(state, target, unknown(Symbol("copied")), instruction)
        state.define(target)

    def _assembly(self, state: State, arguments: list[Value], instruction: Instruction) -> None:
        """Take each address given to assembly for written to, unless a slot's: that asks for atomics.

        What it does nobody here can read, and a payload that may have been zeroed is not one that was not.
        """
        for argument in arguments:
            where = self._accesses.where(state, argument)
            if isinstance(argument, Sum) and where.space is Space.MEMORY and not where.local:
                self._accesses.write(state, argument, unknown(Symbol("assembly")), instruction)
        self._enter(state, "", arguments)

    @staticmethod
    def _forget(state: State, pointer: Value) -> None:
        """Take whatever lies behind a pointer for changed."""
        if isinstance(pointer, Sum):
            state.local = {key: value for key, value in state.local.items() if key[0] != pointer.terms}

    def _enter(self, state: State, symbol: str, arguments: list[Value]) -> None:
        function = self._module.function(symbol)
        if function is not None and len(state.frames) < MAX_DEPTH and self._is_inside(function):
            named = dict(zip((name for name, _ in function.parameters), arguments, strict=False))
            state.frames.append(Frame(function, next(iter(function.blocks.values())), named))
            return
        self._accesses.called(state, self._name(symbol))
        for argument in arguments:
            self._forget(state, argument)
        state.define(state.fresh("call", self._name(symbol)))

    def _name(self, symbol: str) -> str:
        program = self._module.subprograms.get(symbol)
        return program.name if program is not None else symbol

    def _is_inside(self, function: CompiledFunction) -> bool:
        program = self._module.subprograms.get(function.symbol)
        if program is None:
            return function.length <= SHORT
        if program.file == self._subject:
            return True
        if program.file.startswith(self._module.debug.crate_dir + "/"):
            return False
        return function.length <= SHORT or function.symbol in self._reaching_atomics

    @cached_property
    def _reaching_atomics(self) -> frozenset[str]:
        """Functions that perform atomics themselves or through what they call."""
        functions = self._module.functions
        reaching = {symbol for symbol, function in functions.items() if function.has_atomics}
        grown = True
        while grown:
            more = {
                name
                for name, function in functions.items()
                if name not in reaching and function.callees & reaching
            }
            reaching |= more
            grown = bool(more)
        return frozenset(reaching)


def _intrinsic(symbol: str, arguments: list[Value], state: State) -> Value:
    # llvm.uadd.with.overflow.i64  llvm.umin.i32  llvm.usub.sat.i32
    match = re.fullmatch(r"llvm\.([us])(add|sub|mul)\.with\.overflow\.i(\d+)", symbol)
    if match:
        return _with_overflow(match[1] == "s", match[2], arguments, int(match[3]), state)
    match = re.fullmatch(r"llvm\.([us])(min|max)\.(i\d+)", symbol)
    if match:
        bits = bits_of(match[3])
        smaller = compare(f"{match[1]}lt", arguments[0], arguments[1], bits)
        if isinstance(smaller, int):
            return arguments[0] if (smaller == 1) == (match[2] == "min") else arguments[1]
    if symbol.startswith(("llvm.expect.", "llvm.ptrmask.", "llvm.launder.", "llvm.strip.")):
        return arguments[0]
    return unknown(Symbol(symbol, tuple(arguments)))


def _with_overflow(signed: bool, op: str, arguments: list[Value], bits: int, state: State) -> Value:
    left, right = arguments
    result = binary(op, left, right, bits)
    if isinstance(left, int) and isinstance(right, int) and not signed:
        exact = {"add": left + right, "sub": left - right, "mul": left * right}[op]
        return (result, int(exact != result))
    return (result, state.fresh("overflow"))
