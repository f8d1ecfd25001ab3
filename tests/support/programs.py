"""Tells which modules of tests start programs: guests, compilers, the harness itself."""

from __future__ import annotations

import subprocess
from types import ModuleType
from typing import Final

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.image.build import build
from frame_harness.image.toolchain import find_toolchain
from frame_harness.machine.guest import Guest
from frame_harness.machine.process import QemuProcess
from frame_harness.mutation.workplace import claimed
from frame_harness.session.suite import run_suite

STARTERS: Final = (subprocess, Kernel, build, find_toolchain, Guest, QemuProcess, run_suite, claimed)
_SUPPORT: Final = frozenset(
    f"tests.support.{name}"
    for name in (
        "bug_checks", "campaign_tasks", "children", "chromium", "clusters", "deep_faults", "doors", "forked",
        "hosts", "instrumented", "recorder", "red_kernels", "repositories", "scene", "small_disk",
        "whole_checks",
    )
)  # fmt: skip


def starts_programs(module: ModuleType) -> bool:
    """Whether a module of tests has something at hand by which programs are started."""
    held = vars(module).values()
    return any(one is starter for one in held for starter in STARTERS) or any(
        getattr(one, "__module__", "") in _SUPPORT for one in held
    )
