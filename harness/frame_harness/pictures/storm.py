"""Operations a second of a storm, a step chart for each CPU."""

from __future__ import annotations

from typing import Final

from frame_harness.base.text import rate_words
from frame_harness.judge.diagrams import StormRates
from frame_harness.pictures.svg import Anchor, Picture

WIDTH: Final = 760.0
PANEL: Final = 96.0
LEFT, RIGHT, TOP, GAP = 96.0, 24.0, 50.0, 36.0
_COLORS: Final = ("first", "second", "third", "fourth")


def svg(diagram: StormRates) -> str:
    """The picture as SVG."""
    height = TOP + len(diagram.cpus) * (PANEL + GAP) + 24
    picture = Picture(WIDTH, height, title=f"storm {diagram.storm}", description=_description(diagram))
    picture.text(LEFT, 18, f"storm “{diagram.storm}”: steps a second", "strong", room=WIDTH - LEFT)
    end_s = max((sample.at_s for sample in diagram.samples), default=0.0) or 1.0
    for number, cpu in enumerate(diagram.cpus):
        _panel(picture, diagram, cpu, TOP + number * (PANEL + GAP), end_s, _COLORS[number % len(_COLORS)])
    base = TOP + len(diagram.cpus) * (PANEL + GAP)
    ticks: tuple[tuple[float, Anchor], ...] = ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    for share, anchor in ticks:
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        picture.text(x, base, f"{share * end_s:.2f} s", "faint", anchor=anchor)
    return picture.markup()


def _description(diagram: StormRates) -> str:
    steps = diagram.samples[-1].steps if diagram.samples else ()
    done = [f"steps of CPU {cpu}: {count:,}" for cpu, count in zip(diagram.cpus, steps, strict=False)]
    wrong = [f"{one.what} after {one.at_s:.2f} s" for one in diagram.wrong]
    return "; ".join([*done, *wrong])


def _panel(picture: Picture, diagram: StormRates, cpu: int, top: float, end_s: float, color: str) -> None:
    rates = diagram.rates(cpu)
    most = max((rate for _, _, rate in rates), default=0.0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / end_s
    bottom = top + PANEL
    picture.rect(LEFT, top, WIDTH - LEFT - RIGHT, PANEL, "box")
    picture.text(LEFT - 10, top + 14, rate_words(most), "faint", anchor="end", room=LEFT - 14)
    picture.text(LEFT - 10, top + PANEL / 2 + 5, f"CPU {cpu}", f"strong {color}", anchor="end")
    picture.text(LEFT - 10, bottom, "0", "faint", anchor="end")
    points = [
        (LEFT + at * scale, bottom - (PANEL - 12) * rate / most)
        for began, ended, rate in rates
        for at in (began, ended)
    ]
    picture.polyline(points, f"stroke-{color}", tip=_description(diagram))
    for one in diagram.wrong:
        if one.cpu == cpu:
            x = LEFT + min(one.at_s, end_s) * scale
            picture.line((x, top), (x, bottom), "wrong dashed")
            side: Anchor = "end" if x > WIDTH / 2 else "start"
            room = (x - LEFT if side == "end" else WIDTH - RIGHT - x) - 16
            picture.text(x, top - 5, one.what, "bad", anchor=side, room=room)
