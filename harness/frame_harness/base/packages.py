"""Installs Debian packages where that is allowed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from frame_harness.base.commands import Finished, Say, SlowStep, run
from frame_harness.base.errors import MissingToolError

# Debian's matched set: a compiler, its cargo, the sources of its core library.
RUST = ("rustc-web", "cargo-web", "rust-web-src")

# A machine that just booted renews its lists by itself, then installs what is urgent.
LOCK_TRIES = 3
LOCK_WAIT_S = 300


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
    when a package is not in them, is too old in them, or cannot be installed from them. An installation that
    was interrupted is finished first: apt does nothing before. Nothing that is installed is ever removed.

    Args:
        at_least: oldest version that will do, by package. Nothing is installed when apt has no such version.
    Raises:
        MissingPackages: not root, no apt, or apt refused; the text says what to install by hand.
    """
    advice = by_hand(packages)
    if not may_install():
        raise MissingPackages(
            purpose,
            expected=f"the packages {' '.join(packages)}",
            actual=f"none, {_why_not()}",
            next_step=advice,
        )
    complaint: str | None = None
    if list(_unfit(packages, at_least or {})):
        complaint = _renew_lists(say)
        if unfit := list(_unfit(packages, at_least or {})):
            raise MissingPackages(
                purpose,
                detail="; ".join([*unfit, *filter(None, [complaint])]),
                next_step="see that apt's sources, the network and its proxy work; then make setup",
            )
    refusal = _install(packages, say, renewed=complaint is not None)
    if refusal:
        raise MissingPackages(purpose, " ".join(packages), detail=refusal, next_step=advice)


def by_hand(packages: Sequence[str]) -> str:
    """Return the command that a person with the rights types."""
    return f"apt-get install --no-install-recommends {' '.join(packages)}"


def _why_not() -> str:
    return "no apt-get here" if shutil.which("apt-get") is None else "not root"


def _install(packages: Sequence[str], say: Say | None, *, renewed: bool) -> str:
    """Run apt-get, repair what it says to repair, try again; return what it refuses, or nothing."""
    what = f"installing {' '.join(packages)}"
    argv = [
        "apt-get", "install", "-y", "-q", "--no-install-recommends", "--no-remove",
        "-o", "APT::Status-Fd=1", *_LOCK, *_CONFFILES, *packages,
    ]  # fmt: skip
    finished = apt(argv, what, say)
    if finished.status != 0 and "dpkg --configure -a" in finished.err:
        if say is not None:
            say("dpkg was interrupted: finishing that with dpkg --configure -a")
        apt(["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"], "dpkg --configure -a", say)
        finished = apt(argv, what, say)
    complaint = ""
    if finished.status != 0 and not renewed:
        complaint = _renew_lists(say)
        finished = apt(argv, what, say)
    # Another package that cannot be configured makes apt-get fail, though these are installed.
    if finished.status == 0 or _are_installed(packages):
        return ""
    return "; ".join(filter(None, [f"apt-get refused: {_refusal(finished)}", complaint]))


_LOCK = ("-o", f"DPkg::Lock::Timeout={LOCK_WAIT_S}")
_DEBIAN_PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
# Nobody answers a question about a changed file in /etc: it stays as it is.
_CONFFILES = ("-o", "DPkg::Options::=--force-confdef", "-o", "DPkg::Options::=--force-confold")


def apt(argv: Sequence[str], what: str, say: Say | None = None, cwd: Path | None = None) -> Finished:
    """Run one of Debian's tools as they expect to be run, whatever the caller's settings are."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "NEEDRESTART_MODE": "l"}
    # `su` leaves a user's PATH, in which dpkg misses its tools.
    env["PATH"] = ":".join(filter(None, [env.get("PATH"), _DEBIAN_PATH]))
    # What scripts of packages make must be readable for everybody.
    return run(argv, what=what, say=say, cwd=cwd, env=env, how_far=_percent, umask=0o022)


def _refusal(finished: Finished) -> str:
    """Return what apt-get says, with the package at fault if there is one."""
    # dpkg: error processing package foo (--configure):
    broken = re.search(r"^dpkg: error processing (?:package|archive) (\S+)", finished.err, flags=re.MULTILINE)
    # The following packages will be REMOVED:
    #   cargo rustc
    removed = re.search(r"REMOVED:\n((?:  .*\n)+)", finished.out)
    if removed and "remove is disabled" in finished.err:
        return f"it would remove {' '.join(removed[1].split())}"
    # Errors were encountered while processing: … E: Sub-process /usr/bin/dpkg returned an error code (1)
    said = re.search(r"^E: (.+)", finished.err, flags=re.MULTILINE)
    return (said[0] if said else finished.last_words()) + (f", {broken[1]}" if broken else "")


def _renew_lists(say: Say | None) -> str:
    """Fetch the lists of packages; return the first complaint, which may not matter, or nothing."""
    for _ in range(LOCK_TRIES):
        finished = apt(["apt-get", "update", "-q"], "reading Debian's package lists", say)
        # E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1234 (apt-get)
        locked = re.search(r"Could not get lock (\S+/lists/lock)", finished.err)
        if locked is None:
            break
        with SlowStep(finished.last_words(), say), Path(locked[1]).open("ab") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
    # W: Failed to fetch http://…/InRelease  Could not connect to 127.0.0.1:9 (127.0.0.1).
    complaints = re.findall(r"^[WE]: (.+)", finished.err, flags=re.MULTILINE)
    return f"apt-get update: {complaints[0]}" if complaints else ""


def _are_installed(packages: Sequence[str]) -> bool:
    asked = run(["dpkg-query", "-W", "-f", "${db:Status-Status}\n", *packages], what="asking dpkg")
    return asked.status == 0 and asked.out.split() == ["installed"] * len(packages)


def _unfit(packages: Sequence[str], at_least: Mapping[str, str]) -> Iterator[str]:
    """Yield a complaint about each package that apt knows in no version that will do."""
    asked = apt(["apt-cache", "policy", *packages], "asking apt")
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
