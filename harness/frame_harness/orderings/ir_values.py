"""Computes with the values of compiled code, numbers where they are known, sums of unknowns elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MASK64: Final = (1 << 64) - 1
_WIDENING: Final = {"zext": 1, "sext": -1}
"""What becomes of a truth value that holds."""
_COMPARISONS: Final = ("eq", "not", "ult", "ugt", "slt", "sgt")
_OBJECTS: Final = ("alloca", "argument", "slot", "static")
_NO_ADDRESSES: Final = (*_COMPARISONS, "lshr", "ashr", "mul", "udiv", "sdiv", "urem", "srem")
"""What is computed so counts something: it leads nowhere by itself."""
Root = tuple[str, str, int]
_NO_ROOTS: Final[frozenset[Root]] = frozenset()


@dataclass(frozen=True, eq=False)
class Symbol:
    """Something unknown: `kind` says where it comes from, `inputs` what it was made of.

    Two computations with the same inputs give equal symbols, so a condition that was decided once on a path
    is decided the same way when the code asks again.
    """

    kind: str
    inputs: tuple[Value, ...] = ()
    name: str = ""
    serial: int = 0
    roots: frozenset[Root] = field(init=False, repr=False)
    """The objects to which it may lead as an address."""
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # At once, while the inputs know theirs: later it would go as deep as the computation is long.
        object.__setattr__(self, "_hash", hash((self.kind, self.inputs, self.name, self.serial)))
        leads = frozenset((self.root,)) if self.kind in _OBJECTS else _NO_ROOTS
        if self.inputs and self.kind not in _NO_ADDRESSES:
            leads = roots(self.inputs)
        object.__setattr__(self, "roots", leads)

    @property
    def root(self) -> Root:
        """What tells it from all that is computed from something else."""
        return self.kind, self.name, self.serial

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Symbol) and self._hash == other._hash and _are_equal(self, other)
        )


@dataclass(frozen=True)
class Sum:
    """Unknowns times factors, plus a number; modulo 2^64."""

    terms: tuple[tuple[Symbol, int], ...]
    constant: int = 0


Value = int | Sum | tuple["Value", ...]


def unknown(symbol: Symbol) -> Sum:
    """Return the value that one symbol stands for."""
    return Sum(((symbol, 1),))


def roots(value: Value) -> frozenset[Root]:
    """Return the objects to which a value may lead as an address."""
    if isinstance(value, int):
        return _NO_ROOTS
    parts = value if isinstance(value, tuple) else (symbol for symbol, _ in value.terms)
    found = [part.roots if isinstance(part, Symbol) else roots(part) for part in parts]
    return found[0] if len(found) == 1 else _NO_ROOTS.union(*found)


def sources(value: Value) -> Iterator[Symbol]:
    """Walk over every symbol that a value was computed from, once each."""
    seen, pending = set[int](), [value]
    while pending:
        value = pending.pop()
        if isinstance(value, tuple):
            pending += value
        elif isinstance(value, Sum):
            for symbol, _ in value.terms:
                if id(symbol) not in seen:
                    seen.add(id(symbol))
                    yield symbol
                    pending += symbol.inputs


def _are_equal(one: Symbol, other: Symbol) -> bool:
    # Neither recursive nor twice for one pair: a hash is a long chain, each link of which has two inputs.
    seen, pending = set[tuple[int, int]](), [(one, other)]
    while pending:
        one, other = pending.pop()
        if one is other or (id(one), id(other)) in seen:
            continue
        seen.add((id(one), id(other)))
        if (one.kind, one.name, one.serial) != (other.kind, other.name, other.serial):
            return False
        if not _match(one.inputs, other.inputs, pending):
            return False
    return True


def _match(one: Value, other: Value, symbols: list[tuple[Symbol, Symbol]]) -> bool:
    """Whether two values are equal as far as their symbols are, which are added to `symbols` in pairs."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(_match(a, b, symbols) for a, b in zip(one, other, strict=True))
    if isinstance(one, Sum) and isinstance(other, Sum):
        symbols += [(a, b) for (a, _), (b, _) in zip(one.terms, other.terms, strict=False)]
        return one.constant == other.constant and [n for _, n in one.terms] == [n for _, n in other.terms]
    return isinstance(one, int) and one == other


def single(value: Value) -> Symbol | None:
    """Return the symbol that a value is, when it is just one."""
    if isinstance(value, Sum) and value.constant == 0 and len(value.terms) == 1 and value.terms[0][1] == 1:
        return value.terms[0][0]
    return None


def add(left: Value, right: Value, bits: int) -> Value:
    """Add; numbers wrap at the width, sums at 64 bits."""
    if isinstance(left, int) and isinstance(right, int):
        return (left + right) & ((1 << bits) - 1)
    if isinstance(left, tuple) or isinstance(right, tuple):
        return unknown(Symbol("add", (left, right)))
    factors: dict[Symbol, int] = {}
    constant = 0
    for value in (left, right):
        if isinstance(value, int):
            constant += _signed(value, bits)
            continue
        constant += value.constant
        for symbol, factor in value.terms:
            factors[symbol] = (factors.get(symbol, 0) + factor) & MASK64
    terms = tuple(sorted(((symbol, factor) for symbol, factor in factors.items() if factor), key=_by_text))
    return Sum(terms, constant & MASK64) if terms else constant & ((1 << bits) - 1)


def _by_text(term: tuple[Symbol, int]) -> tuple[str, int, str, int]:
    symbol, _ = term
    return symbol.kind, symbol.serial, symbol.name, hash(symbol)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if bits < 64 and value >> (bits - 1) & 1 else value


def scale(value: Value, factor: int, bits: int) -> Value:
    """Multiply by a number, modulo 2^`bits`; sums of unknowns modulo 2^64."""
    if isinstance(value, int):
        return (value * factor) & ((1 << bits) - 1)
    if isinstance(value, tuple):
        return unknown(Symbol("mul", (value, factor)))
    if factor & MASK64 == 0:
        return 0
    terms = tuple((symbol, (part * factor) & MASK64) for symbol, part in value.terms)
    return Sum(tuple(term for term in terms if term[1]), (value.constant * factor) & MASK64)


def binary(op: str, left: Value, right: Value, bits: int) -> Value:
    """Compute one of LLVM's integer operations."""
    if op == "add":
        return add(left, right, bits)
    if op == "sub":
        return add(left, scale(right, -1, 64 if isinstance(right, Sum) else bits), bits)
    if isinstance(left, int) and isinstance(right, int):
        return _number(op, left, right, bits) & ((1 << bits) - 1)
    if op == "mul" and isinstance(right, int):
        return scale(left, right, bits)
    if op == "shl" and isinstance(right, int):
        return scale(left, 1 << right, bits)
    if op == "xor" and bits == 1 and right == 1:
        return negated(left)
    if op in ("and", "or") and bits == 1:
        return _logic(op, left, right)
    return unknown(Symbol(op, (left, right), name=str(bits)))


def _logic(op: str, left: Value, right: Value) -> Value:
    for known, other in ((left, right), (right, left)):
        if known == 0:
            return 0 if op == "and" else other
        if known == 1:
            return other if op == "and" else 1
    return unknown(Symbol(op, (left, right), name="1"))


def _number(op: str, left: int, right: int, bits: int) -> int:
    signed_left, signed_right = _signed_fully(left, bits), _signed_fully(right, bits)
    shift = min(right, bits)
    match op:
        case "mul":
            return left * right
        case "shl":
            return left << shift
        case "lshr":
            return left >> shift
        case "ashr":
            return signed_left >> shift
        case "and":
            return left & right
        case "or":
            return left | right
        case "xor":
            return left ^ right
        case "udiv" | "urem":
            return (left // right if op == "udiv" else left % right) if right else 0
        case _:
            quotient = abs(signed_left) // abs(signed_right) if right else 0
            quotient = quotient if (signed_left < 0) == (signed_right < 0) else -quotient
            return quotient if op == "sdiv" else signed_left - quotient * signed_right


def _signed_fully(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def widened_truth(value: Value) -> Symbol | None:
    """Return a truth value that an integer was made of by widening it; None where there is none."""
    terms = value.terms if isinstance(value, Sum) else ()
    return next((symbol for symbol, _ in terms if symbol.kind in _WIDENING and _is_truth(symbol)), None)


def with_truth(value: Value, widened: Symbol, truth: bool, bits: int) -> Value:
    """Return an integer in which a widened truth value is decided, as a number where it is one then."""
    if not isinstance(value, Sum):
        return value
    number = _WIDENING[widened.kind] if truth else 0
    constant = value.constant + sum(factor * number for symbol, factor in value.terms if symbol == widened)
    terms = tuple(term for term in value.terms if term[0] != widened)
    return Sum(terms, constant & MASK64) if terms else constant & ((1 << bits) - 1)


def _is_truth(widened: Symbol) -> bool:
    symbol = single(widened.inputs[0])
    return symbol is not None and (
        symbol.kind in _COMPARISONS or (symbol.kind in ("and", "or") and symbol.name == "1")
    )


def negated(value: Value) -> Value:
    """Return the opposite of a truth value."""
    if isinstance(value, int):
        return 1 - value
    symbol = single(value)
    if symbol is not None and symbol.kind == "not":
        return symbol.inputs[0]
    return unknown(Symbol("not", (value,)))


def compare(predicate: str, left: Value, right: Value, bits: int) -> Value:
    """Compare two integers; the result is 0, 1 or unknown."""
    if isinstance(left, int) and isinstance(right, int):
        return int(_compared(predicate, left, right, bits))
    if left == right:
        return int(predicate in ("eq", "uge", "ule", "sge", "sle"))
    if isinstance(left, int):
        swapped = {"u": "u", "s": "s"}.get(predicate[0], "")
        predicate = (
            swapped + {"gt": "lt", "lt": "gt", "ge": "le", "le": "ge"}[predicate[1:]]
            if swapped
            else predicate
        )
        left, right = right, left
    if predicate in ("eq", "ne") and isinstance(right, Sum) and hash(right) < hash(left):
        left, right = right, left
    if predicate == "ne":
        return negated(compare("eq", left, right, bits))
    # One form for a comparison and its opposite, so that what is known about one is known about the other.
    opposite = {"uge": "ult", "ule": "ugt", "sge": "slt", "sle": "sgt"}.get(predicate)
    if opposite:
        return negated(compare(opposite, left, right, bits))
    if predicate == "eq" and isinstance(left, Sum) and isinstance(right, int):
        return _equals(left, right, bits)
    return unknown(Symbol(predicate, (left, right), name=str(bits)))


def _equals(left: Sum, right: int, bits: int) -> Value:
    number = (right - left.constant) & ((1 << bits) - 1)
    bare = Sum(left.terms, 0)
    symbol = single(bare)
    if bits == 1 and symbol is not None:
        return bare if number else negated(bare)
    return unknown(Symbol("eq", (bare, number)))


def _compared(predicate: str, left: int, right: int, bits: int) -> bool:
    if predicate.startswith("s"):
        left, right = _signed_fully(left, bits), _signed_fully(right, bits)
    match predicate.lstrip("us"):
        case "eq" | "q":
            return left == right
        case "ne":
            return left != right
        case "gt":
            return left > right
        case "ge":
            return left >= right
        case "lt":
            return left < right
        case _:
            return left <= right


def show(value: Value | None) -> int | str | None:
    """Return a number as it is, `?` for anything unknown."""
    return value if value is None or isinstance(value, int) else "?"
