"""Proves that trouble before the first check is told as what it is."""

from __future__ import annotations

from typing import Any, cast

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.guest.backtrace import BacktraceLine
from frame_harness.guest.errors import AllocFailed, GuestCrashed, SubjectPanic
from frame_harness.session.preflight import prepare
from frame_harness.session.run import Run

DEEP = (BacktraceLine("deep"), BacktraceLine("shallow"))
PANIC = SubjectPanic(file="frame.rs", line=7, message="no", request="selftest", backtrace=DEEP)


class Trouble:
    """A run whose one guest answers each request with an exception; remembers that it was ended."""

    on_violated = None

    def __init__(self, error: Exception) -> None:
        self.error, self.finished = error, 0

    def boot(self) -> Trouble:
        return self

    def call(self, *_: object) -> None:
        raise self.error

    def finish(self, _: object) -> None:
        self.finished += 1


def test_a_panic_where_no_check_looks_is_a_crash_that_blames_no_clause() -> None:
    run = Trouble(PANIC)
    with pytest.raises(GuestCrashed, match=r"preflight: panic during `selftest` at frame.rs:7: no") as caught:
        prepare(cast("Run", cast("Any", run)))
    assert caught.value.backtrace == DEEP
    assert run.finished == 1


def test_a_refusal_where_no_check_looks_is_an_error_that_blames_no_clause() -> None:
    with pytest.raises(HarnessError, match=r"preflight: `buddy.alloc` returned OutOfMemory") as caught:
        prepare(cast("Run", cast("Any", Trouble(AllocFailed("OutOfMemory", "buddy.alloc")))))
    assert not isinstance(caught.value, GuestCrashed)
