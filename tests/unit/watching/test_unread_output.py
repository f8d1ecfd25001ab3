"""Proves that watching ends once nobody reads what it shows."""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base import streams
from frame_harness.cli import watch
from frame_harness.watching.content import WatchedPlace


def test_watching_ends_once_its_reader_was_found_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written leads nowhere from then on, where no reader is ever missed."""
    reads, writes = os.pipe()
    os.close(reads)
    (tmp_path / "frame.rs").touch()
    loop = cast(Any, SimpleNamespace(place=WatchedPlace((tmp_path / "frame.rs",)), round=None))
    ours, theirs = socket.socketpair()
    with ours, theirs, io.TextIOWrapper(os.fdopen(writes, "wb"), encoding="utf-8") as plain:
        stream = streams.patient(plain)
        monkeypatch.setattr(sys, "stdout", stream)
        assert not streams.nobody_reads()
        print("a report", flush=True)
        assert streams.nobody_reads() and not stream.trouble
        assert list(watch._events(loop, set(), ours)) == []
