"""Which commit brought a fault, as values that travel with the evidence."""

from enum import StrEnum

from frame_harness.base.record import Count, Record


class Commit(Record, frozen=True, kw_only=True):
    """One commit of the repository that a subject lies in; without an `id` it is what is not committed yet.

    `short` is the id as far as it is unique, `date` the author's, as YYYY-MM-DD.
    """

    id: str = ""
    short: str = ""
    date: str = ""
    subject: str = ""
    merge: bool = False


class OriginKind(StrEnum):
    """What is known of where a fault came from."""

    BROUGHT = "brought"  # by `commit`: it has the fault, `before` has not
    ALREADY = "already"  # in `commit`, the oldest version that could be asked
    BETWEEN = "between"  # behind `before`, and not behind `commit`; the versions between tell nothing
    NOT_SHOWN = "not-shown"  # the newest version does not show it when its case is played alone


class Unjudged(Record, frozen=True, kw_only=True):
    """A version that tells nothing about a fault, with the reason."""

    commit: Commit
    why: str


class Origin(Record, frozen=True, kw_only=True):
    """Which commit brought the fault of a finding, by its clause and cause.

    `commit` and `before` were played, in builds of `profile`. `case` shows the fault in `commit` where the
    finding's own does not. `tries` is how often a race was played on each version; 0 where none was.
    """

    clause: str
    cause: str
    kind: OriginKind
    profile: str
    commit: Commit
    before: Commit | None = None
    unjudged: tuple[Unjudged, ...] = ()
    case: str = ""
    versions: Count = 0
    tries: Count = 0
