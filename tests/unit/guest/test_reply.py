"""A refusal is the caller's mistake, or a broken clause where the contract says what its guest follows."""

from __future__ import annotations

import pytest

from frame_harness.console.protocol import ReplyLine
from frame_harness.contract.contract import FollowedField
from frame_harness.guest.checks import ImpossibleValue
from frame_harness.guest.errors import CommandRefused
from frame_harness.guest.reply import SLOT_LEADS_NOWHERE, Reply, checked
from tests.tiny_contract.contract import TINY

REFUSED = Reply("slot.lastref 0x1000", ReplyLine(1, "err", SLOT_LEADS_NOWHERE, "0x7"))


def test_a_slot_that_leads_nowhere_breaks_the_clause_that_the_contract_names() -> None:
    followed = FollowedField("OWN-01", "table", "0")
    with pytest.raises(ImpossibleValue, match=r"`slot.lastref 0x1000` follows the table of a slot") as raised:
        checked(REFUSED, followed)
    assert (raised.value.clause, raised.value.field) == ("OWN-01", "table")
    assert (raised.value.expected, raised.value.got) == ("0", "0x7")


def test_a_contract_whose_guest_follows_nothing_has_no_such_clause() -> None:
    assert TINY.followed is None
    with pytest.raises(CommandRefused, match="slot: 0x7"):
        checked(REFUSED, TINY.followed)
