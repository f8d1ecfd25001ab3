"""Every clause is explained, with Rust that can be read, in a form that fits a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from rich.console import Console

from frame_harness.base.commands import run
from frame_harness.cli.explained import explain, explained_of
from frame_harness.cli.main import cli
from frame_harness.contract.contract import Contract
from frame_harness.contract.explanations import Explanation, ExplanationError, parsed
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.image.compiler import TARGET
from frame_harness.image.toolchain import find_toolchain
from frame_harness.memory_core import functions, owning_asks
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.report.clause_table import clause_table
from frame_harness.report.explanation import Explained, explanations_of

BOTH = (FRAME_METADATA, MEMORY_CORE)
TEXTS: Mapping[str, Explanation] = {**explanations_of(FRAME_METADATA), **explanations_of(MEMORY_CORE)}
WIDEST_CODE = 76
LONGEST_CODE = 10
LONGEST_WORDS = 330
"""Characters of a paragraph: three short sentences."""
WHOLE = """
[ALLOC-07]
why = "so"
breaks = '''
much
  breaks
'''
wrong = "fn f() {}"
right = "fn g() {}"
concerns = ["f"]
"""

each_contract = pytest.mark.parametrize("contract", BOTH, ids=lambda one: one.name)


@pytest.fixture(scope="module")
def everything() -> list[Explained]:
    return explained_of(["all"])


@pytest.fixture
def collected(everything: list[Explained], monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite is collected once for all tests of this file."""
    pairs = [(check, [one.clause.id]) for one in everything for check in one.checks]
    table = clause_table(
        FRAME_METADATA.clauses, [pair for pair in pairs if pair[1][0] in FRAME_METADATA.clauses]
    )
    monkeypatch.setattr("frame_harness.cli.explained.suite_clauses", lambda: table)


def asked(*words: str) -> Result:
    return CliRunner().invoke(cli, ["explain", *words])


def snippets(id_: str) -> dict[str, str]:
    return {"wrong": TEXTS[id_].wrong, "right": TEXTS[id_].right}


@each_contract
def test_every_clause_has_an_explanation_and_every_explanation_a_clause(contract: Contract) -> None:
    assert sorted(explanations_of(contract)) == sorted(contract.clauses)


@each_contract
def test_why_and_breaks_are_a_few_sentences_that_do_not_repeat_the_clause(contract: Contract) -> None:
    for id_, text in explanations_of(contract).items():
        for words in (text.why, text.breaks):
            assert 40 < len(words) <= LONGEST_WORDS, id_
            assert words.endswith("."), id_
            assert contract.clauses[id_].title not in words, id_


def test_snippets_are_short_and_differ() -> None:
    for id_, text in TEXTS.items():
        assert text.wrong != text.right, id_
        for code in snippets(id_).values():
            lines = code.splitlines()
            assert 0 < len(lines) <= LONGEST_CODE, id_
            assert max(map(len, lines)) <= WIDEST_CODE, id_
            assert [line for line in lines if line != line.rstrip() or "\t" in line] == [], id_


def test_every_snippet_is_rust(tmp_path: Path) -> None:
    """They are compiled out: the compiler reads every line of them, and looks nothing up."""
    functions = (
        f"fn {which}_{id_.replace('-', '_')}() {{\n{code}\n}}"
        for id_ in TEXTS
        for which, code in snippets(id_).items()
    )
    assert errors_in("\n".join(functions), tmp_path) == ""


def test_a_snippet_that_is_no_rust_would_be_seen(tmp_path: Path) -> None:
    assert "error" in errors_in("fn wrong() {\nlet x = (1;\n}", tmp_path)


def errors_in(text: str, folder: Path) -> str:
    file = folder / "snippets.rs"
    file.write_text(f"#![no_std]\n#[cfg(any())]\nmod snippets {{\n{text}\n}}\n", encoding="utf-8")
    argv: list[str | Path] = [
        find_toolchain().rustc, "--edition=2021", "--crate-type=lib", "--emit=metadata", f"--target={TARGET}",
        f"--out-dir={folder}", file,
    ]  # fmt: skip
    finished = run(argv, what="reading the snippets")
    return "" if finished.status == 0 else finished.err


def names_of(contract: Contract) -> Iterator[str]:
    known = contract.functions
    for table in (known.of_command, known.of_step, known.calls, known.of_clause):
        yield from (name for names in table.values() for name in names)
    yield from (*known.of_command, *known.calls, *known.named.values(), *known.must_return, *known.decides)
    yield from (name.path for name in contract.versions.names)


CORE_NAMES = {
    *(value for name, value in vars(functions).items() if name.isupper() and isinstance(value, str)),
    *owning_asks.FUNCTIONS.values(),
}


@each_contract
def test_functions_that_are_named_are_those_of_the_contract(contract: Contract) -> None:
    known = set(names_of(FRAME_METADATA))  # a core's clauses are about these, too
    if contract is MEMORY_CORE:
        known |= {*names_of(MEMORY_CORE), *CORE_NAMES}
    for id_, text in explanations_of(contract).items():
        assert text.concerns, id_
        assert set(text.concerns) <= known, id_
        assert len(set(text.concerns)) == len(text.concerns), id_


def test_related_clauses_exist_and_are_others() -> None:
    for id_, text in TEXTS.items():
        assert text.related and len(set(text.related)) == len(text.related), id_
        assert set(text.related) <= set(TEXTS) - {id_}, id_


def test_explanations_name_functions_that_can_break_the_clause() -> None:
    """Where the contract says which can, one of these is named at least."""
    for id_, can_break in FRAME_METADATA.functions.of_clause.items():
        assert can_break & set(TEXTS[id_].concerns), id_


def test_an_entry_is_read_with_its_paragraphs_on_one_line() -> None:
    assert parsed(WHOLE, "a.toml")["ALLOC-07"].breaks == "much breaks"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WHOLE.replace("why", "wy"), r"a.toml, ALLOC-07: .*(`wy`|`why`)"),
        (WHOLE.replace('why = "so"', ""), "a.toml, ALLOC-07: .*missing required field `why`"),
        (WHOLE.replace('["f"]', '"f"'), "a.toml, ALLOC-07: .*array"),
        (WHOLE.replace('"so"', '"so'), "a.toml: "),
        ('stray = "text"', "a.toml, stray: .*object"),
    ],
    ids=["unknown key", "missing key", "wrong type", "no TOML", "no entry"],
)
def test_a_mistake_in_the_texts_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ExplanationError, match=said):
        parsed(text, "a.toml")


def test_two_files_may_not_explain_one_clause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts_of_a_test").mkdir()
    for name in ("a.toml", "b.toml"):
        (tmp_path / "texts_of_a_test" / name).write_text(WHOLE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    contract = Contract(**{**vars(FRAME_METADATA), "explanations": "texts_of_a_test"})
    with pytest.raises(ExplanationError, match=r"b.toml: ALLOC-07 is explained elsewhere, too"):
        explanations_of(contract)


def test_a_contract_without_texts_explains_nothing() -> None:
    contract = Contract(**{**vars(FRAME_METADATA), "explanations": None})
    assert explanations_of(contract) == {}


@pytest.mark.usefixtures("collected")
def test_an_explanation_says_all_that_there_is_to_a_clause() -> None:
    shown = asked("ALLOC-07").output
    text = TEXTS["ALLOC-07"]
    for part in (
        "ALLOC-07   PageTable before zeroed(false) zeroes too",
        "frame metadata, D Allocation; kind: hazard",
        *(line for code in (text.wrong, text.right) for line in code.splitlines()),
        *text.concerns,
        "test_page_table_is_zeroed_though_zeroed_false_came_last",
        "ALLOC-06   PageTable after zeroed(false) still zeroes",
        "check --frame-rs FRAME_RS -k ALLOC-07",
    ):
        assert part in shown
    words = " ".join(shown.split())
    assert text.why in words and text.breaks in words


@pytest.mark.usefixtures("collected")
def test_clauses_of_both_contracts_can_be_asked_for_at_once_in_any_case() -> None:
    shown = asked("core-04", "ref-07", "CORE-04").output
    assert shown.index("REF-07  ") < shown.index("CORE-04 ")
    assert shown.count("run them") == 2
    assert "cases[CORE-04]" in shown and "--kernel-src KERNEL_SRC -k CORE-04" in shown


@pytest.mark.parametrize("others", [["ALLOC-07"], ["all"]])
@pytest.mark.parametrize(
    ("id_", "said"),
    [
        ("ALOC-07", "did you mean ALLOC-07"),
        ("CORE-93", "did you mean CORE-39"),
        ("nothing", "use an id from CONST-01 to CORE-39"),
    ],
)
def test_an_unknown_id_is_refused_with_the_nearest_one(id_: str, said: str, others: list[str]) -> None:
    refused = asked(*others, id_).exception
    assert said in str(refused) and id_.upper() in str(refused)


@pytest.mark.usefixtures("collected")
def test_json_has_every_part_of_every_clause(
    everything: list[Explained], capsys: pytest.CaptureFixture[str]
) -> None:
    explain(["all"], Console(), json=True)
    found = msgspec.json.decode(capsys.readouterr().out)
    assert [one["id"] for one in found] == [one.clause.id for one in everything]
    assert [one["id"] for one in found] == [*FRAME_METADATA.clauses, *MEMORY_CORE.clauses]
    for one in found:
        assert one["checks"] and one["title"] and one["section"]
        assert one["right"] == TEXTS[one["id"]].right


def rendered(explained: Iterable[Explained], *, terminal: bool) -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=80, force_terminal=terminal, highlight=False, markup=False, emoji=False,
        color_system="standard" if terminal else None, _environ={},
    )  # fmt: skip
    for one in explained:
        console.print(one.terminal(), crop=False)
    return file.getvalue()


def test_every_explanation_fits_80_columns(everything: list[Explained]) -> None:
    shown = rendered(everything, terminal=False)
    assert [line for line in shown.splitlines() if len(line.rstrip()) > 80] == []


def test_color_is_for_a_terminal_alone(everything: list[Explained]) -> None:
    assert "\x1b[" in rendered(everything[:1], terminal=True)
    assert "\x1b[" not in rendered(everything[:1], terminal=False)
    assert "\x1b[" not in asked("CORE-04").output


@pytest.mark.usefixtures("collected")
def test_what_goes_into_a_pipe_is_wrapped_too() -> None:
    shown = asked("REF-07", "GUARD-08", "CORE-39").output
    assert [line for line in shown.splitlines() if len(line) > 80 or line != line.rstrip()] == []


@pytest.mark.parametrize(("begun", "found"), [("alloc-0", 9), ("CORE-3", 10), ("al", 17), ("x", 0)])
def test_the_shell_completes_ids_of_both_contracts(begun: str, found: int) -> None:
    offered = ShellComplete(cli, {}, "frame-harness", "_X").get_completions(["explain", "REF-07"], begun)
    assert len(offered) == found
    assert {one.value for one in offered} <= {*TEXTS, "all"}
