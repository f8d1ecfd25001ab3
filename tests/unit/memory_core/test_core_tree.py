"""Proves that a memory core is found in a kernel tree, and that each wrong path is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.image.errors import SubjectError
from frame_harness.memory_core.tree import NEEDED, described, memory_core


def make_core(folder: Path, *but: str) -> Path:
    memory = folder / "memory"
    memory.mkdir(parents=True)
    for name in {*NEEDED, "mod.rs"} - set(but):
        (memory / name).write_text("")
    return memory


@pytest.mark.parametrize("given", ["", "kernel", "kernel/src", "kernel/src/memory"])
def test_core_is_found_from_the_repository_down_to_its_folder(tmp_path: Path, given: str) -> None:
    (tmp_path / ".git").mkdir()
    memory = make_core(tmp_path / "kernel" / "src")
    subject = memory_core(tmp_path / given)
    assert (subject.path, subject.parts, subject.name) == (memory, NEEDED, tmp_path.name)
    assert subject.files == tuple(memory / name for name in NEEDED)


def test_what_is_not_judged_is_said(tmp_path: Path) -> None:
    make_core(tmp_path / "src")
    assert described(memory_core(tmp_path)).endswith("compiled in place; not judged: mod.rs")


def test_features_that_are_off_are_said(tmp_path: Path) -> None:
    memory = make_core(tmp_path / "src")
    (memory / "buddy.rs").write_text(
        '#[cfg(all(target_arch = "x86_64", feature = "numa"))]\nmod numa;\n'
        'const X: bool = cfg!(feature = "checks");\n'
        '// #[cfg(feature = "old")]\nconst NAME: &str = "feature";\n'
    )
    assert described(memory_core(tmp_path)).endswith("; features of its kernel that are off: checks, numa")


def test_a_file_that_is_not_utf_8_is_named_with_the_byte(tmp_path: Path) -> None:
    memory = make_core(tmp_path / "src")
    (memory / "zone.rs").write_bytes(b"// \xe9t\xe9\n")
    with pytest.raises(SubjectError, match=r"zone\.rs: expected a Rust source in UTF-8, got byte 0xe9 at 3"):
        memory_core(tmp_path)


def test_builds_and_other_repositories_are_not_searched(tmp_path: Path) -> None:
    memory = make_core(tmp_path / "src")
    make_core(tmp_path / "target" / "package")
    assert memory_core(tmp_path).path == memory


def test_missing_file_is_named(tmp_path: Path) -> None:
    memory = make_core(tmp_path / "src", "buddy.rs")
    with pytest.raises(SubjectError) as error:
        memory_core(tmp_path)
    assert f"{memory} without buddy.rs" in error.value.summary


def test_two_cores_are_named(tmp_path: Path) -> None:
    for crate in ("old", "new"):
        make_core(tmp_path / crate / "src")
    with pytest.raises(SubjectError, match=r"new/src/memory, old/src/memory"):
        memory_core(tmp_path)


@pytest.mark.parametrize(
    ("given", "words"), [("nothing", "got nothing"), ("file", "got a file"), ("", "no folder memory/")]
)
def test_path_without_a_core_is_refused(tmp_path: Path, given: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SubjectError, match=words):
        memory_core(tmp_path / given)


def test_a_change_in_any_file_is_another_subject(tmp_path: Path) -> None:
    memory = make_core(tmp_path / "src")
    before = memory_core(tmp_path)
    (memory / "zone.rs").write_text("// more\n")
    assert before.refreshed().sha256 != before.sha256
