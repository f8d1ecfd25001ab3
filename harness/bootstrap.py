"""Prepares a fresh clone: virtualenv, QEMU, Rust.

Runs before anything is installed: the standard library only, from Python 3.11 on.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "harness"))

from frame_harness.base import packages, pip_settings  # noqa: E402  # found by the line above
from frame_harness.base.commands import Finished, HowFar, Say, SlowStep, run, speaker  # noqa: E402
from frame_harness.base.disk import run_writing  # noqa: E402
from frame_harness.base.errors import HarnessError, MissingToolError  # noqa: E402
from frame_harness.base.host_tools import HOST_TOOLS, HostTool  # noqa: E402
from frame_harness.base.unpacked_packages import can_unpack, unpack  # noqa: E402

VENV = ROOT / ".venv"
LOCK = ROOT / "harness" / "frame_harness" / "cli" / "requirements.lock"
INTERRUPTED = 130
# What could not be installed lies there: last, so that a program of the user's comes first.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), str(VENV / "bin")])


def main() -> int:
    """Do what is missing; return 0, or 1 after one line that says what a person must do."""
    todo, say = sys.argv[1:], speaker(sys.stderr)
    try:
        match todo:
            case ["look", *known]:
                return look(venv_is_ready="ready" in known)
            case ["wait", descriptor]:
                return wait_for_others(int(descriptor), say)
        return set_up(say)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"set-up: {error}\nnext: see that this can be read and written, then make setup", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted\nnext: make setup, which goes on from here", file=sys.stderr)
        return INTERRUPTED


def set_up(say: Say) -> int:
    """Install what is missing; return 0, or what the look for a Rust toolchain ends with."""
    require_place()
    require_rights()
    make_venv(say)
    for tool in HOST_TOOLS:
        if not tool.works():
            bring(tool, say)
    install_locked(say)
    return find_rust()


def bring(tool: HostTool, say: Say) -> None:
    """Install what a program needs; unpack it beside the virtualenv's programs where apt refuses.

    Raises:
        MissingToolError: neither goes, or it does not work then.
    """
    try:
        packages.install(tool.packages, purpose=tool.purpose, say=say)
    except packages.MissingPackages as refused:
        if not (tool.stands_alone and can_unpack()):
            raise
        say(f"{refused.summary}: unpacking it in .venv instead")
        unpack(tool.program, tool.packages, VENV / tool.program, VENV / "bin", say=say)
    if (tried := tool.try_out()).status != 0:
        raise MissingToolError(
            tool.purpose,
            shutil.which(tool.program) or tool.program,
            expected="one that works",
            actual=tried.last_words(),
            next_step="take it off the PATH, or apt-get install --reinstall " + " ".join(tool.packages),
        )


def wait_for_others(descriptor: int, say: Say) -> int:
    """Lock the folder that the caller has open there, so that one set-up at a time works in this clone."""
    try:
        with SlowStep(
            "waiting for another set-up of this clone, which may be stopped (Ctrl-C gives up)", say
        ):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        say(f"this clone cannot be locked ({error.strerror}): run no second set-up beside this one")
    return 0


def look(*, venv_is_ready: bool) -> int:
    """Say what the set-up would install, and install nothing; return 1 where something is missing."""
    missing = [tool for tool in HOST_TOOLS if not tool.works()]
    for tool in missing:
        print(f"MISSING  {tool.purpose}: {tool.program}\nnext: apt-get install {' '.join(tool.packages)}")
    if not venv_is_ready:
        print("MISSING  the virtualenv .venv, or it is out of date")
        print("next: make setup, which installs all of this")
    return int(bool(missing) or not venv_is_ready)


def require_place() -> None:
    """Require that this clone is the caller's to write.

    Raises:
        HarnessError: names what is not.
    """
    if os.pathsep in os.fspath(ROOT):
        _refuse(ROOT, f"a path without {os.pathsep!r}, which separates those in PATH", "one with it")
    if "\\" in os.fspath(ROOT):
        _refuse(ROOT, "a path without backslashes, which a reader of DWARF takes for Windows", "one with one")
    if os.statvfs(ROOT).f_flag & os.ST_NOEXEC:
        _refuse(ROOT, "a file system whose programs may run", "one that is mounted noexec")
    if VENV.is_symlink():  # what lies behind it may be another clone's, and would be cleared
        next_step = f"rm {shlex.quote(os.fspath(VENV))}, then make setup"
        _refuse(VENV, "a folder of this clone's own", "a link", next_step)
    for place in (ROOT, VENV):
        if place.exists() and not os.access(place, os.W_OK):
            _refuse(place, "a folder that you may write", f"one that user {os.geteuid()} may not")


def _refuse(
    place: Path,
    expected: str,
    actual: str,
    next_step: str = "make a clone of your own, in a folder where that holds",
) -> None:
    raise HarnessError("set-up", os.fspath(place), expected=expected, actual=actual, next_step=next_step)


def require_rights() -> None:
    """Require root where Debian packages are missing that must be installed; name all of them at once.

    Raises:
        MissingPackages: this process may not install them.
    """
    if packages.may_install():
        return
    missing = [tool for tool in HOST_TOOLS if not tool.works() and not (tool.stands_alone and can_unpack())]
    names = [name for tool in missing for name in tool.packages]
    if not VENV.exists() and not importlib.util.find_spec("ensurepip"):
        names.append("python3-venv")
    if not (shutil.which("rustc") or shutil.which("rustup")):
        names += packages.RUST
    if names:
        packages.install(names, purpose="set-up")


def make_venv(say: Say) -> None:
    """Make the private virtualenv, unless there is one that works."""
    if _venv_works():
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
            next_step="make setup, once that is solved; it needs a Python 3.11 or later with its venv module",
        )


def _venv_works() -> bool:
    activate, python = VENV / "bin" / "activate", VENV / "bin" / "python"
    if not activate.is_file():
        return False
    # Of a clone that was moved, its own scripts name an interpreter that is no longer there. Python 3.11 to
    # 3.14 write the path between double quotes, or as `shlex` does; some export it in that line.
    lines = {line.strip().removeprefix("export ") for line in activate.read_text("utf-8").splitlines()}
    if lines.isdisjoint({f'VIRTUAL_ENV="{VENV}"', f"VIRTUAL_ENV={shlex.quote(os.fspath(VENV))}"}):
        return False
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return run([python, "-c", check], what="looking at .venv").status == 0


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
    pip: list[str | Path] = [VENV / "bin" / "python", "-m", "pip"]
    listed = run([*pip, "config", "list"], what="asking pip", env=pip_settings.to_ask(os.environ))
    if listed.status != 0:
        raise MissingToolError("pip", detail=listed.last_words(), next_step="fix pip's settings")
    argv = [*pip, "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off", *arguments]
    env = pip_settings.environment(os.environ, listed.out)
    finished = run_writing(ROOT, argv, what=what, say=say, env=env, how_far=how_far)
    if finished.status != 0:
        raise MissingToolError(
            "pip", what, detail=_why(finished), next_step="make setup, once that is solved"
        )


def _why(finished: Finished) -> str:
    """Return why pip failed; without a connection it says that there is no such package."""
    # WARNING: Retrying (Retry(total=0, …)) after connection broken by 'ProxyError('…', …)': /simple/click/
    broken = re.search(r"connection broken by (.+): /", finished.out + finished.err)
    # …, NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f…>: Failed to …
    return "no connection: " + re.sub(r"<[^>]*>: ", "", broken[1]) if broken else finished.last_words()


def find_rust() -> int:
    """Let the harness itself find its Rust toolchain, which may take a download."""
    return subprocess.run(
        [VENV / "bin" / "python", "-m", "frame_harness.cli.doctor", "--rust"], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
