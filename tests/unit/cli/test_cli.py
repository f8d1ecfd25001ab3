"""Proves that every command without a test of its own does what it says, through the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.bench import earlier, tables
from frame_harness.cli import check as cli_check
from frame_harness.cli import core as cli_core
from frame_harness.cli.endings import ending
from frame_harness.cli.main import cli
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.orderings.table import ORDERING_CLAUSES
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import known_machines, load_machine
from frame_harness.memory_core.clauses import CORE_CLAUSES
from tests.support.mutants import mutated

IN_RELEASE = ("--machine", "microvm", "--profile", "release")


def told(*words: str, said: str = "") -> Result:
    """What a command answers, judging the built-in module."""
    return CliRunner().invoke(cli, words, input=said, env={"FRAME_RS": ""})


def run_alone(*words: str) -> subprocess.CompletedProcess[str]:
    """What a command answers that collects the suite: not inside of another collection."""
    argv = [sys.executable, "-c", "from frame_harness.cli.main import main; main()", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_command_machines_shows_each_with_its_words() -> None:
    run = told("machines")
    assert run.exit_code == ExitCode.PASS
    lines = run.output.splitlines()
    assert [line.split()[0] for line in lines] == list(known_machines())
    assert all(line.endswith(load_machine(line.split()[0]).summary) for line in lines)


def test_the_command_exit_codes_shows_every_status() -> None:
    run = told("exit-codes")
    assert run.exit_code == ExitCode.PASS
    rows = [line.split(" | ")[:2] for line in run.output.splitlines()[2:]]
    assert rows == [[f"| {int(code)}", code.name] for code in ExitCode]


def test_the_command_clauses_shows_all_of_them_with_checks() -> None:
    run = run_alone("clauses", "--markdown")
    assert run.returncode == ExitCode.PASS, run.stderr
    for id_ in CLAUSES:
        assert any(id_ in line and "test_" in line for line in run.stdout.splitlines()), id_
    in_code = [line for line in run.stdout.splitlines() if "::test_compiled_code_orders_memory" in line]
    assert {line.split(" | ")[0].lstrip("| ") for line in in_code} == set(ORDERING_CLAUSES)


def test_the_command_clauses_shows_those_of_a_memory_core() -> None:
    run = told("clauses", "--core", "--markdown")
    assert run.exit_code == ExitCode.PASS
    assert all(f"| {id_} | " in run.output for id_ in CORE_CLAUSES)
    assert f"{len(CORE_CLAUSES)} of {len(CORE_CLAUSES)} clauses have checks" in run.output


def test_clauses_ends_with_what_its_letters_stand_for() -> None:
    run = run_alone("clauses")
    assert run.returncode == ExitCode.PASS, run.stderr
    legend = run.stdout.splitlines()[-2]
    assert {kind for one in CLAUSES.values() for kind in one.kinds} == {
        words.split()[0] for words in legend.removeprefix("kinds: ").split(", ")
    }


def test_orderings_lists_accesses_by_function_then_what_they_break(tmp_path: Path) -> None:
    sound = told("orderings")
    assert sound.exit_code == ExitCode.PASS, sound.output
    assert "MetaSlot::set_guard\n    store guard Release\n" in sound.output
    assert all(f"{id_}  held\n" in sound.output for id_ in ORDERING_CLAUSES)
    weak = mutated(tmp_path, [("self.guard.store(bits, Release)", "self.guard.store(bits, Relaxed)")])
    found = told("orderings", "--frame-rs", str(weak))
    assert found.exit_code == ExitCode.FAIL
    assert f"{weak}:" in found.output.split("violations")[1] and "GUARD-10  violated\n" in found.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bench", "nosuch"), "known: boot, campaigns, console, histories, storms, tables, verdicts"),
        (("storm", "nosuch"), "no such storm"),
        (("console", "--machine", "nosuch"), "no such machine"),
        (("fuzz", "--time", "0"), "--time"),
        (("storm", "--time", "nan"), "expected a number, got nan"),
        (("storm", "--seed", "9" * 30), "is not in the range"),
        (("check", "--core", "--case", ""), "'--case': expected a text"),
        (("check", "--scheduler", ""), "'--scheduler': expected a text"),
        (("mutate", "--again", ""), "'--again': expected a text"),
        (("rewind", "REF-07", "refcount", "--frame", ""), "'--frame': expected a text"),
        (("debug", "REF-01", "--vscode", "/nowhere/launch.json"), "its folder does not exist"),
        (("mutate", "--least", "nan"), "expected a number, got nan"),
        (("nosuch",), "No such command"),
        (("check", "--frame-rs", ""), "'--frame-rs' (env var: 'FRAME_RS'): expected a path"),
        (("mutate", "--kernel-src", ""), "'--kernel-src' (env var: 'KERNEL_SRC'): expected a path"),
        (("judge", ""), "'DIR': expected a path"),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_a_mistake_is_a_usage_error_without_a_backtrace(words: tuple[str, ...], said: str) -> None:
    run = run_alone(*words)
    assert run.returncode == ExitCode.USAGE
    assert said in run.stderr and "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("fuzz",), ("storm",), ("matrix",), ("orderings",), ("console",), ("replay", "x"), ("debug", "x"),
        ("rewind", "x", "y"), ("corpus", "minimize", "x"),
    ],
)  # fmt: skip
def test_built_in_module_does_not_stand_in_for_a_tree(words: tuple[str, ...]) -> None:
    run = CliRunner().invoke(cli, words, env={"FRAME_RS": "", "KERNEL_SRC": "/tree"})
    assert isinstance(run.exception, UsageError), run.output
    assert "KERNEL_SRC: /tree: `" in str(run.exception)
    given = CliRunner().invoke(cli, [*words, "--frame-rs", "/dev"], env={"KERNEL_SRC": "/tree"})
    assert "is a directory" in given.output


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("FRAME_HARNESS_RUNS", "many", ExitCode.USAGE),
        ("FRAME_HARNESS_CACHE_LIMIT", "much", ExitCode.USAGE),
        ("FRAME_HARNESS_TOOLCHAIN", "gcc", ExitCode.USAGE),
        ("FRAME_HARNESS_CACHE", "/dev/null", ExitCode.ERROR),
    ],
)
@pytest.mark.parametrize("subject", ["", "--core"])
def test_variable_that_says_nothing_is_told_once_before_a_build_is_waited_for(
    name: str, value: str, status: ExitCode, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli_check, "_build_first", lambda *_, **__: pytest.fail("it was built"))
    monkeypatch.setattr(cli_core, "judge_builds", lambda *_, **__: pytest.fail("it was built"))
    run = told(*filter(None, ("check", subject)))
    assert isinstance(run.exception, HarnessError)
    code, words = ending(run.exception)
    assert (code, "next: " in words) == (status, True)
    assert name in words and value in words and not run.stdout


def test_option_that_a_variable_gives_is_told_with_it() -> None:
    run = CliRunner().invoke(cli, ["check", "--kernel-src", "."], env={"FRAME_RS": "frame.rs"})
    assert run.exit_code == ExitCode.USAGE
    assert "--frame-rs (of FRAME_RS) does not go with --kernel-src" in run.output


@pytest.mark.parametrize("option", ["--frame-rs", "--baseline", "--json", "--out", "--kernel-src"])
@pytest.mark.parametrize(
    ("path", "why"),
    [("circle", "Too many levels of symbolic links"), ("x" * 300, "File name too long")],
    ids=["a circle of links", "a long name"],
)
def test_path_that_leads_nowhere_is_a_usage_error(
    option: str, path: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    run = told("check", option, path)
    assert run.exit_code == ExitCode.USAGE
    assert f"'{option}'" in run.output and why in run.output


@pytest.mark.slow
def test_bench_says_which_goals_were_reached_then_ends_accordingly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(earlier, "place", lambda: tmp_path / "bench.json")
    monkeypatch.setattr(tables, "ROUNDS", 1)
    monkeypatch.setattr(tables, "RAM", "64 MiB")
    run = told("bench", "tables")
    assert run.exception is None or isinstance(run.exception, SystemExit), run.exception
    assert ("reached" in run.output) is not ("missed" in run.output), run.output
    assert run.exit_code == (ExitCode.PASS if "reached" in run.output else ExitCode.FAIL)


@pytest.mark.slow
def test_console_passes_lines_on_until_their_end() -> None:
    run = told("console", *IN_RELEASE, said="alloc new zeroed=0\n\nnosuch\nconst\n")
    assert run.exit_code == ExitCode.PASS, run.output
    assert "ok paddr=0x" in run.output and "no such command, try help" in run.output
    assert "PAGE_SIZE=0x1000" in run.output


@pytest.mark.slow
def test_console_refuses_bytes_that_are_no_text_and_goes_on() -> None:
    argv = [sys.executable, "-c", "from frame_harness.cli.main import main; main()", "console", *IN_RELEASE]
    env = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # as in most locales of users
    said = b"nosuch \xff\nalloc new\n"
    run = subprocess.run(argv, input=said, env=env, capture_output=True, check=False)
    assert run.returncode == ExitCode.PASS, run.stderr
    assert b"expected one line of visible ASCII" in run.stderr and b"ok paddr=0x" in run.stdout


@pytest.mark.slow
def test_fuzz_stops_when_its_time_is_over() -> None:
    run = told("fuzz", "--time", "0.001", "--seed", "1", *IN_RELEASE)
    assert run.exit_code == ExitCode.PASS, run.output
    assert "seed 1, 0.001 s" in run.output and "fuzz: found nothing: 1 histories" in run.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-n", "2", "--workers", "2"), "-n does not go with --workers"),
        (("-n", "2", "--scheduler", "tcp://a:1"), "-n does not go with --scheduler"),
        (("--accel", "auto", "--scheduler", "tcp://a:1"), "--accel auto does not go with --scheduler"),
        (("--workers", "2", "--scheduler", "tcp://a:1"), "--workers: does not go with --scheduler"),
        (("--resume", "CAMPAIGN", "--last-failed"), "--last-failed does not go with --resume"),
        (("--resume", "NOTHING"), "expected the folder of a campaign"),
        (("--core", "--workers", "2"), "--workers goes with --since or --resume"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_what_a_check_on_workers_cannot_do_is_refused_before_a_build_is_waited_for(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "CAMPAIGN").mkdir()
    (tmp_path / "CAMPAIGN" / "campaign.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_check, "_build_first", lambda *_, **__: pytest.fail("it was built"))
    run = told("check", *words)
    assert run.exit_code == ExitCode.USAGE or isinstance(run.exception, UsageError)
    assert said in " ".join(f"{run.output} {run.exception}".split())
