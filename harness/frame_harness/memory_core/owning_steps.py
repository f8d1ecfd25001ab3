"""Steps of a case that are about the owners of blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from frame_harness.histories.shrink import PlainStep
from frame_harness.memory_core.ownership import ALL, BY_CAP, PARTS, REQUESTS

MARKS: Final = ("cow", "plain", "dll")
"""What a frame is marked as: copied when first written to; not any more; a library's."""
MOST_SHARING: Final = 4
SHARED_BY: Final = ("caps", "pins")
"""How the owners of a shared frame are counted: by a capability each, or all but the first by a pin."""


@dataclass(frozen=True)
class Own(PlainStep):
    """One request to the ownership table, for a block or a part of it; of several blocks the last one."""

    how: str
    """One of `REQUESTS`."""
    name: str
    cap: int = 1
    """The capability, for those in `BY_CAP`."""
    part: str = ALL
    """One of `PARTS`."""

    def simpler(self) -> Iterator[Own]:
        """Yield the request for the whole block, then as capability 1."""
        if self.part != ALL:
            yield replace(self, part=ALL)
        if self.cap != 1:
            yield replace(self, cap=1)

    def __str__(self) -> str:
        cap = f" as {self.cap}" if self.how in BY_CAP else ""
        return f"own {self.how} {self.part} of {self.name}{cap}"


@dataclass(frozen=True)
class Mark(PlainStep):
    """Mark the first frame of a block as one of `MARKS`; of several blocks the last one."""

    mark: str
    name: str

    def __str__(self) -> str:
        return f"mark {self.mark} {self.name}"


@dataclass(frozen=True)
class CopyOnWrite(PlainStep):
    """A frame that several address spaces share; they write to it and leave it in a random order."""

    owners: int
    by: str
    """One of `SHARED_BY`."""
    seed: int

    def simpler(self) -> Iterator[CopyOnWrite]:
        """Yield fewer owners, two first, then owners that are counted by capabilities."""
        if self.owners > 2:
            yield replace(self, owners=2)
            yield replace(self, owners=self.owners - 1)
        if self.by != SHARED_BY[0]:
            yield replace(self, by=SHARED_BY[0])

    def __str__(self) -> str:
        return f"copy on write of {self.owners} by {self.by} seed {self.seed}"


OwningStep = Own | Mark | CopyOnWrite

FORMS: Final[tuple[tuple[re.Pattern[str], Callable[..., OwningStep]], ...]] = (
    (
        re.compile(rf"own ({'|'.join(BY_CAP)}) ({'|'.join(PARTS)}) of (\w+) as (\d{{1,20}})"),
        lambda how, part, name, cap: Own(how, name, int(cap), part),
    ),
    (
        re.compile(rf"own ({'|'.join(set(REQUESTS) - set(BY_CAP))}) ({'|'.join(PARTS)}) of (\w+)"),
        lambda how, part, name: Own(how, name, part=part),
    ),
    (re.compile(rf"mark ({'|'.join(MARKS)}) (\w+)"), Mark),
    (
        re.compile(rf"copy on write of ([2-{MOST_SHARING}]) by ({'|'.join(SHARED_BY)}) seed (\d{{1,20}})"),
        lambda owners, by, seed: CopyOnWrite(int(owners), by, int(seed)),
    ),
)
"""How such steps are written; see `steps.parsed`."""
