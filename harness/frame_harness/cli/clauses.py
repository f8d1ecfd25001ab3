"""Finds out which check of the suite names which clause, without running any."""

from __future__ import annotations

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.resources import suite_dir
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.evidence import RunKey
from frame_harness.machine.definition import DEFAULT_MACHINE, load_machines
from frame_harness.memory_core.checks import planned
from frame_harness.memory_core.clauses import CORE_CLAUSES
from frame_harness.report.clause_table import ClauseTable, clause_table
from frame_harness.session.request import SessionRequest
from frame_harness.session.suite import run_suite


def suite_clauses() -> ClauseTable:
    """The table of the suite as it is installed; no guest is started.

    Raises:
        HarnessError: the suite cannot be collected.
    """
    return clause_table(FRAME_METADATA.clauses, dict.fromkeys(suite_checks()))


def core_clauses() -> ClauseTable:
    """The table of a memory core's clauses; one campaign looks at all of them."""
    return clause_table(CORE_CLAUSES, [(one.check, one.clauses) for one in planned(RunKey("", ""))])


def suite_checks() -> list[tuple[str, tuple[str, ...]]]:
    """The name of each check of the suite, with the clauses that it looks at; once for each of its cases.

    Raises:
        HarnessError: the suite cannot be collected.
    """
    request = SessionRequest(
        subject=frame_module(),
        machines=load_machines([DEFAULT_MACHINE]),
        profiles=("dev",),
        any_machine=True,
    )
    status, session = run_suite(request, "--collect-only")
    if session is None or status != pytest.ExitCode.OK:
        raise HarnessError("suite", str(suite_dir()), detail=f"cannot be collected: pytest status {status}")
    return [(one.check.partition("[")[0], one.clauses) for one in session.planned.values()]
