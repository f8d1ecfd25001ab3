"""Proves that what comes from outside is a value or refused, whatever it is."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from frame_harness.base.errors import MachineError, UsageError
from frame_harness.base.units import parse_bytes
from frame_harness.machine.definition import Machine, machine_from
from frame_harness.machine.flatview import parse_flat_view
from frame_harness.machine.ram import FILL_ALL_LIMIT, GARBAGE_PERIOD, filled_parts, garbage_at, garbage_block
from frame_harness.machine.vcpu import parse_registers

KEYS = st.sampled_from(
    ["type", "ram", "cpus", "cpu", "options", "limits", "extra_args", "firmware", "accel", "qemu", "x"]
)
ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["q35", "64M"])
)
VALUES = st.one_of(
    ATOMS, st.lists(ATOMS, max_size=3), st.dictionaries(st.text(max_size=8), ATOMS, max_size=3)
)
LINES = st.sampled_from(
    ["FlatView #0", ' AS "memory", root: system', "  0000000000000000-00000000000bffff (prio 0, ram): ram",
     "  0000000000000000-00000000000bffff (prio 0, ram): ram @zz", "CPU#0", "CPU#99",
     "RIP=0 RFL=2 HLT=1", "CR3=00"]
)  # fmt: skip


@given(st.dictionaries(KEYS, VALUES), st.booleans())
def test_any_definition_is_a_machine_or_refused(data: dict[str, Any], complete: bool) -> None:
    base = {"type": "q35", "ram": "64 MiB"} if complete else {}
    with contextlib.suppress(UsageError):
        assert isinstance(machine_from("m", {**base, **data}, where="m.toml"), Machine)


@given(st.lists(st.one_of(LINES, st.text(max_size=60))).map("\n".join))
def test_any_monitor_output_is_read_or_refused(text: str) -> None:
    parse_registers(text)
    with contextlib.suppress(MachineError):
        assert parse_flat_view(text)


@given(st.one_of(st.text(), st.integers()))
def test_any_size_is_positive_or_refused(text: str | int) -> None:
    with contextlib.suppress(UsageError):
        assert parse_bytes(text) > 0


@given(st.integers(1, 1 << 42))
def test_filled_parts_lie_in_order_inside_the_file(size: int) -> None:
    parts = filled_parts(size)
    assert parts[0][0] == 0 and parts[-1][1] == size
    assert all(first < end for first, end in parts)
    if size <= FILL_ALL_LIMIT:
        assert parts == ((0, size),)


@given(st.integers(0, 3 * GARBAGE_PERIOD), st.integers(0, 5000))
def test_garbage_is_the_same_from_wherever_it_is_read(offset: int, length: int) -> None:
    twice = garbage_block(1) * 5
    assert garbage_at(1, offset, length) == twice[offset : offset + length]
