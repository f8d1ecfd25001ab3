"""The steps of a case that count instructions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from frame_harness.base.errors import UsageError
from frame_harness.histories.shrink import PlainStep
from frame_harness.memory_core.state import KINDS, MAX_ORDER


@dataclass(frozen=True)
class WorkOfBoot(PlainStep):
    """Count the instructions of a start on the map, and on an eighth of it."""

    def __str__(self) -> str:
        return "work of boot"


@dataclass(frozen=True)
class WorkOf(PlainStep):
    """Count the instructions of operations among scattered blocks, on the map and on an eighth of it."""

    order: int
    kind: str = KINDS[0]

    def simpler(self) -> Iterator[WorkOf]:
        """Yield the first of `KINDS`, then smaller orders, 0 first."""
        if self.kind != KINDS[0]:
            yield replace(self, kind=KINDS[0])
        for order in (0, self.order // 2, self.order - 1):
            if 0 <= order < self.order:
                yield replace(self, order=order)

    def __str__(self) -> str:
        return f"work of order {self.order} {self.kind}"


WorkStep = WorkOfBoot | WorkOf


def require_countable(step: WorkStep, operations: int) -> None:
    """Refuse work that cannot be counted.

    Args:
        operations: of the case, this one included.
    Raises:
        UsageError: it is not alone, since the core is started again for it; or no core has such an order.
    """
    if operations > 1:
        raise UsageError(
            "case", str(step), expected="no other operation", actual="some beside it",
            next_step="leave the others out",
        )  # fmt: skip
    if isinstance(step, WorkOf) and step.order > MAX_ORDER:
        raise UsageError(
            "case", str(step), expected=f"an order of at most {MAX_ORDER}", actual=step.order,
            next_step="name a smaller order",
        )  # fmt: skip
