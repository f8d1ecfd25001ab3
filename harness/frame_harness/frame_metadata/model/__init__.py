"""The reference model of frame module, buddy, caches, quarantine: slow, plain, complete."""

from __future__ import annotations

from frame_harness.frame_metadata.model.expected import (
    Differences,
    ExpectedTable,
    SlotDifference,
    expected_state,
)
from frame_harness.frame_metadata.model.frames import Model, ModelError
from frame_harness.frame_metadata.model.hooks import HookCall, Vtable
from frame_harness.frame_metadata.model.loading import booted_model, frames_of_map, model_of
from frame_harness.frame_metadata.model.options import (
    KERNEL_DATA,
    PAGE_TABLE,
    USER_DATA,
    AllocOptions,
    Purpose,
    custom,
)
from frame_harness.frame_metadata.model.outcome import Done, Fail, Illegal, ModelResult, Panic, PanicKind
from frame_harness.frame_metadata.model.slots import NEW_SLOT, ModelSlot

__all__ = [
    "KERNEL_DATA",
    "NEW_SLOT",
    "PAGE_TABLE",
    "USER_DATA",
    "AllocOptions",
    "Differences",
    "Done",
    "ExpectedTable",
    "Fail",
    "HookCall",
    "Illegal",
    "Model",
    "ModelError",
    "ModelResult",
    "ModelSlot",
    "Panic",
    "PanicKind",
    "Purpose",
    "SlotDifference",
    "Vtable",
    "booted_model",
    "custom",
    "expected_state",
    "frames_of_map",
    "model_of",
]
