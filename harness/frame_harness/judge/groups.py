"""Outcomes and levels of checks that mean the same to whoever asks."""

from typing import Final

from frame_harness.judge.evidence import Level, Outcome

WELL: Final = frozenset({Outcome.PASSED, Outcome.SKIPPED, Outcome.ABSENT})
"""How a check ends that came to no fault, and that broke off nowhere."""
ON_SEVERAL_CPUS: Final = frozenset({Level.INTERLEAVING, Level.STORM})
"""Levels of checks that let several CPUs work at once."""
