"""Turns a machine into QEMU's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from frame_harness.base.errors import UsageError
from frame_harness.machine.definition import Machine
from frame_harness.machine.flatview import RAM_ID
from frame_harness.machine.translation_log import TranslationLog

DEBUG_EXIT_PORT: Final = 0xF4
"""Ours, as in kernel_shim/src/arch/exit.rs: the device is where it is told to be."""
DEBUGGER_ID: Final = "debugger"


@dataclass(frozen=True, kw_only=True)
class Handles:
    """File descriptors that QEMU inherits: guest RAM, console, monitor, perhaps that of a log.

    `debugger` is one, too: of a socket to a debugger of our own. Or it is the path at which QEMU waits for a
    debugger that a person starts.
    """

    ram: int
    console: int
    monitor: int
    debugger: int | Path | None = None
    log: TranslationLog | None = None

    @property
    def inherited(self) -> tuple[int, ...]:
        """The numbers of the descriptors that QEMU inherits, those that are not used left out."""
        log = self.log.fd if self.log else None
        given = (self.ram, self.console, self.monitor, self.debugger, log)
        return tuple(each for each in given if isinstance(each, int))


def qemu_argv(
    machine: Machine, handles: Handles, *, qemu: str, elf: Path, append: str, bios: str | None
) -> list[str]:
    """Return the whole command; QEMU comes up paused, silent, with nothing but what is named here.

    Args:
        qemu: the program, found already.
        bios: what `-bios` is given; None leaves the choice to QEMU.
    Raises:
        UsageError: `accel` is still `auto`, which no QEMU may decide.
    """
    if machine.accel == "auto":
        raise UsageError("machine", f"{machine.name}: accel", expected="tcg or kvm", actual="auto")
    argv = [qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S"]
    argv += ["-name", "frame-harness"]
    argv += ["-machine", _options(machine.type, {"memory-backend": RAM_ID, **dict(machine.options)})]
    argv += ["-accel", _accelerator(machine), "-cpu", machine.cpu, "-smp", str(machine.cpus)]
    argv += ["-m", f"size={machine.ram}B", "-object", _ram_backend(machine.ram, handles.ram)]
    argv += ["-chardev", f"socket,id=console,fd={handles.console}", "-serial", "chardev:console"]
    argv += ["-chardev", f"socket,id=monitor,fd={handles.monitor}", "-mon", "chardev=monitor,mode=control"]
    argv += ["-device", f"isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=4"]
    if handles.debugger is not None:
        argv += ["-chardev", _debugger_socket(handles.debugger), "-gdb", f"chardev:{DEBUGGER_ID}"]
    if handles.log is not None:
        argv += handles.log.arguments
    if bios is not None:
        argv += ["-bios", bios]
    argv += ["-kernel", str(elf), "-append", append]
    return [*argv, *machine.extra_args]


def _accelerator(machine: Machine) -> str:
    # Each virtual CPU on a thread of its own: with a single thread they take turns, and no race is ever lost.
    parallel = machine.accel == "tcg" and machine.cpus > 1
    return "tcg,thread=multi" if parallel else machine.accel


def _debugger_socket(debugger: int | Path) -> str:
    if isinstance(debugger, int):
        return f"socket,id={DEBUGGER_ID},fd={debugger}"
    path = str(debugger).replace(",", ",,")  # QEMU's way to write a comma in a value
    return f"socket,id={DEBUGGER_ID},path={path},server=on,wait=off"


def _ram_backend(size: int, fd: int) -> str:
    # The path is opened by QEMU itself, after the descriptor was inherited: a file without a name stays
    # nameless.
    options = {"id": RAM_ID, "size": str(size), "mem-path": f"/dev/fd/{fd}", "share": "on", "prealloc": "off"}
    return _options("memory-backend-file", options)


def _options(head: str, options: Mapping[str, str]) -> str:
    return ",".join([head, *(f"{key}={value}" for key, value in options.items())])
