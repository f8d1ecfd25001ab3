"""Sends requests in pieces that the guest confirms by its echo.

A QEMU that records the guest's input (`-icount rr=record`) takes more from the host before the guest has
received what came before, and drops what does not fit into the chip's FIFO then (QEMU 7.2). A request without
a number is echoed byte by byte, as a person's is: so nothing is sent ahead of what has arrived.
"""

from __future__ import annotations

from typing import Final

from frame_harness.base.errors import ProtocolError
from frame_harness.console.channel import Channel
from frame_harness.console.protocol import quote_line
from frame_harness.console.stream import Watch

PIECE: Final = 16
"""Bytes in the FIFO of a 16550."""
UNNUMBERED: Final = 0
"""What the guest calls a request without a number in its reply."""


class TypedChannel(Channel):
    """A conversation in which nothing that was sent gets lost on the way into a recording."""

    def _send(self, command: str, watch: Watch) -> int:
        self._sent = command
        line = command.encode("ascii") + b"\n"
        for at in range(0, len(line), PIECE):
            piece = line[at : at + PIECE]
            self._stream.send(piece)
            self._stream.collect(len(piece), watch)
        echo = self._raw_line(f"echo of {command[:80]!r}", watch)
        if echo != line[:-1]:
            raise ProtocolError("echo", expected=command[:80], actual=quote_line(echo)[:80])
        return UNNUMBERED
