"""Plays the commands of a failing check again in a fresh guest, and keeps memory around each."""

from __future__ import annotations

import numpy as np

from frame_harness.base.units import PAGE_SHIFT, PAGE_SIZE
from frame_harness.frame_metadata.frame_states import free_frames_by_order
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.guest.kernel import Kernel
from frame_harness.html_report.figures import split_command
from frame_harness.html_report.memory import NOTHING, Memory
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult
from frame_harness.machine.definition import load_machine
from frame_harness.pictures.life import Life

INDIFFERENT = ("smp.",)
"""Commands for several CPUs: what they leave depends on more than themselves."""


def played(result: CheckResult, image: Image) -> Memory:
    """Memory before and after the last command; nothing where the replies differ from those of the check."""
    commands = [split_command(line) for line in result.commands]
    if not commands or any(command.startswith(INDIFFERENT) for command, _ in commands):
        return NOTHING
    kernel = Kernel.boot(image, load_machine(result.run.machine))
    try:
        states = [kernel.state().copied()]
        for command, said in commands:
            words = said.split()
            if kernel.request(command).shown.split()[: len(words)] != words:
                return Memory(notes=("played again, the commands are answered otherwise",))
            states.append(kernel.state().copied())
        return _memory_of(result, states, [command for command, _ in commands], kernel)
    finally:
        kernel.finish()
        kernel.guest.close()


def _memory_of(result: CheckResult, states: list[MemoryState], commands: list[str], kernel: Kernel) -> Memory:
    changed = np.flatnonzero(
        states[0].slots.view(np.uint8).reshape(states[0].n_frames, -1).astype(np.int16).sum(axis=1)
        != states[-1].slots.view(np.uint8).reshape(states[0].n_frames, -1).astype(np.int16).sum(axis=1)
    )
    own = [] if result.frame is None else [result.frame >> PAGE_SHIFT]
    frames = tuple(dict.fromkeys([*own, *changed[:3].tolist()]))
    life = Life(frames, np.stack([state.slots[list(frames)] for state in states]), tuple(commands))
    payload = {pfn: kernel.ram.view(pfn << PAGE_SHIFT, PAGE_SIZE).tobytes() for pfn in frames}
    free = [free_frames_by_order(state.slots).tolist() for state in states]
    return Memory(states[-2], states[-1], tuple(own), payload, life, free)
