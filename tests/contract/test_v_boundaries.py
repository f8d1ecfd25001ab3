"""The contract at the boundaries of every operand, every stored value: slot methods."""

from __future__ import annotations

import pytest

from frame_harness.contract.methods import SlotMethod
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.guest.boundaries import play

pytestmark = pytest.mark.one_machine


def declared(method: SlotMethod) -> object:
    mark = pytest.mark.clause(*method.clauses, at=FRAME_METADATA.path_of(method))
    return pytest.param(method, id=method.id, marks=mark)


@pytest.mark.parametrize("method", [declared(method) for method in FRAME_METADATA.methods])
def test_slot_method_at_the_boundaries(bare_kernel: Kernel, method: SlotMethod) -> None:
    play(bare_kernel, method)
