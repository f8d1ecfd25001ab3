"""Layouts, function lines, source lines come out of debug information as the compiler put them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frame_harness.base.units import Vaddr
from frame_harness.frame_metadata.layouts import LAYOUTS
from frame_harness.image.dwarf import Dwarf
from frame_harness.image.elf import Elf
from frame_harness.image.errors import ImageError
from frame_harness.image.types import size_of
from tests.unit import image_samples

FLAVORS = {
    "dev, DWARF 4": ("-g", "-Cdwarf-version=4"),
    "dev, DWARF 5": ("-g", "-Cdwarf-version=5"),
    "release, DWARF 4": ("-g", "-O", "-Cdwarf-version=4"),
    "release, DWARF 5": ("-g", "-O", "-Cdwarf-version=5"),
    "release, compressed": ("-g", "-O", "-Clink-arg=--compress-debug-sections=zlib"),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=FLAVORS)
def tiny(request: pytest.FixtureRequest) -> Path:
    return image_samples.compiled(*FLAVORS[str(request.param)])


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_from_debug_information_is_the_expected_one(tiny: Path, name: str) -> None:
    assert LAYOUTS.diff(LAYOUTS[name], Dwarf.of(tiny).layout(name)) == []


def test_nested_links_are_fields_of_the_slot(tiny: Path) -> None:
    dtype = Dwarf.of(tiny).dtype("MetaSlot")
    assert dtype.itemsize == 64
    assert {name: (dtype[name], dtype.fields[name][1]) for name in dtype.names or ()} == {  # type: ignore[index]
        "next": (np.dtype("<u8"), 0),
        "prev": (np.dtype("<u8"), 8),
        "vtable": (np.dtype("<u8"), 16),
        "flags": (np.dtype("<u4"), 24),
        "order": (np.dtype("u1"), 28),
        "_reserved0": (np.dtype(("u1", (3,))), 29),
        "refcount": (np.dtype("<u4"), 32),
        "generation": (np.dtype("<u4"), 36),
        "guard": (np.dtype("<u4"), 40),
        "meta_aux": (np.dtype("<u4"), 44),
        "_reserved_tail": (np.dtype(("u1", (16,))), 48),
    }


def test_every_kind_of_field_has_a_numpy_type(tiny: Path) -> None:
    dwarf = Dwarf.of(tiny)
    dtype, layout = dwarf.dtype("Odd"), dwarf.layout("Odd")
    assert (dtype.itemsize, layout.size, layout.alignment) == (layout.size, layout.size, 32)
    kinds = {field.name: field.kind for field in layout.fields}
    assert kinds["flag"] in {"u8", "bool"}  # an AtomicBool holds an u8
    assert {name: kinds[name] for name in ("letter", "kind", "address", "pointer", "signed", "grid")} == {
        "letter": "char", "kind": "u8", "address": "u64", "pointer": "pointer", "signed": "i16",
        "grid": "u32[2][3]",
    }  # fmt: skip
    assert dtype["grid"] == np.dtype(("<u4", (2, 3)))
    assert dtype["signed"] == np.dtype("<i2")
    assert dtype["wide"].itemsize == 16
    assert dtype["pairs"].shape == (2,)
    assert "nothing" not in (dtype.names or ())


def test_two_nested_fields_of_one_name_keep_their_path(tiny: Path) -> None:
    names = Dwarf.of(tiny).dtype("Odd").names or ()
    assert {"pair.first.size", "pair.second.size"} <= set(names)
    assert "size" not in names


def test_fields_of_one_structure_never_overlap(tiny: Path) -> None:
    for name in ("MetaSlot", "Odd", "FrameMetaVtable"):
        fields = sorted(Dwarf.of(tiny).layout(name).fields, key=lambda field: field.offset)
        ends = [field.offset + field.size for field in fields]
        assert all(end <= after.offset for end, after in zip(ends, fields[1:], strict=False))


def test_static_data_typed_by_debug_information_reads_back(tiny: Path) -> None:
    vaddr, size = Elf.read(tiny).symbol("ODD")
    dtype = Dwarf.of(tiny).dtype("Odd")
    assert size == dtype.itemsize
    odd = np.frombuffer(bytes_at(tiny, vaddr, size), dtype)[0]
    assert (odd["letter"], odd["kind"], odd["signed"]) == (ord("x"), 2, -1)


def test_type_that_does_not_exist_is_one_line(tiny: Path) -> None:
    with pytest.raises(ImageError) as raised:
        Dwarf.of(tiny).layout("NoSuchThing")
    assert "NoSuchThing" in raised.value.summary
    assert "\n" not in raised.value.summary


def test_two_types_of_one_name_must_be_told_apart(tiny: Path) -> None:
    dwarf = Dwarf.of(tiny)
    with pytest.raises(ImageError, match="another::Twice"):
        dwarf.layout("Twice")
    assert dwarf.layout("other::Twice").size == 4
    assert dwarf.layout("another::Twice").size == 8


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MetaSlot::dec_ref", "here: dec_ref"),
        ("frame::MetaSlot::inc_ref", "here: inc_ref"),
        ("Frames::next", "here: next"),
        ("generic", "here: generic"),
    ],
)
def test_function_is_found_at_its_line(tiny: Path, name: str, text: str) -> None:
    found = Dwarf.of(tiny).function_line(name)
    assert found is not None
    file, line = found
    assert Path(file) == image_samples.source()
    assert text in Path(file).read_text(encoding="utf-8").splitlines()[line - 1]


def test_function_that_does_not_exist_has_no_line(tiny: Path) -> None:
    assert Dwarf.of(tiny).function_line("MetaSlot::fly") is None
    assert Dwarf.of(tiny).function_line("") is None


def test_address_of_code_has_its_source_line(tiny: Path) -> None:
    vaddr, _ = Elf.read(tiny).symbol("_start")
    [found, *_] = Dwarf.of(tiny).places_of(vaddr)
    assert Path(found[0]) == image_samples.source()
    assert "fn _start" in Path(found[0]).read_text(encoding="utf-8").splitlines()[found[1] - 1]


def test_address_outside_of_the_kernel_has_no_line(tiny: Path) -> None:
    dwarf = Dwarf.of(tiny)
    assert [dwarf.places_of(vaddr) for vaddr in (Vaddr(0), Vaddr(1 << 40), Vaddr((1 << 64) - 1))] == [
        [],
        [],
        [],
    ]


def test_what_was_read_once_is_kept_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(image_samples.compiled("-g").read_bytes())
    before = Dwarf.of(path, "00" * 32).layout("MetaSlot")
    path.unlink()
    assert Dwarf.of(path, "00" * 32).layout("MetaSlot") == before


def test_damaged_copy_on_disk_is_read_again(tmp_path: Path) -> None:
    path = image_samples.compiled("-g")
    before = Dwarf.of(path).layout("MetaSlot")
    for kept in (tmp_path / "cache" / "dwarf").iterdir():
        kept.write_text("{", encoding="utf-8")
    assert Dwarf.of(path).layout("MetaSlot") == before


def bytes_at(path: Path, vaddr: Vaddr, size: int) -> bytes:
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415  another reader than the one under test

    with path.open("rb") as file:
        (offset,) = ELFFile(file).address_offsets(vaddr, size)
        file.seek(offset)
        return file.read(size)


def test_variants_are_named_with_content_or_without(tiny: Path) -> None:
    assert Dwarf.of(tiny).variants("Kind") == ("One", "Two")
    assert sorted(Dwarf.of(tiny).variants("tiny::Data")) == ["Empty", "Full"]
    with pytest.raises(ImageError, match="expected one enum Odd, got none of that name"):
        Dwarf.of(tiny).variants("Odd")


def test_a_shape_spans_what_its_parts_span() -> None:
    number = ["scalar", "<u4", "u32"]
    assert size_of(number) == 4 and size_of(["array", ["array", number, 3], 2]) == 24
    assert size_of(["record", 40, 8, [["a", 0, number]]]) == 40


@pytest.mark.parametrize("name", ["../../outside", "a/b", "x" * 300, ""])
def test_any_text_may_be_asked_for_as_a_type(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="none of that name"):
        Dwarf.of(image_samples.compiled("-g")).dtype(name)
    assert [each.name for each in tmp_path.iterdir()] == ["cache"]
