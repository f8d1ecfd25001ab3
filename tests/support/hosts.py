"""Hosts of a network of their own: network namespaces, with a bridge between them (ip-netns(8), veth(4))."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_CABLE = "cable"


class Hosts:
    """Some hosts, each with an address; nobody else has any of them in sight."""

    def __init__(self, names: Sequence[str]) -> None:
        self._mark = f"fh{os.getpid()}"
        self._addresses = {name: f"10.77.0.{n}" for n, name in enumerate(names, 1)}

    def address(self, name: str) -> str:
        """The address of a host."""
        return self._addresses[name]

    def on(self, name: str, argv: Sequence[str | Path], hidden: Path | None = None) -> list[str | Path]:
        """Return the command that runs a command there.

        Args:
            hidden: a folder that this host does not have.
        """
        hide: list[str | Path] = []
        if hidden is not None:
            hide = ["sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', hidden]
        return ["ip", "netns", "exec", self._space(name), *hide, *argv]

    def pull_the_cable(self, name: str) -> None:
        """Let nothing through to a host any more, nor back."""
        _ip("-n", self._space(name), "link", "set", _CABLE, "down")

    def build(self) -> None:
        """Make them."""
        hub = self._space("hub")
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", hub, "link", "set", "bridge", "up")
        for name, address in self._addresses.items():
            space = self._space(name)
            _ip("netns", "add", space)
            _ip(
                "-n", space, "link", "add", _CABLE, "type", "veth", "peer", "name", f"to-{name}", "netns", hub
            )
            _ip("-n", space, "address", "add", f"{address}/24", "dev", _CABLE)
            for device in ("lo", _CABLE):
                _ip("-n", space, "link", "set", device, "up")
            _ip("-n", hub, "link", "set", f"to-{name}", "master", "bridge", "up")

    def remove(self) -> None:
        """Remove those that were made."""
        for name in ("hub", *self._addresses):
            subprocess.run(["ip", "netns", "delete", self._space(name)], check=False, capture_output=True)

    def _space(self, name: str) -> str:
        return f"{self._mark}{name}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def hosts(*names: str) -> Iterator[Hosts]:
    """Have hosts of these names for the time of a block."""
    made = Hosts(names)
    try:
        made.build()
        yield made
    finally:
        made.remove()


def why_no_hosts() -> str:
    """Say why there can be none here; nothing where they can be had."""
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    try:
        with hosts("a"):
            return ""
    except subprocess.CalledProcessError as error:
        return f"no network namespace can be made: {error.stderr.decode().strip()}"
