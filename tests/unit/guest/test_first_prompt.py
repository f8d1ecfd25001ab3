"""What a kernel is told at its boot, and that whatever goes wrong before the prompt ends the guest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base.errors import BootError, HarnessError
from frame_harness.console.protocol import Fields
from frame_harness.console.transcript import Transcript
from frame_harness.guest import first_prompt as module
from frame_harness.guest.first_prompt import first_prompt
from frame_harness.guest.remains import remains_of
from frame_harness.machine.definition import load_machine

MACHINE = load_machine("microvm")


class Starting:
    """Stands in for a guest on its way to the prompt, and for its console."""

    def __init__(self, *, cpus: int = 1, error: BaseException | None = None) -> None:
        self.machine, self.argv, self.timeout = MACHINE.override(cpus=1), ["qemu"], None
        self.transcript, self.closed = Transcript(), 0
        self.asked: dict[str, object] = {}
        self._banner = SimpleNamespace(fields=Fields({"cpus": str(cpus)}))
        self._error = error

    def boot_deadline(self, **_: object) -> str:
        return "a deadline"

    def boot(self, deadline: object, **facts: object) -> object:
        self.asked = facts
        assert deadline == "a deadline"
        if self._error is not None:
            raise self._error
        return self._banner

    def tail(self) -> tuple[str, ...]:
        return ()

    def events(self, *, ask: bool) -> tuple[()]:
        assert not ask
        return ()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def of_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code that runs is of the profile that was asked for."""
    monkeypatch.setattr(module, "check_profile", lambda *_: None)


def waited(guest: Starting, at_power_on: object = None) -> object:
    image = SimpleNamespace(build_id="b1", profile="dev")
    parts: Any = (guest, guest, image, "ab12", at_power_on)
    return first_prompt(*parts)


def test_a_guest_that_comes_to_its_prompt_goes_on() -> None:
    called: list[object] = []
    guest = Starting()
    assert cast("Any", waited(guest, called.append)).fields.int("cpus") == 1
    assert (guest.closed, called, guest.asked) == (0, [guest], {"nonce": "ab12", "build_id": "b1"})


def test_another_number_of_cpus_is_no_guest() -> None:
    guest = Starting(cpus=2)
    with pytest.raises(BootError, match="cpus: expected 1, got 2") as raised:
        waited(guest)
    assert guest.closed == 1
    assert remains_of(raised.value) is not None


@pytest.mark.parametrize(
    "error", [HarnessError("banner", "another nonce"), KeyboardInterrupt(), ZeroDivisionError()]
)
def test_whatever_goes_wrong_ends_the_guest_once(error: BaseException) -> None:
    guest = Starting(error=error)
    with pytest.raises(type(error)) as raised:
        waited(guest)
    assert raised.value is error and error.__cause__ is None
    assert guest.closed == 1
    assert (remains_of(error) is not None) is isinstance(error, HarnessError)


def test_what_is_done_at_power_on_can_go_wrong_too() -> None:
    def refuse(_guest: object) -> None:
        raise HarnessError("snapshot", "none")

    guest = Starting()
    with pytest.raises(HarnessError, match="snapshot"):
        waited(guest, refuse)
    assert (guest.closed, guest.asked) == (1, {})
