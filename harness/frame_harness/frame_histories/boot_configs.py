"""Memory maps on which histories are played."""

from __future__ import annotations

from frame_harness.base.units import MIB
from frame_harness.frame_histories.lockstep import BootConfig
from frame_harness.guest.boot_options import AS_USUAL, BootOptions
from frame_harness.machine.definition import Machine

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
