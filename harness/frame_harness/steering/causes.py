"""Tells findings apart by what goes wrong where."""

from __future__ import annotations

from dataclasses import dataclass

from frame_harness.frame_histories.history import HistoryFailure


@dataclass(frozen=True, order=True)
class Cause:
    """What two findings share that one fix would end.

    Args:
        clause: that is broken.
        function: to blame, by its path.
        kind: of difference: `slot`, `payload`, `status`, …
        field: of the slot or of the reply that differs.
        got: the status of a reply that had to be another one.
    """

    clause: str
    function: str
    kind: str
    field: str = ""
    got: str = ""

    @classmethod
    def of(cls, failure: HistoryFailure) -> Cause:
        """The cause of a failure, which does not depend on the frames that it shows on."""
        difference = failure.difference
        return cls(
            failure.clause, failure.blame.function, difference.kind, difference.field, difference.got_status
        )

    @property
    def text(self) -> str:
        """In one line, without the clause."""
        what = " ".join(filter(None, (self.kind, self.field, self.got)))
        return f"{what} in {self.function}" if self.function else what
