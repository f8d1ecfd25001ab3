"""Which checks of the suite have to reject a bug, by the function that it is in, with a way to call them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import msgspec

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.frame_values import WIDE_RAM
from frame_harness.frame_metadata.slot_methods import SLOT_METHODS
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import AllocFailed, GuestFailure, SubjectPanic
from frame_harness.image.image import Image
from frame_harness.machine.definition import Machine, load_machine
from tests.support.bugs import Bug

REJECTED = (ClauseViolated, SubjectPanic, AllocFailed, GuestFailure)
"""How a check ends that does not pass because of the subject; any other error is one of the harness."""
PATIENCE_CPU_S = 2.0

Call = tuple[str, dict[str, Any]]
"""A check by its name, with its parameters."""
Calls = tuple[Call, ...]

_ARRAY = "test_v_array.test_"
_ADDRESS = "test_v_addresses.test_"
_ALLOCATION = "test_v_allocation.test_"


def _slot(*names: str) -> Calls:
    found = [method for method in SLOT_METHODS if method.name in names]
    return tuple(("test_v_boundaries.test_slot_method_at_the_boundaries", {"method": one}) for one in found)


def _checks(prefix: str, *names: str, **arguments: Any) -> Calls:
    return tuple((prefix + name, arguments) for name in names)


_SLOT_OF = (
    *_checks(_ADDRESS, "slot_of_each_boundary_address", command="array.slot"),
    *_checks(_ADDRESS, "no_address_behind_the_table_has_a_slot"),
)
_BUILD = _checks(_ARRAY, "table_of_each_boundary_size", "each_size_that_memory_has_no_room_for_is_refused")
_CLAIMS = (
    *_checks(_ALLOCATION, "new_life_after_each_value_of_the_earlier_one", name="guard"),
    *_checks(_ALLOCATION, "each_count_but_the_sentinel_is_refused"),
    *_checks(_ALLOCATION, "poison_is_seen_beside_each_other_guard_bit"),
)


def _handed_on(command: str, *rest: int) -> Calls:
    return _checks(_ADDRESS, "no_function_cuts_an_address_short", command=command, rest=rest)


def _hook(command: str, hook: str) -> Calls:
    return (
        *_checks(_ADDRESS, "hook_of_each_boundary_frame", command=command, hook=hook),
        *_handed_on(command),
    )


# Functions that stand behind a method of another name, or behind no method.
OF_FUNCTION: dict[str, Calls] = {
    "has_flag": _slot("is_cow", "is_dll"),
    "advance_generation": _slot("note_new_allocation_epoch"),
    "begin_epoch_unless_poisoned": (
        *_CLAIMS,
        ("test_s_interleavings.test_poison_that_comes_between_look_and_claim_is_not_healed", {}),
    ),
    "metadata_size_for": _checks(_ADDRESS, "size_of_the_table_at_the_boundaries"),
    "frames_covering": _checks(_ADDRESS, "size_of_the_table_at_the_boundaries"),
    "init_metadata_array": _BUILD,
    "fill_table": _BUILD,
    "get_meta_slot": _SLOT_OF,
    "get_meta": (
        *_checks(_ADDRESS, "slot_of_each_boundary_address", command="array.get"),
        *_handed_on("array.get"),
    ),
    "meta_generation_matches": (
        *_checks(_ADDRESS, "generation_matches_itself_alone"),
        *_handed_on("array.matches", 1),
    ),
    "block_phys_has_poison_guard": (
        *_checks(_ADDRESS, "poison_is_found_in_each_boundary_frame_of_each_order"),
        *_handed_on("array.poisoned", 0),
    ),
    "invoke_vtable_on_unmap": _hook("array.unmap", "on_unmap"),
    "invoke_vtable_on_last_ref": _hook("array.lastref", "on_last_ref"),
    "frame_meta_debug_snapshot": (
        *_checks(_ADDRESS, "snapshot_of_each_boundary_frame"),
        *_handed_on("array.snapshot"),
    ),
    "migratetype": _checks(_ALLOCATION, "each_custom_flag_but_movable_leaves_the_migratetype"),
    "flags": _checks(_ALLOCATION, "each_custom_flag_becomes_a_flag"),
    "allocate": (
        *_CLAIMS,
        *_checks(_ALLOCATION, "there_is_a_frame_in_a_memory_of_two_to_the_power_of_16_frames"),
    ),
    "make_live": _CLAIMS,
    "refuse_claim": _CLAIMS,
    "zero_payload": _checks(_ALLOCATION, "each_boundary_frame_is_zeroed_and_no_byte_beside_it"),
    "range_inclusive": _checks(_ADDRESS, "range_at_each_boundary"),
    "next": (  # of a slot's link, then of a range
        *_slot("next"),
        *_checks(_ADDRESS, "range_at_each_boundary", "range_that_is_long_in_any_number_of_bits_goes_on"),
    ),
    "containing_address": _checks(_ADDRESS, "frame_that_contains_each_boundary_address"),
    "from_start_address": _checks(_ADDRESS, "frame_that_starts_at_each_boundary_address"),
}


BEHIND_THE_HOLE = "q35-5g"
# An address that more than 32 bits are needed for: the checks of the machine that has such frames.
_HIGH = {
    "invoke_vtable_on_unmap": _checks(_ADDRESS, "hooks_of_a_frame_behind_the_pci_hole"),
    "invoke_vtable_on_last_ref": _checks(_ADDRESS, "hooks_of_a_frame_behind_the_pci_hole"),
    "refuse_claim": _checks(_ALLOCATION, "a_live_frame_behind_the_pci_hole_is_refused_by_its_name"),
    "zero_payload": (("test_c_array.test_a_frame_behind_the_pci_hole_is_allocated_like_any_other", {}),),
}
# Bugs that ask 32 bits of the table's address whether there is one.
_WHETHER_THERE_IS_A_TABLE = frozenset(
    {
        "get_meta_slot: `base != 0`, left side in 32 bits",
        "block_phys_has_poison_guard: `METADATA_BASE_VIRT.load(Acquire) == 0`, left side in 32 bits",
    }
)


_AT_4_GIB = _checks(
    "test_c_array.test_",
    "a_table_that_begins_at_4_gib_is_a_table",
    "poison_in_a_table_that_begins_at_4_gib_is_seen",
)


def checks_of(bug: Bug) -> tuple[str, Calls]:
    """The checks that have to reject a bug, with the machine that they run on."""
    if bug.name in _WHETHER_THERE_IS_A_TABLE:
        return BEHIND_THE_HOLE, _AT_4_GIB
    if bug.function in _HIGH and bug.what.endswith("in 32 bits") and "found" not in bug.what:
        return BEHIND_THE_HOLE, _HIGH[bug.function]
    return "microvm", OF_FUNCTION.get(bug.function) or _slot(bug.function)


_OPTIONS: Mapping[str, dict[str, Any]] = {
    "kernel": {},
    "shared_kernel": {},
    "bare_kernel": {"init": "array", "ram": WIDE_RAM},
}
"""Of the guests that fixtures of the suite are; all of one kind are one guest here."""


class Guests:
    """Boots the guests of one bug as the fixtures of the suite do; each is ended with it."""

    def __init__(self, image: Image, bug: Bug | None, machine: str) -> None:
        self._image, self._extra = image, (f"red={bug.red}",) if bug else ()
        self._stack, self._shared = ExitStack(), dict[frozenset[tuple[str, Any]], Kernel]()
        self._machine = impatient(machine)

    def __enter__(self) -> Guests:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def boot(self, **options: Any) -> Kernel:
        kernel = Kernel.boot(self._image, self._machine, extra=self._extra, **options)
        return self._stack.enter_context(kernel)

    def fixture(self, name: str) -> Any:
        """What a check is given under that name."""
        if name in ("boot", "shared_boot"):
            return self.boot if name == "boot" else self._share
        return self._share(**_OPTIONS[name])

    def _share(self, **options: Any) -> Kernel:
        key = frozenset(options.items())
        if key not in self._shared:
            self._shared[key] = self.boot(**options)
        return self._shared[key]


def impatient(name: str) -> Machine:
    """A machine that soon gives up on a guest which goes on for ever."""
    machine = load_machine(name)
    limits = msgspec.structs.replace(machine.limits, boot_cpu_s=PATIENCE_CPU_S, request_cpu_s=PATIENCE_CPU_S)
    return msgspec.structs.replace(machine, limits=limits)


def rejections(
    image: Image, bug: Bug | None, machine: str, calls: Calls
) -> Iterator[tuple[str, BaseException | None]]:
    """Call checks one after the other; yield the name of each with what it found, if anything."""
    with Guests(image, bug, machine) as guests:
        for name, arguments in calls:
            try:
                check = find(name)
                fixtures = [one for one in inspect.signature(check).parameters if one not in arguments]
                check(**arguments, **{one: guests.fixture(one) for one in fixtures})
            except REJECTED as rejected:
                yield name, rejected
            else:
                yield name, None


def find(name: str) -> Callable[..., None]:
    """A check of the suite by `module.function`."""
    module, _, function = name.partition(".")
    found: Callable[..., None] = getattr(importlib.import_module(f"tests.contract.{module}"), function)
    return found
