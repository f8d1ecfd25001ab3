"""Proves that trouble before the first check is told as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr
from frame_harness.contract.contract import Contract
from frame_harness.contract.layout import FieldLayout, StructLayout
from frame_harness.contract.preflight import Preflight, PreflightMoment
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.guest.backtrace import BacktraceLine
from frame_harness.guest.errors import AllocFailed, GuestCrashed, SubjectPanic
from frame_harness.judge.evidence import LayoutEvidence, Witness
from frame_harness.session.layout_witness import layout_evidence
from frame_harness.session.preflight import judge_invariants, preflight_of, prepare
from frame_harness.session.run import Run
from tests.tiny_contract.contract import KERNEL, TINY, Table

DEEP = (BacktraceLine("deep"), BacktraceLine("shallow"))
PANIC = SubjectPanic(file="frame.rs", line=7, message="no", request="selftest", backtrace=DEEP)


class Trouble:
    """A run whose one guest answers each request with an exception; remembers that it was ended."""

    on_violated = None

    def __init__(self, error: Exception) -> None:
        self.error, self.finished = error, 0

    def boot(self) -> Trouble:
        return self

    def call(self, *_: object) -> None:
        raise self.error

    def finish(self, _: object) -> None:
        self.finished += 1


def test_a_panic_where_no_check_looks_is_a_crash_that_blames_no_clause() -> None:
    run = Trouble(PANIC)
    with pytest.raises(GuestCrashed, match=r"preflight: panic during `selftest` at frame.rs:7: no") as caught:
        prepare(cast("Run", cast("Any", run)))
    assert caught.value.backtrace == DEEP
    assert run.finished == 1


def test_a_refusal_where_no_check_looks_is_an_error_that_blames_no_clause() -> None:
    with pytest.raises(HarnessError, match=r"preflight: `buddy.alloc` returned OutOfMemory") as caught:
        prepare(cast("Run", cast("Any", Trouble(AllocFailed("OutOfMemory", "buddy.alloc")))))
    assert not isinstance(caught.value, GuestCrashed)


def guest_of(contract: Contract) -> Kernel:
    """A guest of which nothing is asked but what it was built of."""
    image = SimpleNamespace(
        subject=SimpleNamespace(contract=contract),
        slot_type=contract.slot.name,
        slot_layout=contract.slot,
        layout=lambda _: contract.slot,
        has=lambda _: True,
    )
    return cast("Kernel", cast("Any", SimpleNamespace(image=image)))


def panics_behind(*states: Table) -> Preflight[Any]:
    def moments(_: object) -> Iterator[PreflightMoment]:
        yield from map(PreflightMoment, states)
        raise PANIC

    return Preflight(moments, lambda _: nullcontext(Paddr(0)), ())


def table(owner: int, turns: int) -> Table:
    slots = np.zeros(2, np.dtype([("owner", "<u8"), ("turns", "<u4")]))
    slots[0] = owner, turns
    return Table(slots, at_start=True)


def test_a_panic_in_use_leaves_invariants_that_held_unevaluated() -> None:
    assert judge_invariants(guest_of(TINY), panics_behind(table(KERNEL, 1))) == []


def test_a_panic_in_use_hides_no_invariant_that_was_broken_before() -> None:
    found = judge_invariants(guest_of(TINY), panics_behind(table(KERNEL, 0)))
    assert [(one.clauses, one.total) for one in found] == [(("TINY-07",), 1)]


def test_guest_bytes_count_as_unread_where_no_method_tells_them() -> None:
    preflight = panics_behind()
    found = layout_evidence(guest_of(replace(TINY, methods=())), preflight)
    assert (found.dwarf, found.guest_bytes) == (Witness.EQUAL, Witness.UNREAD)
    assert found.text == "no method of the contract stores an operand"


class Slots:
    """A guest that stores what its methods are given, each in the field that it is asked to."""

    def __init__(
        self,
        lacks: tuple[str, ...],
        stores: dict[str, str],
        refuses: str = "",
        slot: StructLayout = META_SLOT,
    ) -> None:
        self.image = SimpleNamespace(
            subject=SimpleNamespace(contract=FRAME_METADATA), slot_type=slot.name, slot_layout=slot,
            layout=lambda _: slot, has=lambda name: name.removeprefix("MetaSlot::") not in lacks,
        )  # fmt: skip
        self._table = np.zeros(1, np.dtype((np.void, slot.size)))
        self._stores, self._refuses = {**FRAME_METADATA.setters, **stores}, refuses
        self.called: list[str] = []

    def slots(self) -> np.ndarray[Any, Any]:
        return self._table

    def slot(self, _: Paddr) -> Slots:
        return self

    def call(self, method: str, *arguments: int) -> None:
        self.called.append(method)
        if method == self._refuses:
            raise AllocFailed("OutOfMemory", method)
        field = self.image.slot_layout.field(self._stores[method])
        assert field is not None
        row = self._table.view(np.uint8)
        row[field.offset : field.end] = list(arguments[-1].to_bytes(field.size, "little"))


def witnessed(slots: Slots) -> LayoutEvidence:
    return layout_evidence(cast("Kernel", cast("Any", slots)), panics_behind())


def test_a_field_whose_setter_is_not_in_this_version_is_told_by_another_method() -> None:
    lacks = ("set_guard", "set_refcount", "cas_refcount")
    right = witnessed(slots := Slots(lacks, {"fetch_or_guard": "guard"}))
    assert (right.guest_bytes, right.text) == (Witness.EQUAL, "")
    assert "fetch_or_guard" in slots.called and not {*lacks} & {*slots.called}
    wrong = witnessed(Slots(lacks, {"fetch_or_guard": "generation"}))
    assert wrong.guest_bytes is Witness.DIFFERS
    assert "fetch_or_guard leaves" in wrong.text


OLDER = StructLayout(
    "FrameMeta", 64, 64,
    (
        *(FieldLayout(name, at, 8, "AtomicU64") for name, at in (("next", 0), ("prev", 8))),
        *(FieldLayout(name, at, 4, "AtomicU32") for name, at in (("refcount", 16), ("flags", 20))),
        FieldLayout("order", 24, 1, "AtomicU8"),
    ),
)  # fmt: skip
OF_TODAY = tuple(name for name, field in FRAME_METADATA.setters.items() if OLDER.field(field) is None)


def test_a_setter_whose_field_an_older_version_has_not_is_not_asked() -> None:
    """What it is given may be kept in another field; those that are there are looked at all the same."""
    lacks = tuple(name for name in OF_TODAY if name != "set_guard")
    found = witnessed(slots := Slots(lacks, {}, slot=OLDER))
    assert (found.guest_bytes, found.text) == (Witness.EQUAL, "")
    assert "set_guard" not in slots.called and "set_refcount" in slots.called


def test_an_older_version_s_fields_are_looked_for_where_it_has_them() -> None:
    lacks = (*OF_TODAY, "set_refcount", "fetch_or_guard")
    right = witnessed(slots := Slots(lacks, {"cas_refcount": "refcount"}, slot=OLDER))
    assert (right.guest_bytes, right.text) == (Witness.EQUAL, "")
    assert "cas_refcount" in slots.called
    wrong = witnessed(Slots(lacks, {"cas_refcount": "flags"}, slot=OLDER))
    assert wrong.guest_bytes is Witness.DIFFERS
    assert "cas_refcount leaves" in wrong.text and "in bytes 16 to 19 of the slot" in wrong.text


def test_a_method_is_not_asked_where_a_field_has_another_width_than_today() -> None:
    narrow = replace(OLDER, fields=(*OLDER.fields[:-1], FieldLayout("order", 24, 2, "AtomicU16")))
    lacks = (*OF_TODAY, "set_refcount", "fetch_or_guard")
    found = witnessed(slots := Slots(lacks, {}, slot=narrow))
    assert (found.guest_bytes, found.text) == (Witness.EQUAL, "") and "cas_refcount" not in slots.called


def test_a_field_that_lies_elsewhere_is_told_though_the_subject_fails_behind_it() -> None:
    found = witnessed(Slots((), {"set_next": "prev"}, refuses="set_order"))
    assert found.guest_bytes is Witness.DIFFERS
    assert "set_next changes bytes" in found.text and "OutOfMemory" in found.text


def test_guest_bytes_stay_unread_where_the_subject_fails() -> None:
    assert witnessed(Slots((), {}, refuses="set_order")).guest_bytes is Witness.UNREAD


def test_a_contract_without_preflight_is_refused() -> None:
    with pytest.raises(HarnessError, match="preflight: frame metadata: expected a contract that describes"):
        preflight_of(replace(FRAME_METADATA, preflight=None))
