"""Judges the evidence of an archive again, from its folder alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from frame_harness.archive.folder import Archive
from frame_harness.base.errors import HarnessError
from frame_harness.base.version import version
from frame_harness.cli.reporting import show
from frame_harness.contract.contract import Contract
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.exit_codes import ExitCode, exit_code
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.report.terminal import console_for

_CONTRACTS: Final[Mapping[str, Contract]] = {one.name: one for one in (FRAME_METADATA, MEMORY_CORE)}


def judge_again(folder: Path) -> ExitCode:
    """Print the report that the run printed, return the status that it ended with.

    Clauses and invariants are those of this version; where the run had another one, that is said, since the
    verdict may be another one, too.

    Raises:
        HarnessError: the folder is no archive, or damaged.
    """
    archive = Archive.open(folder)
    contract = contract_of(archive)
    verdict = archive.verdict(contract)
    if (then := archive.header.version) != version():
        said = f"the run was judged by frame-harness {then}, this is {version()}"
        print(f"note: {said}: the verdict may be another one", file=sys.stderr)
    show(
        archive.evidence, verdict, archive.header.baseline, console_for(), contract,
        copies=archive.copies, kept=archive.kept,
    )  # fmt: skip
    return exit_code(verdict.kind)


def contract_of(archive: Archive) -> Contract:
    """The contract that an archive's evidence is judged by.

    Raises:
        HarnessError: nobody knows it here.
    """
    name = archive.header.contract
    if name not in _CONTRACTS:
        raise HarnessError(
            "archive", str(archive.folder), expected=f"a contract of {' or '.join(_CONTRACTS)}", actual=name,
            next_step="open it with the version of frame-harness that wrote it",
        )  # fmt: skip
    return _CONTRACTS[name]
