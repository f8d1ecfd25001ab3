"""Proves that no kernel which misbehaves is ever judged a pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frame_harness.archive.folder import Archive, FailureFolder
from frame_harness.base.guest_end import GuestEnd
from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import GuestCrashed
from frame_harness.image.build import build
from frame_harness.judge.exit_codes import VerdictKind, exit_code
from frame_harness.machine.definition import load_machine
from tests.support.doors import Judged, check, write_machine
from tests.support.mutants import Edit, mutated
from tests.support.red_kernels import MODULE
from tests.support.same_place import same_place

# Calls itself until its stack has run over, on a value that nothing else stores.
ENDLESS: Edit = (
    "        self.refcount.store(count, Release)\n    }\n",
    "        self.refcount.store(count, Release);\n        if count == 0x5555 { deep(0); }\n    }\n",
)
DEEP: Edit = (
    "fn zero_payload",
    "#[inline(never)]\nfn deep(n: u64) -> u64 {\n"
    "    let a = core::hint::black_box([n; 32]);\n    deep(n + 1) + a[(n % 32) as usize]\n}\n\n"
    "fn zero_payload",
)

OUT = "out"
ONE_CHECK = ("--profile", "release", "-n", "1", "-k", "CONST-01")


def judged(folder: Path, red: str, *, cpu_s: float = 3.0) -> Judged:
    machine = write_machine(folder, cpu_s=cpu_s)
    result = check(folder, "--machine", machine, *ONE_CHECK, "--out", folder / OUT, "--red", red)
    assert result.survivors == ()
    assert result.kind is not None, result.out
    assert result.status == exit_code(result.kind)
    assert result.kind is not VerdictKind.PASS
    # Whatever the guest did, its evidence opens and says the same.
    archive = Archive.open(folder / OUT)
    assert archive.verdict(FRAME_METADATA).kind is result.kind
    assert archive.header.notes == () and "not kept" not in result.out
    return result


def left(folder: Path) -> FailureFolder:
    """What the one guest left that did wrong."""
    [failure] = Archive.open(folder / OUT).failures
    assert len(failure.guests) == 1 and failure.result is not None
    script = (failure.folder / failure.guests[0].script).read_text(encoding="utf-8")
    assert "-serial stdio" in script and "fd=" not in script and "/fd/" not in script
    return failure


def shows_where(out: str, doing: str, *functions: str) -> bool:
    """Whether a report has the registers of a stopped guest, then its calls in this order, then its words."""
    registers = r"rip=0x\w+ rsp=0x\w+ rbp=0x\w+ rflags=0x\w+ cr2=0x\w+ cr3=0x\w+"
    parts = [re.escape(doing), registers, *map(re.escape, functions), r"console: "]
    return re.search(".*".join(parts), " ".join(out.split())) is not None


def test_a_kernel_that_panics_at_boot_is_a_crash(tmp_path: Path) -> None:
    result = judged(tmp_path, "panic")
    assert (result.kind, result.says("red kernel: panic before the banner")) == (VerdictKind.CRASH, True)


def test_a_kernel_that_panics_in_a_request_is_a_crash(tmp_path: Path) -> None:
    result = judged(tmp_path, "panic-request")
    assert (result.kind, result.says("red kernel: panic in a request")) == (VerdictKind.CRASH, True)
    failure = left(tmp_path)
    assert "red kernel: panic in a request" in failure.console
    guest = failure.guests[-1]
    assert guest.commands[-1].reply == "" and guest.backtrace and guest.end is GuestEnd.PANIC
    assert any(note.startswith("no registers: ") for note in guest.notes)  # it was gone at once
    assert failure.after is not None and failure.after.n_frames == 6144


def test_a_panic_that_was_to_halt_the_guest_is_a_crash(tmp_path: Path) -> None:
    image = build(frame_module(), "release")
    with Kernel.boot(image, load_machine(write_machine(tmp_path))) as kernel:
        kernel.call("onpanic halt")
        with pytest.raises(GuestCrashed, match="the console asked for a panic") as crash:
            kernel.call("crash panic")
    assert any("commands::crash::crash" in line.text for line in crash.value.backtrace)


def test_a_stack_that_runs_over_is_called_that(tmp_path: Path) -> None:
    image = build(frame_module(), "release")
    words = "stack overflow on CPU 0: guard page of its main"
    with (
        Kernel.boot(image, load_machine(write_machine(tmp_path))) as kernel,
        pytest.raises(GuestCrashed, match=words) as crash,
    ):
        kernel.call("crash stack")
    assert "(recursion through kernel_shim::commands::crash::overflow)" in crash.value.summary
    assert crash.value.backtrace[-1].text.endswith("more calls")


def test_a_stack_of_another_cpu_that_runs_over_is_called_that(tmp_path: Path) -> None:
    subject = mutated(same_place(), (ENDLESS, DEEP))
    image = build(frame_module(subject), "release")
    with Kernel.boot(image, load_machine(write_machine(tmp_path)), cpus=2) as kernel:
        cpus = Cpus(kernel)
        cpus.frames([kernel.alloc()])
        with pytest.raises(GuestCrashed, match="stack overflow on CPU 1: guard page of its main") as crash:
            cpus.run({1: Job(("set@0=0x5555",), iterations=1)})
    assert "frame::deep+" in crash.value.summary and str(subject) in crash.value.summary


def test_a_stray_pointer_into_a_guard_page_is_no_stack_overflow(tmp_path: Path) -> None:
    image = build(frame_module(), "release")
    with (
        Kernel.boot(image, load_machine(write_machine(tmp_path))) as kernel,
        pytest.raises(GuestCrashed, match="name=#PF") as crash,
    ):
        kernel.call("crash guard")
    assert "stack overflow" not in crash.value.summary


def test_a_triple_fault_is_never_a_pass(tmp_path: Path) -> None:
    result = judged(tmp_path, "triple-fault")
    assert (result.kind, result.says("triple fault")) == (VerdictKind.CRASH, True)


def test_a_hang_with_interrupts_off_is_a_timeout(tmp_path: Path) -> None:
    result = judged(tmp_path, "hang-cli")
    assert (result.kind, result.says("halted for good, interrupts off")) == (VerdictKind.TIMEOUT, True)
    assert shows_where(result.out, "CPU 0: halted at", "exit.rs:", "kernel_main"), result.out
    failure = left(tmp_path)
    assert any("HLT=1" in line for line in failure.guests[-1].registers)
    assert "*frame-harness proto=" in failure.console


def test_a_silent_hang_before_the_banner_is_a_timeout(tmp_path: Path) -> None:
    result = judged(tmp_path, "hang-silent")
    assert (result.kind, result.says("the banner: every CPU is halted for good")) == (
        VerdictKind.TIMEOUT,
        True,
    )


def test_a_kernel_that_spins_is_a_timeout(tmp_path: Path) -> None:
    result = judged(tmp_path, "hang-spin", cpu_s=1.5)
    assert (result.kind, result.says("the guest used up its CPU time")) == (VerdictKind.TIMEOUT, True)
    assert shows_where(result.out, "CPU 0: running at", "red::after_banner", "kernel_main"), result.out


def test_a_flood_of_log_lines_is_a_timeout(tmp_path: Path) -> None:
    result = judged(tmp_path, "flood")
    assert (result.kind, result.says("the guest printed without end")) == (VerdictKind.TIMEOUT, True)


def test_a_flood_instead_of_a_reply_is_a_timeout(tmp_path: Path) -> None:
    result = judged(tmp_path, "flood-reply")
    assert (result.kind, result.says("the guest printed without end")) == (VerdictKind.TIMEOUT, True)


def test_binary_garbage_instead_of_a_banner_is_a_timeout(tmp_path: Path) -> None:
    result = judged(tmp_path, "garbage")
    assert (result.kind, result.says("the banner: every CPU is halted for good")) == (
        VerdictKind.TIMEOUT,
        True,
    )
    assert "\x1b" not in result.out and result.out.replace("\n", "").isprintable()


def test_a_perfect_transcript_before_a_zero_at_the_exit_port_is_a_crash(tmp_path: Path) -> None:
    result = judged(tmp_path, "wrong-exit")
    assert (result.kind, result.codes) == (VerdictKind.CRASH, {"exit"})
    assert result.says("as after a write of 0x0 to the exit port"), result.out
    assert result.report["clauses"]["CONST-01"]["outcome"] == "held"


def test_a_perfect_transcript_before_a_reset_is_a_crash(tmp_path: Path) -> None:
    result = judged(tmp_path, "wrong-exit-zero")
    assert (result.kind, result.codes) == (VerdictKind.CRASH, {"exit"})
    assert result.report["clauses"]["CONST-01"]["outcome"] == "held"


def test_a_perfect_transcript_before_the_code_of_a_failure_is_a_fail(tmp_path: Path) -> None:
    result = judged(tmp_path, "wrong-exit-fail")
    assert (result.kind, result.codes) == (VerdictKind.FAIL, {"exit"})
    assert result.report["clauses"]["CONST-01"]["outcome"] == "held"


def test_a_kernel_that_reports_success_unasked_is_a_crash(tmp_path: Path) -> None:
    result = judged(tmp_path, "leaves")
    assert (result.kind, result.says("nobody asked it to exit")) == (VerdictKind.CRASH, True), result.out


def test_a_selftest_that_claims_more_checks_than_it_ran_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, "ktap-claims-more")
    assert (result.kind, result.says("selftest: results: expected")) == (VerdictKind.ERROR, True)


def test_a_selftest_without_checks_is_no_tests(tmp_path: Path) -> None:
    result = judged(tmp_path, "ktap-zero")
    assert (result.kind, result.codes) == (VerdictKind.NO_TESTS, {"no-selftest"})


def test_the_reply_to_another_request_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, "wrong-seq")
    assert (result.kind, result.says("expected =1, got =2")) == (VerdictKind.ERROR, True)


def test_a_second_reply_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, "double-reply")
    assert (result.kind, result.says("expected =2, got =1")) == (VerdictKind.ERROR, True)


def test_no_reply_is_a_timeout(tmp_path: Path) -> None:
    result = judged(tmp_path, "no-reply")
    assert (result.kind, result.says("every CPU is halted for good")) == (VerdictKind.TIMEOUT, True)


def test_the_banner_of_another_start_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, "stale-nonce")
    assert (result.kind, result.says("banner: nonce: expected")) == (VerdictKind.ERROR, True)


def test_the_banner_of_another_build_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, "stale-build-id")
    assert (result.kind, result.says("banner: build-id: expected")) == (VerdictKind.ERROR, True)


def test_code_of_another_profile_is_an_error_that_is_told_once(tmp_path: Path) -> None:
    result = judged(tmp_path, "other-profile")
    words = "expected debug assertions off, got debug assertions on"
    assert (result.kind, " ".join(result.out.split()).count(words)) == (VerdictKind.ERROR, 1), result.out


def test_a_dump_that_says_other_than_ram_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, "lie-dump")
    assert (result.kind, result.says("slot table: frame 0x0: expected")) == (VerdictKind.ERROR, True)
    assert "dump-witness" in result.codes
    failure = left(tmp_path)
    assert [one.line for one in failure.guests[-1].commands if one.line.startswith("dump")]
    assert failure.after is not None and failure.after.zones


def test_one_corrupt_byte_of_a_dump_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, "corrupt-dump")
    assert (result.kind, result.says("dump: crc: expected")) == (VerdictKind.ERROR, True)
    assert "dumps" in result.codes


def test_a_guest_without_ram_is_a_crash(tmp_path: Path) -> None:
    result = judged(tmp_path, "no-ram")
    assert (result.kind, result.says("expected usable RAM, got none")) == (VerdictKind.CRASH, True)


def test_a_red_kernel_that_nobody_wrote_is_a_crash(tmp_path: Path) -> None:
    result = judged(tmp_path, "benign")
    assert (result.kind, result.says("no such kernel: benign")) == (VerdictKind.CRASH, True)


def test_a_kernel_that_cannot_misbehave_refuses_to_be_asked_to(tmp_path: Path) -> None:
    image = build(frame_module(), "release")
    with pytest.raises(GuestCrashed, match="command line: red=panic: no such option"):
        Kernel.boot(image, load_machine(write_machine(tmp_path)), extra=["red=panic"])


def test_every_red_kernel_has_its_test() -> None:
    text = MODULE.read_text(encoding="utf-8")
    names = re.findall(r'^    "([a-z-]+)",', text, flags=re.MULTILINE)
    asked = re.findall(r'judged\(tmp_path, "([a-z-]+)"', Path(__file__).read_text(encoding="utf-8"))
    assert len(names) > 20
    elsewhere = {"unlocked-buddy"}  # needs two CPUs: test_races
    assert set(names) - elsewhere == set(asked) - {"benign"}
