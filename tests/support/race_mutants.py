"""Races in the built-in frame module, each with what must find it."""

from __future__ import annotations

from tests.support.mutants import Edit

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
# So long a time that two CPUs meet in it, whatever else the host does.
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
        "            ALLOCATING.fetch_sub(1, AcqRel);\n"
        "            let frame = asked?;\n            if live {\n",
    ),
    (
        "        self.generation.fetch_add(1, Release);\n",
        "        self.generation.fetch_add((ALLOCATING.load(Acquire) < 2) as u32, Release);\n",
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
        (*LOOK_THEN_DROP, LATE_CLAIM),
        "interleavings and (no_reference_forges and dec or a_claim_that_comes_too_late)",
        {"REF-07", "ALLOC-10", "FREE-08"},
    ),
    "take-poison-last-and-generation": (
        (*LOOK_THEN_TAKE, *NO_SECOND_LOOK, *TOLD_LATE, *COUNTED_ALONE),
        "interleavings and (no_reference_forges and inc or poison_that_comes_between or REF-06) "
        "or storms and GEN-05",
        {"REF-07", "GUARD-08", "REF-06", "GEN-05"},
    ),
}
"""By name: the edits, the checks that find what they do, the clauses that each of them must name."""
