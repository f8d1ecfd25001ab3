"""The exit status is true of what happened, whatever happened."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from frame_harness.base import report_files as files
from frame_harness.base import streams
from frame_harness.base.errors import BootError, HarnessError, UsageError
from frame_harness.base.report_files import ReportFiles
from frame_harness.cli import check as check_command
from frame_harness.cli import main as cli
from frame_harness.cli.check import CheckRequest
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import AllocFailed, GuestCrashed, GuestTimeout, SubjectPanic
from frame_harness.image.errors import CompileError, ToolchainError
from frame_harness.judge.exit_codes import ExitCode
from tests.support.doors import SOURCES

MAIN = (sys.executable, "-c", "from frame_harness.cli.main import main; main()")


def run_main(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def check(_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(check_command, "check", check)
    monkeypatch.setattr(cli, "patient_streams", lambda: None)  # these streams are pytest's
    monkeypatch.setattr(sys, "argv", ["frame-harness", "check"])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert isinstance(raised.value.code, int)
    return raised.value.code


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("option", "x", detail="makes no sense"), ExitCode.USAGE),
        (ToolchainError("toolchain", detail="none"), ExitCode.ERROR),
        (CompileError(subject="frame.rs", profile="dev", first="error[E0425]"), ExitCode.ERROR),
        (BootError("boot", detail="another kernel"), ExitCode.ERROR),
        (GuestCrashed("panic", detail="at frame.rs:1"), ExitCode.CRASH),
        (GuestTimeout("timeout", detail="3 s of CPU time"), ExitCode.TIMEOUT),
        (SubjectPanic(file="frame.rs", line=1, message="no", request="alloc new"), ExitCode.CRASH),
        (AllocFailed("OutOfMemory", "alloc new"), ExitCode.FAIL),
        (ClauseViolated("bytes", expected="0", got="1"), ExitCode.FAIL),
        (OSError(errno.EROFS, "Read-only file system", "/tmp/x"), ExitCode.ERROR),
        (OSError(errno.EACCES, "Permission denied", "/tmp/x"), ExitCode.ERROR),
        (OSError(errno.EMFILE, "Too many open files"), ExitCode.ERROR),
        (MemoryError(), ExitCode.ERROR),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (EOFError("pipe"), ExitCode.ERROR),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.name,
)
def test_every_error_has_a_status_and_one_line(
    error: BaseException,
    status: ExitCode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_main(monkeypatch, error) == status
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert ("bug in the harness" in said) is isinstance(error, EOFError)
    assert len([line for line in said.strip().splitlines() if not line.startswith("next: ")]) == 1


def test_error_that_nobody_thought_of_is_no_fail_and_keeps_its_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_main(monkeypatch, ZeroDivisionError("two\nlines")) == ExitCode.ERROR
    said = capsys.readouterr().err
    [kept] = tmp_path.iterdir()
    assert said == f"error: bug in the harness: ZeroDivisionError: two lines\nnext: report it with {kept}\n"
    assert "in check\n    raise error" in kept.read_text(encoding="utf-8")


def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_reader_that_left_changes_no_status() -> None:
    writer = closed_pipe()
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    finished = subprocess.run(
        [*MAIN, "exit-codes"], stdout=writer, stderr=subprocess.PIPE, env=env, check=False
    )
    os.close(writer)
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_verdict_stands_though_nobody_reads_the_report(tmp_path: Path) -> None:
    writer, report = closed_pipe(), tmp_path / "report.json"
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    env = {name: value for name, value in env.items() if not name.startswith(("PYTEST_", "FRAME_RS"))}
    arguments = ["--machine", "microvm", "--profile", "release", "-k", "CONST-01", "--json", str(report)]
    finished = subprocess.run(
        [*MAIN, "check", *arguments], stdout=writer, stderr=writer, env=env, check=False
    )
    os.close(writer)
    assert json.loads(report.read_text())["verdict"] == "PASS"
    assert finished.returncode == 0


def test_stream_whose_reader_left_swallows_all_that_follows() -> None:
    with streams.PatientStream(os.fdopen(closed_pipe(), "wb")) as stream:
        for _ in range(3):
            stream.write("x" * 100_000)
            stream.flush()


@pytest.mark.parametrize(
    ("words", "status"), [(("exit-codes",), ExitCode.ERROR), (("nosuch",), ExitCode.USAGE)]
)
def test_output_without_room_is_no_success(words: tuple[str, ...], status: ExitCode) -> None:
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [*MAIN, *words], stdout=full, stderr=subprocess.PIPE, env=env, check=False, text=True
        )
    assert finished.returncode == status and "Traceback" not in finished.stderr
    assert ("error: standard output: No space left" in finished.stderr) is (status is ExitCode.ERROR)


def test_sign_that_the_terminal_lacks_is_its_escape() -> None:
    raw = io.BytesIO()
    plain = io.TextIOWrapper(raw, encoding="ascii")  # which would close it at its own end
    stream = streams.patient(plain)
    stream.write("a → b")
    stream.flush()
    assert raw.getvalue() == rb"a \u2192 b"


def test_report_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    for report in (Path("/proc/report.json"), tmp_path, tmp_path / "gone" / "report"):
        with pytest.raises(UsageError, match="report"):
            check_command.check(CheckRequest(files=ReportFiles(json=report), select="("))


def test_report_never_replaces_what_the_run_reads(tmp_path: Path) -> None:
    source = tmp_path / "frame.rs"
    source.write_text("text")
    with pytest.raises(UsageError, match="itself reads"):
        check_command.check(
            CheckRequest(frame_rs=source, files=ReportFiles(junit=tmp_path / "." / "frame.rs"))
        )
    assert source.read_text() == "text"


@pytest.mark.parametrize(
    "name",
    [
        "archive.json",
        "SHA256SUMS",
        "begun.json",
        "failures/1.json",
        "failures",
        "images/a",
        "sources/a/b.xml",
    ],
)
def test_report_never_replaces_the_evidence_of_the_run(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="keeps evidence there"):
        check_command.check(CheckRequest(files=ReportFiles(json=tmp_path / name, out=tmp_path)))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_report_to_a_pipe_with_a_name_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="a pipe with a name"):
        files.make_way([tmp_path / "pipe"], ())


def test_a_report_to_a_pipe_with_a_name_that_this_process_holds_open_is_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    held = os.open(tmp_path / "pipe", os.O_RDWR)
    pipe = Path(f"/dev/fd/{held}")
    files.make_way([pipe], ())
    files.write({pipe: "text"})
    assert os.read(held, 100) == b"text"
    os.close(held)


def test_a_report_to_a_pipe_of_a_shell_is_written() -> None:
    reads, writes = os.pipe()
    pipe = Path(f"/dev/fd/{writes}")
    files.make_way([pipe], ())
    files.write({pipe: "text"})
    os.close(writes)
    assert os.read(reads, 100) == b"text"
    os.close(reads)


def test_a_report_to_a_pipe_whose_reader_has_gone_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reads = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writes = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.close(reads)
    pipe = Path(f"/proc/self/fd/{writes}")
    files.make_way([pipe], ())
    with pytest.raises(BrokenPipeError):
        files.write({pipe: "text"})
    os.close(writes)


def test_a_report_to_standard_output_comes_behind_what_was_said(tmp_path: Path) -> None:
    """It may be a file, which was cut off, or a socket, which cannot be opened."""
    code = "from pathlib import Path; from frame_harness.base import report_files as files; print('said'); "
    code += "files.make_way([Path('/dev/stdout')], ()); files.write({Path('/dev/stdout'): 'report\\n'}); "
    argv = [sys.executable, "-c", f"{code}print('more')"]
    with (tmp_path / "file").open("w+") as file:
        subprocess.run(argv, stdout=file, check=True)
        assert (tmp_path / "file").read_text() == "said\nreport\nmore\n"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run(argv, stdout=theirs.fileno(), check=True)
        assert ours.recv(100) == b"said\nreport\nmore\n"


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/999"])
def test_a_descriptor_that_cannot_be_written_is_no_report(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as file:  # noqa: PTH123
        monkeypatch.setattr(files, "_STREAMS", {"/dev/stdin": file.fileno()})
        with pytest.raises(UsageError, match="cannot be written"):
            files.make_way([Path(name)], ())


def test_two_reports_in_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named twice"):
        check_command.check(
            CheckRequest(files=ReportFiles(json=tmp_path / "report", junit=tmp_path / "." / "report"))
        )
    with pytest.raises(UsageError, match="named twice"):
        check_command.check(
            CheckRequest(files=ReportFiles(json=tmp_path / "report", html=tmp_path / "report"))
        )


def test_selection_of_a_clause_that_nobody_wrote_names_the_nearest() -> None:
    with pytest.raises(HarnessError, match="did you mean ALLOC-09"):
        check_command.check(CheckRequest(select="ALLOC-07 or ALLOC-99"))


def test_run_without_a_verdict_leaves_no_older_report(tmp_path: Path) -> None:
    reports = tmp_path / "old.json", tmp_path / "old.xml"
    for report in reports:
        report.write_text("PASS")
    with pytest.raises(UsageError, match="selection"):
        check_command.check(CheckRequest(files=ReportFiles(json=reports[0], junit=reports[1]), select="("))
    assert list(tmp_path.iterdir()) == []


def test_device_as_a_report_stays_a_device() -> None:
    files.make_way([Path("/dev/null")], [])
    files.write({Path("/dev/null"): "text"})
    assert Path("/dev/null").is_char_device()


def test_report_for_which_there_is_no_room_is_an_error_and_the_other_is_written(tmp_path: Path) -> None:
    other = tmp_path / "other"
    with pytest.raises(HarnessError, match=r"disk full: /dev/full: \d+ KiB free") as raised:
        files.write({Path("/dev/full"): "text", other: "text"})
    assert "name another file" in raised.value.next_step
    assert Path("/dev/full").is_char_device() and other.read_text() == "text"


def test_report_that_ctrl_c_cut_off_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(path: Path, _data: bytes) -> NoReturn:
        path.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", cut_off)
    with pytest.raises(KeyboardInterrupt):
        files.write({tmp_path / "report.json": "{}"})
    assert list(tmp_path.iterdir()) == []


def test_host_without_room_is_an_error_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device", "/full/images")

    report = tmp_path / "report.json"
    request = CheckRequest(files=ReportFiles(json=report), images=full)
    assert check_command.check(request) is ExitCode.ERROR
    assert json.loads(report.read_text())["verdict"] == "ERROR"
    out = capsys.readouterr().out
    assert "disk full: /full/images" in out and "next: make room there" in out
