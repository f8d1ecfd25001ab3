"""Reads the state of virtual CPUs from what QEMU's monitor prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from frame_harness.base.units import Vaddr

_CPU: Final = re.compile(r"(?m)^CPU#(?P<index>[0-9]{1,9})\s*$")
# "RIP=ffffffff80101234 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1", 32 bits: "EIP=00100018
# EFL=00000006 […]"
_STATE: Final = re.compile(r"\b[RE]IP=(?P<rip>[0-9a-f]+) [RE]FL=(?P<flags>[0-9a-f]+) .*\bHLT=(?P<hlt>[01])")
_REGISTER: Final = re.compile(r"\b(?P<name>[RE][A-Z]{2}|R[0-9]{1,2}|CR[0-9]) *=(?P<value>[0-9a-f]{8,16})\b")
_INTERRUPTS: Final = 1 << 9  # IF, bit 9 of (R/E)FLAGS: Intel SDM volume 1, 3.4.3.3


@dataclass(frozen=True)
class VcpuState:
    """One virtual CPU at one moment.

    `registers` has lower-case names without the r or e that tells the mode: `ip`, `sp`, `ax`, `r8`, `cr3`.
    """

    index: int
    rip: Vaddr
    flags: int
    """RFLAGS, or EFLAGS."""
    interrupts_enabled: bool
    halted: bool
    registers: dict[str, int]
    text: str
    """As QEMU printed it."""

    def describe(self) -> str:
        """Say in one line what the CPU does."""
        doing = "halted" if self.halted else "running"
        interrupts = "on" if self.interrupts_enabled else "off"
        return f"CPU {self.index}: {doing} at {self.rip:#018x}, interrupts {interrupts}"

    def essentials(self) -> str:
        """Say in one line where it is, on which stack, what it faulted at, in which address space."""
        values = {f"r{name}": self.registers.get(name) for name in ("ip", "sp", "bp")}
        values |= {"rflags": self.flags, **{name: self.registers.get(name) for name in ("cr2", "cr3")}}
        return " ".join(f"{name}={value:#x}" for name, value in values.items() if value is not None)


def parse_registers(text: str) -> tuple[VcpuState, ...]:
    """Read `info registers -a` (QEMU 7.2); CPUs whose state cannot be read are left out."""
    clean = text.replace("\r", "")
    heads = list(_CPU.finditer(clean))
    starts = [*(head.start() for head in heads), len(clean)]
    states = [_one(int(head["index"]), clean[head.end() : starts[i + 1]]) for i, head in enumerate(heads)]
    return tuple(state for state in states if state is not None)


def _one(index: int, text: str) -> VcpuState | None:
    state = _STATE.search(text)
    if state is None:
        return None
    registers = {_short(match["name"]): int(match["value"], 16) for match in _REGISTER.finditer(text)}
    return VcpuState(
        index=index,
        rip=Vaddr(int(state["rip"], 16)),
        flags=int(state["flags"], 16),
        interrupts_enabled=bool(int(state["flags"], 16) & _INTERRUPTS),
        halted=state["hlt"] == "1",
        registers=registers,
        text=text.strip("\n"),
    )


def _short(name: str) -> str:
    lower = name.lower()
    return lower if lower[1:].isdigit() or lower.startswith("cr") else lower[1:]
