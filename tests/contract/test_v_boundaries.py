"""The contract at the boundaries of every operand, every stored value: slot methods."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from frame_harness.base.units import Paddr, paddr_to_pfn
from frame_harness.concurrency.elsewhere import OTHERS, WITH_OTHERS, programs_on
from frame_harness.contract.methods import Case, SlotMethod, SlotValues
from frame_harness.frame_guest.hooks import expect_hooks
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.functions import FUNCTIONS
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.guest.boundaries import outcomes, play, tell, write_slots
from frame_harness.guest.checks import OtherClauseViolated, expect

pytestmark = pytest.mark.one_machine

SLOTS = 96
FRAMES = 1 << 12
"""As many as the record of hooks has room for (kernel_shim/src/memory/hooks.rs): each number of 12 bits."""
ROOM_ORDER = 7
PAYLOAD = 0xA5
HOOKS = {"array.lastref": ("on_last_ref",), "array.unmap": ("on_unmap",)}
Asked = tuple[str, dict[str, int]]
"""A command with room for the address, and what it must reply."""
FLAGS = (C.flag_cow | C.flag_dll | C.flag_anonymous | C.flag_allocated | C.flag_free | C.flag_kernel) | (
    C.flag_user | C.flag_poisoned | C.flag_movable
)
GUARDS = C.guard_kernel_only | C.guard_poisoned


def declared(method: SlotMethod) -> object:
    mark = pytest.mark.clause(*method.clauses, at=FRAME_METADATA.path_of(method))
    return pytest.param(method, id=method.id, marks=mark)


METHODS = pytest.mark.parametrize("method", [declared(method) for method in FRAME_METADATA.methods])


@METHODS
def test_slot_method_at_the_boundaries(bare_kernel: Kernel, method: SlotMethod) -> None:
    play(bare_kernel, method)


def used_slot(rng: random.Random) -> SlotValues:
    """A slot as a kernel may have left it: what one field holds says nothing about the others."""
    # A check draws some 40,000 slots: `getrandbits` takes a fifth of the time of `randrange`.
    bits = rng.getrandbits
    link = (C.link_none, 0, bits(20) * C.page_size)
    counts = (0, 1, 2, bits(16), C.refcount_unused - 1, C.refcount_unused)
    return {
        "next": link[bits(16) % 3],
        "prev": link[bits(16) % 3],
        "vtable": bits(32) * 8 * bits(1),
        "flags": bits(32) & FLAGS,
        "order": bits(16) % (C.max_order + 2),
        "refcount": counts[bits(16) % 6],
        "generation": (0, 1, bits(16), (1 << 32) - 1)[bits(2)],
        "guard": bits(32) & GUARDS,
        "meta_aux": (0, 1, bits(16), bits(32))[bits(2)],
    }


def used_slots(method: SlotMethod) -> list[Case]:
    """Calls on such slots with what another one of them holds, or with what is there already."""
    rng, cases = random.Random(method.id), list[Case]()
    while len(cases) < SLOTS:
        before, other = used_slot(rng), used_slot(rng)
        stored = method.stored[0] if method.stored else "refcount"
        values = [
            rng.choice((before[stored], other[stored], rng.choice(one.values))) for one in method.operands
        ]
        if method.where(before, values):
            cases.append(Case(before, tuple(values), method.effect(before, values)))
    return cases


@METHODS
def test_slot_method_on_slots_in_use(bare_kernel: Kernel, method: SlotMethod) -> None:
    """All fields change at once: none may decide what a method does to another one."""
    play(bare_kernel, method, cases=used_slots(method))


@METHODS
def test_slot_method_on_another_cpu(other_cpus: Kernel, method: SlotMethod) -> None:
    with block_of_frames(other_cpus, FRAME_METADATA.path_of(method)) as block:
        play(other_cpus, method, first_pfn=paddr_to_pfn(block), cases=used_slots(method))


@pytest.fixture
def other_cpus(shared_boot: Boot) -> Iterator[Kernel]:
    """A guest whose programs run on its other CPUs, which have no part in anything else."""
    with programs_on(shared_boot(cpus=WITH_OTHERS), *OTHERS) as kernel:
        yield kernel


@contextmanager
def block_of_frames(kernel: Kernel, function: str) -> Iterator[Paddr]:
    """Frames that nobody else has: what is written into them is the fault of who is given their slots."""
    block = kernel.buddy_alloc(ROOM_ORDER, "unmovable")
    payload = kernel.payload(block, frames=1 << ROOM_ORDER)
    payload[:] = PAYLOAD
    yield block
    spoilt = np.flatnonzero(payload != PAYLOAD)
    if spoilt.size:
        raise OtherClauseViolated(
            "LAYOUT-07", f"bytes of the frame after {function}, which is about its slot",
            expected=f"{PAYLOAD:#x}", got=f"{int(payload[spoilt[0]]):#x}", field="payload", function=function,
            frame=Paddr(block + int(spoilt[0]) // C.page_size * C.page_size),
        )  # fmt: skip
    kernel.buddy_free(block, ROOM_ORDER)


def used_frames(kernel: Kernel, first_pfn: int, n_frames: int) -> list[tuple[Paddr, SlotValues]]:
    """Frames whose slots are written, as if a kernel used them; hooks may be called.

    Half of them have a vtable, each the number of another CPU.
    """
    rng, vtable = random.Random(SLOTS), kernel.vtable("both")
    slots = [used_slot(rng) | {"vtable": vtable if rng.randrange(8) else 0} for _ in range(n_frames)]
    for cpu, slot in enumerate(slots[: n_frames // 2]):
        slot |= {"vtable": vtable, "meta_aux": slot["meta_aux"] & 0xFFFF_0000 | cpu}
    table = kernel.slots()[first_pfn : first_pfn + n_frames]
    write_slots(table, [Case(slot, (), ()) for slot in slots], META_SLOT)
    return [(Paddr((first_pfn + index) * C.page_size), slot) for index, slot in enumerate(slots)]


def snapshots(slot: SlotValues) -> Iterator[Asked]:
    yield "array.snapshot {}", {name: slot[name] for name in ("generation", "guard", "vtable")}


def generations(slot: SlotValues) -> Iterator[Asked]:
    yield f"array.matches {{}} {slot['generation']}", {"v": 1}
    yield f"array.matches {{}} {slot['generation'] ^ 1}", {"v": 0}


def poison(slot: SlotValues) -> Iterator[Asked]:
    yield "array.poisoned {} 0", {"v": int(slot["guard"] & C.guard_poisoned != 0)}


def last_references(_: SlotValues) -> Iterator[Asked]:
    yield "array.lastref {}", {}


def unmapped(_: SlotValues) -> Iterator[Asked]:
    yield "array.unmap {}", {}


def changed_slot(
    before: np.ndarray, after: np.ndarray, asked: Sequence[tuple[str, Paddr]], first_pfn: int
) -> OtherClauseViolated:
    """The first field that changed, where nothing may; of several functions none can be named."""
    index = int(np.flatnonzero(before != after)[0])
    frame = Paddr((first_pfn + index) * C.page_size)
    commands = {line.split()[0] for line, paddr in asked if paddr == frame}
    names = [name for name in META_SLOT.widths if before[name][index] != after[name][index]]
    field = names[0] if names else ""
    expected, got = ((f"{int(table[field][index]):#x}" if field else "others") for table in (before, after))
    what = f"{field or 'reserved bytes'} of a slot after {' and '.join(sorted(commands))}, which only ask"
    function = FUNCTIONS.named_by(*commands) if len(commands) == 1 else ""
    return OtherClauseViolated(
        "LAYOUT-07", what, expected=expected, got=got, frame=frame, field=field,
        function=function,
    )  # fmt: skip


QUESTIONS = pytest.mark.parametrize(
    "questions",
    [
        pytest.param(questions, id=questions.__name__, marks=pytest.mark.clause(clause, at=at))
        for questions, clause, at in (
            (snapshots, "ARRAY-08", "frame_meta_debug_snapshot"),
            (generations, "GEN-02", "meta_generation_matches"),
            (poison, "GUARD-06", "block_phys_has_poison_guard"),
            (last_references, "VT-04", "invoke_vtable_on_last_ref"),
            (unmapped, "VT-04", "invoke_vtable_on_unmap"),
        )
    ],
)
Questions = Callable[[SlotValues], Iterator[Asked]]


@QUESTIONS
def test_functions_of_an_address_on_slots_in_use(bare_kernel: Kernel, questions: Questions) -> None:
    """Each looks at its own field alone, and leaves the slot as it is."""
    expect_answers(bare_kernel, questions, 0, FRAMES)


@QUESTIONS
def test_functions_of_an_address_on_another_cpu(other_cpus: Kernel, questions: Questions) -> None:
    line, _ = next(questions(used_slot(random.Random(0))))
    with block_of_frames(other_cpus, FUNCTIONS.named_by(line.split()[0])) as block:
        expect_answers(other_cpus, questions, paddr_to_pfn(block), 1 << ROOM_ORDER)


def expect_answers(kernel: Kernel, questions: Questions, first_pfn: int, n_frames: int) -> None:
    table = kernel.slots()[first_pfn : first_pfn + n_frames]
    kept = table.copy()
    kernel.call("vt.clear")
    try:
        asked = [
            (line.format(f"{paddr:#x}"), paddr, slot, wanted)
            for paddr, slot in used_frames(kernel, first_pfn, n_frames)
            for line, wanted in questions(slot)
        ]
        before = table.copy()
        replies = outcomes(kernel, [line for line, *_ in asked])
        after = table.copy()
    finally:
        table[:] = kept
    for index, ((line, paddr, slot, wanted), reply) in enumerate(zip(asked, replies, strict=True)):
        got = {key: reply[key] for key in wanted} if reply.status == "ok" else reply.shown
        if got != wanted:
            tell(kernel, replies, index)
            expect(f"`{line}` on a slot with {slot}", got, wanted, frame=paddr)
    if (before != after).any():
        raise changed_slot(before, after, [(line, paddr) for line, paddr, *_ in asked], first_pfn)
    due = [
        (hook, at) for line, at, slot, _ in asked if slot["vtable"] for hook in HOOKS.get(line.split()[0], ())
    ]
    expect_hooks(kernel, "hooks that were called", due)
