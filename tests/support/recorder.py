"""A pytest plugin that writes down every command that a session sends to its guests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.program import Ask, Program, Ran
from frame_harness.guest.reply import Reply

FILE = "FRAME_HARNESS_RECORDED"


@pytest.fixture(scope="session", autouse=True)
def _recorded() -> Iterator[None]:
    """Listen to every request and program, whoever makes it."""
    request, run = Kernel.request, Program.run
    with Path(os.environ[FILE]).open("w", encoding="utf-8") as spoken:

        def recorded(kernel: Kernel, command: str, **options: Any) -> Reply:
            for one in command.removeprefix("batch ").split(";"):
                spoken.write(one + "\n")
            return request(kernel, command, **options)

        def recorded_run(program: Program, asks: Sequence[Ask]) -> Ran:
            spoken.writelines(f"{ask.line}\n" for ask in asks)
            return run(program, asks)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Kernel, "request", recorded)
            patch.setattr(Program, "run", recorded_run)
            yield
