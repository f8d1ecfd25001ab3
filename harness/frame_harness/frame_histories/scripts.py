"""Histories as text: a header, then one console command a line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from frame_harness.base.errors import UsageError
from frame_harness.base.profiles import NAMED_PROFILES
from frame_harness.frame_histories.commands import VTABLES, Command, ScriptError, decode, encode
from frame_harness.frame_histories.lockstep import BootConfig
from frame_harness.frame_histories.script_files import SCRIPT
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.guest.boot_options import BootOptions

FORMAT = f"{SCRIPT} 1"
NEXT_STEP = "name a file that fuzz has saved"
_HEADER = re.compile(r"#\s*([a-z]+): (.*)")


@dataclass(frozen=True)
class FoundOn:
    """The module that a script was found on, by its name and the sum of its text."""

    name: str
    sha256: str

    @property
    def text(self) -> str:
        """Name and sum as the header of a script holds them."""
        return f"{self.name} sha256 {self.sha256}"


@dataclass(frozen=True)
class Script:
    """A history that can be played again."""

    machine: str
    profile: str
    boot_config: BootConfig
    commands: tuple[Command, ...]
    clause: str = ""
    """That it was found to break; empty for one written by hand."""
    seen: str = ""
    """The difference that it shows, for readers; so is the seed of the history that it was made of."""
    subject: FoundOn | None = None
    seed: str = ""
    cause: str = ""
    """What goes wrong where, which tells findings of one clause apart."""
    kept: str = ""
    """Why a history that breaks nothing was kept."""
    layout: str = ""
    """Of that machine's memory: another one may have its name; empty where it is not kept."""
    remarks: Mapping[int, str] = field(default_factory=dict)
    """By a command's index what is said beside it."""

    @property
    def title(self) -> str:
        """The clause with what it says."""
        return f"{self.clause}: {CLAUSES[self.clause].title}" if self.clause else ""

    @property
    def file_name(self) -> str:
        """What it is saved as: one file for each cause, profile and module."""
        parts = [self.clause, self.profile, *([self.subject.sha256[:8]] if self.subject else [])]
        parts += [hashlib.sha256(self.cause.encode()).hexdigest()[:6]] if self.cause else []
        return "-".join(parts) + ".txt"

    @property
    def lines(self) -> tuple[str, ...]:
        """The commands as text; `@both` and others stand for addresses of the kernel's vtables."""
        return tuple(encode(command) for command in self.commands)

    @property
    def options(self) -> BootOptions:
        """Of the boot of a guest that it is played on."""
        return self.boot_config.options

    def lines_on(self, address_of: Callable[[str], int]) -> tuple[str, ...]:
        """The commands for a guest, given where its vtables are."""
        vtables = {name: address_of(name) for name in VTABLES}
        return tuple(encode(command.on(vtables)) for command in self.commands)

    @property
    def text(self) -> str:
        """The text of the file: header, then one command a line with its remark."""
        header = {"clause": self.title, "cause": self.cause, "seen": self.seen, "kept": self.kept}
        header |= {"subject": self.subject.text if self.subject else ""}
        header |= {"seed": self.seed, "machine": self.machine, "profile": self.profile}
        header |= {"layout": self.layout}
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
        UsageError: it is none, lacks what a guest must be booted with, or names a clause that is none.
    """
    rows = text.splitlines()
    if not rows or rows[0] != f"# {FORMAT}":
        raise UsageError(
            "script", where, expected=f"`# {FORMAT}` in its first line",
            actual=repr(rows[0][:60]) if rows else "an empty file", next_step=NEXT_STEP,
        )  # fmt: skip
    header = {found[1]: found[2] for row in rows[1:] if (found := _HEADER.fullmatch(row))}
    for key in ("machine", "profile"):
        if key not in header:
            raise UsageError(
                "script", where, expected=f"a line `# {key}: …`", actual="none", next_step=NEXT_STEP
            )
    if "/" in header["machine"] or header["machine"].endswith(".toml"):
        raise UsageError(
            "script", where, expected="the name of a machine", actual=f"the file {header['machine']}",
            next_step="name the file with --machine, its name in the script",
        )  # fmt: skip
    if header["profile"] not in NAMED_PROFILES:
        wanted = " or ".join(f"`# profile: {profile}`" for profile in NAMED_PROFILES)
        raise UsageError(
            "script", where, expected=wanted, actual=f"`# profile: {header['profile']}`", next_step=NEXT_STEP
        )
    clause = header.get("clause", "").partition(":")[0]
    if clause and clause not in CLAUSES:
        near = CLAUSES.nearest(clause)
        raise UsageError("script", where, detail=f"no clause {clause!r}", next_step=near)
    options = _read(header, where)
    commands = tuple(_command(line, where) for row in rows if (line := row.partition("#")[0].strip()))
    if not commands:
        raise UsageError("script", where, expected="a command", actual="none", next_step=NEXT_STEP)
    name, _, sha256 = header.get("subject", "").rpartition(" sha256 ")
    return Script(
        machine=header["machine"],
        profile=header["profile"],
        boot_config=BootConfig(header.get("memory", header.get("ground", where)), options),
        commands=commands,
        layout=header.get("layout", ""),
        clause=clause,
        seen=header.get("seen", ""),
        subject=FoundOn(name, sha256) if name else None,
        seed=header.get("seed", ""),
        cause=header.get("cause", ""),
        kept=header.get("kept", ""),
    )


def _command(line: str, where: str) -> Command:
    try:
        return decode(line)
    except ScriptError as error:
        raise unplayable(where, line, error.summary.removeprefix(f"{error.what}: {error.which}: ")) from error


def unplayable(where: str, line: str, detail: str) -> UsageError:
    """For a line of a script that nobody can play."""
    return UsageError(
        "script", f"{where}: `{line}`", detail=detail, next_step="fix that line, or one before it"
    )


def _written(options: BootOptions) -> dict[str, str]:
    """Options of a boot as header lines."""
    written = {} if options.ram is None else {"ram": str(options.ram)}
    if options.ramtop is not None:
        written["ramtop"] = f"{options.ramtop:#x}"
    if options.reserve:
        written["reserve"] = ",".join(f"{base:#x}+{length:#x}" for base, length in options.reserve)
    return written


def _read(header: Mapping[str, str], where: str) -> BootOptions:
    ram, islands = header.get("ram"), header.get("reserve")
    try:
        return BootOptions(
            ram=int(ram) if ram is not None and ram.isdigit() else ram,
            ramtop=int(header["ramtop"], 0) if "ramtop" in header else None,
            reserve=tuple(map(_island, islands.split(","))) if islands is not None else (),
        )
    except ValueError as error:
        raise UsageError("script", where, detail=f"header: {error}", next_step=NEXT_STEP) from error


def _island(text: str) -> tuple[int, int]:
    base, length = text.split("+")
    return int(base, 0), int(length, 0)
