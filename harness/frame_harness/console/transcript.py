"""Keeps every byte that the guest said, and when, the middle of a flood excepted."""

from __future__ import annotations

import bisect
import time
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

KEEP_HEAD_BYTES: Final = 4 << 20
KEEP_TAIL_BYTES: Final = 4 << 20
KEEP_TIMES: Final = 1 << 15
"""Ours: so many of the first reads and of the last have a time; one in between has that of the one before."""


class TimedLine(NamedTuple):
    """A line without its newline, and when its first byte came, in seconds since the transcript began."""

    at_s: float
    text: bytes


class Transcript:
    """The console's bytes in order, in bounded memory.

    The beginning and the end stay; `n_dropped` counts what was lost between. `began` is when it was made, by
    the monotonic clock.
    """

    def __init__(self, head_bytes: int = KEEP_HEAD_BYTES, tail_bytes: int = KEEP_TAIL_BYTES) -> None:
        self._head = bytearray()
        self._head_bytes = head_bytes
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._tail_bytes = tail_bytes
        self.n_received = 0
        self.n_dropped = 0
        self.began = time.monotonic()
        self._first_times: list[tuple[int, float]] = []
        self._last_times: deque[tuple[int, float]] = deque(maxlen=KEEP_TIMES)

    def append(self, data: bytes) -> None:
        """Add what was received."""
        times = self._first_times if len(self._first_times) < KEEP_TIMES else self._last_times
        times.append((self.n_received, time.monotonic()))
        self.n_received += len(data)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            while self._tail_size > self._tail_bytes:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        excess = self._tail_size - self._tail_bytes
        oldest = self._tail.popleft()
        if len(oldest) > excess:
            self._tail.appendleft(oldest[excess:])
        dropped = min(len(oldest), excess)
        self._tail_size -= dropped
        self.n_dropped += dropped

    def raw(self) -> bytes:
        """Return the bytes; where some were dropped a line says how many."""
        gap = f"\n[... {self.n_dropped} bytes dropped ...]\n".encode("ascii") if self.n_dropped else b""
        return bytes(self._head) + gap + b"".join(self._tail)

    def lines(self) -> Iterator[TimedLine]:
        """Yield the lines with their times; one says where some bytes were dropped."""
        marks = [*self._first_times, *self._last_times]
        for offset, data in self._pieces():
            at = offset
            for text in data.removesuffix(b"\n").split(b"\n") if data else ():
                place = bisect.bisect_right(marks, (at, float("inf"))) - 1
                yield TimedLine(max(0.0, marks[place][1] - self.began), text)
                at += len(text) + 1

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        """The bytes that were kept, each piece with how many came before it."""
        tail = b"".join(self._tail)
        if not self.n_dropped:
            yield 0, bytes(self._head) + tail
            return
        yield 0, bytes(self._head)
        yield self.n_received - len(tail), f"[... {self.n_dropped} bytes dropped ...]".encode("ascii")
        yield self.n_received - len(tail), tail
