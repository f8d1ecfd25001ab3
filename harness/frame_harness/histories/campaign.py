"""Plays random histories until time or commands run out; keeps one short history for each broken clause."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from frame_harness.base.errors import HarnessError
from frame_harness.histories.boot_configs import boot_configs_for
from frame_harness.histories.differences import Look
from frame_harness.histories.generator import Generator
from frame_harness.histories.history import Failure, play_again, play_random
from frame_harness.histories.lockstep import BootConfig, Host, Lockstep
from frame_harness.histories.scripts import FoundOn, Script
from frame_harness.histories.shrink import shrink
from frame_harness.machine.definition import Machine

HISTORY_STEPS = 200
QUICK_SEED, QUICK_HISTORIES = 1, 12
"""What the suite plays, the same each time; `frame-harness fuzz` plays others."""
BOTH_WAYS_EVERY = 32
"""Of so many histories, chosen by their seeds, one is played both ways."""
WHOLE_EVERY = 4
"""Of so many histories one is played on all of memory, where it takes long to run out."""


@dataclass(frozen=True)
class Found:
    """A broken clause with the shortest history found that shows it."""

    clause: str
    failure: Failure
    script: Script
    length: int
    """Commands of the history that found it first."""


@dataclass
class Tally:
    """What a campaign has done so far."""

    seed: int
    found: dict[str, Found] = field(default_factory=dict)
    again: dict[str, int] = field(default_factory=dict)
    """How often a history ended at a clause that was known by then."""
    histories: int = 0
    commands: int = 0
    """That were compared with the model, those of shortening included."""


Go = Callable[[Tally], bool]
Say = Callable[[Found], None]


def campaign(host: Host, seed: int, go_on: Go, say: Say = lambda _: None) -> Tally:
    """Play history after history as long as `go_on` says so.

    The same seed plays the same histories, whatever the subject, until the first finding.

    Args:
        say: is told of each finding once it is as short as it gets.
    """
    tally = Tally(seed)
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
            if failure and failure.clause in tally.found:
                tally.again[failure.clause] = tally.again.get(failure.clause, 0) + 1
            elif failure:
                tally.found[failure.clause] = found = _shortened(lockstep, failure, name)
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


def _shortened(lockstep: Lockstep, failure: Failure, name: str) -> Found:
    if failure.only_in_batch:
        return Found(failure.clause, failure, _script(lockstep, failure, name), len(failure.commands))
    shortest = shrink(failure, lambda steps: play_again(lockstep, steps))
    lockstep.renew()
    again = play_again(lockstep, shortest.steps)
    if again is None or again.clause != failure.clause:
        raise HarnessError(
            "history", name, expected=f"{failure.clause} on a fresh guest",
            actual=again.clause if again else "nothing", detail=failure.difference.line,
            next_step="report this: a guest that was reset is not as a fresh one",
        )  # fmt: skip
    return Found(failure.clause, again, _script(lockstep, again, name), len(failure.commands))


def _script(lockstep: Lockstep, failure: Failure, name: str) -> Script:
    subject = lockstep.host.image.subject
    last = len(failure.commands) - 1
    where = f" (seen {failure.seen.value})" if failure.seen is Look.AT_THE_END else ""
    return Script(
        machine=lockstep.host.machine.name,
        profile=lockstep.host.image.profile,
        boot_config=lockstep.boot_config,
        commands=failure.commands,
        clause=failure.clause,
        seen=failure.difference.line + where,
        subject=FoundOn(subject.name, subject.sha256),
        seed=name,
        remarks={last: f"expect {failure.difference.expected_line}"} if failure.commands else {},
    )
