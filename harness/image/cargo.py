"""Runs cargo on the shim."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import resources
from harness.image.errors import BuildError
from harness.image.store import built_name
from harness.image.subject import Subject
from harness.image.toolchain import TARGET, Toolchain
from harness.progress import Finished, Say, run

# Variables of the user's own builds that would change what is compiled here.
_FOREIGN = re.compile(
    r"FRAME_RS|RUSTC|RUSTFLAGS|RUSTDOCFLAGS|CARGO_ENCODED_RUSTFLAGS|CARGO_TARGET_.*|CARGO_BUILD_.*|CARGO_PROFILE_.*"
    r"|CARGO_INCREMENTAL|CARGO_TERM_.*"
)


_NONCE = "FRAME_HARNESS_BUILD"  # `build.rs` names it to cargo
_NOT_THE_SUBJECT = "mend what the compiler's tools say above; it is not about the frame module"
_CORE_PACKAGES = 5  # what building the core library adds: core, alloc, compiler_builtins with two helpers


@dataclass(frozen=True)
class Built:
    """What cargo left: the linked file, and every source that went into it."""

    elf: Path
    sources: tuple[Path, ...]


def compile_shim(
    subject: Subject,
    profile: str,
    features: Sequence[str],
    toolchain: Toolchain,
    *,
    say: Say | None = None,
) -> Built:
    """Compile the shim around a subject in the toolchain's own target folder.

    All subjects share that folder: what they have in common (the core library, the crates) is compiled once,
    and changing the subject costs one crate.

    Raises:
        BuildError: it does not compile, or cargo could not get what it needs.
    """
    shim = resources.shim_dir()
    target_dir = target_dir_of(toolchain)
    argv: list[str | Path] = [
        toolchain.cargo, "build", "--locked", "--message-format=json", f"--bin={built_name()}",
        f"--manifest-path={shim / 'Cargo.toml'}", f"--target={TARGET}", f"--target-dir={target_dir}",
        f"--profile={profile}", f"--features={','.join(features)}", *toolchain.cargo_args,
    ]  # fmt: skip
    if toolchain.rustflags:
        argv += ["--config", f"target.{TARGET}.rustflags={json.dumps(list(toolchain.rustflags))}"]
    what = f"compiling the shim around {subject.name} ({profile})"
    finished = run(
        argv, what=what, say=say, cwd=shim, env=shim_env(subject, toolchain), how_far=_HowFar(shim, toolchain)
    )
    messages = _messages(finished)
    if finished.status != 0:
        raise _error(subject, profile, finished, messages)
    elf = next((Path(path) for path in map(_executable, messages) if path), None)
    if elf is None:
        raise BuildError(
            subject=subject.name, profile=profile, first="no binary from cargo", rendered=finished.err
        )
    return Built(elf, _sources(elf))


def target_dir_of(toolchain: Toolchain) -> Path:
    """Return the folder where cargo works for this toolchain."""
    return resources.build_dir() / "target" / toolchain.key


def clean_env(toolchain: Toolchain) -> dict[str, str]:
    """Return the environment for cargo: the user's proxies and folders, without settings of other builds."""
    env = {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}
    return env | dict(toolchain.env) | {"CARGO_TERM_COLOR": "never"}


def shim_env(subject: Subject, toolchain: Toolchain) -> dict[str, str]:
    """Return the environment for a run of cargo that compiles the shim, whatever it compiled before."""
    env = clean_env(toolchain)
    # Cargo believes time stamps: another text under an older one counts as compiled already. It runs only
    # when no image of these very sources is kept, so that a value never seen before wastes nothing.
    env[_NONCE] = secrets.token_hex(16)
    # Unset means the built-in one; a path would do the same, but build differently.
    if not subject.is_builtin:
        env["FRAME_RS"] = os.fspath(subject.path)
    return env


class _HowFar:
    """Counts compiled packages against those that the lock file names."""

    def __init__(self, shim: Path, toolchain: Toolchain) -> None:
        lock = shim / "Cargo.lock"
        text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
        self._total = text.count("[[package]]") + (_CORE_PACKAGES if toolchain.cargo_args else 0)
        self._seen: set[str] = set()
        self._now = ""

    def __call__(self, line: str) -> str | None:
        # {"reason":"compiler-artifact","package_id":"…    or, on the error stream:    Downloading crates ...
        if line.startswith('{"reason":"compiler-artifact"'):
            self._seen.add(str(json.loads(line)["package_id"]))
        #    Compiling x86_64 v0.15.5
        elif line.lstrip().startswith("Compiling "):
            self._now = f", {line.split()[1]} under way"
        elif "Downloading" in line or "Updating" in line:
            return line.strip()
        else:
            return None
        return f"{len(self._seen)} of about {max(self._total, len(self._seen))} packages done{self._now}"


def _messages(finished: Finished) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in finished.out.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue  # what a build script printed
        if isinstance(message, dict):
            found.append(message)
    return found


def _executable(message: dict[str, Any]) -> str | None:
    if message.get("reason") != "compiler-artifact" or message["target"]["name"] != built_name():
        return None
    executable = message.get("executable")
    return executable if isinstance(executable, str) else None


def _error(subject: Subject, profile: str, finished: Finished, messages: list[dict[str, Any]]) -> BuildError:
    compiled = [message for message in messages if message.get("reason") == "compiler-message"]
    said = [message["message"] for message in compiled]
    errors = [message for message in said if message["level"].startswith("error")]
    if not errors:
        # Cargo itself gave up: a crate that cannot be had, a lock file that does not fit, a build script.
        return BuildError(
            subject=subject.name, profile=profile, first=finished.last_words(),
            rendered=finished.err.strip(), next_step=_NOT_THE_SUBJECT,
        )  # fmt: skip
    rendered = "\n".join(
        message["rendered"].rstrip() for message in [*errors, *(m for m in said if m not in errors)]
    )
    # The shim compiles around a module that keeps to its surface. What is said of no line, such as a linker
    # that is not there, or of another crate, is nothing that an edit of the module would mend.
    blamed = any(
        message["message"] in errors and message["message"].get("spans")
        for message in compiled
        if message["target"]["name"] == built_name() and "bin" in message["target"]["kind"]
    )
    next_step = f"mend {subject.path}, then run the same command" if blamed else _NOT_THE_SUBJECT
    return BuildError(
        subject=subject.name, profile=profile, first=_one_line(errors[0]), rendered=rendered,
        next_step=next_step,
    )  # fmt: skip


def _one_line(message: dict[str, Any]) -> str:
    code = f"[{message['code']['code']}]" if message.get("code") else ""
    spans = [span for span in message.get("spans", []) if span["is_primary"]]
    place = (
        f" at {spans[0]['file_name']}:{spans[0]['line_start']}:{spans[0]['column_start']}" if spans else ""
    )
    text = " ".join(str(message["message"]).split())
    return f"error{code}: {text}{place}"


def _sources(elf: Path) -> tuple[Path, ...]:
    """Read the list of sources that cargo leaves beside a binary, in make's syntax."""
    # /…/release/kernel_shim: /…/src/main.rs /…/a\ name\ with\ spaces.rs
    text = elf.with_suffix(".d").read_text(encoding="utf-8", errors="surrogateescape")
    _, _, listed = text.partition(": ")
    names = re.split(r"(?<!\\)[ \n]+", listed.strip())
    return tuple(Path(name.replace("\\ ", " ")) for name in names if name)
