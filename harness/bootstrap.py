"""Prepares a fresh clone: virtualenv, QEMU, Rust.

Runs before anything is installed: the standard library only, from Python 3.11 on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "harness"))

from frame_harness.base import packages  # noqa: E402  # found by the line above
from frame_harness.base.commands import Finished, HowFar, Say, run, speaker  # noqa: E402
from frame_harness.base.disk import run_writing  # noqa: E402
from frame_harness.base.errors import HarnessError, MissingToolError  # noqa: E402

VENV = ROOT / ".venv"
LOCK = ROOT / "harness" / "frame_harness" / "cli" / "requirements.lock"
# Program on the path, Debian packages that bring it, what it is for.
TOOLS = (
    ("qemu-system-x86_64", ("qemu-system-x86",), "QEMU, which boots the kernel"),
    ("cc", ("gcc", "libc6-dev"), "C linker, for the build scripts of Rust crates"),
)


def main() -> int:
    """Do what is missing; return 0, or 1 after one line that says what a person must do."""
    if sys.argv[1:] == ["look"]:
        return look()
    say = speaker(sys.stderr)
    try:
        for program, names, purpose in TOOLS:
            if shutil.which(program) is None:
                packages.install(names, purpose=purpose, say=say)
        make_venv(say)
        install_locked(say)
        return find_rust()
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1


def look() -> int:
    """Say what the set-up would install, and install nothing; return 1, as something is missing."""
    for program, names, purpose in TOOLS:
        if shutil.which(program) is None:
            print(f"MISSING  {purpose}: {program}\nnext: apt-get install {' '.join(names)}")
    print("MISSING  the virtualenv .venv, or it is out of date\nnext: make setup, which installs all of this")
    return 1


def make_venv(say: Say) -> None:
    """Make the private virtualenv, unless there is one that works."""
    python = VENV / "bin" / "python"
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    if python.exists() and run([python, "-c", check], what="looking at .venv").status == 0:
        return
    what = "making the virtualenv .venv"
    made = _venv(what, say)
    if made.status != 0 and Path(sys.executable).resolve().parent == Path("/usr/bin"):
        # Debian ships Python's venv module without what it needs.
        packages.install(("python3-venv",), purpose="virtualenv", say=say)
        made = _venv(what, say)
    if made.status != 0:
        raise MissingToolError(
            "virtualenv",
            str(VENV),
            detail=(made.out + made.err).strip().rpartition("\n")[2],
            next_step="install Python's venv module",
        )


def _venv(what: str, say: Say) -> Finished:
    return run_writing(ROOT, [sys.executable, "-m", "venv", "--clear", VENV], what=what, say=say)


def install_locked(say: Say) -> None:
    """Install what the lock names, then the project itself as an editable package."""
    n_pins = sum("==" in line for line in LOCK.read_text(encoding="utf-8").splitlines())
    n_seen = 0

    def how_far(line: str) -> str | None:
        nonlocal n_seen
        # Collecting click==8.5.1 (from -r …)       Installing collected packages: sortedcontainers, …
        if line.startswith(("Collecting", "Requirement already")):
            n_seen += 1
            return f"{n_seen} of {n_pins} packages"
        return "unpacking" if line.startswith("Installing collected") else None

    arguments = ["--require-hashes", "--no-deps", "-r", os.fspath(LOCK)]
    _pip(arguments, what="installing the Python packages", say=say, how_far=how_far)
    _pip(["--no-deps", "--no-build-isolation", "-e", os.fspath(ROOT)], what="installing the harness", say=say)


def _pip(arguments: list[str], *, what: str, say: Say, how_far: HowFar | None = None) -> None:
    argv: list[str | Path] = [
        VENV / "bin" / "python", "-m", "pip", "install",
        "--disable-pip-version-check", "--no-input", "--progress-bar=off", *arguments,
    ]  # fmt: skip
    # A user's pip settings may send packages elsewhere than into the virtualenv.
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PIP_USER", "PIP_TARGET", "PYTHONPATH"}
    }
    finished = run_writing(ROOT, argv, what=what, say=say, env=env, how_far=how_far)
    if finished.status != 0:
        raise MissingToolError(
            "pip", what, detail=finished.last_words(), next_step="make setup, once that is solved"
        )


def find_rust() -> int:
    """Let the harness itself find its Rust toolchain, which may take a download."""
    return subprocess.run(
        [VENV / "bin" / "python", "-m", "frame_harness.cli.doctor", "--rust"], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
