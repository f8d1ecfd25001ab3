"""Turns the commands of a script into steps that can be varied: frames are named by where they came from."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from frame_harness.base.units import Paddr, Pfn, frames_from, paddr_to_pfn
from frame_harness.frame_histories.commands import Command, CommandOperand, Op, OperandKind
from frame_harness.frame_histories.steps import Cached, Got, OperandOrigin, Step
from frame_harness.frame_metadata.model import Model


class Lifted:
    """Writes the history of a script while it is played: only then is known who gave a frame."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._left = deque(enumerate(commands))
        self._from: dict[Pfn, Got] = {}
        """By pfn the step that handed it out last."""

    def next(self, model: Model) -> Step | None:
        """The next step, None at the end."""
        if not self._left:
            return None
        number, command = self._left.popleft()
        kinds = command.op.kinds
        operands = [
            self._origin(operand, model) if at < len(kinds) and kinds[at] is OperandKind.FRAME else operand
            for at, operand in enumerate(command.operands)
        ]
        return Step(number, command.op, tuple(operands))

    def note(self, step: Step, handed_out: tuple[Paddr, ...]) -> None:
        """Learn what a step handed out."""
        asked = step.operands[0] if step.op in (Op.BUDDY_ALLOC, Op.TRAIT_ALLOC) else 0
        frames = 1 << asked if isinstance(asked, int) else 1
        for index, paddr in enumerate(handed_out):
            for shift, pfn in enumerate(frames_from(paddr_to_pfn(paddr), frames)):
                self._from[pfn] = Got(step.number, index, shift)

    def _origin(self, operand: CommandOperand, model: Model) -> CommandOperand | OperandOrigin:
        if not isinstance(operand, int):
            return operand
        pfn = paddr_to_pfn(Paddr(operand))
        free = [each for each, _, _ in reversed(model.buddy.cached_frames())]
        if pfn in free and free.index(pfn) < 8:
            return Cached(free.index(pfn))
        return self._from.get(pfn, operand)
