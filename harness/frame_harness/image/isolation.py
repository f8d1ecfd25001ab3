"""Keeps what is outside of the project from changing what is compiled.

Cargo obeys configuration files in its home and in every folder from where it runs up; it and the
compiler obey dozens of variables. So cargo runs at the root of the file system. Its home is one of the
harness's own, with the user's downloads, keys and mirrors. Of the variables only those arrive that are named
here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from frame_harness.base import resources
from frame_harness.base.disk import write_whole, writing
from frame_harness.image import cargo_config

ROOT: Final = Path("/")
"""Where cargo runs: the folder with the fewest parents."""

# What a tool needs in order to run, or to reach the network. Nothing else arrives: a list of those that
# change what is compiled would always lack one.
_PASSED: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|XDG_\w+|DBUS_SESSION_BUS_ADDRESS"
    r"|SSH_\w+|GIT_(?:SSH|SSL|ASKPASS|CONFIG|HTTP|PROXY|TERMINAL)\w*|SSL_CERT_\w+|CURL_CA_BUNDLE|NETRC"
    r"|(?i:(?:https?|ftp|all|no)_proxy)"
    r"|CARGO_(?:HTTP|NET|REGISTRY|REGISTRIES|CREDENTIAL_ALIAS|CACHE)_\w+"
    # Which toolchain rustup's proxies stand for. That the compiler is the chosen one is said by RUSTC.
    r"|RUSTUP_\w+"
)
# Folders that are shared with the user's own cargo, then files: what was downloaded, the books about it, the
# locks that keep two cargos apart, and the keys of registries.
_SHARED_FOLDERS: Final = ("registry", "git")
_SHARED_FILES: Final = (
    ".global-cache", ".package-cache", ".package-cache-mutate", "credentials", "credentials.toml",
)  # fmt: skip


def environment() -> dict[str, str]:
    """Return the variables that a compiler may see."""
    return {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}


@dataclass(frozen=True)
class CargoHome:
    """A home for cargo whose configuration says only where crates come from."""

    path: Path
    """Where it is once it was made."""
    users: Path
    """The user's own, whose downloads and keys it shares."""
    text: str
    """Of its configuration file."""
    at_root: str = ""
    """Text of the file that cargo reads wherever it runs."""

    def make(self) -> None:
        """Make it, unless that was done.

        Raises:
            Unwritable: there is no room, or no leave.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._share()
        config, data = self.path / "config.toml", self.text.encode(errors="surrogateescape")
        if not config.is_file() or config.read_bytes() != data:
            write_whole(config, data, mode=0o600)  # there may be a token in it

    def _share(self) -> None:
        """Let cargo find in its new home what it has in the user's.

        Where the user's cannot be written, and has nothing either, cargo keeps its downloads in the new one.
        """
        for name in _SHARED_FOLDERS:
            with contextlib.suppress(OSError):
                (self.users / name).mkdir(parents=True, exist_ok=True)
        for name in (*_SHARED_FOLDERS, *_SHARED_FILES):
            theirs, ours = self.users / name, self.path / name
            # Cargo makes its locks and books through a link; keys that are made later are found, too.
            wanted = theirs.exists() or (name in _SHARED_FILES and os.access(self.users, os.W_OK))
            if wanted and not ours.exists():
                with contextlib.suppress(FileExistsError):
                    ours.symlink_to(theirs)


def cargo_home() -> CargoHome:
    """Return the home that fits the user's configuration as it is now; it is the same as long as that is.

    Raises:
        CargoConfigError: a configuration file is damaged, or one at the root changes what is compiled.
    """
    at_root = cargo_config.check_root(ROOT)
    users = users_home()
    text = cargo_config.render(cargo_config.sources(resources.shim_dir(), users))
    # A short name: the paths of crates stand in the image.
    name = hashlib.sha256(f"{users}\0{text}".encode(errors="surrogateescape")).hexdigest()[:12]
    return CargoHome(resources.build_dir() / "cargo" / name, users, text, at_root)


def users_home() -> Path:
    """Return the home that the user's own cargo has."""
    given = os.environ.get("CARGO_HOME")
    return (resources.shim_dir() / given).absolute() if given else resources.home() / ".cargo"
