"""Judges a module by the tiny contract: `python -m tests.tiny_contract.judge [slot.rs]`."""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr
from frame_harness.contract import layout_map
from frame_harness.contract.methods import SlotMethod
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.guest.boot_options import BootOptions
from frame_harness.guest.boundaries import play
from frame_harness.guest.checks import ClauseViolated, expect
from frame_harness.histories.method_history import check, clauses_at_stake
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import (
    CheckResult,
    Evidence,
    LayoutEvidence,
    Level,
    Outcome,
    PlannedCheck,
    RunKey,
    SubjectInfo,
    Witness,
)
from frame_harness.judge.exit_codes import ExitCode, exit_code
from frame_harness.judge.verdict import Verdict, judge
from frame_harness.machine.definition import load_machine
from frame_harness.report.terminal import console_for, print_report
from frame_harness.session.invariant_results import invariant_results
from frame_harness.session.preflight import prepare
from frame_harness.session.results import broken_off
from frame_harness.session.run import Run, merge
from tests.tiny_contract.contract import PREFLIGHT, TINY, Table

RUN = RunKey("microvm", "release")
CALLS = 200
BARE = BootOptions(init="array")
"""The table is there, and nothing was allocated."""
OWNER, OTHER = 0x1122_3344_5566_7788, 0x99AA


@dataclass(frozen=True)
class Check:
    """One check with the clauses that it looks at, and the function that it blames where it knows no better.

    It gets a guest, and can boot others.
    """

    name: str
    clauses: tuple[str, ...]
    level: Level
    play: Callable[[Kernel, Boot], object]
    blames: str = ""


def a_second_owner_is_refused(kernel: Kernel, _boot: Boot) -> None:
    slot = kernel.slot(Paddr(0x7000))
    slot.call("take", OWNER)
    reply = kernel.request(f"slot.take {slot.paddr:#x} {OTHER:#x}")
    expect("status of a take by another owner", reply.status, "fail", frame=slot.paddr)
    expect("who holds the slot", reply["v"], OWNER, base=16, frame=slot.paddr, field="owner")
    slot.call("put")


def table_holds(invariant: str) -> Callable[[Kernel, Boot], None]:
    """Look at the table at the moments of preflight, in a guest of its own."""

    def look(_kernel: Kernel, boot: Boot) -> None:
        for moment in PREFLIGHT.moments(boot(init="array")):
            _judge(invariant, moment.state)

    return look


def _judge(invariant: str, table: Table) -> None:
    result = TINY.invariants[invariant].judge(table)
    for one in result.violations[:1]:
        raise ClauseViolated(
            result.id,
            expected=one.expected,
            got=one.got,
            frame=None if one.pfn is None else Paddr(one.pfn << 12),
            field=one.field,
            function=TINY.functions.keeper_of(one.field),
            breaks=result.clauses,
        )


def _of(method: SlotMethod) -> tuple[str, ...]:
    """The clauses of which the boundary cases of a method can find one broken."""
    general = [TINY.layouts.general] if method.accessor else []
    return tuple(dict.fromkeys([*method.clauses, *method.by_field.values(), *general]))


def boundaries_of(method: SlotMethod) -> Check:
    """Every operand and every stored value at its boundaries, one call each."""
    name, blames = f"boundaries[{method.id}]", TINY.path_of(method)
    return Check(name, _of(method), Level.CALL, lambda kernel, _: play(kernel, method), blames)


def table_is(id_: str, clauses: tuple[str, ...]) -> Check:
    """An invariant of the whole table."""
    return Check(f"table[{id_}]", clauses, Level.MEMORY, table_holds(id_))


def history_of(clause: str) -> Check:
    """Random sequences of calls."""
    seed = zlib.crc32(clause.encode())
    return Check(
        f"history[{clause}]",
        (clause,),
        Level.HISTORY,
        lambda kernel, boot: check(kernel, lambda: boot(init="array"), clause, CALLS, seed),
    )


CHECKS = (
    *map(boundaries_of, TINY.methods),
    Check("a_second_owner_is_refused", ("TINY-03",), Level.CALL, a_second_owner_is_refused, "TinySlot::take"),
    *(table_is(one.id, one.clauses) for one in TINY.invariants.values()),
    *map(history_of, clauses_at_stake(TINY)),
)


def layout_result(image: Image) -> CheckResult:
    """Hold what the compiler made of the slot against the contract."""
    actual = image.layout(TINY.slot.name)
    differences = TINY.layouts.diff(TINY.slot, actual)
    result = CheckResult(
        check="layout", clauses=("TINY-01",), run=RUN, outcome=Outcome.PASSED, duration_s=0,
        level=Level.DECLARATION,
    )  # fmt: skip
    if not differences:
        return result
    return msgspec.structs.replace(
        result, outcome=Outcome.VIOLATED, message=f"layout of {TINY.slot.name}",
        expected=f"{TINY.slot.size} bytes as in the contract", got="; ".join(map(str, differences)),
        exhibit=layout_map.render(TINY.slot, actual), function=TINY.slot.name,
        at=_line_of(TINY.slot.name, image),
    )  # fmt: skip


def play_checks(run: Run) -> list[CheckResult]:
    """Every check, in order, on one guest; what breaks off does not keep the others from being played."""
    results: list[CheckResult] = []
    for one in CHECKS:
        kernel = run.shared(BARE)
        kernel.commands.clear()
        began = time.monotonic()
        facts: dict[str, Any] = {"outcome": Outcome.PASSED}
        try:
            one.play(kernel, lambda **words: run.boot(BootOptions(**words)))
        except ClauseViolated as error:
            facts = _of_a_violation(error, one.blames, run.image) | {"commands": tuple(kernel.commands)}
        except HarnessError as error:
            run.retire_shared()
            facts = {"outcome": broken_off(error), "message": error.summary}
        took = time.monotonic() - began
        results.append(
            CheckResult(
                check=one.name, clauses=one.clauses, run=RUN, level=one.level, duration_s=took, **facts
            )
        )
    return results


def _of_a_violation(error: ClauseViolated, blamed: str, image: Image) -> dict[str, Any]:
    function = error.function or blamed
    return {
        "outcome": Outcome.VIOLATED, "message": error.what, "expected": error.expected, "got": error.got,
        "frame": error.frame, "field": error.field, "function": function,
        "at": _line_of(function, image), "breaks": error.breaks,
    }  # fmt: skip


def _line_of(function: str, image: Image) -> str:
    place = image.item_line(function) if function else None
    return f"{place[0]}:{place[1]}" if place else ""


def judge_module(path: Path | None = None) -> tuple[Evidence, Verdict]:
    """Judge a module, or the one in which every clause holds.

    Raises:
        HarnessError: it does not compile, or no guest comes up.
    """
    began, toolchain = time.monotonic(), find_toolchain()
    subject = Subject.from_file(path, TINY) if path else Subject.builtin(TINY)
    image = build(subject, RUN.profile, toolchain=toolchain)
    run = Run(RUN, image, load_machine(RUN.machine))
    results = [layout_result(image)]
    planned = [PlannedCheck(run=RUN, check=one.check, clauses=one.clauses) for one in results]
    if results[0].outcome is Outcome.VIOLATED:  # everything else looks at slots through their fields
        run.layout = LayoutEvidence(dwarf=Witness.DIFFERS, guest_bytes=Witness.UNREAD)
    else:
        prepare(run)
        planned += [PlannedCheck(run=RUN, check=one.name, clauses=one.clauses) for one in CHECKS]
        results += play_checks(run)
        run.finish_all()
        found = invariant_results(TINY, RUN, run.violated, lambda _: "")
        planned += [PlannedCheck(run=RUN, check=one.check, clauses=one.clauses) for one in found]
        results += found
    evidence = Evidence(
        subject=SubjectInfo(name=subject.name, path=str(subject.path), sha256=image.subject.sha256),
        planned_runs=(RUN,),
        plan=tuple(planned),
        runs=(merge([run.ledger()], image.subject.sha256, toolchain.describe().removeprefix("toolchain: ")),),
        checks=tuple(results),
        duration_s=time.monotonic() - began,
    )
    return evidence, judge(evidence, TINY, required=tuple(TINY.clauses))


def main() -> int:
    """Print the report; return the exit status of the verdict."""
    try:
        evidence, verdict = judge_module(Path(sys.argv[1]) if sys.argv[1:] else None)
    except HarnessError as error:
        print(error.summary, file=sys.stderr)
        return int(ExitCode.ERROR)
    print_report(evidence, verdict, EMPTY, console_for())
    return int(exit_code(verdict.kind))


if __name__ == "__main__":
    sys.exit(main())
