"""Histories are saved as scripts, and read back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.frame_histories.boot_configs import ISLANDS
from frame_harness.frame_histories.commands import Command, Op, VtableAt, decode
from frame_harness.frame_histories.lockstep import BootConfig
from frame_harness.frame_histories.scripts import FoundOn, Script, parse
from frame_harness.guest.boot_options import AS_USUAL, BootOptions


def script(boot_config: BootConfig = ISLANDS) -> Script:
    return Script(
        machine="q35", profile="dev", boot_config=boot_config,
        commands=(decode("alloc"), Command(Op.SET_VTABLE_BITS, (0x1000, VtableAt("both", 4)))),
        clause="VT-03", layout="q35 default 33554432", seen="words",
        subject=FoundOn("frame.rs", "0" * 64), seed="1:2", remarks={1: "expect success"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "boot_config", [ISLANDS, BootConfig("whole", AS_USUAL), BootConfig("small", BootOptions(ram="8 MiB"))]
)
def test_script_is_read_back_as_it_was_written(boot_config: BootConfig) -> None:
    assert parse(script(boot_config).text, "x") == replace(script(boot_config), remarks={})


def test_script_is_saved_by_clause_profile_and_module() -> None:
    assert script().file_name == "VT-03-dev-00000000.txt"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty file"),
        ("alloc\n", "first line"),
        ("# frame-harness script 1\n# machine: q35\nalloc\n", "profile"),
        ("# frame-harness script 1\n# machine: ../q35.toml\n# profile: dev\nalloc\n", "name of a machine"),
        ("# frame-harness script 1\n# machine: q35\n# profile: dev\n# ramtop: high\n", "high"),
    ],
)
def test_file_that_is_no_script_is_refused_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(text, "x")
