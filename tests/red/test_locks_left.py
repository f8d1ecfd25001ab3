"""Proves that the guest waits for no lock that nobody frees: it says what is wrong, and goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from frame_harness.base import resources
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.errors import GuestCrashed, SubjectPanic
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.machine.definition import load_machine
from frame_harness.memory_core.builtin import BUILTIN, builtin_core
from frame_harness.memory_core.cores import SMALL
from frame_harness.memory_core.functions import ALLOC
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.maps import MapRegion, MemoryMap
from frame_harness.memory_core.play import play
from frame_harness.memory_core.steps import steps_of
from frame_harness.memory_core.work_steps import WorkOf
from tests.support.builtin_mutants import BUILTIN_MUTANTS, broken_shim
from tests.support.mutants import Edit, mutated

pytestmark = pytest.mark.slow

MAP = MemoryMap("", (MapRegion(0x1000000, 0x1000000),))
GIVES_AGAIN = next(bug for bug in BUILTIN_MUTANTS if bug.name == "a cached page stays cached")
IS_STORED = "        self.order.store(order, Release)\n    }\n"
IS_ZEROED = "            zero_payload(frame);\n"
# By the order that is stored, which no block has, what the call does besides; one is a block's, on one CPU.
DOES = {
    "101": "ASKS.store(true, Release)",
    "102": "free(ptr::without_provenance_mut(64))",
    "103": "free(allocated())",
    "104": "{ let one = allocated(); free(one); free(one) }",
    "105": "PANICS.store(true, Release)",
    "106": "PANICS.store(false, Release)",
    "3 if core::arch::x86_64::__cpuid(1).ebx >> 24 == 1": (
        'core::arch::asm!("mov {0}, cr4", "bts {0}, 2", "mov cr4, {0}", out(reg) _)'
    ),
    # The buddy stores an order while it holds its lock.
    "_ if ASKS.swap(false, AcqRel)": "_ = buddy::alloc_migratetype(TOKEN.as_ref(), 0, Migratetype::Movable)",
}
EDITS: tuple[Edit, ...] = (
    (
        IS_STORED,
        "        self.order.store(order, Release);\n        match order {\n"
        + "".join(f"            {order} => unsafe {{ {does} }},\n" for order, does in DOES.items())
        + "            _ => {}\n        }\n    }\n",
    ),
    (IS_ZEROED, '            assert!(!PANICS.load(Acquire), "no table");\n' + IS_ZEROED),
    (
        "fn zero_payload",
        "const EIGHT: core::alloc::Layout = core::alloc::Layout::new::<u64>();\n"
        "const TOKEN: ptr::NonNull<IrqDisabledToken> = ptr::NonNull::dangling();\n"
        "static ASKS: atomic::AtomicBool = atomic::AtomicBool::new(false);\n"
        "static PANICS: atomic::AtomicBool = atomic::AtomicBool::new(false);\n\n"
        "fn allocated() -> *mut u8 {\n"
        "    core::hint::black_box(unsafe { alloc::alloc::alloc(EIGHT) })\n}\n\n"
        "fn free(block: *mut u8) {\n    unsafe { alloc::alloc::dealloc(block, EIGHT) }\n}\n\n"
        "fn zero_payload",
    ),
)
Stored = Callable[[int], None]
LEFT_LOCKED = "locked by a command that runs, or that panicked"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(frame_module(mutated(tmp_path_factory.mktemp("locks"), EDITS)), "release")


@pytest.fixture
def kernel(image: Image) -> Iterator[Kernel]:
    with Kernel.boot(image, load_machine("microvm")) as kernel:
        yield kernel


@pytest.fixture
def does(kernel: Kernel) -> Stored:
    """Stores an order in the slot of a frame that is in use."""
    paddr = kernel.alloc()

    def stored(order: int) -> None:
        kernel.call(f"slot.set_order {paddr:#x} {order}")

    return stored


def test_a_module_that_waits_for_a_lock_that_it_holds_is_told_so(kernel: Kernel, does: Stored) -> None:
    does(101)
    with pytest.raises(SubjectPanic, match="deadlock: the CPU waits for a lock that it holds") as panic:
        kernel.call("buddy.alloc 3 movable")
    assert any("set_order" in line.text for line in panic.value.backtrace)
    assert kernel.request("buddy.alloc 3 movable").status == "ok", "the lock is free again"


@pytest.mark.parametrize("wrong", [102, 104], ids=["no-block", "twice"])
def test_a_wrong_free_of_the_heap_is_told_and_leaves_it_usable(wrong: int, does: Stored) -> None:
    with pytest.raises(SubjectPanic, match="heap: expected a block that is allocated, got Layout"):
        does(wrong)
    does(103)


def test_tables_that_a_panic_left_locked_are_refused(kernel: Kernel, does: Stored) -> None:
    does(105)
    with pytest.raises(SubjectPanic, match="no table"):
        kernel.call("tables.new plain")
    does(106)
    assert LEFT_LOCKED in kernel.request("tables.new plain").shown


def core_guest(image: Image, cpus: int) -> CoreGuest:
    machine = load_machine("microvm")
    return CoreGuest(
        lambda: BootedGuest.boot(image, machine, init="none", ram=SMALL, cpus=cpus),
        lambda guest: guest.finish(),
        BUILTIN,
    )


def test_a_cpu_that_a_storm_leaves_otherwise_ends_the_guest(image: Image) -> None:
    core = core_guest(image, 2)
    assert core.start(MAP).status == "ok"
    with pytest.raises(GuestCrashed) as crash:
        core.guest.call("core.storm 2 2000 1")
    assert "was left with another CR0 or CR4" in crash.value.summary
    core.renew()


def test_a_core_that_gives_one_block_for_ever_does_not_hang_the_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = broken_shim(tmp_path, GIVES_AGAIN)
    monkeypatch.setattr(resources, "shim_dir", lambda: shim)
    with core_guest(build(builtin_core(), "release"), 1) as core:
        assert core.start(MAP).status == "ok"
        assert core.request("work.scatter 0 unmovable any").shown == "fail MoreThanAllFrames"
        failure = play(core, (*steps_of(MAP), WorkOf(0, "unmovable")))
    assert failure is not None and failure.violation.clause == "CORE-14", failure
    assert failure.function == ALLOC
