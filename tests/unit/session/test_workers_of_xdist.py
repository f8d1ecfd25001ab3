"""What a worker of pytest-xdist saw is told once; of one that died, that nothing is known of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.judge.evidence import Trouble, encode
from frame_harness.session.plugin import SESSION, pytest_testnodedown
from frame_harness.session.runs import only
from frame_harness.session.session import HANDED_OVER

pytest_plugins = ["pytester"]
DIES_AT_ITS_END = """
    import os, pathlib, pytest

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(session):
        died = pathlib.Path("died")
        if hasattr(session.config, "workerinput") and not died.exists():
            died.touch()
            os._exit(1)
"""


def test_a_worker_that_dies_behind_its_last_check_is_no_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(DIES_AT_ITS_END)
    pytester.makepyfile("def test_passes(): pass")
    result = pytester.runpytest_subprocess("-p", "frame_harness.session.plugin", "-p", "xdist", "-n", "1")
    result.assert_outcomes(passed=1)
    assert "ERROR suite: worker gw0 died" in result.stdout.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED


class Heard:
    """A session that hears of its workers."""

    def __init__(self) -> None:
        self.outputs: list[object] = []
        self.lost: list[tuple[str, str]] = []

    def add_worker(self, output: object) -> None:
        self.outputs.append(output)

    def worker_was_lost(self, what: str, detail: str) -> None:
        self.lost.append((what, detail))


def test_a_worker_that_was_stopped_is_heard_once_though_its_end_is_told_twice() -> None:
    heard, output = Heard(), only(Trouble(what="guests", message="one hung"))
    node: Any = SimpleNamespace(
        gateway=SimpleNamespace(id="gw3"),
        workeroutput={HANDED_OVER: encode(output)},
        config=SimpleNamespace(stash={SESSION: heard}),
    )
    pytest_testnodedown(node, None)
    pytest_testnodedown(node, "keyboard-interrupt")
    assert (heard.outputs, heard.lost) == ([output], [])
    del node.workeroutput
    pytest_testnodedown(node, "Not properly terminated")
    assert heard.lost == [("gw3 died", "Not properly terminated")]
