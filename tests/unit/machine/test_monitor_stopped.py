"""QEMU's monitor is left when its guest ends, whatever came before; Ctrl-C meanwhile is heard once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from frame_harness.base.guest_end import GuestEnd
from frame_harness.machine import Guest, load_machine, qmp
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


def test_guest_that_was_asked_nothing_for_hours_is_left_without_a_complaint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Guest.start(load_machine("microvm"), tiny.write_kernel(tmp_path, tiny.HALT)) as guest:
        client = guest._monitor._client
        disconnect = client.disconnect

        async def slowly() -> None:  # as on a busy host: behind more than one look
            for _ in range(100):
                await asyncio.sleep(0)
            await disconnect()

        monkeypatch.setattr(client, "disconnect", slowly)
        monkeypatch.setattr(qmp, "SLICE_S", 0.0)
        guest.machine = guest.machine.override(limits={"stall_wall_s": 1e-9, "total_wall_s": 1e-9})
        assert guest.kill().kind is GuestEnd.KILLED


def test_limit_of_an_answer_counts_from_its_own_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Guest.start(load_machine("microvm"), tiny.write_kernel(tmp_path, tiny.HALT)) as guest:
        monkeypatch.setattr(qmp, "SLICE_S", 0.0)
        for ask in (guest.vcpus, guest.stop_and_look, lambda: guest.qmp("query-status"), guest.events):
            guest._asked_at -= 2 * guest.machine.limits.total_wall_s
            ask()
