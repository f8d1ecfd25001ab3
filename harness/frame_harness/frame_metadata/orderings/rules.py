"""The ordering clauses of a frame module, as the checker takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path as File
from typing import Final

from frame_harness.frame_metadata.orderings import allocate, array, last_reference, new_life
from frame_harness.frame_metadata.orderings.table import (
    ALLOCATE,
    CLAUSE_OF_FIELD,
    DEC_REF,
    INIT,
    LOOKUP,
    NEEDS,
    ORDERING_CLAUSES,
    READERS,
)
from frame_harness.orderings.demands import CanarySource, OrderingRules
from frame_harness.orderings.events import MemoryAccess, Path
from frame_harness.orderings.outcomes import loses_updates
from frame_harness.orderings.report import Compiled, place_of
from frame_harness.orderings.rules import LOST

_POISON: Final = "MetaSlot::mark_poisoned"


def _poison_in_two_steps(compiled: Compiled) -> Iterator[str]:
    poison = compiled.functions.get(_POISON)
    if poison is not None and any(loses_updates(path, "flags") for path in poison.paths if path.returns):
        file, line = place_of(poison, _first_store(poison.paths, "flags"))
        yield f"{file}:{line}: {poison.name}: flags are loaded, then stored: {LOST} (GUARD-09)"


def _first_store(paths: Iterable[Path], field: str) -> MemoryAccess | None:
    return next(
        (access for path in paths for access in path if access.writes and access.touches(field)), None
    )


ORDERINGS: Final = OrderingRules(
    clauses=ORDERING_CLAUSES,
    needs=NEEDS,
    clause_of_field=CLAUSE_OF_FIELD,
    clause_of_slot="REF-08",
    clause_of_statics=array.CLAUSE,
    canary=CanarySource(
        File(__file__).with_name("ir_canary.rs"),
        frozenset(
            {
                ("REF-08", "MetaSlot::get_refcount"),
                ("REF-09", DEC_REF),
                ("ARRAY-12", INIT),
                ("ALLOC-12", ALLOCATE),
                ("ALLOC-16", ALLOCATE),
            }
        ),
    ),
    also=(INIT, *READERS),
    in_steps={
        ALLOCATE: ("ALLOC-12", "ALLOC-16"),
        DEC_REF: ("REF-09",),
        INIT: (array.CLAUSE,),
        **dict.fromkeys((*READERS, LOOKUP), (array.CLAUSE,)),
    },
    walks=last_reference.WALKS,
    steps=(array.violations, allocate.violations, new_life.violations, last_reference.violations),
    notes=(_poison_in_two_steps,),
    no_notes=frozenset({ALLOCATE}),
)
