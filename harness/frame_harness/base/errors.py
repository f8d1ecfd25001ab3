"""The exception tree with its one formatter."""

from __future__ import annotations

from typing import Final

_NOTHING: Final = object()
EVIDENCE_LIMIT_BYTES: Final = 200


class HarnessError(Exception):
    """A condition the user can act on: one line that says what, `next:` that says what to do.

    Rendered as `<what>: <which>: expected <e>, got <a>`; every part but `what` may be absent. `detail` stands
    where there is no such pair, or follows it. `evidence` is quoted, indented, below.
    The parts stay readable as attributes, so that a program never parses the text.
    """

    def __init__(
        self,
        what: str,
        which: str = "",
        *,
        expected: object = _NOTHING,
        actual: object = _NOTHING,
        detail: str = "",
        next_step: str = "",
        evidence: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.which = which
        self.expected = None if expected is _NOTHING else expected
        self.actual = None if actual is _NOTHING else actual
        self.detail = detail
        self.next_step = next_step
        self.evidence = evidence
        comparison = []
        if expected is not _NOTHING:
            comparison.append(f"expected {expected}")
        if actual is not _NOTHING:
            comparison.append(f"got {actual}")
        self._parts = [part for part in (what, which, ", ".join(comparison), detail) if part]

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to another process as it is: pickle would leave out what is named, and what caused it."""
        cause = self.__cause__ if isinstance(self.__cause__, HarnessError) else None
        return _made_again, (type(self), cause), {**self.__dict__, "args": self.args}

    @property
    def summary(self) -> str:
        """The first line alone, without evidence."""
        return ": ".join(self._parts)

    @property
    def seen(self) -> str:
        """The first line with the evidence below it, without what to do."""
        return "\n".join([self.summary, *(f"  {line}" for line in self.evidence.splitlines())])

    def __str__(self) -> str:
        return f"{self.seen}\nnext: {self.next_step}" if self.next_step else self.seen


def _made_again(kind: type[HarnessError], cause: HarnessError | None) -> HarnessError:
    error = kind.__new__(kind)
    error.__cause__ = cause
    return error


class UsageError(HarnessError):
    """The caller asked for something that makes no sense: a bad option, value or request."""


class MissingToolError(HarnessError):
    """A program or file that the harness needs is not on this machine."""


class BuildError(HarnessError):
    """The kernel could not be built."""


class ImageError(HarnessError):
    """A built image does not hold what the harness reads from it."""


class MachineError(HarnessError):
    """QEMU refused to start, died on its own account, or does not talk."""


class HostRamError(MachineError):
    """The host has no room for a guest's RAM."""


class RamError(MachineError):
    """A physical address range is not guest RAM."""


class BootError(HarnessError):
    """The guest came up as something other than the kernel that was asked for."""


class ConsoleError(HarnessError):
    """The conversation with the guest cannot go on."""


class ProtocolError(ConsoleError):
    """Bytes that break the console protocol."""


class DumpError(ProtocolError):
    """A metadata dump that is not whole."""


class KtapError(ProtocolError):
    """A KTAP stream that cannot be read."""


def quote_bytes(data: bytes, limit: int = EVIDENCE_LIMIT_BYTES) -> str:
    """Show bytes from a guest so that nothing in them can act on a terminal, cut to `limit` bytes."""
    shown = repr(bytes(data[:limit]))[1:]
    return shown if len(data) <= limit else f"{shown} ... ({len(data)} bytes)"
