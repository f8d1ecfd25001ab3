"""Proves QEMU's arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.machine import load_machine
from frame_harness.machine.argv import Handles, qemu_argv

HANDLES = Handles(ram=7, console=8, monitor=9)


def argv_of(name: str = "q35", bios: str | None = None, **changes: object) -> list[str]:
    machine = load_machine(name).override(**changes)  # type: ignore[arg-type]
    return qemu_argv(
        machine, HANDLES, qemu="/bin/q", elf=Path("/k.elf"), append="nonce=1 init=full", bios=bios
    )


def after(argv: list[str], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def test_guest_starts_paused_without_anything_that_was_not_asked_for() -> None:
    argv = argv_of()
    assert {"-S", "-no-reboot", "-nodefaults", "-no-user-config"} <= set(argv)
    assert after(argv, "-display") == "none"


def test_ram_is_the_inherited_file_shared_never_allocated_in_advance() -> None:
    backend = after(argv_of(ram="64 MiB"), "-object").split(",")
    assert backend[0] == "memory-backend-file"
    assert {"mem-path=/dev/fd/7", "share=on", "prealloc=off", f"size={64 << 20}"} <= set(backend)
    assert "memory-backend=ram" in after(argv_of(), "-machine").split(",")


def test_console_and_monitor_are_inherited_sockets() -> None:
    argv = argv_of()
    assert "socket,id=console,fd=8" in argv and "socket,id=monitor,fd=9" in argv
    assert not [arg for arg in argv if "path=" in arg.replace("mem-path=", "") or "tcp" in arg]


def test_command_line_of_the_kernel_is_one_argument() -> None:
    assert after(argv_of(), "-append") == "nonce=1 init=full"


def test_firmware_is_named_only_when_chosen() -> None:
    assert "-bios" not in argv_of()
    assert after(argv_of(bios="/q.rom"), "-bios") == "/q.rom"


def test_machine_options_come_from_the_definition() -> None:
    assert "smm=off" in after(argv_of("q35"), "-machine").split(",")
    assert after(argv_of("microvm"), "-machine").startswith("microvm,")


def test_overrides_reach_qemu() -> None:
    argv = argv_of(cpus=3, ram="5 GiB")
    assert after(argv, "-smp") == "3" and after(argv, "-m") == f"size={5 << 30}B"


def test_accelerator_must_be_settled_first() -> None:
    with pytest.raises(UsageError, match="expected tcg or kvm"):
        argv_of(accel="auto")
