"""Proves that KVM is believed only after a boot."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from frame_harness.base.errors import MachineError
from frame_harness.machine import accel, load_machine, settle_accel
from frame_harness.machine.firmware import find_qemu
from tests.support import tiny_guest as tiny
from tests.support.fake_qemu import write_script

READY = b"ready\n"
TALK = [(b"", READY)]


def settle(tmp_path: Path, script: str, code: bytes = b"") -> tuple[str, list[str]]:
    device, said = tmp_path / "kvm", list[str]()
    device.touch()
    kernel = tiny.write_kernel(tmp_path, code or tiny.say(READY) + tiny.HALT)
    machine = write_script(tmp_path, script).override(accel="auto")
    settled = settle_accel(machine, kernel, append="", talk=TALK, say=said.append, device=device)
    return settled.accel, said


def as_if(accelerator: str) -> str:
    """A QEMU that takes `-accel kvm` for something else."""
    command = f"""for arg; do shift; [ "$arg" = kvm ] && arg={accelerator}; set -- "$@" "$arg"; done"""
    return f'{command}\nexec {find_qemu("qemu-system-x86_64")} "$@"\n'


def test_kvm_is_chosen_when_this_kernel_boots_with_it(tmp_path: Path) -> None:
    chosen, said = settle(tmp_path, as_if("tcg"))
    assert chosen == "kvm" and len(said) == 1 and "booted with it" in said[0]


def test_kvm_that_opens_but_hangs_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "PROBE_WALL_S", 0.5)
    chosen, said = settle(tmp_path, "exec sleep 600\n")
    assert chosen == "tcg" and "accelerator: tcg (with kvm" in said[0]


def test_kvm_whose_guest_never_speaks_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accel, "PROBE_WALL_S", 1.0)
    chosen, said = settle(tmp_path, as_if("tcg"), tiny.HALT)
    assert chosen == "tcg" and "with kvm" in said[0]


def test_kvm_whose_guest_dies_is_not_believed(tmp_path: Path) -> None:
    chosen, said = settle(tmp_path, as_if("tcg"), tiny.triple_fault())
    assert chosen == "tcg" and "with kvm" in said[0]


def test_kvm_that_qemu_refuses_is_not_believed(tmp_path: Path) -> None:
    chosen, said = settle(tmp_path, "echo 'could not access KVM' >&2\nexit 1\n")
    assert chosen == "tcg" and "could not access KVM" in said[0]


def test_kvm_whose_guest_boots_but_never_answers_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accel, "PROBE_WALL_S", 1.0)
    device, said = tmp_path / "kvm", list[str]()
    device.touch()
    kernel = tiny.write_kernel(tmp_path, tiny.say(READY) + tiny.HALT)
    machine = write_script(tmp_path, as_if("tcg")).override(accel="auto")
    talk = [*TALK, (b"1 selftest\n", b"=1 ok")]
    settled = settle_accel(machine, kernel, append="", talk=talk, say=said.append, device=device)
    assert settled.accel == "tcg" and "was not ready" in said[0]


def test_kvm_whose_guest_prints_on_and_on_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for bytes that are there already: such a guest reaches no limit of a wait."""
    console, theirs = socket.socketpair()
    with console, theirs:
        theirs.sendall(b"still booting\n" * 2048 + READY)
        guest = SimpleNamespace(console=console)
        monkeypatch.setattr(accel, "PROBE_WALL_S", 1e-9)
        monkeypatch.setattr(accel, "Guest", SimpleNamespace(start=lambda *_, **__: nullcontext(guest)))
        chosen, said = settle(tmp_path, "")
    assert chosen == "tcg" and "was not ready" in said[0]


def test_kvm_that_was_asked_for_and_hangs_is_one_message_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accel, "PROBE_WALL_S", 0.5)
    device = tmp_path / "kvm"
    device.touch()
    machine = write_script(tmp_path, "exec sleep 600\n").override(accel="kvm")
    kernel = tiny.write_kernel(tmp_path, tiny.HALT)
    with pytest.raises(MachineError, match="with kvm") as raised:
        settle_accel(machine, kernel, append="", talk=TALK, say=print, device=device)
    assert "--accel kvm" in raised.value.next_step


def test_missing_device_needs_no_probe(tmp_path: Path) -> None:
    said = list[str]()
    machine = load_machine().override(accel="auto")
    none = tmp_path / "none"
    settled = settle_accel(machine, none, append="", talk=TALK, say=said.append, device=none)
    assert settled.accel == "tcg" and "cannot be used" in said[0]


def test_settled_machine_comes_back_as_it_is(tmp_path: Path) -> None:
    machine = load_machine()
    assert settle_accel(machine, tmp_path, append="", talk=TALK, say=pytest.fail) is machine
