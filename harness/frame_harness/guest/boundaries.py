"""Plays the declared cases of methods on a guest, many calls in one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.errors import UsageError
from frame_harness.base.units import Paddr, Pfn, frames_from, pfn_to_paddr
from frame_harness.contract.contract import Contract
from frame_harness.contract.layout import StructLayout
from frame_harness.contract.methods import CallEnd, Case, SlotMethod, SlotValues
from frame_harness.guest.absence import require_names
from frame_harness.guest.booted import BATCH_BYTES, BootedGuest
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated, Values
from frame_harness.guest.errors import CommandRefused
from frame_harness.guest.program import Ask
from frame_harness.guest.programmed import ProgrammedGuest
from frame_harness.guest.reply import Reply
from frame_harness.guest.request import grouped

RESERVED_BYTE = 0x6B
"""What the reserved bytes of a slot hold during a case: no method may touch them. The number is ours."""


def outcomes(kernel: BootedGuest, requests: Sequence[str]) -> list[Reply]:
    """Run commands in few round trips, go on behind one that panics; returns one reply for each.

    Raises:
        CommandRefused: the guest does not know a command or its arguments.
    """
    if isinstance(kernel, ProgrammedGuest) and kernel.runs_programs:
        replies = kernel.program.run([Ask(request) for request in requests]).replies
    else:
        replies = _said(kernel, requests)
    return require_known(replies)


def require_known(replies: list[Reply]) -> list[Reply]:
    """Return replies to commands that the guest knows.

    Raises:
        CommandRefused: it does not know one, or its arguments.
    """
    for reply in replies:
        if reply.status == "err":
            raise CommandRefused("console command", repr(reply.request), detail=reply.shown)
    return replies


def _said(kernel: BootedGuest, requests: Sequence[str]) -> list[Reply]:
    """The same at the console, of a kernel that runs no commands in RAM; ends behind one that is refused."""
    replies: list[Reply] = []
    while len(replies) < len(requests) and not (replies and replies[-1].status == "err"):
        group = grouped(requests[len(replies) :], BATCH_BYTES)[0]
        done = kernel.call("batch " + ";".join(group)).parts(group)
        kernel.log.was_several(done)
        replies += done
        kernel.commands.pop()  # a line of thousands of characters says nothing; see `tell`
    return replies


def tell(kernel: BootedGuest, replies: Sequence[Reply], index: int) -> None:
    """Show the call that went wrong, with those just before it, as the last commands of the guest."""
    kernel.commands.clear()
    for reply in replies[max(0, index - 3) : index + 1]:
        outcome = "panic" if reply.status == "panic" else reply.shown
        kernel.commands.append(f"{reply.request} → {outcome}")


def play(
    kernel: BootedGuest, method: SlotMethod, *, first_pfn: Pfn = Pfn(0), cases: Sequence[Case] | None = None
) -> int:
    """Call a method once for each of its cases, on a slot of its own; returns how many were played.

    The slots are written and read by the host, so that no other method has a say. Nobody in the guest may
    use them: boot with `init="array"`, or take a block of frames and name its first one.

    Args:
        cases: instead of those that the method declares.
    Raises:
        ClauseViolated: names the operands with the first slot or reply that is not allowed.
        NotInThisVersion: its slots lack fields that a case writes and reads.
        UsageError: there is no case, or no slot for it.
    """
    contract = kernel.image.subject.contract
    require_names(kernel.image, contract.versions.whole_slot, f"cases of {method.name}")
    cases = method.cases(contract.slot) if cases is None else cases
    n_slots = max(0, len(kernel.slots()) - first_pfn)
    if not (n_slots and cases):
        got = f"{n_slots} slots from frame {pfn_to_paddr(first_pfn):#x} on, {len(cases)} cases"
        raise UsageError("boundaries", method.id, expected="a slot and a case", actual=got)
    for first in range(0, len(cases), n_slots):
        _play_part(kernel, method, first_pfn, cases[first : first + n_slots])
    return len(cases)


def _play_part(kernel: BootedGuest, method: SlotMethod, first_pfn: Pfn, cases: Sequence[Case]) -> None:
    contract, table = kernel.image.subject.contract, kernel.slots()[first_pfn : first_pfn + len(cases)]
    kept = table.copy()
    write_slots(table, cases, contract.slot)
    requests = [
        " ".join([method.command, f"{pfn_to_paddr(pfn):#x}", *(f"{v:#x}" for v in c.arguments)])
        for pfn, c in zip(frames_from(first_pfn, len(cases)), cases, strict=True)
    ]
    try:
        replies = outcomes(kernel, requests)
        wrong = next(
            (i for i, case in enumerate(cases) if not is_allowed(case, replies[i], table[i], contract.slot)),
            None,
        )
        if wrong is not None:
            paddr = pfn_to_paddr(Pfn(first_pfn + wrong))
            tell(kernel, replies[wrong : wrong + 1], 0)
            raise violation(contract, method, cases[wrong], replies[wrong], table[wrong].copy(), paddr)
    finally:
        table[:] = kept


def write_slots(table: NDArray[Any], cases: Sequence[Case], slot: StructLayout) -> None:
    """Put the slot that each case finds into the table, which has one for each case."""
    table.view(np.uint8)[:] = RESERVED_BYTE
    for name in slot.widths:
        table[name] = np.array([case.before[name] for case in cases], dtype=table.dtype[name])


def is_allowed(case: Case, reply: Reply, slot: Any, layout: StructLayout) -> bool:
    """Whether a call ended in one of the allowed ways, in its reply and in every byte of the slot."""
    if not _kept_reserved(slot, layout):
        return False
    after = dict(zip(slot.dtype.names, slot.item(), strict=True))
    return any(
        _replied(reply, one) and all(after[name] == value for name, value in one.after.items())
        for one in case.allowed
    )


def _replied(reply: Reply, outcome: CallEnd) -> bool:
    return reply.status == outcome.status and all(reply[key] == value for key, value in outcome.reply.items())


def _kept_reserved(slot: Any, layout: StructLayout) -> bool:
    """Whether the reserved bytes of a slot are as they were written."""
    raw = slot.tobytes()
    written = bytes((RESERVED_BYTE,))
    return not any(raw[field.offset : field.end].strip(written) for field in layout.reserved)


def violation(
    contract: Contract, method: SlotMethod, case: Case, reply: Reply, slot: Any, paddr: Paddr
) -> ClauseViolated:
    """What a call that ended in no allowed way breaks: clauses of the method, else `OtherClauseViolated`."""
    after = {name: int(slot[name]) for name in contract.slot.widths}
    changed = [name for name in after if after[name] != case.allowed[0].after[name]]
    shown = [name for name in (*method.stored, *changed)]
    arguments = ", ".join(f"{value:#x}" for value in case.arguments)
    before = ", ".join(f"{name} {case.before[name]:#x}" for name in dict.fromkeys(shown))
    got = _in_words(reply.status, dict(_fields(reply)), {name: after[name] for name in dict.fromkeys(shown)})
    if not _kept_reserved(slot, contract.slot):
        got += ", reserved bytes changed"
    what = f"{method.name}({arguments})" + (f" on a slot with {before}" if before else "")
    expected = " or ".join(_wanted(one, shown) for one in case.allowed)
    field = changed[0] if changed else ""
    values, seen = Values(_promised(case), after, case.before), slot.tobytes()
    broken = _broken(method, case, reply, after, contract.layouts.general)
    if broken[0] not in method.clauses:
        return OtherClauseViolated(
            broken[0],
            what,
            expected=expected,
            got=got,
            frame=paddr,
            field=field,
            function=contract.path_of(method),
            values=values,
            slot=seen,
        )
    return ClauseViolated(
        what, expected=expected, got=got, frame=paddr, field=field, breaks=broken, values=values, slot=seen
    )


def _promised(case: Case) -> SlotValues:
    """The fields whose value is the same in every allowed end."""
    first, *others = (one.after for one in case.allowed)
    return {name: value for name, value in first.items() if all(one[name] == value for one in others)}


def _broken(method: SlotMethod, case: Case, reply: Reply, after: SlotValues, general: str) -> Sequence[str]:
    """The clauses that a wrong outcome breaks, those that the method's declaration is about first.

    Args:
        general: the clause that a write changes its own field alone.
    """
    if method.accessor and _leaks(method, case, reply, after):
        return (general,)
    wrong = [name for name in after if after[name] != case.allowed[0].after[name]] or [
        key
        for one in case.allowed
        if one.status == reply.status
        for key, value in one.reply.items()
        if reply[key] != value
    ]
    clauses = dict.fromkeys(method.by_field[name] for name in wrong if name in method.by_field)
    own = [clause for clause in clauses if clause in method.clauses]
    return own or list(clauses) or method.clauses


def _leaks(method: SlotMethod, case: Case, reply: Reply, after: SlotValues) -> bool:
    """Whether a method did its own work right, and changed a field or a byte that is none of its own."""
    own = {*method.stored}.union(*(_changed_by(one, case.before) for one in case.allowed))
    return any(
        _replied(reply, one) and all(after[name] == one.after[name] for name in own) for one in case.allowed
    )


def _changed_by(outcome: CallEnd, before: SlotValues) -> set[str]:
    return {name for name, value in before.items() if outcome.after[name] != value}


def _fields(reply: Reply) -> list[tuple[str, int]]:
    return [(key, reply[key]) for key in reply.outcome.fields] if reply.status in ("ok", "fail") else []


def _wanted(outcome: CallEnd, shown: Sequence[str]) -> str:
    return _in_words(outcome.status, dict(outcome.reply), {n: outcome.after[n] for n in dict.fromkeys(shown)})


def _in_words(status: str, reply: dict[str, int], after: dict[str, int]) -> str:
    words = [status, *(f"{key}={value:#x}" for key, value in reply.items())]
    return " ".join(words) + "".join(f", {name} {value:#x}" for name, value in after.items())
