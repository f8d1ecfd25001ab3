"""Builds a core; without the owners of its blocks where these are made for another kernel."""

from __future__ import annotations

from frame_harness.base.commands import Say
from frame_harness.image.build import build
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import NotJudgeable
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.memory_core.tree import described, without_ownership


def build_core(subject: Subject, profile: str, toolchain: Toolchain, say: Say) -> tuple[Image, str]:
    """The image, and what the owners of blocks ask for in vain; empty where they are in it, or not asked for.

    Raises:
        HarnessError: whatever `build` raises.
    """
    try:
        return build(subject, profile, toolchain=toolchain, say=say), ""
    except NotJudgeable as error:
        if not subject.features:
            raise
        why_not = "; ".join((*error.lacks, *error.asks))
    narrow = without_ownership(subject)
    say(described(narrow, why_not))
    return build(narrow, profile, toolchain=toolchain, say=say), why_not
