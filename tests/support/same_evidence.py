"""What a check says, without what differs from one time to the next: durations, and words of QEMU's start."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

OF_THE_CALL = ("command", "at")
"""Of an archive: how and when `check` was called."""
_OF_A_START = re.compile(r"nonce=[0-9a-f]+|(?<=fd[=/])\d+")
"""Words of QEMU's command that are others at each start: the nonce, numbers of descriptors."""
_TIME = re.compile(r' time="[^"]*"')
_DURATION = re.compile(r"(\d+ min )?\d+(\.\d+)? s\b")


def timeless(value: Any, but: Collection[str] = ()) -> Any:
    """A JSON value without them, and without the values of some keys."""
    if isinstance(value, Mapping):
        return {k: timeless(one, but) for k, one in value.items() if not k.endswith("_s") and k not in but}
    if isinstance(value, list):
        return [timeless(one, but) for one in value]
    return _OF_A_START.sub("", value) if isinstance(value, str) else value


def reports(folder: Path) -> dict[str, Any]:
    """The reports that a check wrote, by their names."""
    return {
        "json": timeless(json.loads((folder / "report.json").read_text())),
        "junit": _TIME.sub("", (folder / "report.xml").read_text()),
        "sarif": json.loads((folder / "report.sarif").read_text()),
        "html": sorted(re.findall(r'id="([^"]+)"', (folder / "report.html").read_text())),
    }


def printed(out: str) -> list[str]:
    """The lines of the report on the terminal, without durations; what is said meanwhile comes before."""
    return timeless_lines(out[out.index("\nsubject  ") :])


def timeless_lines(out: str) -> list[str]:
    """Lines on the terminal without durations, and without the room that is left for them."""
    lines = [" ".join(_DURATION.sub("", line).split()) for line in out.splitlines() if line[:5] != "time "]
    return [*lines[:-1], lines[-1].partition(";")[0]]


def archive(folder: Path, but: Collection[str] = ()) -> dict[str, Any]:
    """What an archive holds, by the names of its files; of those with times in each line only that."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".json":
            kept = json.loads(path.read_text())
            found[name] = timeless({key: one for key, one in kept.items() if key not in OF_THE_CALL}, but)
        elif path.suffix in (".npz", ".elf", ".rs") or path.name == "commands.txt":
            found[name] = path.read_bytes()
        elif path.is_file():
            found[name] = path.stat().st_mode
    return found
