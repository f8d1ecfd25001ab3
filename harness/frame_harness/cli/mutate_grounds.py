"""What mutants are measured by: judges the subject itself once for each text, and keeps that."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from frame_harness.base import resources
from frame_harness.base.digests import sha256_of
from frame_harness.base.disk import write_whole
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.profiles import profiles_named
from frame_harness.base.record import Record
from frame_harness.cli.check import CheckRequest, asked_for, examine
from frame_harness.cli.core import MACHINE, REQUEST_CPU_S, CoreRequest, examine_core
from frame_harness.cli.reporting import Examined
from frame_harness.frame_metadata.subject import frame_module, modules_of
from frame_harness.image import cache_limit
from frame_harness.image.image import Image
from frame_harness.image.placed import KERNEL_S_NAME
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.evidence import RunKey
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.machine.definition import load_machine
from frame_harness.machine.identity import identity_of
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.memory_core.tree import memory_core
from frame_harness.memory_core.worker import SEED
from frame_harness.mutation.mutants import Mutant
from frame_harness.mutation_testing.campaign import Ground
from frame_harness.mutation_testing.cores import CoreTask, judge_core_mutant
from frame_harness.mutation_testing.judging import REFERENCE, FrameTask
from frame_harness.mutation_testing.reference import Reference, reference_of
from frame_harness.mutation_testing.suite import functions_of
from frame_harness.report.progress import Progress

_FOLDER: Final = "mutation"
TEXTS: Final = "texts"
_NOT_JUDGED: Final = frozenset(
    {VerdictKind.ERROR, VerdictKind.INTERRUPTED, VerdictKind.UNJUDGEABLE, VerdictKind.SKIP}
)


Begins = Callable[[str], None]
"""Is told the identity of the campaign before anything is judged, and may refuse it."""


@dataclass(frozen=True)
class FrameGround:
    """A frame module: judged by the suite, with coverage.

    Attributes:
        machines: as `--machine` names them; none for those that `check` takes by default.
    """

    frame_rs: Path | None
    machines: tuple[str, ...]
    profile: str
    workers: int | None

    @property
    def read(self) -> tuple[Path | None, ...]:
        """Files that are read, and folders with such."""
        return self.frame_rs, modules_of(self.frame_rs), *map(Path, self.machines)

    def texts(self) -> dict[str, bytes]:
        """The files that mutants are made of, by name."""
        return {name: one.read_bytes() for name, one in _of_module(frame_module(self.frame_rs)).items()}

    def made(self, progress: Progress, mutants: Sequence[Mutant], begins: Begins) -> Ground:
        """Judge the module unless that is kept.

        Args:
            mutants: all that are made of `texts()`.
        Raises:
            HarnessError: it makes no sense, or nothing can be said about the module itself.
        """
        request = CheckRequest(
            frame_rs=self.frame_rs, machines=self.machines, profile=self.profile, workers=self.workers,
            coverage=True,
        )  # fmt: skip
        subject, machines = asked_for(request)
        paths = _of_module(subject)
        texts = {name: one.read_bytes() for name, one in paths.items()}
        guests = (f"{name} {identity_of(machine)}" for name, machine in machines.items())
        identity = _identity(subject.sha256, texts, mutants, (*guests, self.profile))
        begins(identity)
        from frame_harness.mutation_testing.prepared import work  # noqa: PLC0415  it collects the suite

        began = time.monotonic()
        path, fresh = _kept(identity), False
        if (reference := _read(path)) is None:
            progress.step("judging the module itself, which mutants are measured by")
            found = _judged(examine(request, progress))
            _require_unchanged(subject, paths, texts)
            _require_rust_alone(subject, paths, found.images)
            about = functions_of(request.of_a_session(subject, machines))
            reference, fresh = reference_of(found.evidence, found.verdict, about), True
            write_whole(path, msgspec.json.encode(reference))
        sent = _laid_down(path.parent, texts)
        digests = {name: sha256_of(one) for name, one in sent.items()}
        sha256, measure = _to_send(path)

        def task(mutant: Mutant, one_run: bool) -> Record:
            return FrameTask(
                mutant=mutant, texts=digests, reference=sha256, machines=machines,
                any_machine=not self.machines, runs=reference.runs, one_run=one_run,
            )  # fmt: skip

        return Ground(
            texts=texts, reference=reference,
            contract=subject.contract, work=work, task=task, identity=identity,
            files=(measure, *sent.values()), reference_s=time.monotonic() - began if fresh else 0.0,
        )  # fmt: skip


@dataclass(frozen=True)
class CoreGround:
    """The memory core of a kernel tree: judged by its cases."""

    kernel_src: Path
    profile: str
    seed: int = SEED

    @property
    def read(self) -> tuple[Path | None, ...]:
        """Files that are read, and folders with such."""
        return (self.kernel_src,)

    def texts(self) -> dict[str, bytes]:
        """The files that mutants are made of, by name."""
        subject = memory_core(self.kernel_src)
        return {name: (subject.path / name).read_bytes() for name in subject.parts}

    def made(self, progress: Progress, mutants: Sequence[Mutant], begins: Begins) -> Ground:
        """Judge the core unless that is kept.

        Args:
            mutants: all that are made of `texts()`.
        Raises:
            HarnessError: it makes no sense, or nothing can be said about the core itself.
        """
        request = CoreRequest(kernel_src=self.kernel_src, profile=self.profile, seed=self.seed)
        subject = request.core().subject
        paths = {one.relative_to(subject.path).as_posix(): one for one in sorted(subject.path.rglob("*.rs"))}
        texts = {name: one.read_bytes() for name, one in paths.items()}
        settings = (identity_of(load_machine(MACHINE)), self.profile, str(self.seed))
        identity = _identity(subject.sha256, texts, mutants, settings)
        begins(identity)
        began = time.monotonic()
        path, fresh = _kept(identity), False
        if (reference := _read(path)) is None:
            progress.step("judging the core itself, which mutants are measured by")
            found = _judged(examine_core(request, progress))
            _require_unchanged(subject, paths, texts)
            reference, fresh = reference_of(found.evidence, found.verdict), True
            write_whole(path, msgspec.json.encode(reference))
        sent = _laid_down(path.parent, texts)
        digests = {name: sha256_of(one) for name, one in sent.items()}
        sha256, measure = _to_send(path)
        runs = tuple(RunKey(MACHINE, profile) for profile in profiles_named(self.profile))
        task = partial(_core_task, digests, sha256, runs, self.seed)
        return Ground(
            texts={name: texts[name] for name in subject.parts}, reference=reference, contract=MEMORY_CORE,
            work=judge_core_mutant, task=task, identity=identity,
            files=(measure, *sent.values()), reference_s=time.monotonic() - began if fresh else 0.0,
        )  # fmt: skip


def _core_task(
    texts: dict[str, str], reference: str, runs: tuple[RunKey, ...], seed: int, mutant: Mutant, one_run: bool
) -> Record:
    return CoreTask(
        mutant=mutant, texts=texts, reference=reference, runs=runs, request_cpu_s=REQUEST_CPU_S, seed=seed,
        one_run=one_run,
    )  # fmt: skip


def _of_module(subject: Subject) -> dict[str, Path]:
    """The files of a frame module by their names, its own modules with it."""
    path = subject.path
    own = sorted(path.with_suffix("").rglob("*.rs")) if path.name == KERNEL_S_NAME else []
    names = {one: one.relative_to(path.parent).as_posix() for one in own}
    return {path.name: path, **{name: one for one, name in names.items()}}


def _judged(found: Examined) -> Examined:
    """Refuse a subject of which nothing can be said: no outcome of a mutant could differ from it.

    Raises:
        KeyboardInterrupt: somebody stopped it.
        HarnessError: says what went wrong.
    """
    if found.evidence.interrupted:
        raise KeyboardInterrupt
    if found.verdict.kind in _NOT_JUDGED:
        first = found.verdict.reasons[0]
        trouble = next(iter(found.evidence.errors), None)
        raise HarnessError(
            "mutants", found.subject.name, expected="a subject that can be judged",
            actual=f"{found.verdict.kind}: {first.message}", evidence=trouble.detail if trouble else "",
            next_step="run `check` on it, and mend what it reports",
        )  # fmt: skip
    return found


def _kept(identity: str) -> Path:
    folder = resources.build_dir() / _FOLDER / identity
    cache_limit.hold_folder(folder)  # workers read there as long as the campaign goes on
    return folder / REFERENCE


def _read(path: Path) -> Reference | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Reference)
    except (FileNotFoundError, msgspec.MsgspecError):  # damaged: it is made again
        return None


def _to_send(kept: Path) -> tuple[str, Path]:
    """Return the sha256 of the kept judgement, and a copy that no other command replaces.

    Two commands may judge one text at the same time, and keep what each measured.
    """
    data = kept.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    copy = kept.parent / sha256 / REFERENCE
    write_whole(copy, data)
    return sha256, copy


def _laid_down(folder: Path, texts: Mapping[str, bytes]) -> dict[str, Path]:
    """Keep the files of a subject as they are now: it may be edited while mutants of it are judged."""
    for name, text in texts.items():
        write_whole(folder / TEXTS / name, text)
    return {name: folder / TEXTS / name for name in texts}


def _require_unchanged(subject: Subject, paths: Mapping[str, Path], texts: Mapping[str, bytes]) -> None:
    """Refuse what was edited while it was judged: mutants of one text are not measured by another."""
    changed = [name for name, path in paths.items() if not path.is_file() or path.read_bytes() != texts[name]]
    if changed:
        raise HarnessError(
            "mutants", subject.name, expected="files that stay as they are while the subject is judged",
            actual=f"{changed[0]} changed", next_step="run it again",
        )  # fmt: skip


def _require_rust_alone(subject: Subject, paths: Mapping[str, Path], images: Iterable[Image]) -> None:
    """Refuse a module that has other files beside it compiled in: a mutant is built from what is sent."""
    beside = subject.path.parent
    read = {Path(file) for image in images for file, _ in image.sources}
    others = sorted(one for one in read - set(paths.values()) if one.is_relative_to(beside))
    if others:
        raise UsageError(
            "mutants", subject.name, expected="a module of Rust files",
            actual=f"{others[0].relative_to(beside)} compiled into it",
            next_step="write what that file holds into the module, or name it by its whole path",
        )  # fmt: skip


def _identity(
    sha256: str, texts: Mapping[str, bytes], mutants: Iterable[Mutant], settings: Iterable[str]
) -> str:
    """Return a digest of what results depend on: subject, compiler, harness, suite, machines, settings.

    So are the mutants: another parser may give a key to another edit.
    """
    own = (
        Path(resources.__file__).parents[1], resources.shim_dir(), resources.suite_dir(),
        resources.machines_dir(),
    )  # fmt: skip
    total = hashlib.sha256(f"{sha256} {find_toolchain().key} {' '.join(settings)}".encode())
    for name, text in texts.items():
        total.update(os.fsencode(name) + text)
    for one in mutants:
        total.update(f"{one.key} {one.start} {one.end} {one.after}\0".encode())
    for file in (one for folder in own for one in _texts(folder)):
        total.update(os.fsencode(file.name) + file.read_bytes())
    return total.hexdigest()[:32]


def _texts(folder: Path) -> list[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {"target", "__pycache__"})
        found += [Path(root, name) for name in sorted(names)]
    return found
