"""Keeps the results of a campaign in a folder, as they come."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Generic

import msgspec

from frame_harness.base.disk import make_folder, write_whole, writing
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.record import Record, decode_json
from frame_harness.base.version import version
from frame_harness.campaigns.done import DoneTask, Lost
from frame_harness.campaigns.plan import Plan, R

RESULTS: Final = "results.jsonl"
CAMPAIGN: Final = "campaign.json"
LOCK: Final = "lock"
ANOTHER_FOLDER: Final = "name another folder"


def own_files(folder: Path | None) -> tuple[Path, ...]:
    """Files of a campaign's folder that no report may be; none without a folder."""
    return tuple(folder / name for name in (RESULTS, CAMPAIGN, LOCK)) if folder else ()


class CampaignRecord(Record, frozen=True, kw_only=True):
    """Which campaign a folder holds."""

    name: str
    identity: str
    command: str
    """The command line that began it."""
    version: str
    """Of this package: another one may come to other results."""
    seed: int | None = None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    key: str
    result: msgspec.Raw = msgspec.Raw(b"null")
    lost: Lost | None = None


def require_campaign(folder: Path) -> None:
    """Require that a folder holds a campaign to go on with.

    Raises:
        UsageError: it does not.
    """
    if not (folder / CAMPAIGN).is_file():
        raise UsageError(
            "--resume", str(folder), expected="the folder of a campaign", actual=f"no {CAMPAIGN}",
            next_step="name the folder that --out named, or that the campaign showed",
        )  # fmt: skip


def seed_of(folder: Path) -> int | None:
    """Return the seed of the campaign in a folder; None where it has none.

    Raises:
        UsageError: the folder holds no campaign.
    """
    require_campaign(folder)
    return _read(folder / CAMPAIGN).seed


def require_new_or(folder: Path, name: str, identity: str, *, resume: bool) -> None:
    """Refuse a folder before any work is done for a campaign that cannot have it.

    Raises:
        UsageError: it holds a campaign already, none to go on with, or another one.
    """
    note = folder / CAMPAIGN
    if resume:
        require_campaign(folder)
        _require_same(folder, _read(note), name, identity)
    elif note.is_file():
        raise _in_use(folder)


def _in_use(folder: Path) -> UsageError:
    return UsageError(
        "campaign", str(folder), detail="holds the results of a campaign already",
        next_step=f"--resume {shlex.quote(str(folder))}, or {ANOTHER_FOLDER}",
    )  # fmt: skip


def _require_same(folder: Path, found: CampaignRecord, name: str, identity: str) -> None:
    if (found.name, found.identity) != (name, identity):
        raise UsageError(
            "--resume", str(folder), expected=f"this {name} campaign",
            actual=f"one of other files or settings, begun with: {found.command}",
            next_step="run that command line with --resume, on the same files, or name another folder",
        )  # fmt: skip
    if found.version != version():
        raise UsageError(
            "--resume", str(folder), expected=f"a campaign of frame-harness {version()}",
            actual=f"one of {found.version}", next_step="begin a new campaign, or use that version",
        )  # fmt: skip


class Journal(Generic[R]):
    """The results that a folder holds; one command at a time has it."""

    def __init__(self, folder: Path | None, plan: Plan[Any, R]) -> None:
        self._named, self._plan = folder, plan
        self.kept: dict[str, R] = {}
        """Results of earlier commands, but for what was lost or is not final: that is tried again."""
        self._stream: IO[bytes] | None = None

    @property
    def _folder(self) -> Path:
        assert self._named is not None
        return self._named

    @contextlib.contextmanager
    def open(self, *, resume: bool) -> Iterator[None]:
        """Have the folder for the time of a block.

        Raises:
            UsageError: it holds another campaign, none to go on with, or one that is running.
            Unwritable: there is no room, or no leave.
        """
        if resume:
            require_campaign(self._folder)
        make_folder(self._folder, ANOTHER_FOLDER)
        for file in own_files(self._folder):
            if file.exists() and not file.is_file():  # a pipe would be waited for
                raise UsageError(
                    "campaign",
                    str(file),
                    expected="a file",
                    actual="something else",
                    next_step=ANOTHER_FOLDER,
                )
        with contextlib.ExitStack() as stack:
            with writing(self._folder, ANOTHER_FOLDER):
                lock = stack.enter_context((self._folder / LOCK).open("ab"))
            self._lock(lock)
            self._begin(resume=resume)
            with writing(self._folder, ANOTHER_FOLDER):
                results = (self._folder / RESULTS).open("ab", buffering=0)
            self._stream = stack.enter_context(results)
            yield

    def _lock(self, lock: IO[bytes]) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                "campaign", str(self._folder), detail="another command is working on it",
                next_step="wait until it ends, or end it",
            ) from error  # fmt: skip

    def _begin(self, *, resume: bool) -> None:
        note, results = self._folder / CAMPAIGN, self._folder / RESULTS
        if not note.is_file():
            if results.is_file() and results.stat().st_size:
                raise UsageError(
                    "campaign", str(results), detail=f"nobody knows of which campaign it is: no {CAMPAIGN}",
                    next_step=f"remove it, or {ANOTHER_FOLDER}",
                )  # fmt: skip
            own = CampaignRecord(
                name=self._plan.name, identity=self._plan.identity, command=shlex.join(sys.argv),
                version=version(), seed=self._plan.seed,
            )  # fmt: skip
            write_whole(note, msgspec.json.format(msgspec.json.encode(own)))
            return
        if not resume:
            raise _in_use(self._folder)
        _require_same(self._folder, _read(note), self._plan.name, self._plan.identity)
        self._read_results()

    def _read_results(self) -> None:
        path = self._folder / RESULTS
        if not path.is_file():
            return
        data = _bytes_of(path)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # the command died while it wrote
            with writing(path, ANOTHER_FOLDER):
                os.truncate(path, whole)
        for number, text in enumerate(data[:whole].splitlines(), 1):
            try:
                self._read_line(decode_json(text, _Line))
            except msgspec.MsgspecError as error:
                raise HarnessError(
                    "results of a campaign", f"{path}:{number}", detail=f"cannot be read: {error}",
                    next_step="take the line out, so that its task is done again",
                ) from error  # fmt: skip

    def _read_line(self, line: _Line) -> None:
        """Take what a line says of its task in place of what earlier ones did."""
        self.kept.pop(line.key, None)
        if line.lost is None:
            result = decode_json(bytes(line.result), self._plan.result)
            if self._plan.is_final(result):
                self.kept[line.key] = result

    def keep(self, done: DoneTask[R]) -> None:
        """Write a result down, whole, before anybody hears of it."""
        if self._stream is None:
            return
        if isinstance(done.result, Lost):
            line = _Line(done.key, lost=done.result)
        else:
            line = _Line(done.key, msgspec.Raw(msgspec.json.encode(done.result)))
        with writing(self._folder / RESULTS, instead="make room there, then go on with --resume"):
            data = msgspec.json.encode(line) + b"\n"
            while data:
                data = data[self._stream.write(data) :]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            "--resume", str(path), detail=f"cannot be read: {error.strerror}",
            next_step=f"get leave to read it, or {ANOTHER_FOLDER}",
        ) from error  # fmt: skip


def _read(note: Path) -> CampaignRecord:
    data = _bytes_of(note)
    try:
        return decode_json(data, CampaignRecord)
    except msgspec.MsgspecError as error:
        raise UsageError(
            "--resume", str(note), detail=f"cannot be read: {error}", next_step="begin a new campaign"
        ) from error
