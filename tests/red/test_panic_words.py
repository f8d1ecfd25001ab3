"""Proves that a panic is one report, whatever its message does while it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import GuestCrashed, SubjectPanic
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine
from tests.support.doors import write_machine
from tests.support.mutants import Edit, mutated
from tests.support.same_place import same_place

pytestmark = pytest.mark.slow

IS_STORED = "        self.order.store(order, Release)\n    }\n"
# A message that is longer than one piece of the console, and logs while it is written.
TALKS: tuple[Edit, ...] = (
    (
        IS_STORED,
        '        self.order.store(order, Release);\n        if order == 101 { panic!("{Talks}") }\n    }\n',
    ),
    (
        "fn zero_payload",
        "struct Talks;\n\nimpl core::fmt::Display for Talks {\n"
        "    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {\n"
        '        f.write_str("begins ")?;\n        for _ in 0..40 {\n'
        '            f.write_str("the message goes on ")?;\n'
        '            crate::serial_println!("=1 ok, says a log line");\n        }\n'
        '        f.write_str("ends")\n    }\n}\n\nfn zero_payload',
    ),
)


@pytest.mark.parametrize("recovers", [True, False])
def test_a_panic_whose_message_logs_is_one_report(recovers: bool, tmp_path: Path) -> None:
    image = build(frame_module(mutated(same_place(), TALKS)), "release")
    with Kernel.boot(image, load_machine(write_machine(tmp_path))) as kernel:
        kernel.call(f"onpanic {'recover' if recovers else 'halt'}")
        with pytest.raises(SubjectPanic if recovers else GuestCrashed) as raised:
            kernel.call("slot.set_order 0x1060000 101")
        if recovers:
            assert kernel.call("slot.get_order 0x1060000")["v"] == 101, "it goes on"
    text = str(raised.value)
    assert "begins the message goes on" in text and "says a log line" not in text
