"""What the pages have in common: templates, style, the policy that lets nothing be fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from frame_harness.base.text import plural, printable, seconds
from frame_harness.html_report import excerpt
from frame_harness.pictures import palette
from frame_harness.pictures.svg import STYLE as PICTURE_STYLE


@cache
def environment() -> Environment:
    """Templates that escape what they are given."""
    made = Environment(
        loader=PackageLoader("frame_harness.html_report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"printable": printable, "seconds": seconds}
    made.globals |= {"plural": plural}
    return made


def text(name: str) -> str:
    """The text of a file that lies beside this module."""
    return (resources.files("frame_harness.html_report") / name).read_text(encoding="utf-8")


@cache
def style() -> str:
    """One style sheet; each theme's part stands twice: as the system's wish, and as the reader's."""
    light, dark = (
        "\n".join([palette.style(theme), text(f"{theme}.css").strip()]) for theme in ("light", "dark")
    )
    code = {theme: excerpt.style(theme) for theme in ("light", "dark")}
    parts = [
        PICTURE_STYLE, palette.CLASSES, f":root {{ {light} }}",
        f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {dark} }} }}",
        f":root[data-theme=dark] {{ {dark} }}",
        code["light"],
        *_plain_code(),
        "@media (prefers-color-scheme: dark) {",
        *_scoped(code["dark"], ":root:not([data-theme=light])"), "}",
        *_scoped(code["dark"], ":root[data-theme=dark]"),
        text("report.css"),
    ]  # fmt: skip
    return "\n".join(parts)


def _plain_code() -> Iterator[str]:
    """In dark colors no token keeps its light one; `:where` leaves the last word to the theme's own rules."""
    plain = ".code :where(span) { color: inherit; font-style: inherit; }"
    yield f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {plain} }}"
    yield f":root[data-theme=dark] {plain}"


def _scoped(rules: str, scope: str) -> Iterator[str]:
    yield from (f"{scope} {rule}" for rule in rules.split("\n"))


def sha(content: str) -> str:
    """How a policy (CSP) names a script or a style sheet that may be used."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def json_text(value: object) -> str:
    """JSON that may stand in a script element: no markup can end it."""
    written = json.dumps(value, separators=(",", ":"))
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
