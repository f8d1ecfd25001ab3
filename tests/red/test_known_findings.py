"""Proves that a real frame.rs shows the findings that its kernel has, which a baseline then makes known."""

from __future__ import annotations

from pathlib import Path

from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from tests.support.doors import Judged, check

FINDINGS = {"ALLOC-07", "ALLOC-15", "REF-07", "GUARD-08", "VT-03", "FRAME-03"}
HOLDS = "CONST-01"
SELECTION = f"({' or '.join(sorted(FINDINGS))} or {HOLDS}) and not test_s_ and not test_w_"


def judged(folder: Path, subject: Path, *arguments: str | Path) -> Judged:
    common = ("--frame-rs", subject, "--machine", "microvm", "--profile", "dev", "-n", "1", "-k", SELECTION)
    return check(folder, *common, *arguments)


def lines_of_findings(result: Judged) -> list[str]:
    """Of the findings that are shown as a block of their own."""
    shown = [one["at"] for one in result.report["findings"] if one["at"] and not one["explained_by"]]
    return [at.rpartition(":")[2] for at in shown]


def outcomes(result: Judged, outcome: str) -> set[str]:
    return {id_ for id_, clause in result.report["clauses"].items() if clause["outcome"] == outcome}


def test_findings_of_a_real_frame_rs_are_these_until_a_baseline_knows_them(
    real: Path, tmp_path: Path
) -> None:
    fresh = judged(tmp_path, real)
    assert (fresh.status, fresh.kind, fresh.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), fresh.out
    assert fresh.violated == FINDINGS
    assert HOLDS in outcomes(fresh, "held")
    assert all(f"> {line} " in fresh.out for line in lines_of_findings(fresh)), fresh.out
    with_slot = [one for run in fresh.report["runs"] for one in run["checks"] if one["slot"]]
    assert {"ALLOC-15", "REF-07"} <= {id_ for one in with_slot for id_ in one["clauses"]}
    assert {len(one["slot"]["got"]) for one in with_slot} == {2 * META_SLOT.size}
    assert "refcount generation" in fresh.out

    baseline = tmp_path / "known.toml"
    entries = [f'[[finding]]\nid = "{id_}"\nreason = "audited"\n' for id_ in sorted({*FINDINGS, HOLDS})]
    baseline.write_text("\n".join(entries))
    known = judged(tmp_path, real, "--baseline", baseline)
    assert (known.status, known.kind, known.survivors) == (ExitCode.PASS, VerdictKind.PASS, ()), known.out
    assert outcomes(known, "known") == FINDINGS and known.violated == set()
    assert known.says("6 known findings") and all(known.says(id_) for id_ in FINDINGS)
    assert known.says("1 entry of the baseline fires no longer")
    assert [entry["id"] for entry in known.report["baseline"]["stale"]] == [HOLDS]
