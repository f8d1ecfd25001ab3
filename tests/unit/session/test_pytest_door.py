"""The pytest door as a user meets it: fixtures, markers, options, what a failing test shows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from frame_harness.base.resources import machines_dir
from frame_harness.judge.evidence import Evidence, Outcome, decode
from tests.support.doors import ASKING, ROOT, SOURCES
from tests.support.red_kernels import red_environment

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow
MICROVM = machines_dir() / "microvm.toml"
HOME = os.environ.get("HOME", "")

TEN_LINES = """
    import pytest

    @pytest.mark.clause("ALLOC-09")
    def test_a_new_frame_has_one_owner(kernel):
        paddr = kernel.alloc(purpose="user", zeroed=False)
        assert kernel.slot(paddr).get_refcount() == 1
        assert kernel.slots()["refcount"][paddr >> 12] == 1
"""


@pytest.fixture
def door(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of a user's, with no settings but the plugin."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{SOURCES}")
    monkeypatch.setenv("HOME", HOME)  # pytester gives an empty one, in which rustup finds no toolchain
    return pytester


def run(door: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return door.runpytest_subprocess("-p", "no:cacheprovider", "--machine", "microvm", *arguments)


def run_asking(door: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """With options that no user has."""
    return run(door, *ASKING, *arguments)


def evidence_of(door: pytest.Pytester, *arguments: str) -> Evidence:
    file = Path(door.path) / "evidence.json"
    run_asking(door, "--evidence", str(file), *arguments)
    return decode(file.read_bytes(), Evidence)


def test_ten_lines_of_a_user_drive_a_guest(door: pytest.Pytester) -> None:
    door.makepyfile(TEN_LINES)
    result = run(door)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK


def test_evidence_of_two_workers_is_one_whole(door: pytest.Pytester) -> None:
    door.makepyfile(TEN_LINES)
    evidence = evidence_of(door, "-n", "2", "--profile", "both")
    assert [str(run.run) for run in evidence.runs] == ["microvm/dev", "microvm/release"]
    assert [one.run for one in evidence.plan] == [one.run for one in evidence.checks]
    for run_ in evidence.runs:
        assert [one.run for one in evidence.checks].count(run_.run) == 1
        assert run_.guests_booted == sum(entry.count for entry in run_.exits) >= 2


def test_a_failing_test_shows_clause_commands_console(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        import pytest

        @pytest.mark.clause("ALLOC-09", at="FrameAllocOptions::allocate")
        def test_wrong(kernel):
            assert kernel.slot(kernel.alloc()).get_refcount() == 2
        """
    )
    result = run(door)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- contract -*", "ALLOC-09: *", "*- last commands -*", "alloc new*"])
    result.stdout.fnmatch_lines(["*- console -*", "=* ok v=*"])


def test_a_failed_assertion_is_a_violation_at_the_named_function(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        import pytest

        @pytest.mark.clause("REF-01", at="MetaSlot::dec_ref")
        def test_wrong(kernel):
            assert kernel.slot(kernel.alloc()).dec_ref() == 7
        """
    )
    (result,) = evidence_of(door).checks
    assert result.outcome is Outcome.VIOLATED
    assert result.broken == ("REF-01",)
    assert "memory/frame.rs:" in result.at


def test_an_unknown_clause_names_the_nearest(door: pytest.Pytester) -> None:
    door.makepyfile("import pytest\n@pytest.mark.clause('ALOC-09')\ndef test_x(kernel): pass\n")
    result = run(door)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'ALOC-09'*", "*did you mean ALLOC-09*"])


def test_two_machines_of_one_name_are_one_line(door: pytest.Pytester) -> None:
    door.makepyfile(TEN_LINES)
    Path(door.path, "q35.toml").write_text('type = "q35"\nram = "64 MiB"\n')
    result = door.runpytest_subprocess("--machine", "q35", "--machine", "q35.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*q35: q35 and q35.toml are two machines of one name*"])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_machine_of_the_user_s_is_named_by_its_file_to_see_a_check_again(door: pytest.Pytester) -> None:
    """Its name may have letters that pytest would write otherwise."""
    door.makepyfile(
        """
        import pytest

        @pytest.mark.clause("ALLOC-09")
        @pytest.mark.parametrize("size", ["größe"])
        def test_wrong(kernel, size):
            assert False
        """
    )
    Path(door.path, "größe.toml").write_text(MICROVM.read_text(encoding="utf-8"), encoding="utf-8")
    file = Path(door.path) / "evidence.json"
    door.runpytest_subprocess("--machine", "./größe.toml", *ASKING, "--evidence", str(file))
    evidence = decode(file.read_bytes(), Evidence)
    (result,) = evidence.checks
    assert str(result.run) == "größe/dev" and "größe" not in result.check and "%" not in result.check
    assert "--machine './größe.toml' --profile dev" in result.reproduce
    assert [one.check for one in evidence.plan] == [result.check]


def test_an_unknown_machine_is_one_line(door: pytest.Pytester) -> None:
    door.makepyfile(TEN_LINES)
    result = door.runpytest_subprocess("--machine", "q53")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*q53*did you mean 'q35'*"])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


@pytest.mark.parametrize("option", ["--frame-rs", "--out", "--cov-subject-lcov"])
def test_a_path_that_is_an_empty_text_is_one_line(option: str, door: pytest.Pytester) -> None:
    door.makepyfile("def test_x(kernel): pass\n")
    run = door.runpytest_subprocess(option, "", "--machine", "microvm")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines([f"ERROR: {option}: expected a path, got an empty text"])


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1", "long"])
def test_storms_without_an_end_are_one_line(seconds: str, door: pytest.Pytester) -> None:
    run = door.runpytest_subprocess(f"--storm-seconds={seconds}")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines([f"*--storm-seconds: expected a number of seconds above 0, got '{seconds}'"])


def test_the_module_that_a_variable_names_is_the_one_that_is_judged(
    door: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` reads it, too: a test that passes on the built-in module says nothing of one's own."""
    door.makepyfile("def test_x(kernel): pass\n")
    monkeypatch.setenv("FRAME_RS", str(door.path / "gone.rs"))
    run = door.runpytest_subprocess("--machine", "microvm")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(["*gone.rs*"])


def test_a_marked_machine_that_was_not_chosen_is_skipped_with_the_reason(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        import pytest

        @pytest.mark.machine("q35-5g")
        def test_x(kernel): pass
        """
    )
    result = run(door, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs machine q35-5g, which was not selected*"])


def test_a_check_of_a_machine_of_one_s_own_is_skipped_where_that_was_not_selected(
    door: pytest.Pytester,
) -> None:
    door.makepyfile("import pytest\n@pytest.mark.machine('board')\ndef test_x(kernel): pass\n")
    result = run(door, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs machine board, which was not selected*"])


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        (
            "machine('microvn')",
            ["*test_x: machine: microvn: no such machine*", "next: choose one of q35, microvm*"],
        ),
        ("machine(name='q35')", ["*test_x: marker: machine: expected the names*, got name='q35'", "next: *"]),
        ("clause()", ["*test_x*: marker: clause: expected the ids of clauses*, got nothing", "next: *"]),
        ("level('nosuch')", ["*test_x*: level: expected one of *call*, got 'nosuch'"]),
        (
            "clause('ALLOC-09', on=1)",
            ["*test_x*: marker: clause: expected *, got 'ALLOC-09', on=1", "next: *"],
        ),
    ],
)
def test_a_marker_that_says_nothing_is_one_error(marker: str, said: list[str], door: pytest.Pytester) -> None:
    """A check of a machine that is not there would be skipped for ever."""
    door.makepyfile(f"import pytest\n@pytest.mark.{marker}\ndef test_x(kernel): pass\n")
    result = run(door, "--collect-only")
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)
    out = result.stdout.str() + result.stderr.str()
    pytest.LineMatcher(out.splitlines()).fnmatch_lines(said)
    assert "in pytest_generate_tests" not in out and "Traceback" not in out


def test_a_panic_nobody_asked_for_is_a_violation(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        import pytest

        @pytest.mark.clause("ARRAY-06")
        def test_x(kernel):
            kernel.slot_vaddr(1 << 51)
        """
    )
    (result,) = evidence_of(door).checks
    assert (result.outcome, result.expected) == (Outcome.VIOLATED, "no panic")
    assert "out of bounds" in result.got
    assert result.backtrace


def test_a_crashed_guest_is_a_crash_with_a_backtrace_of_names(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        import pytest

        @pytest.mark.clause("ALLOC-01")
        def test_x(kernel):
            kernel.call("crash ud")
        """
    )
    (result,) = evidence_of(door).checks
    assert result.outcome is Outcome.CRASHED
    assert "#UD" in result.message
    assert any("commands::crash" in line for line in result.backtrace)


def test_a_hang_shows_the_registers_with_the_calls_that_led_there(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        import pytest

        @pytest.mark.clause("ALLOC-01")
        def test_x(kernel):
            kernel.call("crash hang")
        """
    )
    (result,) = evidence_of(door).checks
    assert result.outcome is Outcome.TIMEOUT
    assert result.registers[0].startswith("CPU 0: halted at 0x")
    assert all(f"{name}=0x" in result.registers[1] for name in ("rip", "rsp", "rbp", "rflags", "cr2", "cr3"))
    named = [line for line in result.backtrace if "commands::crash" in line or "console::" in line]
    assert "commands::crash" in named[0] and "console::" in named[-1], result.backtrace


def test_a_violation_in_a_shared_guest_gives_the_next_check_another_one(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        def test_first(shared_kernel):
            shared_kernel.slot(0x200000).set_flags(0x77)
            assert False
        def test_second(shared_kernel):
            assert shared_kernel.slot(0x200000).get_flags() != 0x77
        """
    )
    run(door).assert_outcomes(passed=1, failed=1)


def test_the_shared_guest_outlives_a_test_that_has_one_of_its_own(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        import pytest
        seen = []

        @pytest.mark.clause("ALLOC-09")
        def test_first(kernel, shared_kernel):
            seen.append(shared_kernel.guest.pid)
        def test_second(shared_kernel):
            assert shared_kernel.guest.pid == seen[0]
        """
    )
    file = Path(door.path) / "evidence.json"
    run_asking(door, "--evidence", str(file)).assert_outcomes(passed=2)
    (run_,) = decode(file.read_bytes(), Evidence).runs
    assert run_.guests_booted == sum(entry.count for entry in run_.exits)


@pytest.mark.parametrize(
    ("red", "words", "workers"),
    [
        ("ktap-zero", "NO_TESTS microvm/release: selftest: planned 0", ()),
        ("wrong-exit", "CRASH microvm/release: exit: expected pass, got unknown 2 times", ("-n", "1")),
    ],
    ids=["selftest", "exit-in-a-worker"],
)
def test_passed_tests_of_a_run_that_is_no_pass_are_not_green(
    red: str,
    words: str,
    workers: tuple[str, ...],
    door: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in red_environment().items():
        monkeypatch.setenv(name, value)
    door.makepyfile("def test_x(shared_kernel): shared_kernel.alloc()")
    result = run_asking(door, "--profile", "release", "--red", red, *workers)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert words in result.stdout.str()


def test_a_crash_that_a_test_asks_for_is_no_trouble(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        import pytest
        from frame_harness.guest.errors import GuestCrashed

        def test_x(kernel):
            with pytest.raises(GuestCrashed, match="#UD"):
                kernel.call("crash ud")
        """
    )
    result = run(door)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()


def test_guests_do_not_pile_up_in_memory(door: pytest.Pytester) -> None:
    door.makepyfile(
        """
        import gc
        import pytest
        from frame_harness.machine.ram import GuestRam

        @pytest.mark.parametrize("i", range(6))
        def test_x(kernel, i):
            gc.collect()
            alive = [each for each in gc.get_objects() if isinstance(each, GuestRam)]
            assert len(alive) <= 3
        """
    )
    run(door).assert_outcomes(passed=6)


def test_json_evidence_has_no_word_of_a_guest_that_is_not_text(door: pytest.Pytester) -> None:
    door.makepyfile(TEN_LINES)
    file = Path(door.path) / "evidence.json"
    run_asking(door, "--evidence", str(file))
    assert json.loads(file.read_text(encoding="utf-8"))["runs"]


def test_crash_of_a_guest_shows_the_user_s_lines_and_no_frames_of_the_harness(door: pytest.Pytester) -> None:
    door.makepyfile("""
        def test_crash(kernel):
            kernel.call("crash ud")
    """)
    text = run(door).stdout.str()
    assert 'kernel.call("crash ud")' in text and "#UD" in text
    assert "frame_harness/kernel.py" not in text and "frame_harness/console" not in text
    assert "<Kernel built-in on microvm/dev, " in text


def test_code_that_does_not_compile_shows_the_compiler_s_words_alone(door: pytest.Pytester) -> None:
    wrong = door.makefile(".rs", wrong="fn oops( {")
    door.makepyfile(TEN_LINES)
    text = run(door, "--frame-rs", str(wrong)).stdout.str()
    assert "CompileError: build: wrong.rs (dev)" in text and "wrong.rs:1" in text
    assert "image/build.py" not in text and "session/plugin.py" not in text


def test_addresses_are_shown_in_hex(door: pytest.Pytester) -> None:
    door.makepyfile("""
        def test_address(kernel):
            assert 0x1061000 == 0x1062000

        def test_without_a_guest():
            assert 4097 == 4098
    """)
    text = run(door).stdout.str()
    assert "0x1061000 == 0x1062000" in text and "0x1001" not in text


def test_a_guest_that_checks_share_forgets_what_the_one_before_called(door: pytest.Pytester) -> None:
    door.makepyfile("""
        import pytest

        @pytest.mark.parametrize("time", [1, 2])
        def test_called(bare_kernel, time):
            assert bare_kernel.called == set()
            bare_kernel.slot(0).set_flags(3)
            assert bare_kernel.called == {"MetaSlot::set_flags"}
    """)
    run(door).assert_outcomes(passed=2)
