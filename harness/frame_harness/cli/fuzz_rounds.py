"""`fuzz` as a campaign: rounds of histories on the cores of one machine, or of many."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from frame_harness.base.commands import Say
from frame_harness.base.disk import write_whole, writing
from frame_harness.base.paths import real
from frame_harness.campaigns.engine import campaign
from frame_harness.campaigns.images import SentImage
from frame_harness.campaigns.plan import Plan
from frame_harness.cli.campaign_options import CampaignOptions
from frame_harness.cli.corpus import SavedCorpus
from frame_harness.cli.fuzzed import Fuzzed
from frame_harness.frame_histories.scripts import Script
from frame_harness.machine.identity import identity_of
from frame_harness.steering.campaign import Campaign
from frame_harness.steering.folder import name_of
from frame_harness.steering.rounds import (
    ROUND_COMMANDS,
    PlayedRound,
    Rounds,
    RoundTask,
    is_finding,
    play_round,
    text_of,
)


@dataclass(frozen=True)
class ManyRounds:
    """What a campaign of rounds needs to know."""

    seed: int
    seconds: float
    commands: int | None
    where: CampaignOptions


def played_in_rounds(
    asked: ManyRounds, begun: Campaign, saved: SavedCorpus, say: Callable[[Script, int], None], note: Say
) -> Fuzzed:
    """Play rounds of histories until time or commands are over.

    Args:
        begun: has played what the corpus holds.
    Raises:
        HarnessError: there are no workers, or the folder holds another campaign.
    """
    player = begun.player
    judged, counting = player.judged.image, player.counting.image if player.counting else None
    each = ROUND_COMMANDS if asked.commands is None else min(ROUND_COMMANDS, asked.commands)
    first = RoundTask(
        seed=str(asked.seed), commands=each, judged=SentImage.of(judged),
        counting=None if counting is None else SentImage.of(counting), machine=player.judged.machine,
    )  # fmt: skip
    images = [image for image in (judged, counting) if image is not None]
    identity = _identity(asked.seed, first, saved.folder)
    plan: Plan[RoundTask, PlayedRound] = Plan(
        "fuzz", play_round, PlayedRound, identity, tuple(one.elf for one in images), is_finding=is_finding,
        open_ended=asked.commands is None, seed=asked.seed,
    )  # fmt: skip
    rounds = Rounds(first)
    rounds.corpus = {
        name_of(one): text for one, text in (text_of(entry, player) for entry in begun.corpus.entries)
    }
    began = time.monotonic()
    most = None if asked.commands is None else -(-asked.commands // each)

    def go_on(submitted: int) -> bool:
        return submitted < most if most is not None else time.monotonic() - began < asked.seconds

    with campaign(plan, asked.where.settings("fuzz", note)) as running:
        rounds.run(running, go_on, say)
    seconds = time.monotonic() - began  # the corpus, whose commands are not counted, was played before
    _keep(rounds, saved)
    causes = {*rounds.scripts, *((cause.clause, cause.text) for cause in begun.tally.found)}
    return Fuzzed(
        asked.seed, frozenset(clause for clause, _ in causes), len(causes), rounds.histories, rounds.commands,
        seconds, again=sum(begun.tally.again.values()), lost=rounds.lost,
        cut_off=rounds.cut_off,
        unconfirmed=(*begun.tally.unconfirmed_words, *rounds.unconfirmed),
    )  # fmt: skip


def _identity(seed: int, first: RoundTask, corpus: Path | None) -> str:
    """What results depend on. The number of rounds is not among it: a campaign may be made longer.

    Of the corpus only its place: what it holds grows by the campaign itself.
    """
    what = (
        seed, first.commands, first.judged.sha256, first.judged.profile,
        first.counting.sha256 if first.counting else None, identity_of(first.machine),
        str(real(corpus)) if corpus else None,
    )  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()


def _keep(rounds: Rounds, saved: SavedCorpus) -> None:
    if saved.folder is None:
        return
    with writing(saved.folder, instead="name another folder: --corpus"):
        for text in rounds.fewest():
            path = saved.folder / rounds.name_of(text)
            if not path.exists():
                write_whole(path, text.script.encode())
