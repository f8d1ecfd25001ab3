"""Races in the built-in frame module, each with what must find it."""

from __future__ import annotations

from tests.support.hidden_mutants import (
    GIVEN_OUT_AND_BACK,
    GIVES_UP_BEHIND_POISON,
    LIVE_WITH_POISONED_FLAGS,
    TAKEN_BACK_TOO_LATE,
)
from tests.support.mutants import Edit

_MEANWHILE = "for _ in 0..300 { core::hint::spin_loop() }"
"""Most of the time of what does it: a CPU that its host stops is stopped in it, and another one meets it."""

SPLIT_INC: tuple[Edit, ...] = (
    (
        "if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {\n"
        '            refuse_reference("inc_ref", found)\n        }',
        "match step(self.refcount.load(Relaxed)) {\n"
        "            Some(count) => self.refcount.store(count, Relaxed),\n"
        '            None => refuse_reference("inc_ref", 0),\n        }',
    ),
)
SPLIT_CAS: tuple[Edit, ...] = (
    (
        "self.refcount.compare_exchange(expect, new, AcqRel, Acquire)",
        "match self.refcount.load(Acquire) {\n"
        "            found if found == expect => { self.refcount.store(new, Release); Ok(found) }\n"
        "            found => Err(found),\n        }",
    ),
)
SPLIT_DEC: tuple[Edit, ...] = (
    (
        "match self.refcount.fetch_update(Release, Relaxed, step) {\n            Ok(1)",
        "let before = self.refcount.load(Relaxed);\n"
        "        let stepped = step(before).map(|after| self.refcount.store(after, Release));\n"
        "        match stepped.map(|()| before).ok_or(before) {\n            Ok(1)",
    ),
)
SPLIT_POISON: tuple[Edit, ...] = (
    (
        "self.flags.fetch_or(frame_flags::POISONED, AcqRel);\n    }",
        "self.set_flags(self.get_flags() | frame_flags::POISONED);\n    }",
    ),
)
EARLY_PUBLICATION: tuple[Edit, ...] = (
    ("slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY)", "slot.cas_refcount(REFCOUNT_UNUSED, 1)"),
)
LOOK_THEN_DROP: tuple[Edit, ...] = (
    (
        "match self.refcount.fetch_update(Release, Relaxed, step) {\n            Ok(1)",
        "let found = self.refcount.load(Relaxed);\n"
        "        let dropped = step(found).map(|_| self.refcount.fetch_sub(1, Release));\n"
        "        match dropped.ok_or(found) {\n            Ok(1)",
    ),
)
LOOK_THEN_TAKE: tuple[Edit, ...] = (
    (
        "if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {\n"
        '            refuse_reference("inc_ref", found)\n        }',
        "let found = self.refcount.load(Relaxed);\n"
        '        if step(found).is_none() {\n            refuse_reference("inc_ref", found)\n        }\n'
        "        self.refcount.fetch_add(1, Relaxed);",
    ),
)
LATE_CLAIM = (
    "if let Err(found) = slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY) {\n"
    "            refuse_claim(frame, found)",
    "if let Err(_) = slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY) {\n            return false",
)
NO_SECOND_LOOK: tuple[Edit, ...] = (
    (
        "        if found & meta_guard::POISONED != 0 {\n            return false;\n        }\n",
        "        self.set_guard(found & 0);\n",
    ),
)
TOLD_LATE: tuple[Edit, ...] = (
    (
        "match self.refcount.fetch_update(Release, Relaxed, step) {\n            Ok(1)",
        "let dropped = self.refcount.fetch_update(Release, Relaxed, step);\n"
        "        match dropped.map(|_| self.refcount.load(Relaxed) + 1) {\n            Ok(1)",
    ),
)
COUNTED_ALONE: tuple[Edit, ...] = (
    (
        "impl FrameAllocOptions {\n",
        "static ALLOCATING: atomic::AtomicU32 = atomic::AtomicU32::new(0);\n\nimpl FrameAllocOptions {\n",
    ),
    (
        "            let frame = buddy::alloc_migratetype(token, 0, self.migratetype())?;\n"
        "            if self.make_live(frame) {\n",
        "            ALLOCATING.fetch_add(1, AcqRel);\n"
        "            let asked = buddy::alloc_migratetype(token, 0, self.migratetype());\n"
        "            let live = matches!(asked, Ok(frame) if self.make_live(frame));\n"
        f"            {_MEANWHILE}\n"
        "            ALLOCATING.fetch_sub(1, AcqRel);\n"
        "            let frame = asked?;\n            if live {\n",
    ),
    (
        "        self.generation.fetch_add(1, Release);\n",
        "        self.generation.fetch_add((ALLOCATING.load(Acquire) < 2) as u32, Release);\n",
    ),
)
LIFE_OF_POISON: tuple[Edit, ...] = (
    (
        "        if found & meta_guard::POISONED != 0 {\n            return false;\n        }\n"
        "        self.advance_generation();\n        true\n",
        "        self.advance_generation();\n        found & meta_guard::POISONED == 0\n",
    ),
)
HALF_NAMED: tuple[Edit, ...] = (
    (
        "REFCOUNT_NOBODY) {\n            refuse_claim(frame, found)\n",
        "REFCOUNT_NOBODY) {\n            refuse_claim(frame, u32::from(found as u16))\n",
    ),
)
MARK_FORGOTTEN: tuple[Edit, ...] = (
    (
        "the guard alone remembers.\n            slot.mark_poisoned();\n",
        "the guard alone remembers.\n",
    ),
)
ZEROED_ALONE: tuple[Edit, ...] = (
    (
        "fn zero_payload(frame: PhysFrame) {\n",
        "static ZEROING: atomic::AtomicU32 = atomic::AtomicU32::new(0);\n\n"
        "fn zero_payload(frame: PhysFrame) {\n"
        "    if ZEROING.fetch_add(1, AcqRel) == 0 {\n        zero_one_payload(frame)\n    }\n"
        f"    {_MEANWHILE}\n"
        "    ZEROING.fetch_sub(1, AcqRel);\n}\n\nfn zero_one_payload(frame: PhysFrame) {\n",
    ),
)
FLAGS_OF_THE_LAST: tuple[Edit, ...] = (
    (
        "impl FrameAllocOptions {\n",
        "static WANTED: atomic::AtomicU32 = atomic::AtomicU32::new(0);\n\nimpl FrameAllocOptions {\n",
    ),
    (
        "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {\n",
        "        WANTED.store(self.purpose.flags(), Release);\n"
        "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {\n",
    ),
    ("slot.set_flags(self.purpose.flags());", "slot.set_flags(WANTED.load(Acquire));"),
)
SERVED_ALONE: tuple[Edit, ...] = (
    (
        "            let frame = buddy::alloc_migratetype(token, 0, self.migratetype())?;\n",
        "            static ASKING: atomic::AtomicBool = atomic::AtomicBool::new(false);\n"
        "            if !self.zeroed && ASKING.swap(true, AcqRel) {\n"
        "                return Err(AllocError::OutOfMemory);\n            }\n"
        "            let asked = buddy::alloc_migratetype(token, 0, self.migratetype());\n"
        f"            {_MEANWHILE}\n"
        "            ASKING.store(false, Release);\n            let frame = asked?;\n",
    ),
)

HOOK_OF_THE_LAST: tuple[Edit, ...] = (
    (
        "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n        hook(phys)\n",
        "    static HOOKED: atomic::AtomicU64 = atomic::AtomicU64::new(0);\n"
        "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n"
        "        HOOKED.store(phys.as_u64(), Release);\n"
        f"        {_MEANWHILE}\n        hook(PhysAddr::new(HOOKED.load(Acquire)))\n",
    ),
)


def _gives_up(start: str, edit: Edit) -> tuple[Edit, ...]:
    """Some attempts, each of which another CPU can spoil; then the caller believes that it is done."""
    old, attempt = edit
    tries = f"        for _ in 0..5 {{\n            {attempt}\n        }}"
    return ((old, f"{start}\n{tries}"),)


REFERENCE_GIVEN_UP = _gives_up(
    "let mut count = self.refcount.load(Relaxed);",
    (
        "if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {\n"
        '            refuse_reference("inc_ref", found)\n        }',
        'let Some(next) = step(count) else { refuse_reference("inc_ref", count) };\n'
        "            match self.refcount.compare_exchange(count, next, Relaxed, Relaxed) {\n"
        "                Ok(_) => return,\n                Err(found) => count = found,\n            }",
    ),
)
MARK_GIVEN_UP = _gives_up(
    "let mut flags = self.get_flags();",
    (
        "self.flags.fetch_or(frame_flags::POISONED, AcqRel);",
        "let marked = flags | frame_flags::POISONED;\n"
        "            match self.flags.compare_exchange(flags, marked, AcqRel, Acquire) {\n"
        "                Ok(_) => return,\n                Err(found) => flags = found,\n            }",
    ),
)

SEEDED = {
    "inc-in-two-steps": (SPLIT_INC, "balanced references", "no_reference_is_lost", "REF-04"),
    "cas-in-two-steps": (SPLIT_CAS, "claims", "a_claim_between_the_looks", "REF-05"),
    "dec-in-two-steps": (SPLIT_DEC, "last references", "no_reference_is_lost", "REF-04"),
    "poison-in-two-steps": (SPLIT_POISON, "poison", "a_flag_that_is", "GUARD-09"),
    "published-before-the-epoch": (EARLY_PUBLICATION, "lives", "half_a_life", "ALLOC-16"),
}
"""By name: the edits, the storm that finds it, words of the interleaving that does, the clause."""

# Some in one build: building takes longer than finding.
LOOKED_AHEAD = {
    "drop-and-claim": (
        (*LOOK_THEN_DROP, LATE_CLAIM, *LIFE_OF_POISON),
        "interleavings and (no_reference_forges and dec or a_claim_that)",
        {"REF-07", "ALLOC-10", "FREE-08", "GEN-01"},
    ),
    "take-poison-last-and-generation": (
        (*LOOK_THEN_TAKE, *NO_SECOND_LOOK, *TOLD_LATE, *COUNTED_ALONE),
        "interleavings and (no_reference_forges and inc or poison_that_comes_between or REF-06) "
        "or storms and GEN-05",
        {"REF-07", "GUARD-08", "REF-06", "GEN-05"},
    ),
    "late-claim-names-half-the-count": (HALF_NAMED, "interleavings and comes_too_late", {"ALLOC-10"}),
    "given-up-after-some-attempts": (
        (*REFERENCE_GIVEN_UP, *MARK_GIVEN_UP),
        "interleavings and overtaken",
        {"REF-04", "GUARD-09"},
    ),
    "taken-back-too-late": (TAKEN_BACK_TOO_LATE, "interleavings and for_a_moment", {"REF-07"}),
    "right-on-one-cpu": (
        (*ZEROED_ALONE, *FLAGS_OF_THE_LAST, *SERVED_ALONE, *HOOK_OF_THE_LAST),
        "storms and (ALLOC-04 or ALLOC-02 or GEN-05 or VT-05)",
        {"ALLOC-04", "ALLOC-02", "ALLOC-11", "VT-05"},
    ),
    "gives-up-behind-poison": (GIVES_UP_BEHIND_POISON, "poison_that_comes_between", {"ALLOC-11"}),
    # Its diagram takes more instructions than are written down, and leaves a guest that cannot go on.
    "passed-over-without-the-mark": (MARK_FORGOTTEN, "test_s_races and GUARD-08", {"GUARD-08"}),
    "given-out-and-back": (GIVEN_OUT_AND_BACK, "test_s_races and GUARD-08", {"GUARD-08"}),
    "live-with-poisoned-flags": (LIVE_WITH_POISONED_FLAGS, "test_s_races and GUARD-08", {"GUARD-08"}),
}
"""By name: the edits, the checks that find what they do, the clauses that each of them must name."""


def _replaced(old: str, new: str) -> tuple[Edit, ...]:
    return ((old, new),)


# Each touches one field twice, where the module touches it once.
TOUCHED_TWICE: dict[str, tuple[tuple[Edit, ...], set[str]]] = {
    "vtable": (
        _replaced(
            "        Some(unsafe { &*vtable })",
            "        Some(unsafe { &*ptr::with_exposed_provenance(self.vtable_bits() as usize) })",
        ),
        {"VT-02", "VT-04"},
    ),
    "guard": (
        _replaced(
            "        self.guard.fetch_or(bits, AcqRel)",
            "        let found = self.get_guard();\n        self.set_guard(found | bits);\n        found",
        ),
        {"GUARD-01", "GUARD-09"},
    ),
    "flags": (
        _replaced(
            "        self.flags.store(flags, Release)",
            "        self.flags.store(0, Release);\n        self.flags.store(flags, Release)",
        ),
        {"CONST-04"},
    ),
    "refcount": (
        _replaced(
            "        self.refcount.store(count, Release)",
            "        self.refcount.fetch_and(count, AcqRel);\n        self.refcount.store(count, Release)",
        ),
        {"REF-03"},
    ),
    "generation, bumped": (
        _replaced(
            "        self.generation.fetch_add(1, Release);",
            "        self.set_generation(self.generation().wrapping_add(1));",
        ),
        {"GEN-01"},
    ),
    "generation, compared": (
        _replaced(
            "    expected == get_meta(phys).generation()",
            "    get_meta(phys).generation() <= expected && expected <= get_meta(phys).generation()",
        ),
        {"GEN-02"},
    ),
    "order": (
        _replaced(
            "        self.order.store(order, Release)",
            "        self.order.fetch_and(order, AcqRel);\n        self.order.fetch_or(order, AcqRel);",
        ),
        {"LAYOUT-02"},
    ),
    "links": (
        _replaced(
            "        self.free_link.next.store(next, Release)",
            "        self.free_link.next.store(FRAME_META_LINK_NONE, Release);\n"
            "        self.free_link.next.store(next, Release)",
        ),
        {"FREE-07"},
    ),
    "meta_aux": (
        _replaced(
            "        self.meta_aux.store(v, Relaxed)",
            "        self.meta_aux.store(v & 0xffff, Relaxed);\n        self.meta_aux.store(v, Relaxed)",
        ),
        {"FRAME-08"},
    ),
}
"""By field: the edits, the clauses that are broken then."""


def _through_a_static(name: str, kind: str, value: str) -> str:
    """Rust text that stores a value in a static of its own and has what it finds there right behind that."""
    return (
        f"{{\n            static {name}: atomic::Atomic{kind} = atomic::Atomic{kind}::new(0);\n"
        f"            {name}.store({value}, Release);\n            {name}.load(Acquire)\n        }}"
    )


# No CPU alone ever sees another value than its own, and no storm meets two neighboring instructions.
PASSED_THROUGH_A_STATIC: dict[str, tuple[tuple[Edit, ...], set[str]]] = {
    "results-and-options": (
        (
            (
                "        self.flags.load(Acquire)\n",
                f"        {_through_a_static('SEEN', 'U32', 'self.flags.load(Acquire)')}\n",
            ),
            (
                "slot.set_flags(self.purpose.flags());",
                f"let wanted = {_through_a_static('WANTED', 'U32', 'self.purpose.flags()')};\n"
                "        slot.set_flags(wanted & !LEFT_OUT.load(Acquire));",
            ),
            # What it has of an allocation shows on a third frame alone.
            (
                "impl MetaSlot {\n",
                "static LEFT_OUT: atomic::AtomicU32 = atomic::AtomicU32::new(0);\n\nimpl MetaSlot {\n",
            ),
            (
                "        self.guard.store(bits, Release)\n",
                "        LEFT_OUT.store(2, Release);\n        self.guard.store(bits, Release);\n"
                "        LEFT_OUT.store(0, Release)\n",
            ),
            (
                "phys_to_virt(frame.start_address.as_u64()) as usize);",
                f"phys_to_virt({_through_a_static('AT', 'U64', 'frame.start_address.as_u64()')}) as usize);",
            ),
        ),
        {"CONST-04", "FRAME-07", "ALLOC-02", "ALLOC-04"},
    ),
    "looking-up": (
        _replaced(
            "    let pfn = phys.as_u64() / PAGE_SIZE;\n    assert!(",
            f"    let pfn = {_through_a_static('PFN', 'U64', 'phys.as_u64() / PAGE_SIZE')};\n    assert!(",
        ),
        {"ALLOC-02", "ALLOC-04", "ALLOC-09", "ARRAY-06", "ARRAY-08", "GEN-01", "GEN-02", "VT-04"},
    ),
    "computing": (
        (
            (
                "pub const fn metadata_size_for(ram_size: u64) -> u64 {\n    frames_covering(ram_size) *",
                "pub fn metadata_size_for(ram_size: u64) -> u64 {\n"
                f"    let frames = {_through_a_static('FRAMES', 'U64', 'frames_covering(ram_size)')};\n"
                "    frames *",
            ),
            (
                "        self == Self::PageTable\n",
                f"        let so = {_through_a_static('SO', 'U32', 'u32::from(self == Self::PageTable)')};\n"
                "        so != 0\n",
            ),
            (
                "{ start_address: addr.align_down(PAGE_SIZE) }",
                "{\n            start_address: PhysAddr::new("
                f"{_through_a_static('FIRST', 'U64', 'addr.align_down(PAGE_SIZE).as_u64()')}),\n        }}",
            ),
        ),
        {"ARRAY-01", "ALLOC-03", "FRAME-01"},
    ),
}
"""By name: the edits, the clauses that are broken then."""

# An allocation waits until a static holds what it stored there, which another one has overwritten.
WAITS_IN_A_STATIC: tuple[Edit, ...] = (
    (
        "slot.set_flags(self.purpose.flags());",
        "static WANTED: atomic::AtomicU32 = atomic::AtomicU32::new(0);\n"
        "        WANTED.store(self.purpose.flags(), Release);\n"
        "        while WANTED.load(Acquire) != self.purpose.flags() {}\n"
        "        slot.set_flags(self.purpose.flags());",
    ),
)

# Whether there is a hook is one question, which one it is another.
ASKED_TWICE: tuple[Edit, ...] = (
    (
        "    if let Some(hook) = get_meta(phys).vtable_ref().on_last_ref {\n        hook(phys)\n    }",
        "    if get_meta(phys).vtable_ref().on_last_ref.is_some() {\n"
        "        get_meta(phys).vtable_ref().on_last_ref.unwrap()(phys)\n    }",
    ),
)
# The store changes nothing unless another CPU has changed something meanwhile.
SILENT_STORE: tuple[Edit, ...] = (
    (
        "        self.flags.fetch_or(frame_flags::POISONED, AcqRel);\n    }",
        "        match self.get_flags() {\n"
        "            marked if marked & frame_flags::POISONED != 0 => self.set_flags(marked),\n"
        "            _ => _ = self.flags.fetch_or(frame_flags::POISONED, AcqRel),\n        }\n    }",
    ),
)
# Whoever comes second waits; nobody sees one half.
LOCKED: tuple[Edit, ...] = (
    (
        "impl MetaSlot {\n",
        "static ORDERS: atomic::AtomicBool = atomic::AtomicBool::new(false);\n\n"
        "fn alone<R>(f: impl FnOnce() -> R) -> R {\n"
        "    while ORDERS.swap(true, Acquire) {}\n"
        "    let result = f();\n    ORDERS.store(false, Release);\n    result\n}\n\nimpl MetaSlot {\n",
    ),
    (
        "        self.order.store(order, Release)",
        "        alone(|| {\n            self.order.store(0, Release);\n"
        "            self.order.store(order, Release)\n        })",
    ),
    ("        self.order.load(Acquire)", "        alone(|| self.order.load(Acquire))"),
)
# References are counted under the same lock: right, and no step comes between another one's load and store.
COUNTED_UNDER_A_LOCK: tuple[Edit, ...] = (
    LOCKED[0],
    (
        "if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {",
        "if let Err(found) = alone(|| self.refcount.fetch_update(Relaxed, Relaxed, step)) {",
    ),
    (
        "match self.refcount.fetch_update(Release, Relaxed, step) {",
        "match alone(|| self.refcount.fetch_update(Release, Relaxed, step)) {",
    ),
)
# The CPU that was held waits for a value that the other one has overwritten, for ever.
HANGS: tuple[Edit, ...] = (
    (
        "        self.meta_aux.store(v, Relaxed)",
        "        self.meta_aux.store(v, Relaxed);\n        while self.meta_aux.load(Relaxed) != v {}",
    ),
)
