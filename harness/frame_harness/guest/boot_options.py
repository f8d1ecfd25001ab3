"""How a guest is started, as one value."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, TypedDict, TypeVar, Unpack

from frame_harness.base.errors import UsageError
from frame_harness.image.code_at import CodeAt
from frame_harness.machine.definition import Machine
from frame_harness.machine.guest import Guest
from frame_harness.machine.translation_log import TranslationLogs

STAGES: Final = ("none", "array", "full")
"""How far a guest goes by itself."""
G_co = TypeVar("G_co", covariant=True)


class BootArguments(TypedDict, total=False):
    """The fields of `BootOptions`, as keywords of a call."""

    init: str
    ram: int | str | None
    reserve: Sequence[tuple[int, int]]
    ramtop: int | None
    cpus: int | None
    seed: int | None
    extra: Sequence[str]
    debugger: int | Path | None
    at_power_on: Callable[[Guest], None] | None
    counts_instructions: bool
    logs: TranslationLogs | None
    records_input: bool
    hung_before: Callable[[CodeAt], bool] | None


def _number(name: str, given: object) -> int:
    """An address or a length, of numpy's integers, too."""
    try:
        number = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if isinstance(given, bool) or not 0 <= number < 1 << 64:
        raise _wrong(name, "an address, or a length, in bytes from 0 to 2**64 - 1", given)
    return number


def _wrong(name: str, expected: str, actual: object) -> UsageError:
    return UsageError(
        "boot option",
        name,
        expected=expected,
        actual=repr(actual),
        next_step="see `BootOptions` in docs/api.md",
    )


@dataclass(frozen=True, kw_only=True)
class BootOptions:
    """How a guest is started; two with the same plain options begin as the same guest."""

    init: str = "full"
    """How far the guest goes by itself: `none`, `array` or `full`."""
    ram: int | str | None = None
    """Size instead of the machine's, in bytes or as "32 MiB"."""
    reserve: Sequence[tuple[int, int]] = ()
    """(base, length) in bytes of islands cut out of the memory map."""
    ramtop: int | None = None
    """Address at which RAM ends, if lower than the machine's; any alignment."""
    cpus: int | None = None
    """Number of CPUs instead of the machine's, at most 8."""
    seed: int | None = 1
    """Of the garbage that RAM holds before power-on; None leaves zeroes, for measuring."""
    extra: Sequence[str] = ()
    """More words of the kernel's command line."""
    debugger: int | Path | None = None
    """Descriptor of a socket to a debugger; a guest that it holds meets only `total_wall_s`. Or the path at
    which a person's debugger finds QEMU: while it is attached, nothing is limited.
    """
    at_power_on: Callable[[Guest], None] | None = None
    """Is called before the guest's first instruction; a debugger lets it run then."""
    counts_instructions: bool = False
    """The time stamp counter ticks once for each instruction; one CPU, TCG."""
    logs: TranslationLogs | None = None
    """Where QEMU is to log the code that it translates."""
    records_input: bool = False
    """QEMU records what the guest gets from outside; nothing of it may be lost."""
    hung_before: Callable[[CodeAt], bool] | None = None
    """Tells of an address of the text whether guests hung there; one that stays there is given less time."""

    def __post_init__(self) -> None:
        """Make one value of equal options: a caller may give islands and words in any sequence.

        Raises:
            UsageError: the kernel would refuse one, by a panic that counts as a crash of the guest.
        """
        for island in self.reserve:
            if not isinstance(island, Sequence) or len(island) != 2:
                raise _wrong("reserve", "(base, length) of each island, in bytes", island)
        islands = tuple(
            (_number("reserve", base), _number("reserve", length)) for base, length in self.reserve
        )
        object.__setattr__(self, "reserve", islands)
        if self.ramtop is not None:
            object.__setattr__(self, "ramtop", _number("ramtop", self.ramtop))
        object.__setattr__(self, "extra", tuple(self.extra))
        if self.init not in STAGES:
            raise _wrong("init", f"one of {', '.join(STAGES)}", self.init)

    def plain(self, machine: Machine) -> BootOptions:
        """What decides how a guest of that machine begins, however it is watched."""
        return BootOptions(
            init=self.init, ram=machine.ram, reserve=self.reserve, ramtop=self.ramtop, cpus=machine.cpus,
            seed=self.seed, extra=self.extra,
        )  # fmt: skip

    def for_any_seed(self) -> BootOptions:
        """The same for all guests that differ in nothing but their garbage."""
        return replace(self, seed=1)

    @property
    def shown(self) -> str:
        """The plain options that were given, for a person."""
        plain = {
            "init": self.init, "ram": self.ram, "cpus": self.cpus, "ramtop": self.ramtop, "seed": self.seed,
            "reserve": self.reserve, "extra": self.extra,
        }  # fmt: skip
        return " ".join(f"{name}={value}" for name, value in plain.items() if value not in (None, ()))

    def words_of_memory(self) -> str:
        """The options that give a guest memory of its own, or words of its own; empty where none does."""
        special = {"reserve": self.reserve, "ramtop": self.ramtop, "extra": self.extra}
        return " ".join(f"{name}={value}" for name, value in special.items() if value)

    def command_line(self, cpus: int, nonce: str) -> str:
        """What the kernel is told when it boots."""
        words = [f"nonce={nonce}", f"init={self.init}", "onpanic=recover"]
        if self.reserve:
            words.append("reserve=" + ",".join(f"{base:#x}+{length:#x}" for base, length in self.reserve))
        if self.ramtop is not None:
            words.append(f"ramtop={self.ramtop:#x}")
        if cpus > 1:
            words.append(f"cpus={cpus}")
        return " ".join([*words, *self.extra])


AS_USUAL = BootOptions()


class Boots(Protocol[G_co]):
    """Starts guests, with options as keywords."""

    def __call__(self, **words: Unpack[BootArguments]) -> G_co: ...
