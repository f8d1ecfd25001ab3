"""Fails a test that leaves a guest behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.machine.guest import live_guests


@pytest.fixture(autouse=True)
def _no_guest_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Count what the test started: a guest that the suite shares is older, and ends with its session."""
    before = set(live_guests())
    yield
    if "frame_run" not in request.fixturenames:
        assert not set(live_guests()) - before, "this test left a guest behind"
