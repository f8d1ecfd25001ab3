"""Proves the guest with several CPUs: their start, their sleep, their programs, their crashes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from frame_harness.base.errors import BootError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.units import Paddr, paddr_to_vaddr
from frame_harness.concurrency.smp import OPERATIONS, Cpus, Job
from frame_harness.console.channel import Channel
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import CommandRefused, GuestCrashed, GuestTimeout, SubjectPanic
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.machine.definition import load_machine
from frame_harness.machine.guest import Guest


@pytest.fixture(scope="module")
def image() -> Image:
    return build(frame_module(), "release")


@pytest.fixture
def kernel(image: Image) -> Iterator[Kernel]:
    with Kernel.boot(image, load_machine("q35"), cpus=2) as kernel:
        yield kernel


@pytest.mark.parametrize(("machine", "cpus"), [("q35", 2), ("microvm", 3), ("pc", 8)])
def test_every_machine_starts_as_many_cpus_as_asked_for(image: Image, machine: str, cpus: int) -> None:
    with Kernel.boot(image, load_machine(machine), cpus=cpus) as kernel:
        guest = Cpus(kernel)
        assert guest.count == cpus == len(kernel.guest.vcpus())
        assert sorted(guest.thread(cpu) for cpu in range(cpus)) == list(range(cpus))
        assert kernel.call("selftest")["failed"] == 0
        outcome = guest.run({cpu: Job(("nothing",), 100) for cpu in range(cpus)})
        assert [outcome.counters[cpu]["steps"] for cpu in range(cpus)] == [100] * cpus


def test_a_missing_guard_below_another_cpu_s_stack_fails_the_self_test(kernel: Kernel) -> None:
    table, _ = kernel.image.symbol("boot_kernel_pdpt")
    # The last 1 GiB of addresses, its first page table: CPU 1's guard, then its main stack.
    for index in (511, 0):
        entry = int(kernel.bytes_at(table, 4096).view("<u8")[index])
        table = paddr_to_vaddr(Paddr(entry & 0x000F_FFFF_FFFF_F000), kernel.hhdm)
    pages = kernel.bytes_at(table, 4096).view("<u8")
    assert kernel.call("selftest")["failed"] == 0
    assert pages[0] == 0
    pages[0] = pages[1]
    assert kernel.call("selftest")["failed"] == 1


def test_a_guest_with_one_cpu_takes_no_memory_for_others(image: Image) -> None:
    machine = load_machine("q35")
    with Kernel.boot(image, machine) as alone, Kernel.boot(image, machine, cpus=2) as two:
        assert alone.stats()["managed"] == two.stats()["managed"]
        assert alone.stats()["reserved"] < two.stats()["reserved"]
        assert Cpus(alone).count == 1


def test_fewer_cpus_than_asked_for_are_no_guest(image: Image) -> None:
    with pytest.raises(BootError, match="cpus: expected 2, got 1"):
        Kernel.boot(image, load_machine("q35"), cpus=2, extra=["cpus=1"])


def test_more_cpus_than_there_is_room_for_are_refused(image: Image) -> None:
    with pytest.raises(GuestCrashed, match="expected 1 to 8, got 9"):
        Kernel.boot(image, load_machine("q35"), extra=["cpus=9"])


def test_a_cpu_that_nobody_asked_for_sleeps_through_every_run(image: Image) -> None:
    machine = load_machine("q35").override(cpus=3)
    append = "nonce=surplus init=full cpus=2"
    with Guest.start(machine, image.elf, append=append, ram_fill=1) as guest:
        channel = Channel(guest.console)
        banner = channel.boot(guest.boot_deadline(), nonce="surplus", build_id=image.build_id)
        kernel = Kernel(guest, channel, image, banner)
        cpus = Cpus(kernel)
        assert (cpus.count, len(guest.vcpus())) == (2, 3)
        assert cpus.run({cpu: Job(("nothing",), 10) for cpu in (0, 1)}).steps == 20
        assert kernel.finish()[0] is GuestEnd.PASS


def test_a_cpu_that_takes_no_part_knows_of_the_run_before_it_begins(kernel: Kernel) -> None:
    cpus = Cpus(kernel)
    for _ in range(2):
        cpus.run({0: Job(("nothing",), 1)})
        assert cpus.table["cpus"][1]["acknowledged"] == cpus.table["run"]


def test_cpus_without_work_are_halted_and_the_guest_counts_as_asleep(kernel: Kernel) -> None:
    with pytest.raises(GuestTimeout, match="every CPU is halted for good"):
        kernel.call("crash hang")


def test_operations_are_numbered_as_in_the_guest(kernel: Kernel) -> None:
    assert [line.split(" - ")[0] for line in kernel.call("smp.ops").data] == list(OPERATIONS)


def test_each_cpu_has_a_cache_of_its_own(kernel: Kernel) -> None:
    kernel.call("buddy.drain")
    Cpus(kernel).run({1: Job(("alloc", "drop"), 10)})
    caches = kernel.buddy()["caches"]
    assert caches[0]["len"].sum() == 0
    assert caches[1]["len"].sum() > 0


def test_programs_run_at_the_same_time_until_told_to_stop(kernel: Kernel) -> None:
    outcome = Cpus(kernel).run({cpu: Job(("barrier",)) for cpu in (0, 1)}, seconds=0.1)
    rounds = [outcome.counters[cpu]["iterations"] for cpu in (0, 1)]
    assert min(rounds) > 0
    assert abs(rounds[0] - rounds[1]) <= 1


def test_a_run_that_is_stopped_before_it_begins_ends_at_once(kernel: Kernel) -> None:
    cpus = Cpus(kernel)
    mask = cpus.give({cpu: Job(("nothing",)) for cpu in (0, 1)})
    cpus.stop(int(cpus.table["run"]) + 1)
    reply = kernel.call("smp.run", mask)
    assert (reply["steps"], reply["stopped"]) == (0, 1)


def test_a_stop_that_comes_too_late_leaves_the_next_run_alone(kernel: Kernel) -> None:
    cpus, jobs = Cpus(kernel), {1: Job(("nothing",), 5)}
    cpus.run(jobs)
    cpus.stop()
    assert cpus.run(jobs).steps == 5


def test_an_armed_run_begins_when_the_host_says_so(kernel: Kernel) -> None:
    cpus, jobs = Cpus(kernel), {1: Job(("nothing",), 5)}
    cpus.arm(jobs)
    assert cpus.table["cpus"][1]["finished"] != cpus.table["run"]
    cpus.go()
    assert cpus.wait(jobs).steps == 5


def test_no_run_begins_while_another_one_is_armed(kernel: Kernel) -> None:
    cpus, jobs = Cpus(kernel), {1: Job(("nothing",), 5)}
    cpus.arm(jobs)
    for request in ("smp.arm 2", "smp.run 1"):
        with pytest.raises(CommandRefused, match="a run is armed"):
            kernel.call(request)
    cpus.go()
    assert cpus.wait(jobs).steps == 5
    with pytest.raises(CommandRefused, match="no run is armed"):
        cpus.wait(jobs)


def test_a_panic_of_a_command_is_no_panic_of_the_armed_run(kernel: Kernel) -> None:
    cpus, jobs = Cpus(kernel), {1: Job(("nothing",), 5)}
    cpus.arm(jobs)
    with pytest.raises(SubjectPanic, match="the console asked for a panic"):
        kernel.call("crash panic")
    cpus.go()
    assert cpus.wait(jobs).steps == 5


def test_a_log_tells_each_step_with_its_time(kernel: Kernel) -> None:
    cpus, paddr = Cpus(kernel), kernel.alloc()
    cpus.frames([paddr])
    cpus.run({cpu: Job(("inc@0", "dec@0"), 3, logged=True) for cpu in (0, 1)})
    for cpu in (0, 1):
        log = cpus.log(cpu)
        assert [entry.op for entry in log] == ["inc", "dec"] * 3
        times = np.array([(entry.began, entry.ended) for entry in log]).reshape(-1)
        assert (np.diff(times) > 0).all()


def test_a_failed_expectation_is_told_with_its_place(kernel: Kernel) -> None:
    cpus, paddr = Cpus(kernel), kernel.alloc()
    cpus.frames([paddr])
    outcome = cpus.run({1: Job(("has@0=0x2",), 3)})
    (violation,) = outcome.violations
    assert (violation.cpu, violation.op, violation.paddr) == (1, "has", paddr)
    assert (violation.expected, violation.got, violation.iteration) == (2, 0, 0)
    assert outcome.total("violations") == 3


def test_a_panic_on_another_cpu_is_recovered_and_ends_the_run(kernel: Kernel) -> None:
    cpus = Cpus(kernel)
    with pytest.raises(SubjectPanic, match="a program asked for a panic"):
        cpus.run({0: Job(("churn=3",)), 1: Job(("alloc", "drop", "panic"), 1)})
    assert Cpus(kernel).run({1: Job(("alloc", "drop"), 10)}).total("released") == 10
    assert kernel.finish()[0] is GuestEnd.PASS


def test_panics_on_every_cpu_are_reported_once(kernel: Kernel) -> None:
    with pytest.raises(SubjectPanic, match="a program asked for a panic"):
        Cpus(kernel).run({cpu: Job(("barrier", "panic"), 1) for cpu in (0, 1)})
    assert kernel.finish()[0] is GuestEnd.PASS


def test_a_panic_that_is_not_recovered_names_its_cpu(kernel: Kernel) -> None:
    kernel.call("onpanic halt")
    with pytest.raises(GuestCrashed, match="a program asked for a panic on cpu 1"):
        Cpus(kernel).run({1: Job(("panic",), 1)})


def test_an_exception_on_another_cpu_ends_the_guest_and_names_it(kernel: Kernel) -> None:
    with pytest.raises(GuestCrashed, match=r"#UD.* on cpu 1") as crash:
        Cpus(kernel).run({0: Job(("churn=3",)), 1: Job(("fault",), 1)})
    assert any("carry_out" in line.text for line in crash.value.backtrace)


def test_what_another_cpu_prints_does_not_get_into_a_crash_report(kernel: Kernel) -> None:
    cpus = Cpus(kernel)
    line = b"help\0"
    cpus.table["cpus"][1]["line"][: len(line)] = list(line)
    with pytest.raises(GuestCrashed, match=r"#UD.* on cpu 0") as crash:
        cpus.run({0: Job(("barrier", "fault"), 1), 1: Job(("barrier", "call"), 1)})
    assert "rflags=" in "".join(crash.value.registers)


def test_programs_for_cpus_that_do_not_exist_are_refused(kernel: Kernel) -> None:
    for request in ("smp.job 2 1 nothing", "smp.run 4", "smp.run 0", "smp.arm 1", "smp.job 0 1 sing"):
        with pytest.raises(CommandRefused):
            kernel.call(request)
