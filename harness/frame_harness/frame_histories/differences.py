"""What a guest did other than predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.text import plural
from frame_harness.base.units import Paddr, Pfn, pfn_to_paddr
from frame_harness.contract.invariant import InvariantReport
from frame_harness.frame_histories.interpreter import Prediction, expected_status, is_refusal
from frame_harness.frame_metadata.invariants.columns import Past
from frame_harness.frame_metadata.model import Done, Fail, Panic, PanicKind
from frame_harness.frame_metadata.model.expected import SlotDifference
from frame_harness.guest.errors import GuestFailure
from frame_harness.guest.reply import Reply


class Look(Enum):
    """A look at all of the guest, which is no command."""

    AT_BOOT = "before the first command"
    AT_THE_END = "when all of memory was looked at"


@dataclass(frozen=True)
class HistoryDifference:
    """One thing that is not as predicted."""

    kind: str
    """`status`, `value`, `slot`, `payload`, `counter`, `list`, `cache`, `hooks`, `invariant`, `crash`,
    `batch`."""
    what: str
    """Where it shows, in words."""
    expected: str
    got: str
    pfn: Pfn | None = None
    field: str = ""
    """Of a slot or of a reply."""
    served: tuple[str, ...] = ()
    """Clauses that an invariant serves."""
    got_status: str = ""
    """Of the reply: `ok`, `fail`, `panic`."""
    zeroed: bool = False
    """Whether a payload had to be zero, rather than to stay."""
    values: tuple[int, int] | None = None
    """Of a slot's field, as predicted and as found."""
    slot: bytes = b""
    """The bytes of that slot."""

    @property
    def frame(self) -> Paddr | None:
        """Physical address of the frame that it shows on."""
        return None if self.pfn is None else pfn_to_paddr(self.pfn)

    @property
    def text(self) -> str:
        """Place, expected, got; it has several lines where the words of a panic have."""
        return f"{self.what}: expected {self.expected}, got {self.got}"

    @property
    def line(self) -> str:
        """The same in one line, whatever words a panic had."""
        return " ".join(self.text.split())

    @property
    def expected_line(self) -> str:
        """What would have been right, in one line."""
        return " ".join(f"{self.what}: {self.expected}".split())


def of_reply(prediction: Prediction, reply: Reply) -> HistoryDifference | None:
    """The reply's status, then each number of it that the model knows."""
    outcome = prediction.outcome
    if reply.status == "err" and is_refusal(outcome):
        return None
    if reply.status == "ok" and isinstance(outcome, Panic) and outcome.kind is PanicKind.REFERENCE:
        # REF-07 lets a module refuse without a panic; the slot tells that it did.
        outcome = Done(outcome.quietly)
    if reply.status != expected_status(outcome):
        return HistoryDifference(
            "status",
            f"`{reply.request}`",
            _in_words(prediction),
            _reply_in_words(reply),
            got_status=reply.status,
        )
    if isinstance(outcome, Fail) and reply.outcome.code != outcome.error:
        return HistoryDifference(
            "status", f"`{reply.request}`", outcome.error, reply.outcome.code, got_status="fail"
        )
    if not isinstance(outcome, Done | Fail):
        return None
    for name, value in outcome.values.items():
        if reply[name] != value:
            what = f"{name} of `{reply.request}`"
            expected = f"{value:#x}" if outcome is prediction.outcome else f"a panic, or {value:#x}"
            return HistoryDifference("value", what, expected, f"{reply[name]:#x}", field=name)
    return None


def _in_words(prediction: Prediction) -> str:
    outcome = prediction.outcome
    if isinstance(outcome, Panic):
        return f"a panic: {outcome.kind}"
    if isinstance(outcome, Fail):
        return outcome.error
    return "success"


def _reply_in_words(reply: Reply) -> str:
    if reply.status == "panic":
        return f'the panic "{reply.outcome.text}"'
    words = {"ok": "success", "fail": reply.outcome.code, "err": reply.outcome.text}
    return words.get(reply.status, reply.status)


def of_slots(examples: Sequence[SlotDifference], total: int) -> HistoryDifference:
    """The first field of the first slot that differs."""
    first = examples[0]
    more = f" ({total} slots differ)" if total > 1 else ""
    return HistoryDifference(
        "slot",
        f"slot of frame {pfn_to_paddr(first.pfn):#x}, {first.field}",
        f"{first.expected:#x}",
        f"{first.got:#x}{more}",
        pfn=first.pfn,
        field=first.field,
        values=(first.expected, first.got),
        slot=first.row,
    )


def of_payload(
    pfn: Pfn, expected: NDArray[np.uint8], got: NDArray[np.uint8], byte: int | None
) -> HistoryDifference:
    """A frame whose content is not what it must be.

    Args:
        expected, got: all of its bytes, shape (4096,).
        byte: that all of them must be; None where they must be as before.
    """
    wrong = np.flatnonzero(expected != got)
    at = int(wrong[0])
    rule = "untouched" if byte is None else f"all {byte:#04x}"
    return HistoryDifference(
        "payload",
        f"payload of frame {pfn_to_paddr(pfn):#x}",
        f"{rule} ({int(expected[at]):#04x} at {at:#x})",
        f"{int(got[at]):#04x} there ({plural(len(wrong), 'wrong byte')})",
        pfn=pfn,
        field="payload",
        zeroed=byte == 0,
    )


def of_hooks(expected: list[str], got: list[str]) -> HistoryDifference | None:
    """The first stop on a block's way back that is not as predicted."""
    for index in range(max(len(expected), len(got))):
        want, have = (stops[index] if index < len(stops) else "nothing more" for stops in (expected, got))
        if want != have:
            return HistoryDifference("hooks", f"stop {index + 1} of the record of hooks", want, have)
    return None


def of_invariants(report: InvariantReport[Past]) -> HistoryDifference | None:
    """The first invariant that the whole state violates."""
    for result in report:
        if result.total:
            first = result.violations[0]
            return HistoryDifference(
                "invariant",
                f"{result.id}, {first.field}" + ("" if first.pfn is None else f" of pfn {first.pfn:#x}"),
                first.expected,
                first.got,
                pfn=first.pfn,
                field=first.field,
                served=result.clauses,
            )
    return None


def of_crash(failure: GuestFailure) -> HistoryDifference:
    """The difference of a guest that crashed, hung or went away; `got` says which."""
    return HistoryDifference("crash", "guest", "an answer", failure.summary)
