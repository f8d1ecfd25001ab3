"""Proves that the guest takes a request as it comes: at once, in pieces, of any length."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from frame_harness.console.protocol import MAX_REQUEST_BYTES
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine


@pytest.fixture(params=["microvm", "q35"])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    with Kernel.boot(build(frame_module(), "dev"), load_machine(request.param)) as kernel:
        yield kernel


def wait_until_asleep(kernel: Kernel) -> None:
    limit = kernel.guest.deadline("the guest to sleep")
    while not kernel.guest.vcpus()[0].halted:
        limit.check(0)


def hear(kernel: Kernel, wanted: bytes) -> bytes:
    """What the guest says, up to the end of the line with these bytes."""
    limit, said = kernel.guest.deadline("an answer"), b""
    kernel.guest.console.settimeout(60)
    while b"\n" not in said.partition(wanted)[2]:
        piece = kernel.guest.console.recv(4096)
        assert piece, f"the guest is gone after {said!r}"
        said += piece
        limit.check(0)
    return said


def test_a_request_is_answered_wherever_its_last_byte_falls_in_the_fifo(kernel: Kernel) -> None:
    for length in [*range(1, 60), MAX_REQUEST_BYTES - 10]:
        reply = kernel.request("x" * length)
        assert reply.status == "err", reply


def test_a_request_that_comes_in_pieces_with_pauses_is_one(kernel: Kernel) -> None:
    """As a person types: each piece is echoed when the guest has taken all of it."""
    wait_until_asleep(kernel)
    kernel.guest.console.settimeout(60)
    for piece in (b"s", b"ta", b"ts 12345678901", b"\x08" * 12):
        kernel.guest.console.sendall(piece)
        echo = piece.replace(b"\x08", b"\x08 \x08")
        while echo:
            said = kernel.guest.console.recv(len(echo))
            assert said and echo.startswith(said)
            echo = echo.removeprefix(said)
        wait_until_asleep(kernel)
    kernel.guest.console.sendall(b"\n")
    assert hear(kernel, b"\n=0 ").partition(b"\n=0 ")[2].startswith(b"ok ")


def test_requests_that_were_sent_ahead_are_answered_one_after_the_other(kernel: Kernel) -> None:
    kernel.guest.console.sendall(b"".join(b"%d stats\n" % seq for seq in range(1, 41)))
    said = hear(kernel, b"\n=40 ")
    assert [line.split()[0] for line in said.splitlines() if line.startswith(b"=")] == [
        b"=%d" % seq for seq in range(1, 41)
    ]
