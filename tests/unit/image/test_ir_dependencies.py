"""Proves that what a frame module depends on is compiled once, and again where it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from frame_harness.base.commands import Finished
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image import cargo, ir_build
from frame_harness.image.cargo import Invocation
from frame_harness.image.ir_build import Dependencies, compile_ir
from frame_harness.image.toolchain import find_toolchain


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What cargo was asked for."""
    told: list[str] = []
    run = Invocation.run

    def noted(self: Invocation, *, what: str, **options: object) -> object:
        told.append(what)
        return run(self, what=what, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Invocation, "run", noted)
    ir_build._KNOWN.clear()
    yield told
    ir_build._KNOWN.clear()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build folder of its own: others use the one of all tests at the same time."""
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    return tmp_path


def again() -> Dependencies:
    """As in a new process."""
    ir_build._KNOWN.clear()
    return ir_build._dependencies(find_toolchain(), None)


def test_dependencies_are_compiled_once_and_again_where_they_are_gone(asked: list[str], cache: Path) -> None:
    first = again()
    assert first.are_there() and len(asked) == 1
    assert again() == first and len(asked) == 1, "a second process asks cargo for nothing"

    [note] = cache.glob("ir/crates/*/compiled.json")
    for damage in ("", "{}", '{"target": 7}'):
        asked.clear()
        note.write_text(damage, encoding="utf-8")
        assert again() == first and len(asked) == 1
        assert msgspec.json.decode(note.read_bytes(), type=Dependencies) == first

    own = set(first.crates.values())
    for gone in (first.crates["log"], next(file for file in first.files if file not in own)):
        asked.clear()
        Path(gone).unlink()
        assert not first.are_there()
        first = again()
        assert first.are_there() and len(asked) == 1
    asked.clear()
    Path(first.crates["log"]).unlink()
    found = ir_build._dependencies(find_toolchain(), None)
    assert found.are_there() and len(asked) == 1, "a process that lives on asks cargo, too"
    assert "define" in compile_ir(frame_module(), "release", find_toolchain())


def test_dependencies_of_other_flags_are_compiled_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []

    def run(_: Invocation, *, what: str, **__: object) -> Finished:
        runs.append(what)
        return Finished(0, "", "")

    monkeypatch.setattr(Invocation, "run", run)
    monkeypatch.setattr(ir_build, "_KNOWN", {})
    for flag in ("-Cdebuginfo=1", "-Cdebuginfo=1", "-Cdebuginfo=2"):
        monkeypatch.setattr(cargo, "shim_flags", lambda flag=flag: (flag,))
        again()
    assert len(runs) == 2


@pytest.mark.parametrize("damage", [b"", b"another library"])
def test_file_that_is_another_one_is_not_there(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "liblog.rlib"
    file.write_bytes(b"a library")
    stamps = {str(file): ir_build._stamp(str(file))}
    found = Dependencies("target", {}, (), stamps, "told")
    assert found.are_there()
    file.write_bytes(damage)
    assert not found.are_there()
