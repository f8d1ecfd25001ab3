"""A pytest plugin: what nobody but `check` asks of the harness's plug-in, as options for tests of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from frame_harness.judge.evidence import encode
from frame_harness.session.plugin import SESSION
from frame_harness.session.request import REQUEST, request_of_options


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--evidence", type=Path, help="write what was seen")
    parser.addoption("--red", default="", help="how the guest's kernel misbehaves")
    parser.addoption("--any-machine", action="store_true", help="checks that name a machine have it")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    request = request_of_options(config)
    config.stash[REQUEST] = replace(
        request,
        evidence=config.getoption("--evidence") is not None,
        red=config.getoption("--red"),
        any_machine=request.any_machine or config.getoption("--any-machine"),
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    evidence = config.stash[SESSION].evidence
    if evidence is not None:
        config.getoption("--evidence").write_text(encode(evidence), encoding="utf-8")
