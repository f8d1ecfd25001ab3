"""What all tests of the harness share: a real subject, a watch over guests left behind."""

from __future__ import annotations

import functools
import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from frame_harness.base.disk import scratch
from frame_harness.base.held_folder import PREFIX, sweep
from frame_harness.machine.guest import live_guests
from tests.support.programs import starts_programs

# Whatever a busy machine takes to make up an example, or to try it, is no failure.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

REAL = "FRAME_HARNESS_REAL_FRAME_RS"
# The caller's own module is for the tests that ask for it (`real`): the others are about the built-in one.
os.environ.pop("FRAME_RS", None)


TEMPROOT = "PYTEST_DEBUG_TEMPROOT"
"""Where pytest keeps the folders of `tmp_path`."""


def pytest_configure(config: pytest.Config) -> None:
    """Prepare this process for commands that tests run, and kill.

    A background job ignores SIGINT, under nohup SIGHUP, as do children: those that tests end must not.
    """
    tempfile.tempdir = os.environ.setdefault(TEMPROOT, tempfile.gettempdir())
    ours = ExitStack()
    config.add_cleanup(ours.close)
    os.environ["TMPDIR"] = tempfile.tempdir = str(ours.enter_context(scratch()))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts programs, which the quick part leaves out; before pytest chooses by marks."""
    starts = functools.cache(starts_programs)
    for item in items:
        if isinstance(item, pytest.Function) and starts(item.module):
            item.add_marker("programs")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Thousands of collected tests are no garbage: else each full collection looks at all of them."""
    gc.freeze()


@pytest.fixture
def real() -> Path:
    """The frame.rs of a real kernel, which is not part of this repository."""
    path = os.environ.get(REAL)
    if not path:
        pytest.skip(f"{REAL} is not set: set it to the path of a real kernel's frame.rs")
    return Path(path)


def own_qemus() -> set[int]:
    """The process ids of this process's children that run QEMU, whatever the harness knows of them."""
    found = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that ended
            for pid in listed.read_text(encoding="ascii").split():
                with suppress(OSError):  # a child that ended
                    # 4242 (qemu-system-x86) S 4241 …: a zombie runs no more; who adopted it has to reap it.
                    name, _, rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")
                    if "(qemu-" in name and not rest.startswith("Z"):
                        found.add(int(pid))
    return found


@pytest.fixture(autouse=True)
def _no_guest_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Count what the test started: a guest that the suite shares is older, and ends with its session."""
    guests, qemus = set(live_guests()), own_qemus()
    yield
    if "frame_run" not in request.fixturenames:
        assert not set(live_guests()) - guests, "this test left a guest behind"
        assert not own_qemus() - qemus, "this test left a QEMU behind that the harness has forgotten"


@pytest.fixture(autouse=True)
def _no_temporary_file_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Look for what no later command removes: what a killed one leaves is swept."""
    place = Path(os.environ["TMPDIR"])
    before = set(place.glob(f"{PREFIX}*"))
    yield
    sweep(place)
    if "frame_run" not in request.fixturenames:
        assert not set(place.glob(f"{PREFIX}*")) - before, "this test left a temporary file or folder"
