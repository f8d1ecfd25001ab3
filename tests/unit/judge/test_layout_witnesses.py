"""Proves which witnesses of a layout have to agree, by whether the contract has one."""

from __future__ import annotations

import pytest

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.conjuncts import layout_witnesses_agree
from frame_harness.judge.evidence import LayoutEvidence, Witness
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.memory_core.contract import MEMORY_CORE
from tests.unit.evidence_samples import DEV, healthy, with_run


@pytest.mark.parametrize(
    ("layout", "promises"),
    [
        (LayoutEvidence(dwarf=Witness.UNPROMISED, guest_bytes=Witness.EQUAL), True),
        (LayoutEvidence(dwarf=Witness.EQUAL, guest_bytes=Witness.EQUAL), False),
        (LayoutEvidence(dwarf=Witness.UNPROMISED, guest_bytes=Witness.UNPROMISED), False),
        (LayoutEvidence(dwarf=Witness.EQUAL, guest_bytes=Witness.UNPROMISED), True),
    ],
)
def test_dwarf_is_compared_where_the_contract_has_a_layout_and_nowhere_else(
    layout: LayoutEvidence, promises: bool
) -> None:
    contract = FRAME_METADATA if promises else MEMORY_CORE
    run = with_run(healthy(), DEV, layout=layout).runs[0]
    assert [reason.kind for reason in layout_witnesses_agree(run, contract)] == [VerdictKind.ERROR]


def test_guest_bytes_alone_can_contradict_where_the_contract_has_no_layout() -> None:
    layout = LayoutEvidence(dwarf=Witness.UNPROMISED, guest_bytes=Witness.DIFFERS, text="order: 8, not 4")
    run = with_run(healthy(), DEV, layout=layout).runs[0]
    (reason,) = layout_witnesses_agree(run, MEMORY_CORE)
    assert reason.kind is VerdictKind.FAIL and "order: 8, not 4" in reason.message
