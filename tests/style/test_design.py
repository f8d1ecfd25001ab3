"""The tables of DESIGN agree with the code."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DESIGN = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
TYPE_STUBS = "types-"
MOST_WORDS = 250
"""Of a decision: one that needs more is several, or says what its module can say."""


def section(title: str) -> str:
    return DESIGN.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_design_says_its_limits_before_what_it_is_made_of() -> None:
    assert re.findall(r"(?m)^## (.+)$", DESIGN)[:2] == ["The question", "Limits"]
    assert DESIGN.index("\n## Limits\n") < DESIGN.index("\n## Packages\n")


def test_every_file_that_the_limits_name_is_in_the_tree() -> None:
    named = set(re.findall(r"`([\w/]+(?:\.(?:py|rs)|/))`", section("Limits")))
    assert len(named) > 10
    places = (ROOT, ROOT / "harness" / "frame_harness")
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []


def classes() -> set[str]:
    files = (ROOT / "harness").rglob("*.py")
    return {
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }


def test_every_class_of_the_glossary_is_in_the_code() -> None:
    named = set(re.findall(r"`([A-Z][a-z]\w+)`", section("Words"))) - {"MetaSlot"}
    assert len(named) > 5
    assert named - classes() == set()


def test_a_word_is_explained_once() -> None:
    rows = re.findall(r"(?m)^\| ([^|]+) \| [^|]+ \|$", section("Words"))
    words = [word for row in rows[1:] for word in row.split(", ")]
    assert sorted(words) == sorted(set(words))


def documented() -> set[str]:
    """The packages of the table of dependencies."""
    rows = re.findall(r"(?m)^\| ([^|]+) \|", section("Dependencies"))[1:]
    names = (name for row in rows for name in re.sub(r"\(.*\)|crate|`", "", row).split(","))
    return {name.strip() for name in names}


def required() -> set[str]:
    """The packages that the two build files ask for; type stubs have no role of their own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["campaign"], *extras["dev"]]
    python = {re.split(r"[><=~]", one)[0] for one in wanted if not one.startswith(TYPE_STUBS)}
    shim = tomllib.loads((ROOT / "kernel_shim" / "Cargo.toml").read_text(encoding="utf-8"))
    crates = {name for name, one in shim["dependencies"].items() if "path" not in one}  # not the shim's own
    return python | crates


def test_every_dependency_has_its_reason() -> None:
    assert documented() == required()


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = re.findall(r"(?m)^\*\*D([0-9?]+)\.", DESIGN)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]


def decisions() -> dict[str, str]:
    """By number the text of each decision."""
    found = re.split(r"(?m)^\*\*D([0-9]+)\.", section("Decisions"))[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def test_no_decision_has_more_than_250_words() -> None:
    lengths = {number: len(text.split()) for number, text in decisions().items()}
    assert len(lengths) > 80
    assert {number: length for number, length in lengths.items() if length > MOST_WORDS} == {}


def test_the_index_names_each_decision_once() -> None:
    index = section("Decisions").partition("\n**D1.")[0]
    named = re.findall(r"\bD(\d+)\b", index)
    assert sorted(named, key=int) == list(decisions())


def test_decisions_that_the_code_names_exist() -> None:
    code = [ROOT / "kernel_shim" / "Cargo.toml", *(ROOT / "kernel_shim" / "src").rglob("*.rs")]
    code += [*(ROOT / "kernel_shim" / "parts").rglob("*.rs"), *(ROOT / "harness").rglob("*.py")]
    texts = [file.read_text(encoding="utf-8") for file in code]
    named = {number for text in texts for number in re.findall(r"(?:\(|DESIGN, )D(\d+)\b", text)}
    assert named
    assert [number for number in sorted(named) if f"**D{number}." not in DESIGN] == []
