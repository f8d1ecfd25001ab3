"""Lists rewrites that name what one frame module alone has."""

from __future__ import annotations

from tests.support.ordering_mutants import HOW, RELAXED
from tests.support.ordering_variants import body, harmless, insert, move, swap, weak

STORE_CLAIM = "{ slot.set_refcount(REFCOUNT_NOBODY); Ok::<u32, u32>(0) }"
STRINGS = (
    'core::arch::asm!("rep stosq", inout("rcx") PAGE_SIZE / 8 => _, inout("rdi") payload => _, '
    'in("rax") 0_u64, options(nostack, preserves_flags))'
)
MARKED = "if self.is_guard_poisoned() && self.get_flags() & frame_flags::POISONED != 0 { return }\n"
WORDS = "for at in 0..512 { payload.cast::<u64>().add(at).write_volatile(0) }"
BY_A_LOOK = "self.refcount.fetch_update(if self.refcount.load(Relaxed) == 1 { AcqRel } else { Release },"
LOOK_FIRST = "let found = self.refcount.load({}); if found != expect {{ return Err(found) }} self."
FENCED = "if before == 1 { fence(Acquire) } before"
TRIED_FIRST = (
    "match self.refcount.compare_exchange(1, 0, AcqRel, Relaxed) {{\n"
    "    Ok(_) => 1,\n    Err(_) => {{ let before = self.refcount.fetch_sub(1, Release); {} }}\n}}"
)
LOOKED_TWICE = (
    'if self.refcount.load(Relaxed) == 0 {{ refuse_reference("dec_ref", 0) }}\n'
    "let how = if self.refcount.load(Relaxed) == 1 {{ AcqRel }} else {{ Release }};\n"
    "let before = self.refcount.fetch_sub(1, how); {}"
)
# The built-in module alone: its own names.
BUILTIN = (
    weak("last-reference-without-its-fence", "REF-09", swap("dec_ref", "fence(Acquire);", "")),
    weak(
        "last-reference-fenced-for-the-compiler-only",
        "REF-09",
        swap("dec_ref", "fence(Acquire);", "core::sync::atomic::compiler_fence(Acquire);"),
    ),
    weak("last-reference-fence-on-the-wrong-way", "REF-09", swap("dec_ref", "Ok(1)", "Ok(2)")),
    weak(
        "last-reference-told-by-a-look-before",
        "REF-09",
        swap("dec_ref", "self.refcount.fetch_update(Release,", BY_A_LOOK),
        swap("dec_ref", "fence(Acquire);", ""),
    ),
    weak("last-reference-tried-before", "REF-09", body("dec_ref", TRIED_FIRST.format("before"))),
    weak("last-reference-looked-at-twice", "REF-09", body("dec_ref", LOOKED_TWICE.format("before"))),
    weak("bump-relaxed", "GEN-04 ALLOC-12", swap("advance_generation", "Release", "Relaxed")),
    weak(
        "bump-before-the-claim",
        "ALLOC-12",
        swap("make_live", "slot.set_order(0);", "slot.set_order(0); slot.advance_generation();"),
    ),
    weak(
        "flags-after-the-claim",
        "ALLOC-12",
        move("make_live", "slot.set_flags(", "slot.begin_epoch_unless_poisoned()"),
    ),
    weak(
        "epoch-published-before-its-guard",
        "GEN-04",
        swap("note_new_allocation_epoch", "self.set_guard(meta_guard::NONE);", ""),
        swap(
            "note_new_allocation_epoch",
            "self.advance_generation();",
            "self.advance_generation(); self.set_guard(meta_guard::NONE);",
        ),
    ),
    weak(
        "order-after-the-claim",
        "ALLOC-12",
        move("make_live", "slot.set_order(", "slot.begin_epoch_unless_poisoned()"),
    ),
    weak(
        "zeroing-after-the-flags",
        "ALLOC-12",
        swap("make_live", "zero_payload(frame)", "slot.set_flags(0); zero_payload(frame)"),
    ),
    weak(
        "zeroing-after-the-claim",
        "ALLOC-12",
        swap("make_live", "zero_payload(frame);", ""),
        swap("make_live", "slot.set_refcount(1);", "zero_payload(frame); slot.set_refcount(1);"),
    ),
    weak(
        "published-before-the-epoch",
        "ALLOC-16",
        move("make_live", "slot.set_refcount(1);", "slot.begin_epoch_unless_poisoned()"),
    ),
    weak(
        "first-life-published-by-its-claim",
        "ALLOC-16",
        swap(
            "make_live",
            "slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY)",
            "slot.cas_refcount(REFCOUNT_UNUSED, u32::from(slot.generation() == 0))",
        ),
    ),
    weak(
        "published-relaxed",
        "ALLOC-16",
        swap("make_live", "slot.set_refcount(1);", "slot.refcount.store(1, Relaxed);"),
    ),
    weak(
        "claimed-by-a-store",
        "ALLOC-12",
        swap("make_live", "slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY)", STORE_CLAIM),
    ),
    weak("guard-cleared-relaxed", "ALLOC-12", swap("begin_epoch_unless_poisoned", "AcqRel", "Relaxed")),
    weak("vtable-kept", "ALLOC-12", swap("begin_epoch_unless_poisoned", "self.set_vtable_bits(0);", "")),
    weak("cas-looked-at-relaxed", "REF-08", swap("cas_refcount", "self.", LOOK_FIRST.format("Relaxed"))),
    weak(
        "sentinel-put-back-relaxed",
        "REF-08",
        swap(
            "make_live",
            "slot.set_refcount(REFCOUNT_UNUSED);",
            "slot.refcount.store(REFCOUNT_UNUSED, Relaxed);",
        ),
    ),
    weak("guard-reset-relaxed", "GUARD-10", swap("reset_with_free_list_meta", "AcqRel", "Relaxed")),
    weak(
        "base-before-count",
        "ARRAY-12",
        move("init_metadata_array", "METADATA_BASE_VIRT.store(base", "METADATA_FRAME_COUNT.store(frames"),
    ),
    weak(
        "base-before-the-slots",
        "ARRAY-12",
        move("init_metadata_array", "METADATA_FRAME_COUNT.store(frames", "fill_table("),
        move("init_metadata_array", "METADATA_BASE_VIRT.store(base", "fill_table("),
    ),
    weak(
        "count-looked-up-first",
        "ARRAY-12",
        move("get_meta_slot", "METADATA_FRAME_COUNT.load", "METADATA_BASE_VIRT.load"),
    ),
)

BUILTIN_HARMLESS = (
    harmless("cas-looked-at-first", swap("cas_refcount", "self.", LOOK_FIRST.format("Acquire"))),
    harmless("flags-and-order-swapped", move("make_live", "slot.set_order(", "slot.set_flags(")),
    # On a way on which the count is u64::MAX it has 2^64 rounds, each with an end of its own.
    harmless("one-round-more", swap("allocate", "0..METADATA_FRAME_COUNT", "0..=METADATA_FRAME_COUNT")),
    harmless(
        "flags-stored-directly",
        swap(
            "make_live",
            "slot.set_flags(self.purpose.flags());",
            "slot.flags.store(self.purpose.flags(), Release);",
        ),
    ),
    harmless(
        "last-reference-by-acq_rel",
        swap("dec_ref", "fetch_update(Release", "fetch_update(AcqRel"),
        swap("dec_ref", "fence(Acquire);", ""),
    ),
    harmless(
        "last-reference-by-an-acquire-load",
        swap("dec_ref", "fence(Acquire);", "let _ = self.refcount.load(Acquire);"),
    ),
    harmless(
        "last-reference-looked-at-before", swap("dec_ref", "self.refcount.fetch_update(Release,", BY_A_LOOK)
    ),
    harmless("last-reference-tried-then-fenced", body("dec_ref", TRIED_FIRST.format(FENCED))),
    harmless("last-reference-looked-at-twice-then-fenced", body("dec_ref", LOOKED_TWICE.format(FENCED))),
    harmless("inc_ref-seq_cst", swap("inc_ref", "Relaxed", f"{HOW}::SeqCst")),
    harmless("epoch-out-of-line", insert("fn begin_epoch_unless_poisoned", "#[inline(never)] ")),
    harmless(
        "zeroed-word-by-word", swap("zero_payload", "payload.write_bytes(0, PAGE_SIZE as usize)", WORDS)
    ),
    harmless(
        "zeroed-in-assembly", swap("zero_payload", "payload.write_bytes(0, PAGE_SIZE as usize)", STRINGS)
    ),
    harmless("poison-marked-once", swap("mark_poisoned", "self.fetch_or", f"{MARKED}self.fetch_or")),
)

# A module that claims and publishes in one step, then starts the epoch.
CLAIM_IS_PUBLICATION = (
    weak(
        "bump-relaxed",
        "GEN-04 ALLOC-12",
        swap("note_new_allocation_epoch", "1, Ordering::Release", f"1, {RELAXED}"),
    ),
    weak(
        "guard-cleared-relaxed",
        "GUARD-10 ALLOC-12",
        swap("note_new_allocation_epoch", "NONE, Ordering::Release", f"NONE, {RELAXED}"),
    ),
    weak(
        "flags-relaxed-in-allocate",
        "ALLOC-12",
        swap("allocate", "flags, Ordering::Release", f"flags, {RELAXED}"),
    ),
    weak(
        "flags-after-the-claim", "ALLOC-12", move("allocate", ".flags.store(", "note_new_allocation_epoch()")
    ),
    weak(
        "order-after-the-claim", "ALLOC-12", move("allocate", "set_order(0)", "note_new_allocation_epoch()")
    ),
    weak(
        "epoch-before-the-claim", "ALLOC-12", move("allocate", "note_new_allocation_epoch()", "set_order(0)")
    ),
    weak("flags-before-the-zeroing", "ALLOC-12", move("allocate", ".flags.store(", "if self.zeroed")),
    weak(
        "base-before-count",
        "ARRAY-12",
        move(
            "init_metadata_array", "METADATA_BASE_VIRT.store(virt", "METADATA_FRAME_COUNT.store(frame_count"
        ),
    ),
    weak(
        "count-looked-up-first",
        "ARRAY-12",
        move("get_meta_slot", "METADATA_FRAME_COUNT.load", "METADATA_BASE_VIRT.load"),
    ),
    harmless(
        "flags-by-the-accessor",
        swap("allocate", ".flags.store(", ".set_flags("),
        swap("allocate", ", Ordering::Release", ""),
    ),
    harmless("flags-and-order-swapped", move("allocate", "set_order(0)", ".flags.store(")),
    harmless("epoch-out-of-line", insert("pub fn note_new_allocation_epoch", "#[cold] ")),
    harmless("last-reference-by-acq_rel", swap("dec_ref", "Ordering::Release", "Ordering::AcqRel")),
)
