"""The values in which compiled memory accesses are told: orderings, accesses, paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class MemoryOrder(StrEnum):
    """A memory ordering as LLVM writes it; `na` is a plain access."""

    PLAIN = "na"
    UNORDERED = "unordered"
    MONOTONIC = "monotonic"
    ACQUIRE = "acquire"
    RELEASE = "release"
    ACQ_REL = "acq_rel"
    SEQ_CST = "seq_cst"

    @property
    def shown(self) -> str:
        """Rust's word for it."""
        return _IN_RUST[self]

    @property
    def acquires(self) -> bool:
        """Whether it orders later accesses behind this one."""
        return self in (MemoryOrder.ACQUIRE, MemoryOrder.ACQ_REL, MemoryOrder.SEQ_CST)

    @property
    def releases(self) -> bool:
        """Whether it orders earlier accesses ahead of this one."""
        return self in (MemoryOrder.RELEASE, MemoryOrder.ACQ_REL, MemoryOrder.SEQ_CST)

    @property
    def atomic(self) -> bool:
        """Whether Rust's memory model calls the access atomic; LLVM's `unordered` has no name there."""
        return self not in (MemoryOrder.PLAIN, MemoryOrder.UNORDERED)

    def at_least(self, other: MemoryOrder) -> bool:
        """Tell whether this ordering promises everything that the other one promises."""
        return (
            self.atomic >= other.atomic
            and self.acquires >= other.acquires
            and self.releases >= other.releases
            and (self is MemoryOrder.SEQ_CST or other is not MemoryOrder.SEQ_CST)
        )


_IN_RUST = {
    MemoryOrder.PLAIN: "not atomic",
    MemoryOrder.UNORDERED: "unordered",
    MemoryOrder.MONOTONIC: "Relaxed",
    MemoryOrder.ACQUIRE: "Acquire",
    MemoryOrder.RELEASE: "Release",
    MemoryOrder.ACQ_REL: "AcqRel",
    MemoryOrder.SEQ_CST: "SeqCst",
}
_METHODS = {"xchg": "swap", "umax": "fetch_max", "umin": "fetch_min"}
"""Rust's names for what LLVM's `atomicrmw` does, where it is not `fetch_` and LLVM's own."""


def order_of(*, acquires: bool, releases: bool) -> MemoryOrder:
    """Return the weakest atomic ordering with these two properties."""
    if acquires and releases:
        return MemoryOrder.ACQ_REL
    if acquires:
        return MemoryOrder.ACQUIRE
    return MemoryOrder.RELEASE if releases else MemoryOrder.MONOTONIC


class AccessOp(StrEnum):
    """What an access does."""

    LOAD = "load"
    STORE = "store"
    RMW = "rmw"
    CAS = "compare_exchange"
    CAS_WEAK = "compare_exchange_weak"
    FENCE = "fence"
    CALL = "call"
    OPAQUE = "opaque"  # code of which nobody here can say what it does to memory


class Space(StrEnum):
    """What an access touches."""

    SLOT = "slot"  # a field of a MetaSlot
    STATIC = "static"  # a static of the subject
    MEMORY = "memory"  # anything behind a computed address: a frame's payload, the array under construction
    NONE = ""  # fences, calls


@dataclass(frozen=True)
class SourceStep:
    """One place of the source: function, file, line."""

    function: str
    file: str
    line: int


@dataclass(frozen=True)
class MemoryAccess:
    """One memory access, fence or opaque call on a path through a compiled function."""

    op: AccessOp
    space: Space
    item: str
    """The field's name, the static's name, or the callee's."""
    order: MemoryOrder = MemoryOrder.PLAIN
    """On success, for a cmpxchg."""
    failure: MemoryOrder | None = None
    """Of a cmpxchg that fails."""
    detail: str = ""
    """The operation of an RMW (`add`, `xchg`, ...)."""
    done: bool = True
    """False for a cmpxchg that fails on this path."""
    spurious: bool = False
    """It fails here although what it found may well be what it expected (a weak one may do that)."""
    read: int | str | None = None
    """The value found, as a number where the path fixes one, else as a name of its own."""
    written: int | str | None = None
    """The value left, likewise; None when nothing is written."""
    returned: bool = False
    """Whether the function's result was computed from what was read."""
    trail: tuple[SourceStep, ...] = ()
    """The source of it, innermost call first; only places in the subject's file."""
    asm: str = ""
    """The instruction, where the source has it as such."""
    nontemporal: bool = False
    """A store that no later store waits for, unless a fence lies between."""
    reach: frozenset[Space] = frozenset()
    """Of opaque code: what the addresses lead to that it was given."""

    @property
    def drains(self) -> bool:
        """Whether non-temporal stores ahead of it are visible before anything behind it, on x86.

        What the compiler makes of it decides: any update is a locked instruction, a store that is seq_cst an
        XCHG, a fence that is seq_cst an MFENCE or a locked instruction; weaker fences are nothing at all.
        """
        if self.op is AccessOp.FENCE:
            return self.order is MemoryOrder.SEQ_CST or self.asm == "sfence"
        return self.is_update or (self.op is AccessOp.STORE and self.order is MemoryOrder.SEQ_CST)

    @property
    def is_update(self) -> bool:
        """Whether it reads and writes in one step, success or not."""
        return self.op in (AccessOp.RMW, AccessOp.CAS, AccessOp.CAS_WEAK)

    @property
    def reads(self) -> bool:
        """Whether it returns a value: a load, or an update whether it succeeds or not."""
        return self.op is AccessOp.LOAD or self.is_update

    @property
    def writes(self) -> bool:
        """Whether it leaves a value: a store, or an update that succeeds on this path."""
        return self.op is AccessOp.STORE or (self.is_update and self.done)

    @property
    def line(self) -> int:
        """The line in the subject's file, of the innermost call; 0 where none is known."""
        return self.trail[0].line if self.trail else 0

    def touches(self, item: str, space: Space = Space.SLOT) -> bool:
        """Whether it is about the field, static or callee of that name in that space."""
        return self.space is space and self.item == item

    def describe(self) -> str:
        """Return the access in Rust's words, such as `compare_exchange refcount AcqRel/Acquire`."""
        orders = f"{self.order.shown}/{self.failure.shown}" if self.failure is not None else self.order.shown
        name = str(self.op)
        if self.op is AccessOp.RMW:
            name = _METHODS.get(self.detail, f"fetch_{self.detail}")
        words = [
            name,
            self.item,
            "" if self.op in (AccessOp.CALL, AccessOp.OPAQUE) else orders,
            f"(`{self.asm}`)" if self.asm else "",
        ]
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Path:
    """One way through a function, from entry to its end; `end` is `return`, `panic` or `cut`."""

    accesses: tuple[MemoryAccess, ...]
    end: str = "return"

    @property
    def returns(self) -> bool:
        """Whether the function returns: neither a panic nor a walk that was cut."""
        return self.end == "return"

    def __iter__(self) -> Iterator[MemoryAccess]:
        return iter(self.accesses)

    def effective(self, index: int) -> MemoryOrder:
        """Return what an access promises together with the fences that touch it.

        A release fence with nothing but fences between it and the access makes a store a release store, an
        acquire fence right behind a load makes it an acquire load: the two spellings order the same.
        """
        access = self.accesses[index]
        if not access.order.atomic or access.op is AccessOp.FENCE:
            return access.order
        own = access.order if access.done or access.failure is None else access.failure
        if own is MemoryOrder.SEQ_CST:
            return own
        acquires = own.acquires or any(fence.acquires for fence in self._fences(index, 1))
        releases = own.releases or any(fence.releases for fence in self._fences(index, -1))
        releases = releases and self.overtaken(index) is None
        return order_of(acquires=acquires and access.reads, releases=releases and access.writes)

    def overtaken(self, index: int) -> MemoryAccess | None:
        """Return the last non-temporal store that may become visible after a store that comes after it."""
        if self.accesses[index].drains:
            return None
        for access in reversed(self.accesses[:index]):
            if access.drains:
                return None
            if access.nontemporal:
                return access
        return None

    def describe(self, index: int) -> str:
        """Return an access in words, with the non-temporal store that it does not wait for."""
        access = self.accesses[index]
        words = access.describe()
        late = self.overtaken(index) if access.writes else None
        if late is None or not access.order.releases:
            return words
        place = f" in line {late.line}" if late.line else ""
        return f"{words}, with no sfence after the non-temporal store{place}"

    def gives_up(self, index: int) -> bool:
        """Tell whether an access fails for nothing, with no other try after it."""
        if self.end == "cut":
            return False  # the next try is what was not walked any more
        access = self.accesses[index]
        later = self.accesses[index + 1 :]
        return access.spurious and not any(
            a.is_update and a.touches(access.item, access.space) for a in later
        )

    def _fences(self, index: int, step: int) -> Iterator[MemoryOrder]:
        at = index + step
        while 0 <= at < len(self.accesses) and self.accesses[at].op is AccessOp.FENCE:
            yield self.accesses[at].order
            at += step


@dataclass(frozen=True)
class Function:
    """One function of the subject as compiled: where it starts, every path through it."""

    name: str
    file: str
    line: int
    paths: tuple[Path, ...]

    def accesses(self) -> list[MemoryAccess]:
        """Return every distinct access, in the order in which paths first meet them."""
        seen: dict[tuple[object, ...], MemoryAccess] = {}
        for path in self.paths:
            for access in path:
                seen.setdefault(
                    (access.op, access.space, access.item, access.order, access.failure, access.trail), access
                )
        return list(seen.values())


def distinct(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the paths without repetitions, in order."""
    return tuple(dict.fromkeys(paths))
