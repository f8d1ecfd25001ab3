"""Says in one line what is wrong with a machine definition."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any, Final, Protocol

from frame_harness.base.errors import UsageError
from frame_harness.base.units import GIB, MIB, PAGE_SIZE, format_bytes

ACCELERATORS: Final = ("tcg", "auto", "kvm")
FIRMWARE: Final = ("default", "qboot", "seabios")
MACHINE_TYPES: Final = ("microvm", "q35", "pc")
MIN_RAM: Final = 2 * MIB  # the kernel itself is loaded at 1 MiB
MAX_CPUS: Final = 255
# What the shim can map at its HHDM (kernel_shim/src/arch/paging.rs, MAX_HHDM_BYTES). RAM that does not fit
# below the hole for devices goes on at 4 GiB; the hole begins here at the earliest (QEMU 7.2,
# hw/i386/pc_q35.c, pc_piix.c, microvm.c).
MAX_RAM_END: Final = 512 * GIB
_BELOW_HOLE: Final = {"q35": 2 * GIB, "pc": 3 * GIB, "microvm": 3 * GIB}

# Arguments through which a definition would take QEMU out of the harness's hands.
_RESERVED: Final = frozenset(
    (
        *("S", "append", "bios", "chardev", "daemonize", "display", "gdb", "incoming", "initrd", "kernel"),
        *("loadvm", "mon", "monitor", "nographic", "no-reboot", "no-shutdown", "pidfile", "qmp"),
        *("qmp-pretty", "serial", "snapshot", "vnc", "watchdog-action", "action"),
        *("M", "machine", "m", "accel", "enable-kvm", "smp", "cpu", "s", "readconfig", "preconfig", "qtest"),
    )
)
_DEBUG: Final = "boot(debugger=…) gives a test QEMU's debug stub; `pytest --pdb` stops with the guest alive"
# What of the harness does the same.
_SERVED_BY: Final = {
    **dict.fromkeys(("s", "gdb"), _DEBUG),
    **dict.fromkeys(("M", "machine"), "the keys `type` and `options`"),
    "m": "the key `ram`", "cpu": "the key `cpu`", "smp": "the key `cpus`", "bios": "the key `firmware`",
    **dict.fromkeys(("accel", "enable-kvm"), "the key `accel`, or --accel"),
    **dict.fromkeys(("kernel", "initrd"), "--frame-rs: the kernel is built around that module"),
    "append": "boot(extra=…) in a test",
    **dict.fromkeys(("serial", "mon", "monitor", "qmp", "qmp-pretty"), "`frame-harness console` talks to it"),
}  # fmt: skip


class Values(Protocol):
    """What is checked of a machine once it is made."""

    @property
    def type(self) -> str: ...

    @property
    def accel(self) -> str: ...

    @property
    def firmware(self) -> str: ...

    @property
    def cpus(self) -> int: ...

    @property
    def ram(self) -> int: ...

    @property
    def limits(self) -> object: ...


def nearest(word: str, known: Collection[str]) -> str:
    """Return `, did you mean "x"`, or nothing when no known word is near."""
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f", did you mean {found[0]!r}" if found else ""


def check_keys(where: str, what: str, given: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Refuse a key that is not one of `allowed`."""
    for key in given:
        if key not in allowed:
            raise UsageError(
                "machine",
                where,
                detail=f"unknown {what} {key!r}{nearest(key, allowed)}",
                next_step=f"known: {', '.join(sorted(allowed))}",
            )


def check_table(where: str, key: str, value: object) -> dict[str, Any]:
    """Require a TOML table."""
    if not isinstance(value, Mapping):
        raise _wrong(where, key, "a table", value)
    return dict(value)


def check_options(where: str, value: object) -> dict[str, str]:
    """Read `options`, the sub-options of `-machine`; true and false become on and off."""
    options = {}
    for name, setting in check_table(where, "options", value).items():
        if isinstance(setting, bool):
            options[name] = "on" if setting else "off"
        elif isinstance(setting, str | int):
            options[name] = str(setting)
        else:
            raise _wrong(where, f"options.{name}", "a text, a number or a boolean", setting)
        if "," in name + options[name] or name == "memory-backend":
            raise _wrong(
                where, f"options.{name}", "a sub-option of -machine that the harness does not set", setting
            )
    return options


def check_extra_args(where: str, value: object) -> tuple[str, ...]:
    """Read `extra_args`, refusing what would break the harness's hold on QEMU."""
    if not isinstance(value, list) or not all(isinstance(arg, str) for arg in value):
        raise _wrong(where, "extra_args", "a list of texts", value)
    for arg in value:
        if arg.startswith("-") and arg.lstrip("-") in _RESERVED:
            raise UsageError(
                "machine", f"{where}: extra_args", expected="no argument that the harness sets itself",
                actual=f'"{arg}"',
                next_step=_SERVED_BY.get(arg.lstrip("-"), "leave it out: the harness needs its own setting"),
            )  # fmt: skip
    return tuple(value)


def check_limits(where: str, limits: Mapping[str, Any]) -> None:
    """Require positive numbers, whole ones for byte counts."""
    for key, value in limits.items():
        wanted: type[int] | type[float] = int if key.endswith("_bytes") else float
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or (wanted is int and not isinstance(value, int)) or not value > 0:
            unit = "bytes, a whole number" if wanted is int else "seconds"
            raise _wrong(where, f"limits.{key}", f"more than 0 {unit}", value)


def check_values(where: str, machine: Values) -> None:
    """Require every field of a machine to have a type and a value that QEMU can be given."""
    for key in ("name", "summary", "qemu", "type", "accel", "cpu", "firmware"):
        if not isinstance(getattr(machine, key), str):
            raise _wrong(where, key, "a text", getattr(machine, key))
    _choice(where, "type", machine.type, MACHINE_TYPES)
    _choice(where, "accel", machine.accel, ACCELERATORS)
    if not PurePath(machine.firmware).is_absolute():
        _choice(where, "firmware", machine.firmware, FIRMWARE, other="an absolute path")
    whole = isinstance(machine.cpus, int) and not isinstance(machine.cpus, bool)
    if not whole or not 1 <= machine.cpus <= MAX_CPUS:
        raise _wrong(where, "cpus", f"a whole number from 1 to {MAX_CPUS}", machine.cpus)
    if machine.ram < MIN_RAM or machine.ram % PAGE_SIZE:
        wanted = f"a multiple of {PAGE_SIZE} bytes, at least {format_bytes(MIN_RAM)}"
        raise _wrong(where, "ram", wanted, format_bytes(machine.ram))
    below = _BELOW_HOLE[machine.type]
    end = machine.ram if machine.ram <= below else 4 * GIB + machine.ram - below
    if end > MAX_RAM_END:
        most = format_bytes(MAX_RAM_END - 4 * GIB + below)
        raise _wrong(where, "ram", f"at most {most}, which the kernel can map", format_bytes(machine.ram))
    check_limits(where, vars(machine.limits))


def _choice(where: str, key: str, value: str, allowed: Collection[str], other: str = "") -> None:
    if value not in allowed:
        wanted = f"one of {', '.join(allowed)}" + (f", or {other}" if other else "")
        raise UsageError(
            "machine", f"{where}: {key}", expected=wanted, actual=f"{value!r}{nearest(value, allowed)}"
        )


def _wrong(where: str, key: str, expected: str, value: object) -> UsageError:
    shown = repr(value) if not isinstance(value, str) else f'"{value}"'
    return UsageError("machine", f"{where}: {key}", expected=expected, actual=shown)
