"""Looks at the page in a headless Chromium: what it draws, what it says to its console, what keys do."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.memory_state import pfn_ranges
from frame_harness.html_report.memory import CheckMemory
from frame_harness.html_report.page import dumps
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.verdict import judge
from frame_harness.pictures.palette import look_of
from tests.support import report_scene
from tests.support.chromium import Browser, browser, chromium
from tests.support.report_scene import PFN, SOURCES
from tests.support.synthetic import SLOT, Shape, healthy_state
from tests.unit.evidence_samples import TABLE

FOCUSED = "document.activeElement"
CONTROLS = """[...document.querySelectorAll(
  "a[href], button:not(:disabled), summary, [tabindex='0'], input:checked")]
  .filter((one) => one.checkVisibility() && !one.matches(".skip"))"""
FIRST_MAP = "document.querySelector('.map')"
READOUT = f"{FIRST_MAP}.querySelector('output').textContent"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_scene.page(report_scene.hostile()), encoding="utf-8")
    return path


@pytest.fixture
def opened(tab: Browser, page: Path) -> Browser:
    """The page in light colors, every map drawn."""
    tab.emulate()
    tab.open(page)
    tab.drawn()
    return tab


def colors_of(png: bytes) -> int:
    """How many values some bytes of an image have; those of a blank one have hardly any."""
    data, at = b"", 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += size + 12
    return len(set(zlib.decompress(data)[::31]))


def test_it_complains_of_nothing_and_asks_for_nothing(opened: Browser) -> None:
    assert opened.complaints() == []
    assert opened.evaluate("document.querySelectorAll('.plain').length") == 0
    assert opened.evaluate("document.title").startswith("FAIL")


def test_light_and_dark_are_drawn_and_differ(opened: Browser, page: Path) -> None:
    light = opened.screenshot()
    opened.emulate(dark=True)
    dark = opened.screenshot()
    assert light != dark
    assert min(colors_of(light), colors_of(dark)) > 100
    assert opened.complaints() == []


@pytest.mark.parametrize("width", [340, 1000])
def test_nothing_is_wider_than_the_window_but_what_scrolls_by_itself(opened: Browser, width: int) -> None:
    opened.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
    opened.screenshot(width=width, height=1)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_the_reader_may_choose_other_colors_than_the_system(opened: Browser) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    picture = "getComputedStyle(document.querySelector('.picture text')).fill"
    of_the_system = opened.evaluate(f"[{paper}, {picture}]")
    opened.evaluate("document.querySelector('input[value=dark]').click()")
    chosen = opened.evaluate(f"[{paper}, {picture}]")
    opened.emulate(dark=True)
    opened.evaluate("document.querySelector('input[value=system]').click()")
    assert opened.evaluate(f"[{paper}, {picture}]") == chosen
    assert chosen[0] != of_the_system[0]
    assert chosen[1] != of_the_system[1]


def test_tab_reaches_every_control_in_order_and_shows_where_it_is(opened: Browser) -> None:
    opened.evaluate(f"window.controls = {CONTROLS}; scrollTo(0, 0); document.querySelector('.skip').focus()")
    count = opened.evaluate("controls.length")
    assert count > 30
    maps = opened.evaluate(
        "[...document.querySelectorAll('.map')].filter((one) => one.checkVisibility()).length"
    )
    assert opened.evaluate("controls.filter((one) => one.tagName === 'CANVAS').length") == maps > 0
    for place in range(count):
        opened.tab()
        assert opened.evaluate(f"controls.indexOf({FOCUSED})") == place, opened.evaluate(
            f"{FOCUSED}.outerHTML.slice(0, 200) + ' in place of ' + controls[{place}].outerHTML.slice(0, 200)"
        )
        outline = opened.evaluate(f"getComputedStyle({FOCUSED}).outlineStyle")
        assert outline == "solid"


def test_every_control_has_a_name(opened: Browser) -> None:
    nameless = """[...document.querySelectorAll("a, button, canvas[tabindex], input, [role=img]")]
      .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
      .map((one) => one.outerHTML)"""
    assert opened.evaluate(nameless) == []


def test_keys_lead_to_the_frame_of_the_finding_and_into_it(opened: Browser) -> None:
    opened.evaluate(f"{FIRST_MAP}.querySelector('canvas').focus()")
    opened.key("Home")
    assert opened.evaluate(READOUT).startswith("frame 0x0,")
    opened.key("n")
    assert f"frame {PFN:#x}, address {PFN << 12:#x}, of the finding: poisoned → live, kernel" in (
        opened.evaluate(READOUT)
    )
    assert "guard 0x80000000 → 0x0" in opened.evaluate(READOUT)
    opened.key("ArrowRight")
    assert opened.evaluate(READOUT).startswith(f"frame {PFN + 1:#x},")
    opened.key("b")
    pressed = f"[...{FIRST_MAP}.querySelectorAll('[aria-pressed=true]')].map((one) => one.dataset.do)"
    assert opened.evaluate(pressed) == ["before"]
    opened.key("ArrowLeft")
    assert "guard 0x80000000" in opened.evaluate(READOUT)


def test_the_frame_of_the_finding_is_ringed_and_frames_close_by_are_lettered(opened: Browser) -> None:
    # Rings and letters alone are black in light colors.
    black = f"""(() => {{
      const canvas = {FIRST_MAP}.querySelector("canvas");
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      const words = new Uint32Array(data.buffer);
      return words.filter((word) => word === 0xff000000).length;
    }})()"""
    ring = opened.evaluate(black)
    assert 20 < ring < 200
    opened.evaluate(f"{FIRST_MAP}.querySelector('[data-do=marked]').click()")
    assert opened.evaluate(black) > 2000


def test_hatching_tells_states_apart_beside_their_colors(opened: Browser) -> None:
    patterns = f"""[...{FIRST_MAP}.querySelectorAll("canvas.swatch")].map((swatch) => {{
      const data = swatch.getContext("2d").getImageData(0, 0, swatch.width, swatch.height).data;
      return [Number(swatch.dataset.state), new Set(new Uint32Array(data.buffer)).size];
    }})"""
    found = opened.evaluate(patterns)
    assert len(found) > 10
    for state, colors in found:
        assert colors == (1 if look_of(state).hatch == "plain" else 2)


def test_changes_alone_are_what_differs(opened: Browser) -> None:
    before = opened.screenshot(".map canvas")
    opened.evaluate(f"{FIRST_MAP}.querySelector('[data-do=changes]').click()")
    assert colors_of(opened.screenshot(".map canvas")) < colors_of(before)


def test_a_click_points_at_a_frame_and_buttons_zoom(opened: Browser) -> None:
    opened.evaluate(f"{FIRST_MAP}.scrollIntoView()")
    x, y = opened.evaluate(
        f"(() => {{ const box = {FIRST_MAP}.querySelector('canvas').getBoundingClientRect(); "
        "return [box.x + 2, box.y + 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        opened.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    assert opened.evaluate(READOUT).startswith("frame 0x0,")
    whole = opened.screenshot(".map canvas")
    opened.evaluate(f"{FIRST_MAP}.querySelector('[data-do=in]').click()")
    zoomed = opened.screenshot(".map canvas")
    opened.evaluate(f"{FIRST_MAP}.querySelector('[data-do=whole]').click()")
    assert opened.screenshot(".map canvas") == whole != zoomed


def test_paper_shows_pictures_in_place_of_maps(opened: Browser) -> None:
    shown = "[...document.querySelectorAll('.map, .overview')].filter((one) => one.checkVisibility()).length"
    assert opened.evaluate(f"document.querySelector('.overview').checkVisibility() || {shown}") > 0
    opened.emulate(media="print")
    kinds = (
        "[...document.querySelectorAll('.map, .overview')].filter((one) => "
        "getComputedStyle(one).display !== 'none').map((one) => one.className)"
    )
    assert set(opened.evaluate(kinds)) == {"overview"}
    pdf = opened.call("Page.printToPDF")["data"]
    assert len(pdf) > 10_000


def test_without_scripts_the_pictures_are_there(tab: Browser, page: Path) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.emulate()
        tab.open(page)
        assert colors_of(tab.screenshot(".overview")) > 50
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_million_frames_can_be_walked(tab: Browser, tmp_path: Path) -> None:
    path = tmp_path / "million.html"
    path.write_text(report_scene.page(state=healthy_state(Shape(1 << 20))), encoding="utf-8")
    tab.emulate()
    tab.open(path)
    tab.drawn()
    tab.evaluate(f"{FIRST_MAP}.querySelector('canvas').focus()")
    tab.key("n")
    assert "of the finding" in tab.evaluate(READOUT)
    assert "refcount" in tab.evaluate(READOUT)
    tab.key("End")
    assert tab.evaluate(READOUT).startswith(f"frame {(1 << 20) - 1:#x},")
    assert colors_of(tab.screenshot(".map canvas")) > 30
    assert tab.complaints() == []


@pytest.mark.slow
def test_sixty_four_gib_are_a_page_of_less_than_ten_megabytes(tab: Browser, tmp_path: Path) -> None:
    n_frames = 16 << 20
    small = healthy_state(Shape(1 << 20))
    slots = np.zeros(n_frames, dtype=SLOT)  # of which the host has what is written
    slots[: small.n_frames] = small.slots
    ram = pfn_ranges([(0, small.n_frames), (n_frames - 4096, n_frames)])
    state = replace(small, slots=slots, ram=ram)
    evidence = report_scene.broken()
    memories = {report_scene.key_of(TABLE): CheckMemory(after=state, frames=(Pfn(PFN),))}
    text = dumps(evidence, judge(evidence, FRAME_METADATA), EMPTY, FRAME_METADATA, memories, sources=SOURCES)
    assert len(text) < 10_000_000
    path = tmp_path / "large.html"
    path.write_text(text, encoding="utf-8")
    tab.open(path)
    tab.drawn()
    tab.evaluate(f"{FIRST_MAP}.querySelector('canvas').focus()")
    tab.key("End")
    assert "0xffffff" in tab.evaluate(READOUT)
    assert tab.complaints() == []
