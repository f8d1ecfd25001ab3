"""Reads one instruction of LLVM's textual IR."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from frame_harness.image.errors import ImageError
from frame_harness.orderings.asm_block import AsmBlock
from frame_harness.orderings.ir_text import (
    IrOperand,
    closing,
    last_list,
    operand,
    ordered,
    parse_type,
    plain_text,
    split_top,
    unquoted,
)

# Text as LLVM 22 writes it (rustc 1.95 to 1.97). LLVM promises no stable text: what is not understood here is
# an error, unless it only computes a value, which then is unknown.

# Integers only: a kernel has no floats.
BINARY: Final = frozenset(
    ["add", "sub", "mul", "shl", "lshr", "ashr", "and", "or", "xor", "udiv", "sdiv", "urem", "srem"]
)
NO_BLOCK: Final = AsmBlock("", (), False, (), False)
CASTS: Final = frozenset(["zext", "sext", "trunc", "inttoptr", "ptrtoint", "bitcast", "addrspacecast"])


@dataclass(frozen=True)
class Instruction:
    """One instruction; which of the attributes say something depends on `op`."""

    op: str
    result: str | None = None
    type: str = ""
    """Of the value that is computed, loaded, stored or cast; the element's for `getelementptr`."""
    operands: tuple[IrOperand, ...] = ()
    """The address comes last among those of a call through a pointer."""
    labels: tuple[str, ...] = ()
    detail: str = ""
    """Predicate, operation of an RMW, target type of a cast, callee (empty: indirect), `weak`."""
    order: str = "na"
    failure: str = ""
    indices: tuple[int, ...] = ()
    dbg: int | None = None
    block: AsmBlock = NO_BLOCK
    """Of assembly, for `asm`."""
    nontemporal: bool = False
    """A store that goes past the caches."""


_DBG = re.compile(r"!dbg !(\d+)")
_TAIL = re.compile(r", ![a-zA-Z_.]+ !.*$")
_RESULT = re.compile(r'(%(?:"[^"]*"|[-\w.$]+)) = ')
_LABEL = re.compile(r'label %("[^"]*"|[-\w.$]+)')
_CALLEE = re.compile(r'@("[^"]*"|[-\w.$]+)\(')
# Quotation marks inside are written as \22.
_ASM = re.compile(r'\basm ((?:\w+ )*)"([^"]*)", "([^"]*)"\(')


def debug_node(text: str) -> int | None:
    """The number of the debug metadata that is attached to an instruction, a function or a global."""
    found = _DBG.search(text)
    return int(found[1]) if found else None


def parse_instruction(text: str) -> Instruction:
    """Read one instruction; `text` is one line, the cases of a switch joined to it.

    Raises:
        ImageError: an instruction that is not known here, or other operands than it has.
    """
    dbg = debug_node(text)
    body = _TAIL.sub("", text.strip())
    result = None
    if match := _RESULT.match(body):
        result, body = unquoted(match[1][1:]), body[match.end() :]
    word, _, rest = body.partition(" ")
    if word in ("tail", "musttail", "notail"):
        word, _, rest = rest.partition(" ")
    reader = _READERS.get(word)
    if reader is None and result is None:
        raise ImageError(
            f"LLVM IR: {word}: expected an instruction that is known here, got this one: {body[:120]}"
        )
    try:
        instruction = reader(word, rest) if reader else Instruction("other", detail=word)
    except (ValueError, IndexError) as error:
        raise ImageError(f"LLVM IR: {word}: expected its operands, got {body[:120]}") from error
    nontemporal = word == "store" and "!nontemporal" in text
    return replace(instruction, result=result, dbg=dbg, nontemporal=nontemporal)


def _binary(op: str, rest: str) -> Instruction:
    while (word := rest.partition(" ")[0]) in ("nuw", "nsw", "exact", "disjoint"):
        rest = rest[len(word) + 1 :]
        op = "add" if word == "disjoint" else op  # no bit is set in both: the sum is the same
    kind, rest = parse_type(rest)
    left, right = split_top(rest)
    return Instruction(op, type=kind, operands=(operand(left), operand(right)))


def _icmp(op: str, rest: str) -> Instruction:
    rest = rest.removeprefix("samesign ")
    predicate, _, rest = rest.partition(" ")
    return replace(_binary(op, rest), detail=predicate)


def _cast(op: str, rest: str) -> Instruction:
    rest = re.sub(r"^(?:(?:nuw|nsw|nneg) )+", "", rest)
    value, _, target = rest.rpartition(" to ")
    kind, value = parse_type(value)
    return Instruction(op, type=kind, operands=(operand(value),), detail=target)


def _select(op: str, rest: str) -> Instruction:
    parts = split_top(rest)
    kind, first = parse_type(parts[1])
    return Instruction(
        op, type=kind, operands=(operand(parts[0]), operand(first), operand(parse_type(parts[2])[1]))
    )


def _freeze(op: str, rest: str) -> Instruction:
    kind, value = parse_type(rest)
    return Instruction(op, type=kind, operands=(operand(value),))


def _gep(op: str, rest: str) -> Instruction:
    rest = re.sub(r"^(?:(?:inbounds|nuw|nusw) )+", "", rest)
    element, *operands = split_top(rest)
    return Instruction(op, type=element, operands=tuple(operand(part) for part in operands))


def _load(op: str, rest: str) -> Instruction:
    rest = re.sub(r"^(?:(?:atomic|volatile) )+", "", rest)
    kind, pointer, *_ = split_top(rest)
    pointer, order = ordered(pointer)
    return Instruction(op, type=kind, operands=(operand(pointer),), order=order)


def _store(op: str, rest: str) -> Instruction:
    rest = re.sub(r"^(?:(?:atomic|volatile) )+", "", rest)
    value, pointer, *_ = split_top(rest)
    pointer, order = ordered(pointer)
    kind, value = parse_type(value)
    return Instruction(op, type=kind, operands=(operand(value), operand(pointer)), order=order)


def _rmw(op: str, rest: str) -> Instruction:
    rest = rest.removeprefix("volatile ")
    kind, _, rest = rest.partition(" ")
    pointer, value, *_ = split_top(rest)
    value, order = ordered(value)
    width, value = parse_type(value)
    return Instruction(op, type=width, operands=(operand(pointer), operand(value)), detail=kind, order=order)


def _cmpxchg(op: str, rest: str) -> Instruction:
    weak = rest.startswith("weak ")
    rest = re.sub(r"^(?:(?:weak|volatile) )+", "", rest)
    pointer, expected, new, *_ = split_top(rest)
    new, failure = ordered(new)
    new, order = ordered(new)
    kind, expected = parse_type(expected)
    operands = (operand(pointer), operand(expected), operand(new))
    return Instruction(
        op, type=kind, operands=operands, detail="weak" if weak else "", order=order, failure=failure
    )


def _fence(op: str, rest: str) -> Instruction:
    # A fence for signal handlers alone (compiler_fence) orders nothing between CPUs.
    return Instruction("other" if "syncscope" in rest else op, order=rest.rsplit(maxsplit=1)[-1])


def _br(op: str, rest: str) -> Instruction:
    labels = tuple(unquoted(name) for name in _LABEL.findall(rest))
    if len(labels) == 1:
        return Instruction(op, labels=labels)
    return Instruction(op, type="i1", operands=(operand(split_top(rest)[0]),), labels=labels)


def _switch(op: str, rest: str) -> Instruction:
    head, _, cases = rest.partition("[")
    kind, value = parse_type(split_top(head)[0])
    numbers = tuple(int(number) if number.lstrip("-").isdigit() else int(number == "true")
                    for number in re.findall(r"i\d+ (-?\d+|true|false), label", cases))  # fmt: skip
    labels = tuple(unquoted(name) for name in _LABEL.findall(rest))
    return Instruction(op, type=kind, operands=(operand(value), *numbers), labels=labels)


def _phi(op: str, rest: str) -> Instruction:
    kind, rest = parse_type(rest)
    pairs = [split_top(part[1:-1]) for part in split_top(rest)]
    return Instruction(
        op,
        type=kind,
        operands=tuple(operand(value) for value, _ in pairs),
        labels=tuple(unquoted(label[1:]) for _, label in pairs),
    )


def _ret(op: str, rest: str) -> Instruction:
    if rest == "void":
        return Instruction(op)
    kind, value = parse_type(rest)
    return Instruction(op, type=kind, operands=(operand(value),))


def _call(op: str, rest: str) -> Instruction:
    assembly = _ASM.search(rest)
    if assembly is not None:
        return _asm(rest, assembly)
    match = _CALLEE.search(rest)
    begin = last_list(rest) if match is None else match.end() - 1
    head, arguments = rest[:begin], rest[begin + 1 : begin + closing(rest[begin:]) - 1]
    operands = [operand(part) for part in split_top(arguments)]
    if match is None:
        operands.append(operand(head))
    return Instruction(
        op,
        type=next(iter(_return_type(rest[: begin if match is None else match.start()])), "void"),
        operands=tuple(operands),
        detail="" if match is None else unquoted(match[1]),
    )


def _asm(rest: str, match: re.Match[str]) -> Instruction:
    arguments = split_top(rest[match.end() : match.end() + closing("(" + rest[match.end() :]) - 2])
    words, constraints = match[1].split(), tuple(split_top(match[3]))
    block = AsmBlock(
        template=plain_text(match[2]),
        constraints=constraints,
        intel="inteldialect" in words,
        types=tuple(parse_type(argument)[0] for argument in arguments),
        # Without side effects the compiler may leave it out, or do it twice.
        barrier="sideeffect" in words and "~{memory}" in constraints,
    )
    return Instruction(
        "asm",
        type=next(iter(_return_type(rest[: match.start()])), "void"),
        operands=tuple(operand(argument) for argument in arguments),
        labels=tuple(unquoted(name) for name in _LABEL.findall(rest[match.end() :])),
        block=block,
    )


def _return_type(head: str) -> list[str]:
    # fastcc noundef range(i32 0, 5) { i32, i1 }
    return re.findall(r"\{.*\}|\[.*\]|(?<![\w(])(?:i\d+|ptr|void)(?![\w)])", re.sub(r"\([^)]*\)", "", head))


def _extract(op: str, rest: str) -> Instruction:
    aggregate, *indices = split_top(rest)
    kind, value = parse_type(aggregate)
    return Instruction(op, type=kind, operands=(operand(value),), indices=tuple(map(int, indices)))


def _insert(op: str, rest: str) -> Instruction:
    aggregate, value, *indices = split_top(rest)
    kind, whole = parse_type(aggregate)
    return Instruction(
        op,
        type=kind,
        operands=(operand(whole), operand(parse_type(value)[1])),
        indices=tuple(map(int, indices)),
    )


def _alloca(op: str, rest: str) -> Instruction:
    return Instruction(op, type=split_top(rest)[0])


def _plain(op: str, _: str) -> Instruction:
    return Instruction(op)


_READERS: Final[dict[str, Callable[[str, str], Instruction]]] = {
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(CASTS, _cast),
    "icmp": _icmp, "select": _select, "freeze": _freeze, "getelementptr": _gep, "load": _load,
    "store": _store, "atomicrmw": _rmw, "cmpxchg": _cmpxchg, "fence": _fence, "br": _br, "switch": _switch,
    "phi": _phi, "ret": _ret, "call": _call, "callbr": _call, "extractvalue": _extract,
    "insertvalue": _insert, "alloca": _alloca, "unreachable": _plain,
}  # fmt: skip
