"""Installs Debian packages where that is allowed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence

from frame_harness.base.commands import Say, run
from frame_harness.base.errors import MissingToolError


class MissingPackages(MissingToolError):
    """Debian packages are needed that the harness may not or could not install."""


def may_install() -> bool:
    """Tell whether this process can install Debian packages: it is root where apt exists."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(
    packages: Sequence[str],
    *,
    purpose: str,
    at_least: Mapping[str, str] | None = None,
    say: Say | None = None,
) -> None:
    """Install packages with apt, without recommended ones.

    A machine that was just set up has no package lists, or lists that are months old. They are fetched again
    when a package is not in them, is too old in them, or cannot be installed from them.

    Args:
        at_least: oldest version that will do, by package. Nothing is installed when apt has no such version.
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
    renewed = False
    if list(_unfit(packages, at_least or {})):
        _renew_lists(say)
        renewed = True
        if unfit := list(_unfit(packages, at_least or {})):
            raise MissingPackages(purpose, detail="; ".join(unfit), next_step="see apt's list of sources")
    argv = [
        "apt-get", "install", "-y", "-q", "--no-install-recommends",
        "-o", "APT::Status-Fd=1", "-o", "DPkg::Lock::Timeout=300", *packages,
    ]  # fmt: skip
    what = f"installing {names}"
    finished = run(argv, what=what, say=say, env=_quiet(), how_far=_percent)
    if finished.status != 0 and not renewed:
        _renew_lists(say)
        finished = run(argv, what=what, say=say, env=_quiet(), how_far=_percent)
    if finished.status != 0:
        raise MissingPackages(
            purpose, names, detail=f"apt-get refused: {finished.last_words()}", next_step=advice
        )


def _quiet() -> dict[str, str]:
    """Return an environment in which apt asks nothing and speaks English."""
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


def _renew_lists(say: Say | None) -> None:
    # A source that cannot be reached may not matter: what is missing then is said afterwards.
    run(["apt-get", "update", "-q"], what="reading Debian's package lists", say=say, env=_quiet())


def _unfit(packages: Sequence[str], at_least: Mapping[str, str]) -> Iterator[str]:
    """Yield a complaint about each package that apt knows in no version that will do."""
    asked = run(["apt-cache", "policy", *packages], what="asking apt", env=_quiet())
    # One paragraph a package: `rustc-web:`, `  Installed: (none)`, `  Candidate: 1.85.0+dfsg3-1~deb12u3`, …
    found = dict(re.findall(r"^(\S+):\n.*\n  Candidate: (\S+)", asked.out, flags=re.MULTILINE))
    for name in packages:
        wanted, candidate = at_least.get(name), found.get(name, "(none)")
        if candidate == "(none)":
            yield f"{name}: expected a package of Debian's, got none in apt's lists"
        elif wanted is not None and not _is_at_least(candidate, wanted):
            yield f"{name}: expected {wanted} or later, got {candidate}"


def _is_at_least(version: str, wanted: str) -> bool:
    return run(["dpkg", "--compare-versions", version, "ge", wanted], what="asking dpkg").status == 0


def _percent(line: str) -> str | None:
    # pmstatus:rustc-web:42.8571:Unpacking rustc-web (amd64)      dlstatus:3:17.5:Retrieving file 3 of 11
    match = re.match(r"(?:pm|dl)status:[^:]*:([0-9.]+):(.*)", line)
    return f"{float(match[1]):.0f} %: {match[2]}" if match else None
