"""Proves that a flood costs bounded memory."""

from __future__ import annotations

from itertools import count

import pytest

from frame_harness.console.transcript import Transcript


def test_everything_is_kept_while_there_is_room() -> None:
    transcript = Transcript(head_bytes=4, tail_bytes=8)
    for piece in (b"abc", b"def", b"ghijkl"):
        transcript.append(piece)
    assert transcript.raw() == b"abcdefghijkl"
    assert (transcript.n_received, transcript.n_dropped) == (12, 0)


def test_of_a_flood_beginning_and_end_stay_with_the_count_between() -> None:
    transcript = Transcript(head_bytes=4, tail_bytes=4)
    for number in range(100):
        transcript.append(b"%02d" % number)
    assert transcript.raw() == b"0001\n[... 192 bytes dropped ...]\n9899"
    assert (transcript.n_received, transcript.n_dropped) == (200, 192)


def test_piece_larger_than_all_room_is_cut() -> None:
    transcript = Transcript(head_bytes=2, tail_bytes=2)
    transcript.append(b"x" * 1000 + b"yz")
    assert (
        transcript.raw().startswith(b"xx")
        and transcript.raw().endswith(b"yz")
        and transcript.n_dropped == 998
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second goes by between two looks at the clock; a transcript looks first when it is made."""
    ticks = count(100)
    monkeypatch.setattr("frame_harness.console.transcript.time.monotonic", lambda: float(next(ticks)))


def test_a_line_has_the_time_of_its_first_byte(clock: None) -> None:
    transcript = Transcript()
    for piece in (b"one\ntw", b"o\n", b"three\nfo"):
        transcript.append(piece)
    assert list(transcript.lines()) == [(1, b"one"), (1, b"two"), (3, b"three"), (3, b"fo")]


def test_lines_behind_what_was_dropped_have_their_own_times(clock: None) -> None:
    transcript = Transcript(head_bytes=3, tail_bytes=4)
    for piece in (b"aa\n", b"bbbb\n", b"c\n", b"d\n"):
        transcript.append(piece)
    lines = list(transcript.lines())
    assert lines == [(1, b"aa"), (3, b"[... 5 bytes dropped ...]"), (3, b"c"), (4, b"d")]


def test_a_transcript_without_bytes_has_no_lines() -> None:
    assert list(Transcript().lines()) == []


def test_of_very_many_reads_the_first_and_the_last_have_times(
    clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frame_harness.console.transcript.KEEP_TIMES", 2)
    transcript = Transcript()
    for _ in range(3):
        transcript.append(b"x\n")
    assert [line.at_s for line in transcript.lines()] == [1, 2, 3]
