"""Proves that no modules of the shim depend on each other in a circle, but for the subject's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SHIM = Path(__file__).resolve().parents[2] / "kernel_shim"
CRATES = {"parts": "lib.rs", "src": "main.rs"}
# A frame module asks its kernel for the allocators, which are made for it: that circle is the kernel's own.
SUBJECT = "src/memory/frame.rs"

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_CHILD = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?mod (\w+);", re.MULTILINE)
_MACRO = re.compile(r"macro_rules! (\w+)")
_TOKEN = re.compile(r"\s*(\w+|::|[{},*!])")

Texts = Mapping[str, str]
Graph = dict[str, set[str]]


def texts_of(shim: Path) -> dict[str, str]:
    files = [file for crate in CRATES for file in sorted((shim / crate).rglob("*.rs"))]
    return {file.relative_to(shim).as_posix(): file.read_text(encoding="utf-8") for file in files}


def module_of(name: str) -> tuple[str, ...]:
    """The path of a file's module; that of the crate's root is the crate's folder alone."""
    parts = name.removesuffix(".rs").split("/")
    return tuple(parts[:-1]) if parts[-1] in ("mod", "lib", "main") else tuple(parts)


def dependencies(texts: Texts) -> Graph:
    """For each file the files whose names it uses."""
    modules = {module_of(name): name for name in texts}
    codes = {name: _COMMENT.sub(" ", text) for name, text in texts.items()}
    macros = {macro: name for name, code in codes.items() for macro in _MACRO.findall(code)}
    return {name: set(_used(name, code, modules, macros)) - {name} for name, code in codes.items()}


def _used(
    name: str, code: str, modules: Mapping[tuple[str, ...], str], macros: Mapping[str, str]
) -> Iterator[str]:
    module = module_of(name)
    first = "|".join(["crate", "super", "self", *_CHILD.findall(code)])
    for found in re.finditer(rf"(?<![\w:])\$?({first})\s*(?=::)", code):
        for path in _paths(code[found.end() :]):
            if path[-1:] == ("!",):
                if path[-2] in macros:
                    yield macros[path[-2]]
                continue
            yield modules[_longest(_absolute(module, found[1], path), modules)]


def _paths(code: str) -> list[tuple[str, ...]]:
    """The paths that a tree of names such as `::a::{b, c::d}` stands for."""
    tokens = _tokens(code)
    return _tree(tokens, ())


def _tokens(code: str) -> list[str]:
    """The tokens of the tree that the code begins with, the last first."""
    found: list[str] = []
    at = depth = 0
    while (token := _TOKEN.match(code, at)) and (depth or token[1] not in ("}", ",", "*")):
        # Behind a name there is `::`, or, in braces, a comma or the end; else the tree is over.
        if not depth and found and found[-1] != "::" and token[1] not in ("::", "!"):
            break
        depth += {"{": 1, "}": -1}.get(token[1], 0)
        found.append(token[1])
        at = token.end()
        if token[1] == "!" or (token[1] == "}" and not depth):
            break
    return found[::-1]


def _tree(tokens: list[str], before: tuple[str, ...]) -> list[tuple[str, ...]]:
    path = before
    while tokens:
        token = tokens.pop()
        if token == "{":
            found: list[tuple[str, ...]] = []
            while tokens and tokens[-1] != "}":
                found += _tree(tokens, path)
                if tokens and tokens[-1] == ",":
                    tokens.pop()
            if tokens:
                tokens.pop()
            return found
        if token in (",", "}"):
            tokens.append(token)
            break
        if token == "as":
            tokens.pop()
        elif token not in ("::", "*", "self"):
            path = (*path, token)
    return [path]


def _absolute(module: tuple[str, ...], first: str, path: tuple[str, ...]) -> tuple[str, ...]:
    if first == "crate":
        return module[:1] + path
    if first == "super":
        above = module[:-1]
        while path[:1] == ("super",):
            above, path = above[:-1], path[1:]
        return above + path
    return module + (path if first == "self" else (first, *path))


def _longest(path: tuple[str, ...], modules: Mapping[tuple[str, ...], str]) -> tuple[str, ...]:
    while path not in modules:
        path = path[:-1]
    return path


def circle(graph: Graph) -> list[str]:
    """One circle of files, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def without_the_subject_s(graph: Graph) -> Graph:
    return {name: set() if name == SUBJECT else used for name, used in graph.items()}


def test_no_circle_of_modules_is_in_the_shim() -> None:
    assert circle(without_the_subject_s(dependencies(texts_of(SHIM)))) == []


def test_the_circle_of_the_subject_is_one_and_goes_through_the_allocators() -> None:
    """Nothing is taken for an exception that is none any more."""
    graph = dependencies(texts_of(SHIM))
    assert SUBJECT in circle(graph)
    assert graph[SUBJECT] >= {"src/memory/boot_alloc.rs", "src/memory/buddy.rs", "src/sync.rs"}


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("src/arch/exit.rs", "use crate::report;\n"),
        ("src/arch/exit.rs", "use crate::{cmdline, smp::{self, program as table}};\n"),
        ("src/console/output.rs", "fn f() { crate::console::dispatch::new_reply(); }\n"),
        ("src/cpus/record.rs", "use super::panics::RUNNING;\n"),
        ("src/cpus/record.rs", "fn f() { super::super::report::recovers(); }\n"),
        ("src/console/uart.rs", 'fn f() { crate::log!("x"); }\n'),
        ("src/memory/zone_of.rs", "use crate::memory::buddy; mod buddy_of;\n"),
        ("parts/text.rs", "use crate::reply::Reply;\n"),
    ],
)
def test_a_circle_is_found_however_it_is_written(name: str, added: str) -> None:
    texts = texts_of(SHIM)
    texts[name] = texts.get(name, "") + added
    if name.endswith("zone_of.rs"):
        texts["src/memory/cpu_lock.rs"] += "use super::zone_of;\n"
    assert name in circle(without_the_subject_s(dependencies(texts)))


def test_comments_and_texts_are_no_dependencies() -> None:
    texts = texts_of(SHIM)
    texts["src/arch/exit.rs"] += '// use crate::report;\nconst A: &str = "crate::report::end";\n'
    assert circle(without_the_subject_s(dependencies(texts))) == []
