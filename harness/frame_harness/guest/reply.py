"""What a request to the guest brought back."""

from __future__ import annotations

from dataclasses import dataclass

from frame_harness.base.errors import ProtocolError
from frame_harness.console.protocol import Fields, ReplyLine, parse_batch_line, parse_fields
from frame_harness.contract.contract import FollowedField
from frame_harness.guest.backtrace import Backtrace
from frame_harness.guest.checks import ImpossibleValue
from frame_harness.guest.errors import AllocFailed, CommandRefused, OtherAnswer, SubjectPanic

SLOT_LEADS_NOWHERE = "slot"
"""The code of a refusal that is not the caller's mistake."""
ENDS_A_BATCH = ("err", "panic")


@dataclass(frozen=True)
class Reply:
    """One outcome with the data lines that came before it."""

    request: str
    outcome: ReplyLine
    data: tuple[str, ...] = ()
    backtrace: Backtrace = ()
    """Of a panic: symbolized, innermost first."""

    @property
    def status(self) -> str:
        """`ok`, `fail` (the subject returned an error), `panic` (recovered) or `err` (refused)."""
        return self.outcome.status

    def __getitem__(self, key: str) -> int:
        """A number of the reply line.

        Raises:
            OtherAnswer: the line lacks it.
        """
        return self._with(key).int(key)

    def text(self, key: str) -> str:
        """A word of the reply line.

        Raises:
            OtherAnswer: the line lacks it.
        """
        return self._with(key)[key]

    def _with(self, key: str) -> Fields:
        if key not in self.outcome.fields:
            raise OtherAnswer(self.request, key, self.shown)
        return self.outcome.fields

    @property
    def shown(self) -> str:
        """The reply line for a person."""
        outcome = self.outcome
        words = [outcome.status, outcome.code, outcome.text, repr(outcome.fields)]
        return " ".join(word for word in words if word)

    def rows(self) -> list[Fields]:
        """The data lines as `key=value` words."""
        return [parse_fields(line) for line in self.data]

    def parts(self, requests: list[str]) -> list[Reply]:
        """The outcomes of a batch, one for each request that was carried out: all, or the first ones.

        Raises:
            ProtocolError: an outcome is missing, is of a request that was not made, or a request has two.
        """
        lines = sorted((parse_batch_line(line) for line in self.data), key=lambda one: one[0])
        numbers, outcomes = [number for number, _ in lines], [outcome for _, outcome in lines]
        stopped = bool(outcomes) and outcomes[-1].status in ENDS_A_BATCH and len(outcomes) < len(requests)
        wanted = len(outcomes) if stopped else len(requests)
        if numbers != list(range(wanted)):
            expected = f"those of requests 0 to {wanted - 1}, each once"
            raise ProtocolError("batch", "outcomes", expected=expected, actual=str(numbers)[:80])
        return [Reply(request, outcome) for request, outcome in zip(requests, outcomes, strict=False)]


def checked(reply: Reply, followed: FollowedField | None = None) -> Reply:
    """Return a reply that is `ok`.

    Args:
        followed: what the guest follows in a slot, by the subject's contract.
    Raises:
        SubjectPanic, AllocFailed: what the subject made of the request.
        ImpossibleValue: the guest did not follow what a slot holds.
        CommandRefused: the guest does not know the command or its arguments.
    """
    outcome = reply.outcome
    match outcome.status:
        case "ok":
            return reply
        case "fail":
            raise AllocFailed(outcome.code, reply.request)
        case "panic":
            raise SubjectPanic(
                file=outcome.file,
                line=outcome.line,
                message=outcome.text,
                request=reply.request,
                backtrace=reply.backtrace,
            )
        case "err" if followed is not None and outcome.code == SLOT_LEADS_NOWHERE:
            raise ImpossibleValue(
                followed.clause,
                f"`{reply.request}` follows the {followed.field} of a slot",
                expected=followed.expected,
                got=outcome.text,
                field=followed.field,
            )
        case "err":
            raise CommandRefused(
                "console command", repr(reply.request), detail=f"{outcome.code}: {outcome.text}"
            )
