"""What gdb has to know of a kernel to show its slots and zones by their meaning."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

import numpy as np

from frame_harness.base import resources
from frame_harness.contract.layout import RESERVED
from frame_harness.frame_metadata.constants import C
from frame_harness.image.errors import ImageError
from frame_harness.image.image import Image

_BITS = {"flags": "flag_", "guard": "guard_"}


def facts_of(image: Image) -> dict[str, Any]:
    """The layout and the names of bits, as `in_gdb` takes them."""
    folder = image.subject.path.with_suffix("")
    found: dict[str, Any] = {
        "sources": [str(image.subject.path), f"{folder}/", f"{resources.shim_dir()}/"],
        "link_none": C.link_none,
        "refcount_unused": C.refcount_unused,
        "slot": _record(image.slot_type, image.dtype(image.slot_type)),
        "witness": {"vaddr": image.symbol("WITNESS")[0]} | _record("Witness", image.dtype("Witness")),
    }
    for name, prefix in _BITS.items():
        found[name] = {
            constant.removeprefix(prefix).upper(): value
            for constant, value in asdict(C).items()
            if constant.startswith(prefix)
        }
    with contextlib.suppress(ImageError):  # another adapter than the built-in one has another allocator
        found["zone"] = _zones(image.dtype("BuddyState"))
    return found


def _record(type_name: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    fields = {}
    for name, (kind, offset, *_) in (dtype.fields or {}).items():
        if np.issubdtype(kind, np.integer) and RESERVED not in name:
            fields[name] = [offset, kind.itemsize]
    return {"type": type_name, "bytes": dtype.itemsize, "fields": fields}


def _field(dtype: np.dtype[Any], name: str) -> tuple[np.dtype[Any], int]:
    kind, offset, *_ = dict(dtype.fields or {})[name]
    return kind, offset


def _zones(buddy: np.dtype[Any]) -> dict[str, Any]:
    (kind, offset), (heads, heads_offset) = _field(buddy, "zones"), _field(buddy["zones"].base, "heads")
    zone = kind.base
    return _record("ZoneState", zone) | {
        "offset": offset,
        "count": kind.shape[0],
        "heads": {"offset": heads_offset, "orders": heads.shape[1]},
    }
