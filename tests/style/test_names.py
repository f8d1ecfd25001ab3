"""What stands in Rust and in Python has one name in both.

The text of the Rust sources is read, not what the guest says of itself, so that nothing has to be built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields

import pytest

from frame_harness.concurrency import smp
from frame_harness.contract.layout import StructLayout
from frame_harness.contract.methods import SlotMethod
from frame_harness.frame_guest import memory_view
from frame_harness.frame_metadata import frame_states, surface
from frame_harness.frame_metadata.constants import Constants
from frame_harness.frame_metadata.functions import FUNCTIONS
from frame_harness.frame_metadata.layouts import FRAME_META_VTABLE, FREE_LIST_LINK, META_SLOT
from frame_harness.frame_metadata.memory_state import SLOT_FIELDS, Migratetype
from frame_harness.frame_metadata.model import loading, options
from frame_harness.frame_metadata.slot_methods import CALLS, SLOT_METHODS
from frame_harness.machine import exit_status
from frame_harness.memory_core import maps, page_tables, slots, state
from tests.support.modules import ROOT

SHIM = ROOT / "kernel_shim"
FRAME = (SHIM / "src/memory/frame.rs").read_text(encoding="utf-8")

NAMED_OTHERWISE = {
    # In Rust a group of constants is a module; in Python the group is the beginning of the name.
    "guard_": "meta_guard::",
    "flag_": "frame_flags::",
    # The interface of a real kernel, whose names are longer than what the contract needs.
    "link_none": "FRAME_META_LINK_NONE",
}
NOT_IN_CONSTANTS = {
    "FRAME_META_SIZE": "the layout's `size`",
    "FRAME_META_ALIGN": "the layout's `alignment`",
    "META_SLOT_REFCOUNT_BYTE_OFFSET": "the offset of a field of the layout",
    "MetaSlot::REFCOUNT_BYTE_OFFSET": "likewise",
    "meta_guard::NONE": "no bit: zero",
}
# Parameters, which no caller names: the contract's texts and tests that edit the module quote these lines.
SHORT_PARAMETERS = {("meta_aux_store", "v"): "value", ("set_generation", "g"): "generation"}
FROM_THE_BUDDY = {"MAX_ORDER"}  # a frame module has no name for it: it is the allocator's, in `zone.rs`
# A slot's links are a structure of their own in Rust, since a core keeps them elsewhere, too.
NESTED = {"free_link": ("next", "prev")}
MADE_OF_NOTHING = {"new"}  # no method of a slot: it makes one


def text_of(name: str) -> str:
    return (SHIM / name).read_text(encoding="utf-8")


def block(text: str, head: str) -> str:
    """What stands between the braces of an item that begins at the left margin."""
    found = re.search(rf"(?ms)^(?:pub )?{head}[^\n]*\{{\n(.*?)^\}}", text)
    assert found, f"{head}: not found"
    return found[1]


def code(text: str) -> str:
    return re.sub(r"//[^\n]*", "", text)


def fields_of(text: str, name: str) -> list[str]:
    return re.findall(r"(?m)^\s+(?:pub(?:\(crate\))? )?(\w+):", code(block(text, rf"struct {name}\b")))


def variants_of(text: str, name: str) -> list[str]:
    return re.findall(r"(?m)^    ([A-Z]\w*)", code(block(text, rf"enum {name}\b")))


def words_of(text: str, name: str) -> list[str]:
    """The words that `named!` gives the variants."""
    return list(named_of(text, name).values())


def named_of(text: str, name: str) -> dict[str, str]:
    """The variants of an enumeration in `named!`, with numbers where these are said, and their words."""
    listed = text.split(f"    pub enum {name} {{\n")[1].partition("\n    }")[0]
    return dict(re.findall(r'(?m)^ {8}(\w+(?: = \d)?) "([\w.]+)",$', listed))


def constants_of(text: str) -> set[str]:
    """All that are public, with the name of the module or type around them."""
    found = set(re.findall(r"(?m)^pub const (\w+):", text))
    for head in re.findall(r"(?m)^(?:pub mod|impl) (\w+) \{$", text):
        inside = block(text, rf"(?:mod|impl) {head}\b")
        found |= {f"{head}::{name}" for name in re.findall(r"(?m)^    pub const (\w+):", inside)}
    return found


def functions_of(text: str) -> set[str]:
    """All that are public or a trait's, with the name of the type or trait around them."""
    declared = r"(?m)^{}(?:pub )?(?:const )?(?:unsafe )?fn (\w+)"
    found = set(re.findall(declared.format(""), text))
    for line, trait, name in re.findall(r"(?m)^((?:impl|pub trait) (?:(\w+) for )?(\w+)[^\n]*\{)$", text):
        inside = block(text, re.escape(line.removeprefix("pub ").removesuffix(" {")))
        visible = declared if trait or "trait" in line else declared.replace("(?:pub )?", "pub ")
        found |= {f"{name}::{function}" for function in re.findall(visible.format("    "), inside)}
    return found


def in_rust(constant: str) -> str:
    """The Rust name of a field of `Constants`."""
    if constant in NAMED_OTHERWISE:
        return NAMED_OTHERWISE[constant]
    for prefix, module in NAMED_OTHERWISE.items():
        if prefix.endswith("_") and constant.startswith(prefix):
            return module + constant.removeprefix(prefix).upper()
    return constant.upper()


def upper(name: str) -> str:
    """`PageTable` as a constant of Python is called."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


@pytest.mark.parametrize("layout", [META_SLOT, FREE_LIST_LINK, FRAME_META_VTABLE], ids=lambda one: one.name)
def test_a_field_has_the_name_that_it_has_in_the_module(layout: StructLayout) -> None:
    declared = [
        # Reserved bytes are private in Rust, which an underscore says there.
        inner for name in fields_of(FRAME, layout.name) for inner in NESTED.get(name, (name.lstrip("_"),))
    ]  # fmt: skip
    assert [one.name for one in layout.fields] == declared


def test_a_slot_as_the_invariants_read_it_has_these_names_too() -> None:
    named = [name for name in fields_of(FRAME, "MetaSlot") if not name.startswith("_")]
    assert list(SLOT_FIELDS) == [inner for name in named for inner in NESTED.get(name, (name,))]


def test_a_method_of_a_slot_has_the_name_that_it_has_in_the_module() -> None:
    declared = {name.removeprefix("MetaSlot::") for name in functions_of(FRAME) if "MetaSlot::" in name}
    assert set(CALLS) == declared - MADE_OF_NOTHING


@pytest.mark.parametrize("method", {one.name: one for one in SLOT_METHODS}.values(), ids=lambda one: one.name)
def test_an_operand_of_a_method_has_the_name_of_its_parameter(method: SlotMethod) -> None:
    (found,) = re.findall(rf"pub (?:const )?fn {method.name}\(&self(?:, )?([^)]*)\)", FRAME)
    named = [SHORT_PARAMETERS.get((method.name, one), one) for one in re.findall(r"(\w+):", found)]
    assert [operand.name for operand in method.operands] == named


def test_a_function_that_answers_for_something_is_declared_by_that_name() -> None:
    answering = {
        *FUNCTIONS.calls,
        *FUNCTIONS.keeps.values(),
        *FUNCTIONS.must_return,
        *FUNCTIONS.named.values(),
    }
    for group in (FUNCTIONS.calls, FUNCTIONS.of_command, FUNCTIONS.of_step, FUNCTIONS.of_clause):
        answering |= {name for names in group.values() for name in names}
    declared = functions_of(FRAME)
    assert len(declared) > 40 and answering - declared == set()
    in_surface = {name for command in surface.COMMANDS.values() for name in command.functions}
    assert in_surface - {name.rpartition("::")[2] for name in declared} == set()


def test_a_constant_has_the_name_that_it_has_in_the_module() -> None:
    expected = {in_rust(one.name) for one in fields(Constants)}
    assert expected - FROM_THE_BUDDY == constants_of(FRAME) - NOT_IN_CONSTANTS.keys()
    assert expected & FROM_THE_BUDDY <= constants_of(text_of("parts/zone.rs"))


def test_migratetypes_have_the_same_names_and_numbers() -> None:
    zone = text_of("parts/zone.rs")
    numbers = [variant.split(" = ") for variant in named_of(zone, "Migratetype")]
    assert {one.name: int(one) for one in Migratetype} == {upper(name): int(value) for name, value in numbers}
    assert list(state.KINDS) == words_of(zone, "Migratetype") == [one.name.lower() for one in Migratetype]


def test_zones_have_the_same_names_in_the_same_order() -> None:
    # The guest shows them as Linux does, with capitals; what is asked for is written small.
    shown = words_of(text_of("parts/zone.rs"), "Zone")
    assert list(memory_view.ZONE_NAMES) == shown
    small = [name.lower() for name in shown]
    assert list(state.ZONES) == [name for name, _, _ in loading.ZONES] == small
    asked = re.search(r"(?s)const ZONES: .*?;\n", text_of("src/memory_core.rs").split("pub fn parse")[1])
    assert asked and re.findall(r'\("(\w+)", Some', asked[0]) == small


def test_kinds_of_the_memory_map_have_the_same_names() -> None:
    text = text_of("parts/memory_map.rs")
    assert set(loading.MEMORY_KINDS) | set(frame_states.OF_KIND) | {"ram"} == set(
        words_of(text, "RegionKind")
    )
    memory = re.search(r"fn is_memory.*?matches!\(self, ([^)]*)\)", text, flags=re.DOTALL)
    assert memory and [name.lower() for name in re.findall(r"Self::(\w+)", memory[1])] == list(
        loading.MEMORY_KINDS
    )


def test_kinds_of_a_core_s_map_have_the_same_names_and_numbers() -> None:
    numbers = re.findall(r"pub const (\w+): Self = Self\((\d)\)", text_of("src/boot/region.rs"))
    assert {one.name: int(one) for one in maps.RegionKind} == {
        name.upper(): int(value) for name, value in numbers
    }


def test_purposes_have_the_same_names() -> None:
    parsed = block(text_of("src/frame_commands/operand.rs"), "fn purpose")
    words = dict(re.findall(r'word == "(\w+)" => Ok\(FramePurpose::(\w+)', parsed))
    words |= dict(re.findall(r'Some\(\("(\w+)", flags\)\) => Ok\(FramePurpose::(\w+)', parsed))
    assert list(words.values()) == variants_of(FRAME, "FramePurpose")
    named = {word: getattr(options, upper(name)).name for word, name in words.items() if word != "custom"}
    assert named == {word: word for word in named} and options.custom(0).name == "custom"
    in_cores = re.findall(r'\("(\w+)", Purpose::(\w+)\)', text_of("src/core_commands/frames.rs"))
    assert {word for word, _ in in_cores} == set(slots.PURPOSES) == set(named)


def test_steps_of_programs_have_the_same_names_in_the_same_order() -> None:
    listed = text_of("parts/step.rs").split("operations! {\n")[1].partition("\n}")[0]
    assert re.findall(r'(?m)^    \w+ "([\w.]+)"', listed) == list(smp.OPERATIONS)


@pytest.mark.parametrize(
    ("name", "expected"), [("Counters", smp.COUNTERS), ("Violation", smp.VIOLATION), ("Seen", smp.SEEN)]
)
def test_what_a_cpu_writes_down_has_the_same_names(name: str, expected: Iterable[str]) -> None:
    words = code(text_of("src/cpus/record.rs").split("\nwords! {\n")[1])
    inside = re.search(rf"(?s)^    {name} \{{(.*?)\}}", words, flags=re.MULTILINE)
    assert inside and re.findall(r"(\w+),", inside[1]) == list(expected)


def test_counters_of_zones_have_the_same_names() -> None:
    listed = re.findall(r'\("(\w+)", \|zone\|', text_of("src/frame_commands/buddy_report.rs"))
    assert listed == list(memory_view.COUNTERS)


def test_ways_to_ask_for_a_page_table_have_the_same_names() -> None:
    listed = re.findall(r'\("(\w+)", Fresh::(\w+)\)', text_of("src/core_commands/page_tables.rs"))
    assert [word for word, _ in listed] == [name.lower() for _, name in listed] == list(page_tables.VARIANTS)


def test_ends_of_a_guest_have_the_same_names() -> None:
    statuses = {upper(name) + "_STATUS" for name in variants_of(text_of("parts/reply.rs"), "ExitCode")}
    assert statuses == {name for name in vars(exit_status) if name.endswith("_STATUS")}


def test_another_name_is_seen() -> None:
    renamed = FRAME.replace("fn set_guard(", "fn store_guard(").replace("pub refcount:", "pub count:")
    assert "MetaSlot::set_guard" in functions_of(FRAME) - functions_of(renamed)
    assert "count" in fields_of(renamed, "MetaSlot") and "count" not in fields_of(FRAME, "MetaSlot")
    assert "MetaSlot::cas_refcount" in functions_of(renamed) and "MetaSlot::has_flag" not in functions_of(
        FRAME
    )
