"""Verdicts by the contract of a frame module."""

from __future__ import annotations

from collections.abc import Collection

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge import baseline
from frame_harness.judge.baseline import EMPTY, Baseline
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.verdict import Verdict
from frame_harness.judge.verdict import judge as judge_by


def judge(evidence: Evidence, known: Baseline = EMPTY, required: Collection[str] = ()) -> Verdict:
    """Judge a whole run."""
    return judge_by(evidence, FRAME_METADATA, known, required)


def known_findings(text: str, source: str = "known.toml") -> Baseline:
    """Read a baseline."""
    return baseline.parse(text, source, FRAME_METADATA.clauses)
