"""Installs Debian packages where that is allowed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence

from harness.errors import MissingToolError
from harness.progress import Say, run


class MissingPackages(MissingToolError):
    """Debian packages are needed that the harness may not or could not install."""


def may_install() -> bool:
    """Tell whether this process can install Debian packages: it is root where apt exists."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str], *, purpose: str, say: Say | None = None) -> None:
    """Install packages with apt, without recommended ones.

    Raises:
        MissingPackages: not root, no apt, or apt refused; the text says what to install by hand.
    """
    names = " ".join(packages)
    advice = f"apt-get install --no-install-recommends {names}"
    if not may_install():
        why = "no apt-get here" if shutil.which("apt-get") is None else "not root"
        raise MissingPackages(
            purpose, expected=f"the packages {names}", actual=f"none, {why}", next_step=advice
        )
    argv = [
        "apt-get", "install", "-y", "-q", "--no-install-recommends",
        "-o", "APT::Status-Fd=1", "-o", "DPkg::Lock::Timeout=300", *packages,
    ]  # fmt: skip
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    what = f"installing {names}"
    finished = run(argv, what=what, say=say, env=env, how_far=_percent)
    if finished.status != 0:
        # A machine that was just set up has no package lists, or old ones: fetch them, then try once more.
        run(["apt-get", "update", "-q"], what="reading Debian's package lists", say=say, env=env)
        finished = run(argv, what=what, say=say, env=env, how_far=_percent)
    if finished.status != 0:
        raise MissingPackages(
            purpose, names, detail=f"apt-get refused: {finished.last_words()}", next_step=advice
        )


def _percent(line: str) -> str | None:
    # pmstatus:rustc-web:42.8571:Unpacking rustc-web (amd64)      dlstatus:3:17.5:Retrieving file 3 of 11
    match = re.match(r"(?:pm|dl)status:[^:]*:([0-9.]+):(.*)", line)
    return f"{float(match[1]):.0f} %: {match[2]}" if match else None
