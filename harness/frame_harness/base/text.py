"""Small pieces of text that all reports share."""

from collections.abc import Iterable, Sequence

from frame_harness.judge.evidence import RunKey

_KEPT = "\n\t"


def printable(text: str) -> str:
    """Show control characters as escapes, so that nothing from a guest can act on a terminal or break XML."""
    return "".join(char if char.isprintable() or char in _KEPT else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plural(count: int, noun: str) -> str:
    """`1 check`, `2 checks`; a noun in -y or -s must be given in a form that takes an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def seconds(duration_s: float) -> str:
    minutes, rest = divmod(duration_s, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def matrix(runs: Iterable[RunKey]) -> str:
    """`3 machines × 2 profiles`, or the plain number of runs when some pairs are missing."""
    runs = set(runs)
    if not runs:
        return "no run"
    machines, profiles = {run.machine for run in runs}, {run.profile for run in runs}
    if len(runs) == len(machines) * len(profiles):
        return f"{plural(len(machines), 'machine')} × {plural(len(profiles), 'profile')}"
    return plural(len(runs), "run")


def id_ranges(ids: Sequence[str]) -> str:
    """`CONST-01…05 REF-07`: neighbors in contract order that count on are drawn together."""
    groups: list[list[str]] = []
    for id_ in ids:
        family, _, number = id_.rpartition("-")
        if groups and groups[-1][-1] == f"{family}-{int(number) - 1:02}":
            groups[-1].append(id_)
        else:
            groups.append([id_])
    return " ".join(
        group[0] if len(group) == 1 else f"{group[0]}…{group[-1].rpartition('-')[2]}" for group in groups
    )


def short_check(check: str) -> str:
    """A check's own words: `new life is whole` of `…/test_d.py::test_new_life_is_whole`."""
    name = check.rpartition("::")[2]
    return name.removeprefix("test_").replace("_", " ")
