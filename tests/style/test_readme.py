"""What README shows is what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import click
import pytest

from frame_harness.cli.main import cli
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge.exit_codes import table
from frame_harness.memory_core.clauses import CORE_CLAUSES
from tests.style.test_wording import name_of, tracked

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
DIVIDED = ("tests", "kernel_shim")
"""Folders whose own folders are named one by one."""


def test_exit_status_table_is_the_code_s_own() -> None:
    assert table() in README


@pytest.mark.parametrize("text", [README, DESIGN], ids=["README", "DESIGN"])
def test_every_make_target_that_is_named_exists(text: str) -> None:
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= TARGETS


@pytest.mark.parametrize("text", [README, DESIGN], ids=["README", "DESIGN"])
def test_every_command_that_is_named_exists(text: str) -> None:
    named = set(re.findall(r"frame-harness ([a-z][a-z-]*)", text))
    assert named <= set(cli.commands)


def test_every_command_of_the_program_is_explained_once() -> None:
    assert sorted(re.findall(r"(?m)^\| `frame-harness ([a-z-]+)`", README)) == sorted(cli.commands)


def test_every_option_of_check_that_is_shown_exists() -> None:
    shown = set(re.findall(r"(--[a-z-]+)", README.split("## The command")[1].split("```")[1]))
    options = {
        name for each in cli.commands["check"].params if isinstance(each, click.Option) for name in each.opts
    }
    assert shown <= options


@pytest.mark.parametrize("text", [README, DESIGN], ids=["README", "DESIGN"])
def test_every_clause_that_is_named_exists(text: str) -> None:
    known = {*CLAUSES, *CORE_CLAUSES}
    sections = "|".join(sorted({clause.partition("-")[0] for clause in known}))
    named = set(re.findall(rf"\b(?:{sections})-\d\d\b", text))
    assert named
    assert named <= known


def test_readme_names_clauses_of_either_contract() -> None:
    """Else the rule above would hold for ids that it does not see."""
    assert all(any(clause in README for clause in clauses) for clauses in (CLAUSES, CORE_CLAUSES))


def test_the_picture_of_the_design_names_every_report_of_check() -> None:
    names = {
        "json": "JSON",
        "junit": "JUnit",
        "html": "HTML",
        "sarif": "SARIF",
        "code_quality": "code quality",
    }
    options = [each for each in cli.commands["check"].params if isinstance(each, click.Option) and each.help]
    files = {str(each.name).rstrip("_") for each in options if str(each.help).startswith("Write the ")}
    assert files == set(names)
    [picture] = [line for line in DESIGN.splitlines() if "one verdict ─►" in line]
    assert [name for name in names.values() if name not in picture] == []


def named_beside(design: str) -> set[str]:
    """What the first column of DESIGN's table "beside it" names."""
    rows = design.split("\n| beside it | what it holds |\n|---|---|\n")[1].partition("\n\n")[0]
    return {name for row in rows.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def folders_of(files: Iterable[str]) -> set[str]:
    """The folders at the top, but of `tests` and `kernel_shim` those in it."""
    parts = [file.split("/") for file in files]
    split = [one for one in parts if one[0] in DIVIDED and len(one) > 2]
    whole = [one for one in parts if one[0] not in DIVIDED and len(one) > 1]
    return {f"{one[0]}/" for one in whole} | {f"{one[0]}/{one[1]}/" for one in split}


def unnamed(folders: Iterable[str], names: Iterable[str]) -> list[str]:
    """The folders that a table does not have, neither themselves nor anything in them."""
    named = tuple(names)
    return sorted(folder for folder in folders if not any(name.startswith(folder) for name in named))


def test_all_that_the_design_names_beside_the_packages_is_in_the_tree() -> None:
    names = named_beside(DESIGN)
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert [name for name in names if (ROOT / name).is_dir() != name.endswith("/")] == []


def test_the_design_names_every_folder_of_the_tree() -> None:
    """Of an unpacked archive, which has no index of files, there is nothing to compare with."""
    assert unnamed(folders_of(name_of(path) for path in tracked()), named_beside(DESIGN)) == []


def test_a_folder_that_the_design_does_not_name_is_seen() -> None:
    files = ["Makefile", "qemu/pc.toml", "tests/conftest.py", "tests/red/a.py", "harness/package/a.py"]
    folders = folders_of(files)
    assert folders == {"qemu/", "tests/red/", "harness/"}
    assert unnamed(folders, {"tests/red/", "harness/start.py"}) == ["qemu/"]
    assert unnamed(folders, {"tests/", "qemu/", "harness/"}) == ["tests/red/"]
    row = next(line for line in DESIGN.splitlines() if line.startswith("| `tests/support/` |"))
    assert unnamed(["tests/support/"], named_beside(DESIGN.replace(f"{row}\n", ""))) == ["tests/support/"]
