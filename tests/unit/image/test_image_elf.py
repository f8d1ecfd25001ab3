"""Symbols are found, and a file that is no kernel is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frame_harness.base.units import Vaddr
from frame_harness.image.demangle import NotMangled, demangle, demangle_v0
from frame_harness.image.dwarf import Dwarf
from frame_harness.image.elf import Elf
from frame_harness.image.errors import ImageError
from tests.unit import image_samples


def test_symbol_has_address_with_size() -> None:
    elf = Elf.read(image_samples.compiled("-g"))
    vaddr, size = elf.symbol("_start")
    assert vaddr > 0
    assert size > 0
    assert elf.function_at(vaddr) == ("_start", 0)
    assert elf.function_at(Vaddr(vaddr + size - 1)) == ("_start", size - 1)


def test_what_was_kept_of_a_file_is_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    path = image_samples.compiled("-g")
    read = Elf.read(path)
    assert [Elf.of(path, "a" * 64), Elf.of(path, "a" * 64)] == [read, read]
    assert Elf.of(tmp_path / "gone", "a" * 64).symbols == read.symbols, "it was read once more"


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"symbols": {}}'])
def test_what_was_kept_and_damaged_is_read_again(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    path = image_samples.compiled("-g")
    read = Elf.of(path, "a" * 64)
    [file] = tmp_path.rglob("*-symbols.json")
    file.write_text(damage, encoding="utf-8")
    assert Elf.of(path, "a" * 64) == read


def test_build_id_differs_when_the_code_does() -> None:
    ids = {Elf.read(image_samples.compiled(*flags)).build_id for flags in (("-g",), ("-g", "-O"))}
    assert len(ids) == 2
    assert all(len(bytes.fromhex(text)) == 20 for text in ids)


def test_address_outside_of_every_function_has_no_name() -> None:
    elf = Elf.read(image_samples.compiled("-g"))
    assert [elf.function_at(Vaddr(vaddr)) for vaddr in (0, 1 << 40, (1 << 64) - 1)] == [None] * 3


def test_unknown_symbol_is_one_line() -> None:
    with pytest.raises(ImageError, match="no_such_symbol") as raised:
        Elf.read(image_samples.compiled("-g")).symbol("no_such_symbol")
    assert "\n" not in raised.value.summary


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"\x7fEL", "begins with"),
        (b"#!/bin/sh\n", "begins with"),
        (b"\x7fELF", "damaged"),
        (b"\x7fELF" + bytes(200), "damaged"),
        (b"\x7fELF\x02\x01\x01" + b"\xff" * 300, "damaged"),
    ],
)
def test_file_that_is_no_elf_is_refused_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(content)
    for read in (lambda: Elf.read(path), lambda: Dwarf.of(path).layout("MetaSlot")):
        with pytest.raises(ImageError, match=words) as raised:
            read()
        assert "\n" not in raised.value.summary


def test_missing_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        Elf.read(tmp_path / "absent")


def test_stripped_file_is_refused_by_name() -> None:
    path = image_samples.compiled("-g", "-Cstrip=symbols")
    with pytest.raises(ImageError, match="stripped"):
        Elf.read(path).symbol("_start")
    with pytest.raises(ImageError, match="stripped"):
        Dwarf.of(path).layout("MetaSlot")


@settings(max_examples=60)
@given(st.data())
def test_damaged_file_never_raises_anything_but_image_error(data: st.DataObject) -> None:
    whole = bytearray(image_samples.compiled("-g").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = image_samples.folder() / "damaged"
    path.write_bytes(whole[: data.draw(st.integers(5, len(whole)))])
    try:
        Elf.read(path).function_at(Vaddr(0))
        dwarf = Dwarf.of(path)
        dwarf.layout("MetaSlot")
        dwarf.places_of(Vaddr(0))
    except ImageError as error:
        assert "\n" not in error.summary


@pytest.mark.parametrize(
    ("symbol", "readable"),
    [
        (
            "_ZN11kernel_shim6memory5frame8get_meta17h50e48689bb98f19eE",
            "kernel_shim::memory::frame::get_meta",
        ),
        (
            "_ZN75_$LT$kernel_shim..memory..frame..Frames$u20$as$u20$core..iter..Iterator$GT$4next17h50e48689bb98f19eE",
            "<kernel_shim::memory::frame::Frames as core::iter::Iterator>::next",
        ),
        ("_RNvNtCsfLfy6EI15iL_7mycrate3foo3bar", "mycrate::foo::bar"),
        (
            "_RNvMs2_NtNtCsgiwCDaxSk53_11kernel_shim6memory5frameNtB5_17FrameAllocOptions8allocate",
            "kernel_shim::memory::frame::FrameAllocOptions::allocate",
        ),
        (
            "_RNvXs_NtNtNtCs1_11kernel_shim6memory5buddy5blockNtB4_5BlockNtNtCs2_4core3fmt7Display3fmt",
            "<kernel_shim::memory::buddy::block::Block as core::fmt::Display>::fmt",
        ),
        ("_RNvXs1g_NtCs2_4core3fmtRjNtB6_5Debug3fmtCs1_11kernel_shim", "<&usize as core::fmt::Debug>::fmt"),
        ("_RINvNtCs2_4core3ptr4readAhj10_KCs1_1aNtB8_1bE", "_RINvNtCs2_4core3ptr4readAhj10_KCs1_1aNtB8_1bE"),
        ("_RINvNtCs2_4core3ptr4readAhj10_LpE", "_RINvNtCs2_4core3ptr4readAhj10_LpE"),
        ("_RINvNtCs2_4core3ptr4readAhj10_FUKCQL_eEuDNtB2_4SeekEL_E", "core::ptr::read"),
        ("_RNCNvNtCs1_1a1b3run0", "a::b::run::{{closure}}"),
        ("_RNvNtCs1_11kernel_shim3smp7RUNNING.0.llvm.2173054097886171525", "kernel_shim::smp::RUNNING"),
        ("_RNvB_1a", "_RNvB_1a"),
        ("_start", "_start"),
        ("", ""),
        ("_ZN", "_ZN"),
        ("_R", "_R"),
        ("_ZN999frame", "frame"),
    ],
)
def test_symbol_becomes_readable(symbol: str, readable: str) -> None:
    assert demangle(symbol) == readable


@given(st.text())
def test_any_text_can_be_demangled(text: str) -> None:
    for symbol in (text, f"_ZN{text}", f"_R{text}"):
        assert isinstance(demangle(symbol), str)


def test_a_name_of_the_newer_scheme_is_read_or_refused() -> None:
    assert demangle_v0("_RNvNtCs1234_7mycrate3foo3bar") == "mycrate::foo::bar"
    with pytest.raises(NotMangled):
        demangle_v0("_R?")
