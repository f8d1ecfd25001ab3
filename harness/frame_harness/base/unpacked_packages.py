"""Unpacks Debian packages into a folder, for a program that cannot be installed.

Two releases of one source do not install together: a host whose `qemu-utils` comes from backports refuses the
`qemu-system-x86` of its release. A folder of its own has no such conflict, and needs no rights.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from frame_harness.base.commands import Finished, Say
from frame_harness.base.disk import run_writing, scratch, writing
from frame_harness.base.errors import MissingToolError
from frame_harness.base.packages import apt

# apt's own user may not read a folder of the caller's.
_DOWNLOAD: Final = ("-o", "APT::Sandbox::User=root")
_STATUS: Final = Path("/var/lib/dpkg/status")
# deb-control(5); dpkg writes each field of its status on one line.
_EXCLUDES: Final = re.compile(r"(?:Breaks|Conflicts):", re.IGNORECASE)
_LAUNCHER: Final = """\
#!/bin/sh
LD_LIBRARY_PATH={libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}} exec {program} "$@"
"""


def can_unpack() -> bool:
    """Tell whether this host has what it takes; no rights are needed."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def unpack(program: str, packages: Sequence[str], folder: Path, programs: Path, *, say: Say | None) -> None:
    """Unpack packages with all that apt would install for them, and put a launcher for one program in place.

    The packages' own scripts do not run, and apt keeps no note of them: whoever removes the folder removes
    all. The program finds its data by its own place, as QEMU does (7.2,
    util/cutils.c, `get_relocated_path`), and its libraries by the launcher.

    Args:
        folder: what the packages hold, as under `/`; replaced.
        programs: the folder of the launcher.
    Raises:
        MissingToolError: apt does not know, or does not get, one of them; the text is apt's.
    """
    with scratch("packages") as downloads:
        argv = ["apt-get", "download", "-q", *_DOWNLOAD, *_to_install(_plan(program, packages, downloads))]
        _require(apt(argv, f"fetching {' '.join(packages)}", say, cwd=downloads), program)
        with writing(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        for package in sorted(downloads.glob("*.deb")):
            unpacking: list[str | Path] = ["dpkg-deb", "--extract", package, folder]
            _require(run_writing(folder, unpacking, what=f"unpacking {package.name}", say=say), program)
    _launch(program, folder, programs)


def _plan(program: str, packages: Sequence[str], folder: Path) -> str:
    """Return what apt would do to install packages on this host if none that is installed excluded them."""
    status = folder / "status"
    with _STATUS.open(encoding="utf-8", errors="replace") as installed:
        status.write_text("".join(line for line in installed if not _EXCLUDES.match(line)), encoding="utf-8")
    argv = ["apt-get", "install", "-s", "-q", "--no-install-recommends"]
    planned = apt([*argv, "-o", f"Dir::State::status={status}", *packages], "asking apt")
    _require(planned, program)
    return planned.out


def _to_install(plan: str) -> Iterator[str]:
    """Yield `name:architecture=version` for each package of apt's plan that is not installed yet."""
    # Inst libnl-3-200 (3.7.0-0.2+b1 Debian:12.15/oldstable [amd64])
    for name, version, architecture in re.findall(
        r"^Inst (\S+)(?: \[\S+\])? \((\S+) .*\[(\S+)\]\)", plan, flags=re.MULTILINE
    ):
        yield f"{name}={version}" if architecture == "all" else f"{name}:{architecture}={version}"


def _require(finished: Finished, program: str) -> None:
    if finished.status != 0:
        raise MissingToolError(
            program,
            detail=finished.last_words(),
            next_step="see that apt's sources, the network and its proxy work; then make setup",
        )


def _launch(program: str, folder: Path, programs: Path) -> None:
    """Let a launcher stand where the program was unpacked, and a link to it among the programs."""
    found = folder / "usr" / "bin" / program
    if not found.is_file():
        raise MissingToolError(
            program, str(found), expected="a program of these packages", actual="none",
            next_step="install it by hand",
        )  # fmt: skip
    libraries = sorted({file.parent for file in folder.glob("**/lib/*/*.so.*")})
    with writing(programs):
        real = found.rename(found.with_name(f"{program}.unpacked"))
        found.write_text(
            _LAUNCHER.format(
                libraries=shlex.quote(":".join(map(str, libraries))), program=shlex.quote(str(real))
            ),
            encoding="utf-8",
        )
        found.chmod(0o755)
        link = programs / program
        link.unlink(missing_ok=True)
        link.symlink_to(found)
