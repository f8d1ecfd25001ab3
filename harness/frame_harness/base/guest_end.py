"""How a guest can end: one word for it everywhere, from QEMU's exit to the verdict."""

from enum import StrEnum


class GuestEnd(StrEnum):
    """How a guest ended. The first three are written by the guest itself; only PASS is a good end."""

    PASS = "pass"
    FAIL = "fail"
    PANIC = "panic"
    RESET = "reset"
    UNEXPECTED = "unexpected"
    TIMEOUT = "timeout"
    KILLED = "killed"
    SIGNALED = "signaled"
    REFUSED = "refused"
    CONTRADICTION = "contradiction"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        """What happened, as the subject and verb of a sentence."""
        return _WORDS[self]

    @property
    def is_crash(self) -> bool:
        """Whether the guest brought it about, without having been asked to report it."""
        return self in _CRASHES


_CRASHES = {
    GuestEnd.PANIC,
    GuestEnd.RESET,
    GuestEnd.UNEXPECTED,
    GuestEnd.CONTRADICTION,
    GuestEnd.UNKNOWN,
}
_WORDS = {
    GuestEnd.PASS: "the guest reported success",
    GuestEnd.FAIL: "the guest reported failure",
    GuestEnd.PANIC: "the guest reported a panic or an exception",
    GuestEnd.RESET: "the guest reset itself (a triple fault does that)",
    GuestEnd.UNEXPECTED: "QEMU exited without a word from the guest",
    GuestEnd.TIMEOUT: "the guest was stopped at a limit",
    GuestEnd.KILLED: "the harness ended the guest early",
    GuestEnd.SIGNALED: "QEMU was killed by a signal that the harness did not send",
    GuestEnd.REFUSED: "QEMU failed",
    GuestEnd.CONTRADICTION: "QEMU's exit status and its monitor disagree",
    GuestEnd.UNKNOWN: "QEMU exited with a status that nothing explains",
}
