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
