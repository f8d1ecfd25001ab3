"""Performs the calls of a path: walks in where it matters, gives an unknown where it does not."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

from frame_harness.image.placed import is_part_of
from frame_harness.orderings.events import MemoryOrder, Space
from frame_harness.orderings.ir_access import Accesses
from frame_harness.orderings.ir_assembly import Assembly
from frame_harness.orderings.ir_compute import evaluate
from frame_harness.orderings.ir_local import ANY_BYTES
from frame_harness.orderings.ir_state import Frame, State
from frame_harness.orderings.ir_syntax import Instruction
from frame_harness.orderings.ir_text import Register, bits_of
from frame_harness.orderings.ir_values import Symbol, Value, add, binary, compare, single, sources, unknown
from frame_harness.orderings.llvm_ir import CompiledFunction, Module

MAX_DEPTH: Final = 24
SHORT: Final = 80  # lines: cheap enough to walk into for the sake of its result
_SILENT: Final = (
    "llvm.lifetime.",
    "llvm.assume",
    "llvm.dbg.",
    "llvm.experimental.noalias",
    "llvm.invariant.",
)
_FILLS: Final = re.compile(r"llvm\.memset\.|memset$")
_COPIES: Final = re.compile(r"llvm\.mem(?:cpy|move)\.|mem(?:cpy|move)$")

_SHORT_FILL: Final = 64
"""Bytes of which the number is kept that a fill leaves."""

_FENCES: Final = {
    "llvm.x86.sse.sfence": (MemoryOrder.RELEASE, "sfence"),
    "llvm.x86.sse2.lfence": (MemoryOrder.ACQUIRE, "lfence"),
    "llvm.x86.sse2.mfence": (MemoryOrder.SEQ_CST, "mfence"),
}
# They take addresses, and leave alone what lies there.
_VALUES: Final = (
    "llvm.expect.", "llvm.ptrmask.", "llvm.launder.", "llvm.strip.", "llvm.prefetch.", "llvm.is.constant.",
    "llvm.objectsize.", "llvm.threadlocal.", "llvm.returnaddress", "llvm.frameaddress", "llvm.stack",
    "llvm.va_", "llvm.x86.sse2.clflush", "llvm.x86.clflushopt", "llvm.x86.clwb",
)  # fmt: skip
_RUST: Final = re.compile(r"_ZN\d|_R[A-Z]")
_CORE: Final = re.compile(r"(?:_ZN|_R.*_)4core\d")
_COMPARISONS: Final = frozenset({"memcmp", "bcmp"})
_PLAIN: Final = frozenset({*_COMPARISONS, "strlen", "rust_begin_unwind"})


class ModuleCalls:
    """Performs calls within one module.

    What belongs to the crate but not to the subject (the buddy, the address translation) is not the subject's
    doing: calls of it are noted by name, its result is unknown.
    """

    def __init__(self, module: Module, subject: str, accesses: Accesses, assembly: Assembly) -> None:
        self._module = module
        self._subject = subject
        self._accesses = accesses
        self._assembly = assembly

    def call(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a call."""
        symbol = instruction.detail
        arguments = [evaluate(state.frame.values, operand) for operand in instruction.operands]
        if not symbol:
            symbol = _target(arguments.pop())
        if symbol.startswith(_SILENT):
            state.define(0)
        elif symbol not in self._module.functions and self._assembly.defines(symbol):
            return self._assembly.call(state, symbol, arguments)
        elif _FILLS.match(symbol):
            self._fill(state, arguments, instruction)
            state.define(arguments[0])
        elif _COPIES.match(symbol):
            self._copy(state, arguments, instruction)
        elif symbol in _COMPARISONS and len(arguments) == 3:
            for pointer in arguments[:2]:
                self._accesses.look(state, pointer, _bytes(arguments[2]), instruction)
            state.define(state.fresh("compared"))
        elif symbol in _FENCES:
            self._accesses.x86_fence(state, *_FENCES[symbol])
            state.define(0)
        elif symbol.startswith("llvm."):
            self._computed(state, symbol, arguments)
        else:
            self._enter(state, symbol, arguments)
        return []

    def is_noticed(self, function: CompiledFunction, instruction: Instruction) -> bool:
        """Tell whether an instruction may touch or order memory that other CPUs see."""
        pending, seen = [(function, instruction)], set[str]()
        while pending:
            where, one = pending.pop()
            symbol = one.detail
            if one.op != "call" or _FILLS.match(symbol) or _COPIES.match(symbol):
                if _is_access(where, one):
                    return True
            elif symbol not in seen and not symbol.startswith((*_SILENT, *_VALUES)):
                seen.add(symbol)
                called = self._module.function(symbol)
                if called is not None and self._is_inside(called):
                    pending += [
                        (called, each) for block in called.blocks.values() for each in block.instructions
                    ]
                elif self._takes_pointers(symbol, called):
                    return True
        return False

    def _takes_pointers(self, symbol: str, function: CompiledFunction | None) -> bool:
        """Tell whether code that is not walked into may write somewhere; that of `core` does not."""
        if not symbol or symbol in _FENCES or self._assembly.defines(symbol) or self._is_foreign(symbol):
            return True
        takes = self._module.declared.get(symbol, "") if function is None else str(function.parameters)
        return not _CORE.match(symbol) and re.search(r"\bptr\b", takes) is not None

    def _computed(self, state: State, symbol: str, arguments: list[Value]) -> None:
        """Perform an operation of LLVM's own; one that is given addresses must be known."""
        takes_pointers = re.search(r"\bptr\b", self._module.declared.get(symbol, ""))
        if takes_pointers and not symbol.startswith(_VALUES):
            self._accesses.opaque(state, f"`{symbol}`: what it does to memory is not known here", arguments)
        state.define(_intrinsic(symbol, arguments, state))

    def _fill(self, state: State, arguments: list[Value], instruction: Instruction) -> None:
        target, byte, length = arguments[:3]
        size = _bytes(length)
        filled: int | None = 0 if byte == 0 else None
        if isinstance(byte, int) and 0 <= size <= _SHORT_FILL:
            filled = int.from_bytes(bytes([byte % 256]) * size)
        self._accesses.write(state, target, size, filled, instruction)

    def _copy(self, state: State, arguments: list[Value], instruction: Instruction) -> None:
        target, source, length = arguments[:3]
        size = _bytes(length)
        into, origin = self._accesses.places.where(target), self._accesses.places.where(source)
        parts: list[tuple[int, int, Value]] = []
        if origin.base is not None and into.base is not None:
            parts = state.local.copied(origin.base, origin.address, size)
        self._accesses.look(state, source, size, instruction)
        self._accesses.write(state, target, size, None, instruction)
        for offset, width, value in parts:
            self._accesses.write(state, add(target, offset, 64), width, value, instruction)
        state.define(target)

    def _enter(self, state: State, symbol: str, arguments: list[Value]) -> None:
        function = self._module.function(symbol)
        if function is not None and self._is_inside(function):
            if len(state.frames) < MAX_DEPTH:
                named = dict(zip((name for name, _ in function.parameters), arguments, strict=False))
                state.frames.append(Frame(function, next(iter(function.blocks.values())), named))
                return
            why = f"the function `{self._name(symbol)}`: it is more than {MAX_DEPTH} calls deep"
        else:
            why = self._why_opaque(state, symbol, arguments, function)
        if why:
            self._accesses.opaque(state, why, arguments)
        else:
            self._accesses.called(state, self._name(symbol))
            state.leave_to_others(arguments)
        state.define(state.fresh("call", self._name(symbol)))

    def _why_opaque(
        self, state: State, symbol: str, arguments: list[Value], function: CompiledFunction | None
    ) -> str:
        """Say why a call of code that is not walked into may do anything; empty where it cannot."""
        if symbol and function is None and self._is_foreign(symbol):
            return f"the function `{symbol}`: its code is not in the module"
        is_core = function is None and _CORE.match(symbol) is not None
        if is_core or not self._lead_to_the_subjects(state, arguments):
            return ""
        if not symbol:
            return "a call through a pointer: its target is not known here"
        return f"the function `{self._name(symbol)}`: it is not the module's, and it gets a slot or a static"

    def _lead_to_the_subjects(self, state: State, values: list[Value]) -> bool:
        """Tell whether values lead to a slot, or to a static that the subject itself defines."""
        spaces = self._accesses.places.reach(state, values)
        return Space.SLOT in spaces or (
            Space.STATIC in spaces
            and any(
                symbol.kind == "global" and is_part_of(self._module.static_file(symbol.name), self._subject)
                for value in values
                for symbol in sources(value)
            )
        )

    def _is_foreign(self, symbol: str) -> bool:
        """Tell whether a function without a body here is none of Rust's own, and may do anything."""
        is_known = symbol in _PLAIN or _RUST.match(symbol) or symbol.startswith("llvm.")
        return symbol in self._module.declared and not is_known

    def _name(self, symbol: str) -> str:
        program = self._module.subprograms.get(symbol)
        return program.name if program is not None else symbol

    def _is_inside(self, function: CompiledFunction) -> bool:
        program = self._module.subprograms.get(function.symbol)
        if program is None:
            return function.length <= SHORT
        if is_part_of(program.file, self._subject):
            return True
        if program.file.startswith(self._module.debug.crate_dir + "/"):
            return False
        return function.length <= SHORT or function.symbol in self._reaching_atomics

    @cached_property
    def _reaching_atomics(self) -> frozenset[str]:
        """Functions that perform atomics themselves or through what they call."""
        functions = self._module.functions
        reaching = {symbol for symbol, function in functions.items() if function.orders}
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


def _is_access(function: CompiledFunction, instruction: Instruction) -> bool:
    """Tell whether an instruction touches memory that its function has not allocated itself."""
    match instruction.op:
        case "atomicrmw" | "cmpxchg" | "fence" | "asm":
            return True
        case "load":
            return MemoryOrder(instruction.order).atomic
        case "store" | "call":
            first, copies = int(instruction.op == "store"), _COPIES.match(instruction.detail) is not None
            touched = instruction.operands[first : first + 1 + copies]
            return not all(isinstance(one, Register) and one.name in function.own_memory for one in touched)
    return False


def _bytes(length: Value) -> int:
    return length if isinstance(length, int) else ANY_BYTES


def _target(pointer: Value) -> str:
    """Return the function that a pointer leads to; empty when it is not known."""
    symbol = single(pointer)
    return symbol.name if symbol is not None and symbol.kind == "global" else ""


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
