"""What a guest is started with, as one value."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from frame_harness.base.errors import UsageError
from frame_harness.guest.boot_options import AS_USUAL, BootArguments, BootOptions
from frame_harness.machine.definition import load_machine

MACHINE = load_machine("microvm")


@pytest.mark.parametrize(
    ("options", "cpus", "words"),
    [
        (BootOptions(), 1, ""),
        (BootOptions(extra=("red=bug:17", "x")), 1, " red=bug:17 x"),
        (BootOptions(reserve=((0x1000, 0x2000), (0x9000, 16))), 1, " reserve=0x1000+0x2000,0x9000+0x10"),
        (BootOptions(ramtop=0), 1, " ramtop=0x0"),
        (BootOptions(ramtop=0x123), 1, " ramtop=0x123"),
        (BootOptions(extra=("x",)), 3, " cpus=3 x"),
    ],
)
def test_a_kernel_is_told_what_differs_from_a_plain_boot(options: BootOptions, cpus: int, words: str) -> None:
    said = dataclasses.replace(options, init="array").command_line(cpus, "ab12")
    assert said == f"nonce=ab12 init=array onpanic=recover{words}"


def test_every_option_is_a_keyword_of_a_boot() -> None:
    assert set(BootArguments.__annotations__) == {one.name for one in dataclasses.fields(BootOptions)}


def test_options_from_lists_and_from_tuples_are_the_same_value() -> None:
    one = BootOptions(reserve=[(0x1000, 0x2000)], extra=["x"])
    assert one == BootOptions(reserve=((0x1000, 0x2000),), extra=("x",))
    assert hash(one) == hash(BootOptions(reserve=((0x1000, 0x2000),), extra=("x",)))


def test_an_option_that_no_guest_has_is_refused() -> None:
    with pytest.raises(TypeError, match="iinit"):
        BootOptions(**{"iinit": "none"})  # type: ignore[arg-type]


def test_plain_options_are_without_those_who_watch_the_guest() -> None:
    watched = BootOptions(init="none", seed=3, debugger=7, counts_instructions=True, records_input=True)
    assert watched.plain(MACHINE) == BootOptions(init="none", seed=3, ram=MACHINE.ram, cpus=MACHINE.cpus)


def test_memory_of_its_own_is_named_by_the_options_that_make_it() -> None:
    assert AS_USUAL.words_of_memory() == ""
    assert BootOptions(init="none", cpus=2).words_of_memory() == ""
    assert "ramtop=4096" in BootOptions(ramtop=0x1000).words_of_memory()
    assert BootOptions(reserve=[(0, 1)]).words_of_memory() != BootOptions(reserve=[(0, 2)]).words_of_memory()


def test_numbers_of_numpy_are_numbers() -> None:
    options: dict[str, Any] = {"ramtop": np.int64(0x1000), "reserve": [(np.uint64(1), np.int32(2))]}
    found = BootOptions(**options)
    assert found == BootOptions(ramtop=0x1000, reserve=[(1, 2)])
    assert type(found.ramtop) is int


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"init": "what"}, "init: expected one of none, array, full, got 'what'"),
        ({"reserve": [(-1, 4096)]}, "reserve: expected an address, .*, got -1"),
        ({"ramtop": 1 << 64}, "ramtop: expected an address, .*, got 18446744073709551616"),
        ({"ramtop": "1 MiB"}, "ramtop: expected an address, .*, got '1 MiB'"),
        ({"ramtop": True}, "ramtop: expected an address, .*, got True"),
        ({"reserve": [5]}, r"reserve: expected \(base, length\) .*, got 5"),
        ({"reserve": [(1, 2, 3)]}, r"reserve: expected \(base, length\) .*, got \(1, 2, 3\)"),
    ],
)
def test_an_option_that_no_kernel_takes_is_no_crash_of_the_guest(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        BootOptions(**options)
