"""Breakpoints go where the code of a line, or of a function, begins, inlined or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.base.units import Vaddr
from frame_harness.debugging.stops import stops_at, stops_of
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.code_starts import CodeStarts
from frame_harness.image.elf import open_elf
from frame_harness.image.image import Image
from frame_harness.image.machine_code import code_sections
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey


@pytest.fixture(scope="module")
def image() -> Image:
    return build(frame_module(), "dev")


def test_each_start_of_a_function_is_its_code_by_the_line_tables_too(image: Image) -> None:
    """Two readers of the same debug information: DIEs here, symbolic's symcache there."""
    starts = CodeStarts.of(image)
    own = {path: found for path, found in starts.functions.items() if "::memory::frame::MetaSlot::" in path}
    assert len(own) > 20
    for path, found in own.items():
        name = path.rpartition("::")[2]
        for vaddr in found:
            # Code without a line counts to the code before it there, so a few bytes more are looked at.
            near = [
                place.function for at in map(Vaddr, range(vaddr, vaddr + 16)) for place in image.places(at)
            ]
            assert any(function.endswith(f"::{name}") for function in near), (path, vaddr)


def test_code_that_the_linker_left_out_is_no_place_to_stop_at(image: Image) -> None:
    starts = CodeStarts.of(image)
    [(first, end)] = [
        (one["sh_addr"], one["sh_addr"] + one["sh_size"])
        for one in code_sections(open_elf(image.elf))
        if one.name == ".text"
    ]
    low = [at for found in (*starts.lines.values(), *starts.functions.values()) for at in found]
    assert sum(first <= at < end for at in low) > 1000
    assert all(at > 0x1000 for at in low)


def test_function_that_was_inlined_begins_at_each_place(image: Image) -> None:
    assert len(CodeStarts.of(image).of_function("MetaSlot::set_refcount")) > 1


def test_a_line_may_be_named_by_the_end_of_its_path(image: Image) -> None:
    path, line = image.function_line("FrameAllocOptions::allocate") or ("", 0)
    ends = (path, Path(path).name, f"memory/{Path(path).name}")
    ends = (path, Path(path).name, f"memory/{Path(path).name}")
    named = [CodeStarts.of(image).of_line(f"{end}:{line}") for end in ends]
    assert named[0] and named[0] == named[2] and set(named[0]) <= set(named[1])


def test_finding_at_a_declaration_is_held_in_the_function(image: Image) -> None:
    path, line = image.item_line("MetaSlot::inc_ref") or ("", 0)
    finding = CheckResult(
        check="x", clauses=("REF-07",), run=RunKey(machine="q35", profile="dev"), outcome=Outcome.VIOLATED,
        duration_s=0.0, at=f"{path}:{line}", function="MetaSlot::inc_ref",
    )  # fmt: skip
    assert stops_of(finding, image).vaddrs == CodeStarts.of(image).of_function("MetaSlot::inc_ref")


def test_a_line_without_code_is_refused(image: Image) -> None:
    with pytest.raises(UsageError, match=r"frame\.rs:1: expected a FILE:LINE with code"):
        stops_at("frame.rs:1", image)
