"""A pytest plugin that writes down which names of a module each check of a session makes the guest use."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.versions import VERSIONS
from frame_harness.guest import absence, boundaries
from frame_harness.guest.program import Ask, Program, Ran
from frame_harness.guest.reply import Reply
from frame_harness.image.image import Image
from frame_harness.session.results import clauses_of

FILE = "FRAME_HARNESS_RECORDED"
USED: dict[str, tuple[tuple[str, ...], set[str]]] = {}
"""By check: its clauses, the names."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Listen to a check itself: what is done once for a run belongs to none."""
    names: set[str] = set()
    USED[item.nodeid] = clauses_of(item), names
    request, run, require = Kernel.request, Program.run, absence.require_names

    def recorded(kernel: Kernel, command: str, **options: Any) -> Reply:
        for one in command.removeprefix("batch ").split(";"):
            names.update(VERSIONS.of_line(one))
        return request(kernel, command, **options)

    def recorded_run(program: Program, asks: Sequence[Ask]) -> Ran:
        for ask in asks:
            names.update(VERSIONS.of_line(ask.line))
        return run(program, asks)

    def required(image: Image, needs: Collection[str], what: str) -> None:
        names.update(needs)
        require(image, needs, what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "request", recorded)
        patch.setattr(Program, "run", recorded_run)
        patch.setattr(boundaries, "require_names", required)
        yield


def pytest_sessionfinish() -> None:
    text = json.dumps([[name, clauses, sorted(names)] for name, (clauses, names) in USED.items()])
    Path(os.environ[FILE]).write_text(text, encoding="utf-8")
