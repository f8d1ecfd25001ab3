"""Proves that the file of known findings is read, or refused in one line."""

from pathlib import Path

import pytest

from frame_harness.cli.baseline_file import load_baseline
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge.baseline import EMPTY, BaselineError


def test_without_a_file_nothing_is_known() -> None:
    assert load_baseline(None, CLAUSES) is EMPTY


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"\xff\xfe", "no text")])
def test_a_file_that_cannot_be_read_is_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BaselineError, match=words) as caught:
        load_baseline(path, CLAUSES)
    assert str(path) in caught.value.summary


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text('[[finding]]\nid = "ALLOC-07"\nreason = "known"\n', encoding="utf-8")
    found = load_baseline(path, CLAUSES)
    assert [entry.id for entry in found.entries] == ["ALLOC-07"] and found.source == str(path)
