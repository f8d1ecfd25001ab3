"""Storms end by the clock or by a count of steps; what they break can be seen again."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from harness import storm_command
from harness.cli import cli
from harness.judge.exit_codes import ExitCode
from harness.kernel_errors import GuestTimeout

ENV = {"FRAME_RS": ""}


def test_each_named_storm_goes_on_until_its_steps_are_counted() -> None:
    run = CliRunner().invoke(
        cli, ["storm", "claims", "poison", "--steps", "5000", "--time", "0.001"], env=ENV
    )
    assert run.exit_code == ExitCode.PASS, run.output
    counts = dict(re.findall(r"^(\w+) +(\d+\.\d+) M steps .*: held$", run.output, re.MULTILINE))
    assert set(counts) == {"claims", "poison"}
    assert all(float(millions) >= 0.005 for millions in counts.values())


def test_storm_that_hangs_the_guest_is_a_finding_of_its_clauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, **__: Any) -> None:
        raise GuestTimeout("guest", detail="every CPU is halted for good")

    monkeypatch.setattr(storm_command, "rage", hang)
    monkeypatch.setattr(sys, "argv", ["/elsewhere/bin/frame-harness"])
    run = CliRunner().invoke(cli, ["storm", "poison", "--time", "0.001"], env=ENV)
    assert run.exit_code == ExitCode.FAIL, run.output
    assert "GUARD-09: " in run.output
    assert "BROKEN, " in run.output and "halted for good" in run.output
    assert "see it again: /elsewhere/bin/frame-harness storm poison --cpus 2 --seed 1 " in run.output
