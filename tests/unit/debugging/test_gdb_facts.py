"""What gdb is told of a kernel: where fields lie in memory, how wide they are, what their bits are called."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base import resources
from frame_harness.debugging.gdb_command import facts_of
from frame_harness.frame_metadata.constants import C
from frame_harness.image.errors import ImageError

SLOT = np.dtype(
    {
        "names": ["next", "flags", "free_link", "reserved", "payload"],
        "formats": ["<u8", "<u4", [("a", "<u8")], "u1", ("u1", 4)],
        "offsets": [0, 16, 24, 40, 44],
        "itemsize": 64,
    }
)
ZONE = np.dtype([("free", "<u8"), ("heads", "<u8", (2, 12))])
BUDDY = np.dtype({"names": ["lock", "zones"], "formats": ["<u8", (ZONE, 3)], "offsets": [0, 32]})
WITNESS = np.dtype([("hhdm_base", "<u8"), ("n_frames", "<u8")])


def facts(**types: np.dtype[Any]) -> dict[str, Any]:
    """Of a kernel with these types beside a slot and a witness."""
    known = {"MetaSlot": SLOT, "Witness": WITNESS, **types}

    def dtype(name: str) -> np.dtype[Any]:
        if name not in known:
            raise ImageError("image", name)
        return known[name]

    image = SimpleNamespace(
        subject=SimpleNamespace(path=Path("/k/src/memory/frame.rs")), slot_type="MetaSlot", dtype=dtype,
        symbol={"WITNESS": (0xFFFF_FFFF_8000_1000, 16)}.__getitem__,
    )  # fmt: skip
    return facts_of(cast("Any", image))


def test_numbers_of_a_slot_are_told_by_place_and_width_and_nothing_else_is() -> None:
    assert facts()["slot"] == {"type": "MetaSlot", "bytes": 64, "fields": {"next": [0, 8], "flags": [16, 4]}}


def test_the_witness_is_told_with_its_address() -> None:
    assert facts()["witness"] == {
        "vaddr": 0xFFFF_FFFF_8000_1000, "type": "Witness", "bytes": 16,
        "fields": {"hhdm_base": [0, 8], "n_frames": [8, 8]},
    }  # fmt: skip


def test_lists_of_zones_are_told_where_the_kernel_has_them() -> None:
    assert "zone" not in facts()
    assert facts(BuddyState=BUDDY)["zone"] == {
        "type": "ZoneState", "bytes": ZONE.itemsize, "fields": {"free": [0, 8]}, "offset": 32, "count": 3,
        "heads": {"offset": 8, "orders": 12},
    }  # fmt: skip


@pytest.mark.parametrize(("group", "some"), [("flags", {"FREE": 1 << 9}), ("guard", {"KERNEL_ONLY": 1})])
def test_bits_have_the_names_of_the_contract(group: str, some: dict[str, int]) -> None:
    found = facts()[group]
    assert some.items() <= found.items()
    prefix = "flag_" if group == "flags" else "guard_"
    assert found == {
        name.removeprefix(prefix).upper(): value for name, value in vars(C).items() if name.startswith(prefix)
    }


def test_code_of_the_subject_its_own_modules_and_the_shim_is_told_apart() -> None:
    sources = facts()["sources"]
    assert sources == ["/k/src/memory/frame.rs", "/k/src/memory/frame/", f"{resources.shim_dir()}/"]


def test_all_of_it_travels_as_json() -> None:
    told = facts(BuddyState=BUDDY)
    assert json.loads(json.dumps(told)) == told
