"""What several CPUs did, as values that a report shows as words and as a picture."""

from __future__ import annotations

from frame_harness.base.record import Count, Record, Seconds

INITIAL = -1
"""In the place of an event: the value from before all events."""


# ---- A forced interleaving


class SlotAccess(Record, frozen=True, kw_only=True):
    """One access of a CPU to a field of a slot; what one instruction does in one go is one access.

    `found` is what it read, `left` what it wrote; either is None where it does not, or where that was not
    seen. `at` is the instruction's `file:line`, or `function+0x12` where no line is known.
    """

    cpu: Count
    field: str
    reads: bool
    writes: bool
    found: Count | None = None
    left: Count | None = None
    at: str = ""


class Hold(Record, frozen=True, kw_only=True):
    """Where a CPU stood while the other one ran.

    `instructions` of its operation it had executed, `at` is the next one's place. `inside`: it had done the
    load of that instruction, not yet the store. `field` is the one that the instruction accesses, where that
    is known.
    """

    cpu: Count
    instructions: Count
    at: str
    inside: bool = False
    field: str = ""

    @property
    def where(self) -> str:
        """The words between the CPU and the instruction that it stood at."""
        return "between load and store of" if self.inside else "before"

    def describe(self) -> str:
        """Where it stood, by the number of the instruction."""
        return f"cpu {self.cpu} stopped {self.where} instruction {self.instructions + 1}, {self.at}"


class Interleaving(Record, frozen=True, kw_only=True, tag_field="kind", tag="interleaving"):
    """Two operations of two CPUs: the first one was held in its middle while the other one ran.

    `accesses` are in the order in which they happened; `held_after` is how many of them came before the
    first CPU was held, `meanwhile` how many of the next ones are the other CPU's. `alone` says that the
    accesses were seen while the first operation ran by itself, up to where it was held: of the rest nothing
    was recorded. `state` is what the frame was at the beginning. `part` is what must be as in one of two
    `orders`: first then second operation, second then first; `got` is what it was. `field` is the
    slot's field that is about, where it is one.
    """

    operations: tuple[str, str]
    hold: Hold
    part: str
    orders: tuple[str, str]
    got: str
    field: str = ""
    state: str = ""
    accesses: tuple[SlotAccess, ...] = ()
    held_after: Count = 0
    meanwhile: Count = 0
    alone: bool = False

    @property
    def wrong(self) -> frozenset[int]:
        """The accesses, by index, that see or do what no order allows.

        Where the other CPU only reads the field, its reads find it half done. Else the first CPU goes on with
        what is no longer so.
        """
        behind = self.held_after + self.meanwhile
        others = self._of_the_field(range(self.held_after, behind))
        if others and not any(self.accesses[at].writes for at in others):
            return frozenset(others)
        return frozenset(self._of_the_field(range(behind, len(self.accesses)))[:1])

    def _of_the_field(self, places: range) -> list[int]:
        return [at for at in places if self.accesses[at].field == (self.field or self.hold.field)]

    @property
    def what(self) -> str:
        """What was looked at, and how it came about."""
        if not self.state:
            return f"{self.part} ({self.hold.describe()})"
        first, second = self.operations
        return (
            f"{second} while {first} is held {self.hold.where} its access to {self.hold.field}"
            f" at {self.hold.at}; frame {self.state}: {self.part}"
        )

    @property
    def expected(self) -> str:
        """What either order leaves, joined by `or`; said once where both leave the same."""
        return " or ".join(dict.fromkeys(self.orders))


# ---- Memory orderings


class OrderingEvent(Record, frozen=True, kw_only=True):
    """One access or fence of a CPU as the compiled code has it.

    `words` are the access with its memory ordering in Rust's words. `place` is the field or static, empty
    for a fence. `reads_from` is, for a read, the index of the event whose value it returns, `INITIAL` for
    the value from before; None where it reads nothing. `found` is what it read, `left` what it wrote, where
    that is known: a number, or a word for any value. `weak` marks the access that is to blame, `stale` a
    read that returns what it may no longer. `given` marks what is assumed of a CPU that runs other code: it
    is no access of the subject.
    """

    cpu: Count
    words: str
    place: str = ""
    found: str = ""
    left: str = ""
    at: str = ""
    reads_from: int | None = None
    weak: bool = False
    stale: bool = False
    given: bool = False


class OrderingTrace(Record, frozen=True, kw_only=True, tag_field="kind", tag="ordering"):
    """What two CPUs may do and see, given the memory orderings of compiled code.

    `events` are in an order in which they may happen; each CPU's are in the order of its program. Without any
    of the second CPU no small program shows that a CPU sees anything wrong; then the events are the path.
    """

    function: str
    expected: str
    got: str
    consequence: str
    events: tuple[OrderingEvent, ...] = ()


# ---- Storms


class RateSample(Record, frozen=True, kw_only=True):
    """Steps that each CPU had carried out by a moment, in seconds from the beginning of a run."""

    at_s: Seconds
    steps: tuple[Count, ...]


class StormMoment(Record, frozen=True, kw_only=True):
    """What was wrong on a CPU for the first time, and when."""

    cpu: Count
    at_s: Seconds
    what: str


class StormRates(Record, frozen=True, kw_only=True, tag_field="kind", tag="storm"):
    """How fast the CPUs of a storm carried out the steps of their programs, over time.

    `samples` are cumulative counts, the last one at the end of the run; each has a number for each of `cpus`.
    """

    storm: str
    cpus: tuple[Count, ...]
    samples: tuple[RateSample, ...]
    wrong: tuple[StormMoment, ...] = ()

    def rates(self, cpu: int) -> tuple[tuple[float, float, float], ...]:
        """Steps a second of one CPU: (from, to, rate), times in seconds."""
        place = self.cpus.index(cpu)
        before = (0.0, 0)
        found: list[tuple[float, float, float]] = []
        for sample in self.samples:
            began, steps = before
            took = sample.at_s - began
            if took > 0:
                found.append((began, sample.at_s, max(0, sample.steps[place] - steps) / took))
                before = sample.at_s, sample.steps[place]
        return tuple(found)


Diagram = Interleaving | OrderingTrace | StormRates
"""Told apart in JSON by `kind`."""
