"""Runs pytest on the suite as if the caller had no pytest settings of their own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from frame_harness.base.disk import scratch
from frame_harness.base.resources import suite_dir
from frame_harness.session.forked import ForkedWorkers
from frame_harness.session.plugin import SESSION
from frame_harness.session.request import REQUEST, SessionRequest
from frame_harness.session.session import Session

_VARIABLES: Final = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
_PLUGINS: Final = ("frame_harness.session.plugin",)
# The last would take a Ctrl-C that Python drops in a destructor for a warning. At its end it also looks twice
# for garbage among all objects of the program, a third of a second.
_NOT: Final = ("terminal", "cacheprovider", "logging", "doctest", "unraisableexception")


class _Asks:
    """A plugin of pytest that hands it a request."""

    def __init__(self, request: SessionRequest) -> None:
        self._request = request
        self.session: Session | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[REQUEST] = self._request

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.session = session.config.stash[SESSION]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # Results tell what failed. Nobody reads what pytest renders, which takes a tenth of a second.
        session.config.option.tbstyle = "value"


def run_suite(
    request: SessionRequest,
    *arguments: str,
    workers: Callable[[int], int] = lambda _: 1,
    listener: object = None,
    here: bool = False,
    maker: object = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[int, Session | None]:
    """Run pytest on the suite; return its status, with its session unless it came to none.

    Args:
        workers: how many processes make the checks; is given the number of checks.
        listener: a plugin of pytest; it hears of what happens in this process.
        here: make all checks in this process, one after the other.
        maker: a plugin of pytest that makes them in place of these processes.
        meanwhile: called in this process while these processes make them.
    """
    asks = _Asks(request)
    listeners = (listener,) if listener else ()
    plugins = [asks, *listeners]
    if maker is not None:
        plugins.append(maker)
    elif not here:
        plugins.append(ForkedWorkers(workers, listeners, meanwhile))
    suite = suite_dir()
    with scratch() as folder, _alone():
        configuration = folder / "pytest.ini"
        configuration.write_text("[pytest]\n", encoding="utf-8")
        words = [str(suite), f"--rootdir={suite}", f"--confcutdir={suite}", "-c", str(configuration)]
        words.append(f"--basetemp={folder / 'tmp'}")  # else a folder stays in TMPDIR
        for plugin in (*_PLUGINS, *(f"no:{name}" for name in _NOT)):
            words += ["-p", plugin]
        status = pytest.main([*words, *arguments], plugins=plugins)
    return int(status), asks.session


@contextlib.contextmanager
def _alone() -> Iterator[None]:
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
