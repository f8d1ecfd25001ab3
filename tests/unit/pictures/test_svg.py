"""Proves that a picture is well-formed SVG, whatever words it shows."""

from __future__ import annotations

from xml.etree import ElementTree

from frame_harness.pictures.svg import Picture, fitting

SVG = "{http://www.w3.org/2000/svg}"


def read(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


def test_a_picture_has_a_role_a_title_and_a_size_that_scales() -> None:
    root = read(Picture(200, 80.5, title="two CPUs", description="one waits").markup())
    assert root.tag == f"{SVG}svg"
    assert (root.get("role"), root.get("viewBox")) == ("img", "0 0 200 80.5")
    assert [(child.tag, child.text) for child in root] == [
        (f"{SVG}title", "two CPUs"),
        (f"{SVG}desc", "one waits"),
    ]


def test_words_of_a_guest_cannot_become_markup() -> None:
    picture = Picture(200, 80, title="</title><script>a()</script>")
    picture.text(0, 10, '<script>&"\x00\x1b[31m')
    picture.rect(0, 0, 10, 10, 'box" onload="a()', tip="a < b & c\x07")
    markup = picture.markup()
    root = read(markup)
    assert "<script" not in markup
    assert [one.text for one in root.iter(f"{SVG}text")] == ['<script>&"\\x00\\x1b[31m']
    [rect] = root.iter(f"{SVG}rect")
    assert rect.attrib.keys() == {"class", "x", "y", "width", "height", "rx"}
    assert [one.text for one in rect] == ["a < b & c\\x07"]


def test_long_words_lose_their_middle_and_keep_all_for_who_points_at_them() -> None:
    picture = Picture(200, 80, title="")
    words = "kernel::memory::frame::MetaSlot::note_new_allocation_epoch"
    picture.text(0, 10, words, room=160)
    [text] = read(picture.markup()).iter(f"{SVG}text")
    [title] = text
    assert (title.text, title.tail) == (words, fitting(words, 160))
    assert fitting(words, 160) == "kernel::m…tion_epoch"
    assert fitting("short", 160) == "short"


def test_no_shape_has_an_id_so_that_pictures_can_share_a_page() -> None:
    picture = Picture(20, 20, title="arrow")
    picture.arrow((0, 0), (10, 0), "ink", "fill-first")
    picture.polyline([(0, 0), (5, 5)], "ink", tip="way")
    root = read(picture.markup())
    assert all("id" not in one.attrib for one in root.iter())
    [head] = root.iter(f"{SVG}polygon")
    assert (head.get("points") or "").startswith("10,0 ")
