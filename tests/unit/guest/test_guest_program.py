"""Proves that commands in RAM do and say what the console's do, and that nothing they say is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from frame_harness.base.errors import ProtocolError, UsageError
from frame_harness.base.units import PAGE_SHIFT, Paddr, Pfn
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import CommandRefused, GuestCrashed, GuestTimeout, SubjectPanic
from frame_harness.guest.program import PAGE_LOOK_BYTES, Ask
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine

LINES = (
    "alloc new purpose=user zeroed=1",
    "slot.inc_ref 0x100000000000",
    "slot.inc_ref 0x2000000",
    "inject buddy.refuse 1",
    "alloc new",
    "array.get 0x3000",
    "no.such.command",
    "slot.set_flags 0x3000 0x100 left over",
    "slot.inc_ref 0x200000",
    "map",
    "exit pass",
    "run 0",
    "batch stats",
)


@pytest.fixture(params=["dev", "release"])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    with Kernel.boot(build(frame_module(), request.param), load_machine("microvm")) as kernel:
        yield kernel


def test_commands_answer_in_the_words_of_the_console(kernel: Kernel) -> None:
    in_ram = kernel.program.run([Ask(line) for line in LINES]).replies
    with Kernel.boot(kernel.image, kernel.machine) as other:
        for line, reply in zip(LINES, in_ram, strict=True):
            if line.split()[0] not in ("exit", "run", "batch"):
                told = other.request(line)
                assert replace(reply.outcome, seq=0) == replace(told.outcome, seq=0), line
                assert (reply.request, reply.data) == (line, told.data)


def test_what_would_end_the_guest_or_nest_is_refused_with_a_reason(kernel: Kernel) -> None:
    for reply in kernel.program.run([Ask("exit pass"), Ask("run 0"), Ask("batch stats")]).replies:
        assert (reply.status, reply.outcome.code) == ("err", "state")
        assert "not inside a batch" in reply.outcome.text
    too_many = kernel.request("run 0x20001").outcome
    assert (too_many.code, too_many.text) == ("usage", "bytes: expected a number up to 0x20000, got 0x20001")
    assert kernel.alive


@pytest.mark.parametrize("ahead", [(), ("stats", "map")], ids=["alone", "behind-others"])
def test_a_report_that_is_longer_than_the_room_is_told_by_the_console(
    kernel: Kernel, ahead: tuple[str, ...]
) -> None:
    for _ in range(2000):
        kernel.release(kernel.alloc(zeroed=False))
    lines = [*ahead, "vt.log", "stats"]
    replies = kernel.program.run([Ask(line, reports=line == "vt.log") for line in lines]).replies
    assert [reply.request for reply in replies] == lines
    assert {reply.status for reply in replies} == {"ok"}
    assert replies[-2]["n"] == len(replies[-2].data) == 2000
    with pytest.raises(ProtocolError):
        kernel.program.run([Ask("vt.log")])


def test_a_panic_is_an_answer_and_the_next_command_runs(kernel: Kernel) -> None:
    free = kernel.alloc()
    kernel.release(free)
    asks = [Ask(f"slot.dec_ref {free:#x}"), Ask("alloc new"), Ask("crash panic"), Ask("stats")]
    replies = kernel.program.run(asks).replies
    assert [reply.status for reply in replies] == ["panic", "ok", "panic", "ok"]
    assert replies[0].outcome.file.endswith("frame.rs") and replies[0].outcome.line
    assert replies[2].outcome.text == "crash requested: the console asked for a panic"


def test_a_batch_raises_what_its_first_failure_is(kernel: Kernel) -> None:
    free = kernel.alloc()
    kernel.release(free)
    assert [reply.status for reply in kernel.batch(["stats", "map"])] == ["ok", "ok"]
    with pytest.raises(SubjectPanic) as seen:
        kernel.batch(["stats", f"slot.dec_ref {free:#x}", "no.such.command"])
    assert seen.value.request == f"slot.dec_ref {free:#x}"
    assert list(kernel.commands) == ["stats", f"slot.dec_ref {free:#x}"]
    with pytest.raises(CommandRefused, match="no such command"):
        kernel.batch(["stats", "no.such.command"])


def test_a_compare_and_swap_tells_a_refusal_from_a_count_that_was_another(kernel: Kernel) -> None:
    slot = kernel.slot(kernel.alloc())
    assert slot.cas_refcount(1, 2) == (True, 1)
    assert slot.cas_refcount(1, 3) == (False, 2)
    outside = kernel.slot(Paddr(0x1000_0000_0000))
    with pytest.raises(CommandRefused, match="no slot"):
        outside.cas_refcount(1, 2)


def test_a_line_that_was_never_sent_is_on_no_record(kernel: Kernel) -> None:
    kernel.call("stats")
    before = list(kernel.commands), len(kernel.log)
    with pytest.raises(UsageError):
        kernel.request("two\nlines")
    assert (list(kernel.commands), len(kernel.log)) == before


def test_a_panic_at_the_console_is_reported_behind_a_program(kernel: Kernel) -> None:
    """That a program keeps a panic for its reply ends with the program."""
    kernel.program.run([Ask("stats")])
    reply = kernel.request("crash panic")
    assert reply.status == "panic" and reply.backtrace


def test_each_look_shows_what_is_there_behind_its_command(kernel: Kernel) -> None:
    paddr = kernel.alloc(zeroed=False)
    pfn, slot = Pfn(paddr >> PAGE_SHIFT), kernel.slots().itemsize
    asks = [
        Ask(f"payload.fill {paddr:#x} 0x5a", [pfn], [pfn]),
        Ask(f"slot.inc_ref {paddr:#x}", [pfn, Pfn(pfn + 1)]),
        Ask(f"payload.poke {paddr + 4092:#x} 11", [], [pfn]),
    ]
    seen = kernel.program.run(asks).seen
    first, page, rest = seen[:slot], seen[slot : slot + PAGE_LOOK_BYTES], seen[slot + PAGE_LOOK_BYTES :]
    assert page == b"\x5a" * 8 + (511).to_bytes(8, "little")
    second, other, poked = (rest[at * slot : (at + 1) * slot] for at in range(3))
    after = kernel.slots()[pfn : pfn + 2].tobytes()
    assert second + other == after and first != second
    assert poked == b"\x5a" * 8 + (510).to_bytes(8, "little")


def test_a_program_of_any_length_is_carried_out_once(kernel: Kernel) -> None:
    """It takes several turns, since neither its commands nor its looks fit into their rooms."""
    paddr = kernel.alloc()
    pfn, n_commands = Pfn(paddr >> PAGE_SHIFT), 3000
    ran = kernel.program.run([Ask(f"slot.inc_ref {paddr:#x}", [pfn] * 4)] * n_commands)
    assert [reply.status for reply in ran.replies] == ["ok"] * n_commands
    assert kernel.slots()[pfn]["refcount"] == 1 + n_commands
    assert len(ran.seen) == n_commands * 4 * kernel.slots().itemsize
    assert kernel.commands[-1] != "run", "a line that says nothing is not shown"


def test_a_command_whose_looks_have_no_room_is_refused(kernel: Kernel) -> None:
    with pytest.raises(UsageError, match="looks that there is room for"):
        kernel.program.run([Ask("stats"), Ask("stats", [Pfn(1)] * 5000)])
    assert not kernel.commands, "nothing was run"


@pytest.mark.parametrize("line", ["stats\nexit pass", "stats|1", "st\u00e4ts", "x" * 5000])
def test_a_line_that_the_guest_would_read_otherwise_is_refused(kernel: Kernel, line: str) -> None:
    with pytest.raises(UsageError, match="visible ASCII"):
        kernel.program.run([Ask("stats"), Ask(line)])


def test_more_data_than_there_is_room_for_is_no_answer(kernel: Kernel) -> None:
    """What is missing must not look like the end of it."""
    few = kernel.program.run([Ask(f"dump 0 {kernel.frames}"), Ask("stats")]).replies
    assert [reply.status for reply in few] == ["ok", "ok"]
    kernel.slots()["generation"] = np.arange(kernel.frames)
    with pytest.raises(ProtocolError, match="program"):
        kernel.program.run([Ask(f"dump 0 {kernel.frames}"), Ask("stats")])


def test_a_guest_that_dies_shows_the_command_that_it_died_of(kernel: Kernel) -> None:
    with pytest.raises(GuestCrashed):
        kernel.program.run([Ask("stats"), Ask("crash pf"), Ask("map")])
    assert list(kernel.commands) == ["stats", "crash pf"]
    assert kernel.program.begun == 2


def test_a_command_is_counted_from_the_first_one_of_its_program(kernel: Kernel) -> None:
    """Also where what came before took a turn of its own."""
    with pytest.raises(GuestCrashed):
        kernel.program.run([Ask("stats", [Pfn(1)] * 500)] * 20 + [Ask("crash pf")])
    assert kernel.program.begun == 21
    assert list(kernel.commands)[-1] == "crash pf"


def test_a_guest_that_hangs_shows_the_command_that_it_hangs_in() -> None:
    machine = load_machine("microvm")
    quick = machine.override(limits={"request_cpu_s": 0.5})
    with Kernel.boot(build(frame_module(), "release"), quick) as kernel:
        with pytest.raises(GuestTimeout):
            kernel.program.run([Ask("stats"), Ask("crash hang"), Ask("map")])
        assert list(kernel.commands) == ["stats", "crash hang"]
