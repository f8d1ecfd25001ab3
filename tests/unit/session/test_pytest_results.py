"""Proves what a check that met the unexpected is made into."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.errors import HostRamError, MachineError, ProtocolError, RamError
from frame_harness.base.units import Paddr
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.checks import ClauseViolated, ImpossibleValue, NotEvaluated
from frame_harness.guest.errors import (
    CommandRefused,
    GuestCrashed,
    NotInThisVersion,
    OtherAnswer,
    QemuEndError,
)
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey, SlotBytes, decode
from frame_harness.machine.monitor_event import MonitorEvent
from frame_harness.session.leavings import Leavings
from frame_harness.session.plugin import KERNELS, PHASES, SESSION, SLOTS, _report_result
from frame_harness.session.results import ON_THE_WAY, of_the_phases, result_of, seen_on_the_way
from frame_harness.session.seen import Met
from frame_harness.session.session import SEEN
from frame_harness.session.words import compared

RUN = RunKey("q35", "dev")
FRAME = Paddr(1 << 48)
NOWHERE = ImpossibleValue("ALLOC-14", "frame handed out", expected="RAM", got=f"{FRAME:#x}", frame=FRAME)


class Item:
    """A collected check of one clause."""

    name, path = "test_x", SimpleNamespace(name="test_d.py")

    def __init__(self, clause: str) -> None:
        self._mark = SimpleNamespace(args=(clause,), kwargs={})

    def iter_markers(self, name: str) -> list[Any]:
        return [self._mark] if name == "clause" else []

    def get_closest_marker(self, _name: str) -> None:
        return None


def judged(
    error: BaseException, clause: str = "ALLOC-09", image: Image | None = None
) -> tuple[CheckResult, CheckResult | None]:
    item = cast("pytest.Item", cast("Any", Item(clause)))
    report = SimpleNamespace(failed=True, skipped=False, duration=0.1, when="call")
    phases: dict[str, tuple[pytest.TestReport, BaseException | None]] = {}
    phases["call"] = (cast("pytest.TestReport", cast("Any", report)), error)
    facts, _ = of_the_phases(item, image, None, phases)
    result = result_of(item, RUN, facts, phases, [], lambda: "see it again")
    return result, seen_on_the_way(item, result, error, image)


def of_phases(**phases: tuple[BaseException | None, dict[str, Any]]) -> CheckResult:
    """What comes of a check of ALLOC-09 whose phases ended so."""
    ended = {"failed": False, "skipped": False, "duration": 0.1, "longrepr": "Skipped: no such RAM"}
    reports = {
        phase: (cast("pytest.TestReport", cast("Any", SimpleNamespace(**ended | words))), error)
        for phase, (error, words) in phases.items()
    }
    item = cast("pytest.Item", cast("Any", Item("ALLOC-09")))
    facts, _ = of_the_phases(item, None, None, reports)
    return result_of(item, RUN, facts, reports, [], lambda: "see it again")


@pytest.mark.parametrize(
    "earlier",
    [
        (None, {"skipped": True}),
        (NOWHERE, {"failed": True}),
        (NotInThisVersion(("MetaSlot",), "check"), {"failed": True}),
    ],
    ids=["skipped", "hindered", "absent"],
)
def test_a_violation_that_a_fixture_meets_at_its_end_is_not_lost_behind_a_check_that_was_not_made(
    earlier: tuple[BaseException | None, dict[str, Any]],
) -> None:
    late = (ClauseViolated("x", expected="1", got="2"), {"failed": True})
    result = of_phases(setup=(None, {}), call=earlier, teardown=late)
    assert (result.outcome, result.message) == (Outcome.VIOLATED, "x")
    assert of_phases(call=earlier, teardown=(None, {})).outcome in (Outcome.SKIPPED, Outcome.ABSENT)


def test_slot_and_end_of_a_check_are_those_of_the_phase_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it met first is another clause's, and so is that slot."""
    monkeypatch.setattr("frame_harness.session.plugin.reproduce", lambda *_: "see it again")
    monkeypatch.setattr("frame_harness.session.plugin.RUN", "run")
    ends: list[BaseException | None] = []
    late = ClauseViolated("x", expected="1", got="2")
    failed = SimpleNamespace(failed=True, skipped=False, duration=0.1, user_properties=[])
    kernel = SimpleNamespace(
        console_tail=lambda _: (), commands=(), called=(), guest=SimpleNamespace(events=lambda **_: ()),
        channel=SimpleNamespace(transcript=SimpleNamespace(n_received=0)),
    )  # fmt: skip
    item: Any = Item("ALLOC-09")
    item.nodeid = "test_d.py::test_x"
    item.stash = {
        PHASES: {"call": (failed, NOWHERE), "teardown": (failed, late)}, KERNELS: [kernel],
        SLOTS: {"call": (first := SlotBytes(got="11")), "teardown": (own := SlotBytes(got="22"))},
        "run": SimpleNamespace(image=None, layout=None, note_end=ends.append),
    }  # fmt: skip
    item.config = SimpleNamespace(stash={SESSION: SimpleNamespace(leavings=Leavings(None, FRAME_METADATA))})
    told = _report_result(item, RUN, cast("Any", failed))
    [met] = [decode(value, Met) for name, value in failed.user_properties if name == SEEN]
    assert met == Met(number=0, result=told[1])
    assert [(one.clauses, one.slot) for one in told] == [(("ALLOC-09",), own), (("ALLOC-14",), first)]
    assert ends == [late]


def test_of_two_faults_the_first_is_told() -> None:
    late = (ClauseViolated("x", expected="1", got="2"), {"failed": True})
    result = of_phases(call=(GuestCrashed("reset", detail="by itself"), {"failed": True}), teardown=late)
    assert result.outcome is Outcome.CRASHED


def test_a_failure_that_was_expected_breaks_its_clause_all_the_same() -> None:
    """Pytest calls it skipped."""
    error = ClauseViolated("x", expected="1", got="2")
    expected = of_phases(call=(error, {"skipped": True, "wasxfail": "known"}), teardown=(None, {}))
    assert expected.outcome is Outcome.VIOLATED
    assert of_phases(call=(None, {"wasxfail": "known"})).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("error", "blames"),
    [
        (MachineError("qemu", "microvm", detail="unable to map backing store"), False),
        (HostRamError("guest RAM", "904 MiB", detail="Cannot allocate memory"), False),
        (QemuEndError("qemu", detail="somebody killed it"), False),
        (RamError("guest RAM", "8 bytes at 0x1", expected="RAM", actual="outside"), True),
        (GuestCrashed("reset", detail="by itself"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_host_lacks_is_no_line_of_the_module(
    error: BaseException, blames: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frame_harness.session.results._line_of", lambda *_: "frame.rs:7")
    result, _ = judged(error)
    assert result.at == ("frame.rs:7" if blames else "")
    assert not (result.unreadable and not blames)


def test_a_value_that_leads_nowhere_blames_the_clause_that_promises_it_once() -> None:
    result, seen = judged(NOWHERE)
    assert result.outcome is Outcome.SKIPPED
    assert "ALLOC-14 is broken: frame handed out" in result.message
    assert seen is not None
    assert (seen.check, seen.clauses) == (f"{ON_THE_WAY}ALLOC-14", ("ALLOC-14",))
    assert (seen.outcome, seen.expected, seen.got) == (Outcome.VIOLATED, "RAM", f"{FRAME:#x}")
    assert (seen.frame, seen.reproduce) == (FRAME, "see it again")
    assert seen.reproduce == "see it again"


def test_a_value_that_leads_nowhere_is_a_violation_in_a_check_of_its_own_clause() -> None:
    result, seen = judged(NOWHERE, "ALLOC-14")
    assert (result.outcome, result.got, seen) == (Outcome.VIOLATED, f"{FRAME:#x}", None)


@pytest.mark.parametrize(
    "error",
    [
        IndexError("index 5 is out of bounds"),
        KeyError("paddr"),
        ValueError("not enough values to unpack"),
        OverflowError("int too large"),
        struct.error("unpack requires a buffer of 8 bytes"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        RamError("guest RAM", "8 bytes at 0x0"),
        CommandRefused("console command", "release 0x1000 0"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_data_of_a_guest_provokes_is_told_from_other_errors(error: Exception) -> None:
    result, _ = judged(error)
    assert (result.outcome, result.unreadable) == (Outcome.ERROR, True)


@pytest.mark.parametrize(
    "error",
    [
        TypeError("x"),
        AttributeError("x"),
        NameError("x"),
        RuntimeError("x"),
        OSError("x"),
        ProtocolError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_the_harness_s_own_fault_stays_an_error(error: Exception) -> None:
    result, _ = judged(error)
    assert (result.outcome, result.unreadable) == (Outcome.ERROR, False)


def test_a_crash_keeps_where_its_console_ended_and_what_qemu_said() -> None:
    resumed = MonitorEvent("RESUME")
    shutdown = MonitorEvent("SHUTDOWN", "guest-reset")
    result, _ = judged(GuestCrashed("reset", detail="x", console_bytes=812, events=(resumed, shutdown)))
    assert (result.outcome, result.console_bytes) == (Outcome.CRASHED, 812)
    assert result.events == (str(shutdown),)


def test_a_failure_that_was_to_be_and_was_not_is_a_violation() -> None:
    with pytest.raises(pytest.fail.Exception) as missing, pytest.raises(ZeroDivisionError):
        pass
    result, _ = judged(missing.value)
    assert result.outcome is Outcome.VIOLATED
    assert "DID NOT RAISE" in result.message


def test_what_cannot_be_evaluated_says_why() -> None:
    result, seen = judged(NotEvaluated("interleaving", detail="a step takes too many instructions"))
    assert (result.outcome, seen) == (Outcome.NOT_EVALUATED, None)
    assert result.message == "interleaving: a step takes too many instructions"


def test_a_violation_is_one() -> None:
    assert judged(ClauseViolated("x", expected="1", got="2"))[0].outcome is Outcome.VIOLATED


@pytest.mark.parametrize("look", [lambda slots: slots["vtable"], lambda slots: slots.dtype["vtable"]])
@pytest.mark.parametrize("lacks", [(), ("MetaSlot.vtable",)])
def test_field_of_a_slot_is_absent_only_where_the_compiler_says_so(
    look: Callable[[Any], object], lacks: tuple[str, ...]
) -> None:
    image = SimpleNamespace(
        lacks=lacks, subject=frame_module(), item_line=lambda _: None, function_line=lambda _: None
    )
    with pytest.raises((ValueError, KeyError)) as raised:
        look(np.zeros(1, np.dtype([("flags", "<u4")])))
    result, _ = judged(raised.value, image=cast("Image", image))
    assert (result.outcome, result.lacks) == (Outcome.ABSENT if lacks else Outcome.ERROR, lacks)


def test_an_answer_without_what_the_check_reads_is_a_violation() -> None:
    """`try_vtable_ref` that says None where a vtable is registered: the reply has no hooks."""
    result, seen = judged(OtherAnswer("slot.try_vtable_ref 0x0", "on_last_ref", "ok some=0"))
    assert (result.outcome, result.expected, result.got) == (
        Outcome.VIOLATED, "an answer with on_last_ref", "ok some=0",
    )  # fmt: skip
    assert result.incidental and seen is None


def test_numbers_that_may_be_addresses_are_compared_in_hex_too() -> None:
    assert compared("==", 0x1000, 1) == ["0x1000 == 0x1", "decimal: 4096 == 1"]
    assert compared("==", 3, 4) is None and compared("==", 0x1000, "a") is None
