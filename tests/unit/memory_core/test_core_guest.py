"""Proves that of many requests none is left out but those behind an error or a panic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.console.protocol import parse_batch_line
from frame_harness.guest.reply import Reply
from frame_harness.memory_core.guest import CoreGuest

LONG = "own.get " + 2000 * "0"
"""Two of them do not fit into one batch."""


class Answering:
    """A guest that answers each request in the same way, and stops a batch as the shim does."""

    def __init__(self, outcome: str) -> None:
        self._outcome = outcome
        self.batches = 0
        self.log = SimpleNamespace(was_several=lambda _: None)

    def call(self, line: str) -> Reply:
        self.batches += 1
        lines = [f"{at} {self._outcome}" for at, _ in enumerate(line.split(";"))]
        stops = self._outcome.startswith(("err", "panic"))
        _, done = parse_batch_line("0 ok done=1")
        return Reply(line, done, tuple(lines[:1] if stops else lines))


@pytest.mark.parametrize(
    ("outcome", "answers", "batches"),
    [
        ("ok found=1", 5, 5),
        ("fail OutOfMemory", 5, 5),
        ("err state", 1, 1),
        ("panic file=a.rs line=1 msg=no", 1, 1),
    ],
)
def test_replies_end_behind_an_error_or_a_panic_alone(
    outcome: str, answers: int, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest: Any = Answering(outcome)
    monkeypatch.setattr(CoreGuest, "guest", property(lambda _: guest))
    core = CoreGuest(lambda: guest, lambda _: None)
    assert len(list(core.request_all([LONG] * 5))) == answers
    assert guest.batches == batches
