"""Proves that the command which a finding names shows that finding again, and looks at nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from frame_harness.judge.exit_codes import ExitCode
from tests.support.doors import SOURCES, WORDS_OF_THE_CALLER, check, open_pytest, write_machine
from tests.support.mutants import Edit, broken

WRONG: Edit = (
    "Self { start_address: addr.align_down(PAGE_SIZE) }",
    "Self { start_address: addr.align_down(PAGE_SIZE) + u64::from(addr.as_u64() == 4097) * PAGE_SIZE }",
)
CASES = """\
import pytest

@pytest.mark.clause("FRAME-01")
@pytest.mark.parametrize("address", [4096, 4097], ids=["it's 4096", "it's $4097"])
def test_it(kernel, address):
    assert kernel.call("frame.containing", address)["paddr"] == 4096
"""


def in_a_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody would who copied it from the report."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for name in WORDS_OF_THE_CALLER & env.keys():
        del env[name]
    env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}", "PYTHONPATH": str(SOURCES)}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def seen(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each check that found something broken: its name, what it saw, the command."""
    checks = [one for run in report["runs"] for one in run["checks"] if one["outcome"] == "violated"]
    return [(one["check"], one["message"], one["reproduce"]) for one in checks]


def test_command_of_check_shows_the_case_again_and_no_other(tmp_path: Path) -> None:
    select = ("--profile", "release", "-k", "test_containing_address_clears_the_low_bits")
    first = check(tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken([WRONG]), *select)
    [(name, message, command)] = seen(first.report)
    assert name.endswith("[0x1001]")
    assert f"see it again: {command}" in first.out.replace("\n", " ")
    again = in_a_shell(f"{command} --json again.json", tmp_path)
    assert again.returncode == ExitCode.FAIL, again.stdout + again.stderr
    report = json.loads((tmp_path / "again.json").read_text())
    assert [one["check"] for run in report["runs"] for one in run["checks"]] == [name]
    assert seen(report) == [(name, message, command)]


def test_command_of_pytest_shows_the_case_again_and_no_other(tmp_path: Path) -> None:
    words = ("--machine", write_machine(tmp_path), "--frame-rs", broken([WRONG]), "--profile", "release")
    with open_pytest(tmp_path, CASES, *words) as door:
        assert door.end()[0] == pytest.ExitCode.TESTS_FAILED
    evidence = json.loads((tmp_path / "evidence.json").read_text())
    [command] = [one["reproduce"] for one in evidence["checks"] if one["outcome"] == "violated"]
    again = in_a_shell(f"{command} -p no:cacheprovider --rootdir=. -c no-pytest.ini", tmp_path)
    assert again.returncode == pytest.ExitCode.TESTS_FAILED, again.stdout + again.stderr
    assert "1 failed, 1 deselected" in again.stdout and "$4097" in again.stdout
