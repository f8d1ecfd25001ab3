"""A frozen machine read from `qemu/*.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, structs

from frame_harness.base.errors import UsageError
from frame_harness.base.resources import machines_dir
from frame_harness.machine import schema

DEFAULT_MACHINE: Final = "q35"
DEFAULT_QEMU: Final = "qemu-system-x86_64"

Seconds = Annotated[float, Meta(gt=0, description="more than 0 seconds")]
Bytes = Annotated[int, Meta(gt=0, description="more than 0 bytes, a whole number")]
Cpus = Annotated[int, Meta(ge=1, le=255, description="a whole number from 1 to 255")]
Texts = Annotated[tuple[str, ...], Meta(description="a list of texts")]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a guest may take before it counts as hung.

    Seconds are QEMU's own CPU time unless the name says otherwise, so that a loaded host changes nothing.
    """

    boot_cpu_s: Seconds = 20.0
    """From `cont` to the banner."""
    request_cpu_s: Seconds = 20.0
    """For one request at the console, unless the caller asks for more."""
    exit_cpu_s: Seconds = 5.0
    """From the reply to `exit` to the end of QEMU."""
    asleep_wall_s: Seconds = 1.0
    """How long every CPU must be halted with interrupts enabled before the guest counts as asleep."""
    stall_wall_s: Seconds = 60.0
    """How long QEMU may use no CPU time at all, while it owes something."""
    total_wall_s: Seconds = 900.0
    """The last resort against a QEMU that runs, but never gets anywhere."""
    boot_bytes: Bytes = 1 << 20
    """How much a guest may print before the banner."""
    console_bytes: Bytes = 64 << 20
    """How much a guest may print in answer to one request."""


class Machine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to run QEMU; every field is a key of the TOML file, documented in `qemu/README.md`."""

    name: str
    summary: str = ""
    qemu: str = DEFAULT_QEMU
    type: Literal["microvm", "q35", "pc"]
    options: tuple[tuple[str, str], ...] = ()
    accel: Literal["tcg", "auto", "kvm"] = "tcg"
    cpu: str = "qemu64"
    cpus: Cpus = 1
    ram: int
    """Bytes."""
    firmware: str = "default"
    extra_args: Texts = ()
    limits: Limits = Limits()

    def override(
        self,
        *,
        ram: int | str | None = None,
        cpus: int | None = None,
        accel: str | None = None,
        firmware: str | None = None,
        qemu: str | None = None,
        extra_args: Sequence[str] | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> Machine:
        """Return this machine with what the caller asks for instead.

        Raises:
            UsageError: a value that no machine may have.
        """
        changes: dict[str, Any] = {"ram": ram, "cpus": cpus, "accel": accel, "firmware": firmware}
        changes |= {"qemu": qemu, "extra_args": extra_args}
        table = structs.asdict(self) | {key: value for key, value in changes.items() if value is not None}
        table |= {"options": dict(self.options), "limits": structs.asdict(self.limits) | dict(limits or {})}
        return machine_from(table.pop("name"), table, where=self.name)


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
    machine = Machine(name=name, **schema.fields_from(where, Machine, data))
    schema.check_ram(where, machine.type, machine.ram)
    return machine
