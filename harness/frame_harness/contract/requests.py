"""Takes apart requests of the console that stand for several calls of the module."""

from __future__ import annotations

import re
from typing import Final

_BATCH: Final = "batch"
_PROGRAM: Final = "smp.job"
_END_OF_NAME: Final = re.compile(r"[@=~]")


def commands_of(line: str) -> list[str]:
    """The commands that one request runs: those of a batch, else itself."""
    if line.partition(" ")[0] != _BATCH:
        return [line]
    return [part.strip() for part in line.removeprefix(_BATCH).split(";") if part.strip()]


def steps_of(command: str) -> list[str] | None:
    """The names of the steps, where a command gives one of several CPUs a program; else None."""
    name, *words = command.split()
    return [_END_OF_NAME.split(word, maxsplit=1)[0] for word in words] if name == _PROGRAM else None
