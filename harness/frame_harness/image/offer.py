"""Finds out which of the names that the harness uses a frame module has, by asking the compiler."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from frame_harness.base.commands import Say
from frame_harness.base.disk import run_writing, scratch
from frame_harness.contract.versions import Name
from frame_harness.image.asked import asked, foreign_crates
from frame_harness.image.cargo import HIDDEN
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import CompileError, NotJudgeable
from frame_harness.image.ir_build import AROUND, HOST, SOURCE, failed, host_argv, host_env, write_host
from frame_harness.image.placed import KERNEL_S_NAME, memory_module
from frame_harness.image.said import Said, objects_in, said
from frame_harness.image.subject import Subject

NO_SUCH_FILE: Final = "E0583"
TWO_FILES: Final = "E0761"
PROBE: Final = "probe.rs"
_VARIABLE: Final = re.compile("environment variable `.*` not defined")
_HEAD: Final = "#![allow(warnings)]\n"
# Resolution of names and of types each have a turn: later ones are silent until earlier ones agree.
_TURNS: Final = 6


def questions(subject: Subject) -> str:
    """Return all that decides what is asked of a module, in which crate, and what answers are refused."""
    versions = subject.contract.versions
    asked_for = [(name.path, name.use, name.needed) for name in versions.names]
    form = versions.alternative
    around = [
        HOST.read_text(encoding="utf-8"), memory_module(subject, AROUND), versions.scope, versions.arguments,
        versions.slot, (form.name, form.asked, form.flag) if form else None,
    ]  # fmt: skip
    return json.dumps([around, asked_for])


def lacking_names(
    subject: Subject, profile: str, toolchain: Toolchain, *, say: Say | None = None
) -> tuple[str, ...]:
    """Return which of the names that the harness uses a module lacks in a profile.

    The compiler decides: it knows macros, attributes, aliases, re-exports and modules in other files.

    Raises:
        NotJudgeable: it lacks what everything else stands on, or asks its crate for what nobody offers.
        CompileError: it does not compile, for a reason of its own.
        BuildError: the compiler was ended, or a library is gone.
    """
    if subject.is_builtin or not subject.contract.versions.names:
        return ()
    lacks: dict[str, None] = {}
    versions = subject.contract.versions
    two_forms = versions.alternative
    for _ in range(_TURNS):
        names = [name for name in versions.names if name.path not in lacks]
        flags = [two_forms.flag] if two_forms and two_forms.name not in lacks else []
        said = _ask(subject, profile, toolchain, names, flags, say)
        if two_forms and flags and any(error.asked_of_the_crate == two_forms.asked for error in said):
            lacks[two_forms.name] = None
            continue
        lacks.update(dict.fromkeys(error.word for error in said if error.file == PROBE))
        # The crate around it uses some of the same names, so it fails with them.
        own = [error for error in said if error.file not in (PROBE, SOURCE if lacks else "")]
        _refuse(subject, profile, lacks, own)
        if not said:
            return tuple(lacks)
    raise CompileError(subject=subject.name, profile=profile, first="names that change from turn to turn")


def _refuse(subject: Subject, profile: str, lacks: Iterable[str], own: Sequence[Said]) -> None:
    """Say what is wrong with a module that cannot be judged, if it cannot."""
    foreign = [error for error in own if not error.asked_of_the_crate]
    if foreign:
        ours = all(error.file in (SOURCE, PROBE) for error in foreign)
        first = foreign[0]
        place = f" at {first.file}:{first.line}" if first.line else ""
        code = f"[{first.code}]" if first.code else ""
        raise CompileError(
            subject=subject.name, profile=profile, first=f"error{code}: {first.message}{place}",
            rendered="\n".join(error.rendered.rstrip() for error in foreign),
            next_step="report it: this is not about the frame module" if ours else _next(subject, first),
        )  # fmt: skip
    needed = [one for one in subject.contract.versions.needed if one in set(lacks)]
    asked = list(dict.fromkeys(error.asked_of_the_crate for error in own))
    if needed or asked:
        raise NotJudgeable(subject.name, needed, asked)


def _next(subject: Subject, first: Said) -> str:
    if first.code == NO_SUCH_FILE and subject.path.with_suffix("").is_dir():
        folder = subject.path.stem
        return f"call the file {KERNEL_S_NAME}, the folder {folder}/ of its modules frame/"
    if first.code == TWO_FILES:
        return "remove one of the two files, then run the same command"
    if _VARIABLE.search(first.message):
        return f"use `option_env!` in {subject.path}: {HIDDEN}"
    return f"fix {subject.path}, then run the same command"


def _ask(
    subject: Subject,
    profile: str,
    toolchain: Toolchain,
    names: Sequence[Name],
    flags: Sequence[str],
    say: Say | None,
) -> list[Said]:
    """Compile the module with one statement for each name; an error in one has its name as word."""
    versions, there = subject.contract.versions, {name.path for name in names}
    slot = next((name for name in versions.slot if name in there), versions.slot[-1])
    statements = [f"fn _{at}({versions.arguments}) {{ {name.use} }}" for at, name in enumerate(names)]
    head = f"{_HEAD}{versions.scope}use {slot} as Slot;\n"
    first = head.count("\n") + 1
    with scratch("offer") as folder:
        write_host(folder, subject, extra="mod probe;\n")
        (folder / PROBE).write_text(head + "\n".join([*statements, ""]), encoding="utf-8")
        argv = [
            *host_argv(asked(profile), toolchain, say),
            *flags,
            f"--emit=metadata={folder / 'out'}",
            SOURCE,
        ]
        env, what = host_env(folder, toolchain), f"asking {subject.name} for its names"
        finished = run_writing(folder, argv, what=what, say=say, env=env, cwd=folder)
    # Of a file that cannot be read the compiler names the line of ours that asks for it.
    errors = [
        replace(error, file=str(subject.path), line=0) if Path(error.file).is_relative_to(folder) else error
        for error in map(said, _errors(finished.err))
    ]
    ended = finished.status < 0 or (finished.status != 0 and not errors)
    if ended or (errors and _are_of_the_host(errors)):
        raise failed("build", subject, finished)
    # The line that names the slot's type fails with the type; it stands for no name of its own.
    return [
        Said(error.code, error.message, PROBE, error.line, names[error.line - first].path, error.rendered)
        if error.file == PROBE and error.line >= first
        else error
        for error in errors
        if error.file != PROBE or error.line >= first
    ]


def _are_of_the_host(errors: Sequence[Said]) -> bool:
    promised = {"core", "alloc", *(name.replace("-", "_") for name in foreign_crates())}
    return any(error.is_of_the_host(promised) for error in errors)


def _errors(words: str) -> list[dict[str, Any]]:
    # "aborting due to ..." has no place and no code, and comes after what it is about.
    return [
        message
        for message in objects_in(words)
        if message.get("level", "").startswith("error")
        and not message["message"].startswith("aborting due to")
    ]
