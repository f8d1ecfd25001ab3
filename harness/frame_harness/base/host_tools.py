"""Tries out the programs of this machine that nothing works without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from frame_harness.base.commands import Finished, run
from frame_harness.base.disk import run_writing, scratch
from frame_harness.base.own_programs import find_program

_QEMU: Final = "qemu-system-x86_64"


@dataclass(frozen=True)
class HostTool:
    """A program that must be there."""

    program: str
    packages: tuple[str, ...]
    """Of Debian, that bring it."""
    purpose: str
    try_out: Callable[[], Finished]
    """Shows whether it works; one that is there may lack its libraries."""
    stands_alone: bool = False
    """Whether it works where its packages are unpacked, too."""

    def works(self) -> bool:
        """Tell whether it is there and does what it is needed for."""
        return self.try_out().status == 0


def _start_qemu() -> Finished:
    return run([find_program(_QEMU) or _QEMU, "--version"], what="asking QEMU")


def _link() -> Finished:
    """Link a program: Debian's gcc comes without the C library's own files unless one asks for them."""
    with scratch("link") as folder:
        source = folder / "main.c"
        source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
        return run_writing(folder, ["cc", "-o", folder / "main", source], what="trying the linker")


QEMU = HostTool(_QEMU, ("qemu-system-x86",), "QEMU, which boots the kernel", _start_qemu, stands_alone=True)
LINKER = HostTool("cc", ("gcc", "libc6-dev"), "C linker, for the build scripts of Rust crates", _link)
HOST_TOOLS = (QEMU, LINKER)
