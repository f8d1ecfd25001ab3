"""One reason against a PASS."""

from frame_harness.base.record import Record
from frame_harness.judge.evidence import Outcome, RunKey
from frame_harness.judge.exit_codes import Kind

KIND_OF_BROKEN_OFF = {
    Outcome.CRASHED: Kind.CRASH,
    Outcome.TIMEOUT: Kind.TIMEOUT,
    Outcome.ERROR: Kind.ERROR,
}
"""What a verdict is where something came to no end of its own, by how it ended."""
BROKEN_OFF = tuple(KIND_OF_BROKEN_OFF)
"""How something ends that comes to no end of its own."""


class Reason(Record, frozen=True, kw_only=True):
    """One fact that stands against a PASS; `code` is stable, for programs.

    `clause` is what `message` begins with, where one clause alone was not judged.
    """

    kind: Kind
    code: str
    message: str
    run: RunKey | None = None
    check: str = ""
    clause: str = ""
