"""Runs pytest on the suite as if the caller had no pytest settings of their own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
_PLUGINS = ("xdist", "frame_harness.session.plugin")
_NOT = ("terminal", "cacheprovider", "logging", "doctest")


def settings(suite: Path, scratch: Path) -> list[str]:
    """The arguments that every such run begins with; an empty configuration is put into `scratch`."""
    configuration = scratch / "pytest.ini"
    configuration.write_text("[pytest]\n", encoding="utf-8")
    arguments = [str(suite), f"--rootdir={suite}", f"--confcutdir={suite}", "-c", str(configuration)]
    arguments.append(f"--basetemp={scratch / 'tmp'}")  # else a folder stays in TMPDIR
    for plugin in (*_PLUGINS, *(f"no:{name}" for name in _NOT)):
        arguments += ["-p", plugin]
    return arguments


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep the caller's pytest variables out, and plugins that merely are installed."""
    kept = {name: os.environ.pop(name, None) for name in _VARIABLES}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
