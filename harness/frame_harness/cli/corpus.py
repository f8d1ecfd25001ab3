"""The folder of histories that are kept from run to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from frame_harness.base.commands import Say, SlowStep
from frame_harness.base.disk import write_whole
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.profiles import STEERING
from frame_harness.base.text import plural
from frame_harness.frame_histories.boot_configs import require_same_memory
from frame_harness.frame_histories.lockstep import LineRefused, OwnHost
from frame_harness.frame_histories.scripts import Script
from frame_harness.frame_metadata.model import ModelError
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import CommandRefused, NotInThisVersion
from frame_harness.image.build import build
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import Machine, load_machine
from frame_harness.machine.firmware import require_host
from frame_harness.steering.campaign import Campaign, FoundCause, Kept
from frame_harness.steering.corpus import Corpus, CorpusEntry, fewest
from frame_harness.steering.features import FeatureKind
from frame_harness.steering.folder import PREFIX, name_of, read, reason, save_shorter, script_of, scripts
from frame_harness.steering.lifting import Lifted
from frame_harness.steering.player import Player

NOT_PLAYABLE: Final = (UsageError, LineRefused, CommandRefused, NotInThisVersion, ModelError, LookupError)
"""What says that a script is none for this subject, machine and model; no error of the host is one."""


@dataclass
class SavedCorpus:
    """A corpus on disk; without a folder histories are kept for the run alone."""

    folder: Path | None
    player: Player
    _saved: dict[Path, CorpusEntry] = field(default_factory=dict)

    def play_all(self, campaign: Campaign, say: Callable[[FoundCause], None], note: Say) -> None:
        """Begin a campaign with what the folder holds; what cannot be played is left out.

        Raises:
            HarnessError: what a script showed does not show again, or a guest is gone by no fault of its own.
                That must not end in a PASS.
        """
        files = list(scripts(self.folder)) if self.folder is not None and self.folder.is_dir() else []
        if not files or self.player.counting is None:
            return
        with SlowStep(f"playing {plural(len(files), 'script')} of {self.folder}", note):
            for path in files:
                try:
                    script = _playable(path, self.player.judged.machine)
                    history = Kept(script.commands, script.boot_config, path.name)
                    played = campaign.play(history)
                except NOT_PLAYABLE as error:
                    note(f"left out: {path}: {_why(error)}")
                    continue
                campaign.begin_with(history, played, say)

    def keep(self, entry: CorpusEntry) -> None:
        """Save a history as it is kept."""
        counting, machine = self.player.counting, self.player.judged.machine
        if self.folder is None or counting is None:
            return
        why = reason(entry, self.player.branches, counting.image)
        script = script_of(entry, machine, self.player.judged.image.profile, why)
        path = self.folder / name_of(script)
        if not path.exists():
            write_whole(path, script.text.encode())
            self._saved[path] = entry

    def save(self, script: Script) -> None:
        """Save a finding: once it is mended, the script is a test that it stays so."""
        if self.folder is not None:
            save_shorter(self.folder / script.file_name, script)

    def forget_surpassed(self, corpus: Corpus) -> None:
        """Take back what this run saved and then found shorter."""
        needed = set(map(id, corpus.entries))
        for path, entry in self._saved.items():
            if id(entry) not in needed:
                path.unlink(missing_ok=True)

    def summary(self, corpus: Corpus) -> None:
        """Say what was reached, and where that is kept."""
        reached = len({feature[1] for feature in corpus.features if feature[0] == FeatureKind.BRANCH})
        total = len(self.player.branches.of_subject)
        where = f"in {self.folder}" if self.folder else "for this run; --corpus DIR keeps them"
        click.echo(f"{reached} of {total} branches of the module ran; {len(corpus)} histories kept {where}")


def _playable(path: Path, machine: Machine) -> Script:
    script = read(path)
    require_same_memory(script, machine, str(path))
    return script


def _why(error: Exception) -> str:
    return (
        error.summary if isinstance(error, HarnessError) else "a line leads to what the model does not know"
    )


# ---- fewer ------------------------------------------------------------------------------------------------


def minimize(folder: Path, frame_rs: Path | None, machine_name: str, profile: str) -> ExitCode:
    """Leave the fewest histories of a corpus that reach what all do.

    Raises:
        HarnessError: there is no such folder, or nothing can be played.
    """
    if not folder.is_dir():
        raise UsageError("corpus", str(folder), expected="a folder", next_step="fuzz --corpus DIR fills one")
    if not _histories(folder):
        raise UsageError(
            "corpus", str(folder), expected=f"histories that fuzz kept, {PREFIX}*", actual="none",
            next_step="name the folder that `fuzz --corpus` named",
        )  # fmt: skip
    machine = load_machine(machine_name)
    require_host(machine)
    subject = frame_module(frame_rs)
    judged, counting = (
        build(subject, each, say=lambda text: click.echo(text, err=True)) for each in (profile, STEERING)
    )
    with Player(OwnHost(judged, machine), OwnHost(counting, machine)) as player:
        click.echo(minimized_in_words(folder, player, lambda text: click.echo(text, err=True)))
    return ExitCode.PASS


def _histories(folder: Path) -> list[Path]:
    return [path for path in scripts(folder) if path.name.startswith(PREFIX)]


def minimized_in_words(folder: Path, player: Player, say: Say) -> str:
    """Play a corpus, remove what others reach, say what is left.

    Findings stay, so does what cannot be played or fails.

    Raises:
        UsageError: the player counts no branches.
    """
    if player.counting is None:
        raise UsageError("minimize", detail="no branches are counted", next_step="leave out --blind")
    entries: dict[int, Path] = {}
    found: list[CorpusEntry] = []
    stayed = 0
    files = _histories(folder)
    with SlowStep(f"playing {plural(len(files), 'script')}", say):
        for path in files:
            try:
                script = _playable(path, player.judged.machine)
                played = player.play(Lifted(script.commands), script.boot_config, len(script.commands))
            except NOT_PLAYABLE as error:
                say(f"stays: {path}: {_why(error)}")
                stayed += 1
                continue
            if played.failure is not None:
                say(f"stays: {path}: {played.failure.clause}: {played.failure.difference.line}")
                stayed += 1
                continue
            entry = CorpusEntry(
                played.steps, played.commands, script.boot_config, path.name, frozenset(played.reached)
            )
            entries[id(entry)] = path
            found.append(entry)
    needed = set(map(id, fewest(found)))
    for key, path in entries.items():
        if key not in needed:
            path.unlink(missing_ok=True)
    features = len(set().union(*(entry.features for entry in found))) if found else 0
    also = f"; {stayed} more stay, see above" if stayed else ""
    return f"{folder}: {len(needed)} of {len(found)} histories reach the same {features} features{also}"
