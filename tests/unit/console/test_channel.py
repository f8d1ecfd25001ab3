"""Proves the conversation against a guest that is a socket with prepared words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from frame_harness.base.errors import BootError, ConsoleError, ProtocolError, UsageError
from frame_harness.console.channel import Channel, CrashReported, GuestGone
from frame_harness.console.protocol import quote_line
from frame_harness.console.stream import MAX_LINE_BYTES
from frame_harness.console.typed import PIECE, TypedChannel

BANNER = b"*frame-harness proto=1 build=ab nonce=cafe profile=dev\n"
REPORT = b"!panic file=src/a.rs line=3 col=5\n! msg no slot\n! bt 0xffffffff80100010\n!end\n"


class Hung(Exception):
    """The patience of `Patience` is over."""


@dataclass
class Patience:
    """Waits a number of silent turns."""

    turns: int = 3
    poll_s: float = 0.01
    received: list[int] = field(default_factory=list)

    def check(self, received: int) -> None:
        self.received.append(received)
        if len(self.received) > self.turns and self.received[-self.turns - 1] == received:
            raise Hung


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def guest(ends: tuple[socket.socket, socket.socket]) -> socket.socket:
    """The guest's end of the console."""
    return ends[1]


@pytest.fixture
def channel(ends: tuple[socket.socket, socket.socket]) -> Channel:
    return Channel(ends[0])


def test_banner_of_this_very_boot_is_accepted_after_any_firmware(
    channel: Channel, guest: socket.socket
) -> None:
    guest.sendall(b"\x1b[2JSeaBIOS\n=1 ok\n\xff\n# log\n" + BANNER)
    banner = channel.boot(Patience(), nonce="cafe", build_id="ab")
    assert banner == channel.banner and banner.fields["profile"] == "dev"


@pytest.mark.parametrize(
    ("nonce", "build", "what"),
    [
        ("beef", "ab", "nonce: expected 'beef', got 'cafe'"),
        ("cafe", "cd", "build-id: expected 'cd', got 'ab'"),
    ],
)
def test_banner_of_another_boot_or_image_is_refused(
    channel: Channel, guest: socket.socket, nonce: str, build: str, what: str
) -> None:
    guest.sendall(BANNER)
    with pytest.raises(BootError, match=what):
        channel.boot(Patience(), nonce=nonce, build_id=build)


def test_banner_of_another_protocol_is_refused(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(BANNER.replace(b"proto=1", b"proto=2"))
    with pytest.raises(BootError, match="protocol version"):
        channel.boot(Patience(), nonce="cafe")


def test_request_is_answered_with_data_past_log_lines(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"# a log line\n: first\n:  second\n=1 ok v=0x10\n")
    answer = channel.request("slot.order 0x1000", Patience())
    assert guest.recv(100) == b"1 slot.order 0x1000\n"
    assert answer.data == ("first", " second")
    assert answer.reply.fields.int("v") == 16


def test_each_request_has_its_own_number(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"=1 ok\n=2 fail OutOfMemory\n=3 err unknown x\n")
    statuses = [channel.request("x", Patience()).reply.status for _ in range(3)]
    assert statuses == ["ok", "fail", "err"]
    assert guest.recv(100) == b"1 x\n2 x\n3 x\n"


@pytest.mark.parametrize(
    "words",
    [
        b"=2 ok\n", b"=0 ok\n", b"=1 okay\n", b"garbage\n", b"\xff\xfe\xfd\n", BANNER, b"!end\n", b"!what\n",
        b"x" * (MAX_LINE_BYTES + 100) + b"\n",
    ],
)  # fmt: skip
def test_anything_but_one_answer_is_a_broken_protocol(
    channel: Channel, guest: socket.socket, words: bytes
) -> None:
    guest.sendall(words)
    with pytest.raises(ProtocolError):
        channel.request("x", Patience())


@pytest.mark.parametrize("raw", [b"hello=1 ok", b"\xff\x00=1 ok", b"hello", b"!?"])
def test_bytes_that_the_kernel_writes_by_itself_are_shown_with_what_to_do(
    raw: bytes, channel: Channel, guest: socket.socket
) -> None:
    guest.sendall(raw + b"\n=1 ok\n")
    with pytest.raises(ProtocolError) as error:
        channel.request("slot.get_order 0x1000", Patience())
    assert quote_line(raw) in error.value.summary
    assert "writes to COM1 by itself" in error.value.summary and "serial_println!" in error.value.summary


def test_second_reply_to_a_request_is_noticed_by_the_next(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"=1 ok\n=1 ok\n")
    channel.request("x", Patience())
    with pytest.raises(ProtocolError, match="expected =2, got =1"):
        channel.request("y", Patience())


def test_first_failure_ends_the_conversation_for_good(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"=7 ok\n=2 ok\n")
    with pytest.raises(ProtocolError) as first:
        channel.request("x", Patience())
    with pytest.raises(ConsoleError, match="closed") as second:
        channel.request("y", Patience())
    assert second.value.__cause__ is first.value


def test_crash_that_ends_the_guest_is_reported_whole(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b": half a li\n" + REPORT)
    guest.close()
    with pytest.raises(CrashReported) as caught:
        channel.request("crash panic", Patience())
    report = caught.value.report
    assert report.complete and report.message == "no slot" and report.backtrace == (0xFFFFFFFF80100010,)


def test_crash_that_cuts_a_reply_off_is_still_a_crash(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"=1 o\n" + REPORT)
    guest.close()
    with pytest.raises(CrashReported):
        channel.request("x", Patience())


def test_crash_report_that_breaks_off_says_so(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(REPORT[:40])
    guest.close()
    with pytest.raises(CrashReported, match="cut off"):
        channel.request("x", Patience())


def test_crash_while_booting_is_a_crash(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(REPORT)
    guest.close()
    with pytest.raises(CrashReported):
        channel.boot(Patience(), nonce="cafe")


def test_crash_ahead_of_the_banner_is_a_crash_though_the_kernel_goes_on(
    channel: Channel, guest: socket.socket
) -> None:
    guest.sendall(REPORT + BANNER)
    with pytest.raises(CrashReported, match="no slot"):
        channel.boot(Patience(), nonce="cafe")


def test_recovered_panic_is_an_answer_with_its_report(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(REPORT + b"=1 panic file=src/a.rs line=3 msg=no%20slot\n=2 ok\n")
    answer = channel.request("x", Patience())
    assert answer.reply.text == "no slot" and len(answer.crashes) == 1
    assert channel.request("y", Patience()).reply.status == "ok"


def test_log_line_inside_of_a_crash_report_is_no_part_of_it(channel: Channel, guest: socket.socket) -> None:
    """The words of a panic are made while it is reported, and what makes them may log."""
    head, _, rest = REPORT.partition(b"\n")
    guest.sendall(head + b"\n# made of parts\n" + rest + b"=1 panic file=src/a.rs line=3 msg=no%20slot\n")
    [report] = channel.request("x", Patience()).crashes
    assert report.complete and report.message == "no slot"
    assert not any("made of parts" in line for line in report.lines)


def test_empty_line_where_an_answer_is_due_is_called_that(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"\n=1 ok\n")
    with pytest.raises(ProtocolError, match="expected an answer, got an empty line"):
        channel.request("x", Patience())


def test_recovered_panic_inside_a_batch_has_its_report(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b": 0 ok v=1\n" + REPORT + b": 1 panic file=src/a.rs line=3 msg=x\n=1 ok done=2\n")
    assert len(channel.request("batch a;b", Patience()).crashes) == 1


@pytest.mark.parametrize("words", [REPORT + b"=1 ok\n", b"=1 panic file=a line=3 msg=x\n"])
def test_panic_without_report_or_report_without_panic_is_refused(
    channel: Channel, guest: socket.socket, words: bytes
) -> None:
    guest.sendall(words)
    with pytest.raises(ProtocolError, match="panics"):
        channel.request("x", Patience())


def test_end_of_the_stream_means_that_the_guest_is_gone(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"# last words\n")
    guest.close()
    with pytest.raises(GuestGone, match="request '1 x': the guest is gone"):
        channel.request("x", Patience())


def test_half_an_answer_is_never_taken_for_a_whole_one(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"=1 ok v=12")
    guest.close()
    with pytest.raises(GuestGone) as caught:
        channel.request("x", Patience())
    assert caught.value.tail == ("=1 ok v=12",)


def test_connection_that_was_reset_is_an_end_like_any_other(
    channel: Channel, guest: socket.socket, ends: tuple[socket.socket, socket.socket]
) -> None:
    guest.sendall(b"# last words\n")
    ends[0].sendall(b"never read")
    guest.close()
    with pytest.raises(GuestGone) as caught:
        channel.request("x", Patience())
    assert caught.value.tail == ("# last words",)


def test_silent_guest_ends_the_watchs_patience(channel: Channel) -> None:
    with pytest.raises(Hung):
        channel.request("x", Patience())


def test_watch_counts_every_byte(channel: Channel, guest: socket.socket) -> None:
    patience = Patience()
    guest.sendall(b"=1 ok\n")
    channel.request("x", patience)
    assert patience.received[-1] == 6 == channel.transcript.n_received


@pytest.mark.parametrize("command", ["", "  ", "a\nb", "a\x00", "caf\xe9", "x" * 4096])
def test_request_that_is_no_line_is_refused_without_being_sent(
    channel: Channel, guest: socket.socket, command: str
) -> None:
    with pytest.raises(UsageError):
        channel.request(command, Patience())
    guest.sendall(b"=1 ok\n")
    assert channel.request("x", Patience()).reply.seq == 1, "a refused request must not cost the conversation"


def test_longest_request_is_sent(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"=1 ok\n")
    channel.request("x" * 4094, Patience())
    assert len(guest.recv(5000)) == 4097


def test_typing_returns_the_echo_with_the_answer(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"help\n: text\n=0 ok\n")
    assert channel.type(b"help\n", Patience()) == ("help", ": text", "=0 ok")
    assert guest.recv(100) == b"help\n"


def test_finish_reads_to_the_end_also_after_a_failure(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"=9 ok\n# more\n" + REPORT)
    guest.close()
    with pytest.raises(ProtocolError):
        channel.request("x", Patience())
    ending = channel.finish(Patience())
    assert ending.lines[0] == "# more" and ending.crash is not None and ending.crash.line == 3


def test_finish_returns_a_crash_whose_report_was_being_read(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(REPORT[: REPORT.index(b"! bt")])
    with pytest.raises(Hung):
        channel.request("x", Patience())
    guest.close()
    crash = channel.finish(Patience()).crash
    assert crash is not None and crash.message == "no slot" and not crash.complete


def test_of_several_crashes_behind_the_last_answer_the_last_one_is_told_and_none_is_mixed_with_another(
    channel: Channel, guest: socket.socket
) -> None:
    guest.sendall(
        REPORT + b"!exception vector=14 name=#PF error=0x2 rip=0xffffffff80100020 cr2=0x8\n! cpu 1\n"
    )
    guest.close()
    crash = channel.finish(Patience()).crash
    assert crash is not None and crash.kind == "exception" and crash.cpu == 1 and not crash.backtrace
    assert not crash.message and not crash.complete


def test_last_words_of_a_crash_are_fit_for_a_terminal(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(REPORT.replace(b"no slot", b"no \x1b[2J\xff"))
    guest.close()
    crash = channel.finish(Patience()).crash
    assert crash is not None and crash.message.startswith("no \\x1b[2J")


def test_tail_is_fit_for_a_terminal(channel: Channel, guest: socket.socket) -> None:
    guest.sendall(b"# one\n\x1b[2J\n")
    with pytest.raises(ProtocolError):
        channel.request("x", Patience())
    assert channel.tail() == ("# one", "'\\x1b[2J'") and channel.tail(1) == ("'\\x1b[2J'",)


def echoing(guest: socket.socket, pieces: list[bytes], answer: bytes) -> threading.Thread:
    """A guest that echoes what arrives until the line is over, then answers."""

    def work() -> None:
        while not pieces or not pieces[-1].endswith(b"\n"):
            pieces.append(guest.recv(4096))
            guest.sendall(pieces[-1])
        guest.sendall(answer)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_typed_request_is_sent_no_further_than_its_echo_came(
    ends: tuple[socket.socket, socket.socket], guest: socket.socket
) -> None:
    channel, pieces = TypedChannel(ends[0]), list[bytes]()
    thread = echoing(guest, pieces, b": some data\n=0 ok v=7\n")
    answer = channel.request("slot.set_refcount 0x1060000 0x1", Patience(turns=100))
    thread.join()
    assert answer.data == ("some data",) and answer.reply.fields.int("v") == 7
    assert b"".join(pieces) == b"slot.set_refcount 0x1060000 0x1\n"
    assert max(map(len, pieces)) <= PIECE


def test_typed_request_that_arrives_otherwise_is_no_request(
    ends: tuple[socket.socket, socket.socket], guest: socket.socket
) -> None:
    guest.sendall(b"slXt\n=0 ok\n")
    with pytest.raises(ProtocolError, match="echo: expected slot, got slXt"):
        TypedChannel(ends[0]).request("slot", Patience())
