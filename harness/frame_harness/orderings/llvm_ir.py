"""Reads the text of an LLVM module: its functions, globals, types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from frame_harness.image.errors import ImageError
from frame_harness.image.placed import is_part_of
from frame_harness.orderings.ir_debug import DebugInfo, Subprogram
from frame_harness.orderings.ir_local import ANY_BYTES
from frame_harness.orderings.ir_syntax import Instruction, debug_node, parse_instruction
from frame_harness.orderings.ir_text import Register, parse_type, plain_text, split_top, unquoted

_DEFINE = re.compile(r'^define [^@\n]*@("[^"]*"|[-\w.$]+)\((.*)\) [^\n]*\{$', re.MULTILINE)
_GLOBAL = re.compile(r'^@("[^"]*"|[-\w.$]+) = ([^\n]*)$', re.MULTILINE)
_ALIAS = re.compile(r'alias .*@("[^"]*"|[-\w.$]+)')
_NAMED_TYPE = re.compile(r'^(%(?:"[^"]*"|[-\w.$]+)) = type ([^\n]*)$', re.MULTILINE)
_LABEL = re.compile(r'^("[^"]*"|[-\w.$]+):')
_ATOMIC = re.compile(r"\b(?:load atomic|store atomic|atomicrmw|cmpxchg|fence)\b")
# What else other CPUs can tell apart from an ordinary access.
_ASSEMBLY = re.compile(r"\basm (?:\w+ )*\"|@llvm\.x86\.|!nontemporal")
_MODULE_ASM = re.compile(r'^module asm "([^"]*)"$', re.MULTILINE)
_DECLARE = re.compile(r'^declare [^@\n]*@("[^"]*"|[-\w.$]+)\((.*)\)', re.MULTILINE)

POINTER_BYTES = 8


@dataclass(frozen=True)
class BasicBlock:
    """A stretch of instructions that is left only at its end."""

    label: str
    instructions: tuple[Instruction, ...]


class CompiledFunction:
    """One function with a body; parsed when it is first looked at."""

    def __init__(self, symbol: str, parameters: str, header: str, body: str) -> None:
        self.symbol = symbol
        self._parameters = parameters
        self._body = body
        self.dbg = debug_node(header)

    @cached_property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and text (type, attributes) of each parameter."""
        found = []
        for part in split_top(self._parameters):
            text, _, name = part.rpartition(" ")
            found.append((unquoted(name.removeprefix("%")), text))
        return tuple(found)

    @cached_property
    def has_atomics(self) -> bool:
        """Whether the body itself holds an atomic access or a fence."""
        return _ATOMIC.search(self._body) is not None

    @cached_property
    def orders(self) -> bool:
        """Whether the body itself has a say in what other CPUs see: atomics, fences, assembly."""
        return self.has_atomics or _ASSEMBLY.search(self._body) is not None

    @cached_property
    def callees(self) -> frozenset[str]:
        """Symbols that the body names."""
        return frozenset(unquoted(name) for name in re.findall(r'@("[^"]*"|[-\w.$]+)', self._body))

    @cached_property
    def length(self) -> int:
        """Lines of the body, a measure of what reading it costs."""
        return self._body.count("\n")

    @cached_property
    def own_memory(self) -> frozenset[str]:
        """The registers that hold addresses of memory that the body itself allocates."""
        found = set[str]()
        for block in self.blocks.values():
            for one in block.instructions:
                base = one.operands[0] if one.op == "getelementptr" else None
                if one.op == "alloca" or (isinstance(base, Register) and base.name in found):
                    found.add(one.result or "")
        return frozenset(found)

    @cached_property
    def blocks(self) -> dict[str, BasicBlock]:
        """The blocks by label; the first one is the entry.

        Raises:
            ImageError: a block ends in an instruction that is not known here.
        """
        found: dict[str, list[Instruction]] = {}
        label = ""
        for line in _joined(self._body):
            if match := _LABEL.match(line):
                label = unquoted(match[1])
            else:
                found.setdefault(label, []).append(parse_instruction(line))
        for label, (*_, last) in found.items():
            if last.op == "other":
                got = last.detail or "a fence"
                raise ImageError(
                    f"LLVM IR: {label}: expected an end of a block that is known here, got {got}"
                )
        return {label: BasicBlock(label, tuple(instructions)) for label, instructions in found.items()}


def _joined(body: str) -> list[str]:
    """Return the lines that mean something, a switch with all its cases as one."""
    lines: list[str] = []
    inside_switch = False
    for line in body.splitlines():
        if line.startswith("          to label "):
            lines[-1] += line  # of a callbr
            continue
        if inside_switch:
            lines[-1] += " " + line.strip()
            inside_switch = not line.lstrip().startswith("]")
        elif line and not line.lstrip().startswith((";", "#dbg")):
            lines.append(line)
            inside_switch = line.startswith("  switch ") and line.endswith("[")
    return lines


class Module:
    """The text of one `.ll` file."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.debug = DebugInfo(text)
        self.functions = dict(self._find_functions())
        self._globals = {unquoted(match[1]): match[2] for match in _GLOBAL.finditer(text)}
        self.defined = cache(self._defined)
        self.bytes_of = cache(self._bytes_of)
        self._layout = cache(self._read_layout)
        self._types = {match[1]: match[2] for match in _NAMED_TYPE.finditer(text)}

    @cached_property
    def assembly(self) -> str:
        """The assembly that stands outside of functions, in AT&T syntax until it says otherwise."""
        return "\n".join(plain_text(line) for line in _MODULE_ASM.findall(self._text)) + "\n"

    @cached_property
    def declared(self) -> dict[str, str]:
        """The parameters, as text, of each function whose body is elsewhere."""
        return {unquoted(match[1]): match[2] for match in _DECLARE.finditer(self._text)}

    def _find_functions(self) -> list[tuple[str, CompiledFunction]]:
        found = []
        for match in _DEFINE.finditer(self._text):
            end = self._text.find("\n}", match.end())
            symbol = unquoted(match[1])
            body = self._text[match.end() : end]
            found.append((symbol, CompiledFunction(symbol, match[2], match[0], body)))
        return found

    def function(self, symbol: str) -> CompiledFunction | None:
        """Return the function with a body behind a symbol; an alias leads to its target."""
        seen = set[str]()
        while symbol not in self.functions and symbol not in seen:
            seen.add(symbol)
            match = _ALIAS.search(self._globals.get(symbol, ""))
            symbol = unquoted(match[1]) if match else symbol
        return self.functions.get(symbol)

    @cached_property
    def subprograms(self) -> dict[str, Subprogram]:
        """What debug metadata says about each function with a body, by symbol."""
        return {
            symbol: self.debug.subprogram(function.dbg)
            for symbol, function in self.functions.items()
            if function.dbg is not None
        }

    def _defined(self, file: str) -> dict[str, tuple[CompiledFunction, ...]]:
        """Return the functions that a source file defines, by `Type::method` or name; closures left out.

        Those of inner modules, or of a trait, count only where the file's own module has none of that name.
        One with type parameters is as many functions as there are types it is used with.
        """
        own, found = self.namespace(file), dict[str, dict[bool, list[CompiledFunction]]]()
        for function, name, namespace in self._parts_of(file):
            found.setdefault(name, {}).setdefault(namespace == own, []).append(function)
        return {name: tuple(of.get(True) or of[False]) for name, of in found.items()}

    def namespace(self, file: str) -> tuple[str, ...]:
        """Return the namespaces in which the module lies that a source file is."""
        return min((namespace for _, _, namespace in self._parts_of(file)), key=len, default=())

    def _parts_of(self, file: str) -> Iterator[tuple[CompiledFunction, str, tuple[str, ...]]]:
        for symbol, program in self.subprograms.items():
            function = self.functions[symbol]
            if function.dbg is not None and is_part_of(program.file, file) and "{" not in program.name:
                yield function, program.name, self.debug.namespace(function.dbg)

    def is_variable(self, symbol: str) -> bool:
        """Tell whether a global can change while the kernel runs."""
        return re.search(r"(?:^|\s)global\s", self._globals.get(symbol, "")) is not None

    def static_name(self, symbol: str) -> str:
        """Return a global's name in the source, or its symbol when debug metadata has none."""
        node = debug_node(self._globals.get(symbol, ""))
        return ("" if node is None else self.debug.static_name(node)) or symbol

    def _bytes_of(self, kind: str) -> int:
        """Return how many bytes an access of a type touches; `ANY_BYTES` of a type without a size here."""
        try:
            return self.size_of(kind)
        except ImageError:
            return ANY_BYTES

    @cached_property
    def static_types(self) -> dict[str, str]:
        """The name of each global's type in the source, by its own name there."""
        nodes = {symbol: debug_node(text) for symbol, text in self._globals.items()}
        return {
            self.static_name(symbol): self.debug.static_type(node)
            for symbol, node in nodes.items()
            if node is not None
        }

    def static_file(self, symbol: str) -> str:
        """Return the source file that defines a global; empty when debug metadata has none."""
        node = debug_node(self._globals.get(symbol, ""))
        return "" if node is None else self.debug.static_file(node)

    def size_of(self, kind: str) -> int:
        """Return the size in bytes of a type, padding included.

        Raises:
            ImageError: a type that has no size here.
        """
        return self._layout(kind)[0]

    def offset_of(self, kind: str, index: int) -> tuple[int, str]:
        """Return where an aggregate's member lies, in bytes, with its type.

        Raises:
            ImageError: it has fewer members.
        """
        kind = self._types.get(kind, kind)
        if kind.startswith("["):
            element = kind[1:-1].split(" x ", 1)[1]
            return index * self.size_of(element), element
        offset = 0
        for at, member in enumerate(split_top(kind.strip("<>{} "))):
            size, alignment = self._layout(member)
            offset = -(-offset // alignment) * alignment
            if at == index:
                return offset, member
            offset += size
        raise ImageError(f"LLVM type: {kind}: expected member {index}, got fewer")

    def _read_layout(self, kind: str) -> tuple[int, int]:
        kind = self._types.get(kind, kind)
        if match := re.fullmatch(r"i(\d+)", kind):
            size = max(1, int(match[1]) // 8)
            return size, size
        if kind == "ptr":
            return POINTER_BYTES, POINTER_BYTES
        if kind.startswith("["):
            count, element = kind[1:-1].split(" x ", 1)
            size, alignment = self._layout(element)
            return int(count) * size, alignment
        if kind.startswith(("{", "<{")):
            members = split_top(kind.strip("<>{} "))
            layouts = [self._layout(member) for member in members]
            alignment = max((alignment for _, alignment in layouts), default=1)
            offset = self.offset_of(kind, len(members) - 1)[0] + layouts[-1][0] if members else 0
            return -(-offset // alignment) * alignment, alignment
        raise ImageError(f"LLVM type: {parse_type(kind)[0]}: expected one with a size, got something else")
