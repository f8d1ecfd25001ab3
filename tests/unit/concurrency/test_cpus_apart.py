"""Proves that what one CPU does stays its own: its panics, its answers, the frames of its program."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import CommandRefused, SubjectPanic
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine

NO_FRAME = "array.get 0xffffffffff000"
"""Panics in the frame module."""
PATIENCE_S = 60.0
TRIES = 60
"""A panic meets another CPU's in the wrong place in one of a few tries."""


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with Kernel.boot(build(frame_module(), "release"), load_machine("microvm"), cpus=2) as kernel:
        yield kernel


def give_line(cpus: Cpus, line: str) -> None:
    data = line.encode() + b"\0"
    cpus.table["cpus"][1]["line"][: len(data)] = list(data)


@contextmanager
def at_work(kernel: Kernel, line: str) -> Iterator[None]:
    """Let CPU 1 run a command again and again; its replies stay in RAM."""
    cpus, jobs, given = Cpus(kernel), {1: Job(("call",))}, f"{line}\n".encode() * 40
    kernel.static("PROGRAM", "program::Program")["given"][: len(given)] = np.frombuffer(given, np.uint8)
    give_line(cpus, f"run {len(given)}")
    cpus.arm(jobs)
    cpus.go()
    try:
        until = time.monotonic() + PATIENCE_S
        while not cpus.counted(1)["iterations"]:
            assert time.monotonic() < until, "CPU 1 did not begin"
        yield
    finally:
        cpus.stop()
        cpus.wait(jobs)


def answer(kernel: Kernel, line: str) -> str:
    """What a command comes to on CPU 1."""
    cpus = Cpus(kernel)
    give_line(cpus, line)
    cpus.run({1: Job(("call",), iterations=1)})
    return bytes(cpus.table["cpus"][1]["answer"].tobytes()).partition(b"\0")[0].decode()


def test_a_panic_is_reported_while_another_cpu_expects_one(kernel: Kernel) -> None:
    """The banner tries out what panics in this build."""
    with at_work(kernel, "banner"):
        for _ in range(TRIES):
            with pytest.raises(SubjectPanic, match="the console asked for a panic") as panic:
                kernel.call("crash panic")
            assert panic.value.backtrace, "from the report"


def test_a_reply_has_the_panic_of_its_own_command(kernel: Kernel) -> None:
    with at_work(kernel, "crash panic"):
        for _ in range(TRIES):
            with pytest.raises(SubjectPanic) as panic:
                kernel.call(NO_FRAME)
            assert panic.value.file.endswith("frame.rs") and "console asked" not in panic.value.message


def test_a_panic_of_another_cpu_s_program_is_the_reply_of_the_run(kernel: Kernel) -> None:
    with pytest.raises(SubjectPanic, match="frame"):
        kernel.call(NO_FRAME)
    with pytest.raises(SubjectPanic, match="a program asked for a panic"):
        Cpus(kernel).run({1: Job(("panic",), iterations=1)})


@pytest.mark.parametrize("line", ["smp.wait", "smp.run 2", "smp.arm 2", "core.storm 1 1 1", "selftest"])
def test_what_waits_for_other_cpus_is_refused_on_another_cpu(line: str, kernel: Kernel) -> None:
    assert answer(kernel, line) == "err state expected on cpu 0, got cpu 1"


@pytest.mark.parametrize("line", ["core.storm 1 1 1", "selftest"])
def test_what_needs_all_other_cpus_asleep_is_refused_while_a_run_is_armed(line: str, kernel: Kernel) -> None:
    cpus, jobs = Cpus(kernel), {1: Job(("nothing",), 5)}
    cpus.arm(jobs)
    with pytest.raises(CommandRefused, match="a run is armed"):
        kernel.call(line)
    cpus.go()
    assert cpus.wait(jobs).steps == 5


def test_an_answer_that_does_not_fit_says_that_it_goes_on(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    kernel.call(f"payload.fill {paddr:#x} 0x5a")
    assert answer(kernel, f"payload.peek {paddr:#x} 123") == "ok bytes=" + "5a" * 123
    cut = answer(kernel, f"payload.peek {paddr:#x} 124")
    assert (len(cut), cut[-6:]) == (255, "5a ...")
    assert answer(kernel, "smp.ops").startswith("ok n="), "the next one has an end of its own"


def test_a_word_that_is_zero_in_half_is_not_zero(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    kernel.call(f"payload.poke {paddr + 4088:#x} 0000000001000000")
    kernel.release(paddr)
    (violation,) = Cpus(kernel).run({0: Job(("alloc", "clean", "drop"), iterations=1)}).violations
    assert (violation.op, violation.paddr, violation.got) == ("clean", paddr, 1 << 32)


def test_a_program_names_frames_of_the_buddy_alone(kernel: Kernel) -> None:
    kernel.call(f"smp.frames {kernel.alloc():#x}")
    with pytest.raises(CommandRefused, match="0x100000: no block of order 0 of the buddy's"):
        kernel.call("smp.frames 0x100000")
