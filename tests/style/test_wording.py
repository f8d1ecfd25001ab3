"""Proves that modules say what they are for, without patterns that hide faults."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.each import each

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sorted(path for path in (ROOT / "harness").rglob("*.py") if "_data" not in path.parts)
RUST = sorted(path for path in (ROOT / "kernel_shim").rglob("*.rs") if "target" not in path.parts)
PRODUCT = [*PYTHON, *RUST]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SHELL = sorted((ROOT / "harness").rglob("*.sh"))
PROSE = [ROOT / "DESIGN.md", ROOT / "README.md", ROOT / "NEWS.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLE = re.findall(
    r"\| instead of \| (say) \|\n\|---\|---\|\n((?:\|.*\n)+)", PROSE[0].read_text(encoding="utf-8")
)[0]
# What programs write: numbers of versions and digests, no words of ours.
GENERATED = ("Cargo.lock", "requirements.lock")
QUOTES_OTHER_WORDS = {"tests/style/test_wording.py"}  # its examples have to contain them
NAMED_BY_OTHERS = re.compile(r"\.chunks(?:_exact)?\(")
"""Methods of Rust's slices: a word of theirs, not of ours."""
LONGEST_MODULE = 400
ONE_FILE_BY_NATURE = {"kernel_shim/src/memory/frame.rs"}  # what stands in for a kernel's own file is one, too

# Included in a module of another file, where Rust takes no comment for the module's documentation.
INCLUDED = {"kernel_shim/src/memory/mod.rs", "kernel_shim/src/tree/memory.rs"}
WIDE = {"Exception", "BaseException"}
COLLECTS = {("harness/frame_harness/console/stream.py", "read_nonblocking: sleep(")}
"""Where it sleeps to collect bytes of a line: nothing depends on how long."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def first_line(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    mark = "//" if name_of(path) in INCLUDED else "//!"
    return text.partition("\n")[0].removeprefix(mark).strip() if text.startswith(mark) else ""


@each(PRODUCT, ids=name_of)
def test_module_begins_with_a_sentence(path: Path) -> None:
    assert first_line(path).endswith("."), "expected a sentence in the first line"


@each(PRODUCT, ids=name_of)
def test_module_is_short_enough_to_be_read(path: Path) -> None:
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= LONGEST_MODULE or name_of(path) in ONE_FILE_BY_NATURE


@each([*PYTHON, *SHELL], ids=name_of)
def test_nothing_sleeps_or_writes_to_a_fixed_place(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = [line for line in sleeps_or_places(text) if (name_of(path), line) not in COLLECTS]
    assert found == []


def sleeps_or_places(text: str) -> list[str]:
    """What sleeps or names such a place: the function around it in Python, with what it does."""
    # asyncio.sleep(0) gives way to others; any other number is a guess about how long something takes.
    marks = re.finditer(r"\bsleep\s*\((?!0\))|^\s*sleep\s|/tmp/|/var/tmp", text, flags=re.MULTILINE)
    return [f"{function_at(text, mark.start())}: {mark[0].strip()}" for mark in marks]


def function_at(text: str, at: int) -> str:
    """The last function that Python code defines above a place; enough to name what is exempt."""
    above = re.findall(r"^\s*(?:async )?def (\w+)", text[:at], flags=re.MULTILINE)
    return above[-1] if above else "module"


def test_each_place_that_may_sleep_does_so_once() -> None:
    for file, line in COLLECTS:
        assert sleeps_or_places((ROOT / file).read_text(encoding="utf-8")).count(line) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def f():\n    time.sleep(0.1)\n", ["f: sleep("]),
        ("def f(): ...\nasync def g():\n    await asyncio.sleep(COLLECT_S)\n", ["g: sleep("]),
        ("sleep 1\n", ["module: sleep"]),
        ("PLACE = '/tmp/a'\n", ["module: /tmp/"]),
        ("async def g():\n    await asyncio.sleep(0)\n", []),
        ("asleep(1)\n", []),
    ],
)
def test_what_sleeps_is_seen_with_its_function(text: str, found: list[str]) -> None:
    assert sleeps_or_places(text) == found


@each(PYTHON, ids=name_of)
def test_no_exception_is_swallowed_unseen(path: Path) -> None:
    found: list[int] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            silent = all(isinstance(line, ast.Pass | ast.Continue | ast.Break) for line in node.body)
            if node.type is None or (silent and names_in(node.type) & WIDE):
                found.append(node.lineno)
        elif isinstance(node, ast.Call) and names_in(node.func) & {"suppress"}:
            found += [node.lineno for argument in node.args if names_in(argument) & WIDE]
    assert found == []


@cache
def classes_of_ours() -> set[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in PYTHON)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def unexplained(text: str) -> list[int]:
    """Lines that drop an error of a class of ours without a comment that says why."""
    lines, found = text.splitlines(), []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.With):
            dropped = {
                name for item in node.items if "suppress" in names_in(item.context_expr)
                for name in names_in(item.context_expr)
            }  # fmt: skip
            first, last = node.lineno - 1, node.body[0].lineno - 1
        elif isinstance(node, ast.ExceptHandler) and node.type is not None and drops(node.body):
            dropped, first, last = names_in(node.type), node.lineno, node.end_lineno or node.lineno
        else:
            continue
        if dropped & classes_of_ours() and not any(
            has_comment(line) for line in lines[max(first - 1, 0) : last]
        ):
            found.append(node.lineno)
    return found


def drops(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(line, ast.Pass | ast.Continue | ast.Break)
        or (isinstance(line, ast.Return) and line.value is None)
        for line in body
    )


def has_comment(line: str) -> bool:
    return re.search(r"(?:^\s*|  )# [\w`]", line) is not None


@each(PYTHON, ids=name_of)
def test_it_is_said_why_an_error_of_ours_is_dropped(path: Path) -> None:
    assert unexplained(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "with suppress(HarnessError):\n    f()",
        "def f():\n    with open(a), contextlib.suppress(OSError, errors.GuestTimeout):\n        f()  # why",
        "try:\n    f()\nexcept (HarnessError, OSError):\n    pass",
        "for a in b:\n    try:\n        f()\n    except ImageError:\n        continue\n    # of what follows",
        "def f():\n    try:\n        g()\n    except MonitorGone:\n        return",
    ],
)
def test_an_error_that_is_dropped_in_silence_is_seen(text: str) -> None:
    assert len(unexplained(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "with suppress(HarnessError):  # it is raised again\n    f()",
        "# It is raised again.\nwith suppress(HarnessError):\n    f()",
        "with suppress(HarnessError):\n    # It is raised again.\n    f()",
        "try:\n    f()\nexcept HarnessError:\n    pass  # it is raised again",
        "try:\n    f()\nexcept HarnessError as error:\n    g(error)",
        "with suppress(FileNotFoundError):\n    f()",
    ],
)
def test_an_error_whose_end_is_explained_passes(text: str) -> None:
    assert unexplained(text) == []


@each([*PRODUCT, *TESTS], ids=name_of)
def test_nothing_is_left_for_later(path: Path) -> None:
    # At the start of a comment: KTAP has a directive of that name, which its parser must mention.
    markers = "TO" + "DO|FIX" + "ME|XX" + "X"
    found = re.findall(rf"(?:#|//)[!/]?\s*(?:{markers})\b.*", path.read_text(encoding="utf-8"))
    assert [line for line in found if "ktap" not in path.name] == []


def other_words() -> tuple[str, ...]:
    """The words of DESIGN's table that stand for a thing which has another word."""
    return tuple(word.strip() for row in TABLE[1].splitlines() for word in row.split("|")[1].split(","))


def tracked() -> list[Path]:
    """All files of the repository that are text and that somebody wrote; of an unpacked archive none."""
    git = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=False).stdout.decode()
    files = (ROOT / name for name in listed.split("\0") if name and not name.endswith(GENERATED))
    return [path for path in files if path.is_file() and b"\0" not in path.read_bytes()]


@each(sorted({*tracked(), *PRODUCT, *PROSE}), ids=name_of)
def test_one_thing_has_one_word(path: Path) -> None:
    if name_of(path) not in QUOTES_OTHER_WORDS:
        text = NAMED_BY_OTHERS.sub("", path.read_text(encoding="utf-8").replace(TABLE[1], ""))
        assert [word for word in other_words() if words_in(f"{name_of(path)}\n{text}", word)] == []


def words_in(text: str, word: str) -> list[str]:
    """A word with the endings that it may have, also as a part of a name or across two lines of a comment."""
    between = r"(?:[ _-]|[ \t]*\n[ \t]*(?://[/!]?|#|\*)?[ \t]*)"
    return re.findall(rf"(?i)(?<![a-z]){word.replace(' ', between)}(?:s|ed|ing|al)?(?![a-z])", text)


def test_another_word_is_seen_in_prose_and_in_names() -> None:
    assert "neighbour" in other_words() and "page frame" in other_words()
    assert words_in("Two Neighbours of it.", "neighbour") and words_in("def colour_of(): ...", "colour")
    assert words_in("PAGE_FRAME = 1", "page frame") and not words_in("a page, framed", "page frame")
    assert words_in("# of a page\n    # frame", "page frame") and not words_in(
        "a page\n\nframe", "page frame"
    )


def test_every_kind_of_text_is_looked_at() -> None:
    kinds = {path.suffix for path in tracked()}
    assert not kinds or {".py", ".rs", ".s", ".ld", ".md", ".toml", ".yml", ".sh", ".css", ".j2"} <= kinds
    assert not kinds & {".png", ".lock"}


def names_in(node: ast.expr) -> set[str]:
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return names | {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
