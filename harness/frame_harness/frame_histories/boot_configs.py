"""Memory maps on which histories are played."""

from __future__ import annotations

from frame_harness.base.errors import UsageError
from frame_harness.base.units import MIB
from frame_harness.frame_histories.lockstep import BootConfig
from frame_harness.frame_histories.scripts import Script
from frame_harness.guest.boot_options import AS_USUAL, BootOptions
from frame_harness.machine.definition import Machine, known_machines, load_machine

LARGEST_WHOLE = 256 * MIB
"""More memory than this only makes each comparison slower."""

# The kernel image lies inside the first island, so that no build of it moves a frame that is handed out. Some
# hundred frames are left of each zone and migratetype, between edges that no block fits: memory is soon out.
# All edges are ours.
ISLANDS = BootConfig(
    "islands",
    BootOptions(
        reserve=(
            (1 * MIB, 7 * MIB),
            (8 * MIB + 0x8_0000, 8 * MIB - 0x8_0000),
            (16 * MIB + 0x18_1234, 6 * MIB),
            (23 * MIB + 0x801, 1 * MIB - 0x801),
            (24 * MIB + 0x15_5001, 6 * MIB),
        ),
        ramtop=31 * MIB + 0x801,
    ),
)
WHOLE = BootConfig("whole", AS_USUAL)


def boot_configs_for(machine: Machine) -> tuple[BootConfig, ...]:
    """The maps for a machine; the first one is played on most."""
    return (ISLANDS, WHOLE) if machine.ram <= LARGEST_WHOLE else (ISLANDS,)


def require_same_memory(script: Script, machine: Machine, where: str) -> None:
    """Refuse to play a script where its addresses mean something else: a sound module would break clauses.

    Args:
        where: the script comes from.
    Raises:
        UsageError: it was made on a machine with other memory.
    """
    known = load_machine(script.machine).layout if script.machine in known_machines() else ""
    layout = script.layout or known
    if layout == machine.layout or (script.machine == machine.name and not script.layout):
        return
    # Where RAM goes further than the islands, what they leave of it is the same.
    top, ram = script.boot_config.options.ramtop, layout.rpartition(" ")[2]
    least = min(int(ram), machine.ram) if ram.isdecimal() else 0
    if script.boot_config.name == ISLANDS.name and top is not None and least >= top:
        return
    expected, actual = machine.name, script.machine
    if expected == actual:
        expected, actual = f"{expected} ({machine.layout})", f"{actual} ({layout})"
    its = script.machine if known == layout != "" else f"FILE, that of {actual}"
    raise UsageError(
        "script", where, expected=f"one for {expected}", actual=f"one for {actual}",
        next_step=f"choose --machine {its}",
    )  # fmt: skip
