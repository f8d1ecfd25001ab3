"""Proves that a flood costs bounded memory."""

from __future__ import annotations

from frame_harness.console import Transcript


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
