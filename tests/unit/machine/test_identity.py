"""Results that were got on another machine, QEMU or firmware are not those of this one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from frame_harness.base.errors import MachineError
from frame_harness.cli.storm import StormRequest, _identity
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.machine.definition import Machine, load_machine
from frame_harness.machine.firmware import find_qemu
from frame_harness.machine.identity import identity_of, qemu_version
from frame_harness.memory_core.following import plan_of


def qemu(folder: Path, version: str, status: int = 0) -> Path:
    """Write a QEMU of some version, at the same place each time."""
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\necho QEMU emulator version {version}\necho Copyright\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"ram": "40 MiB"}, {"cpus": 2}, {"accel": "kvm"}, {"extra_args": ["-nodefaults"]},
        {"limits": {"boot_cpu_s": 7}},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_a_machine_of_another_definition_is_another_one(changes: dict[str, Any]) -> None:
    machine = load_machine("q35")
    assert (
        identity_of(machine.override(**changes)) != identity_of(machine) == identity_of(load_machine("q35"))
    )


def test_a_machine_file_with_other_content_is_another_one(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('type = "q35"\nram = "64 MiB"\n')
    before = identity_of(load_machine(file))
    file.write_text('type = "q35"\nram = "65 MiB"\n')
    assert identity_of(load_machine(file)) != before


def test_a_qemu_of_another_version_in_the_same_place_is_another_one(tmp_path: Path) -> None:
    machine = load_machine("q35").override(qemu=str(qemu(tmp_path, "7.2.22")))
    before = identity_of(machine)
    assert qemu_version(machine.qemu) == "QEMU emulator version 7.2.22"
    qemu(tmp_path, "8.0.0")
    assert identity_of(machine) != before


def test_firmware_with_other_content_is_another_one(tmp_path: Path) -> None:
    file = tmp_path / "bios.bin"
    file.write_bytes(b"one")
    machine = load_machine("q35").override(firmware=str(file))
    before = identity_of(machine)
    file.write_bytes(b"two")
    assert identity_of(machine) != before


def test_without_qemu_the_definition_counts_alone() -> None:
    machine = load_machine("q35").override(qemu="qemu-that-nobody-has")
    assert identity_of(machine) == identity_of(machine) != identity_of(machine.override(cpus=2))


def test_a_qemu_that_does_not_start_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = qemu(tmp_path, "", status=127)
    with pytest.raises(MachineError, match=f"^qemu: {path}: does not start: ") as caught:
        identity_of(load_machine("q35").override(qemu=str(path)))
    assert caught.value.next_step == "install qemu-system-x86 again"


def test_the_qemu_of_this_host_says_its_version() -> None:
    assert qemu_version(find_qemu(load_machine().qemu)).startswith("QEMU emulator version ")


def identities(machine: Machine) -> dict[str, str]:
    """The identity of each campaign on a machine that has just one."""
    image = build(frame_module(), "release")
    return {
        "storm": _identity(StormRequest(1.0), image, machine),
        "since": plan_of(machine).identity,
    }


def test_campaigns_of_another_qemu_are_not_gone_on_with(tmp_path: Path) -> None:
    machine = load_machine("q35").override(qemu=str(qemu(tmp_path, "7.2.22")))
    before = identities(machine)
    assert identities(machine) == before
    qemu(tmp_path, "8.0.0")
    after = identities(machine)
    assert all(after[name] != before[name] for name in before)
    assert not set(before.values()) & set(identities(machine.override(cpus=2)).values())


def test_a_storm_of_other_cpus_or_another_image_is_another_campaign() -> None:
    machine, image = load_machine("q35"), build(frame_module(), "release")
    requests = [StormRequest(1.0), StormRequest(1.0, cpus=3), StormRequest(1.0, again=True)]
    found = {_identity(one, image, machine) for one in requests}
    found.add(_identity(requests[0], replace(image, sha256="0" * 64), machine))
    assert len(found) == 4
    assert _identity(StormRequest(2.0), image, machine) in found, "it may be made longer"
