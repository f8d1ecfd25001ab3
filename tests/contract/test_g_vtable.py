"""Contract section G, second half: vtables with their hooks."""

from __future__ import annotations

import pytest

from frame_harness.base.units import Paddr
from frame_harness.frame_guest.hooks import caller_to_blame, expect_hooks, hook_calls
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import expect


@pytest.mark.clause("VT-01", at="MetaSlot::vtable_ref")
@pytest.mark.parametrize("method", ["vtable_ref", "try_vtable_ref"])
def test_no_bits_mean_the_default_vtable_without_hooks(shared_kernel: Kernel, method: str) -> None:
    paddr = shared_kernel.alloc()
    reply = shared_kernel.slot(paddr).call(method)
    if method == "try_vtable_ref":
        some = reply["some"]
        expect(f"whether {method} with bits 0 is Some", some, 1, frame=paddr, function=f"MetaSlot::{method}")
    expect(
        f"{method} with bits 0: default, on_last_ref, on_unmap",
        (reply["default"], reply["on_last_ref"], reply["on_unmap"]),
        (1, 0, 0),
        frame=paddr,
        function=f"MetaSlot::{method}",
    )


@pytest.mark.clause("VT-01", at="invoke_vtable_on_unmap")
def test_no_bits_call_no_hook(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    shared_kernel.call("vt.clear")
    shared_kernel.call("array.unmap", paddr)
    shared_kernel.call("array.lastref", paddr)
    expect_hooks(shared_kernel, "hooks called with bits 0", [], frame=paddr)


@pytest.mark.clause("VT-02", "VT-04", at="MetaSlot::try_vtable_ref")
def test_the_registered_vtable_is_the_one_returned_and_called(shared_kernel: Kernel) -> None:
    for name in ("both", "unmap", "lastref", "empty", "shifted"):
        paddr = shared_kernel.alloc()
        vaddr = shared_kernel.vtable(name)
        slot = shared_kernel.slot(paddr)
        slot.set_vtable_bits(vaddr)
        in_ram = int(shared_kernel.slots()[paddr >> 12]["vtable"])
        setter, getter = "MetaSlot::set_vtable_bits", "MetaSlot::vtable_bits"
        expect(
            "vtable in mapped RAM",
            in_ram,
            vaddr,
            base=16,
            frame=paddr,
            field="vtable",
            function=setter,
            clause="VT-02",
        )
        expect(
            "vtable_bits", slot.vtable_bits(), vaddr, base=16, frame=paddr, function=getter, clause="VT-02"
        )
        some = slot.call("try_vtable_ref")["some"]
        expect("whether try_vtable_ref of a registered vtable is Some", some, 1, frame=paddr, clause="VT-02")
        for method in ("try_vtable_ref", "vtable_ref"):
            expect(
                f"address behind {method}",
                slot.call(method)["addr"],
                vaddr,
                base=16,
                frame=paddr,
                function=f"MetaSlot::{method}",
                clause="VT-02",
            )
        shared_kernel.call("vt.clear")
        shared_kernel.call("array.lastref", paddr)
        shared_kernel.call("array.unmap", paddr)
        wanted = [("on_last_ref", paddr)] * (name in ("both", "shifted", "lastref")) + [
            ("on_unmap", paddr)
        ] * (name in ("both", "shifted", "unmap"))
        ran = hook_calls(shared_kernel)
        # The right hooks, but not once each: that is the invoker's doing.
        clause = "VT-04" if set(ran) == set(wanted) else "VT-02"
        function = caller_to_blame(ran, wanted)
        what = f"hooks of vtable {name} that ran"
        expect(what, ran, wanted, base=16, frame=paddr, function=function, clause=clause)


@pytest.mark.clause("VT-03", at="MetaSlot::try_vtable_ref")
def test_misaligned_bits_are_no_vtable_in_any_profile(shared_kernel: Kernel) -> None:
    """The bits point into a real vtable with hooks, so that following them would be seen."""
    for low_bits in range(1, 8):
        paddr = shared_kernel.alloc()
        slot = shared_kernel.slot(paddr)
        slot.set_vtable_bits(shared_kernel.vtable("both") + low_bits)
        expect(
            "whether try_vtable_ref is Some",
            slot.call("try_vtable_ref")["some"],
            0,
            frame=paddr,
            field="vtable",
        )
        expect(
            "whether vtable_ref is the default",
            slot.call("vtable_ref")["default"],
            1,
            frame=paddr,
            field="vtable",
        )
        shared_kernel.call("vt.clear")
        shared_kernel.call("array.unmap", paddr)
        shared_kernel.call("array.lastref", paddr)
        expect_hooks(shared_kernel, "hooks called through misaligned bits", [], frame=paddr)


@pytest.mark.clause("VT-04", at="invoke_vtable_on_unmap")
def test_invokers_call_the_hook_once_with_the_address_they_got(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    shared_kernel.slot(paddr).set_vtable_bits(shared_kernel.vtable("both"))
    shared_kernel.call("vt.clear")
    shared_kernel.call("array.unmap", paddr)
    what = "hooks called by invoke_vtable_on_unmap"
    expect_hooks(shared_kernel, what, [("on_unmap", paddr)], frame=paddr)
    shared_kernel.call("vt.clear")
    shared_kernel.call("array.lastref", paddr)
    what, function = "hooks called by invoke_vtable_on_last_ref", "invoke_vtable_on_last_ref"
    expect_hooks(shared_kernel, what, [("on_last_ref", paddr)], frame=paddr, function=function)


@pytest.mark.clause("VT-04", at="invoke_vtable_on_last_ref")
def test_invokers_do_nothing_without_a_hook(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    shared_kernel.slot(paddr).set_vtable_bits(shared_kernel.vtable("empty"))
    shared_kernel.call("vt.clear")
    shared_kernel.call("array.unmap", paddr)
    shared_kernel.call("array.lastref", paddr)
    expect_hooks(shared_kernel, "hooks of an empty vtable", [], frame=paddr)


def release_a_block_with_hooks(kernel: Kernel, order: int, *, poisoned: bool) -> Paddr:
    block = kernel.alloc() if order == 0 else kernel.buddy_alloc(order, "unmovable")
    for index in range(1 << order):
        kernel.slot(Paddr(block + (index << 12))).set_vtable_bits(kernel.vtable("both"))
    if poisoned:
        kernel.slot(block).mark_poisoned()
    kernel.call("vt.clear")
    kernel.release(block, order)
    return block


@pytest.mark.clause("VT-05", at="invoke_vtable_on_last_ref")
@pytest.mark.parametrize("poisoned", [False, True], ids=["healthy", "poisoned"])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_release_runs_last_ref_once_then_unmap_per_frame_then_the_buddy(
    kernel: Kernel, order: int, poisoned: bool
) -> None:
    block = release_a_block_with_hooks(kernel, order, poisoned=poisoned)
    frames = [Paddr(block + (index << 12)) for index in range(1 << order)]
    wanted = [("on_last_ref", block), *(("on_unmap", frame) for frame in frames), ("buddy", block)]
    expect_hooks(kernel, f"order of events when a block of order {order} is released", wanted, frame=block)


@pytest.mark.clause("VT-06", at="invoke_vtable_on_unmap")
@pytest.mark.parametrize("order", [0, 2])
def test_hooks_run_with_interrupts_disabled(kernel: Kernel, order: int) -> None:
    block = release_a_block_with_hooks(kernel, order, poisoned=False)
    rows = kernel.call("vt.log").rows()
    open_ = [row["hook"] for row in rows if row["if"] != "0"]
    expect(
        "interrupt flag in each hook",
        [row["if"] for row in rows],
        ["0"] * len(rows),
        frame=block,
        function=f"invoke_vtable_{open_[0]}" if open_ and open_[0].startswith("on_") else "",
    )
