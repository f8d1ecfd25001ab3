"""Where the commands of a batch lie: in RAM where the guest can run them there and nobody follows each."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from frame_harness.console.protocol import ReplyLine
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.errors import AllocFailed
from frame_harness.guest.program import Ask, Ran
from frame_harness.guest.programmed import ProgrammedGuest
from frame_harness.guest.reply import Reply
from frame_harness.image.errors import ImageError

AT_THE_CONSOLE = [Reply("told", ReplyLine(1, "ok"))]


class Room:
    """Stands in for the room for programs; the guest answers as a test says."""

    def __init__(self, *statuses: Literal["ok", "fail"]) -> None:
        self._statuses = statuses
        self.told: list[int] = []

    def run(self, asks: Sequence[Ask]) -> Ran:
        lines = [ReplyLine(1, status, "OutOfMemory") for status in self._statuses]
        return Ran([Reply(ask.line, line) for ask, line in zip(asks, lines, strict=True)], b"")

    def tell(self, _replies: Sequence[Reply], index: int) -> None:
        self.told.append(index)


def guest(room: Room, *, has_room: bool = True, followed: bool = False) -> ProgrammedGuest:
    """A guest of which nothing runs."""

    def symbol(name: str) -> tuple[int, int]:
        if has_room and name == "PROGRAM":
            return 0, 0
        raise ImageError("image", name)

    found = object.__new__(ProgrammedGuest)
    parts: dict[str, Any] = {
        "image": SimpleNamespace(symbol=symbol), "program": room, "before": print if followed else None,
        "followed_field": None,
    }  # fmt: skip
    vars(found).update(parts)
    return found


@pytest.fixture(autouse=True)
def console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BootedGuest, "batch", lambda _, _commands: AT_THE_CONSOLE)


def test_a_batch_lies_in_ram_where_it_can() -> None:
    room = Room("ok", "ok")
    assert [reply.request for reply in guest(room).batch(["stats", "lists"])] == ["stats", "lists"]
    assert room.told == []


def test_a_batch_is_said_at_the_console_where_the_image_has_no_room() -> None:
    one = guest(Room(), has_room=False)
    assert not one.runs_programs
    assert one.batch(["stats"]) is AT_THE_CONSOLE


def test_who_follows_command_by_command_sees_those_behind_one_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, sent = guest(Room(), followed=True), list[str]()

    def request(_: object, command: str) -> Reply:
        sent.append(command)
        return Room("fail" if "alloc" in command else "ok").run([Ask(command)]).replies[0]

    monkeypatch.setattr(BootedGuest, "request", request)
    assert not one.runs_programs
    with pytest.raises(AllocFailed):
        one.batch(["stats", "alloc new", "lists"])
    assert sent == ["stats", "alloc new", "lists"], "as in RAM"


def test_the_first_command_that_does_not_succeed_is_told_and_raised() -> None:
    room = Room("ok", "fail", "fail")
    with pytest.raises(AllocFailed):
        guest(room).batch(["stats", "alloc new", "alloc new zeroed=0"])
    assert room.told == [1]
