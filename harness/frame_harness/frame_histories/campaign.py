"""Plays random histories until time or commands run out; keeps one short history for each broken clause."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from frame_harness.frame_histories.boot_configs import boot_configs_for
from frame_harness.frame_histories.generator import Generator
from frame_harness.frame_histories.history import play_random
from frame_harness.frame_histories.lockstep import BootConfig, Host, Lockstep
from frame_harness.frame_histories.shortening import Shortened, script_of, shortest
from frame_harness.machine.definition import Machine

HISTORY_STEPS = 200
QUICK_SEED, QUICK_HISTORIES = 1, 12
"""What the suite plays, the same each time; `frame-harness fuzz` plays others."""
BOTH_WAYS_EVERY = 32
"""Of so many histories, chosen by their seeds, one is played both ways."""
WHOLE_EVERY = 4
"""Of so many histories one is played on all of memory, where it takes long to run out."""


@dataclass
class HistoryTally:
    """What a campaign has done so far."""

    seed: int
    found: dict[str, Shortened] = field(default_factory=dict)
    again: dict[str, int] = field(default_factory=dict)
    """How often a history ended at a clause that was known by then."""
    histories: int = 0
    cut_off: int = 0
    """Histories that ended where the module did what is allowed and the model cannot follow."""
    commands: int = 0
    """That were compared with the model, those of shortening included."""


Go = Callable[[HistoryTally], bool]
SayShortened = Callable[[Shortened], None]


def campaign(host: Host, seed: int, go_on: Go, say: SayShortened = lambda _: None) -> HistoryTally:
    """Play history after history as long as `go_on` says so.

    The same seed plays the same histories, whatever the subject, until the first finding: what led there is
    left out of all others.

    Args:
        say: is told of each finding once it is as short as it gets.
    """
    tally = HistoryTally(seed)
    with ExitStack() as stack:
        by_config: dict[str, Lockstep] = {}
        while go_on(tally):
            boot_config = _boot_config_of(host.machine, tally.histories)
            if boot_config.name not in by_config:
                by_config[boot_config.name] = stack.enter_context(Lockstep(host, boot_config))
            lockstep = by_config[boot_config.name]
            name = f"{seed}:{tally.histories}"
            tally.histories += 1
            before = lockstep.commands
            generator = Generator(random.Random(name), tuple(tally.found))
            failure = play_random(lockstep, generator, HISTORY_STEPS, both_ways=is_played_both_ways(name))
            tally.cut_off += failure is None and lockstep.without_verdict
            if failure and failure.clause in tally.found:
                tally.again[failure.clause] = tally.again.get(failure.clause, 0) + 1
            elif failure:
                short = shortest(lockstep, failure, name)
                found = Shortened(short, script_of(lockstep, short, name), len(failure.commands))
                tally.found[failure.clause] = found
                say(found)
            tally.commands += lockstep.commands - before
            if failure and not failure.commands:
                break  # wrong before the first command: so is every history
    return tally


def is_played_both_ways(name: str) -> bool:
    """Whether a history is played in batches and one command at a time; both must agree."""
    return zlib.crc32(name.encode()) % BOTH_WAYS_EVERY == 0


def _boot_config_of(machine: Machine, history: int) -> BootConfig:
    configs = boot_configs_for(machine)
    whole = len(configs) > 1 and history % WHOLE_EVERY == WHOLE_EVERY - 1
    return configs[1] if whole else configs[0]
