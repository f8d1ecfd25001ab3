"""Checks are made in forked processes as if pytest had made them itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.evidence import Evidence
from frame_harness.machine.definition import load_machines
from frame_harness.session.forked import ForkedWorkers
from frame_harness.session.plugin import SESSION
from frame_harness.session.request import REQUEST, SessionRequest
from frame_harness.session.session import Session

pytest_plugins = ["pytester"]

OUTCOMES = """\
import pytest

@pytest.mark.parametrize("n", range(6))
def test_passes(n):
    pass

def test_fails():
    assert 1 == 2

@pytest.mark.skip(reason="not here")
def test_is_skipped():
    pass
"""
TALKS = """\
import pytest, sys

@pytest.mark.parametrize("n", range(20))
def test_talks(n):
    print(f"to stdout {n}")
    print(f"to stderr {n}", file=sys.stderr)
    assert False
"""
DIES = """\
import os, signal, pytest

@pytest.fixture(scope="module")
def shared():
    pass

def test_before(shared):
    pass

def test_dies(shared):
    os.kill(os.getpid(), signal.SIGKILL)

def test_behind(shared):
    pass
"""
SHARES = """\
import os, pathlib, pytest

@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return os.getpid()

@pytest.mark.parametrize("n", range(8))
def test_shares(made, n, record_property):
    record_property("made", made)

@pytest.mark.parametrize("n", range(8))
def test_has_a_folder_of_its_own(tmp_path, n, record_property):
    (tmp_path / "mine").write_text(str(n))
    record_property("folder", str(tmp_path))
"""
STAYS = """\
import threading

def test_leaves_a_thread():
    threading.Thread(target=threading.Event().wait).start()
"""
GOES_SILENT = """\
import os, pathlib, threading

def test_closes_the_pipe_and_leaves_a_thread():
    threading.Thread(target=threading.Event().wait).start()
    for fd in list(pathlib.Path("/proc/self/fd").iterdir()):
        if fd.is_socket():
            os.close(int(fd.name))
"""
CLOSES_ALL = """\
import os, threading

def test_closes_every_descriptor_and_leaves_a_thread():
    threading.Thread(target=threading.Event().wait).start()
    os.closerange(0, 1024)
"""
ENDS = """\
import os

def test_ends():
    os._exit(3)
"""


class Listener:
    """Asks for evidence, and keeps what the parent's process heard."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []
        self._session: Session | None = None

    @property
    def evidence(self) -> Evidence:
        assert self._session is not None and self._session.evidence is not None
        return self._session.evidence

    @property
    def notes(self) -> tuple[str, ...]:
        assert self._session is not None
        return self._session.notes

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[REQUEST] = SessionRequest(
            subject=frame_module(), machines=load_machines(["microvm"]), profiles=("dev",), any_machine=True,
            evidence=True,
        )  # fmt: skip

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session.config.stash[SESSION]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(report)

    def calls(self) -> list[tuple[str, str]]:
        return [(report.nodeid.partition("::")[2], report.outcome) for report in self.of_calls()]

    def of_calls(self) -> list[pytest.TestReport]:
        return [report for report in self.reports if report.when == "call"]

    def properties(self, name: str) -> Sequence[object]:
        return [value for report in self.of_calls() for key, value in report.user_properties if key == name]


def made_by(
    pytester: pytest.Pytester, workers: int, source: str, meanwhile: Callable[[], None] = lambda: None
) -> Listener:
    pytester.makepyfile(source)
    listener = Listener()
    forked = ForkedWorkers(lambda _: workers, [listener], meanwhile)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        pytester.inline_run("-p", "frame_harness.session.plugin", plugins=[listener, forked])
    return listener


@pytest.mark.parametrize("workers", [1, 3])
def test_each_check_is_made_once_and_its_outcome_heard(pytester: pytest.Pytester, workers: int) -> None:
    listener = made_by(pytester, workers, OUTCOMES)
    passed = [(f"test_passes[{n}]", "passed") for n in range(6)]
    assert sorted(listener.calls()) == sorted([*passed, ("test_fails", "failed")])
    [skipped] = [report for report in listener.reports if report.skipped]
    assert "not here" in str(skipped.longrepr)
    [failed] = [report for report in listener.reports if report.failed]
    assert "assert 1 == 2" in failed.longreprtext


def test_what_is_done_meanwhile_is_done_once_and_not_in_a_worker(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    def note() -> None:
        with (tmp_path / "done").open("a") as file:
            file.write(f"{os.getpid()}\n")

    made_by(pytester, 3, OUTCOMES, note)
    assert (tmp_path / "done").read_text().split() == [str(os.getpid())]


def test_captured_output_is_that_of_the_check_alone(pytester: pytest.Pytester) -> None:
    reports = made_by(pytester, 3, TALKS).of_calls()
    assert len(reports) == 20
    for report in reports:
        number = report.nodeid.partition("[")[2].rstrip("]")
        captured = (report.capstdout, report.capstderr)
        assert captured == (f"to stdout {number}\n", f"to stderr {number}\n")


def test_fixture_of_a_module_is_made_once_and_folders_are_not_shared(pytester: pytest.Pytester) -> None:
    listener = made_by(pytester, 3, SHARES)
    assert len(listener.properties("made")) == 8 and len(set(listener.properties("made"))) == 1
    assert len(set(listener.properties("folder"))) == 8


def test_what_a_dead_worker_did_not_begin_is_made_by_another(pytester: pytest.Pytester) -> None:
    listener = made_by(pytester, 2, DIES)
    assert listener.calls() == [("test_before", "passed"), ("test_behind", "passed")]
    [trouble] = listener.evidence.errors
    assert (trouble.what, trouble.message) == ("suite", "worker 0 died")
    assert trouble.detail == f"exit status -9, in {pytester.path.name.rstrip('0')}.py::test_dies"


def test_the_only_worker_that_ends_early_is_an_error(pytester: pytest.Pytester) -> None:
    listener = made_by(pytester, 1, ENDS)
    assert listener.calls() == []
    assert [trouble.message for trouble in listener.evidence.errors] == ["worker 0 died"]


def test_a_worker_that_does_not_end_though_it_told_all_is_killed_and_noted(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frame_harness.session.forked.END_S", 0.5)
    listener = made_by(pytester, 1, STAYS)
    assert listener.calls() == [("test_leaves_a_thread", "passed")]
    assert listener.evidence.errors == ()
    assert listener.notes == ("the end of worker 0: it was killed after 0.5 s",)


@pytest.mark.parametrize("source", [GOES_SILENT, CLOSES_ALL], ids=["its pipe", "all"])
def test_a_worker_that_is_lost_and_does_not_end_is_told_once(
    source: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frame_harness.session.forked.END_S", 0.5)
    listener = made_by(pytester, 1, source)
    [trouble] = listener.evidence.errors
    assert (trouble.message, listener.notes) == ("worker 0 died", ())
    assert trouble.detail.startswith("killed after 0.5 s, in ")


def test_an_end_of_file_of_the_worker_s_own_is_told_with_its_trace(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_runtest_protocol():\n    raise EOFError('of a plugin')\n")
    [trouble] = made_by(pytester, 1, OUTCOMES).evidence.errors
    assert trouble.message == "worker 0 broke down" and "EOFError: of a plugin" in trouble.detail


def test_a_plugin_that_breaks_down_in_a_worker_is_an_error_with_its_trace(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_runtest_protocol():\n    raise RuntimeError('of a plugin')\n")
    listener = made_by(pytester, 2, OUTCOMES)
    assert listener.calls() == []
    assert {trouble.message for trouble in listener.evidence.errors} == {
        "worker 0 broke down", "worker 1 broke down"
    }  # fmt: skip
    assert all("of a plugin" in trouble.detail for trouble in listener.evidence.errors)
