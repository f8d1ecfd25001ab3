"""The units that may name an entry are found without a walk through all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frame_harness.image.dies import Units
from frame_harness.image.elf import open_elf
from tests.unit import image_samples


@pytest.fixture(params=("-Cdwarf-version=4", "-Cdwarf-version=5"))
def units(request: pytest.FixtureRequest) -> Units:
    elf = open_elf(image_samples.compiled("-g", str(request.param)))
    return Units(elf.get_dwarf_info())


def test_each_unit_is_found_by_each_name_in_it(units: Units) -> None:
    in_each = [
        {str(unit.attributes(die.offset).get("DW_AT_name")) for die in unit.entries()} - {"None"}
        for unit in units
    ]
    assert "MetaSlot" in set().union(*in_each)
    for name in sorted(set().union(*in_each)):
        found = units.naming(name)
        assert all(unit in found for unit, names in zip(units, in_each, strict=True) if name in names), name


def test_a_name_that_is_nowhere_is_in_no_unit(units: Units) -> None:
    assert units.naming("NoSuchThingAnywhere") == []


def test_a_name_that_is_written_in_its_entry_is_found(units: Units) -> None:
    last = list(units)[-1]
    info, at, name = units.sections.info, last.first + 4, b"WrittenInPlace\0"
    units.sections = replace(units.sections, info=info[:at] + name + info[at + len(name) :])
    assert units.naming("WrittenInPlace") == [last]
