"""Proves that a machine definition is read as written, or refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.base.resources import machines_dir, shim_dir
from frame_harness.base.units import GIB, MIB
from frame_harness.machine import DEFAULT_MACHINE, known_machines, load_machine
from frame_harness.machine.definition import load_machines, machine_from
from frame_harness.machine.schema import MAX_CPUS, MAX_RAM_END, check_ram, nearest

GOOD: dict[str, Any] = {"type": "q35", "ram": "64 MiB"}


def refused(**changes: Any) -> str:
    with pytest.raises(UsageError) as caught:
        machine_from("m", {**GOOD, **changes}, where="m.toml")
    return str(caught.value)


@pytest.mark.parametrize("name", ["q35", "q35-5g", "microvm", "pc"])
def test_machine_that_is_promised_exists(name: str) -> None:
    assert name in known_machines()
    machine = load_machine(name)
    assert machine.name == name and machine.summary and machine.accel == "tcg"


def test_q35_is_the_default_and_listed_first() -> None:
    assert load_machine().name == DEFAULT_MACHINE == known_machines()[0] == "q35"


def test_q35_5g_has_ram_behind_the_pci_hole() -> None:
    assert load_machine("q35-5g").ram > 4 * GIB


def test_unknown_key_names_the_nearest_known_one() -> None:
    text = refused(firmwar="qboot")
    assert "m.toml" in text and "'firmwar'" in text and "did you mean 'firmware'" in text


def test_unknown_machine_names_the_nearest_known_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'microvm'"):
        load_machine("microwm")


def a_file_named_q35(folder: Path) -> Path:
    path = folder / "q35.toml"
    path.write_text('type = "q35"\nram = "64 MiB"\n')
    return path


@pytest.mark.parametrize("turned", [False, True])
def test_two_machines_of_one_name_are_refused_in_either_order(turned: bool, tmp_path: Path) -> None:
    both = ["q35", str(a_file_named_q35(tmp_path))]
    with pytest.raises(UsageError, match="two machines of one name") as caught:
        load_machines(reversed(both) if turned else both)
    assert all(argument in str(caught.value) for argument in both)


def test_a_machine_that_is_named_twice_is_one() -> None:
    named = ["q35", "microvm", "q35", str(machines_dir() / "q35.toml")]
    assert list(load_machines(named)) == ["q35", "microvm"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"type": "isapc"}, "type"), ({"type": 3}, "type"), ({"ram": "64 MB"}, "ram"), ({"ram": 4097}, "ram"),
        ({"ram": "1 MiB"}, "ram"), ({"cpus": 0}, "cpus"), ({"cpus": "2"}, "cpus"), ({"cpus": True}, "cpus"),
        ({"cpus": MAX_CPUS + 1}, "cpus"),
        ({"accel": "hax"}, "accel"), ({"firmware": "ovmf"}, "firmware"), ({"options": 1}, "options"),
        ({"options": {"smm": 1.5}}, "options.smm"), ({"options": {"a": "b,c"}}, "options.a"),
        ({"options": {"memory-backend": "x"}}, "memory-backend"), ({"options": {"type": "pc"}}, "type"),
        ({"options": {"smp.cpus": 2}}, "smp.cpus"), ({"options": {"accel": "kvm"}}, "accel"),
        ({"options": {"a b=c": "x"}}, "options.a b=c"), ({"options": {"": "x"}}, "options."),
        ({"extra_args": "-s"}, "extra_args"), ({"extra_args": ["-daemonize"]}, "extra_args"),
        ({"extra_args": ["-append", "x"]}, "extra_args"),
        ({"limits": {"boot_cpu_s": 0}}, "boot_cpu_s"), ({"limits": {"console_bytes": 1.5}}, "console_bytes"),
        ({"limits": {"boot_cpus": 1}}, "boot_cpus"), ({"limits": 3}, "limits"), ({"cpu": 1}, "cpu"),
        ({"limits": {"total_wall_s": float("inf")}}, "total_wall_s"), ({"cpu": "max\0"}, "cpu"),
        ({"limits": {"total_wall_s": float("nan")}}, "total_wall_s"), ({"ram": "9" * 5000}, "ram"),
        ({"extra_args": ["-D", "log\0"]}, "extra_args"), ({"qemu": "qemu\0"}, "qemu"),
    ],
)  # fmt: skip
def test_wrong_value_is_refused_in_one_line_that_names_the_key(changes: dict[str, Any], key: str) -> None:
    first, *rest = refused(**changes).splitlines()
    assert key in first
    assert first.startswith("machine: m.toml: ")
    assert all(line.startswith("next: ") for line in rest)
    assert first.isprintable(), "a terminal is told nothing"


@pytest.mark.parametrize("missing", ["type", "ram"])
def test_required_key_is_missed(missing: str) -> None:
    data = {key: value for key, value in GOOD.items() if key != missing}
    with pytest.raises(UsageError, match=f"'{missing}' is missing"):
        machine_from("m", data, where="m.toml")


def test_booleans_among_the_options_become_on_and_off() -> None:
    machine = machine_from("m", {**GOOD, "options": {"smm": False, "hpet": True, "x": 3}}, where="m")
    assert dict(machine.options) == {"smm": "off", "hpet": "on", "x": "3"}


def test_file_of_the_user_is_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('type = "pc"\nram = "8 MiB"\n[limits]\nboot_cpu_s = 3\n')
    machine = load_machine(path)
    assert (machine.name, machine.ram, machine.limits.boot_cpu_s) == ("mine", 8 * MIB, 3)
    assert load_machine(str(path)) == machine


def test_file_of_the_user_may_be_named_by_its_place_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text('type = "pc"\nram = "32 MiB"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_machine("~/mine.toml").name == "mine"


def test_machine_whose_name_no_report_can_show_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "my\x01\nmachine.toml"
    path.write_text('type = "pc"\nram = "8 MiB"\n')
    with pytest.raises(UsageError, match="without control characters") as caught:
        load_machine(path)
    assert caught.value.summary.isprintable()


@pytest.mark.parametrize(
    "content",
    [b"type =", b"\xff\xfe", None, b"ram = " + b"9" * 5000, b"ram = " + b"[" * 100_000],
    ids=["cut off", "no text", "none", "too many digits", "too deep"],
)
def test_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(str(path))):
        load_machine(path)


def test_override_changes_what_is_asked_for_alone() -> None:
    machine = load_machine("q35")
    other = machine.override(ram="1 GiB", cpus=2, limits={"boot_cpu_s": 1.5})
    assert (other.ram, other.cpus, other.limits.boot_cpu_s) == (GIB, 2, 1.5)
    assert machine.override() == machine and other.options == machine.options


def test_override_refuses_what_a_file_could_not_say() -> None:
    for wrong in ({"cpus": 0}, {"ram": "4097"}, {"accel": "x"}, {"limits": {"boot": 1}}):
        with pytest.raises(UsageError):
            load_machine().override(**wrong)


def test_ram_ends_where_the_kernel_can_map_no_more() -> None:
    check_ram("m.toml", "q35", 510 * GIB)  # 2 GiB below the hole, 508 GiB from 4 GiB on
    with pytest.raises(UsageError, match="at most 510 GiB"):
        check_ram("m.toml", "q35", 511 * GIB)
    assert nearest("mircovm", ["microvm", "pc"]) == ", did you mean 'microvm'" and not nearest("x", ["pc"])


@pytest.mark.parametrize(
    ("file", "found", "limit"),
    [
        ("parts/lib.rs", r"pub const MAX_CPUS: usize = (\d+);", MAX_CPUS),
        ("src/arch/paging.rs", r"pub const MAX_HHDM_BYTES: u64 = (\d+) << 30;", MAX_RAM_END // GIB),
    ],
    ids=["CPUs", "RAM"],
)
def test_limit_of_a_machine_is_that_of_the_kernel(file: str, found: str, limit: int) -> None:
    match = re.search(found, (shim_dir() / file).read_text(encoding="utf-8"))
    assert match is not None and int(match[1]) == limit
