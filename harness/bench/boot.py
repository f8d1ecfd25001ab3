"""How long a guest takes to its prompt, beside QEMU's own start."""

from __future__ import annotations

from collections.abc import Iterator

from harness.bench.rows import Row, beside, timed
from harness.image.build import build
from harness.image.image import Image
from harness.image.subject import Subject
from harness.kernel import Kernel
from harness.machine.definition import Machine, load_machine
from harness.machine.guest import Guest

GOALS = {"microvm": "<= 2.0", "q35": "<= 2.5"}
ROUNDS = 15


def measure() -> Iterator[Row]:
    """Cold boots of the release build: to the banner, against to the answer of the paused QEMU."""
    image = build(Subject.builtin(), "release")
    for name, goal in GOALS.items():
        machine = load_machine(name)
        yield beside(
            f"cold boot to the prompt, {name}",
            lambda machine=machine: _boot(image, machine),  # type: ignore[misc]
            "QEMU's own start (-S, to its monitor)",
            lambda machine=machine: _start(image, machine),  # type: ignore[misc]
            rounds=ROUNDS,
            goal=goal,
        )


def _boot(image: Image, machine: Machine) -> float:
    kernels: list[Kernel] = []
    seconds = timed(lambda: kernels.append(Kernel.boot(image, machine)))
    kernels[0].finish()
    return seconds


def _start(image: Image, machine: Machine) -> float:
    guests: list[Guest] = []
    seconds = timed(lambda: guests.append(Guest.start(machine, image.elf, resume=False)))
    guests[0].close()
    return seconds
