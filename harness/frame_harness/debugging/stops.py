"""Where gdb has to stop for a finding."""

from __future__ import annotations

from dataclasses import dataclass

from frame_harness.base.errors import UsageError
from frame_harness.base.units import Vaddr
from frame_harness.image.code_starts import CodeStarts
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult


@dataclass(frozen=True)
class Stops:
    """Addresses in a kernel, with the words for them."""

    words: str
    vaddrs: tuple[Vaddr, ...]


def stops_of(result: CheckResult, image: Image) -> Stops:
    """The code of the finding's function where its line declares that, else of its line; may be none."""
    declared = image.item_line(result.function) if result.function else None
    starts = CodeStarts.of(image)
    words = f"{result.at}, in {result.function}" if result.function else result.at
    if declared is not None and result.at == f"{declared[0]}:{declared[1]}":
        return Stops(words, starts.of_function(result.function))
    return Stops(words, starts.of_line(result.at) if result.at else ())


def stops_beside(function: str, command: str, image: Image) -> Stops:
    """The functions of the same type that a command calls, as far as they have code; may be none."""
    starts, kind = CodeStarts.of(image), function.rpartition("::")[0]
    called = image.subject.contract.functions.of_line(command)
    found = {path: starts.of_function(path) for path in called if path.rpartition("::")[0] == kind}
    found = {path: vaddrs for path, vaddrs in sorted(found.items()) if vaddrs}
    return Stops(" or ".join(found), tuple(sorted({at for vaddrs in found.values() for at in vaddrs})))


def require_place(place: str) -> None:
    """Refuse what is no FILE:LINE; whether code is there, the image knows.

    Raises:
        UsageError: it is something else.
    """
    file, _, line = place.rpartition(":")
    if not file or not (line.isascii() and line.isdecimal() and line.strip("0")):
        raise UsageError(
            "--at", place, expected="FILE:LINE, such as frame.rs:306", actual="another text",
            next_step="name a line of a function that the kernel calls",
        )  # fmt: skip


def stops_at(place: str, image: Image) -> Stops:
    """The code of a `FILE:LINE` that a person names.

    Raises:
        UsageError: no code of this kernel belongs to it.
    """
    vaddrs = CodeStarts.of(image).of_line(place)
    if not vaddrs:
        raise UsageError(
            "--at", place, expected="a FILE:LINE with code in this kernel", actual="none",
            next_step="name a line of a function that the kernel calls; release builds have fewer",
        )  # fmt: skip
    return Stops(place, vaddrs)
