"""Proves that lines come whole out of a stream of pieces."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from frame_harness.base.errors import ConsoleError
from frame_harness.console.stream import MAX_LINE_BYTES, LineStream


class Silence(Exception):
    """Nothing came."""


class OneTurn:
    """Waits for one turn only."""

    poll_s = 0.01

    def __init__(self) -> None:
        self.received = -1

    def check(self, received: int) -> None:
        if received == self.received:
            raise Silence
        self.received = received


@pytest.fixture
def ends() -> Iterator[tuple[LineStream, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield LineStream(near), far


def test_line_in_pieces_is_put_together(ends: tuple[LineStream, socket.socket]) -> None:
    stream, guest = ends
    for byte in b"=1 ok v=12\n":
        guest.sendall(bytes([byte]))
        if byte == ord("v"):
            with pytest.raises(Silence):
                stream.next_line(OneTurn())
    assert stream.next_line(OneTurn()) == b"=1 ok v=12"


def test_many_lines_in_one_piece_come_one_by_one(ends: tuple[LineStream, socket.socket]) -> None:
    stream, guest = ends
    guest.sendall(b"a\n\nb\nc")
    assert [stream.next_line(OneTurn()) for _ in range(3)] == [b"a", b"", b"b"]
    guest.close()
    assert stream.next_line(OneTurn()) is None and stream.ended
    assert stream.tail() == (b"a", b"", b"b", b"c")


def test_line_without_end_is_cut_instead_of_being_kept_for_ever(
    ends: tuple[LineStream, socket.socket],
) -> None:
    stream, guest = ends
    guest.sendall(b"x" * (MAX_LINE_BYTES + 10))
    line = stream.next_line(OneTurn())
    assert line is not None and len(line) >= MAX_LINE_BYTES


def test_every_byte_is_in_the_transcript(ends: tuple[LineStream, socket.socket]) -> None:
    stream, guest = ends
    guest.sendall(b"\xff\x00a\r\nhalf")
    assert stream.next_line(OneTurn()) == b"\xff\x00a\r"
    guest.close()
    stream.next_line(OneTurn())
    assert stream.transcript.raw() == b"\xff\x00a\r\nhalf"


def test_listening_makes_room_for_what_a_guest_prints_and_keeps_it(
    ends: tuple[LineStream, socket.socket],
) -> None:
    stream, guest = ends
    guest.setblocking(False)
    printed = 0
    for _ in range(3):
        with pytest.raises(BlockingIOError):
            while guest.send(b"12345678\n") == 9:
                printed += 1
        while stream.transcript.n_received < 9 * printed:
            stream.listen()
    stream.listen()  # nothing is there, and nothing is waited for
    assert [stream.next_line(OneTurn()) for _ in range(printed)] == [b"12345678"] * printed


def test_looking_ahead_takes_nothing(ends: tuple[LineStream, socket.socket]) -> None:
    stream, guest = ends
    assert stream.peek(OneTurn()) is None
    guest.sendall(b"a\n")
    assert stream.peek(OneTurn()) == b"a" == stream.next_line(OneTurn())


def test_guest_that_does_not_read_is_told_from_one_that_is_gone(
    ends: tuple[LineStream, socket.socket],
) -> None:
    stream, guest = ends
    with pytest.raises(ConsoleError, match="send"):
        for _ in range(10_000):
            stream.send(b"x" * 4096)
    guest.close()
    stream.send(b"x")
