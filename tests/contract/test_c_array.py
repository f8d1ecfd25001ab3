"""Contract section C: the metadata array, from before it exists to its last slot."""

from __future__ import annotations

import numpy as np
import pytest

from frame_harness.base.units import Paddr
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.frame_metadata.functions import FUNCTIONS
from frame_harness.guest.checks import expect, expect_panic, number

GIB = 1 << 30
LOW_RAM = 16 << 20  # holds the kernel image, and has no room for a large table
NEW_SLOT = b"\xff" * 16 + bytes(48)


@pytest.mark.clause("ARRAY-01", at="metadata_size_for")
@pytest.mark.parametrize(
    "ram",
    [
        0,
        1,
        4095,
        4096,
        4097,
        8191,
        8192,
        4 * GIB - 1,
        4 * GIB,
        4 * GIB + 1,
        1024 * GIB,
        1024 * GIB + 1,
        2**52,
    ],
    ids=hex,
)
def test_metadata_size_is_64_bytes_for_each_begun_frame(shared_kernel: Kernel, ram: int) -> None:
    expect(
        f"metadata_size_for({ram:#x})", shared_kernel.call("array.size", ram)["bytes"], -(-ram // 4096) * 64
    )


@pytest.mark.clause("ARRAY-02", at="init_metadata_array")
def test_array_is_reserved_through_the_accessible_path(boot: Boot) -> None:
    kernel = boot(init="none")
    frames = kernel.frames
    kernel.call("array.init", frames * 4096)
    reservations = kernel.call("boot.log").rows()
    expect("reservations made by init_metadata_array", len(reservations), 1)
    (made,) = reservations
    expect("path of the reservation", made["path"], "accessible")
    expect("bytes of the reservation", int(made["size"], 0), frames * 64)
    expect("alignment of the reservation", int(made["align"], 0), 64)
    expect(
        "slot of frame 0, against the reservation seen through the HHDM",
        kernel.slot_vaddr(Paddr(0)),
        int(made["paddr"], 0) + kernel.hhdm,
        base=16,
    )


@pytest.mark.clause("ARRAY-03", at="init_metadata_array")
def test_every_slot_is_initialized_whatever_the_memory_held(boot: Boot) -> None:
    kernel = boot(init="none")
    garbage = kernel.call("boot.log")
    assert not garbage.rows(), "the boot allocator served somebody before the array"
    kernel.call("array.init", kernel.frames * 4096)
    rows = kernel.slots().view(np.uint8).reshape(-1, kernel.slots().dtype.itemsize)
    wrong = np.flatnonzero((rows != np.frombuffer(NEW_SLOT, np.uint8)).any(axis=1))
    expect("frames whose slot is not as MetaSlot::new() makes it", wrong[:5].tolist(), [])
    expect("slots in the table", len(rows), kernel.frames)


@pytest.mark.clause("ARRAY-04", at="init_metadata_array")
def test_zero_ram_reserves_nothing(boot: Boot) -> None:
    kernel = boot(init="none")
    kernel.call("array.init", 0)
    expect("reservations for zero RAM", kernel.call("boot.log").rows(), [])
    with expect_panic("get_meta after an array for zero RAM", "not initialized"):
        kernel.call("array.get", 0)


@pytest.mark.clause("ARRAY-04", at="init_metadata_array")
def test_zero_ram_sets_base_and_count_to_zero(boot: Boot) -> None:
    """Read in RAM where the subject has the statics of the real file; a subject may name them differently."""
    kernel = boot(init="none")
    kernel.call("array.init", kernel.frames * 4096)
    kernel.call("array.get", 0)  # `get_meta` must not keep the base of this table
    kernel.call("array.init", 0)
    for name in ("METADATA_BASE_VIRT", "METADATA_FRAME_COUNT"):
        if (value := kernel.subject_static(name)) is not None:
            expect(f"{name} after an array for zero RAM", value, 0)
    with expect_panic("get_meta after an array for zero RAM", "not initialized"):
        kernel.call("array.get", 0)


@pytest.mark.clause("ARRAY-05", at="init_metadata_array")
def test_no_boot_memory_panics_with_bytes_alignment_frames(boot: Boot) -> None:
    kernel = boot(init="none")
    kernel.inject("boot.refuse")
    with expect_panic(
        "init_metadata_array without boot memory", number(1 << 20), number(64), number(1 << 14)
    ):
        kernel.call("array.init", 64 << 20)


@pytest.mark.clause("ARRAY-06", at="get_meta_slot")
def test_slot_address_is_base_plus_64_for_each_frame(shared_kernel: Kernel) -> None:
    base, last = shared_kernel.slot_vaddr(Paddr(0)), shared_kernel.frames - 1
    for pfn in (0, 1, 2, 255, 256, last // 2, last - 1, last):
        for offset in (0, 1, 7, 63, 64, 2048, 4095):
            paddr = Paddr((pfn << 12) + offset)
            expect(
                f"slot of {paddr:#x}",
                shared_kernel.slot_vaddr(paddr),
                base + pfn * 64,
                base=16,
                frame=Paddr(pfn << 12),
            )
    expect(
        "slot of the last frame, against the last of the reservation",
        shared_kernel.slot_vaddr(Paddr(last << 12))
        - shared_kernel.hhdm
        - shared_kernel.witness.meta_paddr
        + 64,
        shared_kernel.witness.meta_bytes,
    )


@pytest.mark.clause("ARRAY-07", at="get_meta_slot")
def test_access_before_initialization_panics(boot: Boot) -> None:
    kernel = boot(init="none")
    for command in ("array.get", "array.slot", "array.snapshot"):
        function = FUNCTIONS.named_by(command)
        with expect_panic(f"{function} before init_metadata_array", "not initialized", function=function):
            kernel.call(command, 0x1000)


@pytest.mark.clause("ARRAY-07", at="get_meta_slot")
def test_access_past_the_last_slot_panics(shared_kernel: Kernel) -> None:
    for command in ("array.get", "array.slot", "array.snapshot"):
        function, end = FUNCTIONS.named_by(command), shared_kernel.frames << 12
        shared_kernel.call(command, end - 1)
        for paddr in (end, end + 4095, end + (1 << 30), 2**44, 2**44 + 4096, 2**52 - 1):
            what = f"{function} of {paddr:#x}, {end:#x} being the end"
            with expect_panic(what, "out of bounds", function=function):
                shared_kernel.call(command, paddr)


@pytest.mark.clause("ARRAY-08", at="get_meta")
def test_both_getters_give_the_same_slot(shared_kernel: Kernel) -> None:
    for paddr in (0, 0x1000, 0x10_0FFF, (shared_kernel.frames << 12) - 1):
        expect(
            f"get_meta against get_meta_slot of {paddr:#x}",
            shared_kernel.call("array.get", paddr)["slot"],
            shared_kernel.call("array.slot", paddr)["slot"],
            base=16,
        )


@pytest.mark.clause("ARRAY-08", at="frame_meta_debug_snapshot")
def test_snapshot_is_generation_guard_vtable(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    slot = shared_kernel.slot(paddr)
    slot.set_generation(0x1234_5678)
    slot.set_guard(0x8000_0001)
    slot.set_vtable_bits(0xFFFF_8000_0000_1008)
    for reply in (shared_kernel.call("array.snapshot", paddr), slot.call("debug_snapshot")):
        expect(
            "snapshot",
            (reply["generation"], reply["guard"], reply["vtable"]),
            (0x1234_5678, 0x8000_0001, 0xFFFF_8000_0000_1008),
            base=16,
            frame=paddr,
        )


@pytest.mark.clause("ARRAY-09", at="init_metadata_array")
@pytest.mark.parametrize("extra", [1, 4095])
def test_a_partial_last_frame_has_its_own_slot(boot: Boot, extra: int) -> None:
    ramtop = (24 << 20) + extra
    kernel = boot(init="array", ram="32 MiB", ramtop=ramtop)
    expect("frames of the table", kernel.frames, (24 << 20) // 4096 + 1)
    last = kernel.slot_vaddr(Paddr(ramtop - 1))
    expect("slot of the partial frame", last - kernel.slot_vaddr(Paddr(0)), (24 << 20) // 4096 * 64)
    with expect_panic("get_meta behind the partial frame", "out of bounds"):
        kernel.call("array.get", (24 << 20) + 4096)


@pytest.mark.clause("ARRAY-03", "ARRAY-06", at="init_metadata_array")
@pytest.mark.machine("pc-seabios")
def test_the_memory_map_of_an_ordinary_firmware_gets_a_whole_table(boot: Boot) -> None:
    """SeaBIOS keeps memory below 1 MiB and at the top for itself, at odd addresses."""
    kernel = boot(init="array")
    table = kernel.slots()
    wrong = np.flatnonzero(table != np.frombuffer(NEW_SLOT, dtype=table.dtype)[0])
    expect("frames whose slot is not as MetaSlot::new() makes it", wrong[:5].tolist(), [])
    top = max(region.end for region in kernel.memory_map() if region.kind == "ram")
    expect("frames up to the last of RAM", kernel.frames >= top // 4096, True)
    expect(
        "slot of the last frame",
        kernel.slot_vaddr(Paddr((kernel.frames << 12) - 1)) - kernel.slot_vaddr(Paddr(0)),
        (kernel.frames - 1) * 64,
    )


@pytest.mark.clause("ARRAY-10", at="init_metadata_array")
@pytest.mark.machine("q35-5g")
def test_frames_behind_the_pci_hole_have_their_own_slots(shared_kernel: Kernel) -> None:
    kernel = shared_kernel
    ram = [region for region in kernel.memory_map() if region.kind == "ram"]
    above = [region for region in ram if region.base >= 4 * GIB]
    assert above, "this machine has no RAM behind the PCI hole"
    top = max(region.end for region in above)
    in_ram = sum(region.end - region.base for region in kernel.memory_map() if region.kind != "reserved")
    expect("frames of the table, from the highest address", kernel.frames, top // 4096)
    expect("whether the sum of RAM is smaller than the highest address", in_ram < top, True)
    paddrs = [Paddr(at) for at in (4 * GIB, 4 * GIB + 4096, top - 4096)]
    slots = [kernel.slot_vaddr(p) for p in paddrs]
    expect(
        "slots of frames above the hole, from the slot of frame 0",
        [s - kernel.slot_vaddr(Paddr(0)) for s in slots],
        [p // 4096 * 64 for p in paddrs],
    )
    for index, paddr in enumerate(paddrs):
        kernel.slot(paddr).meta_aux_store(0xA0 + index)
    expect(
        "values of these slots in mapped RAM, each written through its own frame",
        [int(kernel.slots()[p >> 12]["meta_aux"]) for p in paddrs],
        [0xA0, 0xA1, 0xA2],
    )
    for paddr in paddrs:  # the guest is shared
        kernel.slot(paddr).meta_aux_store(0)


def table_at_4_gib(shared_boot: Boot) -> Kernel:
    """All 32 low bits of its address are zero: whether there is a table must not be asked of them alone."""
    kernel = shared_boot(init="array", reserve=((LOW_RAM, 4 * GIB - LOW_RAM),))
    expect("physical address of the table", kernel.witness.meta_paddr, 4 * GIB, base=16)
    return kernel


@pytest.mark.clause("ARRAY-06", at="get_meta_slot")
@pytest.mark.machine("q35-5g")
def test_a_table_that_begins_at_4_gib_is_a_table(shared_boot: Boot) -> None:
    kernel = table_at_4_gib(shared_boot)
    expect("slot of frame 0", kernel.slot_vaddr(Paddr(0)), kernel.hhdm + 4 * GIB, base=16, frame=Paddr(0))


@pytest.mark.clause("GUARD-06", at="block_phys_has_poison_guard")
@pytest.mark.machine("q35-5g")
def test_poison_in_a_table_that_begins_at_4_gib_is_seen(shared_boot: Boot) -> None:
    kernel = table_at_4_gib(shared_boot)
    kernel.slots()["guard"][1] |= 1 << 31
    for paddr, poisoned in ((Paddr(0), 0), (Paddr(4096), 1)):
        expect(
            "whether the block of one frame is poisoned",
            kernel.call("array.poisoned", paddr, 0)["v"],
            poisoned,
            frame=paddr,
            field="guard",
        )
    kernel.slots()["guard"][1] &= ~np.uint32(1 << 31)  # the guest is shared


@pytest.mark.clause("ALLOC-09", at="FrameAllocOptions::allocate")
@pytest.mark.machine("q35-5g")
def test_a_frame_behind_the_pci_hole_begins_a_life_like_any_other(shared_kernel: Kernel) -> None:
    paddr = Paddr(4 * GIB + (12 << 20))
    before = shared_kernel.slots()[paddr >> 12].copy()
    shared_kernel.offer(paddr)
    expect("frame handed out", shared_kernel.alloc(purpose="user"), paddr, base=16)
    after = shared_kernel.slots()[paddr >> 12]
    expect(
        "refcount and generation above 4 GiB",
        (int(after["refcount"]), int(after["generation"])),
        (1, int(before["generation"]) + 1),
        frame=paddr,
    )


@pytest.mark.clause("ARRAY-10", at="FrameAllocOptions::allocate")
@pytest.mark.machine("q35-5g")
def test_a_frame_behind_the_pci_hole_is_allocated_like_any_other(shared_kernel: Kernel) -> None:
    kernel, paddr = shared_kernel, Paddr(4 * GIB + (8 << 20))
    kernel.payload(paddr)[:] = 0x5A
    kernel.offer(paddr)
    expect("frame handed out", kernel.alloc(purpose="user"), paddr, base=16)
    after = kernel.slots()[paddr >> 12]
    expect("refcount above 4 GiB", int(after["refcount"]), 1, frame=paddr, field="refcount")
    expect(
        "non-zero bytes of its payload, seen in mapped RAM",
        int(np.count_nonzero(kernel.payload(paddr))),
        0,
        frame=paddr,
        field="payload",
    )
