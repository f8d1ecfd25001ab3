"""What the kernel's recording hooks were told, and which function is to blame where that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from frame_harness.base.units import Paddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import expect

HookEvent = tuple[str, Paddr]
"""`on_last_ref` or `on_unmap` with the address that it got; `buddy` with that of a block that came back."""
_HOOKS: Final = "kernel_shim::memory::hooks"
_STOPS: Final = ("on_unmap", "on_last_ref", "buddy")
"""By the number in the two highest bits of a word of the record."""
_PADDR_BITS: Final = 52
_SHOWN: Final = 8
"""Events."""


class HookRecord:
    """The guest's record of hooks, in its RAM: nothing is asked of the guest."""

    def __init__(self, kernel: Kernel) -> None:
        """Look up where it lies."""
        self._count, self._words = (
            kernel.bytes_at(*kernel.image.static(f"{_HOOKS}::{name}")).view("<u8")
            for name in ("COUNT", "RECORDS")
        )

    def events(self) -> list[HookEvent]:
        """As many of those since it was last emptied as there is room for, oldest first."""
        words = self._words[: int(self._count[0])].tolist()
        return [(_STOPS[word >> 62], Paddr(word & ((1 << _PADDR_BITS) - 1))) for word in words]


def hook_calls(kernel: Kernel) -> list[HookEvent]:
    """The events since the record was last emptied (`vt.clear`), oldest first."""
    return HookRecord(kernel).events()


def caller_to_blame(got: Sequence[HookEvent], wanted: Sequence[HookEvent]) -> str:
    """The function that called one hook too often, or not often enough; empty where it is not one alone."""
    seen, due = Counter(got), Counter(wanted)
    wrong = {hook for hook, _ in (seen - due) + (due - seen)}
    hook = wrong.pop() if len(wrong) == 1 else ""
    return f"invoke_vtable_{hook}" if hook.startswith("on_") else ""


def expect_hooks(
    kernel: Kernel, what: str, wanted: Sequence[HookEvent], *, frame: Paddr | None = None, function: str = ""
) -> None:
    """Require that these events were recorded, in this order; a few are shown from the first wrong one on.

    Args:
        frame: to name; where some are left out, that of the first one missing.
        function: to blame where the events alone do not say which one is.
    Raises:
        ClauseViolated: others were.
    """
    got = hook_calls(kernel)
    blamed = caller_to_blame(got, wanted) or function
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(got, wanted, strict=False)))
    if max(len(got), len(wanted)) > _SHOWN:
        what = f"{what}, behind the first {alike}" if alike else what
        got, wanted = got[alike : alike + _SHOWN], wanted[alike : alike + _SHOWN]
        frame = wanted[0][1] if wanted else frame
    expect(what, got, [*wanted], base=16, frame=frame, function=blamed)
