"""What memory orderings allow, as the events of two CPUs in two lanes, with what the second one may see."""

from __future__ import annotations

from typing import Final

from frame_harness.judge.diagrams import INITIAL, OrderingEvent, OrderingTrace
from frame_harness.pictures.places import lines_of, write_place
from frame_harness.pictures.svg import CHAR, Picture

WIDTH: Final = 1040.0
BOX: Final = 390.0
LANES: Final = {1: 16.0, 2: WIDTH - 16.0 - BOX}
TOP: Final = 44.0
ABOVE: Final = 48.0
"""Room for the value from before that a read may see."""
ROW: Final = 50.0
HEIGHT: Final = 40.0
MOST_ROWS: Final = 12
"""Of events; where there are more, those that have no part in what is seen are left out."""
_TEXT: Final = 110


def svg(diagram: OrderingTrace) -> str:
    """The picture as SVG."""
    kept = shown_events(diagram)
    foot = _foot(diagram, len(diagram.events) - len(kept))
    top = TOP + (ABOVE if any(event.stale for event in diagram.events) else 0)
    bottom = top + ROW * len(kept)
    height = bottom + 20 + 18 * len(foot)
    picture = Picture(
        WIDTH, height, title=f"memory orderings in {diagram.function}", description=_description(diagram)
    )
    rows = {event: top + ROW * number for number, event in enumerate(kept)}
    _heads(picture, diagram, bottom - 10)
    _arrows(picture, diagram, rows)
    for at, y in rows.items():
        _event(picture, diagram.events[at], y)
    for number, (words, kind) in enumerate(foot):
        picture.text(16, bottom + 16 + 18 * number, words, kind, room=WIDTH - 32)
    return picture.markup()


def _description(diagram: OrderingTrace) -> str:
    return f"expected {diagram.expected}, got {diagram.got}; {diagram.consequence}"


def _foot(diagram: OrderingTrace, left_out: int) -> list[tuple[str, str]]:
    words = f"left out, having no part in it: {left_out} of {len(diagram.events)} accesses"
    lines = [(words, "faint")] if left_out else []
    lines += [(f"expected: {diagram.expected}", "good"), (f"got: {diagram.got}", "bad")]
    return lines + [(line, "") for line in lines_of(diagram.consequence, _TEXT)]


def shown_events(diagram: OrderingTrace) -> list[int]:
    """The events that a picture has room for, by their indices: those that matter, then the first others."""
    events = diagram.events
    if len(events) <= MOST_ROWS:
        return list(range(len(events)))
    stale = {event.place for event in events if event.stale}
    matter = {
        at
        for at, event in enumerate(events)
        if event.weak or event.stale or event.given or event.cpu != events[0].cpu
        or (event.left and event.place in stale)
    }  # fmt: skip
    matter |= {event.reads_from for event in events if event.cpu != 1 and event.reads_from is not None}
    matter.discard(INITIAL)
    writes = [at for at, event in enumerate(events) if event.left and at not in matter]
    others = [at for at in range(len(events)) if at not in matter and at not in writes]
    room = max(0, MOST_ROWS - len(matter))
    return sorted(matter | set((writes[-room:] + others)[:room] if room else ()))


def _heads(picture: Picture, diagram: OrderingTrace, bottom: float) -> None:
    for cpu in sorted({event.cpu for event in diagram.events} | {1}):
        x, kind = LANES[cpu], "first" if cpu == 1 else "second"
        code = any(event.cpu == cpu and not event.given for event in diagram.events)
        picture.text(x, 22, f"CPU {cpu}", f"strong {kind}")
        words = diagram.function if code else "any other code"
        picture.text(x + 7 * CHAR, 22, words, "" if code else "faint", room=BOX - 8 * CHAR)
        picture.line((x + BOX / 2, 34), (x + BOX / 2, bottom), "rule")


def _event(picture: Picture, event: OrderingEvent, y: float) -> None:
    x = LANES[event.cpu]
    wrong = event.weak or event.stale
    picture.rect(x, y, BOX, HEIGHT, "box wrong-box" if wrong else "box dashed" if event.given else "box")
    picture.text(x + 10, y + 17, event.words, "bad strong" if wrong else "", room=BOX - 20)
    picture.text(x + 10, y + 33, values_of(event), "bad" if event.stale else "faint", room=BOX - 150)
    if event.at:
        write_place(picture, x + BOX - 10, y + 33, event.at, "end")


def values_of(event: OrderingEvent) -> str:
    """What an event read and wrote, in words."""
    read = [f"sees {event.found}"] if event.found else []
    return ", ".join([*read, *([f"leaves {event.left}"] if event.left else [])])


def _arrows(picture: Picture, diagram: OrderingTrace, rows: dict[int, float]) -> None:
    """Show from which write of the other CPU a read takes its value, and what a stale one misses."""
    for at, event in enumerate(diagram.events):
        source = event.reads_from
        if at not in rows or source is None:
            continue
        end = (_edge(event.cpu), rows[at] + HEIGHT / 2)
        if event.stale:
            _stale(picture, diagram, rows, at, end)
        elif source in rows and diagram.events[source].cpu != event.cpu:
            start = (_edge(diagram.events[source].cpu), rows[source] + HEIGHT / 2)
            picture.arrow(start, end, "ink", "fill-ink")


def _stale(
    picture: Picture, diagram: OrderingTrace, rows: dict[int, float], at: int, end: tuple[float, float]
) -> None:
    event = diagram.events[at]
    middle, top = WIDTH / 2, 58.0
    picture.rect(middle - 110, top - 22, 220, 30, "box wrong-box")
    picture.text(middle, top - 3, f"{event.place}: {event.found}", "bad", anchor="middle", room=212)
    picture.arrow((middle, top + 8), end, "wrong", "bad")
    picture.text(middle - 12, top + 26, "may see", "bad", anchor="end")
    missed = [
        n
        for n, other in enumerate(diagram.events)
        if n in rows and n < at and other.cpu != event.cpu and other.left and other.place == event.place
    ]
    if missed:
        other = diagram.events[missed[-1]]
        start = (_edge(other.cpu), rows[missed[-1]] + HEIGHT / 2)
        picture.line(start, end, "wrong dashed")
        picture.text(start[0] + 8, start[1] - 4, "not seen", "bad")


def _edge(cpu: int) -> float:
    """Where arrows touch the boxes of a CPU."""
    return LANES[cpu] + (BOX if cpu == 1 else 0)
