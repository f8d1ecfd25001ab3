"""Ctrl-C that comes while QEMU's monitor is read, or is left, is heard once."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.machine import Guest, load_machine
from tests.support import tiny_guest as tiny


def test_ctrl_c_that_ended_the_reader_is_not_raised_again_by_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Guest.start(load_machine("microvm"), tiny.write_kernel(tmp_path, tiny.HALT))
    monitor = guest._monitor

    async def stopped() -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(monitor._client, "_readline", stopped)
    with pytest.raises(KeyboardInterrupt):
        for _ in range(2):  # the reader may already wait for the first answer
            monitor.execute("query-status")
    guest.kill()
    assert guest.process.ended()
    guest.close()


def test_ctrl_c_that_comes_while_the_monitor_is_left_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Guest.start(load_machine("microvm"), tiny.write_kernel(tmp_path, tiny.HALT))

    async def stopped() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as leaving:
        leaving.setattr(guest._monitor._client, "disconnect", stopped)
        with pytest.raises(KeyboardInterrupt):
            guest.kill()
    guest._monitor.close()
    guest.close()
