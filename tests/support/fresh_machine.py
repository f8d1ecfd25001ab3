"""Makes throw-away machines out of this one: its files under an overlay, in a mount namespace of their own.

What is installed, removed or damaged there is real, and gone with the folder that the machine lies in. This
machine is only read.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from frame_harness.base.commands import Finished, run

ROOT = Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOME = "/srv/fresh home"
CLONE = f"{HOME}/a clone"
# How this machine reaches the network is no state to try, and neither is where its packages come from.
_NETWORK = re.compile(
    r"(?i:(?:https?|ftp|all|no)_proxy)|SSL_CERT_\w+|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE"
    r"|PIP_(?:CERT|PROXY|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|TRUSTED_HOST|DEFAULT_TIMEOUT)"
    r"|CARGO_(?:HTTP|NET|REGISTRY|REGISTRIES)_\w+"
)
_USERS_FILES = (".cargo/config.toml", ".cargo/config", ".config/pip/pip.conf", ".pip/pip.conf", ".netrc")
# $1 upper, $2 work, $3 where it is mounted, $4 lower, then the command.
_ENTER = """
set -e
mount -t overlay overlay -o "volatile,lowerdir=$4,upperdir=$1,workdir=$2" "$3"
mount -t proc proc "$3/proc"
mount --rbind /dev "$3/dev"
mount --rbind /sys "$3/sys"
mount -t tmpfs tmpfs "$3/tmp" -o mode=1777
machine=$3
shift 4
exec chroot "$machine" "$@"
"""


class FreshMachine:
    """A machine that looks like this one, whose user has nothing yet but a clone of this project.

    Each command gets mounts and processes of its own; files last from one to the next.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("upper", "mount"):
            (folder / name).mkdir()

    def sh(self, script: str, env: Mapping[str, str] | None = None) -> Finished:
        """Run a script in the clone, as root, with nothing of the caller's environment but its network."""
        work = Path(tempfile.mkdtemp(prefix="work-", dir=self._folder))
        own = {name: value for name, value in os.environ.items() if _NETWORK.fullmatch(name)}
        own |= {"HOME": HOME, "PATH": PATH, "LANG": "C.UTF-8"}
        argv: list[str | Path] = [
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private",
            "sh", "-c", _ENTER, "sh", self._folder / "upper", work, self._folder / "mount", "/",
            "env", *(f"{name}={value}" for name, value in (env or {}).items()),
            "sh", "-c", f"cd '{CLONE}' || exit\n{script}",
        ]  # fmt: skip
        return run(argv, what="fresh machine", env=own)

    def place(self, path: str, text: str = "", mode: int = 0o644) -> None:
        """Write a file."""
        file = self._folder / "upper" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def clone(self) -> None:
        """Put a copy of what git would hand out where the user works."""
        copy_clone(self._folder / "upper" / CLONE.lstrip("/"))
        for name in ("/etc/resolv.conf", "/etc/hosts"):  # mounted ones in a container
            if Path(name).is_file():
                self.place(name, Path(name).read_text(encoding="utf-8"))
        for name in _USERS_FILES:
            theirs, ours = Path.home() / name, self._folder / "upper" / HOME.lstrip("/") / name
            if theirs.is_file():
                ours.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(theirs, ours)


def copy_clone(folder: Path) -> None:
    """Copy what git would hand out, edits that are not committed yet included; skip where git cannot say."""
    # Whoever runs the tests need not own the clone.
    git = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = run([*git, "--cached", "--others", "--exclude-standard"], what="git", cwd=ROOT)
    if listed.status != 0:
        pytest.skip(f"git does not list the files of this clone: {listed.last_words()}")
    for name in filter(None, listed.out.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


@contextlib.contextmanager
def fresh_machine(folder: Path) -> Iterator[FreshMachine]:
    """Make a machine with a clone; skip, with the reason, where there can be none."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount: run as root to try the set-up on fresh machines")
    if not Path("/etc/debian_version").is_file():
        pytest.skip("not a Debian: its packages cannot be tried here")
    place = folder / "machine"
    place.mkdir()
    try:
        machine = FreshMachine(place)
        machine.clone()
        tried = machine.sh("apt-get --version")
        if tried.status != 0:
            pytest.skip(f"no machine can be made out of this one: {tried.err.splitlines()[0]}")
        yield machine
    finally:
        shutil.rmtree(place)  # a gigabyte or two


def needs_network(machine: FreshMachine) -> None:
    """Fetch Debian's package lists; skip, with apt's reason, where that fails."""
    updated = machine.sh("apt-get update -q -o APT::Update::Error-Mode=any")
    if updated.status != 0:
        pytest.skip(f"Debian's packages cannot be reached: {updated.last_words()}")
