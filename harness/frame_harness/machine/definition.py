"""A frozen machine read from `qemu/*.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, structs

from frame_harness.base.errors import UsageError
from frame_harness.base.paths import at_home
from frame_harness.base.reading import text_of
from frame_harness.base.resources import machines_dir
from frame_harness.machine import schema

DEFAULT_MACHINE: Final = "q35"
DEFAULT_QEMU: Final = "qemu-system-x86_64"

# The title is the unit in qemu/README.md, the description what an error expects.
CpuSeconds = Annotated[
    float, Meta(gt=0, lt=schema.ENDLESS_S, title="seconds of CPU time", description=schema.SECONDS)
]
WallSeconds = Annotated[float, Meta(gt=0, lt=schema.ENDLESS_S, title="seconds", description=schema.SECONDS)]
Bytes = Annotated[int, Meta(gt=0, title="bytes", description="more than 0 bytes, a whole number")]
CpuCount = Annotated[int, Meta(ge=1, le=schema.MAX_CPUS, title="count", description=schema.CPUS)]
Ram = Annotated[int, Meta(title=f'bytes, or a text such as `"64 MiB"`; {schema.WHOLE_RAM}')]
Texts = Annotated[tuple[str, ...], Meta(title="list of texts", description="a list of texts")]
Firmware = Annotated[str, Meta(title=f"{schema.FIRMWARE_NAMES}, or an absolute path", description="a text")]
Options = Annotated[tuple[tuple[str, str], ...], Meta(title="table", description="a table")]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a guest may take before it counts as hung.

    CPU time is that of QEMU's process, all threads: a loaded host changes nothing. Limits in wall-clock time
    exist only for what uses no CPU time.
    """

    boot_cpu_s: CpuSeconds = 20.0
    """from the start to the banner"""
    request_cpu_s: CpuSeconds = 20.0
    """for one request at the console, unless its caller asks for more"""
    exit_cpu_s: CpuSeconds = 5.0
    """from the reply to `exit` to the end of QEMU"""
    asleep_wall_s: WallSeconds = 1.0
    """every CPU halted, with interrupts enabled, for so long: asleep; with interrupts disabled three looks
    suffice"""
    stall_wall_s: WallSeconds = 60.0
    """QEMU owes something, but uses no CPU time at all"""
    total_wall_s: WallSeconds = 900.0
    """the last resort: QEMU runs, but never gets anywhere"""
    boot_bytes: Bytes = 1 << 20
    """what a guest may print before the banner"""
    console_bytes: Bytes = 64 << 20
    """what a guest may print in answer to one request"""


class Machine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to run QEMU; every field but the name is a key of the TOML file.

    The tables of `qemu/README.md` are made of the types, the defaults and the texts in these two classes.
    """

    name: str
    summary: str = ""
    """what the machine is for, shown in lists"""
    qemu: str = DEFAULT_QEMU
    """the program: a name on `PATH`, or a path; a script must `exec` QEMU"""
    type: Literal["microvm", "q35", "pc"]
    """QEMU's `-machine`: the chipset"""
    options: Options = ()
    """sub-options of QEMU's `-machine`; `true` is `on`, `false` is `off`"""
    accel: Literal["tcg", "auto", "kvm"] = "tcg"
    """`auto`: KVM if this very kernel boots with it, which is tried, else TCG"""
    cpu: str = "qemu64"
    """QEMU's `-cpu`"""
    cpus: CpuCount = 1
    """virtual CPUs; the kernel of the harness has room for so many"""
    ram: Ram
    """guest memory"""
    firmware: Firmware = "default"
    """`default`: QEMU's own, which is SeaBIOS, as `seabios`; `qboot`: where QEMU has it, else the default"""
    extra_args: Texts = ()
    """more arguments for QEMU; none that the harness sets itself"""
    limits: Limits = Limits()
    """when a guest counts as hung"""

    @property
    def layout(self) -> str:
        """What decides where memory lies in it."""
        return f"{self.type} {self.firmware} {self.ram}"

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


def require_known(name: str) -> None:
    """Refuse a name that none of the harness's own machines has.

    Raises:
        UsageError: names those that it has.
    """
    known = known_machines()
    if name not in known:
        raise UsageError(
            "machine",
            name,
            detail=f"no such machine{schema.nearest(name, known)}",
            next_step=f"choose one of {', '.join(known)}, or give --machine the path of a TOML file",
        )


def refuse_misspelled(name: str) -> None:
    """Refuse a name that is nearly that of one of the harness's own machines; others may be a user's.

    Raises:
        UsageError: names those that the harness has.
    """
    if schema.nearest(name, known_machines()):
        require_known(name)


def load_machine(name_or_path: str | Path = DEFAULT_MACHINE) -> Machine:
    """Read a machine by name, or from a TOML file of the user's (anything with a slash or `.toml`).

    Raises:
        UsageError: no such machine, or a file that is not a machine; the text names the key.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml"):
        path = at_home(name_or_path)
    else:
        require_known(text)
        path = machines_dir() / f"{text}.toml"
    try:
        data = tomllib.loads(text_of(path))
    except OSError as error:
        raise UsageError("machine", str(path), detail=f"cannot read it: {error.strerror}",
            next_step=f"choose one of {', '.join(known_machines())}, or a file that can be read",
        ) from error  # fmt: skip
    except (ValueError, RecursionError) as error:  # also a number of too many digits, or brackets too deep
        raise UsageError(
            "machine",
            str(path),
            detail=f"not TOML: {error}",
            next_step="mend the file: qemu/README.md describes each key",
        ) from error
    if not path.stem.isprintable():
        raise UsageError("machine", repr(str(path)), expected="a name without control characters",
            actual="another", next_step="rename the file: reports name the machine by it",
        )  # fmt: skip
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
