"""Says how a guest ended, from all that is known at that moment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from frame_harness.base.errors import HarnessError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.units import Vaddr
from frame_harness.console import channel as console
from frame_harness.console.channel import Channel, Ending
from frame_harness.console.protocol import CrashReport, has_mark
from frame_harness.guest.backtrace import Backtrace, BacktraceLine, reader, return_addresses
from frame_harness.guest.errors import GuestCrashed, GuestTimeout, QemuEndError
from frame_harness.image.image import Image
from frame_harness.machine.deadline import LimitReached
from frame_harness.machine.exit_status import ExitStatus
from frame_harness.machine.guest import Guest, live_guests
from frame_harness.machine.vcpu import VcpuState

_PANIC_MACHINERY = ("core::panicking::", "core::result::unwrap_failed", "core::option::unwrap_failed")
_PLACES = (
    (re.compile(r"/rustc/[0-9a-f]+/library/"), "library/"),
    (re.compile(r"/\S*/registry/src/[^/]+/"), ""),
)
_RECURSION_LINES = 8
_WHAT = {"panic": "guest"}  # a report calls itself a panic in its first word


def status_of(guest: Guest, channel: Channel) -> tuple[GuestEnd, str]:
    """Reap a guest that was asked to exit, or that is gone; returns its status with the evidence in words.

    A guest that goes on talking after its last answer did not exit as asked, whatever its exit status.
    Never raises a `HarnessError`: what goes wrong on the way is told in the words.
    """
    status, ending, trouble = _reap(guest, channel)
    end = status.kind, status.describe()
    if trouble:
        end = spoiled(end, trouble)
    if ending.crash is not None:
        return spoiled(end, ending.crash.describe())
    more = [line for line in ending.lines if has_mark(line)]
    return spoiled(end, f"it went on behind its last answer: {more[0]}") if more else end


def spoiled(end: tuple[GuestEnd, str], trouble: str) -> tuple[GuestEnd, str]:
    """How a guest ended that had trouble on its way out: its word that all is well counts for nothing."""
    status, text = end
    return (GuestEnd.UNEXPECTED, f"{trouble}; then {text}") if status is GuestEnd.PASS else end


def explain(error: HarnessError, guest: Guest, channel: Channel, image: Image) -> HarnessError:
    """Turn a broken conversation into what became of the guest: crash or timeout, symbolized.

    Anything else, such as a line that breaks the protocol, is returned as it is.
    """
    tail = channel.tail()
    if isinstance(error, LimitReached):
        return GuestTimeout(
            "timeout",
            detail=f"{error.report.what}: {error.report.describe()}",
            status=GuestEnd.TIMEOUT,
            console_tail=tuple(error.report.tail) or tail,
            backtrace=_stacks(error.report.vcpus, guest, channel, image),
            registers=tuple(
                line for vcpu in error.report.vcpus for line in (vcpu.describe(), f"  {vcpu.essentials()}")
            ),
            console_bytes=channel.transcript.n_received,
            events=guest.events(ask=False),
        )
    if isinstance(error, console.CrashReported):
        status, _, _ = _reap(guest, channel)
        end, _ = spoiled((status.kind, status.describe()), error.summary)
        return GuestCrashed(
            "crash" if error.report.overflow else _WHAT.get(error.report.kind, error.report.kind),
            detail=_described(error.report, image),
            status=end,
            console_tail=tail,
            backtrace=_without_recursion(symbolized(error.report, image), error.report),
            registers=_registers(error.report),
            console_bytes=channel.transcript.n_received,
            events=guest.events(ask=False),
        )
    if isinstance(error, console.GuestGone):
        status, _, _ = _reap(guest, channel)
        end, words = status.kind, status.describe()
        if channel.banner is not None:  # before that nobody knows whether a kernel ran at all
            # One that exits without having been asked is as good as one that crashed, whatever it reports.
            end, words = spoiled((end, words), "nobody asked it to exit")
        own = end.is_crash or end is GuestEnd.FAIL
        return (GuestCrashed if own else QemuEndError)(
            "guest gone", detail=words, status=end, console_tail=tail,
            console_bytes=channel.transcript.n_received, events=guest.events(ask=False),
            evidence=() if own else tuple(status.stderr_tail.splitlines()),
        )  # fmt: skip
    return error


def _described(report: CrashReport, image: Image) -> str:
    """Say what crashed; of a stack that ran over, also where, and which functions called each other."""
    if report.overflow is None:
        return report.describe()
    where = symbolized(report, image)[:1]
    inside = f", in {where[0].text}" if where else ""
    return f"{report.describe()}{inside}{_recursion(report, image)}"


def _without_recursion(backtrace: Backtrace, report: CrashReport) -> Backtrace:
    """Keep the innermost calls of a stack that ran over: the rest is the same again and again."""
    left_out = len(backtrace) - _RECURSION_LINES
    if report.overflow is None or left_out <= 0:
        return backtrace
    return (*backtrace[:_RECURSION_LINES], BacktraceLine(f"… {left_out} more calls"))


def _recursion(report: CrashReport, image: Image) -> str:
    found = [image.function_at(Vaddr(address - 1)) for address in report.backtrace]
    calls = Counter(one[0] for one in found if one is not None)
    again = [name for name, count in calls.items() if count > 1]
    return f" (recursion through {', '.join(again)})" if again else ""


def _registers(report: CrashReport) -> tuple[str, ...]:
    """The registers of a crash report, four on a line."""
    words = [f"{name}={value:#x}" for name, value in report.registers.items()]
    return tuple(" ".join(words[at : at + 4]) for at in range(0, len(words), 4))


def symbolized(report: CrashReport, image: Image) -> Backtrace:
    """The backtrace of a crash report."""
    rip = [Vaddr(report.fields.int("rip"))] if "rip" in report.fields else []
    return _symbolized(rip, report.backtrace, image)


def _symbolized(rip: Iterable[Vaddr], returns: Iterable[Vaddr], image: Image) -> Backtrace:
    # A return address lies behind its call.
    addresses = [*rip, *(Vaddr(address - 1) for address in returns)]
    codes = [image.symbolize(address) for address in addresses]
    lines = [BacktraceLine(shortened(str(code), image), code) for code in codes]
    return tuple(line for line in lines if not line.text.startswith(_PANIC_MACHINERY))


def _stacks(vcpus: Sequence[VcpuState], guest: Guest, channel: Channel, image: Image) -> Backtrace:
    """The backtrace of every CPU of a guest that was stopped, those of several under a line for each."""
    fields = channel.banner.fields if channel.banner else {}
    read = reader(guest.ram, Vaddr(int(fields["hhdm"], 0)) if "hhdm" in fields else None)
    lines: list[BacktraceLine] = []
    for vcpu in vcpus:
        if len(vcpus) > 1:
            lines.append(BacktraceLine(f"CPU {vcpu.index}:"))
        lines += _symbolized([vcpu.rip], return_addresses(Vaddr(vcpu.registers.get("bp", 0)), read), image)
    return tuple(lines)


def shortened(line: str, image: Image) -> str:
    """Leave out what is the same in every path of the compiler, of cargo and of the shim."""
    for pattern, instead in _PLACES:
        line = pattern.sub(instead, line)
    return line.replace(f"{image.shim_folder}/", "kernel_shim/")


def _reap(guest: Guest, channel: Channel) -> tuple[ExitStatus, Ending, str]:
    """End a guest for certain; returns how it ended, its last words, what went wrong while they were read."""
    ending, trouble = Ending((), None), ""
    # One that was ended already has no monitor left to ask while its console is read.
    if guest.timeout is None and guest in live_guests():
        limit = guest.deadline("the end of the console", cpu_s=guest.machine.limits.exit_cpu_s)
        # After a timeout, `guest.timeout` holds the report, from which `wait` draws its conclusion, too.
        try:
            ending = channel.finish(limit)
        except HarnessError as error:
            trouble = error.summary
    try:
        return guest.wait(), ending, trouble
    except HarnessError as error:
        return guest.kill(), ending, error.summary
