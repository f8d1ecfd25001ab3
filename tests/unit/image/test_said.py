"""Proves for which errors of a compiler a text is to blame."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.image.said import said

SUBJECT = Path("/kernel/src/memory/frame.rs")


@pytest.mark.parametrize(
    ("file", "code", "blamed"),
    [
        (str(SUBJECT), "", True),
        ("/kernel/src/memory/frame/slot.rs", "", True),
        ("/kernel/src/memory/buddy.rs", "", False),
        ("/kernel/src/memory/buddy.rs", "E0308", True),
        (str(SUBJECT), "E0463", False),
        ("", "", False),
    ],
    ids=["syntax", "syntax-of-an-own-module", "another-file", "code-of-another-file", "library", "no-place"],
)
def test_a_text_is_to_blame_where_an_error_is_at_its_own_lines_or_has_a_code(
    file: str, code: str, blamed: bool
) -> None:
    spans = [{"is_primary": True, "file_name": file, "line_start": 1}] if file else []
    one = said({"message": "no", "spans": spans, "code": {"code": code} if code else None})
    assert one.is_of_the_text((SUBJECT,)) is blamed
