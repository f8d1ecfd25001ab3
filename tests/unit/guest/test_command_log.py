"""A guest's commands are kept with replies and times, the last ones of very many."""

from __future__ import annotations

import time

import pytest

from frame_harness.base.errors import ProtocolError
from frame_harness.console.protocol import Fields, ReplyLine
from frame_harness.guest import command_log
from frame_harness.guest.command_log import CommandLog
from frame_harness.guest.reply import Reply
from frame_harness.guest.request import argument, grouped


def reply(line: str, value: int) -> Reply:
    return Reply(line, ReplyLine(1, "ok", fields=Fields({"v": str(value)})))


def pairs(log: CommandLog) -> list[tuple[str, str]]:
    return [(one.line, one.reply) for one in log]


def test_a_command_has_its_reply_and_its_times() -> None:
    log = CommandLog(time.monotonic())
    log.sent("stats")
    log.replied("ok free=1")
    log.sent("map")
    [first, second] = log
    assert (first.line, first.reply, second.reply) == ("stats", "ok free=1", "")
    assert 0 <= first.at_s <= first.at_s + first.took_s <= second.at_s


def test_a_batch_is_told_by_its_parts() -> None:
    log = CommandLog(0.0)
    log.sent("stats")
    log.sent("batch a;b")
    log.replied("ok done=2")
    log.was_several([reply("a", 1), reply("b", 2)])
    assert pairs(log) == [("stats", ""), ("a", "ok v=1"), ("b", "ok v=2")]
    assert log.n_sent == 3


def batch(*lines: str) -> Reply:
    return Reply("batch a;b", ReplyLine(1, "ok"), lines)


def test_outcomes_of_a_batch_are_those_of_its_requests() -> None:
    assert [part.status for part in batch("1 ok", "0 fail OutOfMemory").parts(["a", "b"])] == ["fail", "ok"]


def test_a_batch_may_end_early_behind_what_ends_one() -> None:
    [only] = batch("0 err range too large").parts(["a", "b"])
    assert (only.request, only.status) == ("a", "err")


@pytest.mark.parametrize(
    "lines",
    [
        ("0 fail OutOfMemory", "0 ok", "1 ok"),
        ("0 ok", "2 ok"),
        ("1 ok",),
        ("1 err range too large",),
        ("0 ok",),
        ("0 fail OutOfMemory",),
        (),
    ],
    ids=["twice", "of no request", "gap", "gap before an end", "too few", "too few behind a fail", "none"],
)
def test_outcomes_that_are_not_those_of_the_first_requests_are_refused(lines: tuple[str, ...]) -> None:
    """Else what was said of one request would be taken for the outcome of another."""
    with pytest.raises(ProtocolError, match="outcomes: expected those of requests 0 to"):
        batch(*lines).parts(["a", "b"])


def test_of_commands_in_ram_the_last_one_has_no_reply_where_the_guest_was_lost() -> None:
    log = CommandLog(0.0)
    log.sent("run 80")
    log.broke_off(["a", "b"])
    assert pairs(log) == [("a", ""), ("b", "")]
    assert log.n_sent == 2


def test_only_the_last_commands_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_log, "KEPT", 3)
    log = CommandLog(0.0)
    for number in range(5):
        log.sent(str(number))
    assert [one.line for one in log] == ["2", "3", "4"]
    assert (log.n_sent, len(log)) == (5, 3)


def test_another_check_begins_behind_what_was_sent() -> None:
    log = CommandLog(0.0)
    log.sent("a")
    log.begin_check()
    log.sent("b")
    assert (log.n_before, log.n_sent) == (1, 2)


def test_numbers_are_sent_in_hex_and_lines_are_filled_in_order() -> None:
    assert [argument(31), argument("movable")] == ["0x1f", "movable"]
    assert grouped(["aaa", "bb", "c" * 9, "d"], 8) == [["aaa", "bb"], ["c" * 9], ["d"]]
