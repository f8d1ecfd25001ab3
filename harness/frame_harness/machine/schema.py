"""Says in one line what is wrong with a machine definition."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec

from frame_harness.base.errors import UsageError
from frame_harness.base.units import GIB, MIB, PAGE_SIZE, format_bytes, parse_bytes

FIRMWARE: Final = ("default", "qboot", "seabios")
FIRMWARE_NAMES: Final = ", ".join(f"`{name}`" for name in FIRMWARE)
MIN_RAM: Final = 2 * MIB  # the kernel itself is loaded at 1 MiB
ENDLESS_S: Final = 1e9  # ours: 30 years; a limit that is never reached is none
SECONDS: Final = f"more than 0 seconds, less than {ENDLESS_S:g}"
WHOLE_RAM: Final = f"a multiple of {PAGE_SIZE} bytes, at least {format_bytes(MIN_RAM)}"
# What the shim can map at its HHDM (kernel_shim/src/arch/paging.rs, MAX_HHDM_BYTES). RAM that does not fit
# below the hole for devices goes on at 4 GiB; the hole begins here at the earliest (QEMU 7.2,
# hw/i386/pc_q35.c, pc_piix.c, microvm.c).
MAX_RAM_END: Final = 512 * GIB
MAX_CPUS: Final = 8
"""Of the shim, which starts every CPU that it is given (kernel_shim/parts/lib.rs, MAX_CPUS)."""
CPUS: Final = f"a whole number from 1 to {MAX_CPUS}, which the kernel can start"
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
_DESCRIBED: Final = "qemu/README.md describes each key"
# The same among the sub-options of `-machine`.
_RESERVED_OPTIONS: Final = frozenset(
    (
        *("accel", "append", "dtb", "dumpdtb", "firmware", "initrd", "kernel", "memory", "memory-backend"),
        *("memory-encryption", "smp", "type"),
    )
)
_OPTION: Final = re.compile(r"[A-Za-z0-9_.-]+")
_NEEDED: Final = "leave it out: the harness needs its own setting"
_DEBUG: Final = "boot(debugger=…) gives a test QEMU's debug stub; `pytest --pdb` stops with the guest alive"
# What of the harness does the same.
_SERVED_BY: Final = {
    **dict.fromkeys(("s", "gdb"), _DEBUG),
    **dict.fromkeys(("M", "machine", "type"), "the keys `type` and `options`"),
    **dict.fromkeys(("memory", "memory-backend"), "the key `ram`"), "firmware": "the key `firmware`",
    "m": "the key `ram`", "cpu": "the key `cpu`", "smp": "the key `cpus`", "bios": "the key `firmware`",
    **dict.fromkeys(("accel", "enable-kvm"), "the key `accel`, or --accel"),
    **dict.fromkeys(("kernel", "initrd"), "--frame-rs: the kernel is built around that module"),
    "append": "boot(extra=…) in a test",
    **dict.fromkeys(("serial", "mon", "monitor", "qmp", "qmp-pretty"), "`frame-harness console` talks to it"),
}  # fmt: skip


def nearest(word: str, known: Collection[str]) -> str:
    """Return `, did you mean "x"`, or nothing when no known word is near."""
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f", did you mean {found[0]!r}" if found else ""


def fields_from(where: str, of: type[msgspec.Struct], table: object, within: str = "") -> dict[str, Any]:
    """Read a table whose keys are the fields of a struct, each of its field's type.

    Args:
        within: the key of the table in a larger one.
    Raises:
        UsageError: an unknown key, a missing one, or a value of another type.
    """
    if not isinstance(table, Mapping):
        raise _wrong(where, within, "a table", table)
    fields = {field.name: field for field in msgspec.structs.fields(of) if field.name != "name"}
    for key in table:
        if key not in fields:
            raise UsageError(
                "machine",
                where,
                detail=f"unknown {'limit' if within else 'key'} {key!r}{nearest(key, fields)}",
                next_step=f"known: {', '.join(sorted(fields))}",
            )
    for key, field in fields.items():
        if field.required and key not in table:
            raise UsageError(
                "machine",
                where,
                detail=f"key {key!r} is missing",
                next_step=_DESCRIBED,
            )
    path = f"{within}." if within else ""
    return {key: _field(where, path + key, fields[key].type, value) for key, value in table.items()}


def _field(where: str, key: str, type_: Any, value: Any) -> Any:
    """Read one value; what msgspec says of a wrong one lacks what it was, and the words that it might be."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return type_(**fields_from(where, type_, value, within=key))
    if "\\x00" in repr(value):
        raise _wrong(where, key, "a text that a program can be given", value)
    try:
        return msgspec.convert(_READERS[key](where, value) if key in _READERS else value, type_)
    except msgspec.ValidationError as error:
        kind = get_origin(type_)
        if kind is Literal:
            raise _no_choice(where, key, get_args(type_), value) from error
        words = type_.__metadata__[0].description if kind is Annotated else "a text"
        raise _wrong(where, key, words, value) from error


def _size(where: str, value: Any) -> int:
    try:
        return parse_bytes(value)
    except UsageError as error:
        raise UsageError(
            "machine", f"{where}: ram", expected=error.expected, actual=error.which,
            next_step='write a size, such as ram = "64 MiB"',
        ) from error  # fmt: skip


def _options(where: str, value: object) -> tuple[tuple[str, str], ...]:
    """Read `options`, the sub-options of `-machine`; true and false become on and off."""
    if not isinstance(value, Mapping):
        raise _wrong(where, "options", "a table", value)
    options = []
    for name, setting in value.items():
        if not isinstance(setting, str | int):
            raise _wrong(where, f"options.{name}", "a text, a number or a boolean", setting)
        word = ("off", "on")[setting] if isinstance(setting, bool) else str(setting)
        if "," in word or not _OPTION.fullmatch(name):
            shown = name if name.isprintable() else repr(name)
            raise _wrong(
                where, f"options.{shown}", "a sub-option of -machine, with a value without commas", setting
            )
        first = name.replace("_", "-").partition(".")[0]  # `smp.cpus`; to QEMU `kernel_irqchip` is the same
        if first in _RESERVED_OPTIONS:
            raise UsageError(
                "machine", f"{where}: options", expected="no sub-option that the harness sets itself",
                actual=f'"{name}"', next_step=_SERVED_BY.get(first, _NEEDED),
            )  # fmt: skip
        options.append((name, word))
    return tuple(options)


def _extra_args(where: str, value: Any) -> Any:
    """Refuse what would break the harness's hold on QEMU."""
    for arg in value if isinstance(value, list | tuple) else ():
        bare = str(arg).lstrip("-")
        if str(arg).startswith("-") and bare in _RESERVED:
            raise UsageError(
                "machine", f"{where}: extra_args", expected="no argument that the harness sets itself",
                actual=f'"{arg}"',
                next_step=_SERVED_BY.get(bare, _NEEDED),
            )  # fmt: skip
    return value


def _firmware(where: str, value: Any) -> Any:
    if isinstance(value, str) and value not in FIRMWARE and not PurePath(value).is_absolute():
        raise _no_choice(where, "firmware", FIRMWARE, value, other=", or an absolute path")
    return value


_READERS: Final = {"ram": _size, "options": _options, "extra_args": _extra_args, "firmware": _firmware}


def check_ram(where: str, kind: str, ram: int) -> None:
    """Require an amount of RAM, in bytes, that the kernel can be given on a type of machine.

    Raises:
        UsageError: it is no number of whole frames, too little, or more than the kernel can map.
    """
    if ram < MIN_RAM or ram % PAGE_SIZE:
        raise _wrong(where, "ram", WHOLE_RAM, format_bytes(ram))
    below = _BELOW_HOLE[kind]
    end = ram if ram <= below else 4 * GIB + ram - below
    if end > MAX_RAM_END:
        most = format_bytes(MAX_RAM_END - 4 * GIB + below)
        raise _wrong(where, "ram", f"at most {most}, which the kernel can map", format_bytes(ram))


def _no_choice(where: str, key: str, allowed: Collection[str], value: object, other: str = "") -> UsageError:
    near = nearest(value, allowed) if isinstance(value, str) else ""
    wanted = f"one of {', '.join(allowed)}{other}"
    return UsageError(
        "machine", f"{where}: {key}", expected=wanted, actual=f"{value!r}{near}", next_step=_DESCRIBED
    )


def _wrong(where: str, key: str, expected: str, value: object) -> UsageError:
    shown = f'"{value}"' if isinstance(value, str) and value.isprintable() else repr(value)
    return UsageError("machine", f"{where}: {key}", expected=expected, actual=shown, next_step=_DESCRIBED)
