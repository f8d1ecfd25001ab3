"""Where a frame module stands in a crate: as `crate::memory::frame`, with its own modules as in a kernel."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from frame_harness.image.subject import Subject

KERNEL_S_NAME = "frame.rs"
CRATE = "kernel_shim"
MEMORY_IN_SHIM = f"{CRATE}::memory"
PATH_IN_SHIM = f"{MEMORY_IN_SHIM}::frame"


def memory_module(subject: Subject, around: str) -> str:
    """Return the text of `pub mod memory` with the frame module in it, as `build.rs` of the shim does.

    To rustc a file that `#[path]` names keeps its own modules beside itself, as `mod.rs` does. In a kernel,
    those of `memory/frame.rs` lie in `memory/frame/`: so the attribute names the folder, on `memory`.

    Args:
        around: path of the module with everything else that `crate::memory` has.
    """
    in_place = subject.path.name == KERNEL_S_NAME
    return (
        f"{_path_attribute(subject.path.parent) if in_place else ''}pub mod memory {{\n"
        f"pub use {around}::*;\n"
        "#[allow(warnings)]\n"
        f"{'' if in_place else _path_attribute(subject.path)}pub mod frame;\n"
        "}\n"
    )


def _path_attribute(path: Path) -> str:
    # A JSON string is a Rust string as far as paths go.
    return f"#[path = {json.dumps(str(path), ensure_ascii=False)}]\n"


def is_part_of(file: str, subject: str) -> bool:
    """Tell whether a source file is the subject or one of its own modules, by the paths of both."""
    return file == subject or file.startswith(_folders(subject))


@cache
def _folders(subject: str) -> tuple[str, ...]:
    """Return the folders that a subject's own modules may lie in."""
    path, folders = Path(subject), [f"{subject}/"]
    if path.name == "mod.rs":
        folders.append(f"{path.parent}/")
    elif path.name == KERNEL_S_NAME:
        folders.append(f"{path.with_suffix('')}/")
    return tuple(folders)
