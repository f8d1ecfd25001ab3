"""Ten faults of the built-in frame module that take a special history each, and how soon one comes to them.

    python -m tests.support.deep_faults [--most COMMANDS] [--seeds N] [--workers N]

All ten lie in one build, asleep: where the wrong code would run, a counter goes up that the host reads. A
guest that is told the number of one does what is wrong.

Measured with five seeds, as the median of the commands until a campaign comes to a fault:

- blind, at most 60 000 commands (`--way blind`): to four of the ten (2, 3, 6, 9), after 30 000 to 56 000;
- steered, at most 6 000 (`--way steered --most 6000`): to none, so that a tenth is shown for none; single
  seeds came to 1, 3, 6 and 9 in 253 to 4 468.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple

from frame_harness.base.profiles import STEERING
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.lockstep import OwnHost
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.boot_options import AS_USUAL, BootOptions
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine
from frame_harness.steering.campaign import Campaign
from frame_harness.steering.player import Player
from tests.support.mutants import Edit, apply, kept

FAULTS = (
    "a claim behind 64 frees in a row, which overflow a cache: another hint",
    "the generation wraps on a frame with a large hint that a process gets: no hint",
    "memory was out, then two poisoned frames are met for a page table: another hint",
    "a claim that split a block of order 6 or more, of a frame with a hint that is copied on write: another",
    "the fifth reference to a guarded frame that is copied on write: another hint",
    "on_unmap of a frame in its third life, with a hint, and no reference left: not called",
    "a swap of 3 references on a frame in its last generation but one: another hint",
    "a guard on a block of order 1, split off one of order 2 right behind the release of a larger one: lost",
    "three failed requests, then a custom frame that need not be zeroed: another hint",
    "a hint of 20 bits on a frame copied on write in each fourth generation: one bit wrong (one condition)",
)
MOST = 60_000
SEEDS = 5
ASLEEP = 0x100
"""Beside a fault's number: it is the only one in the module, and asleep."""

_RUNTIME = """
/// Faults of this copy of the module; the host wakes one, and reads which would have shown.
pub mod deep {
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

    #[used] // else the compiler knows that nobody here stores to it
    pub static AWAKE: AtomicU64 = AtomicU64::new(0);
    pub static MET: [AtomicU64; 11] = [const { AtomicU64::new(0) }; 11];
    pub static FREED: AtomicU32 = AtomicU32::new(0);
    pub static OUT: AtomicU32 = AtomicU32::new(0);
    pub static ERRORS: AtomicU32 = AtomicU32::new(0);
    pub static POISON: AtomicU32 = AtomicU32::new(0);
    pub static LAST: AtomicU32 = AtomicU32::new(0);
    pub static DOWN: AtomicU32 = AtomicU32::new(0);
    pub static SPLIT: AtomicU32 = AtomicU32::new(0);
    pub static LARGE: AtomicU32 = AtomicU32::new(0);

    /// Whether this copy has that fault, awake or asleep: 0 has all, asleep.
    pub fn has(fault: u64) -> bool {
        let word = AWAKE.load(Relaxed);
        word == 0 || word & 0xff == fault
    }

    pub fn met(fault: usize) -> bool {
        MET[fault].fetch_add(1, Relaxed);
        AWAKE.load(Relaxed) == fault as u64 // with 0x100 it is asleep
    }

    /// What the buddy stores into a slot when it splits and merges.
    pub fn saw_order(order: u32) {
        let last = LAST.swap(order, Relaxed);
        if last == order + 1 {
            DOWN.fetch_add(1, Relaxed);
        } else if last != order {
            DOWN.store(0, Relaxed);
        }
        if order == 0 && DOWN.load(Relaxed) >= 6 {
            SPLIT.store(1, Relaxed);
        }
        if order == 2 && LARGE.load(Relaxed) == 1 {
            LARGE.store(2, Relaxed);
        } else if order == 1 && LARGE.load(Relaxed) == 2 {
            LARGE.store(3, Relaxed);
        }
    }
}
"""

_AT_CLAIM = """        deep::LARGE.store(0, Relaxed);
        if deep::has(1) && deep::FREED.swap(0, Relaxed) >= 64 {
            if deep::met(1) {
                slot.meta_aux_store(0xdead);
            }
        }
        if deep::has(3) && deep::POISON.swap(0, Relaxed) >= 2 {
            if self.purpose.requires_zero() {
                if deep::met(3) {
                    slot.meta_aux_store(0xdead);
                }
            }
        }
        if deep::has(4) && deep::SPLIT.swap(0, Relaxed) == 1 {
            if slot.is_cow() {
                if slot.meta_aux_load() != 0 {
                    if deep::met(4) {
                        slot.meta_aux_store(0xdead);
                    }
                }
            }
        }
        if deep::has(9) && deep::ERRORS.swap(0, Relaxed) >= 3 {
            if !self.zeroed {
                if let FramePurpose::Custom(_) = self.purpose {
                    if deep::met(9) {
                        slot.meta_aux_store(0xdead);
                    }
                }
            }
        }
"""

EDITS: Sequence[Edit] = (
    ("// ---- The slot table ---", f"{_RUNTIME}\n// ---- The slot table ---"),
    (
        "        // The publication. Release: pairs",
        f"{_AT_CLAIM}        // The publication. Release: pairs",
    ),
    (
        "    pub fn reset_with_free_list_meta(&self) {\n",
        "    pub fn reset_with_free_list_meta(&self) {\n"
        "        if self.get_order() == 0 {\n            deep::FREED.fetch_add(1, Relaxed);\n        }\n"
        "        if self.get_order() >= 3 {\n            deep::LARGE.store(1, Relaxed);\n        }\n",
    ),
    (
        "        self.generation.fetch_add(1, Release);\n",
        "        if self.generation.fetch_add(1, Release) == u32::MAX {\n"
        "            if deep::has(2) && self.meta_aux_load() > 0xff {\n"
        "                if self.has_flag(frame_flags::USER) {\n"
        "                    if deep::met(2) {\n                        self.meta_aux_store(0);\n"
        "                    }\n                }\n            }\n        }\n",
    ),
    (
        "            let frame = buddy::alloc_migratetype(token, 0, self.migratetype())?;\n",
        "            let asked = buddy::alloc_migratetype(token, 0, self.migratetype());\n"
        "            if asked.is_err() {\n                deep::OUT.store(1, Relaxed);\n"
        "                deep::ERRORS.fetch_add(1, Relaxed);\n            }\n"
        "            let frame = asked?;\n",
    ),
    (
        "            buddy::free(token, frame, 0);\n        }\n",
        "            if deep::OUT.load(Relaxed) == 1 {\n                deep::POISON.fetch_add(1, Relaxed);\n"
        "            }\n            buddy::free(token, frame, 0);\n        }\n",
    ),
    (
        "        self.order.store(order, Release)\n",
        "        deep::saw_order(u32::from(order));\n        self.order.store(order, Release)\n",
    ),
    (
        "        if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {\n"
        '            refuse_reference("inc_ref", found)\n        }\n',
        "        match self.refcount.fetch_update(Relaxed, Relaxed, step) {\n"
        '            Err(found) => refuse_reference("inc_ref", found),\n'
        "            Ok(4) => {\n                if deep::has(5) && self.get_guard() != 0 {\n"
        "                    if self.is_cow() {\n                        if deep::met(5) {\n"
        "                            self.meta_aux_store(0xdead);\n                        }\n"
        "                    }\n                }\n            }\n            Ok(_) => {}\n        }\n",
    ),
    (
        "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n",
        "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n"
        "        let slot = get_meta(phys);\n"
        "        if slot.get_refcount() == 0 {\n            if deep::has(6) && slot.meta_aux_load() != 0 {\n"
        "                if slot.generation() > 2 {\n                    if deep::met(6) {\n"
        "                        return;\n                    }\n"
        "                }\n            }\n        }\n",
    ),
    (
        "        self.refcount.compare_exchange(expect, new, AcqRel, Acquire)\n",
        "        let done = self.refcount.compare_exchange(expect, new, AcqRel, Acquire);\n"
        "        if done.is_ok() {\n            if expect == 3 {\n"
        "                if deep::has(7) && self.generation() >= u32::MAX - 1 {\n"
        "                    if deep::met(7) {\n"
        "                        self.meta_aux_store(0xdead);\n                    }\n                }\n"
        "            }\n        }\n        done\n",
    ),
    (
        "        self.guard.store(bits, Release)\n",
        "        if deep::LARGE.load(Relaxed) == 3 {\n"
        "            if deep::has(8) && self.get_order() == 1 {\n"
        "                if bits & meta_guard::KERNEL_ONLY != 0 {\n                    if deep::met(8) {\n"
        "                        return;\n                    }\n                }\n"
        "            }\n        }\n"
        "        self.guard.store(bits, Release)\n",
    ),
    (
        "        self.meta_aux.store(v, Relaxed)\n",
        "        let all = (v.count_ones() == 20)\n            & (self.generation() & 3 == 3)\n"
        "            & (self.get_flags() & frame_flags::COW != 0);\n"
        "        if deep::has(10) && all {\n            if deep::met(10) {\n"
        "                return self.meta_aux.store(v ^ 1, Relaxed);\n            }\n        }\n"
        "        self.meta_aux.store(v, Relaxed)\n",
    ),
)


@dataclass(frozen=True)
class WithFault(OwnHost):
    """Boots guests in which one fault is awake; none for 0."""

    fault: int = 0

    def boot(self, options: BootOptions = AS_USUAL) -> Kernel:
        kernel = super().boot(options)
        _words(kernel, "AWAKE", 1)[0] = self.fault
        return kernel


def _words(kernel: Kernel, name: str, count: int) -> Any:
    vaddr = kernel.image.subject_static(f"deep::{name}")
    if vaddr is None:
        raise AssertionError(f"no static {name}")
    return kernel.bytes_at(vaddr, 8 * count).view("<u8")


@contextmanager
def player(fault: int = 0) -> Iterator[Player]:
    """Both images of the module with the faults in it."""
    path = kept(apply(frame_module().path.read_text(encoding="utf-8"), EDITS))
    subject, machine = frame_module(path), load_machine("q35")
    hosts = [WithFault(build(subject, profile), machine, fault) for profile in ("dev", STEERING)]
    with Player(*(OwnHost(each.image, machine) if not fault else each for each in hosts)) as found:
        yield found


def first_met(campaign: Campaign, most: int, only: int = 0) -> dict[int, int]:
    """By fault the commands until its code would have run; those that were not met are left out."""
    found: dict[int, int] = {}
    while campaign.commands < most and len(found) < len(FAULTS) and only not in found:
        if (failed := campaign.one()) is not None:
            raise AssertionError(failed.failure.difference.line)
        for guest in campaign.player.guests:
            for fault, times in enumerate(_words(guest.kernel, "MET", len(FAULTS) + 1).tolist()):
                if times:
                    found.setdefault(fault, campaign.commands)
    return found


class Task(NamedTuple):
    """One campaign; `fault` is the only one that it looks for, 0 for all.

    A blind campaign does the same whatever the module is: one comes to all. A steered one sees branches,
    so it is done for each fault alone.
    """

    seed: int
    steered: bool
    fault: int


def tasks(seeds: int, ways: Sequence[bool]) -> list[Task]:
    """Every campaign of a measurement."""
    of_way = {False: (0,), True: range(1, len(FAULTS) + 1)}
    return [Task(seed, way, fault) for seed in range(1, seeds + 1) for way in ways for fault in of_way[way]]


def measured(task: Task, most: int) -> dict[int, int]:
    """By fault the commands until a campaign comes to it, on guests of its own."""
    with player(ASLEEP | task.fault if task.fault else 0) as guests:
        met = first_met(Campaign(guests, task.seed, steered=task.steered), most, only=task.fault)
    return {fault: commands for fault, commands in met.items() if task.fault in (0, fault)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, default=MOST, help="commands of a campaign")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--way", choices=["blind", "steered", "both"], default="both")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="campaigns at a time")
    given = parser.parse_args()
    ways = {"blind": (False,), "steered": (True,), "both": (False, True)}[given.way]
    by_way: dict[bool, dict[int, dict[int, int]]] = {way: defaultdict(dict) for way in ways}
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as workers:
        begun = {workers.submit(measured, task, given.most): task for task in tasks(given.seeds, ways)}
        for done in as_completed(begun):
            task = begun[done]
            by_way[task.steered][task.seed] |= done.result()
            print(f"{task}: {dict(sorted(done.result().items()))}", flush=True)
    for fault, words in enumerate(FAULTS, 1):
        medians = [
            _median([by_way[way][seed].get(fault) for seed in range(1, given.seeds + 1)], given.most)
            for way in ways
        ]
        shown = ", ".join(
            f"{'steered' if way else 'blind'} {_shown(each, given.most)}"
            for way, each in zip(ways, medians, strict=True)
        )
        ratio = f", {medians[1] / medians[0]:.2f}" if len(medians) > 1 else ""
        print(f"{fault:2} {shown}{ratio}: {words}")


def _median(commands: Sequence[int | None], most: int) -> float:
    return statistics.median(most if each is None else each for each in commands)


def _shown(commands: float, most: int) -> str:
    return f">= {most}" if commands >= most else f"{commands:.0f}"


if __name__ == "__main__":
    main()
