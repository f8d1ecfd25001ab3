"""The findings that are already known: a TOML list of clause id, reason."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping

from frame_harness.base.errors import UsageError
from frame_harness.base.profiles import NAMED_PROFILES
from frame_harness.base.record import Record
from frame_harness.contract.clauses import Clauses
from frame_harness.judge.evidence import CheckResult

_KEYS = ("id", "reason", "profile", "cause")
_TABLE = "finding"


class BaselineError(UsageError):
    """An invalid baseline file; one line names the entry and the mistake."""


class BaselineEntry(Record, frozen=True, kw_only=True):
    """What is known to break a clause, on each machine; without a profile in every profile.

    `cause` is that of a finding, as the JSON report has it: of a panic its file and line, since one
    elsewhere may have the same words. Without one the entry covers all that breaks the clause, also a panic
    or a failed allocation on the way of a check: by such a one a known finding may show.
    """

    id: str
    reason: str
    profile: str | None = None
    cause: str | None = None

    @property
    def scope(self) -> str:
        """What it is restricted to, in words; empty where nothing."""
        return ", ".join(filter(None, [self.profile, self.cause]))

    def covers(self, clause: str, result: CheckResult) -> bool:
        """Whether a result that violates a clause is what is known."""
        return (
            self.id == clause
            and self.profile in (None, result.run.profile)
            and self.cause in (None, result.cause)
        )


class Baseline(Record, frozen=True, kw_only=True):
    """All known findings; `source` is shown to the user."""

    entries: tuple[BaselineEntry, ...] = ()
    source: str = ""

    def entry(self, clause: str, result: CheckResult) -> BaselineEntry | None:
        """The first entry that covers a result that violates a clause, None where that is new."""
        return next((entry for entry in self.entries if entry.covers(clause, result)), None)


EMPTY = Baseline()


def parse(text: str, source: str, clauses: Clauses) -> Baseline:
    """Read a baseline of known findings from text; `source` names it in errors.

    Accepts:
        [[finding]]
        id = "ALLOC-07"
        reason = "builder order, fixed in the next release"
        profile = "dev"      # optional
        cause = "…"          # optional, of a finding in the JSON report

    Raises:
        BaselineError: it is no TOML, or lists something else than findings that there can be, each once.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits, or brackets too deep
        raise BaselineError("baseline", source, detail=str(error), next_step="fix the TOML") from error
    _known_keys(document, (_TABLE,), source)
    rows = document.get(_TABLE, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BaselineError(
            "baseline", source, expected=f"[[{_TABLE}]] tables", actual=f"{_TABLE} = {_shown(rows)}"
        )
    entries = tuple(
        _entry(row, f"{source}: finding {place}", clauses) for place, row in enumerate(rows, start=1)
    )
    _no_twins(entries, source)
    return Baseline(entries=entries, source=source)


def _entry(row: Mapping[str, object], where: str, clauses: Clauses) -> BaselineEntry:
    _known_keys(row, _KEYS, where)
    entry = BaselineEntry(**{key: _text(row, key, where) for key in dict.fromkeys([*row, "id", "reason"])})
    if entry.id not in clauses:
        raise BaselineError(
            "baseline", where, detail=f"no clause {entry.id!r}", next_step=clauses.nearest(entry.id)
        )
    if entry.profile not in (None, *NAMED_PROFILES):
        raise BaselineError(
            "baseline", where, expected="profile " + " or ".join(NAMED_PROFILES), actual=repr(entry.profile)
        )
    return entry


def _text(row: Mapping[str, object], key: str, where: str) -> str:
    value = row.get(key)
    if isinstance(value, str) and value.strip():
        return value.strip()
    got = "none" if value is None else _shown(value)
    raise BaselineError(
        "baseline", where, expected=f"a text for `{key}`", actual=got, next_step=f'add {key} = "…"'
    )


def _shown(value: object) -> str:
    """A value as text; Python writes no number of thousands of digits."""
    try:
        return repr(value)
    except ValueError:
        return "a number of too many digits"


def _known_keys(table: Mapping[str, object], keys: Iterable[str], where: str) -> None:
    keys = tuple(keys)
    for key in table:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
            advice = f"did you mean `{near[0]}`" if near else f"use {', '.join(keys)}"
            raise BaselineError("baseline", where, detail=f"unknown key `{key}`", next_step=advice)


def _no_twins(entries: Iterable[BaselineEntry], source: str) -> None:
    """No violation may be covered by two entries: those for one clause differ in profile or cause."""
    seen: dict[str, list[BaselineEntry]] = {}
    for place, entry in enumerate(entries, start=1):
        others = seen.setdefault(entry.id, [])
        if any(_overlap(entry.profile, one.profile) and _overlap(entry.cause, one.cause) for one in others):
            where = f"{source}: finding {place}"
            raise BaselineError(
                "baseline", where, detail=f"{entry.id} is listed before", next_step="keep one of the two"
            )
        others.append(entry)


def _overlap(one: str | None, other: str | None) -> bool:
    return one == other or None in (one, other)
