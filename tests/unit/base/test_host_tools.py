"""A program that is there but does not work counts as missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.base.host_tools import HOST_TOOLS, LINKER, QEMU, HostTool


@pytest.mark.parametrize("tool", HOST_TOOLS, ids=lambda tool: tool.program)
def test_tool_of_this_machine_works(tool: HostTool) -> None:
    assert tool.works(), tool.try_out().last_words()


def test_compiler_that_finds_no_c_library_is_no_linker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, "cc", "echo '/usr/bin/ld: cannot find Scrt1.o: No such file or directory' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert not LINKER.works()
    assert "Scrt1.o" in LINKER.try_out().last_words()


def test_qemu_that_does_not_start_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, "qemu-system-x86_64", "echo 'error while loading shared libraries' >&2; exit 127")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert not QEMU.works()


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
