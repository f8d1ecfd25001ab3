"""The console commands of a guest with a frame module.

Those that reach the module have the values that a check must try of each operand; those that show nothing
where two CPUs meet in them say why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from frame_harness.contract.boundaries import around
from frame_harness.frame_metadata import frame_values as frames
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.slot_methods import SLOT_METHODS

N_FRAMES = frames.WIDE_RAM // C.page_size
OperandValues = frozenset[int] | frozenset[str]


@dataclass(frozen=True)
class ConsoleCommand:
    """One command of the subject's."""

    operands: dict[str, OperandValues] = field(default_factory=dict)
    """By the names in its usage, with all values that must be sent; numbers or words."""
    functions: tuple[str, ...] = ()
    """Of the module that it calls, as its text declares them."""
    alone: str = ""
    """Why two CPUs that meet in it show nothing; empty where they may."""


def _numbers(values: Iterable[int]) -> frozenset[int]:
    return frozenset(values)


ANY_SLOT: frozenset[int] = frozenset()
"""The address only chooses a slot, through `get_meta`, whose own addresses are tried with `array.get`."""
ORDERS = _numbers(range(C.max_order + 1))
ORDERS_ASKED_FOR = ORDERS | _numbers(order for order in around(8) if order > C.max_order)
HANDED_ON = _numbers(frames.powers_outside(N_FRAMES))
FRAME_STARTS = _numbers(pfn * C.page_size for pfn in frames.boundary_frames(N_FRAMES))
ADDRESSES = _numbers(around(frames.PHYSICAL_BITS))
PURPOSES = frozenset({"custom:" + f"{flags:#x}" for flags in around(32)})
TABLE_SIZES = _numbers(ram for ram in around(64) if 0 < ram <= 1 << 28) | _numbers(
    1 << bit for bit in range(34, 64)
)


def _by_address(function: str, *more: int, **operands: frozenset[int]) -> ConsoleCommand:
    return ConsoleCommand({"paddr": HANDED_ON | FRAME_STARTS | _numbers(more), **operands}, (function,))


def _slot_commands() -> dict[str, ConsoleCommand]:
    found: dict[str, ConsoleCommand] = {}
    for method in SLOT_METHODS:
        operands: dict[str, OperandValues] = {one.name: _numbers(one.values) for one in method.operands}
        found[method.command] = ConsoleCommand({"paddr": ANY_SLOT, **operands}, (method.name,))
    return found


OF_MANY_CALLS = (
    "compares frames, or walks them, by many calls of functions that have a command each or no name"
)
OWN_WALK = (
    "is a walk of the shim's own under the buddy's lock; what it calls of the subject has a command each"
)

COMMANDS: dict[str, ConsoleCommand] = {
    **_slot_commands(),
    "slot.vtable_ref": ConsoleCommand({"paddr": ANY_SLOT}, ("vtable_ref",)),
    "slot.try_vtable_ref": ConsoleCommand({"paddr": ANY_SLOT}, ("try_vtable_ref",)),
    "array.size": ConsoleCommand({"ram": _numbers(around(64))}, ("metadata_size_for",)),
    "array.init": ConsoleCommand(
        {"total_ram": TABLE_SIZES}, ("init_metadata_array",), "fills the table before there is a second CPU"
    ),
    "array.get": _by_address("get_meta", *frames.addresses_inside(N_FRAMES)),
    "array.slot": _by_address(
        "get_meta_slot", *frames.addresses_inside(N_FRAMES), *frames.addresses_outside(N_FRAMES)
    ),
    "array.snapshot": _by_address("frame_meta_debug_snapshot"),
    "array.matches": _by_address("meta_generation_matches", gen=_numbers(around(32))),
    "array.poisoned": ConsoleCommand({"paddr": HANDED_ON, "order": ORDERS}, ("block_phys_has_poison_guard",)),
    "array.unmap": _by_address("invoke_vtable_on_unmap"),
    "array.lastref": _by_address("invoke_vtable_on_last_ref"),
    "alloc": ConsoleCommand(
        {"zeroed": frozenset({"0", "1"}), "purpose": PURPOSES}, ("new", "zeroed", "purpose", "allocate")
    ),
    "purpose.zero": ConsoleCommand(
        {"purpose": PURPOSES | frozenset({"pagetable", "kernel", "user"})}, ("requires_zero",)
    ),
    "release": ConsoleCommand({"paddr": ANY_SLOT, "order": ORDERS}, alone=OWN_WALK),
    "trait.alloc": ConsoleCommand({"order": ORDERS_ASKED_FOR}, alone=OWN_WALK),
    "trait.free": ConsoleCommand({"paddr": ANY_SLOT, "order": ORDERS}, alone=OWN_WALK),
    "buddy.alloc": ConsoleCommand(
        {"order": ORDERS_ASKED_FOR, "movable|unmovable": frozenset({"movable", "unmovable"})},
        alone=OWN_WALK,
    ),
    "buddy.free": ConsoleCommand({"paddr": ANY_SLOT, "order": ORDERS}, alone=OWN_WALK),
    "frame.containing": ConsoleCommand({"addr": ADDRESSES}, ("containing_address",)),
    "frame.from_start": ConsoleCommand({"addr": ADDRESSES}, ("from_start_address",)),
    "frame.range": ConsoleCommand(
        {
            "start": _numbers(start for start, _ in (*frames.ranges(), *frames.last_ranges())),
            "end": _numbers(end for _, end in (*frames.ranges(), *frames.last_ranges())),
            "limit": frozenset(),
        },
        ("range_inclusive",),
        OF_MANY_CALLS,
    ),
    "frame.cmp": ConsoleCommand(
        {
            "a": _numbers(a for a, _ in frames.pairs_of_frames()),
            "b": _numbers(b for _, b in frames.pairs_of_frames()),
        },
        alone=OF_MANY_CALLS,
    ),
}
"""Every command with an operand that the subject sees."""

WITHOUT_OPERANDS = {
    "const": "prints constants",
    "slot.new": "makes a slot out of nothing",
    "trait.alloc_frame": "is `trait.alloc 0`",
    "alloc.all": "is `alloc` until memory is out",
}
"""Commands that reach the subject and give it no operand of their own."""

OF_THE_SHIM = {
    "serves the console, the guest or the harness": (
        "help", "banner", "map", "onpanic", "exit", "batch", "run", "dump", "dump.sums", "crash", "selftest",
        "inject", "boot.log", "vt.addr", "vt.log", "vt.clear", "stats", "lists", "buddy.log", "buddy.cache",
        "payload.fill", "payload.verify", "payload.peek", "payload.poke",
        "smp.ops", "smp.frames", "smp.job", "smp.run", "smp.arm", "smp.wait", "smp.result", "smp.log",
    ),
    "drives a whole memory core, which is started by itself and judged by clauses of its own": (
        "core.offers", "core.layout", "core.start", "core.alloc", "core.cpu", "core.fill", "core.free",
        "core.poison", "core.storm", "core.totals", "frame.words", "frame.alloc", "frame.free",
        "tables.new", "tables.map", "tables.unmap", "tables.probe", "tables.free",
        "work.loop", "work.start", "work.scatter", "work.alloc", "work.free", "work.merge",
    ),
    "looks at slots or changes them past the subject": ("slot.peek", "slot.poke"),
    "empties the caches of the shim's own buddy": ("buddy.drain",),
}  # fmt: skip
"""By reason: commands that do not reach the subject, or only for the shim's own ends."""

ALONE: dict[str, str] = {
    **{name: reason for reason, names in OF_THE_SHIM.items() for name in names},
    **WITHOUT_OPERANDS,
    **{name: command.alone for name, command in COMMANDS.items() if command.alone},
}
"""By command: why two CPUs that meet in it show nothing."""
