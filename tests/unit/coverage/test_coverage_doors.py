"""Proves that coverage is measured through each door, and that a request for it makes sense."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from frame_harness.base.errors import UsageError
from frame_harness.cli.main import cli
from frame_harness.coverage.lines import Coverage, FunctionCoverage, LineCoverage, LineState, SourceCoverage
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.evidence import encode
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machines
from frame_harness.session.request import SessionRequest
from tests.support.doors import ROOT, SOURCES

pytest_plugins = ["pytester"]
HOME = os.environ.get("HOME", "")
USERS_TESTS = """
    import pytest

    @pytest.mark.clause("ALLOC-09")
    def test_a_new_frame_has_one_owner(kernel):
        assert kernel.slot(kernel.alloc(purpose="user")).get_refcount() == 1

    @pytest.mark.clause("REF-01")
    def test_a_frame_is_shared(shared_kernel):
        assert shared_kernel.call("slot.inc_ref", shared_kernel.alloc(purpose="user")).status == "ok"
"""


def request_for(*profiles: str, machines: Sequence[str] = ("q35", "microvm")) -> SessionRequest:
    return SessionRequest(
        subject=frame_module(),
        machines=load_machines(machines),
        profiles=profiles,
        any_machine=True,
        measures_coverage=True,
    )


def test_one_run_on_the_first_machine_is_added() -> None:
    runs = [str(key) for key in request_for("dev").keys_for([])]
    assert runs == ["q35/dev", "microvm/dev", "q35/cov"]
    assert [str(key) for key in request_for("dev").keys_for(["pc"])] == ["pc/dev"]


def test_runs_of_that_profile_are_measured_as_they_are() -> None:
    asked = request_for("cov")
    runs = asked.keys_for([])
    assert [str(key) for key in runs] == ["q35/cov", "microvm/cov"]
    assert all(map(asked.measures, runs)) and asked.builds == ("cov",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cov", "--kernel-src", "."), "--cov does not go with --kernel-src"),
        (("--lcov", "x.info", "--core"), "--lcov does not go with --core"),
        (("--cov", "--accel", "kvm"), "expected accelerator tcg"),
        (("--lcov", "/nowhere/x.info"), "its folder does not exist"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(words: Sequence[str], said: str) -> None:
    run = CliRunner().invoke(cli, ["check", *words], env={"FRAME_RS": "", "KERNEL_SRC": ""})
    assert said in run.output or said in str(run.exception)
    assert run.exit_code not in (ExitCode.PASS, ExitCode.FAIL) or run.exception is not None


def test_a_report_shows_which_checks_ran_a_line(tmp_path: Path) -> None:
    source, report = tmp_path / "frame.rs", tmp_path / "report.json"
    source.write_text("fn ran() {\n    1\n}\n\nfn spare() {}\n", encoding="utf-8")
    hit = LineCoverage(line=1, state=LineState.HIT, checks=(0, 1))
    lines = (
        hit,
        LineCoverage(line=2, state=LineState.NOT_HIT),
        LineCoverage(line=5, state=LineState.NOT_IN_KERNEL),
    )
    functions = (FunctionCoverage(name="ran", lines=(1, 2)), FunctionCoverage(name="spare", lines=(5,)))
    checks = ("boot", "test_one")
    coverage = Coverage(
        sources=(SourceCoverage(path=str(source), lines=lines, functions=functions, checks=checks),)
    )
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    files = f'[{{"path": "{source}", "sha256": "{sha256}"}}]'
    subject = f'{{"name": "frame.rs", "path": "{source}", "sha256": "{sha256}", "files": {files}}}'
    report.write_text(
        f'{{"schema": 2, "subject": {subject}, "coverage": {encode(coverage)}}}', encoding="utf-8"
    )

    whole, one = (CliRunner().invoke(cli, ["coverage", str(report), *line]) for line in ((), ("1",)))
    assert whole.output.splitlines()[1:] == [
        "  2 checks      1  fn ran() {",
        "   not hit      2      1",
        "                3  }",
        "                4",
        "   no code      5  fn spare() {}",
    ]
    assert one.output.splitlines()[1:] == [f"{source}:1 hit", "  boot", "  test_one"]


@pytest.mark.parametrize("text", ["", "{}", '{"coverage": {"sources": 1}}'])
def test_what_is_no_report_with_coverage_is_refused(tmp_path: Path, text: str) -> None:
    report = tmp_path / "report.json"
    report.write_text(text, encoding="utf-8")
    run = CliRunner().invoke(cli, ["coverage", str(report)])
    assert isinstance(run.exception, UsageError) and "with coverage" in str(run.exception)


@pytest.mark.slow
def test_a_user_s_pytest_tells_the_lines_that_its_tests_ran(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{SOURCES}:{ROOT}")
    monkeypatch.setenv("HOME", HOME)  # pytester gives an empty one, in which rustup finds no toolchain
    pytester.makepyfile(USERS_TESTS)
    file = Path(pytester.path) / "frame.info"
    words = ("-p", "no:cacheprovider", "--machine", "microvm", "--profile", "cov")
    result = pytester.runpytest_subprocess(*words, "--cov-subject", "--cov-subject-lcov", str(file))
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*lines of the subject that ran*", "coverage of frame.rs: *"])
    ran = {line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("FNDA:1,")}
    assert {"FNDA:1,MetaSlot::inc_ref", "FNDA:1,FrameAllocOptions::allocate"} <= ran
    assert "FNDA:1,MetaSlot::dec_ref" not in ran
