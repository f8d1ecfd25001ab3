"""Keeps what keeps pytest from making the checks."""

from __future__ import annotations

import pytest

from frame_harness.base import disk
from frame_harness.judge.evidence import RunKey, Trouble
from frame_harness.session.runs import trouble_of


class Breakdowns:
    """A plugin of pytest.

    Attributes:
        troubles: what went wrong, where nobody but pytest hears of it.
    """

    def __init__(self, run: RunKey | None = None) -> None:
        """Hear of nothing yet.

        Args:
            run: that is to blame for what pytest itself ends in; None where there are several.
        """
        self.troubles: list[Trouble] = []
        self._run = run

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be collected, with pytest's own report."""
        if report.failed:
            self._note(f"{report.nodeid} cannot be collected", report.longrepr)

    def pytest_internalerror(self, excrepr: object, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note an error inside pytest; where a file could not be written, that one."""
        error = excinfo.value
        if isinstance(error, OSError) and (full := disk.unwritable(error)):
            self.troubles.append(of_the_host(full))
        else:
            self._note("pytest broke down", excrepr)

    def _note(self, message: str, detail: object) -> None:
        self.troubles.append(Trouble(what="suite", message=message, detail=str(detail), run=self._run))


def of_the_host(error: OSError | disk.Unwritable) -> Trouble:
    """Say what could not be written."""
    if isinstance(error, disk.Unwritable):
        return trouble_of("files", error)
    return Trouble(
        what="files",
        message=str(error),
        next="make room or get leave to write there; TMPDIR and FRAME_HARNESS_CACHE name other folders",
    )
