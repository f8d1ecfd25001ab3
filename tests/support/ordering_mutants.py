"""Lists the rewrites by which the checker of memory orderings is tried."""

from __future__ import annotations

from tests.support.ordering_variants import Variant, body, harmless, insert, rename, swap, weak

RELAXED = "core::sync::atomic::Ordering::Relaxed"
HOW = "core::sync::atomic::Ordering"
FENCE = "core::sync::atomic::fence"
WORD = "&core::sync::atomic::AtomicU32"
OUT_OF_LINE = "#[inline(never)]"


def _accessors() -> list[Variant]:
    """Return one weakened variant for each accessor; `Release` is also the end of `Ordering::Release`."""
    clauses = {
        "REF-08": ("flags", "order", "refcount"),
        "GUARD-10": ("guard",),
        "FREE-07": ("next", "prev"),
    }
    names = {"next": ("next", "set_next"), "prev": ("prev", "set_prev")}
    found = []
    for clause, fields in clauses.items():
        for field in fields:
            getter, setter = names.get(field, (f"get_{field}", f"set_{field}"))
            found.append(weak(f"{getter}-relaxed", clause, swap(getter, "Acquire", "Relaxed")))
            found.append(weak(f"{setter}-relaxed", clause, swap(setter, "Release", "Relaxed")))
    return [
        *found,
        weak("generation-relaxed", "GEN-04", swap("generation", "Acquire", "Relaxed")),
        weak("set_generation-relaxed", "GEN-04", swap("set_generation", "Release", "Relaxed")),
        weak("vtable_bits-relaxed", "VT-07", swap("vtable_bits", "Acquire", "Relaxed")),
        weak("set_vtable_bits-relaxed", "VT-07", swap("set_vtable_bits", "Release", "Relaxed")),
    ]


# Apply to any module that has the contract's functions as one-line bodies.
COMMON = (
    *_accessors(),
    weak("cas-success-acquire-only", "REF-08 ALLOC-12", swap("cas_refcount", "AcqRel", "Acquire")),
    weak("cas-success-release-only", "REF-08 ALLOC-12", swap("cas_refcount", "AcqRel", "Release")),
    weak("cas-failure-relaxed", "REF-08 ALLOC-12", swap("cas_refcount", "Acquire)", "Relaxed)")),
    weak(
        "cas-may-fail-for-nothing",
        "REF-08",
        swap("cas_refcount", "compare_exchange", "compare_exchange_weak"),
    ),
    weak(
        "cas-in-two-steps",
        "REF-08 ALLOC-12",
        body(
            "cas_refcount",
            f"let found = self.refcount.load({HOW}::Acquire); if found == expect {{ "
            f"self.refcount.store(new, {HOW}::Release); Ok(found) }} else {{ Err(found) }}",
        ),
    ),
    weak("fetch_or_guard-release-only", "GUARD-10", swap("fetch_or_guard", "AcqRel", "Release")),
    weak("fetch_or_guard-acquire-only", "GUARD-10", swap("fetch_or_guard", "AcqRel", "Acquire")),
    weak("dec_ref-relaxed", "REF-08", swap("dec_ref", "Release", "Relaxed")),
    weak(
        "inc_ref-in-two-steps",
        "REF-08",
        body("inc_ref", f"self.refcount.store(self.refcount.load({RELAXED}) + 1, {RELAXED})"),
    ),
    weak(
        "dec_ref-in-two-steps",
        "REF-08",
        body(
            "dec_ref",
            f"let count = self.refcount.load({HOW}::Acquire); "
            f"self.refcount.store(count - 1, {HOW}::Release); count",
        ),
    ),
    weak("set_flags-not-atomic", "REF-08", body("set_flags", "unsafe { self.flags.as_ptr().write(flags) }")),
    weak(
        "get_guard-volatile", "GUARD-10", body("get_guard", "unsafe { self.guard.as_ptr().read_volatile() }")
    ),
    weak(
        "meta_aux-not-atomic",
        "FRAME-08",
        body("meta_aux_store", "unsafe { self.meta_aux.as_ptr().write(v) }"),
    ),
    weak(
        "set_flags-relaxed-in-a-helper",
        "REF-08",
        body("set_flags", "put(&self.flags, flags)"),
        insert("impl MetaSlot", f"{OUT_OF_LINE} fn put(a: {WORD}, v: u32) {{ a.store(v, {RELAXED}) }}\n"),
    ),
    weak(
        "set_flags-relaxed-in-a-constant",
        "REF-08",
        body("set_flags", f"const BY: {HOW} = {RELAXED}; self.flags.store(flags, BY)"),
    ),
    weak(
        "set_flags-ordering-as-a-parameter",
        "REF-08",
        body("set_flags", f"put(&self.flags, flags, {RELAXED})"),
        body("set_guard", f"put(&self.guard, bits, {HOW}::Release)"),
        insert(
            "impl MetaSlot", f"{OUT_OF_LINE} fn put(a: {WORD}, v: u32, how: {HOW}) {{ a.store(v, how) }}\n"
        ),
    ),
    weak(
        "set_flags-copied",
        "REF-08",
        body("set_flags", "unsafe { core::ptr::copy_nonoverlapping(&flags, self.flags.as_ptr(), 1) }"),
    ),
    weak(
        "get_flags-looks-twice",
        "REF-08",
        body("get_flags", f"let _ = self.flags.load({HOW}::Acquire); self.flags.load({RELAXED})"),
    ),
    weak(
        "set_flags-fence-too-late",
        "REF-08",
        body("set_flags", f"self.flags.store(flags, {RELAXED}); {FENCE}({HOW}::Release)"),
    ),
    weak("base-read-relaxed", "ARRAY-12", swap("get_meta_slot", "Acquire", "Relaxed")),
    weak("count-read-relaxed", "ARRAY-12", swap("get_meta_slot", "Acquire", "Relaxed", nth=2)),
    weak("poison-asks-base-relaxed", "ARRAY-12", swap("block_phys_has_poison_guard", "Acquire", "Relaxed")),
    weak("count-published-relaxed", "ARRAY-12", swap("init_metadata_array", "Release", "Relaxed", nth=3)),
    weak("base-published-relaxed", "ARRAY-12", swap("init_metadata_array", "Release", "Relaxed", nth=4)),
    weak(
        "bump-in-two-steps",
        "GEN-04",
        body(
            "note_new_allocation_epoch",
            f"self.set_vtable_bits(0); self.set_guard(0); "
            f"self.generation.store(self.generation.load({HOW}::Acquire).wrapping_add(1), {HOW}::Release)",
        ),
    ),
)

HARMLESS = (
    harmless(
        "inc_ref-in-assembly",
        body(
            "inc_ref",
            'unsafe { core::arch::asm!("lock inc dword ptr [{}]", in(reg) self.refcount.as_ptr()) }',
        ),
    ),
    harmless(
        "cas-in-a-retry-loop",
        body(
            "cas_refcount",
            f"self.refcount.fetch_update({HOW}::AcqRel, {HOW}::Acquire, |c| (c == expect).then_some(new))",
        ),
    ),
    harmless(
        "statics-by-other-names",
        rename("METADATA_BASE_VIRT", "TABLE"),
        rename("METADATA_FRAME_COUNT", "SLOTS"),
    ),
    harmless(
        "ordering-as-a-parameter",
        body("set_flags", f"put(&self.flags, flags, {HOW}::Release)"),
        body("meta_aux_store", f"put(&self.meta_aux, v, {RELAXED})"),
        insert(
            "impl MetaSlot", f"{OUT_OF_LINE} fn put(a: {WORD}, v: u32, how: {HOW}) {{ a.store(v, how) }}\n"
        ),
    ),
    harmless(
        "set_flags-ordering-in-a-constant",
        body("set_flags", f"const BY: {HOW} = {HOW}::Release; self.flags.store(flags, BY)"),
    ),
    harmless(
        "get_refcount-through-a-helper",
        body("get_refcount", "look(&self.refcount)"),
        insert("impl MetaSlot", f"{OUT_OF_LINE} fn look(a: {WORD}) -> u32 {{ a.load({HOW}::Acquire) }}\n"),
    ),
    harmless(
        "set_guard-by-a-fence",
        body("set_guard", f"{FENCE}({HOW}::Release); self.guard.store(bits, {RELAXED})"),
    ),
    harmless(
        "get_guard-by-a-fence",
        body("get_guard", f"let seen = self.guard.load({RELAXED}); {FENCE}({HOW}::Acquire); seen"),
    ),
    harmless(
        "set_refcount-by-an-update", body("set_refcount", f"self.refcount.swap(count, {HOW}::Release);")
    ),
    harmless("get_order-out-of-line", insert("pub fn get_order", "#[cold] ")),
    harmless(
        "epoch-in-another-order",
        body(
            "note_new_allocation_epoch",
            f"self.guard.store(0, {HOW}::Release); self.set_vtable_bits(0); "
            f"self.generation.fetch_add(1, {HOW}::Release);",
        ),
    ),
    harmless("get_flags-seq_cst", body("get_flags", f"self.flags.load({HOW}::SeqCst)")),
)
