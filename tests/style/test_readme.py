"""What README shows is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from frame_harness.cli.main import cli
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge.exit_codes import table
from frame_harness.memory_core.clauses import CORE_CLAUSES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))


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


def test_every_room_of_the_design_is_in_the_tree() -> None:
    rooms = re.findall(r"(?m)^\| `((?:harness|kernel_shim|tests)/[a-z_/]*)`", DESIGN)
    assert rooms
    assert all((ROOT / room).exists() for room in rooms)
