"""The contract of a memory core as a value."""

from __future__ import annotations

from typing import Final

from frame_harness.contract.contract import Contract, TablePromise
from frame_harness.contract.functions import Functions
from frame_harness.contract.invariant import Invariants
from frame_harness.contract.layout import Layouts, StructLayout
from frame_harness.contract.versions import Versions
from frame_harness.memory_core.clauses import CORE_CLAUSES

# Structures of a core are read by the names of their members, wherever they are.
_SLOT = StructLayout("MetaSlot", size=0, alignment=0, fields=())
_COMMANDS: Final = {
    "core.start": ["buddy::init_buddy_allocator"],
    "core.alloc": ["buddy::alloc"],
    "core.fill": ["buddy::alloc"],
    "core.free": ["buddy::free"],
}

MEMORY_CORE: Final = Contract(
    name="memory core",
    reference="src/tree",
    clauses=CORE_CLAUSES,
    layouts=Layouts((), size_clause={}, field_clause={}, general=""),
    slot=_SLOT,
    methods=(),
    functions=Functions(of_command=_COMMANDS),
    versions=Versions(names=(), scope="", arguments="", slot=("MetaSlot",)),
    invariants=Invariants(lambda state, _previous: state, ()),
    table=TablePromise("CORE-02", "init_metadata_array"),
    explanations="frame_harness.memory_core.explanations",
)
