"""A frozen machine read from `qemu/*.toml`."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from frame_harness.base.errors import UsageError
from frame_harness.base.resources import machines_dir
from frame_harness.base.units import parse_bytes
from frame_harness.machine import schema

DEFAULT_MACHINE: Final = "q35"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a guest may take before it counts as hung.

    Seconds are QEMU's own CPU time unless the name says otherwise, so that a loaded host changes nothing.
    """

    boot_cpu_s: float = 20.0
    """From `cont` to the banner."""
    request_cpu_s: float = 20.0
    """For one request at the console, unless the caller asks for more."""
    exit_cpu_s: float = 5.0
    """From the reply to `exit` to the end of QEMU."""
    asleep_wall_s: float = 1.0
    """How long every CPU must be halted with interrupts enabled before the guest counts as asleep."""
    stall_wall_s: float = 60.0
    """How long QEMU may use no CPU time at all, while it owes something."""
    total_wall_s: float = 900.0
    """The last resort against a QEMU that runs, but never gets anywhere."""
    boot_bytes: int = 1 << 20
    """How much a guest may print before the banner."""
    console_bytes: int = 64 << 20
    """How much a guest may print in answer to one request."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One way to run QEMU; every field is a key of the TOML file, documented in `qemu/README.md`."""

    name: str
    summary: str = ""
    qemu: str = "qemu-system-x86_64"
    type: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    accel: str = "tcg"
    cpu: str = "qemu64"
    cpus: int = 1
    ram: int
    """Bytes."""
    firmware: str = "default"
    extra_args: tuple[str, ...] = ()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        schema.check_values(self.name, self)

    def override(
        self,
        *,
        ram: int | str | None = None,
        cpus: int | None = None,
        accel: str | None = None,
        firmware: str | None = None,
        qemu: str | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> Machine:
        """Return this machine with what the caller asks for instead.

        Raises:
            UsageError: a value that no machine may have.
        """
        changes: dict[str, Any] = {"cpus": cpus, "accel": accel, "firmware": firmware, "qemu": qemu}
        changes = {key: value for key, value in changes.items() if value is not None}
        if ram is not None:
            changes["ram"] = parse_bytes(ram)
        if limits:
            schema.check_keys(self.name, "limit", limits, _keys(Limits))
            changes["limits"] = dataclasses.replace(self.limits, **limits)
        return dataclasses.replace(self, **changes)


def known_machines() -> tuple[str, ...]:
    """Names that `load_machine` finds in the harness's own folder, the default one first."""
    names = sorted(path.stem for path in machines_dir().glob("*.toml"))
    return tuple(sorted(names, key=lambda name: name != DEFAULT_MACHINE))


def load_machine(name_or_path: str | Path = DEFAULT_MACHINE) -> Machine:
    """Read a machine by name, or from a TOML file of the user's (anything with a slash or `.toml`).

    Raises:
        UsageError: no such machine, or a file that is not a machine; the text names the key.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml"):
        path = Path(name_or_path)
    else:
        known = known_machines()
        if text not in known:
            raise UsageError(
                "machine",
                text,
                detail=f"no such machine{schema.nearest(text, known)}",
                next_step=f"choose one of {', '.join(known)}, or give the path of a TOML file",
            )
        path = machines_dir() / f"{text}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError("machine", str(path), detail=f"cannot read it: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("machine", str(path), detail=f"not TOML: {error}") from error
    return machine_from(path.stem, data, where=str(path))


def load_machines(arguments: Iterable[str | Path]) -> dict[str, Machine]:
    """Read several machines; one that is named twice is read once, by the argument that comes first.

    Raises:
        UsageError: see `load_machine`; or different machines have one name, so that no report could tell them
            apart.
    """
    loaded: dict[str, Machine] = {}
    arguments_by_name: dict[str, str] = {}
    for argument in arguments:
        machine = load_machine(argument)
        first = arguments_by_name.setdefault(machine.name, str(argument))
        if machine != loaded.setdefault(first, machine):
            raise UsageError(
                "machine",
                machine.name,
                detail=f"{first} and {argument} are two machines of one name",
                next_step="give one of the two files another name",
            )
    return loaded


def machine_from(name: str, data: Mapping[str, Any], *, where: str) -> Machine:
    """Turn the content of a TOML file into a machine; `where` names the source in errors."""
    allowed = _keys(Machine) - {"name"}
    schema.check_keys(where, "key", data, allowed)
    for required in ("type", "ram"):
        if required not in data:
            raise UsageError("machine", where, detail=f"key {required!r} is missing")
    values = dict(data)
    try:
        values["ram"] = parse_bytes(values["ram"])
    except UsageError as error:
        raise UsageError("machine", f"{where}: ram", expected=error.expected, actual=error.which) from error
    if "options" in values:
        values["options"] = MappingProxyType(schema.check_options(where, values["options"]))
    if "extra_args" in values:
        values["extra_args"] = schema.check_extra_args(where, values["extra_args"])
    if "limits" in values:
        limits = schema.check_table(where, "limits", values["limits"])
        schema.check_keys(where, "limit", limits, _keys(Limits))
        schema.check_limits(where, limits)
        values["limits"] = Limits(**limits)
    return Machine(name=name, **values)


def _keys(of: type[Machine] | type[Limits]) -> frozenset[str]:
    return frozenset(item.name for item in dataclasses.fields(of))
