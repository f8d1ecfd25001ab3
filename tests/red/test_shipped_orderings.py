"""Proves that the orderings of a whole kernel are those that were judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.frame_metadata.orderings.rules import ORDERINGS
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import ImageError
from frame_harness.image.ir_build import compile_ir
from frame_harness.image.toolchain import find_toolchain
from frame_harness.orderings.ir_shipped import check_shipped, compare
from frame_harness.orderings.llvm_ir import Module


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return find_toolchain()


@pytest.fixture(scope="module")
def text(toolchain: Toolchain) -> str:
    return compile_ir(frame_module(), "release", toolchain)


def test_the_whole_kernel_orders_as_the_subject_alone(toolchain: Toolchain) -> None:
    agreement = check_shipped(frame_module(), "release", ORDERINGS, toolchain)
    assert agreement.violations == ()
    assert agreement.instructions > agreement.sites > 20


def test_the_kernel_around_a_real_subject_orders_as_that_subject_alone(
    real: Path, toolchain: Toolchain
) -> None:
    """In the other profile: debug assertions add accesses, and less is inlined."""
    agreement = check_shipped(frame_module(real), "dev", ORDERINGS, toolchain)
    assert agreement.violations == ()
    assert agreement.instructions > agreement.sites > 20


@pytest.mark.parametrize(
    ("strong", "weak"),
    [
        (" acquire, align", " monotonic, align"),
        ("acq_rel acquire", "acq_rel monotonic"),
        ("fence acquire", "fence release"),
    ],
)
def test_a_kernel_that_was_compiled_weaker_is_caught(text: str, strong: str, weak: str) -> None:
    assert strong in text
    kernel, alone = Module(text.replace(strong, weak)), Module(text)
    violations = compare(kernel, alone, str(frame_module().path), META_SLOT, ORDERINGS).violations
    assert violations
    assert all(violation.line > 0 for violation in violations)


def test_a_kernel_without_the_subject_is_an_error(text: str) -> None:
    with pytest.raises(ImageError, match="got none"):
        compare(Module(""), Module(text), str(frame_module().path), META_SLOT, ORDERINGS)
