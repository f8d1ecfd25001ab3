"""Which function is blamed for a hook that was not called as it had to be."""

from __future__ import annotations

from typing import cast

import pytest

from frame_harness.base.units import Paddr
from frame_harness.frame_guest import hooks
from frame_harness.frame_guest.hooks import HookEvent, caller_to_blame, expect_hooks
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import ClauseViolated

LAST, FIRST, SECOND = ("on_last_ref", Paddr(0x1000)), ("on_unmap", Paddr(0x1000)), ("on_unmap", Paddr(0x2000))
BACK = ("buddy", Paddr(0x1000))
WANTED = [LAST, FIRST, SECOND, BACK]


@pytest.mark.parametrize(
    ("got", "function"),
    [
        ([LAST, FIRST, BACK], "invoke_vtable_on_unmap"),
        ([LAST, FIRST, FIRST, SECOND, BACK], "invoke_vtable_on_unmap"),
        ([LAST, LAST, FIRST, SECOND, BACK], "invoke_vtable_on_last_ref"),
        ([FIRST, SECOND, BACK], "invoke_vtable_on_last_ref"),
    ],
)
def test_the_caller_of_the_one_hook_that_is_wrong_is_blamed(got: list[HookEvent], function: str) -> None:
    assert caller_to_blame(got, WANTED) == function


@pytest.mark.parametrize("got", [WANTED, [FIRST, LAST, SECOND, BACK], [BACK], [LAST, FIRST, SECOND]])
def test_nobody_is_blamed_for_a_wrong_order_for_two_hooks_or_for_the_buddy(got: list[HookEvent]) -> None:
    assert caller_to_blame(got, WANTED) == ""


@pytest.mark.parametrize("wrong", [0, 7, 8, 3000, 3999])
def test_of_many_hooks_a_few_are_shown_from_the_first_wrong_one_on(
    wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [("on_unmap", Paddr(pfn << 12)) for pfn in range(4000)]
    got = [*wanted[:wrong], ("on_unmap", Paddr(0xABC000)), *wanted[wrong + 1 :]]
    monkeypatch.setattr(hooks, "hook_calls", lambda _: got)
    with pytest.raises(ClauseViolated) as violated:
        expect_hooks(cast("Kernel", None), "hooks", wanted)
    assert (violated.value.frame, violated.value.function) == (wrong << 12, "invoke_vtable_on_unmap")
    assert violated.value.got.startswith("[(on_unmap, 0xabc000)") and len(violated.value.got) < 300


def test_hooks_of_which_none_is_called_are_not_all_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [("on_unmap", Paddr(pfn << 12)) for pfn in range(4000)]
    monkeypatch.setattr(hooks, "hook_calls", lambda _: [])
    with pytest.raises(ClauseViolated) as violated:
        expect_hooks(cast("Kernel", None), "hooks", wanted)
    assert (violated.value.got, violated.value.frame) == ("[]", 0)
    assert len(violated.value.expected) < 300
