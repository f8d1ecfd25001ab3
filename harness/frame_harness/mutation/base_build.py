"""Builds the subject itself in a worker's place, and keeps what the compiler can use again for mutants.

Each mutant begins with a copy of that state, in the folder that cargo used: the compiler throws its state
away where the folder for its output is another one. Object files are hard links, all else is copied.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Final

import msgspec

from frame_harness.base.disk import write_whole
from frame_harness.base.errors import HarnessError
from frame_harness.base.profiles import PROFILE_USES
from frame_harness.base.record import Record
from frame_harness.image import cache_limit, cargo, store
from frame_harness.image.build import key_of, lock_of, outside_of, require_unchanged
from frame_harness.image.compiler import Toolchain
from frame_harness.image.image import Image
from frame_harness.image.offer import lacking_names
from frame_harness.image.proof import prove_image
from frame_harness.image.subject import Subject
from frame_harness.mutation.same_code import METHOD, program_of
from frame_harness.mutation.workplace import Workplace

_RUNS: Final = "Running `"
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*=")
_INCREMENTAL: Final = "incremental="
_EXTRA: Final = "extra-filename="


class CompilerCommand(Record, frozen=True, kw_only=True):
    """What compiles one crate: arguments, and the variables that cargo sets for it."""

    argv: tuple[str, ...]
    env: dict[str, str]

    @property
    def state(self) -> Path:
        """The folder in which the compiler keeps what it can use again."""
        return Path(self._value(_INCREMENTAL))

    @property
    def made(self) -> Path:
        """The file that it makes. In another folder nothing of the state could be used again."""
        folder, crate = (self.argv[self.argv.index(option) + 1] for option in ("--out-dir", "--crate-name"))
        return Path(folder, crate + self._value(_EXTRA))

    def _value(self, key: str) -> str:
        return next(word for word in self.argv if word.startswith(key)).removeprefix(key)


def command_of(told: str, crate: str) -> CompilerCommand:
    """Find the command for the binary of a crate.

    Args:
        told: by `cargo -vv`.
    Raises:
        HarnessError: it is not there; this cargo tells its commands in another way.
    """
    for line in told.splitlines():
        text = line.strip()
        if text.startswith(_RUNS) and f"--crate-name {crate} " in text and "--crate-type bin " in text:
            words = shlex.split(text.removeprefix(_RUNS).removesuffix("`"))
            first = next(place for place, word in enumerate(words) if not _VARIABLE.match(word))
            env = dict(word.split("=", 1) for word in words[:first])
            return CompilerCommand(argv=tuple(words[first:]), env=env)
    raise HarnessError(
        "mutants", "cargo -vv", expected=f"the compiler's command for {crate}", actual="none",
        next_step="report it with the version of cargo",
    )  # fmt: skip


# Nothing is optimized between codegen units: that took three quarters of the time. Each function is compiled
# with the profile's level and checks all the same, which `prove_image` shows.
FLAGS: Final = ("-Clto=off",)
_TARGET: Final = "target"
_LINKED: Final = (".o", ".bc")
"""What the compiler only reads, or replaces; other files of its state it may write in place."""


class Base(Record, frozen=True, kw_only=True):
    """The subject as it was built in a place.

    `folder` holds the compiler's state, `command` is the compiler's, `program` a digest of what the kernel
    does; `lacks` and `sources` are those of its image.
    """

    key: str
    folder: str
    command: CompilerCommand
    program: str
    lacks: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]

    def stands(self, sources: Path) -> bool:
        """Tell whether the state is there, and files that come from elsewhere are as they were.

        Args:
            sources: the folder of the subject's own files, which may hold a mutant by now.
        """
        files = [(Path(file), digest) for file, digest in self.sources]
        return Path(self.folder).is_dir() and all(
            file.is_file() and store.content_of([file]) == digest
            for file, digest in files
            if not file.is_relative_to(sources)
        )

    def restore(self) -> None:
        """Let the compiler find the state that it left behind the subject itself."""
        shutil.rmtree(self.command.state, ignore_errors=True)
        shutil.copytree(self.folder, self.command.state, copy_function=_link_or_copy)


def base_of(place: Workplace, subject: Subject, profile: str, toolchain: Toolchain) -> Base:
    """Return the subject as it is built in a place; build it where that was not done yet.

    Raises:
        HarnessError: it cannot be built there.
    """
    order = cargo.image_invocation(subject, profile, toolchain)
    of_image = key_of(subject, order)
    key = f"{of_image} {place.sha256} {' '.join(FLAGS)} {METHOD}"
    note = place.folder / f"base-{profile}.json"
    try:
        kept = msgspec.json.decode(note.read_bytes(), type=Base)
    except (FileNotFoundError, msgspec.DecodeError):
        kept = None
    if kept is not None and kept.key == key and kept.stands(place.sources):
        return kept
    place.restore_texts()
    note.unlink(missing_ok=True)
    began = time.time_ns()
    base = _built(place, subject.refreshed(), profile, toolchain, key)
    read = [Path(file) for file, _ in base.sources]
    require_unchanged(subject, profile, order, of_image, read, began)
    write_whole(note, msgspec.json.encode(base))
    return base


def _built(place: Workplace, subject: Subject, profile: str, toolchain: Toolchain, key: str) -> Base:
    lacks = lacking_names(subject, profile, toolchain)
    target = _target(place, toolchain)
    order = cargo.shim_invocation(
        "rustc", subject, profile, target, toolchain, "--message-format=json", "-vv", "--", *FLAGS
    ).lacking(lacks)
    built = cargo.compile_shim(subject, profile, order)
    sha256 = hashlib.sha256(built.elf.read_bytes()).hexdigest()
    prove_image(Image(built.elf, sha256, profile, subject), toolchain, built.core)
    command = command_of(built.told, store.built_name())
    state = place.folder / f"state-{profile}"
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(command.state, state)
    outside = outside_of(target, built.sources)
    return Base(
        key=key, folder=str(state), command=command, program=program_of(built.elf, place.paths),
        lacks=lacks, sources=tuple((str(file), store.content_of([file])) for file in outside),
    )  # fmt: skip


def _target(place: Workplace, toolchain: Toolchain) -> Path:
    """Return cargo's folder in a place: at first a copy of the common one, for what all kernels share."""
    folder, common = place.folder / _TARGET / toolchain.key, cargo.target_dir_of(toolchain)
    if folder.is_dir() or not common.is_dir():
        return folder
    part = folder.with_name(f".{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        for profile in PROFILE_USES:  # each build of the common folder holds that of its profile
            stack.enter_context(store.locked(lock_of(toolchain, profile)))
        stack.enter_context(cache_limit.used(common))
        shutil.copytree(
            common, part, symlinks=True, ignore=shutil.ignore_patterns("incremental*", ".incremental*")
        )
    part.rename(folder)
    return folder


def _link_or_copy(source: str, target: str) -> None:
    if source.endswith(_LINKED):
        os.link(source, target)
    else:
        shutil.copyfile(source, target)
