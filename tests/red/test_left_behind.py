"""Proves that a call which leaves the CPU in another state is no answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.concurrency.elsewhere import programs_on
from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import GuestCrashed
from frame_harness.guest.program import Ask
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from frame_harness.machine.definition import load_machine
from tests.support.doors import check, write_machine
from tests.support.mutants import Edit, broken_here, mutated

pytestmark = pytest.mark.slow

IS_STORED = "        self.order.store(order, Release)\n    }\n"
# By the order that is stored, which no block has, what the call does besides.
LEAVES: dict[int, tuple[str, str]] = {
    101: ('core::arch::asm!("sti")', ""),
    102: ('core::arch::asm!("std")', ""),
    103: (
        'core::arch::asm!("pushfq", "or qword ptr [rsp], 0x40000", "popfq")',
        "the flag AC set",
    ),
    104: (
        'core::arch::asm!("mov {0}, cr0", "btr {0}, 16", "mov cr0, {0}", out(reg) _)',
        "another CR0 or CR4",
    ),
    105: (
        'core::arch::asm!("mov {0}, cr4", "bts {0}, 2", "mov cr4, {0}", out(reg) _)',
        "another CR0 or CR4",
    ),
    106: ('core::arch::asm!("pushfq", "cli", "popfq")', ""),
    107: ('core::arch::asm!("ud2")', ""),
    108: (
        '{ core::arch::asm!("mov {0}, cr4", "bts {0}, 2", "mov cr4, {0}", out(reg) _); panic!("no") }',
        "another CR0 or CR4",
    ),
    109: ('panic!("no")', ""),
    110: ('core::arch::asm!("cli")', ""),
    111: ('core::arch::asm!("pushfq", "sti", "nop", "popfq")', ""),
    112: ('{ core::arch::asm!("sti"); panic!("no") }', ""),
}
BY_ORDER: Edit = (
    IS_STORED,
    "        self.order.store(order, Release);\n        match order {\n"
    + "".join(f"            {order} => unsafe {{ {does} }},\n" for order, (does, _) in LEAVES.items())
    + "            _ => {}\n        }\n    }\n",
)
DISABLES: Edit = (
    "                fence(Acquire);\n",
    '                fence(Acquire);\n                unsafe { core::arch::asm!("cli") }\n',
)
SWAPS = "        self.refcount.compare_exchange(expect, new, AcqRel, Acquire)\n"
BY_COUNT: Edit = (
    SWAPS,
    '        if expect == 101 {\n            unsafe { core::arch::asm!("sti", "nop", "cli") }\n        }\n'
    + SWAPS,
)
# The second one puts them back.
ENABLES: tuple[Edit, ...] = (
    (
        "        self.generation.load(Acquire)\n",
        '        unsafe { core::arch::asm!("sti") }\n        self.generation.load(Acquire)\n',
    ),
)
ZEROES_MEANWHILE: tuple[Edit, ...] = (
    (
        "            zero_payload(frame);\n",
        "            x86_64::instructions::interrupts::enable();\n            zero_payload(frame);\n"
        "            x86_64::instructions::interrupts::disable();\n",
    ),
)
ENABLED = "interrupts were enabled in a call that is made with interrupts disabled"


@pytest.fixture(scope="module")
def image_of_leaves(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(frame_module(mutated(tmp_path_factory.mktemp("leaves"), (BY_ORDER, BY_COUNT))), "release")


@pytest.mark.parametrize("order", [order for order, (_, words) in LEAVES.items() if words])
@pytest.mark.parametrize("how", ["{}", "batch {}"])
def test_a_call_that_leaves_the_cpu_otherwise_ends_the_guest(
    order: int, how: str, image_of_leaves: Image, tmp_path: Path
) -> None:
    line = f"slot.set_order 0x1060000 {order}"
    words = f"`{line}` came back with {LEAVES[order][1]}"
    with (
        Kernel.boot(image_of_leaves, load_machine(write_machine(tmp_path))) as kernel,
        pytest.raises(GuestCrashed) as crash,
    ):
        kernel.call(how.format(line))
    assert words in crash.value.summary


@pytest.mark.parametrize("how", ["slot.set_order {:#x} {}", "batch slot.set_order {:#x} {}"])
@pytest.mark.parametrize("order", [101, 111, 112])
def test_a_call_that_enables_interrupts_ends_the_guest_however_short_that_is(
    order: int, how: str, image_of_leaves: Image, tmp_path: Path
) -> None:
    """In half of the requests they are enabled already."""
    with (
        Kernel.boot(image_of_leaves, load_machine(write_machine(tmp_path))) as kernel,
        pytest.raises(GuestCrashed) as crash,
    ):
        for paddr in range(0x1060000, 0x1080000, 0x1000):
            kernel.request(how.format(paddr, order))
    assert ENABLED in crash.value.summary


def test_a_call_that_leaves_interrupts_disabled_ends_the_guest(
    image_of_leaves: Image, tmp_path: Path
) -> None:
    """Half of the requests are carried out with interrupts enabled."""
    with (
        Kernel.boot(image_of_leaves, load_machine(write_machine(tmp_path))) as kernel,
        pytest.raises(GuestCrashed) as crash,
    ):
        for paddr in range(0x1060000, 0x1080000, 0x1000):
            kernel.call(f"slot.set_order {paddr:#x} 110")
    assert "the call came back with interrupts disabled" in crash.value.summary


@pytest.mark.parametrize("cpu", [0, 1])
def test_a_step_of_a_storm_that_enables_interrupts_ends_the_guest(
    cpu: int, image_of_leaves: Image, tmp_path: Path
) -> None:
    machine = load_machine(write_machine(tmp_path))
    with (
        Kernel.boot(image_of_leaves, machine, cpus=2) as kernel,
        pytest.raises(GuestCrashed) as crash,
    ):
        cpus = Cpus(kernel)
        cpus.frames([kernel.alloc()])
        cpus.run({cpu: Job(("cas@0=101", "inc@0", "dec@0"), iterations=2)})
    assert ENABLED in crash.value.summary


def test_a_call_that_turns_the_direction_of_copies_never_answers(
    image_of_leaves: Image, tmp_path: Path
) -> None:
    """Where a copy comes ahead of the look at the flag, that crashes."""
    with (
        Kernel.boot(image_of_leaves, load_machine(write_machine(tmp_path))) as kernel,
        pytest.raises(GuestCrashed),
    ):
        kernel.call("slot.set_order 0x1060000 102")


def test_a_call_that_puts_the_flags_back_is_as_good_as_any(image_of_leaves: Image, tmp_path: Path) -> None:
    with Kernel.boot(image_of_leaves, load_machine(write_machine(tmp_path))) as kernel:
        kernel.call("slot.set_order 0x1060000 106")
        assert kernel.call("slot.get_order 0x1060000")["v"] == 106


def test_a_panic_where_interrupts_are_enabled_is_its_command_s_alone(
    image_of_leaves: Image, tmp_path: Path
) -> None:
    with Kernel.boot(image_of_leaves, load_machine(write_machine(tmp_path))) as kernel:
        for paddr in range(0x1060000, 0x1080000, 0x1000):  # half of the requests enable them
            for command in (f"slot.set_order {paddr:#x} 109", f"batch slot.set_order {paddr:#x} 109"):
                kernel.request(command)
                assert kernel.call(f"slot.get_order {paddr:#x}")["v"] == 109


def test_an_exception_of_a_program_on_another_cpu_ends_the_guest(
    image_of_leaves: Image, tmp_path: Path
) -> None:
    """There is no answer of the command that it came in: one before it may stand in its place."""
    machine = load_machine(write_machine(tmp_path))
    with (
        Kernel.boot(image_of_leaves, machine, cpus=2) as kernel,
        programs_on(kernel, 1),
        pytest.raises(GuestCrashed) as crash,
    ):
        kernel.program.run([Ask("slot.set_order 0x1060000 107"), Ask("slot.get_order 0x1060000")])
    assert "#UD" in crash.value.summary


@pytest.mark.parametrize(
    ("edits", "where"),
    [(ENABLES, "test_g and GEN-02 or GEN-03"), (ZEROES_MEANWHILE, "test_zeroed_frame_is")],
    ids=["for-good", "for-a-time"],
)
def test_a_module_that_enables_interrupts_in_a_call_never_passes(
    edits: tuple[Edit, ...], where: str, tmp_path: Path
) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken_here(edits),
        "--profile", "release", "-n", "1", "-k", where,
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.CRASH, VerdictKind.CRASH, ()), (
        result.out
    )
    assert result.says(ENABLED), result.out


def test_a_module_that_leaves_interrupts_disabled_never_passes(tmp_path: Path) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken_here([DISABLES]),
        "--profile", "release", "-n", "1", "-k", "REF-01 and not test_w_ and not test_s_",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.CRASH, VerdictKind.CRASH, ()), (
        result.out
    )
    assert result.says("the call came back with interrupts disabled"), result.out
