"""Builds mutants fast: always from the state of the subject itself, in a place of one worker's own.

A mutant that is compiled behind another one would pay for the undoing of that one, too, and what it is
compiled to would depend on which mutants a worker had before. So the compiler's state of the subject itself
is kept, and each mutant begins with it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from frame_harness.base import resources
from frame_harness.base.disk import run_writing
from frame_harness.base.errors import BuildError
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import AGAIN, CompileError
from frame_harness.image.image import Image
from frame_harness.image.ir_build import compile_ir, refused
from frame_harness.image.isolation import environment
from frame_harness.image.line_table import files_of, read_line_table
from frame_harness.image.store import built_name, content_of
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.mutation.base_build import Base, base_of
from frame_harness.mutation.mutants import Mutant, Operator, applied
from frame_harness.mutation.same_code import METHOD, orderings_of, program_of
from frame_harness.mutation.source import RustSource, function_lines
from frame_harness.mutation.workplace import Workplace, claimed

_IR_PROFILE: Final = "release"
_OF_ORDERINGS: Final = frozenset(
    {
        Operator.ORDERING, Operator.FAILURE_ORDERING, Operator.FENCE_DROPPED, Operator.RMW_SPLIT,
        Operator.STORES_SWAPPED,
    }
)  # fmt: skip
"""Operators that may change what other CPUs see, and nothing of the code for x86."""
_KERNELS: Final = 4
"""Kernels of mutants that a place keeps: those of the last two in both profiles."""


@dataclass(frozen=True)
class BuiltMutant:
    """A mutant that is another program.

    Attributes:
        images: by the profile; where the first one differs, there is no other yet: `Builder.image` builds it.
        differing: those of these profiles in which the machine code is not the subject's. Where there are
            none, only memory orderings differ, and nothing that runs can tell.
        program: a digest of the machine code in the last of these profiles: two mutants with the same one are
            one program there.
    """

    mutant: Mutant
    images: Mapping[str, Image]
    differing: tuple[str, ...]
    program: str


@dataclass(frozen=True)
class DoesNotCompile:
    """A mutant that the compiler refuses, with its first error."""

    mutant: Mutant
    first: str


@dataclass(frozen=True)
class Equivalent:
    """A mutant that is compiled to the same program, with the same memory orderings."""

    mutant: Mutant


@dataclass(frozen=True)
class NotLinked:
    """A mutant of a function of which no kernel has any code: nothing calls it there, so nothing can tell."""

    mutant: Mutant


class Builder:
    """Builds mutants of one subject in one place, one at a time."""

    def __init__(self, place: Workplace, subject: Subject, toolchain: Toolchain) -> None:
        self._place, self._toolchain = place, toolchain
        self._bases: dict[str, Base] = {}
        self.subject = subject

    def base(self, profile: str) -> Base:
        """Return the subject itself as it is built here; build it where that was not done yet.

        Raises:
            HarnessError: it cannot be built here.
        """
        if profile not in self._bases:
            try:
                base = base_of(self._place, self.subject, profile, self._toolchain)
            except CompileError as error:  # of no mutant
                detail = f"the subject itself does not compile: {error.first}"
                raise BuildError(
                    "mutants", self.subject.name, detail=detail,
                    next_step="run `check` on it; mutants are built from its Rust files alone",
                ) from error  # fmt: skip
            self._bases[profile] = base
        return self._bases[profile]

    def lay_out(self, mutant: Mutant) -> Subject:
        """Write the text of a mutant into the place of the subject; return that as it is now."""
        self._place.write(mutant.file, _with_its_lines(self._place.text(mutant.file), mutant))
        return self.subject.refreshed()

    def image(self, mutant: Mutant, profile: str) -> Image:
        """Build a mutant in one profile.

        Raises:
            CompileError: it does not compile.
            BuildError: the compiler, or what it runs, was ended: nothing that the text is to blame for.
            HarnessError: the subject itself cannot be built here.
        """
        base = self.base(profile)
        subject = self.lay_out(mutant)
        base.restore()
        kernel = base.command.made
        kernel.unlink(missing_ok=True)
        finished = run_writing(
            self._place.folder, base.command.argv, what=f"compiling mutant {mutant.key} ({profile})",
            cwd=resources.shim_dir(),
            env=environment() | dict(self._toolchain.env) | base.command.env,
        )  # fmt: skip
        if finished.status != 0:
            raise refused("mutants", subject, profile, finished)
        sha256 = hashlib.sha256(kernel.read_bytes()).hexdigest()
        elf = self._place.kept(kernel, sha256, built_name(), most=_KERNELS)
        now = {str(path): content_of([path]) for path in self._place.paths}
        return Image(elf, sha256, profile, subject, base.lacks, tuple((dict(base.sources) | now).items()))

    def program(self, image: Image) -> str:
        """Return a digest of what an image does."""
        return program_of(image.elf, self._place.paths)

    def orders_alike(self, mutant: Mutant) -> bool:
        """Tell whether a mutant has the subject's atomic accesses in LLVM IR, with the same orderings.

        Files of a tree have no crate of their own to be compiled to IR in: of them the operator tells.

        Raises:
            BuildError: there is no LLVM IR of it.
        """
        if self.subject.parts:
            return mutant.operator not in _OF_ORDERINGS
        key = f"{self._place.sha256} {self._toolchain.key} {METHOD}"
        known = self._place.note("orderings", key)
        if known is None:
            self._place.restore_texts()
            known = self._orderings(self.subject)
            self._place.take_note("orderings", key, known)
        return self._orderings(self.lay_out(mutant)) == known

    def is_linked(self, mutant: Mutant, images: Iterable[Image]) -> bool:
        """Tell whether some image has code of the function that a mutant is in; of a constant, always."""
        lines = function_lines(RustSource.of(mutant.file, self._place.text(mutant.file)), mutant.start)
        if lines is None:
            return True
        file = str(self._place.sources / mutant.file)
        tables = (
            read_line_table(image.elf, files_of(image.subject), resources.shim_dir()) for image in images
        )
        spots = (spot for table in tables for row in table.rows for spot in row.spots)
        return any(spot.file == file and spot.line in lines for spot in spots)

    def _orderings(self, subject: Subject) -> str:
        try:
            return orderings_of(compile_ir(subject, _IR_PROFILE, self._toolchain))
        except CompileError as error:  # its kernel was compiled: the text is not to blame
            detail = f"no LLVM IR of a text that compiles: {error.first}"
            raise BuildError("mutants", subject.name, detail=detail, next_step=AGAIN) from error


@contextlib.contextmanager
def builder(
    files: Mapping[str, bytes],
    subject_in: Callable[[Path], Subject],
) -> Iterator[Builder]:
    """Take a place that nobody else works in, and lay a subject out there.

    What was built of the same files in that place before is used again.

    Args:
        files: all that the subject is compiled from, by their paths in its folder.
        subject_in: returns the subject in a folder.
    """
    toolchain = find_toolchain()
    with claimed(files) as place:
        yield Builder(place, subject_in(place.sources), toolchain)


def build_mutant(
    builds: Builder, mutant: Mutant, profiles: Sequence[str] = ("release", "dev")
) -> BuiltMutant | DoesNotCompile | Equivalent | NotLinked:
    """Build a mutant until it is known what it is.

    The profiles are built in their order up to the first in which the machine code differs. Where it does in
    none, the atomic accesses in LLVM IR decide: x86 code has the same bytes for several orderings. Code that
    no kernel has is told apart: it is the same program whatever it says.

    Raises:
        HarnessError: the subject itself cannot be built here.
    """
    images: dict[str, Image] = {}
    program = ""
    for profile in profiles:
        base = builds.base(profile)
        try:
            images[profile] = builds.image(mutant, profile)
        except CompileError as error:
            return DoesNotCompile(mutant, error.first)
        program = builds.program(images[profile])
        if program != base.program:
            return BuiltMutant(mutant, images, (profile,), program)
    if not builds.orders_alike(mutant):
        return BuiltMutant(mutant, images, (), program)
    return Equivalent(mutant) if builds.is_linked(mutant, images.values()) else NotLinked(mutant)


def _with_its_lines(text: bytes, mutant: Mutant) -> bytes:
    """Return a mutant's text in which all that follows stands in the line where it stood.

    Lines are part of what is compiled: else every place behind the edit would differ.
    """
    missing = mutant.before.count("\n") - mutant.after.count("\n")
    changed = applied(text, mutant)
    end = mutant.start + len(mutant.after.encode())
    return changed[:end] + b"\n" * missing + changed[end:]
