"""What a guest goes through from power-on to its first prompt."""

from __future__ import annotations

from collections.abc import Callable

from frame_harness.base.errors import BootError, HarnessError
from frame_harness.console.channel import Channel
from frame_harness.console.protocol import Banner
from frame_harness.guest.ending import explain
from frame_harness.guest.remains import leave
from frame_harness.image.guest_word import check_profile
from frame_harness.image.image import Image
from frame_harness.machine.guest import Guest


def first_prompt(
    guest: Guest, channel: Channel, image: Image, nonce: str, at_power_on: Callable[[Guest], None] | None
) -> Banner:
    """Wait for the prompt; a guest that does not come to it is ended, and leaves what tells why."""
    try:
        if at_power_on is not None:
            at_power_on(guest)
        return _greeting(guest, channel, image, nonce)
    except HarnessError as error:
        failure = explain(error, guest, channel, image)
        leave(failure, guest, channel, image)
        guest.close()
        if failure is error:
            raise
        raise failure from error
    except BaseException:
        guest.close()
        raise


def _greeting(guest: Guest, channel: Channel, image: Image, nonce: str) -> Banner:
    """Wait for the prompt; what comes up must be this image, on as many CPUs as were asked for."""
    banner = channel.boot(guest.boot_deadline(tail=channel.tail), nonce=nonce, build_id=image.build_id)
    if (running := banner.fields.int("cpus")) != guest.machine.cpus:
        raise BootError("banner", "cpus", expected=str(guest.machine.cpus), actual=str(running))
    check_profile(image.profile, banner.fields)
    return banner
