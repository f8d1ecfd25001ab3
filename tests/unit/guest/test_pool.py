"""Proves that a guest is put back only where nothing of the one before it is left, nor asked for."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.units import Vaddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest import pool as pool_module
from frame_harness.guest.boot_options import BootOptions
from frame_harness.guest.errors import GuestCrashed, SubjectPanic
from frame_harness.guest.pool import MOST_LOOKS, NEW_GUESTS, GuestPool
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.evidence import RunKey
from frame_harness.machine import snapshot as snapshot_module
from frame_harness.machine.definition import load_machine
from frame_harness.machine.guest import Guest, live_guests
from frame_harness.machine.qmp import MonitorGone
from frame_harness.machine.vcpu import VcpuState
from frame_harness.session.run import Run

Boot = Callable[..., Kernel]


@pytest.fixture(scope="module")
def image() -> Image:
    return build(frame_module(), "release")


@pytest.fixture
def pool() -> Iterator[GuestPool]:
    pool = GuestPool(at_once=True)
    yield pool
    pool.close()


@pytest.fixture
def boot(pool: GuestPool, image: Image) -> Boot:
    machine = load_machine("microvm")
    return lambda **options: pool.boot(Kernel, image, machine, BootOptions(**options))


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is collected unless somebody asks for it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def ended(kernel: Kernel) -> int:
    """Finish a guest that is well; return its QEMU's process id."""
    assert kernel.finish()[0] is GuestEnd.PASS
    return kernel.guest.pid


def test_the_next_guest_goes_on_in_the_same_qemu(boot: Boot) -> None:
    pid = ended(boot())
    for _ in range(3):
        kernel = boot()
        assert kernel.was_put_back and kernel.guest.pid == pid
        assert kernel.frames and kernel.request("selftest").status == "ok"
        ended(kernel)
        del kernel


def test_few_guests_of_a_kind_have_a_snapshot_while_none_of_them_ends_well(
    image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, prepared = 0, []

    class Guests:
        @classmethod
        def start(cls, *_: object) -> object:
            nonlocal started
            started += 1
            return object()

    monkeypatch.setattr(GuestPool, "_prepare", lambda *_: prepared.append(started))
    pool, kind = GuestPool(), cast("type[Kernel]", Guests)
    for _ in range(40):
        pool.boot(kind, image, load_machine("microvm"))
    assert prepared == [2, 4, 8, 16, 24, 32, 40]


def test_once_a_guest_ends_well_again_the_next_one_of_its_kind_is_put_back(image: Image) -> None:
    pool, machine = GuestPool(), load_machine("microvm")

    def boot(*, ends_well: bool) -> bool:
        with pool.boot(Kernel, image, machine) as kernel:
            if not ends_well:
                kernel.prompt = None
        return kernel.was_put_back

    try:
        ends = [False, True, True, False, True, True]
        assert [boot(ends_well=one) for one in ends] == [False, False, True, True, False, True]
    finally:
        pool.close()


def stop_at_rest(kernel: Kernel) -> None:
    """Pause a guest where it sleeps at its prompt: on its way there it still writes to its stack."""
    for _ in range(10_000):
        if all(vcpu.halted for vcpu in kernel.guest.vcpus()):
            kernel.guest.qmp("stop")
            return
    raise AssertionError("the guest does not sleep at its prompt")


def test_a_guest_that_is_put_back_has_the_memory_of_a_new_one(boot: Boot) -> None:
    first = boot()
    stop_at_rest(first)
    new = first.ram.whole.copy()
    first.guest.qmp("cont")
    first.alloc(zeroed=False)
    first.call("onpanic", "halt")
    ended(first)
    del first
    second = boot()
    stop_at_rest(second)
    differ = np.flatnonzero(second.ram.whole != new)
    second.guest.qmp("cont")
    put_back = second.was_put_back
    ended(second)
    assert put_back
    assert [hex(at) for at in differ[:8]] == []


@pytest.mark.parametrize("cpus", [2, 3])
def test_guests_with_several_cpus_are_put_back(boot: Boot, cpus: int) -> None:
    pid = ended(boot(cpus=cpus))
    kernel = boot(cpus=cpus)
    assert kernel.guest.pid == pid and kernel.request("selftest").status == "ok"
    ended(kernel)


def test_memory_that_somebody_looks_at_is_nobody_elses(boot: Boot) -> None:
    first = boot()
    slots, pid = first.slots(), ended(first)
    del first
    held = slots.copy()
    second = boot()
    assert second.guest.pid != pid and not second.was_put_back
    second.alloc()
    assert np.array_equal(slots, held)
    ended(second)
    del slots
    third = boot()
    assert third.guest.pid == pid and third.was_put_back
    ended(third)


def test_a_guest_that_ran_programs_is_let_go_of_at_its_end(boot: Boot, no_collector: None) -> None:
    kernel = boot()
    assert kernel.runs_programs and kernel.batch(["stats"])
    pid = ended(kernel)
    del kernel
    second = boot()
    assert second.guest.pid == pid and second.was_put_back
    ended(second)


def test_a_guest_in_a_circle_with_an_error_does_not_keep_its_qemu(boot: Boot, no_collector: None) -> None:
    def caught() -> int:
        kernel = boot()
        with pytest.raises(SubjectPanic) as panicked:  # the traceback has this frame, which has the error
            kernel.call("crash panic")
        assert panicked.value.request == "crash panic"
        return ended(kernel)

    pid = caught()
    second = boot()
    assert second.guest.pid == pid and second.was_put_back
    ended(second)


def test_a_guest_that_has_ended_reaches_the_next_one_by_no_way(boot: Boot) -> None:
    first = boot()
    pid, events = ended(first), first.guest.events()
    shown, text = first.console_tail(), first.channel.transcript.raw()
    del first.ram, first.guest._ram, first._slots
    second = boot()
    assert second.guest.pid == pid
    with pytest.raises(OSError, match="Bad file descriptor"):
        first.call("selftest")
    with pytest.raises(MonitorGone):
        first.guest.qmp("stop")
    first.guest.close()
    assert second.request("selftest").status == "ok"
    assert (first.guest.events(), first.console_tail()) == (events, shown)
    assert first.channel.transcript.raw() == text
    assert first.finish() == first.end and first.guest.wait().stood
    ended(second)


def test_what_the_last_guest_said_is_not_what_this_one_says(boot: Boot) -> None:
    first = boot()
    said = first.channel.transcript.raw()
    first.call("help")
    ended(first)
    del first
    second = boot()
    assert second.was_put_back and second.channel.transcript.raw() == said
    assert [event.name for event in second.guest.events()].count("RESUME") == 1
    assert second.guest.cpu_time_s() < 1 and not second.commands
    ended(second)


def test_guests_at_the_same_time_have_a_qemu_each(boot: Boot) -> None:
    first, second = boot(), boot()
    assert first.guest.pid != second.guest.pid
    pids = {ended(first), ended(second)}
    del first, second
    first, second = boot(), boot()
    assert {first.guest.pid, second.guest.pid} == pids
    ended(first), ended(second)


@pytest.mark.parametrize(
    "options",
    [{"init": "none"}, {"cpus": 2}, {"ram": "32 MiB"}, {"seed": None}, {"counts_instructions": True}],
)
def test_a_guest_of_another_kind_is_started(boot: Boot, options: dict[str, Any]) -> None:
    pid = ended(boot())
    kernel = boot(**options)
    assert kernel.guest.pid != pid and not kernel.was_put_back
    ended(kernel)


def test_the_variable_makes_every_guest_a_new_one(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = ended(boot())
    monkeypatch.setenv(NEW_GUESTS, "1")
    kernel = boot()
    assert kernel.guest.pid != pid
    assert "33" in kernel.finish()[1]


def test_a_guest_that_recovered_from_a_panic_is_put_back_like_others(boot: Boot) -> None:
    first = boot()
    with pytest.raises(SubjectPanic):
        first.call("crash", "panic")
    pid = ended(first)
    del first
    second = boot()
    assert second.guest.pid == pid and second.request("selftest").status == "ok"
    ended(second)


@pytest.mark.parametrize("kind", ["ud", "triple"])
def test_a_guest_that_crashed_is_not_put_back(boot: Boot, kind: str) -> None:
    first = boot()
    pid = first.guest.pid
    with pytest.raises(GuestCrashed):
        first.call("crash", kind)
    assert first.finish()[0] in (GuestEnd.PANIC, GuestEnd.RESET)
    del first
    second = boot()
    assert second.guest.pid != pid
    ended(second)


def test_a_guest_that_is_to_say_fail_exits_with_that(boot: Boot) -> None:
    kernel = boot()
    assert kernel.finish("fail")[0] is GuestEnd.FAIL
    assert kernel.guest.process.returncode == 35


@pytest.mark.parametrize(("looks", "kept"), [(3, True), (MOST_LOOKS, False)], ids=["for a while", "for good"])
def test_a_guest_that_handles_an_interrupt_where_it_stands_is_kept_once_it_came_back(
    boot: Boot, pool: GuestPool, monkeypatch: pytest.MonkeyPatch, looks: int, kept: bool
) -> None:
    kernel = boot()
    vcpus, elsewhere = Guest.vcpus, iter(range(looks))

    def away(guest: Guest, *guard: Any) -> Sequence[VcpuState]:
        states = vcpus(guest, *guard)
        if guard:  # a deadline's look, at a guest that is late on a busy host
            return states
        return [replace(one, rip=Vaddr(0)) for one in states] if next(elsewhere, None) is not None else states

    monkeypatch.setattr(Guest, "vcpus", away)
    ended(kernel)
    assert (len(pool._kept) == 1) is kept
    assert next(elsewhere, None) is None
    del kernel
    following = boot()
    ended(following)
    assert following.was_put_back is kept


def test_a_guest_of_which_qemu_told_something_exits_for_good(boot: Boot) -> None:
    kernel = boot()
    kernel.guest.qmp("system_powerdown")
    assert kernel.finish()[0] is GuestEnd.PASS
    assert kernel.guest.process.returncode == 33


def test_no_guest_of_a_check_that_failed_is_put_back(image: Image, pool: GuestPool) -> None:
    run = Run(RunKey(machine="microvm", profile="release"), image, load_machine("microvm"), pool=pool)
    kernel = run.boot()
    run.retire_shared()
    assert run.finish(kernel) is GuestEnd.PASS
    assert kernel.guest.process.returncode == 33


def test_a_run_tells_how_many_of_its_guests_were_put_back(image: Image, pool: GuestPool) -> None:
    run = Run(RunKey(machine="microvm", profile="release"), image, load_machine("microvm"), pool=pool)
    for _ in range(3):
        run.finish(run.boot())
    ledger = run.ledger()
    assert (ledger.guests_booted, ledger.guests_put_back) == (3, 2)
    assert sum(entry.count for entry in ledger.exits) == 3


def test_a_kept_guest_does_its_last_write_at_the_end(boot: Boot, pool: GuestPool) -> None:
    kernel = boot()
    assert ended(kernel) in {guest.pid for guest in live_guests()}  # so it ends with this process, too
    assert kernel.guest.process.returncode is None
    pool.close()
    assert kernel.guest.process.returncode == 33


def test_a_kept_qemu_that_dies_is_told(boot: Boot, pool: GuestPool) -> None:
    kernel = boot()
    ended(kernel)
    kernel.guest.process.kill()
    with pytest.raises(HarnessError, match=r"microvm/release: .*SIGKILL"):
        pool.close()


def test_a_qemu_that_makes_no_snapshots_is_started_for_each_guest(
    boot: Boot, pool: GuestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "_NAME", "a name, and a word that savevm does not take")
    pids = set()
    for _ in range(2):
        kernel = boot()
        assert kernel.request("selftest").status == "ok"
        pids.add(ended(kernel))
    assert len(pids) == 2 and pool.refusal


def test_kept_guests_take_no_more_than_they_may(
    boot: Boot, pool: GuestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "KEPT_BYTES", 0)
    kernel = boot()
    ended(kernel)
    assert kernel.guest.process.returncode == 33


def test_a_process_that_was_forked_leaves_its_parents_guests_alone(boot: Boot, pool: GuestPool) -> None:
    pid = ended(boot())
    told = multiprocessing.get_context("fork").SimpleQueue()

    def other() -> None:
        kernel = boot()
        told.put(kernel.guest.pid)
        kernel.guest.kill()

    def nothing() -> None:
        pool.close()

    for work in (nothing, other):
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
        assert child.exitcode == 0
    assert told.get() != pid
    kernel = boot()
    assert kernel.guest.pid == pid
    ended(kernel)


def test_a_kind_that_is_asked_for_once_costs_no_snapshot(image: Image) -> None:
    pool = GuestPool()
    machine = load_machine("microvm")
    put_back = []
    for _ in range(3):
        with pool.boot(Kernel, image, machine) as kernel:
            put_back.append((kernel.prompt is not None, kernel.was_put_back))
        del kernel  # nobody looks at its memory any more
    pool.close()
    assert put_back == [(False, False), (True, False), (True, True)]
