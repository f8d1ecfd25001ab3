"""Runs cargo on the shim."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from frame_harness.base import resources
from frame_harness.base.commands import Finished, HowFar, Say
from frame_harness.base.disk import run_writing
from frame_harness.base.errors import BuildError
from frame_harness.image import cache_limit
from frame_harness.image.asked import instrumentation, profiles_key
from frame_harness.image.cargo_progress import Packages
from frame_harness.image.compiler import TARGET, Toolchain
from frame_harness.image.errors import CompileError, NotJudgeable
from frame_harness.image.isolation import ROOT, CargoHome, cargo_home, environment
from frame_harness.image.said import objects_in, said
from frame_harness.image.store import built_name, content_of
from frame_harness.image.subject import Subject

_NONCE = "FRAME_HARNESS_BUILD"  # `build.rs` names it to cargo
_LACKS = "FRAME_HARNESS_LACKS"  # likewise
_ADAPTER = "FRAME_HARNESS_ADAPTER"  # likewise
_TREE = "FRAME_HARNESS_TREE"  # likewise
_PARTS = "FRAME_HARNESS_PARTS"  # the library of the shim reads it
_CALLS_THE_TREE = ("src/tree", "src/frame_module.rs")
"""Where the shim calls a tree's files: what is wrong there is that these are made for another kernel."""
_FLAGS = "CARGO_ENCODED_RUSTFLAGS"
_PANIC = "panicked at"  # of the build script, or of the compiler: what they read may be to blame
_SEPARATOR = "\x1f"  # between the compiler's flags in one variable, as cargo's reference has it
OF_A_SUBJECT = ("--force-warn=dead_code",)
"""What a kernel uses and the shim does not is no error here, though the module says `#![deny(warnings)]`."""
OWN_VARIABLE = re.compile(r"CARGO(?:_|$)|OUT_DIR$|RUSTC|FRAME_RS$|FRAME_HARNESS_")
"""What cargo, or the harness, sets itself."""
HIDDEN = "no variable of yours reaches the compiler, so it is not set"
NOT_THE_SUBJECT = "fix what the compiler's tools report above; it is not about the frame module"


@dataclass(frozen=True)
class Invocation:
    """One run of cargo, with everything that it is told."""

    argv: tuple[str, ...]
    settings: dict[str, str]
    """The variables that the harness sets; the others only let cargo run."""
    home: CargoHome
    """With all the configuration that cargo reads."""
    toolchain: Toolchain
    places: tuple[Path, ...] = ()
    """Folders that cargo works in beside its home."""

    @property
    def told(self) -> str:
        """Everything that may decide what is compiled, as one text; the toolchain's key stands for cargo."""
        return json.dumps([self.argv[1:], self.settings, self.home.text, self.toolchain.key])

    def lacking(self, names: Sequence[str]) -> Invocation:
        """Return the same run for a subject that lacks some of the names that the shim uses."""
        return replace(self, settings=self.settings | {_LACKS: ",".join(names)})

    def run(self, *, what: str, say: Say | None = None, how_far: HowFar | None = None) -> Finished:
        """Run cargo.

        Cargo trusts time stamps: a changed file with an older one is not rebuilt. It runs only
        when no image of these very sources is kept, so that a value never seen before wastes nothing.

        Raises:
            Unwritable: it failed because it could not write.
        """
        parts = content_of(sorted((resources.shim_dir() / "parts").rglob("*.rs")))
        own = {"CARGO_HOME": str(self.home.path), _NONCE: secrets.token_hex(16), _PARTS: parts}
        env = environment() | self.settings | own
        with cache_limit.used(self.home.path, *self.places):
            self.home.make()
            folder = resources.build_dir()
            return run_writing(folder, self.argv, what=what, say=say, cwd=ROOT, env=env, how_far=how_far)


def invocation(
    command: str, manifest: Path, target: str, target_dir: Path, toolchain: Toolchain, *arguments: str
) -> Invocation:
    """Return a run of cargo in which each setting that cargo knows has the harness's value.

    Raises:
        CargoConfigError: cargo's configuration cannot be set aside.
    """
    argv = (
        str(toolchain.cargo), command, "--locked", f"--manifest-path={manifest}", f"--target={target}",
        f"--target-dir={target_dir}", *arguments,
    )  # fmt: skip
    home = cargo_home()
    return Invocation(argv, settings(toolchain, home), home, toolchain, (manifest.parent, target_dir))


def settings(toolchain: Toolchain, home: CargoHome) -> dict[str, str]:
    """Return the variables that the harness sets for cargo and for the compiler.

    What is set here outranks every configuration file, also where it is empty. No wrapper is named only where
    some file may name one: for a name, also an empty one, cargo asks the compiler about itself in every run.
    """
    wrappers = {"RUSTC_WRAPPER": "", "RUSTC_WORKSPACE_WRAPPER": ""} if home.at_root else {}
    return {
        **dict(toolchain.env),
        "RUSTC": str(toolchain.rustc),
        **wrappers,
        _FLAGS: _SEPARATOR.join((*shim_flags(), *toolchain.rustflags)),
        "CARGO_TERM_COLOR": "never",
    }


def shim_flags() -> tuple[str, ...]:
    """Return the compiler's flags that the shim's own cargo configuration has for the target."""
    file = resources.shim_dir() / ".cargo" / "config.toml"
    flags = tomllib.loads(file.read_text(encoding="utf-8"))["target"][TARGET]["rustflags"]
    return tuple(str(flag) for flag in flags)


def shim_invocation(
    command: str, subject: Subject, profile: str, target_dir: Path, toolchain: Toolchain, *arguments: str
) -> Invocation:
    """Return a run of cargo that compiles the shim around a subject."""
    shaped = invocation(
        command, resources.shim_dir() / "Cargo.toml", TARGET, target_dir, toolchain,
        f"--bin={built_name()}", f"--profile={profile}", *_features(subject), *toolchain.cargo_args,
        *arguments,
    )  # fmt: skip
    shaped = shaped.lacking(())
    own = (*instrumentation(profile), *OF_A_SUBJECT)
    flags = {_FLAGS: _SEPARATOR.join((shaped.settings[_FLAGS], *own))}
    return replace(shaped, settings=shaped.settings | flags | _what_is_built(subject))


def _features(subject: Subject) -> list[str]:
    return [f"--features={','.join(subject.features)}"] if subject.features else []


def _what_is_built(subject: Subject) -> dict[str, str]:
    adapter = subject.contract.adapter
    if subject.parts:
        return {_TREE: os.fspath(subject.path.parent)}
    if adapter is None and subject.is_builtin:
        return {}  # a path would do the same, but build differently
    return {"FRAME_RS": os.fspath(subject.path)} | ({_ADAPTER: adapter} if adapter else {})


def image_invocation(subject: Subject, profile: str, toolchain: Toolchain) -> Invocation:
    """Return the run of cargo that makes an image.

    All subjects share the target folder: what they have in common (the core library, the crates) is compiled
    once, and changing the subject costs one crate.
    """
    target_dir = target_dir_of(toolchain)
    return shim_invocation("build", subject, profile, target_dir, toolchain, "--message-format=json")


@dataclass(frozen=True)
class CargoOutput:
    """What cargo left: the linked file, and everything that went into it."""

    elf: Path
    sources: tuple[Path, ...]
    variables: tuple[str, ...]
    """Names of those that the code reads while it is compiled (`env!`)."""
    core: Path | None = None
    """The core library, where cargo compiled that, too."""
    told: str = ""
    """All that cargo printed for people; with `-vv` the compiler's commands are among it."""


def compile_shim(subject: Subject, profile: str, order: Invocation, *, say: Say | None = None) -> CargoOutput:
    """Compile the shim around a subject.

    Args:
        order: what `image_invocation` gives for them, with the names that the subject lacks.
    Raises:
        CompileError: it does not compile.
        BuildError: cargo could not get what it needs, or the compiler was ended.
        NotJudgeable: its files ask for names that nobody offers, or lack some that the shim needs.
        Unwritable: there is no room for what is built.
    """
    what = f"compiling the shim around {subject.name} ({profile})"
    how_far = Packages(
        resources.shim_dir(),
        with_core=bool(order.toolchain.cargo_args),
        with_optional=bool(subject.features),
    )
    finished = order.run(what=what, say=say, how_far=how_far)
    messages = objects_in(finished.out)
    if finished.status != 0:
        raise _error(subject, profile, finished, messages)
    elf = next((Path(path) for path in map(_executable, messages) if path), None)
    if elf is None:
        raise _gave_up(subject, profile, finished)
    core = next((Path(core) for core in map(_core, messages) if core), None)
    return CargoOutput(elf, _sources(elf), _variables(elf), core, finished.err)


def target_dir_of(toolchain: Toolchain) -> Path:
    """Return the folder where cargo works for this toolchain and these profiles.

    A compiler that is called without cargo would find libraries of other profiles beside those of its own.
    """
    return resources.build_dir() / "target" / f"{toolchain.key}-{profiles_key()}"


def _executable(message: dict[str, Any]) -> str | None:
    if message.get("reason") != "compiler-artifact" or message["target"]["name"] != built_name():
        return None
    executable = message.get("executable")
    return executable if isinstance(executable, str) else None


def _core(message: dict[str, Any]) -> str | None:
    if message.get("reason") != "compiler-artifact" or message["target"]["name"] != "core":
        return None
    return next((file for file in message["filenames"] if file.endswith(".rlib")), None)


def _error(subject: Subject, profile: str, finished: Finished, messages: list[dict[str, Any]]) -> BuildError:
    compiled = [message for message in messages if message.get("reason") == "compiler-message"]
    said = [message["message"] for message in compiled if not _is_of_dead_code(message["message"])]
    errors = [message for message in said if message["level"].startswith("error")]
    if not errors and _PANIC not in finished.err:
        # Cargo itself gave up: a crate that cannot be had, a lock file that does not fit, a compiler ended.
        return _gave_up(subject, profile, finished)
    if not errors:
        return CompileError(
            subject=subject.name, profile=profile, first=finished.last_words(),
            rendered=finished.err.strip(), next_step=NOT_THE_SUBJECT,
        )  # fmt: skip
    if subject.parts and (foreign := _another_interface(subject, errors)):
        return foreign
    rendered = "\n".join(
        message["rendered"].rstrip() for message in [*errors, *(m for m in said if m not in errors)]
    )
    # What is said of no line, such as a linker that is not there, of another crate, or of a line of the shim
    # is nothing that an edit of the module would fix.
    own = [
        message["message"]
        for message in compiled
        if message["message"] in errors and _is_about(subject, message)
    ]
    next_step = f"fix {subject.path}, then run the same command" if own else NOT_THE_SUBJECT
    return CompileError(
        subject=subject.name, profile=profile, first=_one_line([*own, *errors][0]), rendered=rendered,
        next_step=next_step,
    )  # fmt: skip


def _gave_up(subject: Subject, profile: str, finished: Finished) -> BuildError:
    """What to raise where nothing says that a text is wrong."""
    return BuildError(
        "build", f"{subject.name} ({profile})", expected="a kernel from cargo", actual=finished.last_words(),
        evidence=finished.err.strip(), next_step=NOT_THE_SUBJECT,
    )  # fmt: skip


def _is_of_dead_code(message: dict[str, Any]) -> bool:
    """Tell whether it is a warning that `OF_A_SUBJECT` asks for: of no use to anybody."""
    return bool((message.get("code") or {}).get("code") == "dead_code")


def _another_interface(subject: Subject, errors: Sequence[dict[str, Any]]) -> NotJudgeable | None:
    """What files of a tree ask their kernel for, in vain, or lack for the shim; None for other errors."""
    asks: dict[str, None] = {}
    lacks: dict[str, None] = {}
    for error in (said(message) for message in errors if message["spans"]):
        in_subject = Path(error.file) in subject.files
        place = f"({Path(error.file).name}:{error.line})"
        if in_subject and error.asked_of_the_crate:
            asks[f"{error.asked_of_the_crate} {place}"] = None
        elif in_subject and error.is_a_name and subject.features:
            asks[f"{error.named} {place}"] = None
        elif not in_subject and error.is_a_name:
            lacks[error.named] = None
        elif not in_subject and (subject.features or _calls_the_tree(error.file)):
            lacks[f"what the shim calls: {error.message} {place}"] = None
        else:
            return None
    return NotJudgeable(subject.name, tuple(lacks), tuple(asks)) if asks or lacks else None


def _calls_the_tree(file: str) -> bool:
    shim = resources.shim_dir()  # what lies there is named relative to it, or by its whole path
    return any((shim / file).is_relative_to(shim / one) for one in _CALLS_THE_TREE)


def _is_about(subject: Subject, message: dict[str, Any]) -> bool:
    """Tell whether the compiler points at the frame module, or at a file that it brought along."""
    target = message["target"]
    if target["name"] != built_name() or "bin" not in target["kind"]:
        return False
    ours = (resources.shim_dir(), resources.build_dir())  # what lies in the first is named relative to it
    places = [Path(span["file_name"]) for span in message["message"]["spans"] if span["is_primary"]]
    return any(
        place in subject.files
        or (place.is_absolute() and not any(place.is_relative_to(folder) for folder in ours))
        for place in places
    )


def _one_line(message: dict[str, Any]) -> str:
    code = f"[{message['code']['code']}]" if message.get("code") else ""
    spans = [span for span in message.get("spans", []) if span["is_primary"]]
    place = (
        f" at {spans[0]['file_name']}:{spans[0]['line_start']}:{spans[0]['column_start']}" if spans else ""
    )
    text = " ".join(str(message["message"]).split())
    return f"error{code}: {text}{place}"


def values_of(names: Iterable[str]) -> dict[str, str | None]:
    """Return a digest of what a compiler that is started now is passed in each variable; None for nothing.

    What cargo sets itself follows from what it is told.
    """
    passed = {name: os.fsencode(value) for name, value in environment().items()}
    return {name: hashlib.sha256(passed[name]).hexdigest() if name in passed else None for name in names}


def _variables(elf: Path) -> tuple[str, ...]:
    """Read which variables the compiler was asked for, in the newest of the lists that it leaves in `deps`.

    Cargo's list beside the binary has files alone.
    """
    # # env-dep:USER=alice          not set: # env-dep:KERNEL_FEATURES
    lists = elf.parent.glob(f"deps/{built_name()}-*.d")
    text = max(lists, key=lambda file: file.stat().st_mtime_ns).read_text(errors="surrogateescape")
    return tuple(dict.fromkeys(re.findall(r"^# env-dep:([^=\n]+)", text, flags=re.MULTILINE)))


def _sources(elf: Path) -> tuple[Path, ...]:
    """Read the list of sources that cargo leaves beside a binary, in make's syntax."""
    # /…/release/kernel_shim: /…/src/main.rs /…/a\ name\ with\ spaces.rs
    text = elf.with_suffix(".d").read_text(encoding="utf-8", errors="surrogateescape")
    _, _, listed = text.partition(": ")
    names = re.split(r"(?<!\\)[ \n]+", listed.strip())
    return tuple(Path(name.replace("\\ ", " ")) for name in names if name)
