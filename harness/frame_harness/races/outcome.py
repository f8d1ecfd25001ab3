"""What two commands did, in parts that can be compared one by one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

OF_OTHER: Final = "other frame's "
"""Begins the part for a field of the second frame's slot."""


def is_of_second(part: str) -> bool:
    """Whether a part is what the second CPU's command came to, where it was on the second frame."""
    return part.startswith((OF_OTHER, "answer 2"))


@dataclass(frozen=True)
class RaceResult:
    """Parts by name: a field of the slot or of the second frame's, `hooks`, `answer 1`, `answer 1: v`.

    Attributes:
        slot: the bytes of the slot.
    """

    parts: dict[str, str]
    slot: bytes = field(default=b"", compare=False)

    def masked(self, part: str, mask: int) -> RaceResult:
        """The same with nothing but some bits of a part that is a number."""
        if part not in self.parts:
            return self
        return RaceResult({**self.parts, part: f"{int(self.parts[part], 0) & mask:#x}"}, self.slot)

    def nearest(self, legal: Collection[RaceResult]) -> RaceResult:
        """Return the legal outcome, the first of several, that differs in the fewest parts."""
        return min(legal, key=lambda one: len(self.differences([one], each_part=False)))

    def differences(self, legal: Collection[RaceResult], *, each_part: bool) -> list[str]:
        """Return the parts that no legal outcome explains; none when this outcome is legal.

        Args:
            each_part: parts may come from different outcomes; otherwise all must come from the same one.
        """
        if self in legal:
            return []
        alien = [
            name for name, value in self.parts.items() if all(value != one.parts.get(name) for one in legal)
        ]
        if alien or each_part:
            return alien
        # Each part is explained by itself, the whole is not: name the parts in which the orders differ.
        return [
            name for name, value in self.parts.items() if any(value != one.parts.get(name) for one in legal)
        ]


def answer_parts(cpu: int, answer: str) -> dict[str, str]:
    """Take the answer of a CPU's command apart: `ok v=0x5` is `ok`, and v is 0x5.

    All panics are alike: which words they have is nobody's promise.
    """
    word, _, rest = answer.partition(" ")
    name = f"answer {cpu}"
    if word in ("panic", "err"):
        return {name: word}
    if word == "fault":
        return {name: answer}
    fields = [field.partition("=") for field in rest.split() if "=" in field]
    kind = " ".join([word, *(field for field in rest.split() if "=" not in field)])
    return {name: kind, **{f"{name}: {key}": value for key, _, value in fields}}
