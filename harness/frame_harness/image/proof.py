"""Proves from an image's instructions that it was compiled as it was asked for.

Cargo's word for that is not taken: the shim's `evidence.rs` is compiled once more, by the compiler alone with
the flags of the profile, and the image must hold the same instructions. What a compiler made of it is kept.
What the instructions show of the checks and of the CPU's features is also read without that comparison, so
that a compiler that adds flags by itself is seen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from frame_harness.base import disk, resources
from frame_harness.image import evidence, machine_code, store
from frame_harness.image.asked import Asked, asked, on_or_off
from frame_harness.image.cargo import shim_flags
from frame_harness.image.compiler import TARGET, Toolchain
from frame_harness.image.errors import BuildDifference, WrongBuild
from frame_harness.image.image import Image
from frame_harness.image.placed import is_part_of

CodeShapes = dict[str, machine_code.CodeShape]
# Sources of the core library, and of crates.
_LIBRARY: Final = re.compile(r"/library/(?:core|alloc)/src/|/registry/src/")
_LEVELS: Final = ("0", "1", "2", "3", "s", "z")
_MADE_BY: Final = (Path(evidence.__file__), Path(machine_code.__file__))
_SHOWN: Final = 3  # of the instructions that the target's CPU lacks


def prove_image(image: Image, toolchain: Toolchain, core: Path | None = None) -> None:
    """Require that an image was compiled with the flags of its profile, for the target's CPU.

    Args:
        core: the core library that was compiled with the image, where the compiler brings none.
    Raises:
        WrongBuild: names everything that differs.
    """
    found = differences(image, toolchain, core)
    if found:
        raise WrongBuild(f"image of {image.subject.name} ({image.profile})", found)


def differences(image: Image, toolchain: Toolchain, core: Path | None = None) -> list[BuildDifference]:
    """Return every way in which an image is not what its profile asks for."""
    wanted = asked(image.profile)
    code = machine_code.functions_code(image.elf, evidence.ALL)
    found = [*_checks(code, wanted), *_features(image)]
    shapes = {name: machine_code.shape(each) for name, each in code.items()}
    if found or _is_known(shapes, wanted, toolchain, core):
        return found
    if shapes != (alone := _alone(wanted, toolchain, core)):
        # Code for another CPU, or with other checks, differs in every function: then that is what differs.
        return _optimization(shapes, wanted, toolchain, core) or [_flags(shapes, alone, wanted)]
    if core is None:
        _note(shapes, wanted, toolchain)
    return found


def _is_known(shapes: CodeShapes, wanted: Asked, toolchain: Toolchain, core: Path | None) -> bool:
    """Tell whether this compiler was seen to make the same of the evidence, when asked in the same way.

    A core library that was compiled with the image has part in the evidence: then nothing is known.
    """
    return core is None and store.read_json(_place(wanted, toolchain)) == _digest(repr(shapes))


def _note(shapes: CodeShapes, wanted: Asked, toolchain: Toolchain) -> None:
    try:
        store.write_json(_place(wanted, toolchain), _digest(repr(shapes)))
    except disk.Unwritable as error:  # somebody else's cache, or no room: it can be compiled again
        disk.tell(error)


def _place(wanted: Asked, toolchain: Toolchain) -> Path:
    # Beside what is compiled also how, and how the code is read: these change with the harness.
    sources = [path.read_text(encoding="utf-8") for path in (evidence.path(), *_MADE_BY)]
    asked_for = [toolchain.key, *sources, *wanted.flags, *shim_flags(), *toolchain.rustflags]
    return store.note_path(f"evidence-{_digest(json.dumps(asked_for))}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _checks(code: Mapping[str, bytes], wanted: Asked) -> Iterator[BuildDifference]:
    for what, name in (("debug assertions", evidence.ASSERTION), ("overflow checks", evidence.OVERFLOW)):
        there = machine_code.calls(code[name])
        if there != wanted.checks:
            yield BuildDifference(what, on_or_off(wanted.checks), on_or_off(there))


def _features(image: Image) -> list[BuildDifference]:
    """Look for instructions beyond the target's; those in the subject may be assembly, and prove nothing."""
    shim, subject = str(resources.shim_dir()), str(image.subject.path)
    found: dict[str, str] = {}
    for one in machine_code.foreign(image.elf):
        files = [place.file for place in image.places(one.vaddr)]
        ours = [file for file in files if file.startswith(shim) and not is_part_of(file, subject)]
        if ours and all(file in ours or _LIBRARY.search(file) for file in files):
            for feature in one.features:
                found.setdefault(feature, str(image.symbolize(one.vaddr)))
    if not found:
        return []
    shown = [f"{name} in {where}" for name, where in list(found.items())[:_SHOWN]]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return [BuildDifference("CPU features", f"none beyond those of {TARGET}", ", ".join(shown) + more)]


def _optimization(
    shapes: CodeShapes, wanted: Asked, toolchain: Toolchain, core: Path | None
) -> list[BuildDifference]:
    """Find the level that gives what is in the image."""
    for level in _LEVELS:
        if level != wanted.opt_level and shapes == _alone(replace(wanted, opt_level=level), toolchain, core):
            return [BuildDifference("optimization", f"level {wanted.opt_level}", f"level {level}")]
    return []


def _flags(shapes: CodeShapes, alone: CodeShapes, wanted: Asked) -> BuildDifference:
    others = ", ".join(name for name in evidence.ALL if shapes[name] != alone[name])
    return BuildDifference(
        "compiler flags", " ".join(wanted.flags), f"others, by the instructions of {others}"
    )


def _alone(wanted: Asked, toolchain: Toolchain, core: Path | None) -> CodeShapes:
    with evidence.compiled(wanted, toolchain, "obj", *shim_flags(), *toolchain.rustflags, core=core) as file:
        code = machine_code.functions_code(file, evidence.ALL)
        return {name: machine_code.shape(each) for name, each in code.items()}
