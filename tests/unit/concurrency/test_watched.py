"""Proves where accesses to a slot and to statics begin, and what they are called."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from frame_harness.base.units import Paddr, Vaddr
from frame_harness.concurrency.watched import Watched
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.image import Static

HHDM, TABLE, FRAME = 0xFFFF_8000_0000_0000, 0x10_0000, Paddr(0x2000)
SLOT = HHDM + TABLE + 2 * META_SLOT.size
STATICS = (Static("CALLS", Vaddr(0x9000), 4), Static("get_meta::LAST", Vaddr(0x9010), 16))
NAMES = {static.name for static in STATICS}
MEMORY = {0x9000: np.arange(4, dtype=np.uint8), 0x9010: np.arange(16, dtype=np.uint8)}


@pytest.fixture
def watched() -> Watched:
    guest = SimpleNamespace(
        image=SimpleNamespace(
            subject=SimpleNamespace(contract=SimpleNamespace(slot=META_SLOT)),
            subject_statics=lambda: (*STATICS, Static("OF_NO_INTEREST", Vaddr(0xA000), 8)),
        ),
        witness=SimpleNamespace(hhdm_base=HHDM, meta_paddr=TABLE),
        slots=lambda: np.arange(8 * META_SLOT.size, dtype=np.uint8).view(f"V{META_SLOT.size}"),
        bytes_at=lambda vaddr, size: MEMORY[vaddr][:size],
    )
    return Watched(cast("BootedGuest", guest), FRAME, lambda name: name in NAMES)


@pytest.mark.parametrize(
    ("vaddr", "width", "span", "name"),
    [
        (SLOT, 8, (0, 8), "next"),
        (SLOT - 4, 8, (0, 4), "next"),
        (SLOT + 24, 4, (24, 28), "flags"),
        (SLOT + 63, 1, (63, 64), "reserved"),
        (SLOT + 64, 8, None, ""),
        (0x9000, 4, (64, 68), "CALLS"),
        (0x9004, 4, None, ""),
        (0x8FFE, 4, (64, 66), "CALLS"),
        (0x900C, 8, (68, 72), "get_meta::LAST"),
        (0x9010, 8, (68, 76), "get_meta::LAST"),
        (0x901F, 8, (83, 91), "get_meta::LAST"),
        (0x9020, 8, None, ""),
        (0xA000, 8, None, ""),
    ],
)
def test_an_access_is_one_to_the_slot_or_to_a_static_or_to_neither(
    watched: Watched, vaddr: int, width: int, span: tuple[int, int] | None, name: str
) -> None:
    assert watched.span_of(Vaddr(vaddr), width) == span
    if span is not None:
        assert watched.is_of_slot(span[0]) or {piece.field for piece in watched.pieces(*span)} == {name}
        assert watched.field_at(span[0]) == name
        assert watched.is_of_slot(span[0]) == (vaddr >= HHDM)


def test_pieces_of_a_static_are_words_with_its_name_and_what_it_holds_now(watched: Watched) -> None:
    pieces = list(watched.pieces(72, 84))
    assert [(piece.field, piece.begin, piece.end) for piece in pieces] == [
        ("get_meta::LAST", 72, 76),
        ("get_meta::LAST", 76, 84),
    ]
    assert watched.value(pieces[0]) == 0x07060504
    MEMORY[0x9010][4] ^= 0xFF
    assert watched.value(pieces[0]) == 0x070605FB
    MEMORY[0x9010][4] ^= 0xFF


def test_no_piece_of_the_slot_is_behind_its_end(watched: Watched) -> None:
    assert [piece.field for piece in watched.pieces(20, 28)] == ["vtable", "flags"]
    assert [piece.end for piece in watched.pieces(60, 72)] == [64]
    assert watched.live(24, 4).tolist() == [(128 + 24 + n) % 256 for n in range(4)]
