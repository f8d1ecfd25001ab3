"""Proves that what ends a compiler is not taken, and kept, for what is wrong with a subject."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from frame_harness.base.commands import Finished
from frame_harness.base.errors import BuildError
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image import code_lines as lines
from frame_harness.image import ir_build
from frame_harness.image.errors import CompileError
from frame_harness.image.image import Image
from frame_harness.image.line_table import LineTable, Spot
from frame_harness.image.store import content_of
from frame_harness.image.toolchain import find_toolchain


def said_of(file: Path) -> str:
    """An error of the compiler's at a line of a file."""
    span = {"file_name": str(file), "is_primary": True, "line_start": 3, "text": []}
    error = {
        "$message_type": "diagnostic", "level": "error", "message": "cannot find `TABLE`", "code": None,
        "spans": [span], "rendered": "error: cannot find `TABLE`",
    }  # fmt: skip
    return msgspec.json.encode(error).decode()


@pytest.mark.parametrize("ended", [Finished(-9, "", ""), Finished(1, "", said_of(Path("/other.rs")))])
def test_lines_are_not_called_unknown_because_a_compiler_was_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ended: Finished
) -> None:
    image = Image(tmp_path / "none", "0" * 64, "dev", frame_module())
    monkeypatch.setattr(ir_build, "host_argv", lambda *_: [])
    monkeypatch.setattr(ir_build, "run_writing", lambda *_, **__: ended)
    with pytest.raises(BuildError, match="the compiler ended with status") as caught:
        lines._everywhere(image, find_toolchain(), None)
    assert not isinstance(caught.value, CompileError) and caught.value.next_step


def test_lines_of_a_subject_that_compiles_in_its_kernel_alone_are_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = Image(tmp_path / "none", "0" * 64, "dev", frame_module())
    monkeypatch.setattr(ir_build, "host_argv", lambda *_: [])
    refusal = Finished(1, "", said_of(image.subject.path))
    monkeypatch.setattr(ir_build, "run_writing", lambda *_, **__: refusal)
    found = lines._everywhere(image, find_toolchain(), None)
    assert found == (frozenset(), "cannot find `TABLE`")


@pytest.fixture
def lines_of_meta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the frame module; whoever asks for the lines that have code gets all of its lines."""
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "cache"))
    frame, meta = tmp_path / "frame.rs", tmp_path / "frame" / "meta.rs"
    meta.parent.mkdir()
    frame.write_text("mod meta;\n", encoding="utf-8")
    meta.write_text("fn one() {}\n", encoding="utf-8")

    def everywhere(*_: object) -> tuple[frozenset[Spot], str]:
        text = meta.read_text(encoding="utf-8")
        return frozenset(Spot(str(meta), at, "f") for at, _ in enumerate(text.splitlines(), 1)), ""

    monkeypatch.setattr(lines, "read_line_table", lambda *_: LineTable((), ()))
    monkeypatch.setattr(lines, "_everywhere", everywhere)
    return meta


def image_of(meta: Path) -> Image:
    """An image whose ELF has nothing of a module: whatever its text, the ELF is the same."""
    subject = frame_module(meta.parents[1] / "frame.rs")
    return Image(meta.parent / "none", "0" * 64, "cov", subject, sources=((str(meta), content_of([meta])),))


def test_lines_of_a_module_that_changed_since_the_image_was_built_are_not_kept(lines_of_meta: Path) -> None:
    image, text = image_of(lines_of_meta), lines_of_meta.read_text(encoding="utf-8")
    lines_of_meta.write_text(f"{text}fn two() {{}}\n", encoding="utf-8")
    with pytest.raises(CompileError, match="changed while its lines were read"):
        lines.code_lines(image, find_toolchain())
    lines_of_meta.write_text(text, encoding="utf-8")
    assert [spot.line for spot in lines.code_lines(image, find_toolchain()).spots] == [1]


def test_lines_of_another_text_are_others_though_the_image_is_the_same(lines_of_meta: Path) -> None:
    before = lines.code_lines(image_of(lines_of_meta), find_toolchain())
    lines_of_meta.write_text("fn one() {}\nfn two() {}\n", encoding="utf-8")
    after = lines.code_lines(image_of(lines_of_meta), find_toolchain())
    assert [len(found.spots) for found in (before, after)] == [1, 2]
