"""Proves that a process that ends is heard of as one that ended, whenever that is."""

from __future__ import annotations

from multiprocessing import Pipe

import pytest

from frame_harness.base.pipes import heard, value_heard
from tests.support.children import cut_off


def test_a_message_that_is_cut_off_is_the_end_of_who_sent_it() -> None:
    with cut_off() as ours, pytest.raises(EOFError):
        heard(ours)
    with cut_off() as ours, pytest.raises(EOFError):
        value_heard(ours)


def test_what_was_sent_whole_is_heard_before_the_end() -> None:
    ours, theirs = Pipe(duplex=False)
    with ours:
        with theirs:
            theirs.send_bytes(b"words")
            theirs.send({"a": 1})
        assert (heard(ours), value_heard(ours)) == (b"words", {"a": 1})
        with pytest.raises(EOFError):
            heard(ours)
