"""Follows the findings of a memory core back over the history of its repository."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from frame_harness.base.errors import HarnessError
from frame_harness.base.text import plural
from frame_harness.campaigns.engine import campaign
from frame_harness.cli.campaign_options import NO_CAMPAIGN, CampaignOptions
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.findings import Finding
from frame_harness.judge.origin import Origin
from frame_harness.machine.definition import Machine
from frame_harness.memory_core.follow import Follower, wanted_of
from frame_harness.memory_core.following import plan_of
from frame_harness.memory_core.versions import Lineage
from frame_harness.report.progress import Progress
from frame_harness.session.runs import trouble_of


def with_origins(
    evidence: Evidence,
    findings: Sequence[Finding],
    lineage: Lineage,
    machine: Machine,
    progress: Progress,
    where: CampaignOptions = NO_CAMPAIGN,
) -> Evidence:
    """The evidence with what is known of where each finding came from; what went wrong is part of it.

    Args:
        where: versions are played.
    """
    wanted = wanted_of(findings)
    if not wanted:
        progress.note("history: there is no finding to follow")
        return evidence
    versions = plural(len(lineage.versions), "version")
    progress.note(f"history: {plural(len(wanted), 'finding')} to follow over {versions} of {lineage.core}")
    for note in lineage.notes:
        progress.note(f"history: {note}")
    origins: list[Origin] = []
    try:
        follower = Follower(lineage, find_toolchain(say=progress.step), machine, progress.step)
        if not where.asked:
            follower.origins(wanted, origins.append)
        else:
            with campaign(plan_of(machine), where.settings("since", progress.note)) as follower.spread:
                follower.origins(wanted, origins.append)
    except KeyboardInterrupt:
        evidence = replace(evidence, interrupted=True)
    except HarnessError as error:
        evidence = replace(evidence, errors=(*evidence.errors, trouble_of("history", error)))
    return replace(evidence, origins=tuple(origins))
