"""A machine that this host or the kernel cannot give is refused before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from frame_harness.base import own_programs
from frame_harness.base.errors import MissingToolError, UsageError
from frame_harness.base.units import GIB
from frame_harness.cli import check as check_command
from frame_harness.cli.check import CheckRequest
from frame_harness.machine.definition import load_machine, machine_from
from frame_harness.machine.firmware import require_host

Q35 = load_machine("q35")


def built(*_: object, **__: object) -> NoReturn:
    pytest.fail("it was built")


def request_for(folder: Path, line: str) -> CheckRequest:
    machine = folder / "mine.toml"
    machine.write_text(f'type = "q35"\nram = "32 MiB"\n{line}\n')
    return CheckRequest(machines=(str(machine),), images=built)


@pytest.mark.parametrize(
    "line", ['qemu = "qemu-nosuch"', 'qemu = "/nosuch/qemu"', 'firmware = "/nosuch/bios.bin"'],
)  # fmt: skip
def test_program_or_firmware_that_a_file_names_is_a_mistake_in_the_file(line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nosuch") as raised:
        check_command.check(request_for(tmp_path, line))
    assert raised.value.next_step


def test_qemu_that_is_not_installed_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(own_programs, "OWN_PROGRAMS", tmp_path)
    with pytest.raises(MissingToolError, match="qemu-system-x86_64: not found") as raised:
        check_command.check(CheckRequest(images=built))
    assert "apt install" in raised.value.next_step


@pytest.mark.parametrize(("kind", "most"), [("q35", 510), ("pc", 511), ("microvm", 511)])
def test_more_ram_than_the_kernel_can_map_is_refused(kind: str, most: int) -> None:
    machine_from("big", {"type": kind, "ram": most * GIB}, where="big.toml")
    with pytest.raises(UsageError, match=f"expected at most {most} GiB"):
        machine_from("big", {"type": kind, "ram": most * GIB + 4096}, where="big.toml")


@pytest.mark.parametrize("argument", ["-s", "-gdb", "--gdb", "-m", "-serial", "-append", "-S", "-qtest"])
def test_argument_of_the_harness_s_own_is_refused_with_what_serves_instead(argument: str) -> None:
    with pytest.raises(UsageError, match="extra_args") as raised:
        machine_from("mine", {"type": "q35", "ram": "32 MiB", "extra_args": [argument]}, where="mine.toml")
    assert raised.value.next_step


def test_usual_machine_is_at_home_here() -> None:
    require_host(Q35)
