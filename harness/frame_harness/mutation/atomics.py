"""Operators on atomics: weaker orderings, read-modify-writes in two steps, fences that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from frame_harness.mutation.mutants import Operator
from frame_harness.mutation.source import Edit, RustSource, parts

if TYPE_CHECKING:
    from tree_sitter import Node

ORDERINGS: Final = ("SeqCst", "AcqRel", "Acquire", "Release", "Relaxed")
_WEAKER: Final[Mapping[str, tuple[str, ...]]] = {
    "SeqCst": ("AcqRel", "Acquire", "Release"),
    "AcqRel": ("Acquire", "Release"),
    "Acquire": ("Relaxed",),
    "Release": ("Relaxed",),
}
FENCES: Final = ("fence", "compiler_fence")
_FENCE: Final = ("SeqCst", "AcqRel", "Acquire", "Release")
_READING: Final = ("SeqCst", "Acquire", "Relaxed")
_WRITING: Final = ("SeqCst", "Release", "Relaxed")
_FULL: Final = "core::sync::atomic::Ordering"

# What is stored of the value before and the argument.
_OPERATIONS: Final[Mapping[str, str]] = {
    "swap": "{argument}",
    "fetch_add": "before.wrapping_add({argument})",
    "fetch_sub": "before.wrapping_sub({argument})",
    "fetch_or": "before | ({argument})",
    "fetch_and": "before & ({argument})",
    "fetch_xor": "before ^ ({argument})",
    "fetch_nand": "!(before & ({argument}))",
    "fetch_max": "before.max({argument})",
    "fetch_min": "before.min({argument})",
}
_EXCHANGES: Final = ("compare_exchange", "compare_exchange_weak")
_METHODS: Final = (*_OPERATIONS, *_EXCHANGES, "fetch_update", "load", "store")


class _Call(NamedTuple):
    """A call of a method: `receiver.name(arguments)`."""

    receiver: str
    name: str
    arguments: list[Node]


def edits(source: RustSource, node: Node) -> Iterator[Edit]:
    """Yield what these operators make of a node."""
    if node.type == "call_expression":
        yield from _fence(source, node)
        if (call := method_call(source, node)) is not None:
            yield from _split(source, node, call)
    elif (name := _ordering(source, node)) is not None:
        yield from _weakened(source, node, name)


def method_call(source: RustSource, node: Node) -> _Call | None:
    """Return the parts of a call of a method; None of another call."""
    function, arguments = (node.child_by_field_name(name) for name in ("function", "arguments"))
    if function is None or arguments is None or function.type != "field_expression":
        return None
    value, field = (function.child_by_field_name(name) for name in ("value", "field"))
    if value is None or field is None:
        return None
    return _Call(source.of_node(value), source.of_node(field), parts(arguments))


def called(source: RustSource, node: Node) -> str:
    """Return the last name of what a call calls: `fence` of `atomic::fence(…)`; empty where it has none."""
    function = node.child_by_field_name("function")
    return source.of_node(function).rpartition("::")[2].rpartition(".")[2] if function else ""


def _ordering(source: RustSource, node: Node) -> str | None:
    """Return which ordering a node names: `Ordering::Release`, or `Release` as an argument."""
    text = source.of_node(node)
    if node.type == "scoped_identifier":
        path, _, name = text.rpartition("::")
        return name if path.rpartition("::")[2] == "Ordering" and name in _WEAKER else None
    if node.type == "identifier" and text in _WEAKER:
        return text if node.parent is not None and node.parent.type == "arguments" else None
    return None


def _weakened(source: RustSource, node: Node, ordering: str) -> Iterator[Edit]:
    allowed, failing = _allowed(source, node)
    weaker = [name for name in _WEAKER[ordering] if name in allowed]
    if ordering == "SeqCst":
        # One step: AcqRel where the operation reads and writes, else its own half.
        weaker = weaker[:1]
    for name in weaker:
        after = _spelled(source, source.of_node(node), name)
        yield source.replaced(Operator.FAILURE_ORDERING if failing else Operator.ORDERING, node, after)


def _allowed(source: RustSource, node: Node) -> tuple[tuple[str, ...], bool]:
    """Return the orderings that a place may have, and whether it is that of a failure."""
    arguments = node.parent
    call = arguments.parent if arguments is not None and arguments.type == "arguments" else None
    if arguments is None or call is None or call.type != "call_expression":
        return ORDERINGS, False
    name, place = called(source, call), parts(arguments).index(node)
    if name in FENCES:
        return _FENCE, False
    if name == "store":
        return _WRITING, False
    failing = (name in _EXCHANGES and place == 3) or (name == "fetch_update" and place == 1)
    return (_READING, failing) if failing or name == "load" else (ORDERINGS, False)


def _spelled(source: RustSource, like: str, ordering: str) -> str:
    """Return the name of an ordering as another one is written, or in full where it is not in scope."""
    path, double, _ = like.rpartition("::")
    if double:
        return f"{path}::{ordering}"
    return ordering if ordering in source.imported else f"{_FULL}::{ordering}"


def _fence(source: RustSource, node: Node) -> Iterator[Edit]:
    arguments = node.child_by_field_name("arguments")
    if called(source, node) in FENCES and arguments is not None and len(parts(arguments)) == 1:
        yield source.replaced(Operator.FENCE_DROPPED, node, "()")


def _split(source: RustSource, node: Node, call: _Call) -> Iterator[Edit]:
    texts = [source.of_node(one) for one in call.arguments]
    places = _ORDERING_PLACES.get(call.name)
    if places is None or len(texts) != max(*places, *_LENGTHS[call.name]) + 1:
        return
    named = [texts[place].rpartition("::")[2] for place in places]
    if any(name not in ORDERINGS for name in named):
        return
    load = _spelled(source, texts[places[0]], _half(named, "Acquire"))
    store = _spelled(source, texts[places[0]], _half(named[:1], "Release"))
    after = _in_two(call, texts, load, store)
    yield source.replaced(Operator.RMW_SPLIT, node, after)


_ORDERING_PLACES: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys(_OPERATIONS, (1,)), **dict.fromkeys(_EXCHANGES, (2, 3)), "fetch_update": (0, 1),
}  # fmt: skip
_LENGTHS: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys(_ORDERING_PLACES, (0,)), "fetch_update": (2,),
}  # fmt: skip


def _half(named: list[str], wanted: str) -> str:
    """Return the ordering of the load, or of the store, that a read-modify-write is as strong as."""
    if "SeqCst" in named:
        return "SeqCst"
    return wanted if wanted in named or "AcqRel" in named else "Relaxed"


def _in_two(call: _Call, texts: list[str], load: str, store: str) -> str:
    before, place = f"let before = {call.receiver}.load({load});", call.receiver
    if call.name in _EXCHANGES:
        return (
            f"{{ {before} if before == {texts[0]} {{ {place}.store({texts[1]}, {store}); "
            "Ok(before) } else { Err(before) } }"
        )
    if call.name == "fetch_update":
        return (
            f"{{ {before} match ({texts[2]})(before) {{ "
            f"Some(after) => {{ {place}.store(after, {store}); Ok(before) }} None => Err(before) }} }}"
        )
    after = _OPERATIONS[call.name].format(argument=texts[0])
    return f"{{ {before} {place}.store({after}, {store}); before }}"
