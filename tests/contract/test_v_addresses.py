"""The contract at the boundaries of addresses: slots, frames, ranges, vtables, blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from frame_harness.base.units import Paddr, Pfn, pfn_to_paddr
from frame_harness.concurrency.elsewhere import OTHERS, WITH_OTHERS, programs_on
from frame_harness.contract.boundaries import around, one_bit_off
from frame_harness.frame_guest.hooks import expect_hooks
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.frame_metadata import frame_values as values
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.functions import FUNCTIONS
from frame_harness.guest.boundaries import outcomes, tell
from frame_harness.guest.checks import ClauseViolated, Values, expect
from frame_harness.guest.reply import Reply

pytestmark = pytest.mark.one_machine

POISONED = 1 << 31
OFFSETS = {"generation": 36, "guard": 40}
EVERY_FRAME_TO_ORDER = 7
LARGE_PAGE = 1 << 9
SECTION = 1 << 15
"""Frames of a part that a kernel may keep a table of its own for; the number is ours."""
VTABLES = ("both", "unmap", "lastref", "empty", "shifted", "mapped")


def ask(kernel: Kernel, command: str, operands: Sequence[tuple[int, ...]]) -> list[Reply]:
    """One reply for each tuple of operands."""
    return outcomes(kernel, [" ".join([command, *(f"{o:#x}" for o in given)]) for given in operands])


def expect_each(
    kernel: Kernel,
    replies: Sequence[Reply],
    wanted: Sequence[dict[str, int] | str],
    *,
    vtables: Sequence[int] = (),
    ranges: Sequence[tuple[int, ...]] = (),
) -> None:
    """Require of each reply these fields, or that it is a panic which says these words, or `fail`.

    Args:
        vtables: the vtable bits that each call found in the slot.
        ranges: the first and the last address that each call was about.
    """
    for index, (reply, want) in enumerate(zip(replies, wanted, strict=True)):
        got: object = reply.shown
        if isinstance(want, dict) and reply.status == "ok":
            got = {key: reply[key] for key in want if key in reply.outcome.fields}
        elif want == "fail":
            got = reply.status
        elif isinstance(want, str) and reply.status == "panic" and want in reply.outcome.text.lower():
            got = want
        if got != want:
            tell(kernel, replies, index)
            what = f"`{reply.request}`" + (f" with vtable bits {vtables[index]:#x}" if vtables else "")
            wish = f'a panic that says "{want}"' if want == "out of bounds" else shown(want)
            function = FUNCTIONS.named_by(reply.request)
            known = {"vtable": vtables[index]} if vtables else {}
            known |= dict(zip(("first", "last"), ranges[index], strict=True)) if ranges else {}
            raise ClauseViolated(
                what, expected=wish, got=shown(got), function=function, panicked=reply.status == "panic",
                values=Values({}, known) if known else None,
            )  # fmt: skip


def shown(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={number:#x}" for key, number in value.items())
    return str(value)


def table_base(kernel: Kernel) -> int:
    """Where the boot allocator put the table, seen through the HHDM; the shim says so, not the subject."""
    (made,) = kernel.call("boot.log").rows()
    return int(made["paddr"], 0) + kernel.hhdm


@pytest.mark.clause("ARRAY-01", at="metadata_size_for")
def test_size_of_the_table_at_the_boundaries(bare_kernel: Kernel) -> None:
    sizes = around(64)
    replies = ask(bare_kernel, "array.size", [(ram,) for ram in sizes])
    expect_each(bare_kernel, replies, [{"bytes": -(-ram // 4096) * 64} for ram in sizes])


@pytest.mark.clause("ARRAY-06", at="get_meta_slot")
@pytest.mark.parametrize("command", ["array.slot", "array.get"])
def test_slot_of_each_boundary_address(bare_kernel: Kernel, command: str) -> None:
    base, addresses = table_base(bare_kernel), values.addresses_inside(bare_kernel.frames)
    replies = ask(bare_kernel, command, [(paddr,) for paddr in addresses])
    expect_each(bare_kernel, replies, [{"slot": base + paddr // 4096 * 64} for paddr in addresses])


def section_ends(kernel: Kernel, size: int = SECTION) -> list[Pfn]:
    """First and last frame of each section of the table, those of the PCI hole among them."""
    firsts = range(0, kernel.frames, size)
    return [Pfn(pfn) for first in firsts for pfn in (first, min(first + size, kernel.frames) - 1)]


@pytest.mark.clause("ARRAY-06", "ARRAY-10", at="get_meta_slot")
@pytest.mark.parametrize("command", ["array.slot", "array.get"])
@pytest.mark.machine("q35-5g")
def test_slot_of_each_section_up_to_the_end_of_high_memory(shared_kernel: Kernel, command: str) -> None:
    base, frames = shared_kernel.witness.meta_paddr + shared_kernel.hhdm, section_ends(shared_kernel)
    replies = ask(shared_kernel, command, [(pfn << 12,) for pfn in frames])
    expect_each(shared_kernel, replies, [{"slot": base + pfn * 64} for pfn in frames])


@pytest.mark.machine("q35-5g")
@pytest.mark.parametrize(
    ("command", "field"),
    [
        pytest.param(command, field, id=command, marks=pytest.mark.clause(clause, at=at))
        for command, field, clause, at in (
            ("array.snapshot", "generation", "ARRAY-08", "frame_meta_debug_snapshot"),
            ("array.matches", "generation", "GEN-02", "meta_generation_matches"),
            ("array.poisoned", "guard", "GUARD-06", "block_phys_has_poison_guard"),
        )
    ],
)
def test_each_section_is_told_about_by_its_own_slots(shared_kernel: Kernel, command: str, field: str) -> None:
    """Each in turn has a value that no other one has, then the one from before."""
    table, frames = shared_kernel.slots()[field], section_ends(shared_kernel)
    requests, wanted = [], list[dict[str, int]]()
    for number, pfn in enumerate(frames):
        kept, own = int(table[pfn]), POISONED + 1 + number
        pokes = [
            f"slot.poke {pfn << 12:#x} {OFFSETS[field]} {v.to_bytes(4, 'little').hex()}" for v in (own, kept)
        ]
        asked = {
            "array.snapshot": (("", {field: own}, {field: kept}),),
            "array.matches": ((f" {own:#x}", {"v": 1}, {"v": 0}), (f" {kept:#x}", {"v": 0}, {"v": 1})),
            "array.poisoned": ((" 0", {"v": 1}, {"v": 0}),),
        }[command]
        for rest, now, behind in asked:
            line = f"{command} {pfn << 12:#x}{rest}"
            requests += [pokes[0], line, pokes[1], line]
            wanted += [{}, now, {}, behind]
    expect_each(shared_kernel, outcomes(shared_kernel, requests), wanted)


@pytest.mark.clause("ARRAY-06", at="get_meta_slot")
def test_slot_of_each_large_page(bare_kernel: Kernel) -> None:
    base, frames = table_base(bare_kernel), section_ends(bare_kernel, LARGE_PAGE)
    replies = ask(bare_kernel, "array.slot", [(pfn << 12,) for pfn in frames])
    expect_each(bare_kernel, replies, [{"slot": base + pfn * 64} for pfn in frames])


@pytest.mark.clause("ARRAY-06", at="get_meta_slot")
@pytest.mark.parametrize("command", ["array.slot", "array.get"])
def test_slot_of_every_frame_of_a_small_memory(shared_kernel: Kernel, command: str) -> None:
    """Two frames, neither at a boundary, that have each other's slot are told apart by nothing else."""
    base, frames = shared_kernel.witness.meta_paddr + shared_kernel.hhdm, range(shared_kernel.frames)
    replies = ask(shared_kernel, command, [(pfn << 12,) for pfn in frames])
    expect_each(shared_kernel, replies, [{"slot": base + pfn * 64} for pfn in frames])


@pytest.mark.clause("ARRAY-07", at="get_meta_slot")
def test_no_address_behind_the_table_has_a_slot(bare_kernel: Kernel) -> None:
    addresses = values.addresses_outside(bare_kernel.frames)
    replies = ask(bare_kernel, "array.slot", [(paddr,) for paddr in addresses])
    expect_each(bare_kernel, replies, ["out of bounds"] * len(addresses))


@pytest.mark.clause("ARRAY-07", at="get_meta_slot")
@pytest.mark.parametrize(
    ("command", "rest"),
    [("array.get", ()), ("array.snapshot", ()), ("array.matches", (1,)), ("array.poisoned", (0,)),
     ("array.unmap", ()), ("array.lastref", ())],
)  # fmt: skip
def test_no_function_cuts_an_address_short(bare_kernel: Kernel, command: str, rest: tuple[int, ...]) -> None:
    addresses = values.powers_outside(bare_kernel.frames)
    replies = ask(bare_kernel, command, [(paddr, *rest) for paddr in addresses])
    expect_each(bare_kernel, replies, ["out of bounds"] * len(addresses))


@pytest.mark.clause("ARRAY-08", at="frame_meta_debug_snapshot")
def test_snapshot_of_each_boundary_frame(bare_kernel: Kernel) -> None:
    table, frames = bare_kernel.slots(), values.boundary_frames(bare_kernel.frames)
    wanted = []
    for number, pfn in enumerate(frames):
        fields = {"generation": 0x9000_0000 + number, "guard": 0x0700_0000 + number, "vtable": number << 40}
        wanted.append(fields)
        for name, value in fields.items():
            table[pfn][name] = value
    replies = ask(bare_kernel, "array.snapshot", [(pfn << 12,) for pfn in frames])
    for name in ("generation", "guard", "vtable"):
        table[name][list(frames)] = 0
    expect_each(bare_kernel, replies, wanted)


@pytest.mark.clause("GEN-02", at="meta_generation_matches")
def test_generation_matches_itself_alone(bare_kernel: Kernel) -> None:
    """Stored and expected are equal at each boundary, then differ in one bit; a frame for each pair."""
    pairs = [(value, value) for value in around(32)]
    pairs += [(kept, asked) for kept in (0, 0x5A5A_5A5A, 2**32 - 1) for asked in one_bit_off(kept, 32)]
    pairs += [(kept, asked) for kept in around(32) for asked in (0, 1, 2**32 - 1)]  # that stand for no other
    frames = values.boundary_frames(bare_kernel.frames)
    generations = bare_kernel.slots()["generation"]
    replies = []
    for begin in range(0, len(pairs), len(frames)):
        part = pairs[begin : begin + len(frames)]
        for pfn, (kept, _) in zip(frames, part, strict=False):
            generations[pfn] = kept
        asked = [(pfn << 12, wanted) for pfn, (_, wanted) in zip(frames, part, strict=False)]
        replies += ask(bare_kernel, "array.matches", asked)
    generations[list(frames)] = 0
    expect_each(bare_kernel, replies, [{"v": int(kept == asked)} for kept, asked in pairs])


@pytest.mark.clause("VT-04", at="invoke_vtable_on_unmap")
@pytest.mark.parametrize(("command", "hook"), [("array.unmap", "on_unmap"), ("array.lastref", "on_last_ref")])
def test_hook_of_each_boundary_frame(bare_kernel: Kernel, command: str, hook: str) -> None:
    """No other frame has one, so a hook that is looked for elsewhere is not called."""
    frames = list(values.boundary_frames(bare_kernel.frames))
    vtables = bare_kernel.slots()["vtable"]
    bits = bare_kernel.vtable("both")
    bare_kernel.call("vt.clear")
    replies = []
    for pfn in frames:
        vtables[pfn] = bits
        replies += ask(bare_kernel, command, [(pfn << 12,)])
        vtables[pfn] = 0
    expect_each(bare_kernel, replies, [{}] * len(frames))
    wanted = [(hook, pfn_to_paddr(pfn)) for pfn in frames]
    function = FUNCTIONS.named_by(command)
    expect_hooks(bare_kernel, f"hooks that {command} called", wanted, function=function)


@pytest.mark.clause("VT-04", at="invoke_vtable_on_unmap")
@pytest.mark.machine("q35-5g")
def test_hooks_of_a_frame_behind_the_pci_hole(shared_kernel: Kernel) -> None:
    paddr = Paddr((4 << 30) + (24 << 20))
    vtables = shared_kernel.slots()["vtable"]
    vtables[paddr >> 12] = shared_kernel.vtable("both")
    shared_kernel.call("vt.clear")
    shared_kernel.call("array.lastref", paddr)
    shared_kernel.call("array.unmap", paddr)
    vtables[paddr >> 12] = 0
    wanted = [("on_last_ref", paddr), ("on_unmap", paddr)]
    expect_hooks(shared_kernel, "hooks that were called", wanted, frame=paddr)


def with_vtable(kernel: Kernel, bits: Sequence[int], command: str) -> list[Reply]:
    """Call a command on frames with these vtable bits, each on a frame of its own."""
    vtables = kernel.slots()["vtable"]
    vtables[: len(bits)] = bits
    replies = ask(kernel, command, [(pfn << 12,) for pfn in range(len(bits))])
    vtables[: len(bits)] = 0
    return replies


@pytest.mark.clause("VT-02", at="MetaSlot::vtable_ref")
def test_each_registered_vtable_is_found(bare_kernel: Kernel) -> None:
    bits = [bare_kernel.vtable(name) for name in VTABLES]
    expect_each(
        bare_kernel,
        with_vtable(bare_kernel, bits, "slot.vtable_ref"),
        [{"addr": at, "default": 0} for at in bits],
    )
    expect_each(
        bare_kernel,
        with_vtable(bare_kernel, bits, "slot.try_vtable_ref"),
        [{"some": 1, "addr": at} for at in bits],
    )


@pytest.mark.parametrize(
    ("method", "more"),
    [
        pytest.param(name, more, id=name, marks=pytest.mark.clause("VT-01", at=f"MetaSlot::{name}"))
        for name, more in (("vtable_ref", {}), ("try_vtable_ref", {"some": 1}))
    ],
)
def test_no_vtable_is_the_default(bare_kernel: Kernel, method: str, more: dict[str, int]) -> None:
    default = {"default": 1, "on_last_ref": 0, "on_unmap": 0, **more}
    expect_each(bare_kernel, with_vtable(bare_kernel, [0], f"slot.{method}"), [default])


def misaligned(kernel: Kernel) -> tuple[list[int], list[int]]:
    """Every misalignment of every vtable there is, then bits around each power of two.

    Apart, because following the latter ends the guest, before it can say what it did with the former.
    """
    near = [kernel.vtable(name) + low for name in VTABLES for low in range(1, 8)]
    return near, [bits for bits in around(64) if bits % 8]


@pytest.mark.clause("VT-03", at="MetaSlot::try_vtable_ref")
def test_misaligned_bits_are_no_vtable_at_any_boundary(bare_kernel: Kernel) -> None:
    for bits in misaligned(bare_kernel):
        replies = with_vtable(bare_kernel, bits, "slot.try_vtable_ref")
        expect_each(bare_kernel, replies, [{"some": 0}] * len(bits), vtables=bits)
        replies = with_vtable(bare_kernel, bits, "slot.vtable_ref")
        expect_each(bare_kernel, replies, [{"default": 1}] * len(bits), vtables=bits)


@pytest.mark.clause("VT-03", at="MetaSlot::try_vtable_ref")
@pytest.mark.parametrize("command", ["array.unmap", "array.lastref"])
def test_no_hook_is_called_through_misaligned_bits(bare_kernel: Kernel, command: str) -> None:
    for bits in misaligned(bare_kernel):
        bare_kernel.call("vt.clear")
        expect_each(bare_kernel, with_vtable(bare_kernel, bits, command), [{}] * len(bits), vtables=bits)
        expect("hooks called through misaligned bits", bare_kernel.call("vt.log").rows()[:3], [])


@pytest.mark.clause("GUARD-06", at="block_phys_has_poison_guard")
def test_poison_is_found_in_each_boundary_frame_of_each_order(bare_kernel: Kernel) -> None:
    """One frame is poisoned at a time; in the last block, each is tried with every other bit, too."""
    frames = bare_kernel.frames
    requests, wanted = [], list[dict[str, int]]()
    for first, order in values.blocks(frames):
        asks, end = f"array.poisoned {first << 12:#x} {order}", first + (1 << order)
        outside = [pfn for pfn in (first - 1, end) if 0 <= pfn < frames]
        thorough = end == frames
        inside = [first + index for index in values.boundary_indexes(order, thorough=thorough)]
        for pfn in [*inside, *outside]:
            poke = f"slot.poke {pfn << 12:#x} {OFFSETS['guard']} "
            requests += [poke + "00000080", asks]
            wanted += [{}, {"v": int(pfn in inside)}]
            if thorough:
                requests += [poke + "ffffff7f", asks]
                wanted += [{}, {"v": 0}]
            requests.append(poke + "00000000")
            wanted.append({})
    expect_each(bare_kernel, outcomes(bare_kernel, requests), wanted)


@pytest.mark.clause("GUARD-06", at="block_phys_has_poison_guard")
def test_poison_is_found_in_every_frame_of_a_block(bare_kernel: Kernel) -> None:
    """A scan may take several frames at a time: each place in such a group is one that it can miss.

    One frame in three is free, one in use, one anything; the flags say POISONED where the guard does not.
    """
    requests, wanted = [], list[dict[str, int]]()
    block = 1 << EVERY_FRAME_TO_ORDER
    for order in range(EVERY_FRAME_TO_ORDER + 1):
        for pfn in range(block, block + (1 << order)):
            poke = f"slot.poke {pfn << 12:#x} {OFFSETS['guard']} "
            asks = f"array.poisoned {block << 12:#x} {order}"
            requests += [poke + "00000080", asks, poke + "ffffff7f", asks]
            wanted += [{}, {"v": 1}, {}, {"v": 0}]
    requests += [one for poke in requests[-4 * block :: 4] for one in (poke, asks)]  # each stays poisoned
    wanted += [{}, {"v": 1}] * block
    rows, rng = bare_kernel.slots()[block : 2 * block], np.random.default_rng(block)
    kept = rows.copy()
    try:
        rows.view(np.uint8)[:] = rng.integers(0, 256, rows.nbytes, np.uint8)
        rows["guard"] &= POISONED - 1
        for part, flags, count in ((0, C.flag_free, C.refcount_unused), (1, C.flag_allocated, 2)):
            rows["flags"][part::3], rows["refcount"][part::3] = flags, count
        rows["flags"] |= C.flag_poisoned
        expect_each(bare_kernel, outcomes(bare_kernel, requests), wanted)
    finally:
        rows[:] = kept


@pytest.mark.clause("GUARD-06", at="block_phys_has_poison_guard")
def test_poison_is_found_in_frames_that_begin_anywhere(bare_kernel: Kernel) -> None:
    """Of the frames from an address on: whoever asks need not know the block that the buddy gave them in."""
    requests, wanted = [], list[dict[str, int]]()
    block = 1 << EVERY_FRAME_TO_ORDER
    for order in range(1, EVERY_FRAME_TO_ORDER):
        size = 1 << order
        for first in (block + 1, block + size - 1, block + size // 2 + size):
            for pfn in (first - 1, first, first + size - 1, first + size):
                poke = f"slot.poke {pfn << 12:#x} {OFFSETS['guard']} "
                requests += [poke + "00000080", f"array.poisoned {first << 12:#x} {order}", poke + "00000000"]
                wanted += [{}, {"v": int(first <= pfn < first + size)}, {}]
    expect_each(bare_kernel, outcomes(bare_kernel, requests), wanted)


@pytest.mark.clause("FRAME-01", at="PhysFrame::containing_address")
def test_frame_that_contains_each_boundary_address(bare_kernel: Kernel) -> None:
    addresses = around(values.PHYSICAL_BITS)
    replies = ask(bare_kernel, "frame.containing", [(address,) for address in addresses])
    expect_each(bare_kernel, replies, [{"paddr": address & ~0xFFF} for address in addresses])


@pytest.mark.clause("FRAME-01", at="PhysFrame::from_start_address")
def test_frame_that_starts_at_each_boundary_address(bare_kernel: Kernel) -> None:
    addresses = around(values.PHYSICAL_BITS)
    replies = ask(bare_kernel, "frame.from_start", [(address,) for address in addresses])
    expect_each(
        bare_kernel, replies, [{"paddr": address} if address % 4096 == 0 else "fail" for address in addresses]
    )


def frames_between(start: int, end: int) -> dict[str, int]:
    count = max(0, (end - start) // 4096 + 1)
    edges = {"first": start, "last": end} if count else {}
    return {"count": count, "one_by_one": 1, "then_none": 1, "alike": 1, **edges}


def expect_ranges(kernel: Kernel, tried: Sequence[tuple[int, int]]) -> None:
    wanted = [frames_between(*ends) for ends in tried]
    expect_each(kernel, ask(kernel, "frame.range", tried), wanted, ranges=tried)


@pytest.mark.clause("FRAME-02", at="PhysFrame::range_inclusive")
def test_range_at_each_boundary(bare_kernel: Kernel) -> None:
    expect_ranges(bare_kernel, list(values.ranges()))


@pytest.mark.clause("FRAME-02", at="PhysFrame::range_inclusive")
def test_range_that_is_long_in_any_number_of_bits_goes_on(bare_kernel: Kernel) -> None:
    """The last frame and the first differ in one high bit, so in fewer bits they are the same frame."""
    tried = [(4096, (1 << bit) + 4096, 3) for bit in range(14, values.PHYSICAL_BITS)]
    goes_on = {"count": 3, "one_by_one": 1, "first": 4096, "last": 3 * 4096, "then_none": 0, "alike": 1}
    expect_each(bare_kernel, ask(bare_kernel, "frame.range", tried), [goes_on] * len(tried))


@pytest.mark.clause("FRAME-03", at="FrameRangeInclusive::next")
def test_range_up_to_the_last_frame_of_all(bare_kernel: Kernel) -> None:
    expect_ranges(bare_kernel, values.last_ranges())


@pytest.mark.clause("FRAME-04")
def test_frames_that_differ_in_one_bit_are_told_apart(bare_kernel: Kernel) -> None:
    pairs = values.pairs_of_frames()
    wanted = [{"ord": (a > b) - (a < b), "eq": int(a == b), "alike": 1} for a, b in pairs]
    expect_each(bare_kernel, ask(bare_kernel, "frame.cmp", pairs), wanted)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=at, marks=pytest.mark.clause(clause, at=at))
        for check, clause, at in (
            (test_size_of_the_table_at_the_boundaries, "ARRAY-01", "metadata_size_for"),
            (test_no_address_behind_the_table_has_a_slot, "ARRAY-07", "get_meta_slot"),
            (test_frame_that_contains_each_boundary_address, "FRAME-01", "PhysFrame::containing_address"),
            (test_frame_that_starts_at_each_boundary_address, "FRAME-01", "PhysFrame::from_start_address"),
            (test_range_at_each_boundary, "FRAME-02", "PhysFrame::range_inclusive"),
            (test_frames_that_differ_in_one_bit_are_told_apart, "FRAME-04", "PhysFrame"),
        )
    ],
)
def test_functions_of_their_operands_alone_on_another_cpu(
    shared_boot: Boot, check: Callable[[Kernel], None]
) -> None:
    for cpu in OTHERS:
        with programs_on(shared_boot(cpus=WITH_OTHERS), cpu) as kernel:
            check(kernel)
