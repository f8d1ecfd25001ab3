"""Proves that no file which a user names is waited for without end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.reading import bytes_of, text_of
from frame_harness.cli.baseline_file import load_baseline
from frame_harness.cli.coverage import shown as coverage_shown
from frame_harness.cli.last_broken import broken_in
from frame_harness.cli.replay import replay
from frame_harness.debugging.gdb_command import read_launch_json
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.machine.definition import load_machine
from frame_harness.mutation_testing.explained import load as load_explained
from frame_harness.steering.folder import read as read_script

READERS: dict[str, Callable[[Path], object]] = {
    "baseline": lambda path: load_baseline(path, CLAUSES),
    "machine": load_machine,
    "module": frame_module,
    "script": lambda path: replay(path, None, None, None),
    "script of a corpus": read_script,
    "report of the last run": broken_in,
    "report with coverage": lambda path: list(coverage_shown(path, None)),
    "reasons of survivors": load_explained,
    "settings of an editor": read_launch_json,
}


@pytest.mark.parametrize("what", READERS)
def test_a_pipe_without_a_writer_is_refused_in_one_message(what: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HarnessError, match=r"nothing was written to the pipe|something else"):
        READERS[what](tmp_path / "pipe")


@pytest.mark.parametrize("what", READERS)
def test_a_device_is_refused_in_one_message(what: str) -> None:
    with pytest.raises(HarnessError, match=r"a device, not a file|something else"):
        READERS[what](Path("/dev/zero"))


def test_a_pipe_of_a_shell_is_read_to_its_end() -> None:
    reads, writes = os.pipe()
    text = b"x" * (1 << 17)

    def write() -> None:
        with os.fdopen(writes, "wb") as file:
            file.write(text)

    writer = threading.Thread(target=write)
    writer.start()
    assert bytes_of(Path(f"/dev/fd/{reads}")) == text
    writer.join()
    os.close(reads)


def test_a_pipe_with_a_name_is_read_where_somebody_wrote_to_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that what is written stays
    pipe.write_bytes(b"one\r\ntwo")
    assert text_of(pipe) == "one\ntwo"
    os.close(held)


def test_a_folder_and_nothing_are_told_as_ever(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        bytes_of(tmp_path)
    with pytest.raises(FileNotFoundError):
        bytes_of(tmp_path / "none")
    assert bytes_of(Path(os.devnull)) == b""


def test_what_is_refused_is_closed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    free = os.dup(0)  # the least number that nobody uses
    os.close(free)
    for refused in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match=r"."):
            bytes_of(refused)
        number = os.dup(0)
        os.close(number)
        assert number == free, refused


def test_a_pipe_whose_writer_ended_without_a_word_is_not_told_as_one_without_a_writer() -> None:
    reads, writes = os.pipe()
    os.close(writes)
    with pytest.raises(OSError, match="nothing was written to the pipe"):
        bytes_of(Path(f"/dev/fd/{reads}"))
    os.close(reads)
