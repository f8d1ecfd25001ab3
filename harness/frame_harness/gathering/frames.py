"""Which frames a failing check was about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.archive.memory import Payload
from frame_harness.base.units import PAGE_SIZE, Paddr, paddr_to_pfn, pfn_to_paddr
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.command_log import Sent

MOST: Final = 64
"""Frames whose slots are followed."""
MOST_PAYLOAD: Final = 4
"""Frames whose bytes are kept: their garbage cannot be made smaller."""
_COMMANDS: Final = 200
"""The last ones, in which frames are looked for."""
# An address in a command or a reply: `release 0x1060000 0`, `ok paddr=0x1060000`.
_ADDRESS: Final = re.compile(r"(?<![0-9a-zA-Z])0x([0-9a-f]{4,16})(?![0-9a-zA-Z])")


def frames_concerned(found_on: Paddr | None, commands: Iterable[Sent], n_frames: int) -> NDArray[np.int64]:
    """Numbers of frames: that of the finding, then those that commands and replies name, latest first.

    Args:
        found_on: address of the finding's frame, where it has one.
        n_frames: of the slot table; what lies outside is no frame.
    Returns:
        Shape (k,), no pfn twice, at most `MOST` of them.
    """
    last = list(commands)[-_COMMANDS:]
    named = [
        Paddr(int(digits, 16))
        for sent in reversed(last)
        for text in (sent.reply, sent.line)
        for digits in _ADDRESS.findall(text)
    ]
    addresses = [] if found_on is None else [found_on]
    addresses += [address for address in named if address % PAGE_SIZE == 0]
    numbers = dict.fromkeys(paddr_to_pfn(address) for address in addresses)
    return np.array([number for number in numbers if number < n_frames][:MOST], dtype=np.int64)


def payload_of(guest: BootedGuest, pfns: NDArray[np.int64]) -> Payload:
    """The bytes of the first of some frames, which are given as pfns, shape (k,); as they are now."""
    there = [pfn for pfn in pfns[:MOST_PAYLOAD].tolist() if guest.ram.holds(pfn_to_paddr(pfn))]
    pages = [guest.payload(pfn_to_paddr(pfn)) for pfn in there]
    return Payload(np.array(there, np.int64), np.array(pages, np.uint8).reshape(-1, PAGE_SIZE))
