"""Histories as text: a header, then one console command a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from frame_harness.base.errors import UsageError
from frame_harness.histories.lockstep import BootConfig
from frame_harness.image.build import PROFILES

FORMAT = "frame-harness script 1"
NEXT_STEP = "name a file that fuzz has saved"
_HEADER = re.compile(r"#\s*([a-z]+): (.*)")


@dataclass(frozen=True)
class Script:
    """A history that can be played again.

    Args:
        clause: that it was found to break; empty for one written by hand.
        facts: what else the header says, such as the subject and the seed, for readers.
        lines: commands; `@both`, `@unmap`, `@lastref`, `@empty` stand for addresses of the kernel's vtables.
        remarks: by a line's index what is said beside it.
    """

    machine: str
    profile: str
    boot_config: BootConfig
    lines: tuple[str, ...]
    clause: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[int, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        header = {"clause": self.clause, **self.facts, "machine": self.machine, "profile": self.profile}
        header |= {"memory": self.boot_config.name, **_written(self.boot_config.options)}
        rows = [f"# {FORMAT}", *(f"# {key}: {value}" for key, value in header.items() if value)]
        for index, line in enumerate(self.lines):
            remark = self.remarks.get(index, "")
            rows.append(f"{line}  # {remark}" if remark else line)
        return "\n".join([*rows, ""])


def parse(text: str, where: str) -> Script:
    """Read a script.

    Args:
        where: its name, for messages.
    Raises:
        UsageError: it is none, or lacks what a guest must be booted with.
    """
    rows = text.splitlines()
    if not rows or rows[0] != f"# {FORMAT}":
        raise UsageError(
            "script", where, expected=f"`# {FORMAT}` in its first line",
            actual=repr(rows[0][:60]) if rows else "an empty file", next_step=NEXT_STEP,
        )  # fmt: skip
    header = {found[1]: found[2] for row in rows[1:] if (found := _HEADER.fullmatch(row))}
    commands = tuple(line for row in rows if (line := row.partition("#")[0].strip()))
    for key in ("machine", "profile"):
        if key not in header:
            raise UsageError("script", where, expected=f"a line `# {key}: …`", actual="none")
    if header["profile"] not in PROFILES:
        wanted = " or ".join(f"`# profile: {profile}`" for profile in PROFILES)
        raise UsageError("script", where, expected=wanted, actual=f"`# profile: {header['profile']}`")
    options = _read(header, where)
    if not commands:
        raise UsageError("script", where, expected="a command", actual="none", next_step=NEXT_STEP)
    own = {"clause", "machine", "profile", "memory", "ground", *options}
    return Script(
        machine=header["machine"],
        profile=header["profile"],
        boot_config=BootConfig(header.get("memory", header.get("ground", where)), options),
        lines=commands,
        clause=header.get("clause", "").partition(":")[0],
        facts={key: value for key, value in header.items() if key not in own},
    )


def _written(options: Mapping[str, Any]) -> dict[str, str]:
    """Options of a boot as header lines."""
    written = {key: str(value) for key, value in options.items() if key == "ram"}
    if "ramtop" in options:
        written["ramtop"] = f"{options['ramtop']:#x}"
    if islands := options.get("reserve"):
        written["reserve"] = ",".join(f"{base:#x}+{length:#x}" for base, length in islands)
    return written


def _read(header: Mapping[str, str], where: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    try:
        if "ram" in header:
            options["ram"] = int(header["ram"]) if header["ram"].isdigit() else header["ram"]
        if "ramtop" in header:
            options["ramtop"] = int(header["ramtop"], 0)
        if "reserve" in header:
            islands: Sequence[str] = header["reserve"].split(",")
            options["reserve"] = [
                (int(base, 0), int(length, 0)) for base, length in (each.split("+") for each in islands)
            ]
    except ValueError as error:
        raise UsageError("script", where, detail=f"header: {error}") from error
    return options
