"""How fast histories are checked: invariants beside a plain read, compared commands beside bare ones."""

from __future__ import annotations

import itertools
import random
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection

import numpy as np

from frame_harness.base.forking import forked
from frame_harness.base.interruption import Blocked, unstopped
from frame_harness.base.pipes import value_heard
from frame_harness.bench.large_states import TILE_FRAMES, tiled_state
from frame_harness.bench.rows import Row, beside, timed
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.campaign import campaign
from frame_harness.frame_histories.lockstep import OwnHost
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.program import Ask
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine
from frame_harness.session.workers import usable_cpus

REFERENCE = 1 << 20
SIZES = (TILE_FRAMES, 1 << 18, REFERENCE, 1 << 22, 1 << 24)
ROUNDS = 5
ROUNDS_OF_LARGE = 3
COMMANDS = 1000
COMPARED = 20_000
"""Commands of one campaign: enough that its boots do not count."""
A_MINUTE = 600_000
MACHINE_GIB = 24.0
KIB_OF_GIB = 1 << 20


def measure() -> Iterator[Row]:
    """Invariants over growing tables, then commands in RAM, one by one, compared with the model."""
    image = build(frame_module(), "dev")
    yield from _invariants(image.dtype("MetaSlot"))
    host = OwnHost(image, load_machine("q35"))
    yield from _commands(host)  # a host without QEMU is told here, by this process
    yield from _commands_on_each_cpu(host)


def _invariants(dtype: np.dtype[np.void]) -> Iterator[Row]:
    state = tiled_state(REFERENCE, dtype)
    yield beside(
        f"all invariants over {REFERENCE} slots",
        lambda: timed(lambda: _judge(state)),
        "numpy.sum over the same bytes",
        lambda: timed(lambda: _sum(state)),
        rounds=ROUNDS,
        goal="<= 8.0",
    )
    for size in SIZES:
        if size != REFERENCE:
            other = tiled_state(size, dtype)
            yield beside(
                f"all invariants over {size} slots, for each {REFERENCE}",
                _for_each_reference(other),
                f"over {REFERENCE} slots",
                _for_each_reference(state),
                rounds=ROUNDS if size < REFERENCE else ROUNDS_OF_LARGE,
                goal="<= 2.0"
                if size > REFERENCE
                else "",  # of a small table, what does not grow is a large part
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_OF_GIB
    yield Row(
        f"peak memory, {max(SIZES)} slots included", peak, "an ordinary machine", MACHINE_GIB, "GiB",
        peak / MACHINE_GIB, "<= 1.0",
    )  # fmt: skip


def _judge(state: MemoryState) -> None:
    report = INVARIANTS.check_all(state)
    if report.violated:
        raise AssertionError(report.text)


def _sum(state: MemoryState) -> int:
    return int(np.sum(state.slots.view(np.uint64)))


def _for_each_reference(state: MemoryState) -> Callable[[], float]:
    return lambda: timed(lambda: _judge(state)) * REFERENCE / state.n_frames


def _commands(host: OwnHost) -> Iterator[Row]:
    with host.boot() as kernel:
        yield beside(
            f"{COMMANDS} random commands in RAM",
            lambda: timed(lambda: _play(kernel, batched=True)),
            "the same in single round trips",
            lambda: timed(lambda: _play(kernel, batched=False)),
            rounds=ROUNDS,
            goal=">= 5.0",
            faster=True,
        )
        seeds = iter(range(1 << 20))
        yield beside(
            f"{COMMANDS} commands of histories, compared",
            lambda: _compared(host, next(seeds)),
            "the same number of single round trips",
            lambda: timed(lambda: _play(kernel, batched=False)),
            rounds=ROUNDS_OF_LARGE,
            goal=">= 5.0",
            faster=True,
        )


def _commands_on_each_cpu(host: OwnHost) -> Iterator[Row]:
    """The same as a campaign plays them: a process for each CPU."""
    n_cpus, seeds = usable_cpus(), itertools.count()
    yield beside(
        f"{COMMANDS} commands of histories, compared, a process for each of {n_cpus} CPUs",
        lambda: _together(host, [next(seeds) for _ in range(n_cpus)]),
        f"their share of the minute for {A_MINUTE}",
        lambda: 60 * COMMANDS / A_MINUTE,
        rounds=ROUNDS_OF_LARGE,
        goal=">= 1.0",
        faster=True,
    )


def _together(host: OwnHost, seeds: Sequence[int]) -> float:
    """Seconds for so many commands, of campaigns in processes of their own."""
    with unstopped() as blocked:
        forks = [forked(partial(_send_compared, host, seed), blocked) for seed in seeds]
    found: list[float] = [value_heard(connection) for connection, _ in forks]
    for connection, process in forks:
        connection.close()
        process.join()
    return max(found) / len(found)


def _send_compared(host: OwnHost, seed: int, connection: Connection, blocked: Blocked) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    connection.send(_compared(host, seed))


def _play(kernel: Kernel, *, batched: bool) -> None:
    """Allocate, refer, give back: the same commands each time."""
    rng = random.Random(1)
    held = [kernel.alloc(zeroed=False) for _ in range(COMMANDS // 20)]
    names = ("inc_ref", "get_flags", "generation")
    lines = [f"slot.{rng.choice(names)} {rng.choice(held):#x}" for _ in range(COMMANDS)]
    if batched:
        kernel.program.run([Ask(line) for line in lines])
    else:
        for line in lines:
            kernel.call(line)
    for paddr in held:
        kernel.release(paddr)


def _compared(host: OwnHost, seed: int) -> float:
    """Seconds for so many commands, boots and shortening left in, as a user waits for them."""
    tallies = []
    seconds = timed(lambda: tallies.append(campaign(host, seed, lambda tally: tally.commands < COMPARED)))
    return seconds * COMMANDS / tallies[0].commands
