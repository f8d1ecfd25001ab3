"""Proves what is said and drawn of CPUs that disturb each other: values, words, pictures without overlap."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from frame_harness.base.text import rate_words
from frame_harness.judge.diagrams import (
    INITIAL,
    Diagram,
    Hold,
    Interleaving,
    OrderingEvent,
    OrderingTrace,
    RateSample,
    SlotAccess,
    StormMoment,
    StormRates,
)
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey, decode, encode
from frame_harness.pictures import interleaving, orderings, storm
from frame_harness.pictures.interleaving import MOST_ROWS
from frame_harness.pictures.orderings import shown_events
from frame_harness.pictures.places import lines_of
from frame_harness.pictures.svg import CHAR

SVG = "{http://www.w3.org/2000/svg}"
FILE = "/home/user/kernels/strat/workspace/kernel/src/memory/a_module_with_a_name_that_is_long/frame.rs"
PATH = "kernel::memory::frame::a_module_of_it::MetaSlot::note_new_allocation_epoch_with_a_long_name"


def access(cpu: int, field: str, found: int | None, left: int | None, line: int) -> SlotAccess:
    return SlotAccess(
        cpu=cpu, field=field, reads=found is not None, writes=left is not None, found=found, left=left,
        at=f"{FILE}:{line}",
    )  # fmt: skip


LOST = Interleaving(
    operations=("MetaSlot::inc_ref()", "MetaSlot::dec_ref()"),
    hold=Hold(cpu=1, instructions=11, at=f"{FILE}:294", field="refcount"),
    part="refcount", field="refcount", orders=("0x5", "0x5"), got="0x6", state="in use",
    accesses=(
        access(1, "refcount", 5, None, 293), access(2, "refcount", 5, 4, 312),
        access(1, "refcount", None, 6, 294),
    ),
    held_after=1, meanwhile=1,
)  # fmt: skip
HALF = replace(
    LOST, part="answer 2: v", orders=("0xa5a50902", "0x501"), got="0x0", field="flags",
    accesses=(
        access(1, "flags", None, 0, 214), access(2, "flags", 0, None, 208),
        access(1, "flags", None, 0xA5A5_0902, 215),
    ),
)  # fmt: skip
WIDE = replace(
    LOST, operations=(f"{PATH}(0xffffffffffffffff)", f"{PATH}(0x1)"), part=f"{PATH}: answer",
    got="panic " * 60, state="in use, one reference below the most",
    accesses=tuple(access(1 + (n > 40), "vtable", 2**64 - 1, 2**64 - 2, n) for n in range(90)),
    held_after=40, meanwhile=50,
)  # fmt: skip
ALONE = replace(LOST, accesses=(access(1, "guard", None, None, 9),), held_after=1, meanwhile=0, alone=True)
BARE = replace(LOST, accesses=(), held_after=0, meanwhile=0, state="")

STALE = OrderingTrace(
    function="MetaSlot::set_flags", expected="write flags, at least Release", got="store flags Relaxed",
    consequence="a CPU that acquires the value written here may still see older values " * 3,
    events=(
        OrderingEvent(cpu=1, words="store payload", place="payload", left="new", given=True),
        OrderingEvent(
            cpu=1, words="store flags Relaxed", place="flags", left="new", at=f"{FILE}:213", weak=True
        ),
        OrderingEvent(
            cpu=2, words="load flags Acquire", place="flags", found="new", reads_from=1, given=True
        ),
        OrderingEvent(
            cpu=2, words="load payload", place="payload", found="old", reads_from=INITIAL, stale=True,
            given=True,
        ),
    ),
)  # fmt: skip
LONG = replace(
    STALE, function=PATH,
    events=(
        *(
            OrderingEvent(
                cpu=1, words=f"compare_exchange_weak {PATH} SeqCst/SeqCst", place=f"other {n}",
                found="0xffffffffffffffff", left="0xffffffffffffffff", at=f"{FILE}:{n}",
            )
            for n in range(30)
        ),
        *(replace(one, reads_from=31 if one.reads_from == 1 else one.reads_from) for one in STALE.events),
    ),
)  # fmt: skip
SOLE = replace(STALE, events=STALE.events[1:2])
NOTHING = replace(STALE, events=())

RATES = StormRates(
    storm="balanced references", cpus=(0, 1),
    samples=tuple(RateSample(at_s=n / 10, steps=(n * 1000, n * n * 70_000)) for n in range(1, 6)),
    wrong=(StormMoment(cpu=1, at_s=0.48, what=f"cpu 1, iteration 442785: {PATH}"),),
)  # fmt: skip
FLAT = StormRates(storm="claims", cpus=(0, 1, 2, 3), samples=(RateSample(at_s=0.0, steps=(0, 0, 0, 0)),))

ALL: tuple[Diagram, ...] = (
    LOST, HALF, WIDE, ALONE, BARE, STALE, LONG, SOLE, NOTHING, RATES, FLAT,
)  # fmt: skip


def drawn(diagram: Diagram) -> ElementTree.Element:
    match diagram:
        case Interleaving():
            return ElementTree.fromstring(interleaving.svg(diagram))
        case OrderingTrace():
            return ElementTree.fromstring(orderings.svg(diagram))
        case StormRates():
            return ElementTree.fromstring(storm.svg(diagram))


def words(root: ElementTree.Element) -> list[str]:
    """The texts as shown; a title inside of a text is what is shown to who points at it."""
    return [one[0].tail or "" if len(one) else one.text or "" for one in root.iter(f"{SVG}text")]


def tips(root: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in root.iter(f"{SVG}title")]


Box = tuple[float, float, float, float]


def boxes(root: ElementTree.Element) -> Iterator[tuple[str, Box]]:
    """Where each text lies: left, top, right, bottom."""
    for text, shown in zip(root.iter(f"{SVG}text"), words(root), strict=True):
        x, y, width = float(text.get("x", "")), float(text.get("y", "")), CHAR * len(shown)
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[text.get("text-anchor", "start")]
        if shown:
            yield shown, (left, y - 10, left + width, y + 3)


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("diagram", ALL)
def test_a_diagram_travels_with_its_result(diagram: Diagram) -> None:
    result = CheckResult(
        check="test_s_races.py::test_it", clauses=("REF-04",), run=RunKey("q35", "dev"), duration_s=0.1,
        outcome=Outcome.VIOLATED, diagram=diagram,
    )  # fmt: skip
    assert decode(encode(result), CheckResult) == result


@pytest.mark.parametrize("diagram", ALL)
def test_labels_of_a_picture_stay_inside_and_apart(diagram: Diagram) -> None:
    root = drawn(diagram)
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    places = list(boxes(root))
    outside = [shown for shown, (x0, y0, x1, y1) in places if x0 < 0 or y0 < 0 or x1 > width or y1 > height]
    assert outside == []
    assert [(a, b) for (a, one), (b, other) in combinations(places, 2) if overlap(one, other)] == []


@pytest.mark.parametrize("diagram", ALL)
def test_a_picture_says_all_that_the_words_say(diagram: Diagram) -> None:
    description = drawn(diagram).findtext(f"{SVG}desc") or ""
    match diagram:
        case Interleaving():
            assert description == f"{diagram.what}: expected {diagram.expected}, got {diagram.got}"
        case OrderingTrace():
            assert all(one in description for one in (diagram.expected, diagram.got, diagram.consequence))
        case StormRates():
            assert all(one.what in description for one in diagram.wrong)
            assert f"steps of CPU {diagram.cpus[0]}: " in description


def test_an_interleaving_says_who_was_held_where() -> None:
    assert LOST.what == (
        "MetaSlot::dec_ref() while MetaSlot::inc_ref() is held before its access to refcount"
        f" at {FILE}:294; frame in use: refcount"
    )
    assert BARE.what == f"refcount (cpu 1 stopped before instruction 12, {FILE}:294)"
    inside = replace(LOST, hold=replace(LOST.hold, inside=True))
    assert "is held between load and store of its access" in inside.what


def test_what_either_order_gives_is_expected_once() -> None:
    assert LOST.expected == "0x5"
    assert HALF.expected == "0xa5a50902 or 0x501"


def test_the_access_that_goes_on_with_what_is_no_longer_so_is_wrong() -> None:
    assert LOST.wrong == {2}


def test_reads_that_find_a_field_half_done_are_wrong() -> None:
    assert HALF.wrong == {1}


def test_an_interleaving_shows_values_lines_and_both_orders() -> None:
    root = drawn(HALF)
    assert {"store flags: 0x0", "load flags: 0x0", "frame.rs:208", "0xa5a50902", "0x501"} <= set(words(root))
    assert f"{FILE}:208" in tips(root)
    assert "refcount: 0x5 → 0x4" in words(drawn(LOST))


def test_of_too_many_accesses_a_picture_says_how_many_it_leaves_out() -> None:
    shown = words(drawn(WIDE))
    assert sum(one.startswith("vtable: 0xff") for one in shown) == MOST_ROWS
    assert "left out: 50 of 90 accesses" in shown
    one_more = replace(WIDE, accesses=WIDE.accesses[: MOST_ROWS + 1], meanwhile=1)
    assert f"left out: 1 of {MOST_ROWS + 1} accesses" in words(drawn(one_more))


@pytest.mark.parametrize(
    ("diagram", "note"),
    [(ALONE, "what follows was not recorded"), (BARE, "the accesses were not recorded")],
)
def test_what_was_not_recorded_is_said(diagram: Interleaving, note: str) -> None:
    assert note in words(drawn(diagram))


def test_an_ordering_shows_the_value_that_may_be_seen_and_the_write_that_is_not() -> None:
    shown = words(drawn(STALE))
    assert {"payload: old", "may see", "not seen", "sees old"} <= set(shown)
    assert "may see" not in words(drawn(SOLE))


def test_events_that_matter_are_never_left_out() -> None:
    kept = shown_events(LONG)
    assert set(kept) >= {30, 31, 32, 33}
    assert f"left out, having no part in it: {34 - len(kept)} of 34 accesses" in words(drawn(LONG))


def test_rates_are_what_was_done_between_two_samples() -> None:
    for n, rate in enumerate(RATES.rates(0)):
        assert rate == pytest.approx((n / 10, (n + 1) / 10, 10_000))
    assert len(RATES.rates(0)) == 5
    assert FLAT.rates(3) == ()


def test_a_storm_shows_when_it_broke_something() -> None:
    root = drawn(RATES)
    assert f"cpu 1, iteration 442785: {PATH}" in tips(root)
    assert {"CPU 0", "CPU 1", "10 k/s", "6.3 M/s", "0.50 s"} <= set(words(root))


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (2.349e6, "2.35 M/s"),
        (999_600, "1 M/s"),
        (999_400, "999 k/s"),
        (41_000, "41 k/s"),
        (999.6, "1 k/s"),
        (7, "7 /s"),
        (0, "0 /s"),
    ],
)
def test_a_rate_is_read_with_its_unit(rate: float, shown: str) -> None:
    assert rate_words(rate) == shown


def test_words_are_broken_between_words_alone() -> None:
    assert lines_of("one two three", 7) == ["one two", "three"]
    assert lines_of("indivisible", 3) == ["indivisible"]
