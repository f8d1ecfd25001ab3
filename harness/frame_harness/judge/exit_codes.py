"""The exit status of `frame-harness check`, one for each way a run can end."""

from enum import IntEnum, StrEnum


class VerdictKind(StrEnum):
    """How a run ended; `severity` decides which of several reasons names it."""

    INTERRUPTED = "INTERRUPTED"
    ERROR = "ERROR"
    CRASH = "CRASH"
    TIMEOUT = "TIMEOUT"
    FAIL = "FAIL"
    UNJUDGEABLE = "UNJUDGEABLE"
    NO_TESTS = "NO_TESTS"
    SKIP = "SKIP"
    PASS = "PASS"

    @property
    def severity(self) -> int:
        """0 for PASS, higher is worse."""
        return len(VerdictKind) - 1 - list(VerdictKind).index(self)


class ExitCode(IntEnum):
    """Process exit status, with its meaning as `words`."""

    words: str

    def __new__(cls, value: int, words: str) -> "ExitCode":
        member = int.__new__(cls, value)
        member._value_ = value
        member.words = words
        return member

    PASS = 0, "every planned check ran and every clause looked at held or is in the baseline"
    FAIL = 1, "the subject breaks a clause that the baseline does not know"
    USAGE = 2, "the command line, a machine or a baseline file is wrong; nothing ran"
    ERROR = 3, "the harness, the build or QEMU went wrong; nothing can be said about the subject"
    CRASH = 4, "a guest panicked, reset or faulted where no clause asks for it"
    TIMEOUT = 5, "a guest used up its CPU time"
    NO_TESTS = 6, "no check was selected, none looked at anything, or some could not judge their clause"
    SKIP = (
        7,
        "checks were selected, but in some run none was made: each was skipped, or absent from this version",
    )
    NOT_SHOWN = 8, "`storm --again`: the race did not show in the time given; that proves nothing"
    UNJUDGEABLE = 125, "this version of the module has another interface, or lacks what was selected"
    INTERRUPTED = 130, "stopped by Ctrl-C, SIGTERM or SIGHUP; guests are gone"


def exit_code(kind: VerdictKind) -> ExitCode:
    """The exit status for a kind of end; each kind has the status of its name."""
    return ExitCode[kind.name]


def table() -> str:
    """The documented table in Markdown; README carries this very text."""
    rows = [f"| {int(code)} | {code.name} | {code.words} |" for code in ExitCode]
    return "\n".join(["| exit | verdict | meaning |", "|---|---|---|", *rows])
