"""Proves that exactly the lines that ran are told, and which lines of a subject the suite does not reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from frame_harness.base.profiles import COVERAGE
from frame_harness.coverage.lines import Coverage, LineState, SourceCoverage
from frame_harness.coverage.measurement import BEFORE_CHECKS, BOOT, Measurement
from frame_harness.coverage.summary import summary
from frame_harness.coverage.words import total
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.boot_options import BootOptions
from frame_harness.guest.pool import GuestPool
from frame_harness.image.build import build
from frame_harness.image.code_lines import CodeLines, code_lines
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.evidence import RunKey
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from frame_harness.session.run import Run
from tests.support.doors import check
from tests.support.instrumented import instrumented_image, instrumented_shim, lines_that_ran
from tests.support.mutants import broken

pytestmark = pytest.mark.slow

EDITS = (
    (
        "        self.flags.load(Acquire)\n",
        "        let flags = self.flags.load(Acquire);\n"
        "        if flags == 0x5eed_5eed {\n"
        "            return self.never();\n"
        "        }\n"
        "        twice(flags)\n",
    ),
    (
        "    /// Replaces all flags.",
        "    fn never(&self) -> u32 {\n"
        "        0\n"
        "    }\n\n"
        "    pub fn called_by_nobody(&self) -> u32 {\n"
        "        1\n"
        "    }\n\n"
        "    /// Replaces all flags.",
    ),
    (
        "fn zero_payload(",
        "#[inline(always)]\n"
        "fn twice<T: core::ops::BitOr<Output = T> + Copy>(value: T) -> T {\n"
        "    value | value\n"
        "}\n\n"
        "fn zero_payload(",
    ),
)
"""A branch that is never taken, a function for it, one that nobody calls, one that is generic and inlined."""
COMMANDS = (
    "array.poisoned 0x1060000 0", "alloc new purpose=user zeroed=1", "alloc new purpose=pagetable zeroed=0",
    "slot.inc_ref 0x1060000", "slot.dec_ref 0x1060000", "slot.get_flags 0x1060000",
    "slot.has_flag 0x1060000 1", "slot.vtable_ref 0x1060000", "slot.debug_snapshot 0x1060000",
    "slot.mark_poisoned 0x1060000",
    "release 0x1060000 0", "alloc new purpose=user zeroed=0",
)  # fmt: skip
ASSERTED = "paddr.is_aligned(FRAME_META_ALIGN as u64),"
"""The condition of an assertion. Its panic is code of the line above, and has no counter of its own."""
UNREACHED = {
    "init_metadata_array": (1, "a boot allocator that hands out another alignment than it was asked for"),
    "FrameAllocOptions::allocate": (1, "a buddy that offers as many poisoned frames as there are frames"),
}
"""The functions of the built-in module with lines that no check reaches: how many, and what that takes."""
UNREACHED_OF_A_REAL_ONE = {
    "MetaSlot::try_vtable_ref": (1, "a debug assertion refuses such a vtable first; other builds go on"),
}
"""Likewise of the module that `FRAME_HARNESS_REAL_FRAME_RS` names."""
SUITE = (
    "test_a_constants or test_b_layout or test_c_array or test_d_allocation or test_e_refcount or "
    "test_f_generation or test_g_guard or test_g_vtable or test_h_free_list or test_i_frame or "
    "test_w_histories or test_poison_that_comes_between or test_a_claim_that_comes_too_late"
)
"""Checks that reach what all of them reach, in a fraction of the time."""


def line_of(source: SourceCoverage, text: str) -> int:
    """The one line with this text."""
    lines = Path(source.path).read_text(encoding="utf-8").splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if text in line]
    return found


# One session, measured in two ways


@pytest.fixture(scope="module")
def two_ways() -> tuple[SourceCoverage, dict[int, bool]]:
    """What QEMU's log shows of a session, and what the counters in the very same guest show."""
    with instrumented_shim():
        subject = frame_module(str(broken(EDITS)))
        image = instrumented_image(subject)
        lines = code_lines(image, find_toolchain())
        measurement = Measurement(lines)
        with Kernel.boot(image, load_machine("microvm"), logs=measurement.logs) as kernel:
            for command in COMMANDS:
                kernel.request(command)
            counted = lines_that_ran(kernel, subject.path)
        measurement.collect()
    (source,) = summary(lines, measurement.reached()).sources
    return source, counted


def test_the_log_and_the_compiler_s_counters_agree(two_ways: tuple[SourceCoverage, dict[int, bool]]) -> None:
    source, counted = two_ways
    logged = {
        one.line: one.state is LineState.HIT
        for one in source.lines
        if one.state is not LineState.NOT_IN_KERNEL and one.line in counted
    }
    differ = {line for line, ran in logged.items() if ran != counted[line]}
    assert differ == {line_of(source, ASSERTED) - 1}
    assert len(logged) > 300 and sum(logged.values()) > 150 and sum(not ran for ran in logged.values()) > 50


def test_a_branch_that_is_never_taken_is_not_hit(two_ways: tuple[SourceCoverage, dict[int, bool]]) -> None:
    source, counted = two_ways
    condition, branch = line_of(source, "== 0x5eed_5eed"), line_of(source, "self.never()")
    assert (source.state_of(condition), source.state_of(branch)) == (LineState.HIT, LineState.NOT_HIT)
    assert source.state_of(line_of(source, "fn never")) is LineState.NOT_HIT
    assert (counted[condition], counted[branch]) == (True, False)


def test_a_function_that_nobody_calls_is_not_in_this_kernel(
    two_ways: tuple[SourceCoverage, dict[int, bool]],
) -> None:
    source, _ = two_ways
    assert source.state_of(line_of(source, "fn called_by_nobody")) is LineState.NOT_IN_KERNEL


def test_code_that_is_generic_and_inlined_counts_to_its_lines_and_to_the_call(
    two_ways: tuple[SourceCoverage, dict[int, bool]],
) -> None:
    source, _ = two_ways
    assert source.state_of(line_of(source, "value | value")) is LineState.HIT
    assert source.state_of(line_of(source, "twice(flags)")) is LineState.HIT
    assert "twice" in [function.name for function in source.functions]


def test_what_the_compiler_derives_is_no_line(two_ways: tuple[SourceCoverage, dict[int, bool]]) -> None:
    source, _ = two_ways
    derives = [
        n for n, line in enumerate(Path(source.path).read_text().splitlines(), 1) if "#[derive(" in line
    ]
    assert derives and not any(source.state_of(line) for line in derives)


# Guests that take turns in one QEMU


@pytest.fixture(scope="module")
def lines() -> CodeLines:
    return code_lines(build(frame_module(), COVERAGE), find_toolchain())


@pytest.fixture
def run(lines: CodeLines) -> Iterator[Run]:
    pool = GuestPool(at_once=True, forget_boot=True)
    key, image = RunKey(machine="microvm", profile=COVERAGE), build(frame_module(), COVERAGE)
    machine = load_machine("microvm")
    run = Run(key, image, machine, pool=pool, measurement=Measurement(lines))
    yield run
    run.finish_all()


def functions_of(run: Run, lines: CodeLines) -> dict[str, set[str]]:
    """The functions that each check ran."""
    return {one.check: {lines.spots[number].function for number in one.spots} for one in run.ledger().reached}


def test_each_check_has_what_its_own_guest_ran(run: Run, lines: CodeLines) -> None:
    for check_name in ("first", "second"):
        run.credit(check_name, "")
        kernel = run.boot()
        kernel.call("slot.get_order", 0x1060000)
        run.finish(kernel)
    run.credit("third", "")
    others: list[bool] = []
    while not any(others) and len(others) < 5:  # whether a guest is kept depends on where it is met
        run.finish(other := run.boot())
        others.append(other.was_put_back)
    found = functions_of(run, lines)
    assert any(others)
    assert "MetaSlot::get_order" in found["first"] and found["first"] == found["second"]
    assert "MetaSlot::get_order" not in found["third"]


def test_a_guest_that_checks_share_is_a_new_one_for_each(run: Run, lines: CodeLines) -> None:
    run.credit("first", "")
    run.shared().call("slot.get_order", 0x1060000)
    run.credit("second", "")
    run.shared().call("slot.get_guard", 0x1060000)
    found = functions_of(run, lines)
    assert "MetaSlot::get_order" in found["first"] - found["second"]
    assert "MetaSlot::get_guard" in found["second"] - found["first"]


def test_what_every_boot_runs_is_no_check_s(run: Run, lines: CodeLines) -> None:
    run.finish(run.boot())
    run.credit("on memory of its own", "")
    for _ in range(2):
        run.finish(run.boot(BootOptions(reserve=[(0x1800000, 0x3000)])))
    found = functions_of(run, lines)
    assert "init_metadata_array" in found[BOOT] - found[BEFORE_CHECKS]
    assert "init_metadata_array" in found["on memory of its own"]


# The suite


def unreached(folder: Path, *words: str) -> tuple[ExitCode | int, SourceCoverage, dict[str, int]]:
    """Make checks of the suite and measure; return how many lines of which functions did not run."""
    asked = ("--cov", "--profile", "cov", "--machine", "microvm", "-k", SUITE, *words)
    result = check(folder, *asked)
    (source,) = msgspec.convert(result.report["coverage"], Coverage).sources
    assert result.says(total(source).partition(": ")[2])
    assert not [one.line for one in source.lines if one.state is LineState.NOT_IN_KERNEL]
    functions = {one.name: len(one.lines) - source.hit(one.lines) for one in source.functions}
    return result.status, source, {name: lines for name, lines in functions.items() if lines}


def test_the_suite_reaches_every_line_of_the_built_in_module_but_those_with_a_reason(tmp_path: Path) -> None:
    tracefile = tmp_path / "frame.info"
    status, source, missed = unreached(tmp_path, "--lcov", str(tracefile))
    assert (status, missed) == (ExitCode.PASS, {name: lines for name, (lines, _) in UNREACHED.items()})
    assert f"LH:{source.n_hit}\n" in tracefile.read_text(encoding="utf-8")


@pytest.mark.whole
def test_the_suite_reaches_every_line_of_a_real_module_but_those_with_a_reason(
    real: Path, tmp_path: Path
) -> None:
    _, _, missed = unreached(tmp_path, "--frame-rs", str(real))
    assert missed == {name: lines for name, (lines, _) in UNREACHED_OF_A_REAL_ONE.items()}
