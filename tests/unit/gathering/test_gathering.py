"""What the guests of failing checks leave is gathered; what goes wrong with it decides nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.archive import writing
from frame_harness.archive.folder import Archive, FailureFolder
from frame_harness.archive.records import BootRecord, Header
from frame_harness.base.units import Paddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.gathering import gatherer
from frame_harness.gathering.frames import frames_concerned
from frame_harness.gathering.gatherer import Gatherer
from frame_harness.gathering.writing import script
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.command_log import Sent
from frame_harness.guest.errors import GuestCrashed, GuestTimeout
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckInRun, RunKey
from frame_harness.machine.definition import load_machine
from tests.unit.evidence_samples import healthy

KEY = CheckInRun(run=RunKey(machine="microvm", profile="release"), check="test_x.py::test_x")
MACHINE = load_machine("microvm").override(limits={"request_cpu_s": 1.0})


@pytest.fixture(scope="module")
def image() -> Image:
    return build(frame_module(), "release")


@pytest.fixture
def gathered(tmp_path: Path) -> Iterator[Gatherer]:
    writing.begin(tmp_path / "out", ("frame-harness",))
    one = Gatherer(tmp_path / "out")
    yield one
    one.close()


def opened(folder: Path) -> tuple[FailureFolder, ...]:
    header = Header(command=(), at="", contract=FRAME_METADATA.name, version="0", evidence=healthy())
    writing.finish(folder / "out", header)
    return Archive.open(folder / "out").failures


def left(folder: Path) -> FailureFolder:
    [failure] = opened(folder)
    return failure


def test_a_failing_check_leaves_its_memory_before_and_after(
    image: Image, gathered: Gatherer, tmp_path: Path
) -> None:
    with Kernel.boot(image, MACHINE) as kernel:
        paddr = kernel.alloc(purpose="user")
        kernel.call("slot.inc_ref", paddr)
        kernel.slot(paddr).get_refcount()
        error = ClauseViolated("refcount", expected="1", got="2", frame=paddr)
        gathered.failed("x", [kernel], error)
    gathered.ended(7, KEY, ("on-the-way::REF-01",))
    failure, pfn = left(tmp_path), paddr >> 12
    guest = failure.guests[-1]
    assert gathered.notes == [] and failure.notes == ()
    assert [one.line.split()[0] for one in guest.commands] == ["alloc", "slot.inc_ref", "slot.get_refcount"]
    assert guest.options == BootRecord(init="full", ram=MACHINE.ram, cpus=1, seed=1)
    assert guest.changed_by == f"slot.inc_ref {paddr:#x}"
    assert failure.before is not None and failure.before.slots["refcount"][pfn] == 1
    assert failure.after is not None and failure.after.slots["refcount"][pfn] == 2
    assert failure.life is not None and failure.life.pfns[0] == pfn
    assert failure.life.slots["refcount"][:, 0].tolist() == [2**32 - 1, 1, 2, 2]
    assert failure.payload is not None and failure.payload.pfns.tolist() == [pfn]
    assert failure.after.zones and len(failure.after.ram) and len(failure.after.off_limits)
    assert str(guest.end) == "pass" and any("RIP=" in line for line in guest.registers)
    assert len({line[:12] for line in failure.console.splitlines()}) > 2  # times differ
    assert {key.check for key in failure.record.keys} == {KEY.check, "on-the-way::REF-01"}


def test_the_script_starts_the_guest_again_and_takes_its_commands(
    image: Image, gathered: Gatherer, tmp_path: Path
) -> None:
    with Kernel.boot(image, MACHINE) as kernel:
        kernel.alloc()
        gathered.failed("x", [kernel], AssertionError())
        kernel.call("onpanic halt")
    gathered.ended(1, KEY, ())
    folder = left(tmp_path).folder
    with (folder / "commands.txt").open("a") as commands:
        commands.write("exit pass\n")  # else it waits for more
    [told] = [line for line in (folder / "qemu.sh").read_text().splitlines() if line.startswith("#   (echo")]
    started = subprocess.run(
        told.removeprefix("#   "),
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert started.returncode == 33, started.stderr
    assert started.stdout.count("=1 ok paddr=") == 1


def test_where_a_check_writes_to_memory_itself_nothing_is_told_of_before(
    image: Image, gathered: Gatherer, tmp_path: Path
) -> None:
    with Kernel.boot(image, MACHINE) as kernel:
        paddr = kernel.alloc()
        kernel.slots()["refcount"][paddr >> 12] = 77
        gathered.failed("x", [kernel], AssertionError())
    gathered.ended(1, KEY, ())
    failure = left(tmp_path)
    assert (failure.before, failure.life) == (None, None)
    assert failure.after is not None and failure.after.slots["refcount"][paddr >> 12] == 77
    [note] = failure.notes
    assert "1 slots differ" in note and "writes to memory by itself" in note


def test_a_check_that_no_report_shows_is_not_played_again_and_says_whom_to_look_at(
    image: Image, gathered: Gatherer, tmp_path: Path
) -> None:
    played = []
    for number, shown_by in enumerate(((), ("test_simple", "test_other")), start=1):
        with Kernel.boot(image, MACHINE) as kernel:
            kernel.alloc()
            gathered.failed("x", [kernel], AssertionError())
        played.append(gathered.ended(number, KEY, (), shown_by))
    first, second = opened(tmp_path)
    assert played == [True, False] and first.before is not None and first.notes == ()
    assert (second.before, second.life) == (None, None) and second.after is not None
    [note] = second.notes
    assert note.startswith("no memory before the last command: ")
    assert note.endswith("see test_simple, test_other, which found the same faults")


def test_a_guest_that_crashed_leaves_its_memory_and_what_was_before(
    image: Image, gathered: Gatherer, tmp_path: Path
) -> None:
    with Kernel.boot(image, MACHINE) as kernel:
        kernel.call("onpanic halt")
        paddr = kernel.alloc()
        with pytest.raises(GuestCrashed) as crash:
            kernel.call("crash panic")
        gathered.failed("x", [kernel], crash.value)
    gathered.ended(1, KEY, ())
    failure = left(tmp_path)
    guest = failure.guests[-1]
    assert (guest.changed_by, guest.commands[-1].reply) == ("crash panic", "")
    assert guest.backtrace and "panic" in failure.console
    assert guest.console_bytes == crash.value.console_bytes >= len("".join(kernel.console_tail())) > 0
    assert guest.events == tuple(map(str, crash.value.events))
    assert guest.events[0] == "RESUME"
    assert failure.before is not None and failure.after is not None
    assert failure.before.slots["refcount"][paddr >> 12] == failure.after.slots["refcount"][paddr >> 12] == 1


def test_a_guest_that_hangs_leaves_the_registers_of_its_cpu(
    image: Image, gathered: Gatherer, tmp_path: Path
) -> None:
    with Kernel.boot(image, MACHINE) as kernel:
        with pytest.raises(GuestTimeout) as hang:
            kernel.call("crash hang")
        gathered.failed("x", [], hang.value)  # nobody has the guest in hand
    gathered.ended(1, KEY, ())
    gathered.failed("y", [], hang.value)  # raised again, as where checks share a guest
    gathered.ended(2, KEY, ())
    failure = left(tmp_path)
    assert any("HLT=" in line for line in failure.guests[-1].registers)
    assert failure.guests[-1].console_bytes == hang.value.console_bytes > 0
    assert [event.name for event in hang.value.events][:1] == ["RESUME"]
    assert failure.guests[-1].events == tuple(map(str, hang.value.events))
    assert [one.line for one in failure.guests[-1].commands] == ["crash hang"]
    assert failure.after is None and failure.notes


def test_a_qemu_that_did_not_answer_is_not_asked_again(
    image: Image, gathered: Gatherer, tmp_path: Path
) -> None:
    with Kernel.boot(image, MACHINE) as kernel:
        with pytest.raises(GuestTimeout) as hang:
            kernel.call("crash hang")
        assert kernel.guest.timeout is not None
        kernel.guest.timeout, hang.value.registers = replace(kernel.guest.timeout, registers=""), ()
        gathered.failed("x", [kernel], hang.value)
    gathered.ended(1, KEY, ())
    failure = left(tmp_path)
    assert any("is not asked again" in note for note in failure.notes)
    assert failure.after is not None and failure.before is not None


class Broken:
    """A guest that nothing can be read of."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


def test_what_cannot_be_read_is_noted_and_nothing_else(gathered: Gatherer, tmp_path: Path) -> None:
    gathered.failed("test_x", [cast("Kernel", Broken())], AssertionError())
    gathered.ended(1, KEY, ())
    assert gathered.notes == ["test_x: what its guests left is not kept: RuntimeError: no log"]
    assert opened(tmp_path) == ()


def test_what_cannot_be_written_is_noted(
    image: Image, gathered: Gatherer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatherer, "MOST_REPLAYS", 0)
    (tmp_path / "out" / "failures").write_text("in the way")
    with Kernel.boot(image, MACHINE) as kernel:
        gathered.failed("x", [kernel], AssertionError())
    gathered.ended(1, KEY, ())
    [note] = gathered.notes
    assert note.startswith("test_x.py::test_x: what its guests left is not kept: ")


def test_a_check_that_did_not_fail_after_all_leaves_nothing(
    image: Image, gathered: Gatherer, tmp_path: Path
) -> None:
    with Kernel.boot(image, MACHINE) as kernel:
        gathered.failed("x", [kernel], AssertionError())
    gathered.ended(1, None, ())
    assert opened(tmp_path) == ()


def test_frames_are_those_of_the_finding_then_the_latest() -> None:
    sent = [
        Sent("alloc new", "ok paddr=0x5000", 0, 0),
        Sent("release 0x5000 0", "ok", 0, 0),
        Sent("slot.get_next 0x7000", "ok v=0xffff000000003000", 0, 0),
        Sent("alloc new", "ok paddr=0x6000 x0x8000", 0, 0),
    ]
    assert frames_concerned(Paddr(0x2345), sent, 100).tolist() == [2, 6, 7, 5]
    assert frames_concerned(None, sent, 6).tolist() == [5]
    assert frames_concerned(None, [], 6).dtype == np.int64


def test_a_script_has_what_a_shell_has() -> None:
    argv = [
        *("qemu", "-nodefaults", "-S", "-name", "it's", "-machine", "q35,memory-backend=ram,hpet=off"),
        *("-m", "size=9B", "-object", "memory-backend-file,id=ram", "-chardev", "socket,id=console,fd=3"),
        *("-serial", "chardev:console", "-chardev", "socket,id=monitor,fd=4", "-mon", "chardev=monitor"),
        *("-d", "in_asm,nochain", "-D", "/dev/fd/7", "-dfilter", "0x100+0x200"),
        *("-gdb", "chardev:debugger", "-kernel", "/cache/kernel", "-append", "nonce=1 init=full"),
    ]
    text = script(argv, "../../images/x.elf")
    command = text[text.index("exec ") :].replace(" \\\n  ", " ").strip()
    assert command == (
        "exec qemu -nodefaults -name 'it'\"'\"'s' -machine q35,hpet=off -m size=9B "
        "-kernel ../../images/x.elf -append 'nonce=1 init=full' -serial stdio -monitor none"
    )
