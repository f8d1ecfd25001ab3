"""What two commands did, in parts that can be compared one by one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

OF_OTHER: Final = "other frame's "
"""Begins the part for a field of the second frame's slot."""
OTHER_SLOTS: Final = "other slots"
"""The part for slots of frames that no command names."""
PartNames = tuple[str, ...]
"""Names of the parts that make one difference between outcomes: most often one."""


def is_of_second(part: str) -> bool:
    """Whether a part is what the second CPU's command came to, where it was on another frame."""
    return part.startswith((OF_OTHER, "answer 2"))


def frame_of_answer(cpu: int) -> str:
    """The part for the frame that a CPU's answer names: the one handed out."""
    return f"answer {cpu}: paddr"


def of_handed_out(cpu: int) -> str:
    """Begin the part for a field of the slot of yet another frame, which a CPU's answer names."""
    return f"answer {cpu}'s "


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
        return min(legal, key=lambda one: len(self.differences([one])))

    def differences(
        self, legal: Collection[RaceResult], of_one_order: Collection[str] | None = None
    ) -> list[PartNames]:
        """Return the parts that no legal outcome explains; none when this outcome is legal.

        Where each part is explained by itself and the whole is not, the parts in which the outcomes differ
        are one difference.

        Args:
            of_one_order: parts that must all come from the same outcome, all others from any; None for all.
        """
        names = list(dict.fromkeys(name for one in (self, *legal) for name in one.parts))
        alien = [name for name in names if all(self._differs(one, name) for one in legal)]
        if alien:
            return [(name,) for name in alien]
        whole = names if of_one_order is None else [name for name in names if name in of_one_order]
        if any(not any(self._differs(one, name) for name in whole) for one in legal):
            return []
        return [tuple(name for name in whole if any(self._differs(one, name) for one in legal))]

    def shown(self, difference: PartNames) -> str:
        """Return what the parts of a difference are here."""
        return ", ".join(self.parts.get(name, "") or "nothing" for name in difference)

    def _differs(self, other: RaceResult, name: str) -> bool:
        return self.parts.get(name) != other.parts.get(name)


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
