"""Compares the witnesses once, before any check of a run is believed."""

from __future__ import annotations

import numpy as np

from harness.canary import PayloadWatch
from harness.console import ktap
from harness.contract.invariants import Report, check_all
from harness.contract.layout import EXPECTED, FieldLayout, diff
from harness.errors import HarnessError
from harness.judge.evidence import LayoutEvidence, SelftestEvidence, ViolatedInvariant, Witness
from harness.kernel import Kernel
from harness.kernel_errors import AllocFailed, GuestCrashed, SubjectPanic, WitnessesDisagree
from harness.run import Run
from harness.table_witness import contradiction

# Every setter of the module with the field that it owns.
SETTERS = {
    "set_next": "next",
    "set_prev": "prev",
    "set_vtable_bits": "vtable",
    "set_flags": "flags",
    "set_order": "order",
    "set_refcount": "refcount",
    "set_generation": "generation",
    "set_guard": "guard",
    "meta_aux_store": "meta_aux",
}
WATCHED_FRAMES = 1024  # of payload; the check of the clause watches all of them
PROBES = (
    0x11,
    0x22,
)  # written one after the other, so that a byte that held the first by chance still changes


def prepare(run: Run) -> None:
    """Boot one guest and take down what the verdict needs beside the checks.

    Raises:
        WitnessesDisagree: the dump and RAM differ, or the guest's own checks are incomplete.
        GuestCrashed: the subject panicked where no check looks: none of their clauses is to blame.
        HarnessError: the subject refused there what it may not refuse.
    """
    kernel = run.boot()
    try:
        run.selftest = selftest(kernel)
        run.layout = layout_evidence(kernel)
        compare_dump(run, kernel)
        if run.layout.dwarf is Witness.EQUAL:  # they know the contract's slots alone
            note_invariants(run, judge_invariants(kernel))
    except SubjectPanic as panic:
        raise GuestCrashed("preflight", detail=str(panic), backtrace=panic.backtrace) from panic
    except AllocFailed as failed:
        raise HarnessError("preflight", detail=str(failed)) from failed
    finally:
        run.finish(kernel)


def judge_invariants(kernel: Kernel) -> Report | None:
    """Live a little, so that every invariant has something to look at; returns what each saw.

    A subject that cannot even live so far is seen by the checks of the clauses: then there is nothing.
    """
    try:
        sick = kernel.alloc()
        kernel.slot(sick).mark_poisoned()
        kernel.release(sick)
        kernel.release(kernel.alloc())
        before, watch = kernel.state().copied(), PayloadWatch(kernel, limit=WATCHED_FRAMES)
        kernel.alloc(purpose="user")
        kernel.buddy_alloc(2, "unmovable")
        state = kernel.state(canary=watch.read(), quarantined=[sick])
        return check_all(state, before)
    except (SubjectPanic, AllocFailed):
        return None


def note_invariants(run: Run, report: Report | None) -> None:
    """Remember how many frames each invariant looked at, with those that did not hold."""
    results = list(report or ())
    run.invariants = {result.id: result.evaluated for result in results}
    run.violated = tuple(
        ViolatedInvariant(name=result.id, clauses=result.clauses, text=result.text)
        for result in results
        if result.total
    )


def selftest(kernel: Kernel) -> SelftestEvidence:
    """Run the guest's own checks and read their KTAP."""
    result = ktap.parse(kernel.call("selftest").data)
    if result.problems and (result.plan or result.tests):  # that nothing was planned is for the judge to say
        raise WitnessesDisagree("selftest", detail="; ".join(result.problems))
    failed = len(result.failures)
    return SelftestEvidence(plan=result.plan or 0, passed=len(result.ran) - failed, failed=failed)


def layout_evidence(kernel: Kernel) -> LayoutEvidence:
    """Measure DWARF and the guest's bytes against the contract."""
    differences = diff(EXPECTED["MetaSlot"], kernel.image.layout("MetaSlot"))
    moved = [text for setter, name in SETTERS.items() if (text := _probe(kernel, setter, name))]
    return LayoutEvidence(
        dwarf=Witness.DIFFERS if differences else Witness.EQUAL,
        guest_bytes=Witness.DIFFERS if moved else Witness.EQUAL,
        text="; ".join([*(str(difference) for difference in differences), *moved]),
    )


def _probe(kernel: Kernel, setter: str, name: str) -> str:
    """Say which bytes of a slot a setter changes, when those are not the contract's."""
    wanted: FieldLayout | None = EXPECTED["MetaSlot"].field(name)
    if wanted is None:
        raise KeyError(name)
    paddr = kernel.buddy_alloc(0, "unmovable")
    row = kernel.slots()[paddr >> 12 : (paddr >> 12) + 1].view(np.uint8)
    kept = row.copy()
    changed, refused = np.zeros(row.shape, dtype=bool), ""
    for probe in PROBES:
        before = row.copy()
        try:
            kernel.slot(paddr).call(setter, int.from_bytes(bytes([probe]) * wanted.size, "little"))
        except SubjectPanic as panic:
            refused = refused or f"{setter} panics: {panic.message}"
        changed |= row != before
    row[:] = kept
    kernel.buddy_free(paddr, 0)
    if refused:
        return refused
    offsets = np.flatnonzero(changed).tolist()
    if offsets == list(range(wanted.offset, wanted.end)):
        return ""
    return f"{setter} changes bytes {offsets} of the slot, expected {wanted.offset} to {wanted.end - 1}"


def compare_dump(run: Run, kernel: Kernel) -> None:
    """Require that the whole table, as the guest reads it, is the table in RAM.

    Raises:
        WitnessesDisagree: names the first frame that differs, with both words for it.
    """
    table = kernel.slots()
    found = contradiction(kernel, table)
    if found is not None:
        run.contradicted += 1
        raise WitnessesDisagree(
            "slot table",
            f"frame {found.pfn << 12:#x}",
            expected=f"{found.in_ram.hex()} (guest RAM)",
            actual=f"{found.printed.hex()} (serial dump)",
            detail=f"{found.differing} of the slots that were printed with it differ",
        )
