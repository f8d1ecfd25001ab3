"""A baseline is read as it is meant, or refused in one line."""

import pytest

from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge.baseline import BaselineError, parse
from frame_harness.judge.evidence import RunKey


def test_entries_keep_id_reason_and_profile() -> None:
    text = (
        '[[finding]]\nid = "ALLOC-07"\nreason = "order"\n[[finding]]\nid="VT-03"\nreason="x"\nprofile="dev"\n'
    )
    baseline = parse(text, "known.toml", CLAUSES)
    assert [(entry.id, entry.reason, entry.profile) for entry in baseline.entries] == [
        ("ALLOC-07", "order", None),
        ("VT-03", "x", "dev"),
    ]
    assert baseline.entry("VT-03", RunKey("q35", "release")) is None
    assert baseline.entry("VT-03", RunKey("q35", "dev")) is baseline.entries[1]


def test_an_empty_file_knows_nothing() -> None:
    assert parse("", "known.toml", CLAUSES).entries == ()


ENTRY = '[[finding]]\nid = "ALLOC-07"\nreason = "x"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[finding]", "known.toml"),
        ("[[findings]]\n", "did you mean `finding`"),
        ("finding = 3", r"expected \[\[finding\]\] tables"),
        ('[[finding]]\nid = "ALLOC-07"\nresaon = "x"\n', "did you mean `reason`"),
        ('[[finding]]\nid = "ALLOC-07"\n', "finding 1: expected a text for `reason`, got none"),
        ('[[finding]]\nid = "ALLOC-07"\nreason = " "\n', "expected a text for `reason`"),
        ('[[finding]]\nreason = "x"\n', "expected a text for `id`"),
        ('[[finding]]\nid = 7\nreason = "x"\n', "expected a text for `id`, got 7"),
        ('[[finding]]\nid = "ALOC-07"\nreason = "x"\n', "did you mean ALLOC-07"),
        (ENTRY + 'profile = "debug"\n', "expected profile dev or release"),
        (ENTRY + ENTRY, "finding 2: ALLOC-07 is listed before"),
        (ENTRY + ENTRY + 'profile = "dev"\n', "finding 2: ALLOC-07 is listed before"),
    ],
)
def test_a_mistake_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(BaselineError, match=words) as caught:
        parse(text, "known.toml", CLAUSES)
    assert "\n" not in caught.value.summary
