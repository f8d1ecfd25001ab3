"""What `debug` and `rewind` cannot do is one message, at the start where it can be; no guest is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.cli.debug import DebugRequest, debug, make_recording
from frame_harness.cli.main import cli
from frame_harness.cli.rewind import _recorded, rewind
from frame_harness.debugging import session
from frame_harness.debugging.guests import Position
from frame_harness.debugging.recording import NOTE, RecordingError, load
from frame_harness.debugging.stops import require_place
from frame_harness.judge.evidence import Outcome
from frame_harness.session.request import SessionRequest
from tests.unit.evidence_samples import healthy, with_outcome


def fails_without_a_guest(*_: Any, listener: Any, **__: Any) -> tuple[pytest.ExitCode, object]:
    listener.made = True
    listener._ours = SimpleNamespace(run=lambda _: SimpleNamespace(image=None))
    listener._session = SimpleNamespace()
    first = healthy().checks[0]
    [result] = [
        one
        for one in with_outcome(healthy(), first.check, Outcome.VIOLATED, first.run).checks
        if (one.check, one.run) == (first.check, first.run)
    ]
    listener._take(result)
    return pytest.ExitCode.TESTS_FAILED, SimpleNamespace()


@pytest.mark.parametrize(
    "command",
    [lambda asked: debug(asked, "", before_last=False, vscode=None), make_recording],
    ids=["debug", "record"],
)
def test_a_check_that_fails_without_a_guest_is_no_race(
    command: Callable[[DebugRequest], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "run_suite", fails_without_a_guest)
    asked = cast(SessionRequest, SimpleNamespace())
    request = cast(DebugRequest, SimpleNamespace(check="REF-09", of_a_session=lambda: asked))
    with pytest.raises(HarnessError, match="it fails without a guest") as caught:
        command(request)
    assert "orderings" in caught.value.next_step


@pytest.mark.parametrize(
    "place", ["frame.rs", "frame.rs:", ":3", "frame.rs:x", "frame.rs:-1", "frame.rs:3:4x", "frame.rs:00"]
)
def test_a_place_that_is_no_line_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match=r"expected FILE:LINE, such as frame\.rs:306, got another text"):
        require_place(place)


def test_a_field_is_looked_at_before_any_check_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frame_harness.cli.rewind.build", lambda *_: None)
    monkeypatch.setattr("frame_harness.cli.rewind.slot_fields", lambda _: {"refcount": (32, 4)})
    asked = cast(SessionRequest, SimpleNamespace(subject=None))
    request = cast(DebugRequest, SimpleNamespace(check="REF-09", profile="dev", of_a_session=lambda: asked))
    with pytest.raises(UsageError, match="field: nosuch: expected one of refcount, got another name"):
        rewind(request, "nosuch", "", None)


@pytest.mark.parametrize(
    ("elf", "commands", "is_kept"),
    [("1", ("a", "b"), True), ("2", ("a", "b"), False), ("1", ("a",), False), ("1", ("a", "c"), False)],
    ids=["this-one", "other-kernel", "fewer-commands", "other-commands"],
)
def test_only_a_recording_of_this_very_failure_is_taken_for_it(
    elf: str, commands: tuple[str, ...], is_kept: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / NOTE).touch()
    failure = SimpleNamespace(
        image=SimpleNamespace(sha256="1"),
        check=None,
        at=Position(1, 1),
        commands=((), ("a", "b", "exit pass")),
    )
    kept: Any = SimpleNamespace(elf_sha256=elf, commands=commands)
    made: Any = "the one that is made now"
    for name, value in {
        "build": lambda *_: None, "slot_fields": lambda _: {"refcount": (32, 4)}, "found": lambda *_: failure,
        "folder_of": lambda *_: tmp_path, "load": lambda _: kept, "record": lambda *_: (tmp_path, made),
    }.items():  # fmt: skip
        monkeypatch.setattr(f"frame_harness.cli.rewind.{name}", value)
    asked = cast(SessionRequest, SimpleNamespace(subject=None))
    request = cast(DebugRequest, SimpleNamespace(profile="dev", of_a_session=lambda: asked))
    assert _recorded(request, "refcount") == (tmp_path, kept if is_kept else made)


def test_a_place_is_looked_at_before_anything_is_built() -> None:
    def built() -> SessionRequest:
        raise AssertionError("it was built")

    request = cast(DebugRequest, SimpleNamespace(check="REF-09", of_a_session=built))
    with pytest.raises(UsageError, match="expected FILE:LINE"):
        debug(request, "frame.rs", before_last=False, vscode=None)
    require_place("memory/frame.rs:306")


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ("0x1060001", "got no multiple of 0x1000"),
        ("-0x1000", "got no multiple of 0x1000"),
        ("here", "got no number"),
    ],
)
def test_an_address_that_is_no_frames_is_refused(frame: str, words: str) -> None:
    done = CliRunner().invoke(cli, ["rewind", "REF-07", "refcount", "--frame", frame])
    assert isinstance(done.exception, UsageError) and words in str(done.exception)
    assert "such as 0x1060000" in str(done.exception)


def test_a_folder_without_a_recording_is_told_with_what_lacks(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=f"no recording: there is no {NOTE}"):
        load(tmp_path)
    with pytest.raises(RecordingError, match="no recording: there is no such folder"):
        load(tmp_path / "nothing")
