"""The contract at the boundaries of every operand, every stored value: slot methods."""

from __future__ import annotations

import pytest

from frame_harness.contract.boundaries import Method
from frame_harness.frame_metadata.slot_methods import SLOT_METHODS
from frame_harness.guest.boundaries import play
from frame_harness.guest.kernel import Kernel

pytestmark = pytest.mark.one_machine


def declared(method: Method) -> object:
    return pytest.param(method, id=method.id, marks=pytest.mark.clause(*method.clauses, at=method.at))


@pytest.mark.parametrize("method", [declared(method) for method in SLOT_METHODS])
def test_slot_method_at_the_boundaries(bare_kernel: Kernel, method: Method) -> None:
    play(bare_kernel, method)
