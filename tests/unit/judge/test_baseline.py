"""A baseline is read as it is meant, or refused in one line."""

import pytest

from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge.baseline import BaselineError, parse
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey


def violation(profile: str = "dev", cause: str = "") -> CheckResult:
    return CheckResult(
        check="test_x", clauses=("VT-03",), run=RunKey("q35", profile), outcome=Outcome.VIOLATED,
        duration_s=0, cause=cause,
    )  # fmt: skip


def test_entries_keep_id_reason_and_profile() -> None:
    text = (
        '[[finding]]\nid = "ALLOC-07"\nreason = "order"\n[[finding]]\nid="VT-03"\nreason="x"\nprofile="dev"\n'
    )
    baseline = parse(text, "known.toml", CLAUSES)
    assert [(entry.id, entry.reason, entry.profile) for entry in baseline.entries] == [
        ("ALLOC-07", "order", None),
        ("VT-03", "x", "dev"),
    ]
    assert baseline.entry("VT-03", violation("release")) is None
    assert baseline.entry("VT-03", violation("dev")) is baseline.entries[1]
    assert baseline.entry("VT-03", violation("dev", cause="any")) is baseline.entries[1]


def test_an_entry_with_a_cause_covers_that_one_alone() -> None:
    entries = [f'[[finding]]\nid = "VT-03"\nreason = "{cause}"\ncause = "{cause}"\n' for cause in "ab"]
    baseline = parse("".join(entries), "known.toml", CLAUSES)
    assert [baseline.entry("VT-03", violation(cause=cause)) for cause in ("a", "b", "c", "")] == [
        *baseline.entries,
        None,
        None,
    ]


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
        (ENTRY + ENTRY + 'cause = "c"\n', "finding 2: ALLOC-07 is listed before"),
        (
            ENTRY + 'cause = "c"\n' + ENTRY + 'cause = "c"\nprofile = "dev"\n',
            "finding 2: ALLOC-07 is listed before",
        ),
        (ENTRY + "cause = 3\n", "expected a text for `cause`, got 3"),
    ],
)
def test_a_mistake_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(BaselineError, match=words) as caught:
        parse(text, "known.toml", CLAUSES)
    assert "\n" not in caught.value.summary
