"""A booted guest that can run commands which lie in its RAM."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from frame_harness.base.guest_end import GuestEnd
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.program import Ask, Program, runs_programs
from frame_harness.guest.reply import Reply, checked


class ProgrammedGuest(BootedGuest):
    """A guest at its prompt, whose image may know how to run commands in RAM."""

    @cached_property
    def program(self) -> Program:
        """Runs commands that lie in RAM."""
        return Program(self)

    @property
    def runs_programs(self) -> bool:
        """Whether commands may run that lie in RAM: not where somebody follows command by command."""
        return self.before is None and runs_programs(self.image)

    def finish(self, how: str = "pass") -> tuple[GuestEnd, str]:
        """Ask the guest to exit, as any other does; what runs programs is let go of.

        It refers to this guest: until Python looks for such circles, the two would keep its memory, and its
        QEMU from the next guest.
        """
        end = super().finish(how)
        vars(self).pop("program", None)
        return end

    def batch(self, commands: Sequence[str]) -> list[Reply]:
        """Run many commands in few round trips; raises what `call` does for the first that does not succeed.

        Where the image runs commands in RAM, those behind it have run by then, too; whoever follows command
        by command sees all of them.
        """
        if not runs_programs(self.image):
            return super().batch(commands)
        if not self.runs_programs:
            return [
                checked(reply, self.followed_field)
                for reply in [self.request(command) for command in commands]
            ]
        replies = self.program.run([Ask(command) for command in commands]).replies
        for index, reply in enumerate(replies):
            if reply.status != "ok":
                self.program.tell(replies, index)
            checked(reply, self.followed_field)
        return replies
