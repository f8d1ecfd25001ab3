"""A check's commands are followed to the places in its code."""

from __future__ import annotations

from frame_harness.debugging.guests import MOST_TIMES, Position, TracedGuests
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.code_starts import CodeStarts
from frame_harness.machine.definition import load_machine


def test_a_command_that_comes_to_a_place_too_often_hides_no_later_one() -> None:
    image = build(frame_module(), "dev")
    guests = TracedGuests(0, CodeStarts.of(image).of_function("FrameAllocOptions::allocate"))
    with guests.boot(Kernel, image, load_machine("microvm")) as kernel:
        paddr = kernel.alloc()
        kernel.call("alloc.all", "new", "zeroed=0")
        kernel.slot(paddr).get_refcount()
        kernel.release(paddr)
        assert kernel.alloc(zeroed=False) == paddr
    guests.close()
    times = {at.command: guests.reached.count(at) for at in guests.reached}
    assert {at.guest for at in guests.reached} == {0}
    assert times.keys() == {0, 1, 4} and times[1] == MOST_TIMES
    assert guests.here == Position(0, 5)  # it was asked to exit
