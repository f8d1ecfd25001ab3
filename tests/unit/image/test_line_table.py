"""Proves what lines and functions code is said to belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.base.profiles import COVERAGE
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.asked import asked
from frame_harness.image.build import build
from frame_harness.image.code_lines import code_lines
from frame_harness.image.errors import CompileError
from frame_harness.image.image import Image
from frame_harness.image.line_table import Spot, derived, own_function
from frame_harness.image.placed import is_part_of
from frame_harness.image.toolchain import find_toolchain

FILE = "/kernel/memory/frame.rs"
TEXT = """\
#[derive(Clone, Copy)]
pub struct Frame {
    start: u64,
}

impl Frame {
    pub fn new() -> Self {
        Self { start: 0 } // says derive (nothing)
    }
}
"""


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("kernel_shim::memory::frame::MetaSlot::inc_ref", "MetaSlot::inc_ref"),
        ("kernel_shim::memory::frame::MetaSlot::inc_ref::{{closure}}::{{closure}}", "MetaSlot::inc_ref"),
        ("kernel_shim::memory::frame::get_meta::{closure#0}", "get_meta"),
        ("kernel_shim::memory::frame::get_meta", "get_meta"),
        (
            "<kernel_shim::memory::frame::Frames as core::iter::traits::iterator::Iterator>::next",
            "Frames::next",
        ),
        ("<kernel_shim::memory::frame::List<u64> as core::ops::drop::Drop>::drop", "List::drop"),
        ("kernel_shim::memory::frame::FrameAllocator::alloc_frame", "FrameAllocator::alloc_frame"),
    ],
)
def test_a_function_is_named_without_its_modules_and_closures(name: str, own: str) -> None:
    assert own_function(name) == own


def test_functions_that_begin_in_a_derive_are_the_compiler_s() -> None:
    clone = [Spot(FILE, 1, "Frame::clone"), Spot(FILE, 3, "Frame::clone")]
    new = [Spot(FILE, line, "Frame::new") for line in (7, 8, 9)]
    assert derived([*clone, *new], lambda _: TEXT) == frozenset(clone)


# In a build


@pytest.fixture(scope="module")
def image() -> Image:
    return build(frame_module(), COVERAGE)


def test_coverage_has_a_build_of_its_own(image: Image) -> None:
    wanted = asked(COVERAGE)
    assert (wanted.opt_level, wanted.checks, wanted.debuginfo) == ("0", True, asked("dev").debuginfo)
    assert image.profile == COVERAGE


def test_each_row_is_code_of_its_lines(image: Image) -> None:
    lines = code_lines(image, find_toolchain())
    path = str(image.subject.path)
    assert len(lines.table.rows) > 300 and len({spot.line for spot in lines.spots}) > 250
    for row in lines.table.rows:
        here = {place.line for place in image.places(row.start) if place.file == path}
        assert here >= {spot.line for spot in row.spots}, hex(row.start)
        assert any(start <= row.start and row.end <= end for start, end in lines.table.functions)


def test_a_function_begins_with_its_declaration(image: Image) -> None:
    lines = code_lines(image, find_toolchain())
    for name in ("MetaSlot::inc_ref", "FrameAllocOptions::allocate", "get_meta_slot"):
        first = min(spot.line for spot in lines.spots if spot.function == name)
        assert image.function_line(name) == (str(image.subject.path), first)


def test_a_subject_that_compiles_in_the_kernel_alone_has_the_lines_of_the_kernel(
    image: Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise CompileError(subject="frame.rs", profile=COVERAGE, first="no such crate", rendered="")

    toolchain = find_toolchain()
    monkeypatch.setattr("frame_harness.image.code_lines.compile_alone", refuse)
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))  # else it is known already
    lines = code_lines(image, toolchain)
    assert set(lines.spots) == {spot for row in lines.table.rows for spot in row.spots}


def test_modules_of_a_frame_module_lie_in_the_folder_of_its_name() -> None:
    assert is_part_of(FILE, FILE) and is_part_of("/kernel/memory/frame/parts.rs", FILE)
    assert not is_part_of("/kernel/memory/frames.rs", FILE)
    assert is_part_of("/k/parts.rs", "/k/mod.rs") and not is_part_of("/k/parts.rs", "/k/other.rs")
