"""A corpus as a folder of scripts: two are put together by copying files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from frame_harness.base.disk import write_whole
from frame_harness.base.errors import UsageError
from frame_harness.base.reading import text_of
from frame_harness.base.units import Vaddr
from frame_harness.frame_histories.lockstep import BootConfig
from frame_harness.frame_histories.script_files import SUFFIX, is_script
from frame_harness.frame_histories.scripts import NEXT_STEP, Script, parse
from frame_harness.image.branches import Branches
from frame_harness.image.image import Image
from frame_harness.machine.definition import Machine
from frame_harness.steering.corpus import CorpusEntry
from frame_harness.steering.features import FeatureKind

PREFIX = "history-"
"""Begins the name of a history that breaks nothing; what was found is named by its clause."""
_SHOWN = 3


def scripts(folder: Path) -> Iterator[Path]:
    """The scripts of a corpus, in the order of their names."""
    yield from (path for path in sorted(folder.glob(f"*{SUFFIX}")) if is_script(path))


def read(path: Path) -> Script:
    """Read a script.

    Raises:
        UsageError: it is none.
    """
    try:
        return parse(text_of(path), str(path))
    except OSError as error:
        raise UsageError(
            "script", str(path), detail=f"cannot be read: {error.strerror}", next_step=NEXT_STEP
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError("script", str(path), detail="it is no text", next_step=NEXT_STEP) from error


def save_shorter(path: Path, script: Script) -> None:
    """Save a finding, unless the file holds one of fewer commands: that of another seed.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    try:
        if path.is_file() and len(read(path).commands) < len(script.commands):
            return
    except UsageError:
        pass  # somebody else's file, or a damaged one: this one takes its place
    write_whole(path, script.text.encode())


def script_of(entry: CorpusEntry, machine: Machine, profile: str, reason: str) -> Script:
    """A kept history as it is saved."""
    return Script(
        machine=machine.name, layout=machine.layout, profile=profile, boot_config=entry.boot_config,
        commands=entry.commands, seed=entry.name, kept=reason,
    )  # fmt: skip


def name_of(script: Script) -> str:
    """What a kept history is saved as: the same for the same commands, whoever found them."""
    return f"{PREFIX}{_digest(script.boot_config, script.lines)}{SUFFIX}"


def _digest(boot_config: BootConfig, lines: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join((repr(boot_config), *lines)).encode()).hexdigest()[:12]


def reason(entry: CorpusEntry, branches: Branches, image: Image) -> str:
    """Why a history is kept, in words: what it is the shortest for."""
    best = sorted(entry.best, key=lambda feature: (feature[0], str(feature)))
    places = dict.fromkeys(
        _place(image, branches.addresses[int(feature[1])])
        for feature in best
        if feature[0] == FeatureKind.BRANCH
    )
    words = [f"a branch in {place}" for place in list(places)[:_SHOWN]]
    words += [" ".join(map(str, feature[1:])) for feature in best if feature[0] != FeatureKind.BRANCH][
        : max(_SHOWN - len(words), 0)
    ]
    more = len(best) - len(words)
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _place(image: Image, address: Vaddr) -> str:
    places = image.places(address)
    if not places:
        return str(image.symbolize(address))
    return f"{places[0].function.rpartition('::')[2]} ({Path(places[0].file).name}:{places[0].line})"
