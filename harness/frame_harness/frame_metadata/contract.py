"""The contract of a frame module as the engines take it."""

from typing import Final

from frame_harness.contract.contract import Contract, FollowedField, TablePromise
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.frame_values import WIDE_RAM
from frame_harness.frame_metadata.functions import FUNCTIONS
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.layouts import LAYOUTS, META_SLOT
from frame_harness.frame_metadata.preflight import PREFLIGHT
from frame_harness.frame_metadata.slot_methods import SLOT_METHODS
from frame_harness.frame_metadata.versions import VERSIONS

FRAME_METADATA: Final = Contract(
    name="frame metadata",
    reference="src/memory/frame.rs",
    clauses=CLAUSES,
    layouts=LAYOUTS,
    slot=META_SLOT,
    methods=SLOT_METHODS,
    functions=FUNCTIONS,
    versions=VERSIONS,
    invariants=INVARIANTS,
    table=TablePromise("ARRAY-02", "init_metadata_array"),
    followed=FollowedField("FREE-02", "vtable", "0 since the frame was free, or what was stored there since"),
    preflight=PREFLIGHT,
    wide_ram=WIDE_RAM,
    dumped=True,
    explanations="frame_harness.frame_metadata.explanations",
)
