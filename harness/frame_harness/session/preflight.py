"""Compares the witnesses once, before any check of a run is believed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from frame_harness.base.errors import HarnessError
from frame_harness.base.record import Record
from frame_harness.base.units import GIB, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.console import ktap
from frame_harness.contract.contract import Contract
from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, InvariantResult, Violation
from frame_harness.contract.preflight import AddressPromise, Preflight
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.backtrace import calls, path_in_module
from frame_harness.guest.checks import ImpossibleValue
from frame_harness.guest.command_table import require_commands
from frame_harness.guest.errors import (
    AllocFailed,
    GuestCrashed,
    GuestFailure,
    SubjectPanic,
    WitnessesDisagree,
)
from frame_harness.guest.printed import Printed
from frame_harness.guest.remains import leave_guest
from frame_harness.guest.table_witness import contradiction
from frame_harness.image.image import Image
from frame_harness.image.placed import is_part_of
from frame_harness.judge.evidence import LayoutEvidence, SelftestEvidence, ViolatedInvariant, Witness
from frame_harness.session.layout_witness import dwarf_evidence, layout_evidence
from frame_harness.session.run import Run


class Facts(Record, frozen=True, kw_only=True):
    """What was taken down of a run whose witnesses agree."""

    layout: LayoutEvidence
    selftest: SelftestEvidence
    invariants: dict[str, int]
    violated: tuple[ViolatedInvariant, ...]


def facts_of(run: Run) -> Facts:
    """What `prepare` noted about a run, as a value that another process can take over."""
    return Facts(layout=run.layout, selftest=run.selftest, invariants=run.invariants, violated=run.violated)


def take_over(run: Run, facts: Facts) -> None:
    """Have a run as if it were prepared here; another process did it with the same image and machine."""
    run.layout, run.selftest = facts.layout, facts.selftest
    run.invariants, run.violated = facts.invariants, facts.violated


def prepare(run: Run) -> None:
    """Boot one guest and take down what the verdict needs beside the checks.

    Raises:
        WitnessesDisagree: the dump and RAM differ, or the guest's own checks are incomplete.
        GuestCrashed: the subject panicked where no check looks: none of their clauses is to blame.
        HarnessError: the subject refused there what it may not refuse.
    """
    began = time.monotonic()
    try:
        _look(run)
    except GuestFailure as failure:
        note_no_return(run, failure)
        raise
    finally:
        run.preflight_s = time.monotonic() - began


def _look(run: Run) -> None:
    kernel = run.boot()
    try:
        _compare(run, kernel)
        if run.violated and run.on_violated is not None:
            run.on_violated(kernel)
    except HarnessError as error:
        if (
            run.on_violated is not None
        ):  # else nobody would take it, and the error lasts as long as the session
            leave_guest(error, kernel)
        raise
    finally:
        run.finish(kernel)


def _compare(run: Run, kernel: Kernel) -> None:
    try:
        run.selftest = selftest(kernel)
        contract = run.image.subject.contract
        require_commands(kernel, contract)
        run.layout = dwarf_evidence(kernel)
        judged = run.layout.dwarf is Witness.EQUAL  # invariants know the contract's slots alone
        preflight = preflight_of(contract)
        try:
            # The array as boot left it comes first. Where it is broken, so is what invariants say of it: the
            # checks tell what else is.
            array = judge_array(kernel, preflight, judged=judged)
            note_invariants(run, array)
            run.layout = layout_evidence(kernel, preflight)
            if contract.dumped:
                compare_dump(run, kernel)
            if judged and not any(result.total for result in array):
                note_invariants(run, [*array, *judge_invariants(kernel, preflight)])
        except ImpossibleValue as value:
            note_impossible(run, value)
    except SubjectPanic as panic:
        raise GuestCrashed("preflight", detail=str(panic), backtrace=panic.backtrace) from panic
    except AllocFailed as failed:
        raise HarnessError("preflight", detail=str(failed)) from failed


def preflight_of(contract: Contract) -> Preflight[Any]:
    """What a contract says of preflight.

    Raises:
        HarnessError: nothing, so that no check of a run could be believed.
    """
    if contract.preflight is None:
        raise HarnessError("preflight", contract.name, expected="a contract that describes it", actual="none")
    return contract.preflight


def judge_array(kernel: Kernel, preflight: Preflight[Any], *, judged: bool) -> list[InvariantResult]:
    """What the table is as boot left it: that of the last look, which a broken one before it prevents.

    Args:
        judged: slots have the fields of the contract.
    """
    array = [judge_slot_addresses(kernel, preflight.address)] if preflight.address else []
    if judged and preflight.as_booted and not any(result.total for result in array):
        array = [preflight.as_booted(kernel)]
    return array


def judge_slot_addresses(kernel: Kernel, promise: AddressPromise) -> InvariantResult:
    """Ask the subject for the slots at every border of memory, and of every size of memory below.

    The shim reaches all slots from that of frame 0, others ask the subject: both must mean the same.
    """
    slot_bytes = kernel.slots().dtype.itemsize
    base = kernel.hhdm + kernel.witness.meta_paddr
    pfns = {paddr_to_pfn(border) for region in kernel.memory_map() for border in (region.base, region.end)}
    pfns |= {Pfn(1 << bit) for bit in range(kernel.frames.bit_length())}
    pfns |= {Pfn(pfn - 1) for pfn in pfns} | {Pfn(kernel.frames - 1)}
    asked = sorted(pfn for pfn in pfns if 0 <= pfn < kernel.frames)
    wrong = []
    for pfn in asked:
        expected = base + pfn * slot_bytes
        try:
            got = f"{kernel.call(promise.command, pfn_to_paddr(pfn))[promise.reply]:#x}"
        except SubjectPanic as panic:
            got = f'the panic "{panic.message}"'
        if got != f"{expected:#x}":
            wrong.append(Violation(promise.name, pfn, "address of its slot", f"{expected:#x}", got))
    high = bool(wrong) and all(_behind(one) for one in wrong)
    shown = tuple(wrong[:MAX_COUNTEREXAMPLES])
    clauses = promise.high_clauses if high else promise.clauses
    return InvariantResult(promise.name, clauses, len(asked), shown, len(wrong))


def _behind(violation: Violation) -> bool:
    """Whether it shows only on frames behind the hole below 4 GiB."""
    return violation.pfn is not None and pfn_to_paddr(violation.pfn) >= 4 * GIB


def judge_invariants(kernel: Kernel, preflight: Preflight[Any]) -> list[InvariantResult]:
    """Use the module, so that every invariant has data; return what each of them saw at each moment.

    If the subject fails here, return nothing but what was found broken by then: the checks of the clauses
    report it, and an invariant that held before counts as not evaluated.
    """
    invariants, results = kernel.image.subject.contract.invariants, list[InvariantResult]()
    try:
        for moment in preflight.moments(kernel):
            results += invariants.check_all(moment.state, moment.before)
    except (SubjectPanic, AllocFailed):
        return [result for result in results if result.total]
    return results


def note_invariants(run: Run, results: Iterable[InvariantResult]) -> None:
    """Remember how many frames each invariant looked at, with those that did not hold.

    Args:
        results: of several moments, in order; of those that one invariant violates the first counts.
    """
    run.invariants = {}
    violated: dict[str, ViolatedInvariant] = {}
    for result in results:
        # Where nothing can be poisoned, there is nothing in quarantine to look at.
        versions = run.image.subject.contract.versions
        if not result.evaluated and versions.are_absent(result.clauses, run.image.lacks):
            continue
        run.invariants[result.id] = max(result.evaluated, run.invariants.get(result.id, 0))
        if result.total:
            violated.setdefault(result.id, _violated(result, run.image))
    run.violated = tuple(violated.values())


def _violated(result: InvariantResult, image: Image) -> ViolatedInvariant:
    field = result.violations[0].field
    function = image.subject.contract.functions.keeper_of(field)
    line = image.item_line(function) if function else None
    return ViolatedInvariant(
        name=result.id, clauses=result.clauses, text=result.text, field=field, function=function,
        at=f"{line[0]}:{line[1]}" if line else "",
    )  # fmt: skip


def note_impossible(run: Run, value: ImpossibleValue) -> None:
    """Remember what kept the rest from being looked at; the checks go on without it."""
    text = f"{value.what}: expected {value.expected}, got {value.got}"
    one = ViolatedInvariant(name=f"{value.clause} on the way", clauses=(value.clause,), text=text)
    run.violated = (*run.violated, one)
    if run.layout.guest_bytes is Witness.UNREAD:
        run.layout = msgspec.structs.replace(
            run.layout, text="; ".join(filter(None, [run.layout.text, text]))
        )


def note_no_return(run: Run, failure: GuestFailure) -> None:
    """Remember the clause of the subject's function that ended the guest: preflight calls nothing in vain."""
    for found in calls(failure.backtrace):
        function = path_in_module(found.function)
        must_return = run.image.subject.contract.functions.must_return
        if function in must_return and is_part_of(found.file, str(run.image.subject.path)):
            one = ViolatedInvariant(
                name="boot", clauses=(must_return[function],), function=function,
                text=f"{function} does not return: {failure.detail}", at=f"{found.file}:{found.line}",
            )  # fmt: skip
            run.violated = (*run.violated, one)
            return


def selftest(kernel: Kernel) -> SelftestEvidence:
    """Run the guest's own checks and read their KTAP.

    Raises:
        WitnessesDisagree: it is KTAP, but contradicts itself.
    """
    result = ktap.parse(kernel.call("selftest").data)
    if result.problems and (result.plan or result.tests):  # that nothing was planned is for the judge to say
        raise WitnessesDisagree("selftest", detail="; ".join(result.problems))
    failed = len(result.failures)
    return SelftestEvidence(plan=result.plan or 0, passed=len(result.ran) - failed, failed=failed)


def compare_dump(run: Run, kernel: Kernel) -> None:
    """Require that the whole table, as the guest reads it, is the table in RAM.

    Raises:
        WitnessesDisagree: names the first frame that differs, with both words for it.
    """
    table = kernel.slots()
    found = contradiction(Printed(kernel), table)
    if found is not None:
        run.contradicted += 1
        raise WitnessesDisagree(
            "slot table",
            f"frame {pfn_to_paddr(found.pfn):#x}",
            expected=f"{found.in_ram} (guest RAM)",
            actual=f"{found.printed} (serial dump)",
            detail=found.how,
        )
