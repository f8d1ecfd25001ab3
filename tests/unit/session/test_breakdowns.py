"""What keeps pytest from making checks is told with its reason, where nobody but pytest hears of it."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import cast

import pytest

from frame_harness.judge.evidence import RunKey, Trouble
from frame_harness.session.breakdowns import Breakdowns

RUN = RunKey("q35", "dev")


def collected(*, failed: bool) -> Breakdowns:
    plugin = Breakdowns(RUN)
    report = SimpleNamespace(failed=failed, nodeid="test_x.py", longrepr="SyntaxError: line 3")
    plugin.pytest_collectreport(cast("pytest.CollectReport", report))
    return plugin


def broken_by(error: BaseException, run: RunKey | None = None) -> Trouble:
    plugin = Breakdowns(run)
    excinfo = cast("pytest.ExceptionInfo[BaseException]", SimpleNamespace(value=error))
    plugin.pytest_internalerror("INTERNALERROR> a line", excinfo)
    [trouble] = plugin.troubles
    return trouble


def test_a_file_that_cannot_be_collected_is_named_with_pytest_s_words() -> None:
    [trouble] = collected(failed=True).troubles
    assert (trouble.what, trouble.run) == ("suite", RUN)
    assert (trouble.message, trouble.detail) == ("test_x.py cannot be collected", "SyntaxError: line 3")
    assert collected(failed=False).troubles == []


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.ENOENT, "gone", "/tmp/x")])
def test_an_error_inside_pytest_is_told_as_such(error: Exception) -> None:
    trouble = broken_by(error, RUN)
    assert (trouble.what, trouble.message, trouble.run) == ("suite", "pytest broke down", RUN)
    assert trouble.detail == "INTERNALERROR> a line"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_the_host_s_fault_and_says_which_file(number: int) -> None:
    trouble = broken_by(OSError(number, "no room", "/tmp/report.json"))
    assert (trouble.what, trouble.run, trouble.detail) == ("files", None, "")
    assert "/tmp/report.json" in trouble.message
    assert trouble.next
