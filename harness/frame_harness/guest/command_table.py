"""Compares the guest's own table of commands with what the contract says of them."""

from __future__ import annotations

from frame_harness.base.errors import HarnessError
from frame_harness.contract.contract import Contract
from frame_harness.guest.booted import BootedGuest

_HELP, _BEFORE_HELP = "help", " - "
_FRAME = "<paddr>"


def require_commands(kernel: BootedGuest, contract: Contract) -> None:
    """Prove that each command of the contract is in the guest, with the operands of its method.

    A command that differs would be refused in the middle of a check, or take one operand for another.

    Raises:
        HarnessError: names the first command that differs.
    """
    usages = dict(map(_entry, kernel.call(_HELP).data))
    for name in sorted(contract.functions.of_command):
        if name not in usages:
            raise _differs(name, "a command of the guest", "none of that name")
    for method in contract.methods:
        expected = " ".join([_FRAME, *(f"<{operand.name}>" for operand in method.operands)])
        if usages.get(method.command) != expected:
            raise _differs(method.command, repr(expected), repr(usages.get(method.command)))


def _entry(line: str) -> tuple[str, str]:
    """The name and the usage of a line that `help` prints."""
    name, _, usage = line.partition(_BEFORE_HELP)[0].partition(" ")
    return name, usage


def _differs(command: str, expected: str, actual: str) -> HarnessError:
    return HarnessError(
        "command table", command, expected=expected, actual=actual,
        next_step="let the contract's methods and the adapter's table of commands agree",
    )  # fmt: skip
