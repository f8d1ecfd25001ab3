"""The contract at the boundaries of the slot table: every size, every address that it may be given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from frame_harness.base.units import Paddr
from frame_harness.contract.boundaries import around
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.guest.boundaries import outcomes
from frame_harness.guest.checks import OtherClauseViolated, expect, expect_panic, number
from frame_harness.guest.reply import Reply

pytestmark = pytest.mark.one_machine

NEW_SLOT = np.frombuffer(b"\xff" * 16 + bytes(48), np.uint8)
RAM = "128 MiB"
LARGEST = (1 << 28) + 1
"""Bytes of which the frames do not count in 16 bits; a table for each boundary fits into the guest's RAM."""
TOO_LARGE_BITS = range(34, 64)
MISALIGNMENTS = range(64, 4096 + 64, 64)
ODD_FRAMES = 67
"""Frames of a table that ends neither with a frame nor with a cache line pair."""


@dataclass(frozen=True)
class Table:
    """One call of `init_metadata_array`, as the guest and its boot allocator saw it."""

    total_ram: int
    paddr: Paddr
    size: int
    align: int
    first: Reply
    last: Reply
    last_again: Reply
    """By `get_meta`."""
    behind: Reply

    @property
    def frames(self) -> int:
        """Frames that have begun below `total_ram`."""
        return -(-self.total_ram // 4096)


def build_tables(kernel: Kernel, sizes: Sequence[int], *, misaligned: Sequence[int] = ()) -> list[Table]:
    """Build one table after the other, ask each for its first slot, its last and the one behind.

    Args:
        misaligned: bytes by which the boot allocator is off, for each table; a multiple of the alignment.
    """
    requests = []
    for index, ram in enumerate(sizes):
        fault = [f"inject boot.misalign {misaligned[index]}"] if misaligned else []
        end = -(-ram // 4096) * 4096
        asks = [
            "array.slot 0x0",
            f"array.slot {ram - 1:#x}",
            f"array.get {ram - 1:#x}",
            f"array.slot {end:#x}",
        ]
        requests += [*fault, f"array.init {ram:#x}", *asks]
    replies = outcomes(kernel, requests)
    asked = [reply for reply in replies if not reply.request.startswith(("inject", "array.init"))]
    inits = [reply for reply in replies if reply.request.startswith("array.init")]
    expect("array.init", [reply.shown.split()[0] for reply in inits], ["ok"] * len(sizes))
    made = kernel.call("boot.log").rows()
    expect("reservations, one for each table", len(made), len(sizes))
    return [
        Table(
            ram,
            Paddr(int(row["paddr"], 0)),
            int(row["size"], 0),
            int(row["align"], 0),
            *asked[4 * i : 4 * i + 4],
        )
        for i, (ram, row) in enumerate(zip(sizes, made, strict=True))
    ]


def slot_of(reply: Reply) -> str:
    return f"{reply['slot']:#x}" if reply.status == "ok" else reply.shown


def expect_slots_of(kernel: Kernel, table: Table) -> None:
    """The table is where the boot allocator put it, ends where it must, and all of its slots are new."""
    what = f"for {table.total_ram:#x} bytes of RAM, reserved at {table.paddr:#x}"
    base = table.paddr + kernel.hhdm
    last = f"{base + 64 * (table.frames - 1):#x}"
    expect(f"slot of the first frame {what}", slot_of(table.first), f"{base:#x}", clause="ARRAY-02")
    expect(f"slot of the last frame {what}", slot_of(table.last), last, clause="ARRAY-06")
    again = slot_of(table.last_again)
    expect(f"the same by get_meta {what}", again, last, clause="ARRAY-06", function="get_meta")
    expect(f"slot behind the last frame {what}", table.behind.status, "panic", clause="ARRAY-07")
    slots = kernel.ram.view(table.paddr, 64 * table.frames).reshape(-1, 64)
    wrong = np.flatnonzero((slots != NEW_SLOT).any(axis=1))
    expect(f"frames whose slot is not new {what}", wrong[:5].tolist(), [], clause="ARRAY-03")


@pytest.mark.clause("ARRAY-02", "ARRAY-03", "ARRAY-06", "ARRAY-07", "ARRAY-09", at="init_metadata_array")
def test_table_of_each_boundary_size(boot: Boot) -> None:
    kernel = boot(init="none", ram=RAM)
    sizes = [ram for ram in around(64) if 0 < ram <= LARGEST]
    sizes.append(ODD_FRAMES * 4096)  # behind larger ones
    for table in build_tables(kernel, sizes):
        expect_slots_of(kernel, table)


@pytest.mark.clause("ARRAY-02", at="init_metadata_array")
def test_reservation_of_each_boundary_size(boot: Boot) -> None:
    kernel = boot(init="none", ram=RAM)
    sizes = [ram for ram in around(64) if 0 < ram <= LARGEST // 16]
    tables = build_tables(kernel, sizes)
    expect("bytes asked for", [table.size for table in tables], [64 * table.frames for table in tables])
    expect("alignment asked for", {table.align for table in tables}, {64})


@pytest.mark.clause("ARRAY-02", "ARRAY-03", "ARRAY-06", "ARRAY-07", at="init_metadata_array")
def test_table_at_each_address_that_its_alignment_allows(boot: Boot) -> None:
    """The boot allocator may return any multiple of 64; what lies beside the table in its frames stays."""
    kernel = boot(init="none", ram=RAM)
    tables = build_tables(kernel, [ODD_FRAMES * 4096] * len(MISALIGNMENTS), misaligned=MISALIGNMENTS)
    offsets = {table.paddr % 4096 for table in tables}
    expect("addresses modulo 4096", offsets, set(range(0, 4096, 64)), clause="ARRAY-02")
    for table in tables:
        expect_slots_of(kernel, table)
        # The boot allocator fills whole frames with garbage of odd bytes; half of a slot's bytes are even.
        end = Paddr(table.paddr + table.size)
        before = kernel.ram.view(Paddr(table.paddr & ~0xFFF), table.paddr & 0xFFF)
        behind = kernel.ram.view(end, -end & 0xFFF)
        changed = [int((~part & 1).any()) for part in (before, behind)]
        what = f"bytes before and behind the table at {table.paddr:#x} changed"
        expect(what, changed, [0, 0], clause="ARRAY-02")


@pytest.mark.clause("ARRAY-05", at="init_metadata_array")
def test_each_size_that_memory_has_no_room_for_is_refused(boot: Boot) -> None:
    """The table from before stays what it is, and so does its end."""
    kernel = boot(init="none", ram=RAM)
    kernel.call("array.init", ODD_FRAMES * 4096)
    for bit in TOO_LARGE_BITS:
        ram = 1 << bit
        words = (number(ram // 64), number(64), number(ram // 4096))
        with expect_panic(f"init_metadata_array of {ram:#x} bytes", *words):
            kernel.call("array.init", ram)
    behind = kernel.request(f"array.slot {ODD_FRAMES * 4096:#x}").status
    if behind != "panic":
        raise OtherClauseViolated(
            "ARRAY-07", "slot behind the last frame, once a larger table was refused", expected="panic",
            got=behind, function="init_metadata_array",
        )  # fmt: skip


@pytest.mark.clause("GUARD-06", at="block_phys_has_poison_guard")
def test_no_order_is_poisoned_before_there_is_a_table(boot: Boot) -> None:
    kernel = boot(init="none", ram=RAM)
    asked = [f"array.poisoned {paddr:#x} {order}" for order in range(12) for paddr in (0, 1 << 30, 1 << 51)]
    expect("poisoned", [reply["v"] for reply in outcomes(kernel, asked)], [0] * len(asked))
    # Nor once one was there, was looked at, and was replaced by one for no memory at all.
    replies = outcomes(kernel, [f"array.init {ODD_FRAMES * 4096:#x}", asked[0], "array.init 0x0", *asked])
    expect(
        "poisoned, once there is no table again", [one.shown for one in replies[3:]], ["ok v=0"] * len(asked)
    )
