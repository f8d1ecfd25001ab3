"""What a person starts gdb with, and where gdb finds a guest."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from frame_harness.base.errors import MissingToolError, UsageError
from frame_harness.debugging import sockets
from frame_harness.debugging.gdb_command import GdbCommand
from frame_harness.debugging.sockets import LONGEST_PATH, socket_folder
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build


@pytest.fixture
def command(tmp_path: Path) -> GdbCommand:
    return GdbCommand.write(build(frame_module(), "dev"), tmp_path / "gdb", [0xFFFF_FFFF_8000_1000])


def test_command_names_the_kernel_the_socket_and_the_places_to_stop_at(command: GdbCommand) -> None:
    words = command.argv()
    assert words[0] == "gdb" and words[-1] == str(command.image.elf)
    assert f"target remote {command.socket}" in words
    assert command.stops is not None
    assert command.stops.read_text(encoding="ascii") == "hbreak *0xffffffff80001000\ncontinue\n"


def test_launch_json_is_renewed_and_keeps_what_else_is_in_it(command: GdbCommand, tmp_path: Path) -> None:
    launch = tmp_path / "launch.json"
    launch.write_text('{"inputs": [], "configurations": [{"name": "mine", "type": "lldb"}]}')
    for _ in range(2):
        command.write_launch_json(launch)
    found = json.loads(launch.read_text(encoding="utf-8"))
    assert [one["type"] for one in found["configurations"]] == ["cppdbg", "lldb", "lldb"]
    assert found["configurations"][-1]["name"] == "mine" and found["inputs"] == []
    assert found["configurations"][0]["miDebuggerServerAddress"] == str(command.socket)


@pytest.mark.parametrize(
    "text", ["// mine\n{}", '{"configurations": null}', pytest.param("[" * 100_000, id="too deep")]
)
def test_launch_json_that_would_lose_something_is_left_alone(
    text: str, command: GdbCommand, tmp_path: Path
) -> None:
    launch = tmp_path / "launch.json"
    launch.write_text(text)
    with pytest.raises(UsageError, match=r"expected a launch\.json without comments"):
        command.write_launch_json(launch)
    assert launch.read_text() == text


def test_socket_has_a_path_that_is_short_enough_and_is_gone_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * LONGEST_PATH)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with socket_folder() as folder:
        (folder / "gdb0.setup").touch()
        assert len(str(folder / "gdb99")) <= LONGEST_PATH and folder.is_dir()
    assert not folder.exists() and list(deep.iterdir()) == []


def test_host_that_starts_no_program_is_told_and_left_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    place = tmp_path / "t"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setattr(sockets, "LONGEST_PATH", 1000)
    with monkeypatch.context() as without, pytest.raises(MissingToolError, match="host: sh: not found"):
        without.setenv("PATH", str(place))
        sockets.socket_folder().__enter__()
    monkeypatch.setattr("subprocess.Popen", none_left)
    with pytest.raises(OSError, match="Too many"):
        sockets.socket_folder().__enter__()
    assert list(place.iterdir()) == []
