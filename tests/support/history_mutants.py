"""Rewrites of the built-in frame module whose bugs only a history brings to light."""

from __future__ import annotations

from dataclasses import dataclass

KEEPS_POISONED = ("            buddy::free(token, frame, 0);\n", "")
"""No bug: a poisoned frame that is offered is handed out to nobody, and not given back either (GUARD-08)."""
ASK = "            let frame = buddy::alloc_migratetype(token, 0, self.migratetype())?;\n"
GIVE_POISONED_BACK = (
    "            buddy::free(token, frame, 0);\n        }\n        Err(AllocError::OutOfMemory)"
)


@dataclass(frozen=True)
class HistoryMutant:
    """One rewrite by exact text; `clauses` are those of which a history may find it guilty."""

    name: str
    edits: tuple[tuple[str, str], ...]
    clauses: frozenset[str]

    def apply(self, text: str) -> str:
        for old, new in self.edits:
            if text.count(old) != 1:
                raise AssertionError(
                    f"mutant {self.name}: expected once, got {text.count(old)} times: {old!r}"
                )
            text = text.replace(old, new)
        return text


AFTER_REFILL = HistoryMutant(
    "the hint of a frame is overwritten, once memory was out and some frames came back",
    (
        (
            ASK,
            """            static OUT: atomic::AtomicU32 = atomic::AtomicU32::new(0);
            let asked = buddy::alloc_migratetype(token, 0, self.migratetype());
            match asked {
                Err(_) => OUT.store(1, Release),
                Ok(_) if OUT.load(Acquire) > 0 => {
                    if OUT.fetch_add(1, AcqRel) > 6 {
                        get_meta(asked?.start_address).meta_aux_store(0xdead);
                    }
                }
                Ok(_) => (),
            }
            let frame = asked?;
""",
        ),
    ),
    frozenset({"ALLOC-09"}),
)
POISON_IN_CACHE = HistoryMutant(
    "the frame that replaces a poisoned one out of the cache is not zeroed",
    (
        (
            GIVE_POISONED_BACK,
            """            buddy::free(token, frame, 0);
            if self.purpose != FramePurpose::PageTable {
                return Self { zeroed: false, ..self }.allocate(token);
            }
        }
        Err(AllocError::OutOfMemory)""",
        ),
    ),
    frozenset({"ALLOC-04"}),
)
