"""Proves that a guest's exit status is believed only when its last words agree with it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base.guest_end import GuestEnd
from frame_harness.console.channel import Channel
from frame_harness.console.protocol import Banner, parse_line
from frame_harness.console.stream import Watch
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.booted import finish_well
from frame_harness.guest.ending import spoiled
from frame_harness.guest.errors import GuestCrashed
from frame_harness.machine import Guest, load_machine
from tests.support import tiny_guest as tiny

BANNER = b"*frame-harness proto=1 build=ab nonce=cafe hhdm=0x0 frames=1"
REPORT = b"!panic file=src/a.rs line=3 col=5\n! msg too late\n!end\n"


def guest_that_leaves(folder: Path, last_words: bytes) -> Kernel:
    """A guest that says these words, then reports success."""
    elf = tiny.write_kernel(folder, tiny.say(last_words) + tiny.leave(0x10))
    guest = Guest.start(load_machine("microvm"), elf)
    image = cast("Any", SimpleNamespace(lacks=(), subject=frame_module()))  # nothing else is looked at
    channel = Channel(guest.console)
    channel.banner = cast("Banner", parse_line(BANNER))
    return Kernel(guest, channel, image, channel.banner)


def end_of(folder: Path, last_words: bytes) -> tuple[GuestEnd, str]:
    """Ask such a guest to exit."""
    return guest_that_leaves(folder, last_words).finish()


def test_a_guest_that_answers_and_exits_has_passed(tmp_path: Path) -> None:
    assert end_of(tmp_path, b"# bye\n=1 ok\n# gone\n")[0] is GuestEnd.PASS


@pytest.mark.parametrize(
    ("last_words", "told"),
    [
        (b"=7 ok\n", "expected =1, got =7"),
        (b"=1 maybe\n", "reply"),
        (b"", "guest gone"),
        (REPORT + b"=1 ok\n", "expected 1 panics, got 0"),
        (b"=1 ok\n" + REPORT, "panic at src/a.rs:3:5: too late"),
        (b"=1 ok\n" + REPORT.removesuffix(b"!end\n"), "the report is cut off"),
        (b"=1 ok\n" + REPORT.replace(b"!end", b"! bt 0xffff=7 ok\n!end"), "the report is cut off"),
        (b"=1 ok\n" + REPORT.replace(b"too late", b"too late" * 50), "src/a.rs:3:5: too latetoo late"),
        (b"=1 ok\n=2 ok\n", "it went on behind its last answer: =2 ok"),
        (b"=1 ok\n: " + b"x" * 400, "it went on behind its last answer: : xxx"),
        (b"=1 ok\n=2 o", "it went on behind its last answer: =2 o"),
        (b"=1 ok\n!panic file=src/a", "panic file=src/a (the report is cut off)"),
        (b"=1 ok\n=2 ok\xff\n", "it went on behind its last answer: '=2 ok"),
        (b"=1 ok\n! msg too late\n!end\n", "it went on behind its last answer: ! msg too late"),
    ],
    ids=[
        *("another-number", "no-reply", "silence", "panic-not-admitted", "panic", "half-a-panic"),
        *("a-panic-with-a-reply-inside", "a-panic-of-many-words", "twice", "at-length", "cut-off"),
        *("a-panic-cut-off", "garbled"),
        "a-panic-without-its-head",
    ],
)
def test_trouble_on_the_way_out_is_no_pass(last_words: bytes, told: str, tmp_path: Path) -> None:
    status, text = end_of(tmp_path, last_words)
    assert status is GuestEnd.UNEXPECTED
    assert told in text and "the guest wrote 0x10" in text


def test_a_guest_that_ends_badly_with_its_block_is_an_error_of_the_block(tmp_path: Path) -> None:
    with (
        pytest.raises(GuestCrashed, match=r"expected pass, got .*too late"),
        guest_that_leaves(tmp_path, b"=1 ok\n" + REPORT),
    ):
        pass


def test_what_ended_a_block_is_told_and_not_how_its_guest_ended_then(tmp_path: Path) -> None:
    with pytest.raises(KeyError), guest_that_leaves(tmp_path, b"=1 ok\n" + REPORT):
        raise KeyError


def test_an_end_that_the_block_knows_is_no_error_of_it(tmp_path: Path) -> None:
    with guest_that_leaves(tmp_path, b"=1 ok\n" + REPORT) as kernel:
        assert kernel.finish()[0] is GuestEnd.UNEXPECTED
    (tmp_path / "second").mkdir()
    with guest_that_leaves(tmp_path / "second", b"") as kernel, pytest.raises(GuestCrashed):
        kernel.call("stats")


def test_a_stop_in_the_middle_of_a_command_is_no_crash_of_its_guest(tmp_path: Path) -> None:
    """The answer still comes, behind the request that is sent next: it would be one too many."""

    def stopped(_: Watch) -> Watch:
        raise KeyboardInterrupt

    kernel = guest_that_leaves(tmp_path, b"=1 ok\n=2 ok\n")
    with pytest.raises(KeyboardInterrupt):
        kernel.request("stats", watching=stopped)
    assert not kernel.alive
    finish_well(kernel)
    assert kernel.end[0] is not GuestEnd.PASS


def test_a_mistake_of_the_harness_in_the_middle_of_a_command_is_not_taken_for_a_stop(tmp_path: Path) -> None:
    def mistaken(_: Watch) -> Watch:
        raise ZeroDivisionError

    kernel = guest_that_leaves(tmp_path, b"=1 ok\n=2 ok\n")
    with pytest.raises(ZeroDivisionError):
        kernel.request("stats", watching=mistaken)
    assert kernel.alive
    kernel.finish()
    assert kernel.end[0] is not GuestEnd.PASS


def test_success_that_nobody_asked_for_is_a_crash(tmp_path: Path) -> None:
    kernel = guest_that_leaves(tmp_path, b"# busy\n")
    with pytest.raises(
        GuestCrashed, match="nobody asked it to exit; then the guest reported success"
    ) as gone:
        kernel.request("help")
    status, text = kernel.finish()
    assert gone.value.status is status is GuestEnd.UNEXPECTED
    assert "nobody asked it to exit" in text


def test_success_behind_the_report_of_a_crash_is_a_crash(tmp_path: Path) -> None:
    kernel = guest_that_leaves(tmp_path, REPORT)
    with pytest.raises(GuestCrashed, match="too late") as crash:
        kernel.request("help")
    assert crash.value.status is kernel.finish()[0] is GuestEnd.UNEXPECTED


def test_trouble_does_not_soften_what_is_worse_than_a_pass() -> None:
    assert spoiled((GuestEnd.RESET, "reset"), "trouble") == (GuestEnd.RESET, "reset")
