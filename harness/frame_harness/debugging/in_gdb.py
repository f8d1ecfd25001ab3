"""What gdb shows of a guest: slots, zones, free lists by their meaning. Runs inside gdb, in its own Python.

A setup file loads this, then gives it the layout of the kernel: `frame-harness-facts JSON`. All is
read as bytes at offsets from DWARF: how gdb reads Rust's types does not matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NewType

import gdb  # type: ignore[import-untyped]

# What gdb's Python runs can import nothing of the harness: these are as in `base.units`.
Paddr = NewType("Paddr", int)
Vaddr = NewType("Vaddr", int)

FACTS: dict[str, Any] = {}
PAGE_SHIFT = 12
MOST_BLOCKS = 10000


def number(data: bytes, field: list[int]) -> int:
    """One field, as (offset, size), of some bytes."""
    offset, size = field
    return int.from_bytes(data[offset : offset + size], "little")


def read(vaddr: Vaddr, size: int) -> bytes:
    """Read guest memory at a virtual address; gdb raises `gdb.MemoryError` where nothing is mapped."""
    return bytes(gdb.selected_inferior().read_memory(vaddr, size))


def witness() -> dict[str, int]:
    """What the guest tells of itself: where the slots are, how many, where the allocator's state is."""
    facts = FACTS["witness"]
    data = read(Vaddr(facts["vaddr"]), facts["bytes"])
    return {name: number(data, field) for name, field in facts["fields"].items()}


def bits(value: int, names: dict[str, int]) -> str:
    """Name the bits of a number, joined by `|`; those without a name in hexadecimal, `0` for none."""
    shown = [name for name, bit in names.items() if value & bit]
    rest = value & ~sum(names.values())
    shown += [hex(rest)] if rest else []
    return "|".join(shown) or "0"


def link(value: int) -> str:
    """Show the physical address in a link of a free list, `none` for LINK_NONE."""
    return "none" if value == FACTS["link_none"] else hex(value)


def slot_words(data: bytes) -> str:
    """The fields of a slot with what they mean."""
    values = {name: number(data, field) for name, field in FACTS["slot"]["fields"].items()}
    meaning: dict[str, Callable[[int], str]] = {
        "flags": lambda value: bits(value, FACTS["flags"]),
        "guard": lambda value: bits(value, FACTS["guard"]),
        "refcount": lambda value: "unused" if value == FACTS["refcount_unused"] else str(value),
        "generation": str,
        "order": str,
        "next": link,
        "prev": link,
        "vtable": lambda value: symbol(Vaddr(value)),
    }
    return ", ".join(f"{name}={meaning.get(name, hex)(value)}" for name, value in values.items())


def symbol(vaddr: Vaddr) -> str:
    """Show an address with the symbol that gdb knows there, `none` for 0."""
    if not vaddr:
        return "none"
    found = re.search(r"<(.+)>", str(gdb.Value(vaddr).cast(gdb.lookup_type("u64").pointer())))
    return f"{vaddr:#x} <{found[1]}>" if found else hex(vaddr)


def frame_of(slot_vaddr: Vaddr) -> Paddr | None:
    """The physical address of the frame whose slot lies there; None where it is not in the table."""
    told = witness()
    behind = slot_vaddr - told["hhdm_base"] - told["meta_paddr"]
    pfn, rest = divmod(behind, FACTS["slot"]["bytes"])
    inside = told["meta_paddr"] and rest == 0 and 0 <= pfn < told["n_frames"]
    return Paddr(pfn << PAGE_SHIFT) if inside else None


def slot_at(paddr: Paddr) -> tuple[Vaddr, bytes]:
    """Address and bytes of a frame's slot."""
    told = witness()
    pfn = paddr >> PAGE_SHIFT
    if not told["meta_paddr"] or not 0 <= pfn < told["n_frames"]:
        raise gdb.GdbError(f"{paddr:#x}: no frame with a slot; there are {told['n_frames']}")
    vaddr = Vaddr(told["hhdm_base"] + told["meta_paddr"] + pfn * FACTS["slot"]["bytes"])
    return vaddr, read(vaddr, FACTS["slot"]["bytes"])


class SlotPrinter:
    """`MetaSlot { frame 0x1060000, refcount=1, … }`."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def to_string(self) -> str:
        """What gdb prints for the slot; read from memory, not from gdb's own value."""
        vaddr = Vaddr(int(self.value.address))
        paddr = frame_of(vaddr)
        frame = "a slot of no frame" if paddr is None else f"frame {paddr:#x}"
        return f"MetaSlot {{{frame}, {slot_words(read(vaddr, FACTS['slot']['bytes']))}}}"


class ZonePrinter:
    """`Zone { frames 0x1000..0x1800, free=…, … }`."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def to_string(self) -> str:
        """What gdb prints for the zone; read from memory, not from gdb's own value."""
        return zone_words(read(Vaddr(int(self.value.address)), FACTS["zone"]["bytes"]))


def zone_words(data: bytes) -> str:
    """The frames of a zone as addresses, end excluded, with its counters in frames."""
    values = {name: number(data, field) for name, field in FACTS["zone"]["fields"].items()}
    first, end = values.pop("first_pfn"), values.pop("end_pfn")
    counts = ", ".join(f"{name}={value}" for name, value in values.items())
    return f"Zone {{{first << PAGE_SHIFT:#x}..{end << PAGE_SHIFT:#x}, {counts}}}"


def zone_bytes(index: int) -> bytes:
    """The bytes of a zone of the built-in allocator; raises `gdb.GdbError` where there is no such zone."""
    facts = FACTS.get("zone")
    if facts is None:
        raise gdb.GdbError("this kernel has no zones that are known")
    base = witness()["buddy_vaddr"]
    if not base or not 0 <= index < facts["count"]:
        wanted = f"expected one of 0 to {facts['count'] - 1} of an allocator that is set up"
        raise gdb.GdbError(f"zone {index}: {wanted}")
    return read(Vaddr(base + facts["offset"] + index * facts["bytes"]), facts["bytes"])


class SlotCommand(gdb.Command):  # type: ignore[misc]
    """slot PADDR: the slot of the frame at a physical address, decoded."""

    def __init__(self) -> None:
        super().__init__("slot", gdb.COMMAND_DATA)

    def invoke(self, argument: str, _from_tty: bool) -> None:
        """Write one line; the address may be any expression of gdb, anywhere in its frame."""
        paddr = Paddr(evaluated(argument, "slot PADDR"))
        vaddr, data = slot_at(paddr)
        frame = paddr >> PAGE_SHIFT << PAGE_SHIFT
        gdb.write(f"frame {frame:#x}, slot at {vaddr:#x}: {slot_words(data)}\n")


class Zones(gdb.Command):  # type: ignore[misc]
    """zones: the zones of the built-in allocator with their counters."""

    def __init__(self) -> None:
        super().__init__("zones", gdb.COMMAND_DATA)

    def invoke(self, _argument: str, _from_tty: bool) -> None:
        """Write a line for each zone; nothing for a kernel whose zones are not known."""
        for index in range(FACTS["zone"]["count"] if "zone" in FACTS else 0):
            gdb.write(f"{index} {zone_words(zone_bytes(index))}\n")


class FreeList(gdb.Command):  # type: ignore[misc]
    """free-list ZONE ORDER [movable]: the blocks on a free list of the built-in allocator, link by link."""

    def __init__(self) -> None:
        super().__init__("free-list", gdb.COMMAND_DATA)

    def invoke(self, argument: str, _from_tty: bool) -> None:
        """Write a line for each block, `MOST_BLOCKS` at most, and where the list comes back to itself."""
        words = argument.split()
        movable = words[2:] == ["movable"]
        if len(words) not in (2, 3) or (len(words) == 3 and not movable):
            raise gdb.GdbError("expected free-list ZONE ORDER [movable]")
        zone, order = (evaluated(word, "free-list ZONE ORDER [movable]") for word in words[:2])
        heads = FACTS["zone"]["heads"] if "zone" in FACTS else {"orders": 0}
        data = zone_bytes(zone)
        if not 0 <= order < heads["orders"]:
            raise gdb.GdbError(f"order {order}: expected 0 to {heads['orders'] - 1}")
        at = heads["offset"] + 8 * (int(movable) * heads["orders"] + order)
        paddr = Paddr(number(data, [at, 8]))
        seen: set[Paddr] = set()
        while paddr != FACTS["link_none"]:
            if paddr in seen or len(seen) == MOST_BLOCKS:
                gdb.write(f"{paddr:#x}: the list comes back here\n" if paddr in seen else "…\n")
                return
            seen.add(paddr)
            _, slot = slot_at(paddr)
            gdb.write(f"{paddr:#x} {slot_words(slot)}\n")
            paddr = Paddr(number(slot, FACTS["slot"]["fields"]["next"]))
        gdb.write(f"{len(seen)} blocks of order {order}\n")


class FactsCommand(gdb.Command):  # type: ignore[misc]
    """frame-harness-facts JSON: the layout of the kernel, as the harness read it."""

    def __init__(self) -> None:
        super().__init__("frame-harness-facts", gdb.COMMAND_DATA)

    def invoke(self, argument: str, _from_tty: bool) -> None:
        """Replace what is known of the kernel's layout, key by key."""
        FACTS.update(json.loads(argument))


def evaluated(word: str, usage: str) -> int:
    """The number that an expression of gdb has; raises `gdb.GdbError` with the usage for any other."""
    try:
        return int(gdb.parse_and_eval(word))
    except (gdb.error, ValueError) as error:
        raise gdb.GdbError(f"expected {usage}: {error}") from None


def printer_of(value: Any) -> SlotPrinter | ZonePrinter | None:
    """The printer of a slot or a zone that lies in memory; None leaves a value to gdb."""
    try:
        name = str(value.type.strip_typedefs())
        if value.address is None or not FACTS:
            return None
    except gdb.error:
        return None
    if name == FACTS["slot"]["type"] or name.endswith(f"::{FACTS['slot']['type']}"):
        return SlotPrinter(value)
    if "zone" in FACTS and name.endswith(f"::{FACTS['zone']['type']}"):
        return ZonePrinter(value)
    return None


def show_subject(event: Any) -> None:
    """After a stop in code that was inlined from a library: show the subject's line that it belongs to."""
    if not isinstance(event, gdb.BreakpointEvent):
        return
    frame = gdb.selected_frame()
    while frame is not None and frame.type() == gdb.INLINE_FRAME and not of_the_user(frame):
        frame = frame.older()
    if frame is not None and frame != gdb.selected_frame() and of_the_user(frame):
        frame.select()
        gdb.execute("frame")


def of_the_user(frame: Any) -> bool:
    """Whether the line that a frame stands at is in one of the user's sources."""
    table = frame.find_sal().symtab
    return table is not None and bool(table.fullname().startswith(tuple(FACTS["sources"])))


for command in (SlotCommand, Zones, FreeList, FactsCommand):
    command()
gdb.pretty_printers.append(printer_of)
gdb.events.stop.connect(show_subject)
