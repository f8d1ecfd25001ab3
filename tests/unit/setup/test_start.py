"""The program starts, or says in one line why not; it never starts with an old report in place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import frame_harness_start
from frame_harness.campaigns.journal import CAMPAIGN, RESULTS, own_files
from frame_harness.cli.check_command import check_command
from frame_harness.cli.main import cli
from frame_harness.cli.options import FILE, TREE
from frame_harness.judge.exit_codes import ExitCode
from tests.support.doors import SOURCES

START = "import frame_harness_start; frame_harness_start.main()"


def start(*words: str | Path, path: str | Path = "", before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program with a PYTHONPATH whose first entry is `path`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FRAME_RS"))}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), str(SOURCES)]))
    argv = [sys.executable, "-c", before + START, *map(str, words)]
    # Not in the clone: `-c` looks for modules in the current folder first.
    return subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, check=False)


def test_user_s_folder_of_the_package_s_name_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "frame_harness").mkdir()
    (tmp_path / "frame_harness" / "__init__.py").write_text("")
    run = start("machines", path=tmp_path)
    assert run.returncode == ExitCode.ERROR, run.stderr
    assert f"next: {tmp_path / 'frame_harness'} hides the package" in run.stderr
    assert "Traceback" not in run.stderr and len(run.stderr.splitlines()) == 2


@pytest.mark.parametrize("package", ["click", "numpy"])
def test_broken_installation_is_no_verdict(package: str) -> None:
    """The one is needed at once, the other by the checks, and to tell of what goes wrong."""
    run = start("check", "-k", "CONST-01", before=f"import sys; sys.modules['{package}'] = None; ")
    assert run.returncode == ExitCode.ERROR and "Traceback" not in run.stderr
    assert "cannot start" in run.stderr and "install it again" in run.stderr


@pytest.mark.parametrize("module", ["signal", "pathlib", "click"])
def test_ctrl_c_while_modules_are_read_is_one_line(module: str) -> None:
    kill = f"import os, sys; sys.modules.pop({module!r}, None); left = [{module!r}]; "
    kill += "sys.meta_path.insert(0, type('', (), {'find_spec': classmethod(lambda cls, name, *_: "
    kill += f"name in left and (left.clear() or os.kill(os.getpid(), {int(signal.SIGINT)})) or None)}})); "
    run = start("machines", before=kill)
    assert (run.returncode, run.stderr) == (ExitCode.INTERRUPTED, "interrupted\n")


def test_ctrl_c_while_the_start_module_is_read_is_one_line(tmp_path: Path) -> None:
    kill = f"import os\nos.kill(os.getpid(), {int(signal.SIGINT)})\n"
    (tmp_path / "frame_harness_start.py").write_text(kill)
    argv = [sys.executable, "-P", str(SOURCES / "frame-harness"), "machines"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (ExitCode.INTERRUPTED, "interrupted\n")


def test_next_to_nothing_is_imported_before_ctrl_c_is_told_in_one_line() -> None:
    before = "import sys; there = set(sys.modules); import frame_harness_start; "
    run = start("--version", before=before + "print(*set(sys.modules) - there); ")
    assert set(run.stdout.splitlines()[0].split()) <= {"__future__", "frame_harness_start", "itertools"}


@pytest.mark.parametrize(
    "mistake",
    [("--profile", "debug"), ("-n", "0"), ("--nosuch",), ("--json",)],
    ids=" ".join,
)
def test_mistake_in_the_usage_leaves_no_older_report(mistake: tuple[str, ...], tmp_path: Path) -> None:
    reports = tmp_path / "old.json", tmp_path / "old.xml", tmp_path / "old.html"
    for report in reports:
        report.write_text("PASS")
    run = start("check", "--json", reports[0], f"--junit={reports[1]}", "--html", reports[2], *mistake)
    assert run.returncode == ExitCode.USAGE, run.stderr
    assert list(tmp_path.iterdir()) == []


def test_file_that_the_run_reads_is_no_report(tmp_path: Path) -> None:
    source = tmp_path / "frame.rs"
    source.write_text("text")
    frame_harness_start.forget_reports(["--json", str(source), "--frame-rs", f"{tmp_path}/./frame.rs"])
    assert source.read_text() == "text"


@pytest.mark.parametrize("option", ["--frame-rs", "--kernel-src", "--baseline", "--machine", "--last-failed"])
def test_file_that_the_run_reads_by_another_name_is_no_report(option: str, tmp_path: Path) -> None:
    read, report = tmp_path / "read.toml", tmp_path / "report.toml"
    read.write_text("text")
    report.hardlink_to(read)
    frame_harness_start.forget_reports(["--json", str(report), option, str(read)])
    assert report.read_text() == "text"


def test_results_of_a_campaign_are_no_report(tmp_path: Path) -> None:
    results, report = tmp_path / RESULTS, tmp_path / "r.json"
    for file in (results, report):
        file.write_text("text")
    words = ["--resume", str(tmp_path), "--json", str(results), f"--html={report}"]
    frame_harness_start.forget_reports(words)
    assert results.read_text() == "text" and not report.exists()
    assert {tmp_path / name for name in frame_harness_start._OF_A_CAMPAIGN} == set(own_files(tmp_path))
    for command in (["check"], ["mutate"]):
        (tmp_path / CAMPAIGN).touch()
        run = start(*command, *words)
        assert (run.returncode, results.read_text()) == (ExitCode.USAGE, "text"), run.stderr
        assert "keeps evidence there" in run.stderr


@pytest.mark.parametrize("words", [["--kernel-src", "{tree}"], ["--frame-rs={tree}/frame.rs"], []])
def test_rust_source_is_no_report_wherever_it_lies(words: list[str], tmp_path: Path) -> None:
    source = tmp_path / "memory" / "zone.rs"
    source.parent.mkdir()
    source.write_text("text")
    frame_harness_start.forget_reports([f"--json={source}", *(word.format(tree=tmp_path) for word in words)])
    assert source.read_text() == "text"


def test_every_option_of_the_command_that_names_a_file_is_known_as_read_or_written() -> None:
    files = [each for each in check_command.params if each.type in (FILE, TREE) or each.name == "machines"]
    known = {*frame_harness_start._REPORTS, *frame_harness_start._READ}
    assert {name for each in files for name in each.opts} == known
    variables = {each.envvar for each in files} - {None}
    assert variables == set(frame_harness_start._READ_FROM_THE_ENVIRONMENT)


@pytest.mark.parametrize("words", [("check", "--machine", "microvm"), ("show",), ("storm", "nosuch")])
def test_command_in_a_folder_that_is_gone_says_so(words: tuple[str, ...], tmp_path: Path) -> None:
    gone = f"import os; os.mkdir({str(tmp_path / 'here')!r}); os.chdir({str(tmp_path / 'here')!r}); "
    run = start(*words, before=f"{gone}os.rmdir(os.getcwd()); ")
    assert (run.returncode, len(run.stderr.splitlines())) == (ExitCode.ERROR, 2), run.stderr
    assert run.stderr.startswith("error: working directory: ") and "\nnext: cd to a folder" in run.stderr


@pytest.mark.parametrize("number", [1, 2])
def test_closed_stream_is_a_clean_status(number: int, tmp_path: Path) -> None:
    closed = f"import os; os.close({number}); "
    run = start("machines", before=closed)
    assert (run.returncode, "Traceback" in run.stdout + run.stderr) == (ExitCode.PASS, False)
    shell = f'exec "$0" -c "{START}" machines {number}>&-'
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(["sh", "-c", shell, sys.executable], env=env, capture_output=True, check=False)
    assert done.returncode == ExitCode.PASS, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_signal_ends_as_ctrl_c_does(number: signal.Signals) -> None:
    handler = f"import signal; signal.signal(signal.{number.name}, signal.SIG_DFL); "
    kill = "import os, sys; sys.meta_path.insert(0, type('', (), {'find_spec': classmethod("
    kill += f"lambda cls, name, *_: name == 'click' and os.kill(os.getpid(), {int(number)}) or None)}})); "
    run = start("machines", before=handler + kill)
    assert (run.returncode, run.stderr) == (ExitCode.INTERRUPTED, "interrupted\n")


DROPPED = """
import click, os, signal, threading
from frame_harness.cli import main

class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})

def work():
    Destroyed()
    threading.Event().wait(20)

main.main = work
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_stop_that_python_drops_in_a_destructor_is_heard(number: signal.Signals) -> None:
    handlers = (
        "import signal; [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGTERM, signal.SIGHUP)]"
    )
    run = start("machines", before=f"{handlers}{DROPPED.format(name=number.name)}")
    assert (run.returncode, run.stderr) == (ExitCode.INTERRUPTED, "interrupted\n")


def test_version_and_help_are_there() -> None:
    assert start("--version").stdout == "frame-harness 0.1.0\n"
    whole = start("--help").stdout
    assert start("help").stdout == whole and "..." not in whole.split("Commands:")[1]
    assert all(f"  {name} " in whole for name in cli.commands)
    assert "--again" in start("help", "storm").stdout
    assert start("help", "corpus", "minimize").stdout == start("corpus", "minimize", "--help").stdout
    for words in (["nosuch"], ["corpus", "nosuch"], ["storm", "nosuch"]):
        unknown = start("help", *words)
        assert unknown.returncode == ExitCode.USAGE and f"'{' '.join(words)}'" in unknown.stderr
        assert ("Known: " in unknown.stderr) == (words[0] != "storm")


def test_python_dash_m_starts_the_command() -> None:
    """It must not end with 0, a PASS, without having done anything."""
    argv = [sys.executable, "-m", "frame_harness_start", "explain", "NOSUCH-01"]
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    run = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, check=False)
    assert run.returncode == ExitCode.USAGE and "NOSUCH-01" in run.stderr


@pytest.mark.parametrize(
    ("words", "unused"),
    [
        (("--help",), {"numpy", "pytest", "rich", "frame_harness.image", "frame_harness.campaigns"}),
        (
            ("check", "-k", "CONST-99"),
            {"frame_harness.campaigns", "frame_harness.memory_core.checks", "jinja2"},
        ),
        (("show", "/nowhere"), {"pytest", "frame_harness.session", "jinja2"}),
    ],
    ids=["help", "check", "show"],
)
def test_command_loads_nothing_that_it_has_no_use_for(words: tuple[str, ...], unused: set[str]) -> None:
    """Each would make it start later."""
    run = start(
        *words, before="import atexit, sys; atexit.register(lambda: print('loaded:', *sys.modules)); "
    )
    loaded = run.stdout.rpartition("loaded: ")[2].split()
    assert "click" in loaded and sorted(unused & set(loaded)) == [], run.stderr
