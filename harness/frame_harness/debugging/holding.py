"""Holds a guest for a person's debugger: says how to start gdb, waits, and lets the check go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError
from frame_harness.debugging.gdb_command import GdbCommand
from frame_harness.debugging.guests import POWER_ON, HeldGuests, Position, TracedGuests
from frame_harness.debugging.session import FailedCheck, again
from frame_harness.debugging.sockets import socket_folder
from frame_harness.debugging.stops import Stops, stops_at, stops_beside, stops_of
from frame_harness.debugging.waiting import until_attached, until_left
from frame_harness.machine.guest import Guest
from frame_harness.session.request import SessionRequest


@dataclass(frozen=True)
class HoldPlace:
    """Where a check is held, with the places where gdb stops then.

    Attributes:
        note: why it is not the place that was asked for; else empty.
    """

    at: Position
    stops: Stops
    note: str = ""


def where_to_hold(
    request: SessionRequest, failure: FailedCheck, place: str, *, before_last: bool
) -> HoldPlace:
    """Find the last command in which the finding's code runs.

    Args:
        place: a `FILE:LINE` instead of the finding's; then the check is held at the guest's first command.
        before_last: before the last command in any case, without breakpoints.
    Raises:
        UsageError: `place` has no code.
        HarnessError: the guest cannot be held.
    """
    if failure.driven:
        raise HarnessError(
            "check", failure.check.check,
            detail="it holds its guest by a debugger of its own, and QEMU has room for one",
            next_step="its report names the instructions between which the CPUs took turns",
        )  # fmt: skip
    last, nowhere = failure.at, Stops("", ())
    if before_last:
        return HoldPlace(last, nowhere)
    if place:
        return HoldPlace(Position(last.guest, min(last.command, 0)), stops_at(place, failure.image))
    stops = stops_of(failure.result, failure.image)
    if not stops.vaddrs:
        beside = stops_beside(failure.result.function, failure.command(last), failure.image)
        return HoldPlace(
            last, beside, "the compiler left no code of the finding's line" if stops.words else ""
        )
    if last.command == POWER_ON:
        return HoldPlace(last, stops)
    traced = TracedGuests(last.guest, stops.vaddrs)
    if again(request, failure, traced) is None:
        raise _passed(failure)
    if reached := [at for at in traced.reached if at.guest == last.guest and at <= last]:
        return HoldPlace(reached[-1], stops)
    return HoldPlace(
        Position(last.guest, POWER_ON),
        stops,
        "no command of the check runs it: perhaps the guest does while it boots",
    )


@dataclass
class HeldCheck:
    """One check that is made under a debugger.

    Attributes:
        vscode: where to write a launch.json; None for nowhere.
    """

    request: SessionRequest
    failure: FailedCheck
    where: HoldPlace
    say: Say
    vscode: Path | None = None

    def run(self) -> FailedCheck | None:
        """Make the check; returns how it failed this time, None where it passed.

        Raises:
            HarnessError: the check went another way than before.
        """
        with socket_folder() as folder:
            self._socket = folder / "gdb"
            self._guests = HeldGuests(self.where.at, self._socket, self._hold)
            found = again(self.request, self.failure, self._guests, self._after)
            if self._guests.held is None:
                raise _passed(self.failure)
            return found

    def _hold(self, guest: Guest) -> None:
        failure, at, stops = self.failure, self.where.at, self.where.stops
        command = GdbCommand.write(failure.image, self._socket, stops.vaddrs)
        if self.vscode is not None:
            command.write_launch_json(self.vscode)
        asked = failure.command(at)
        said = self._guests.commands[at.guest][at.command] if at.command != POWER_ON else ""
        if said != asked:
            raise _passed(failure)
        self.say(_standing(failure, at))
        if self.where.note:
            self.say(f"note: {self.where.note}")
        if stops.vaddrs:
            self.say(f"gdb stops at {stops.words}")
        self.say(f"in another terminal:\n  {command.shell()}")
        if self.vscode is not None:
            self.say(f"or start the configuration in {self.vscode}")
        self.say("limits are off while gdb is attached; Ctrl-C here ends the guest")
        try:
            until_attached(guest)
        except BaseException:
            guest.kill()
            raise
        self.say("gdb is attached")

    def _after(self) -> None:
        guest = self._guests.held
        if guest is not None and guest.debugger_attached():
            self.say("the check has failed; its guest stays until gdb detaches")
            until_left(guest)


def _standing(failure: FailedCheck, at: Position) -> str:
    commands = failure.commands[at.guest]
    which = f" {at.guest + 1} of {len(failure.commands)}" if len(failure.commands) > 1 else ""
    if at.command == POWER_ON:
        return f"guest{which} stands before its first instruction"
    return f"guest{which} stands before command {at.command + 1} of {len(commands)}: {commands[at.command]}"


def _passed(failure: FailedCheck) -> HarnessError:
    return HarnessError(
        "check", failure.check.check, detail="it went another way when it was made again",
        next_step="a race does that: `storm --again` repeats one until it shows",
    )  # fmt: skip
