"""How a debugger is started on a guest that waits for it: a shell command, or a configuration of VS Code."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from frame_harness.base import resources
from frame_harness.base.disk import writing
from frame_harness.base.errors import UsageError
from frame_harness.base.reading import text_of
from frame_harness.contract.layout import RESERVED
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.slot_words import FLAGS, GUARDS
from frame_harness.image.errors import ImageError
from frame_harness.image.image import Image

_NAMES: Final = ("frame-harness (gdb)", "frame-harness (CodeLLDB)")
IN_GDB: Final = Path(__file__).with_name("in_gdb.py")


@dataclass(frozen=True)
class GdbCommand:
    """Starts gdb on one guest.

    Attributes:
        setup: the file of commands that teaches gdb the kernel's layout.
        stops: the file of commands that sets breakpoints; None for none.
    """

    image: Image
    socket: Path
    setup: Path
    stops: Path | None

    @classmethod
    def write(cls, image: Image, socket: Path, stops: Sequence[int] = ()) -> GdbCommand:
        """Write gdb's files beside the socket.

        Args:
            stops: addresses to stop at; gdb lets the guest run to the first one of them.
        Raises:
            Unwritable: there is no room.
        """
        setup, at = socket.with_suffix(".setup"), socket.with_suffix(".stops")
        with writing(setup.parent):
            setup.write_text(
                f"set print pretty off\nset pagination off\nsource {IN_GDB}\n"
                f"frame-harness-facts {json.dumps(facts_of(image))}\n",
                encoding="utf-8",
            )
            if stops:
                at.write_text(
                    "".join(f"hbreak *{vaddr:#x}\n" for vaddr in stops) + "continue\n", encoding="ascii"
                )
        return cls(image, socket, setup, at if stops else None)

    def argv(self) -> list[str]:
        """The command, word by word."""
        words = ["gdb", "-q", "-d", str(resources.shim_dir()), "-d", str(self.image.subject.path.parent)]
        words += ["-x", str(self.setup), "-ex", f"target remote {self.socket}"]
        words += ["-x", str(self.stops)] if self.stops else []
        return [*words, str(self.image.elf)]

    def shell(self) -> str:
        """The command for a shell."""
        return shlex.join(self.argv())

    def write_launch_json(self, path: Path) -> None:
        """Write, or renew, the configurations in a `launch.json` of VS Code; others in it stay.

        Raises:
            UsageError: the file is there, and is no JSON: comments would be lost.
            Unwritable: there is no room, or no leave.
        """
        launch, others = read_launch_json(path)
        launch = {"version": "0.2.0", **launch, "configurations": [*self.configurations(), *others]}
        with writing(path, instead="name another file"):
            path.write_text(json.dumps(launch, indent=2) + "\n", encoding="utf-8")

    def configurations(self) -> list[dict[str, Any]]:
        """Of VS Code: one for its C/C++ extension (cppdbg), one for CodeLLDB."""
        stops = [f"source {self.stops}"] if self.stops else []
        cppdbg = {
            "name": _NAMES[0],
            "type": "cppdbg",
            "request": "launch",
            "program": str(self.image.elf),
            "cwd": "${workspaceFolder}",
            "MIMode": "gdb",
            "miDebuggerServerAddress": str(self.socket),
            "stopAtConnect": True,
            "setupCommands": [{"text": f"source {self.setup}"}],
            "postRemoteConnectCommands": [{"text": text} for text in stops],
        }
        lldb = {
            "name": _NAMES[1],
            "type": "lldb",
            "request": "launch",
            "targetCreateCommands": [f"target create {self.image.elf}"],
            "processCreateCommands": [f"process connect unix-connect://{self.socket}"],
        }
        return [cppdbg, lldb]


def read_launch_json(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read what a `launch.json` holds, and its configurations but for those of ours; nothing where none is.

    Raises:
        UsageError: there can be none, or what is there is no JSON: comments would be lost.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(
            "--vscode", str(path), detail="its folder does not exist",
            next_step=shlex.join(["mkdir", "-p", str(path.absolute().parent)]),
        )  # fmt: skip
    try:
        text = text_of(path)
        launch = json.loads(text) if text.strip() else {}
        return launch, [one for one in launch.get("configurations", []) if one.get("name") not in _NAMES]
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UsageError(
            "--vscode", str(path), expected="a launch.json without comments", actual=str(error),
            next_step="name another file, and copy what you need from it",
        ) from error  # fmt: skip


def facts_of(image: Image) -> dict[str, Any]:
    """The layout and the names of bits, as `in_gdb` takes them."""
    folder = image.subject.path.with_suffix("")
    found: dict[str, Any] = {
        "sources": [str(image.subject.path), f"{folder}/", f"{resources.shim_dir()}/"],
        "link_none": C.link_none,
        "refcount_unused": C.refcount_unused,
        "slot": _record(image.slot_type, image.dtype(image.slot_type)),
        "flags": FLAGS,
        "guard": GUARDS,
        "witness": {"vaddr": image.symbol("WITNESS")[0]} | _record("Witness", image.dtype("Witness")),
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
