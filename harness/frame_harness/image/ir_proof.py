"""Proves from LLVM IR that it was compiled as it was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from frame_harness.image.asked import Asked, on_or_off
from frame_harness.image.errors import BuildDifference, ImageError, WrongBuild
from frame_harness.image.evidence import ASSERTION, FEATURES, OVERFLOW, RECURSION

_CPU: Final = "x86-64"
_ALLOWED: Final = frozenset({"+soft-float"})
# What is left of a function that calls itself a number of times and does nothing: at each level less.
_LEFT: Final = {
    "0": "calls", "1": "a loop", "2": "nothing", "3": "nothing", "s": "optsize", "z": "minsize",
}  # fmt: skip
_OPTIMIZED: Final = ("a loop", "nothing")


def prove_ir(text: str, which: str, wanted: Asked, alone: Callable[[], str]) -> None:
    """Require that IR with the shim's `evidence.rs` in it was compiled as it was asked for.

    Args:
        which: of all the texts this is.
        alone: compiles the evidence by itself as it was asked for, and returns the IR. Another compiler may
            leave something else of a function: then that is how this one optimizes.
    Raises:
        WrongBuild: names everything that differs.
        ImageError: the evidence is not in it.
    """
    found = [*_checks(text, wanted), *_target(text)]
    left = _left(text)
    # Which loops are removed at which level depends on the compiler's version: ask this one.
    if left != _LEFT[wanted.opt_level] and (left not in _OPTIMIZED or left != _left(alone())):
        levels = " or ".join(level for level, rest in _LEFT.items() if rest == left)
        found.append(BuildDifference("optimization", f"level {wanted.opt_level}", f"level {levels}"))
    if found:
        raise WrongBuild(which, found)


def _checks(text: str, wanted: Asked) -> Iterator[BuildDifference]:
    for what, name in (("debug assertions", ASSERTION), ("overflow checks", OVERFLOW)):
        there = bool(_called(_body(text, name)))
        if there != wanted.checks:
            yield BuildDifference(what, on_or_off(wanted.checks), on_or_off(there))


def _target(text: str) -> Iterator[BuildDifference]:
    attributes = _attributes(text, FEATURES)
    # "target-cpu"="x86-64" "target-features"="-mmx,-sse,+soft-float"
    values = dict(re.findall(r'"(target-cpu|target-features)"="([^"]*)"', attributes))
    if (cpu := values.get("target-cpu", _CPU)) != _CPU:
        yield BuildDifference("CPU", _CPU, cpu)
    features = values.get("target-features", "").split(",")
    more = sorted({one for one in features if one.startswith("+")} - _ALLOWED)
    if more:
        yield BuildDifference("CPU features", "none beyond those of the target", ", ".join(more))


def _left(text: str) -> str:
    """Say what is left of the calls; code for size has a word for it."""
    words = _attributes(text, RECURSION).split()
    for word in ("minsize", "optsize"):
        if word in words:
            return word
    body = _body(text, RECURSION)
    return "calls" if RECURSION in _called(body) else "a loop" if " phi " in body else "nothing"


def _definition(text: str, name: str) -> re.Match[str]:
    # define void @codegen_assertion(i64 noundef %value) unnamed_addr #3 !dbg !470 {
    found = re.search(rf"^define [^\n]*@{name}\(([^\n]*)\{{\n(.*?)^\}}", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ImageError("LLVM IR", "function", expected=name, actual="none of that name")
    return found


def _body(text: str, name: str) -> str:
    return _definition(text, name)[2]


def _attributes(text: str, name: str) -> str:
    group = re.search(r"#\d+", _definition(text, name)[1])
    found = re.search(rf"^attributes {group[0]} = {{(.*)}}$", text, re.MULTILINE) if group else None
    return found[1] if found else ""


def _called(body: str) -> list[str]:
    # tail call void @_ZN4core9panicking5panic17h8f1bfa3850929499E(ptr …
    names = re.findall(r"\bcall [^@\n]*@\"?([\w.$]+)", body)
    return [name for name in names if not name.startswith("llvm.")]
