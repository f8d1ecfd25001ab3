"""Turns a subject into a bootable image that explains itself."""

from frame_harness.base.profiles import PROFILES
from frame_harness.image.build import build
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import CompileError, NotJudgeable, SubjectError, ToolchainError
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain

__all__ = [
    "PROFILES",
    "CompileError",
    "Image",
    "NotJudgeable",
    "Subject",
    "SubjectError",
    "Toolchain",
    "ToolchainError",
    "build",
    "find_toolchain",
]
