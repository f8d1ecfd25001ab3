"""Guest RAM, seen from the host without a copy."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import mmap
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from frame_harness.base.errors import HostRamError, RamError, UsageError
from frame_harness.base.units import GIB, MIB, PAGE_SIZE, Paddr, format_bytes
from frame_harness.machine.flatview import RamRange

FILL_ALL_LIMIT: Final = 256 * MIB
"""RAM up to this size is filled with garbage entirely."""
FILL_LOW: Final = 64 * MIB
FILL_LAST: Final = 1 * MIB
FILL_AROUND: Final = 1 * MIB
"""Of larger RAM the garbage covers: the lowest FILL_LOW, FILL_AROUND on both sides of each GiB of the RAM
file (so that whatever comes to lie beside a hole is covered), and FILL_LAST at its end. The rest reads as
zero and costs nothing."""

GARBAGE_PERIOD: Final = 1_048_583
"""A prime: the garbage never repeats at a distance that any alignment has."""

RECYCLE_LIMIT: Final = FILL_ALL_LIMIT
"""How many filled bytes this process keeps in RAM files for its next guests: first touching a page costs ten
times more than filling it (64 MiB: 54 ms against 4 ms)."""


@functools.lru_cache(maxsize=4)
def garbage_block(seed: int) -> bytes:
    """Return one period of the garbage of a seed: SHAKE-128 (FIPS 202) of the seed's decimal digits."""
    return hashlib.shake_128(str(seed).encode("ascii")).digest(GARBAGE_PERIOD)


def garbage_at(seed: int, offset: int, length: int) -> bytes:
    """Return the garbage that a RAM file of this seed holds from `offset` on, where it was filled."""
    block = garbage_block(seed)
    start = offset % GARBAGE_PERIOD
    repeats = (start + length) // GARBAGE_PERIOD + 1
    return (block * repeats)[start : start + length]


def filled_parts(size: int) -> tuple[tuple[int, int], ...]:
    """Return the parts [first, end) of a RAM file that are filled with garbage, sorted, disjoint."""
    if size <= FILL_ALL_LIMIT:
        return ((0, size),)
    parts = [(0, FILL_LOW)]
    parts += [(border - FILL_AROUND, min(border + FILL_AROUND, size)) for border in range(GIB, size, GIB)]
    last = max(size - FILL_LAST, parts[-1][1])
    return (*parts, (last, size)) if last < size else tuple(parts)


def fill(target: npt.NDArray[np.uint8], first: int, end: int, seed: int) -> None:
    """Write the garbage that a RAM file of this seed holds in [first, end) to the beginning of an array.

    Args:
        target: shape (n_bytes,), with room for end - first of them.
    """
    block = np.frombuffer(garbage_block(seed), np.uint8)
    at = first
    while at < end:
        start = at % GARBAGE_PERIOD
        count = min(GARBAGE_PERIOD - start, end - at)
        target[at - first : at - first + count] = block[start : start + count]
        at += count


def _write(fd: int, first: int, end: int, seed: int) -> None:
    """Write the same to a file of which no page was ever touched; to map each first takes twice as long.

    Raises:
        HostRamError: the host has no room for it.
    """
    block = memoryview(garbage_block(seed))
    at = first
    try:
        while at < end:
            start = at % GARBAGE_PERIOD
            at += os.pwrite(fd, block[start : min(GARBAGE_PERIOD, start + end - at)], at)
    except OSError as error:
        raise HostRamError(
            "guest RAM", format_bytes(end), detail=str(error), next_step="choose a machine with less RAM"
        ) from error


class RamFile:
    """A nameless file in memory that backs one guest's RAM; gone with the last process that holds it.

    Attributes:
        size: of the RAM of the guest that has it now.
        capacity: of the file; the guest sees nothing behind its RAM.
    """

    def __init__(self, size: int) -> None:
        self.size = self.capacity = size
        self._new = True
        self.fd = os.memfd_create("guest-ram", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.fd, size)
            self.mapping = mmap.mmap(self.fd, size, mmap.MAP_SHARED)
        except (OSError, OverflowError, ValueError) as error:
            os.close(self.fd)
            raise HostRamError(
                "guest RAM", format_bytes(size), detail=str(error), next_step="choose a machine with less RAM"
            ) from error
        self._close = weakref.finalize(self, os.close, self.fd)

    @property
    def bytes(self) -> npt.NDArray[np.uint8]:
        """All of a guest's RAM, shape (size,), as an array of its own."""
        return np.frombuffer(self.mapping, np.uint8, self.size)

    def fill(self, seed: int) -> None:
        """Write garbage, from the host, before any guest runs; raises `HostRamError` without room."""
        new, self._new = self._new, False
        target = self.bytes
        for first, end in filled_parts(self.size):
            if new:
                _write(self.fd, first, end, seed)
            else:
                fill(target[first:], first, end, seed)

    def clear(self) -> None:
        """Make every byte zero without touching a page."""
        self.mapping.madvise(mmap.MADV_REMOVE)

    def clear_the_rest(self) -> None:
        """Make zero what `fill` does not fill, so that this file is as good as a new one."""
        for (_, first), (end, _) in itertools.pairwise(filled_parts(self.size)):
            if first < end:
                self.mapping.madvise(mmap.MADV_REMOVE, first, end - first)

    @property
    def filled_bytes(self) -> int:
        """How much memory the file needs once it is filled."""
        return sum(end - first for first, end in filled_parts(self.capacity))

    def serves(self, size: int) -> bool:
        """Whether it can be the RAM of a guest with so much, and be filled as a new file would."""
        return self.capacity == size or size < self.capacity <= FILL_ALL_LIMIT


class _Shelf:
    """RAM files that no guest and no view uses any more."""

    def __init__(self) -> None:
        # Taken again by the same thread when the garbage collector frees a guest in the middle of `take`.
        self._lock = threading.RLock()
        self._files: list[RamFile] = []
        self._pid = os.getpid()

    def take(self, size: int) -> RamFile:
        with self._lock:
            if self._pid != os.getpid():
                # After a fork both processes map the same pages: what the parent shelved is the parent's.
                self._files, self._pid = [], os.getpid()
            serving = [file for file in self._files if file.serves(size)]
            if serving:
                file = min(serving, key=lambda each: each.capacity)
                self._files.remove(file)
                file.size = size
                return file
        return RamFile(size)

    def put(self, file: RamFile, pid: int) -> None:
        with self._lock:
            if pid != os.getpid():
                return
            file.size = file.capacity
            file.clear_the_rest()
            self._files.append(file)
            while sum(each.filled_bytes for each in self._files) > RECYCLE_LIMIT:
                self._files.pop(0)


_SHELF: Final = _Shelf()


class _Lease:
    """One RAM file in use; it goes back with the last array that somebody sees it through."""

    def __init__(self, file: RamFile) -> None:
        self.file = file
        weakref.finalize(self, _SHELF.put, file, os.getpid()).atexit = False

    def array(self) -> npt.NDArray[np.uint8]:
        """Return all of the file; views of it have this array as their base."""
        array = self.file.bytes
        # The argument is what counts: it keeps the lease for as long as the array lives.
        weakref.finalize(array, _forget, self).atexit = False
        return array


def _forget(lease: _Lease) -> None:
    """Let go of a lease."""


class RamCopy:
    """What all of a guest's RAM held at one moment: the pages that are not the garbage they were before."""

    def __init__(self, ram: GuestRam) -> None:
        """Raises:
        RamError: not all of this RAM was garbage.
        """
        if ram.seed is None or ram.size > FILL_ALL_LIMIT:
            raise RamError("copy of RAM", format_bytes(ram.size), expected="RAM that is garbage everywhere")
        self._seed = ram.seed
        self._changed = _changed_pages(ram.whole, ram.seed)
        self._pages = _pages(ram.whole)[self._changed]

    def write_back(self, ram: GuestRam) -> None:
        """Make a guest's RAM what it was, every byte of it; the guest must be paused."""
        fill(ram.whole, 0, ram.size, self._seed)
        _pages(ram.whole)[self._changed] = self._pages


def _pages(ram: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    return ram.view(np.uint64).reshape(-1, PAGE_SIZE // 8)


def _changed_pages(ram: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.intp]:
    """Numbers of the pages in which a byte is not the garbage of this seed."""
    changed: list[int] = []
    # As much as stays in the CPU's cache.
    expected = np.empty(MIB, np.uint8)
    for first in range(0, len(ram), MIB):
        end = min(first + MIB, len(ram))
        fill(expected, first, end, seed)
        differs = (_pages(ram[first:end]) != _pages(expected[: end - first])).any(axis=1)
        changed += (np.flatnonzero(differs) + first // PAGE_SIZE).tolist()
    return np.array(changed, np.intp)


class GuestRam:
    """The physical memory of one guest as numpy arrays that share its bytes.

    Views stay valid after QEMU died and after this object is gone: the memory goes back only with the last
    view.
    """

    def __init__(self, size: int, seed: int | None) -> None:
        """Args: seed: of the garbage that fills RAM before the guest starts; None leaves zeroes."""
        file = _SHELF.take(size)
        if seed is None:
            file.clear()
        else:
            file.fill(seed)
        self._use(_Lease(file), seed)

    def _use(self, lease: _Lease, seed: int | None) -> None:
        self._lease = lease
        self.size = lease.file.size
        self.seed = seed
        self.fd = lease.file.fd
        self._bytes = lease.array()
        self._ranges: tuple[RamRange, ...] = ()
        self._firsts: list[Paddr] = []

    def again(self) -> GuestRam:
        """Return the same memory for the next guest in it; `watch` tells who still looks at this one's."""
        other = GuestRam.__new__(GuestRam)
        other._use(self._lease, self.seed)
        other.ranges = self.ranges
        return other

    def watch(self) -> Callable[[], object]:
        """Return what gives None once neither this object nor a view that it gave is left."""
        return weakref.ref(self._bytes)

    @property
    def whole(self) -> npt.NDArray[np.uint8]:
        """The RAM file from its first byte to its last, shape (size,), holes left out."""
        return self._bytes

    @property
    def ranges(self) -> tuple[RamRange, ...]:
        """Where RAM lies in the guest's physical address space, as QEMU said before the guest ran."""
        return self._ranges

    @ranges.setter
    def ranges(self, ranges: tuple[RamRange, ...]) -> None:
        self._ranges = ranges
        self._firsts = [each.first_paddr for each in ranges]

    @property
    def end_paddr(self) -> Paddr:
        """One past the highest physical address of RAM."""
        return self._ranges[-1].end_paddr if self._ranges else Paddr(0)

    def offset_of(self, paddr: Paddr, length: int = 1) -> int:
        """Return where [paddr, paddr + length) lies in the RAM file.

        Raises:
            UsageError: the length is below 0.
            RamError: not all of it is RAM, or not in one piece.
        """
        if length < 0:
            raise UsageError("guest RAM", f"{paddr:#018x}", expected="a length of 0 or more", actual=length)
        if self.holds(paddr, length):
            index = bisect.bisect_right(self._firsts, paddr) - 1
            return self._ranges[index].offset + (paddr - self._ranges[index].first_paddr)
        known = ", ".join(f"[{each.first_paddr:#x}, {each.end_paddr:#x})" for each in self._ranges)
        raise RamError(
            "guest RAM",
            f"{length} bytes at {paddr:#018x}",
            expected=f"inside {known or 'no RAM'}",
            actual="outside",
        )

    def holds(self, paddr: Paddr, length: int = 1) -> bool:
        """Whether all of [paddr, paddr + length) is RAM, in one piece."""
        index = bisect.bisect_right(self._firsts, paddr) - 1
        return index >= 0 and paddr + max(length, 1) <= self._ranges[index].end_paddr

    def view(self, paddr: Paddr, length: int) -> npt.NDArray[np.uint8]:
        """Return `length` bytes of the guest, shared with it while it runs; writing changes the guest."""
        offset = self.offset_of(paddr, length)
        return self._bytes[offset : offset + length]

    def array(self, paddr: Paddr, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
        """Return guest memory as `count` items of a type, shared with the guest while it runs."""
        item = np.dtype(dtype)
        return self.view(paddr, item.itemsize * count).view(item)

    def garbage(self, paddr: Paddr, length: int) -> npt.NDArray[np.uint8]:
        """Return `length` bytes as the host wrote them before the guest ran: zeroes where it wrote none."""
        offset = self.offset_of(paddr, length)
        original = np.zeros(length, np.uint8)
        if self.seed is None:
            return original
        for first, end in self._overlaps(offset, offset + length):
            garbage = np.frombuffer(garbage_at(self.seed, first, end - first), np.uint8)
            original[first - offset : end - offset] = garbage
        return original

    def _overlaps(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        for part_first, part_end in filled_parts(self.size):
            if part_first < end and first < part_end:
                yield max(first, part_first), min(end, part_end)
