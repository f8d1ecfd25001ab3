"""Says in words which commit brought a fault."""

from __future__ import annotations

from frame_harness.base.text import plural
from frame_harness.judge.origin import Commit, Origin, OriginKind

UNCOMMITTED = "the working tree"


def origin_words(origin: Origin) -> str:
    """One line, such as `brought by 4fd25e9 2026-04-29 "subject"`."""
    words = _words(origin)
    if origin.unjudged and origin.kind is not OriginKind.NOT_SHOWN:
        first = origin.unjudged[-1]
        words += f" ({first.commit.short}: {first.why})"
    if origin.case:
        words += f"; there by --case '{origin.case}'"
    if origin.tries and origin.kind is not OriginKind.NOT_SHOWN:
        words += f"; a race: each version was given {origin.tries} tries"
    return words


def _words(origin: Origin) -> str:
    silent = len(origin.unjudged)
    match origin.kind:
        case OriginKind.BROUGHT if not origin.commit.id:
            return f"not committed yet; {_named(origin.before)}, the last commit, does not show it"
        case OriginKind.BROUGHT:
            merge = ", a merge" if origin.commit.merge else ""
            return f"brought by {_named(origin.commit)}{merge}"
        case OriginKind.ALREADY if silent:
            return f"already in {_named(origin.commit)}; the version before it cannot be judged"
        case OriginKind.ALREADY:
            return f"already in {_named(origin.commit)}, the oldest one looked at"
        case OriginKind.BETWEEN:
            between = f"{plural(silent, 'version')} in between cannot be judged"
            return f"between {_named(origin.before)} and {_named(origin.commit)}: {between}"
        case OriginKind.NOT_SHOWN:
            why = next((f": {one.why}" for one in origin.unjudged if one.why), "")
            return f"not followed: its case alone does not show it{why}"


def _named(commit: Commit | None) -> str:
    if commit is None or not commit.id:
        return UNCOMMITTED
    return f'{commit.short} {commit.date} "{commit.subject}"'
