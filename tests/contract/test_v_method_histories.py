"""Methods of a slot in random sequences: each call as the contract says, whatever was called before."""

from __future__ import annotations

import zlib

import pytest

from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.histories.method_history import check, clauses_at_stake

CALLS = 600


@pytest.mark.one_machine
@pytest.mark.level("history")
@pytest.mark.parametrize(
    "clause",
    [pytest.param(id_, marks=pytest.mark.clause(id_)) for id_ in clauses_at_stake(FRAME_METADATA)],
)
def test_methods_in_random_sequences(bare_kernel: Kernel, boot: Boot, clause: str) -> None:
    check(bare_kernel, lambda: boot(init="array"), clause, CALLS, seed=zlib.crc32(clause.encode()))
