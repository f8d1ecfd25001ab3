"""Proves that QEMU is found with its firmware."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.machine import firmware as module
from frame_harness.machine import load_machine
from frame_harness.machine.firmware import bios_argument, find_qboot


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QEMU of its own, on a host without any other."""
    monkeypatch.setattr(module, "SHARED", ())
    (tmp_path / "bin").mkdir()
    (tmp_path / "share" / "qemu").mkdir(parents=True)
    (tmp_path / "bin" / "qemu").touch()
    return tmp_path


def test_qboot_beside_qemu_is_taken(prefix: Path) -> None:
    rom = prefix / "share" / "qemu" / "qboot.rom"
    rom.touch()
    assert bios_argument(load_machine("q35"), str(prefix / "bin" / "qemu")) == str(rom)


def test_without_qboot_the_machine_boots_with_what_qemu_has(prefix: Path) -> None:
    assert bios_argument(load_machine("q35"), str(prefix / "bin" / "qemu")) is None


def test_qemu_behind_a_link_is_followed_to_its_own_firmware(prefix: Path) -> None:
    (prefix / "share" / "qemu" / "qboot.rom").touch()
    (prefix / "link").symlink_to(prefix / "bin" / "qemu")
    assert find_qboot(str(prefix / "link")) is not None


def test_seabios_is_qemus_own_choice(prefix: Path) -> None:
    assert bios_argument(load_machine("pc"), str(prefix / "bin" / "qemu")) is None
