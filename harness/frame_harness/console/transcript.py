"""Keeps every byte that the guest said, the middle of a flood excepted."""

from __future__ import annotations

from collections import deque
from typing import Final

KEEP_HEAD_BYTES: Final = 4 << 20
KEEP_TAIL_BYTES: Final = 4 << 20


class Transcript:
    """The console's bytes in order, in bounded memory.

    The beginning and the end stay; `n_dropped` counts what was lost between.
    """

    def __init__(self, head_bytes: int = KEEP_HEAD_BYTES, tail_bytes: int = KEEP_TAIL_BYTES) -> None:
        self._head = bytearray()
        self._head_bytes = head_bytes
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._tail_bytes = tail_bytes
        self.n_received = 0
        self.n_dropped = 0

    def append(self, data: bytes) -> None:
        """Add what was received."""
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
