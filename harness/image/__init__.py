"""Turns a subject into a bootable image that explains itself."""

from harness.image.build import PROFILES, build
from harness.image.errors import BuildError, NotJudgeable, SubjectError, ToolchainError
from harness.image.image import Image
from harness.image.subject import Subject
from harness.image.toolchain import Toolchain, find_toolchain

__all__ = [
    "PROFILES",
    "BuildError",
    "Image",
    "NotJudgeable",
    "Subject",
    "SubjectError",
    "Toolchain",
    "ToolchainError",
    "build",
    "find_toolchain",
]
