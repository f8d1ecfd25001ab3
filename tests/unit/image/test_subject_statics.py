"""Proves which statics of an image are those of the frame module."""

from __future__ import annotations

from pathlib import Path

from frame_harness.base.units import Vaddr
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.elf import Elf
from frame_harness.image.image import Image, Static

SYMBOLS = {
    "_ZN11kernel_shim6memory5frame4BASE17h0123456789abcdefE.0": (Vaddr(0x2000), 8),
    "_ZN11kernel_shim6memory5frame8MetaSlot7inc_ref5CALLS17h0123456789abcdefE": (Vaddr(0x1000), 4),
    "_ZN11kernel_shim6memory5buddy5STATE17h0123456789abcdefE": (Vaddr(0x3000), 64),
    "_ZN11kernel_shim11other_frame4BASE17h0123456789abcdefE": (Vaddr(0x6000), 8),
    "_ZN11kernel_shim6memory5frame8get_meta17h0123456789abcdefE": (Vaddr(0x4000), 64),
    "_ZN11kernel_shim6memory5frame5EMPTY17h0123456789abcdefE": (Vaddr(0x5000), 0),
}


def test_those_of_the_module_and_its_functions_are_its_statics_and_no_code_is(tmp_path: Path) -> None:
    image = Image(tmp_path / "none", "0" * 64, "dev", frame_module())
    function = (Vaddr(0x4000), 64, "get_meta")
    image.__dict__["_elf"] = Elf(image.elf, SYMBOLS, [function], "")
    assert image.subject_statics() == (
        Static("MetaSlot::inc_ref::CALLS", Vaddr(0x1000), 4),
        Static("BASE", Vaddr(0x2000), 8),
    )
    assert (image.subject_static("BASE"), image.subject_static("STATE")) == (Vaddr(0x2000), None)
