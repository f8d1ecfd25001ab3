"""A small builder of SVG pictures that stand in a page, in light and in dark.

Shapes carry CSS classes alone. A page that shows pictures puts `STYLE` into its own style sheet, once, and
may give the variables other values. Nothing here has an id, so any number of pictures may share a page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal
from xml.etree import ElementTree

from frame_harness.base.text import printable

STYLE: Final = """
.picture { --ink: #1f2328; --faint: #6b7280; --line: #c4c9d1; --paper: #ffffff; --box: #f2f4f7;
  --first: #0b62c4; --second: #8250df; --third: #0f7b6c; --fourth: #a15c00; --bad: #c4001a; --good: #1a7f37;
  color: var(--ink); background: var(--paper); max-width: 100%; height: auto;
  font: 13px/1.3 ui-monospace, "DejaVu Sans Mono", monospace; }
@media (prefers-color-scheme: dark) { .picture { --ink: #e6edf3; --faint: #9aa4b0; --line: #454c56;
  --paper: #0d1117; --box: #1c222b; --first: #6cb2ff; --second: #c297ff; --third: #4fd1b8; --fourth: #f0b25c;
  --bad: #ff7b80; --good: #56d364; } }
.picture text { fill: var(--ink); } .picture .faint { fill: var(--faint); }
.picture .strong { font-weight: 600; }
.picture .box { fill: var(--box); stroke: var(--line); } .picture .rule { stroke: var(--line); fill: none; }
.picture .ink { stroke: var(--ink); fill: none; stroke-width: 1.5; }
.picture .dashed { stroke-dasharray: 5 4; }
.picture .wrong-box { stroke: var(--bad); stroke-width: 1.5; }
.picture .fill-ink { fill: var(--ink); }
.picture .wrong { stroke: var(--bad); stroke-width: 2; fill: none; }
.picture text.bad, .picture .bad { fill: var(--bad); }
.picture text.good, .picture .good { fill: var(--good); }
.picture text.first, .picture .fill-first { fill: var(--first); }
.picture text.second, .picture .fill-second { fill: var(--second); }
.picture text.third { fill: var(--third); }
.picture text.fourth { fill: var(--fourth); }
.picture .stroke-first { stroke: var(--first); fill: none; stroke-width: 2; }
.picture .stroke-second { stroke: var(--second); fill: none; stroke-width: 2; }
.picture .stroke-third { stroke: var(--third); fill: none; stroke-width: 2; }
.picture .stroke-fourth { stroke: var(--fourth); fill: none; stroke-width: 2; }
"""
"""Classes that pictures share; `--first` to `--fourth` tell CPUs apart, `--bad` marks what is wrong."""

CHAR: Final = 7.9
"""Width of a character at the size of `STYLE`, in the widest of its fonts."""
_HEAD: Final = 8.0

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


class Picture:
    """One SVG picture.

    Args:
        width, height: in units of the view box, which are pixels at natural size.
        title: what it shows, for those who cannot see it.
        description: the same at length.
    """

    def __init__(self, width: float, height: float, *, title: str, description: str = "") -> None:
        self.width, self.height = width, height
        self._root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg", "class": "picture", "role": "img",
                "viewBox": f"0 0 {_number(width)} {_number(height)}",
                "width": _number(width), "height": _number(height),
            },
        )  # fmt: skip
        _child(self._root, "title", title)
        if description:
            _child(self._root, "desc", description)

    def rect(self, x: float, y: float, width: float, height: float, kind: str, *, tip: str = "") -> None:
        """Draw a rectangle; `tip` is shown to who points at it."""
        self._shape("rect", kind, tip, x=x, y=y, width=width, height=height, rx=3)

    def circle(self, x: float, y: float, radius: float, kind: str) -> None:
        """Draw a filled circle around a point."""
        self._shape("circle", kind, "", cx=x, cy=y, r=radius)

    def line(self, start: Point, end: Point, kind: str) -> None:
        """Draw a straight line."""
        self._shape("line", kind, "", x1=start[0], y1=start[1], x2=end[0], y2=end[1])

    def polyline(self, points: Iterable[Point], kind: str, *, tip: str = "") -> None:
        """Draw a line through some points."""
        self._points("polyline", points, kind, tip)

    def polygon(self, points: Iterable[Point], kind: str, *, tip: str = "") -> None:
        """Draw a filled shape."""
        self._points("polygon", points, kind, tip)

    def arrow(self, start: Point, end: Point, kind: str, head: str) -> None:
        """Draw a line with a head at its end; each has a class of its own."""
        self.line(start, end, kind)
        angle = math.atan2(end[1] - start[1], end[0] - start[0])
        sides = [
            (end[0] - _HEAD * math.cos(angle + turn), end[1] - _HEAD * math.sin(angle + turn))
            for turn in (0.45, -0.45)
        ]
        self.polygon([end, *sides], head)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        kind: str = "",
        *,
        room: float = 0.0,
        anchor: Anchor = "start",
        whole: str = "",
    ) -> None:
        """Write one line of text.

        Args:
            y: of its base line.
            room: its width, at most; longer words lose their middle, and are whole for who points at them.
            whole: what to show to them instead.
        """
        shown = fitting(words, room) if room else words
        words = whole or words
        element = _child(self._root, "text", "", x=_number(x), y=_number(y), **{"text-anchor": anchor})
        if kind:
            element.set("class", kind)
        if shown != words:
            _child(element, "title", words).tail = printable(shown)
        else:
            element.text = printable(shown)

    def markup(self) -> str:
        """The picture as SVG, for a page that has `STYLE`."""
        return ElementTree.tostring(self._root, encoding="unicode")

    def _points(self, name: str, points: Iterable[Point], kind: str, tip: str) -> None:
        numbers = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        element = _child(self._root, name, "", points=numbers, **{"class": kind})
        if tip:
            _child(element, "title", tip)

    def _shape(self, name: str, kind: str, tip: str, **places: float) -> None:
        numbers = {place: _number(value) for place, value in places.items()}
        element = _child(self._root, name, "", **numbers, **{"class": kind})
        if tip:
            _child(element, "title", tip)


def fitting(words: str, room: float) -> str:
    """The words without so much of their middle as does not fit into the room, of a width as in a picture."""
    most = max(int(room / CHAR), 3)
    if len(words) <= most:
        return words
    head = (most - 1) // 2
    return f"{words[:head]}…{words[len(words) - (most - 1 - head) :]}"


def _child(parent: ElementTree.Element, name: str, words: str, **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name, attributes)
    if words:
        element.text = printable(words)
    return element


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
