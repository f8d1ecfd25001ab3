"""Proves that a program can run on another CPU than the one that serves the console."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from frame_harness.base.errors import ProtocolError
from frame_harness.base.units import Paddr
from frame_harness.concurrency.elsewhere import OTHERS, WITH_OTHERS, ProgramElsewhere, programs_on
from frame_harness.concurrency.smp import Cpus
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.checks import NotEvaluated
from frame_harness.guest.errors import GuestCrashed
from frame_harness.guest.program import Ask
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with Kernel.boot(build(frame_module(), "release"), load_machine("microvm"), cpus=2) as kernel:
        yield kernel


def cached_by(kernel: Kernel, paddr: Paddr) -> list[str]:
    rows = kernel.call("buddy.cache").rows()
    return [row["cpu"] for row in rows if int(row["paddr"], 0) == paddr]


def test_commands_of_a_program_run_on_the_cpu_that_it_was_given_to(kernel: Kernel) -> None:
    for program, cpu in ((kernel.program, "0"), (ProgramElsewhere(kernel, 1), "1")):
        paddr = kernel.alloc()
        (released,) = program.run([Ask(f"release {paddr:#x} 0")]).replies
        assert (released.status, cached_by(kernel, paddr)) == ("ok", [cpu])


def test_a_panic_elsewhere_is_the_reply_of_its_command_alone(kernel: Kernel) -> None:
    program, paddr = ProgramElsewhere(kernel, 1), kernel.alloc()
    asks = [Ask(f"inject buddy.next {paddr:#x}"), Ask("alloc new"), Ask(f"slot.get_refcount {paddr:#x}")]
    for _ in range(2):
        _, refused, count = program.run(asks).replies
        assert (refused.status, f"{paddr:#x}" in refused.outcome.text) == ("panic", True)
        assert (count.status, count["v"]) == ("ok", 1)


def test_a_reply_says_on_which_cpu_its_command_ran(kernel: Kernel) -> None:
    with programs_on(kernel, 1):
        (drained,) = kernel.program.run([Ask("buddy.drain")]).replies
    assert drained.request == "buddy.drain (on CPU 1)"
    (drained,) = kernel.program.run([Ask("buddy.drain")]).replies
    assert drained.request == "buddy.drain"


@pytest.fixture
def several() -> Iterator[ProgramElsewhere]:
    image = build(frame_module(), "release")
    with Kernel.boot(image, load_machine("microvm"), cpus=WITH_OTHERS) as kernel:
        yield ProgramElsewhere(kernel, *OTHERS)


@pytest.mark.parametrize(
    ("count", "cpus"),
    [(5, (1, 1, 2, 2, 3)), (50, (*(1,) * 6, *(2,) * 6, *(3,) * 6) * 2 + (*(1,) * 6, *(2,) * 6, 3, 3))],
)
def test_cpus_take_turns_and_pairs_stay_together(
    several: ProgramElsewhere, count: int, cpus: tuple[int, ...]
) -> None:
    requests = [one.request for one in several.run([Ask("buddy.drain")] * count).replies]
    assert requests == [f"buddy.drain (on CPU {cpu})" for cpu in cpus]


@pytest.mark.parametrize("at", [1, 2, 5, 9])
def test_the_command_that_a_cpu_died_in_is_the_last_of_its_guest(several: ProgramElsewhere, at: int) -> None:
    lines = [f"slot.get_refcount {at << 12:#x}" for at in range(12)]
    lines[at] = "crash pf"
    with pytest.raises(GuestCrashed):
        several.run([Ask(line) for line in lines])
    assert (list(several.kernel.commands)[-1], several.begun) == ("crash pf", at + 1)


def test_an_end_of_a_program_that_is_no_success_is_never_its_replies(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = ProgramElsewhere(kernel, 1)
    # What the CPU answered last stays there.
    monkeypatch.setattr(Cpus, "run", lambda *_: kernel.commands.extend(["smp.job", "smp.run"]))
    Cpus(kernel).table["cpus"][1]["answer"][:5] = np.frombuffer(b"panic", np.uint8)
    with pytest.raises(ProtocolError, match="its end on CPU 1"):
        program.run([Ask("buddy.drain")])


def test_where_somebody_follows_command_by_command_no_program_runs_elsewhere(kernel: Kernel) -> None:
    kernel.before = lambda _: None
    with pytest.raises(NotEvaluated, match="followed command by command"), programs_on(kernel, 1):
        pass


def test_the_commands_of_a_guest_show_nothing_of_how_a_program_was_run(kernel: Kernel) -> None:
    kernel.commands.clear()
    ProgramElsewhere(kernel, 1).run([Ask("buddy.drain")])
    assert list(kernel.commands) == []
