"""Tells what the harness finds on this machine."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from frame_harness.base import resources
from frame_harness.base.commands import Say, speaker
from frame_harness.base.errors import HarnessError, MachineError
from frame_harness.base.host_tools import LINKER
from frame_harness.base.units import MIB, format_bytes
from frame_harness.image import cache_limit, cargo_config
from frame_harness.image.isolation import cargo_home, users_home
from frame_harness.image.toolchain import find_toolchain
from frame_harness.machine.definition import load_machine
from frame_harness.machine.firmware import QBOOT, find_qboot, find_qemu
from frame_harness.machine.identity import qemu_version

GUEST_BYTES = 512 * MIB  # what a run of the suite keeps resident at most: two guests and what they touch


@dataclass(frozen=True)
class DoctorLine:
    """One thing that was looked at.

    Attributes:
        missing: what a person must do; empty when nothing is wrong.
    """

    name: str
    found: str
    missing: str = ""


def examine(say: Say | None = None) -> list[DoctorLine]:
    """Look at everything that a run needs, even after the first thing is missing."""
    looks: list[tuple[str, Callable[[], DoctorLine]]] = [
        ("python", _python),
        ("packages", _packages),
        ("qemu", _qemu),
        ("firmware", _firmware),
        ("rust", lambda: DoctorLine("rust", find_toolchain(say=say).describe().removeprefix("toolchain: "))),
        ("cargo", _cargo),
        ("linker", _linker),
        ("accelerator", _accelerator),
        ("memory", _memory),
        ("cpus", lambda: DoctorLine("cpus", f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}")),
        ("build folder", _build_folder),
    ]
    return [_look(name, look) for name, look in looks]


def main() -> int:
    """Print the report; return 0 when nothing is missing, else 1."""
    parser = argparse.ArgumentParser(prog="python -m frame_harness.cli.doctor", description=__doc__)
    parser.add_argument("--rust", action="store_true", help="only find the Rust toolchain, or install one")
    say = speaker(sys.stderr)
    if parser.parse_args().rust:
        lines = [_look("rust", lambda: DoctorLine("rust", find_toolchain(say=say, install=True).describe()))]
        print("\n".join(line.missing or line.found for line in lines), file=sys.stderr)
    else:
        lines = examine(say)
        print(render(lines))
    return int(any(line.missing for line in lines))


def render(lines: list[DoctorLine]) -> str:
    """Return the report as people read it."""
    width = max(len(line.name) for line in lines)
    shown: list[str] = []
    for line in lines:
        first, *rest = (f"MISSING  {line.missing}" if line.missing else line.found).splitlines()
        shown.append(f"{line.name:{width}}  {first}")
        shown += [f"{'':{width}}  {more}" for more in rest]
    n_missing = sum(bool(line.missing) for line in lines)
    shown.append(f"{n_missing} missing" if n_missing else "nothing is missing")
    return "\n".join(shown)


def _look(name: str, look: Callable[[], DoctorLine]) -> DoctorLine:
    try:
        return look()
    except HarnessError as error:
        return DoctorLine(name, "", str(error))
    except OSError as error:
        return DoctorLine(name, "", f"{error}\nnext: see that this file can be read and written")


def _python() -> DoctorLine:
    version = ".".join(map(str, sys.version_info[:3]))
    return DoctorLine("python", f"{version}, {sys.executable}")


def _packages() -> DoctorLine:
    """Compare what is installed with the lock: other versions may work, but are not what was tested."""
    try:
        required = importlib.metadata.requires("frame-harness") or []
    except importlib.metadata.PackageNotFoundError:
        return DoctorLine("packages", "", "frame-harness itself is not installed\nnext: make setup")
    lock = Path(__file__).with_name("requirements.lock").read_text(encoding="utf-8")
    # A pin of the lock: name==1.2.3, then a backslash and its hashes
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock, flags=re.MULTILINE))
    # A requirement: pytest>=8.0      Of the developers: ruff>=0.6; extra == 'dev'
    needed = [_normal(re.split(r"[<>=!~;\[ ]", text)[0]) for text in required if "extra ==" not in text]
    others = [difference for name in needed if (difference := _difference(name, pins.get(name, "?")))]
    found = f"{len(needed) - len(others)} of {len(needed)} in the version that was tested"
    return DoctorLine("packages", "\n".join([found, *others]))


def _difference(name: str, tested: str) -> str:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = "absent"
    return "" if version == tested else f"{name}: {version} (tested: {tested})"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _qemu() -> DoctorLine:
    program = find_qemu(load_machine("q35").qemu)
    try:
        version = qemu_version(program)  # such as: QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)
    except MachineError as error:
        return DoctorLine("qemu", "", f"{program} {error.detail}\nnext: {error.next_step}")
    return DoctorLine("qemu", f"{version.removeprefix('QEMU emulator version ')}, {program}")


def _firmware() -> DoctorLine:
    found = find_qboot(find_qemu(load_machine("q35").qemu))
    return DoctorLine(
        "firmware", str(found) if found else f"SeaBIOS; without {QBOOT} a boot takes twice as long"
    )


def _cargo() -> DoctorLine:
    """Say what is taken from the user's configuration, and what a build here does not obey."""
    cargo_home()  # refuses what it cannot set aside
    shown: list[str] = []
    for file in cargo_config.files(resources.shim_dir(), users_home()):
        if file.is_relative_to(resources.shim_dir()):
            continue
        taken, ignored = cargo_config.split(file)
        words = [
            f"{verb} {', '.join(names)}" for verb, names in (("uses", taken), ("ignores", ignored)) if names
        ]
        shown += [f"{'; '.join(words)} of {file}"] if words else []
    return DoctorLine("cargo", "\n".join(shown) or "no configuration of yours")


def _linker() -> DoctorLine:
    tried = LINKER.try_out()
    if tried.status != 0:
        todo = f"apt-get install {' '.join(LINKER.packages)}"
        return DoctorLine("linker", "", f"{LINKER.purpose}: {tried.last_words()}\nnext: {todo}")
    return DoctorLine("linker", shutil.which(LINKER.program) or LINKER.program)


def _accelerator() -> DoctorLine:
    """Opening proves nothing: there are machines where KVM opens, then never runs the firmware."""
    kvm = Path("/dev/kvm")
    if not kvm.exists():
        return DoctorLine("accelerator", "tcg; no /dev/kvm")
    try:
        os.close(os.open(kvm, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return DoctorLine("accelerator", f"tcg; /dev/kvm does not open ({error.strerror})")
    return DoctorLine("accelerator", "tcg; /dev/kvm opens, but is used only on request (--accel)")


def _memory() -> DoctorLine:
    """Guest RAM is a memfd where the kernel has that, which /dev/shm's size does not limit."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    # MemAvailable:   24318432 kB
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, flags=re.MULTILINE)
    available = int(match[1]) * 1024 if match else 0
    shm = Path("/dev/shm")
    shared = f"/dev/shm {_with_free_space(shm, name='')}" if shm.is_dir() else "no /dev/shm"
    found = f"{_round(available)} available; memfd {'works' if _memfd_works() else 'does not work'}; {shared}"
    if available < GUEST_BYTES:
        return DoctorLine("memory", "", f"{found}\nnext: free at least {format_bytes(GUEST_BYTES)}")
    return DoctorLine("memory", found)


def _memfd_works() -> bool:
    try:
        os.close(os.memfd_create("frame-harness-doctor", os.MFD_CLOEXEC))
    except (AttributeError, OSError):
        return False
    return True


def _with_free_space(folder: Path, name: str | None = None) -> str:
    usage = shutil.disk_usage(folder)
    shown = str(folder) if name is None else name
    return f"{shown}{', ' if shown else ''}{_round(usage.free)} free of {_round(usage.total)}"


def _build_folder() -> DoctorLine:
    """Where builds are kept; a folder that cannot be written serves nobody."""
    folder = resources.build_dir()
    found = f"{_with_free_space(folder)}; {cache_limit.described()}"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return DoctorLine("build folder", found)
    except OSError as error:
        todo = "set FRAME_HARNESS_CACHE to a folder that you may write"
        return DoctorLine("build folder", "", f"{folder}: {error.strerror}\nnext: {todo}")


def _round(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):.1f} GiB"


if __name__ == "__main__":
    sys.exit(main())
