"""Private instructions that run in one go leave the same trace as one instruction after the other."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr, Vaddr, paddr_to_pfn
from frame_harness.concurrency import two_cpus
from frame_harness.concurrency.interleaving import Turns, interleaved
from frame_harness.concurrency.recording import code_at, keeps_frame
from frame_harness.concurrency.smp import Cpus
from frame_harness.concurrency.turn import StepPanicked
from frame_harness.concurrency.two_cpus import FIRST
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.frame_races.rules import RULES
from frame_harness.guest.checks import NotEvaluated
from frame_harness.guest.errors import GuestTimeout, QemuEndError
from frame_harness.image.build import build
from frame_harness.machine.debugger import Debugger, GuestEnded, NoStop
from frame_harness.machine.definition import load_machine
from frame_harness.machine.instruction import Stretch, private_stretch
from frame_harness.races.stage import staged

LOOKED_AT = 44  # bytes of a slot: behind them is what its holder may use
NO_STRETCH = Stretch((), ())


class Booted:
    """Boots guests of one profile, and ends them."""

    def __init__(self, profile: str) -> None:
        self._image, self.kernels = build(frame_module(), profile), list[Kernel]()
        self.machine = load_machine("microvm")

    def __call__(self, **options: Any) -> Kernel:
        self.kernels.append(Kernel.boot(self._image, self.machine, **options))
        return self.kernels[-1]

    def __enter__(self) -> Booted:
        return self

    def __exit__(self, *_: object) -> None:
        for kernel in self.kernels:
            kernel.finish()


@pytest.fixture(params=["dev", "release"])
def boot(request: pytest.FixtureRequest) -> Any:
    with Booted(request.param) as boot:
        yield boot


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often a CPU was let go on, one entry each time."""
    seen: list[str] = []
    let_go_on = Debugger._let_go_on

    def counted(debugger: Debugger, packet: str, cpu: int) -> None:
        seen.append(packet)
        let_go_on(debugger, packet, cpu)

    monkeypatch.setattr(Debugger, "_let_go_on", counted)
    return seen


def step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each instruction be executed by itself from now on, each round of a repeated one, too."""
    monkeypatch.setattr(two_cpus, "private_stretch", lambda *_: NO_STRETCH)
    monkeypatch.setattr(two_cpus, "repetition", lambda *_: None)


@pytest.mark.parametrize("step", ["inc@0", "poison@0", "dec@0"])
def test_a_trace_is_the_same_and_takes_fewer_stops(
    step: str, boot: Booted, stops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[Paddr] = []

    def prepare(kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
        frames.append(kernel.alloc(zeroed=False))
        cpus.frames(frames)
        return step, "inc@0"

    def traced(both: Turns[Kernel]) -> tuple[list[Any], int]:
        pfn = paddr_to_pfn(frames[0])
        slot = both.kernel.slots()[pfn : pfn + 1]

        def reset() -> None:
            slot["refcount"], slot["flags"], slot["guard"] = 5, 0x500, 0

        stops.clear()
        trace = both._trace(slot.view(np.uint8)[:LOOKED_AT], reset)
        assert any(instruction.written for instruction in trace)
        return [(one.vaddr, one.fresh, one.written) for one in trace], len(stops)

    with interleaved(boot, prepare) as both:
        in_stretches, few = traced(both)
        step_alone(monkeypatch)
        one_by_one, many = traced(both)
    assert in_stretches == one_by_one
    assert few < many


@pytest.mark.parametrize(
    ("line", "free"),
    [
        ("slot.inc_ref 0x{:x}", False),
        ("slot.mark_poisoned 0x{:x}", False),
        ("alloc new", True),
        ("alloc new zeroed=1", True),
    ],
)
def test_accesses_of_a_call_are_the_same(
    line: str, free: bool, boot: Booted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with staged(boot, RULES.take) as stage:
        command, scene = line.format(stage.frame), RULES.offered if free else RULES.in_use
        in_stretches, answer = stage.trace(command, scene)
        step_alone(monkeypatch)
        one_by_one, other = stage.trace(command, scene)
    assert in_stretches is not None and in_stretches.accesses
    assert (in_stretches, answer) == (one_by_one, other)


@pytest.mark.parametrize("where", [0, 0x4141_4141_4141_4141, 2**64 - 1])
def test_a_cpu_that_is_led_nowhere_is_stepped_and_no_error_of_ours(where: int, boot: Booted) -> None:
    kernel = boot()
    assert code_at(kernel, Vaddr(where)) == b""
    assert private_stretch(partial(code_at, kernel), Vaddr(where), ()).addresses == ()


def each_waits(kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
    """Two steps of which each waits for the other CPU, as for a lock."""
    cpus.frames([kernel.alloc(zeroed=False)])
    return "barrier", "barrier"


def test_a_cpu_that_waits_for_one_that_is_held_does_not_keep_the_guest(boot: Booted) -> None:
    """The guest goes on once the debugger lets it go."""
    waits = pytest.raises(NotEvaluated, match="a step waits for the other CPU, which is held")
    with waits, interleaved(boot, each_waits) as both:
        both._park()
        both._run_to(both._first, both._ended)
    assert boot.kernels[-1].request("stats").status == "ok"


def test_a_cpu_that_is_not_given_up_is_stopped_at_the_debugger_s_limit(
    boot: Booted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that halts uses no CPU time by which it could be given up: that is no wait for another CPU."""
    with pytest.raises(NoStop, match="it may halt, or wait"), interleaved(boot, each_waits) as both:
        both._park()
        monkeypatch.setattr(both._debugger, "_limit_s", 0.0)
        both._comes_to(both._first, both._ended)
    assert boot.kernels[-1].request("stats").status == "ok"


def test_a_cpu_that_halts_reaches_the_guest_s_limit_and_not_the_debugger_s(boot: Booted) -> None:
    boot.machine = boot.machine.override(limits={"request_cpu_s": 0.5})
    hangs = pytest.raises(GuestTimeout, match="stand_before_exit")
    with hangs, interleaved(boot, each_waits) as both:
        both._park()
        kernel = both.kernel
        kernel.bytes_at(kernel.image.symbol("EXIT_HOLD")[0], 1)[:] = 1  # then the function below halts
        both._debugger.jump(both._first, kernel.image.symbol("stand_before_exit")[0])
        both._comes_to(both._first, both._ended)


@pytest.mark.parametrize("held", ["in a step", "in a command"])
def test_a_guest_that_is_killed_under_the_debugger_is_no_crash(held: str, boot: Booted) -> None:
    with pytest.raises(QemuEndError, match="signal SIGKILL"):
        if held == "in a step":
            with interleaved(boot, each_waits) as both:
                both._park()
                os.kill(boot.kernels[-1].guest.pid, signal.SIGKILL)
                both._debugger.step(both._first)
        else:
            with staged(boot, RULES.take) as stage:
                os.kill(boot.kernels[-1].guest.pid, signal.SIGKILL)
                stage.trace(f"slot.inc_ref {stage.frame:#x}", RULES.in_use)


@pytest.mark.parametrize("answer", [b"$W00#b7", b""], ids=["told", "closed"])
def test_stub_of_a_guest_that_ended_is_told_as_such(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        if not answer:
            theirs.close()
        with pytest.raises(GuestEnded):
            Debugger(ours, lambda: True, limit_s=1.0)


def test_an_operation_that_halts_does_not_come_to_its_end(
    boot: Booted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halts(*_: object) -> None:
        raise NoStop("debugger", "cpu 1", detail="it comes to no breakpoint")

    with staged(boot, RULES.take) as stage, monkeypatch.context() as patch:
        patch.setattr(stage._debugger, "run_unless", halts)
        with pytest.raises(GuestTimeout, match="it does not come to its end"):
            stage.trace(f"slot.inc_ref {stage.frame:#x}", RULES.in_use)


def test_a_step_that_never_comes_to_a_place_is_no_hang(boot: Booted) -> None:
    def prepare(kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
        cpus.frames([kernel.alloc(zeroed=False)])
        return "inc@0", "inc@0"

    astray = pytest.raises(NotEvaluated, match="the step goes another way than before")
    with astray, interleaved(boot, prepare) as both:
        both._park()
        both._run_to(FIRST, both.kernel.image.symbol("kernel_main")[0])
    assert boot.kernels[-1].request("stats").status == "ok"


def test_a_function_keeps_its_frame_by_how_it_begins(boot: Booted) -> None:
    kernel = boot()
    start, size = kernel.image.symbol("kernel_main")
    assert keeps_frame(kernel, Vaddr(start + size - 1))
    assert not keeps_frame(kernel, Vaddr(start + 1)), "there RBP is the caller's"
    # Assembly keeps no frame; where no function is, nobody does.
    assert not keeps_frame(kernel, Vaddr(kernel.image.symbol("smp_call_begins")[0] + 1))
    assert not keeps_frame(kernel, Vaddr(0x1000))


def test_a_step_that_panicked_is_told_though_the_guest_tells_of_no_panic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The panic ended the block: what it did not come to was not looked at."""
    waited = list[object]()
    kernel = SimpleNamespace(image=SimpleNamespace(symbol=lambda _: (Vaddr(0x1000), 1)))
    cpus = SimpleNamespace(
        arm=lambda _: None, go=lambda: None, stop=lambda: None, wait=waited.append, thread=lambda cpu: cpu
    )
    debugger = SimpleNamespace(breakpoint=lambda _: None, detach=lambda: None)
    guest = SimpleNamespace(kernel=kernel, cpus=cpus, hold=lambda: debugger)
    monkeypatch.setattr("frame_harness.concurrency.interleaving.holdable", lambda _: nullcontext(guest))
    none: Any = None
    with (
        pytest.raises(
            HarnessError, match="inc@0 beside dec@0: expected the panic of a step, got none"
        ) as told,
        interleaved(none, lambda *_: ("inc@0", "dec@0")),
    ):
        raise StepPanicked
    assert "the console's end in the evidence" in told.value.next_step
    assert len(waited) == 1
