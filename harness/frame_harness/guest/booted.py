"""One booted guest: its console, its memory, its end."""

from __future__ import annotations

import secrets
import shlex
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.errors import BootError, HarnessError, RamError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.units import KERNEL_VMA, PAGE_SIZE, Paddr, Pfn, Vaddr, paddr_to_pfn, pfn_to_paddr
from frame_harness.console.channel import Channel, GuestGone
from frame_harness.console.protocol import Banner
from frame_harness.console.stream import Watch
from frame_harness.console.typed import TypedChannel
from frame_harness.guest.absence import require_names_of
from frame_harness.guest.boot_options import AS_USUAL, BootArguments, BootOptions
from frame_harness.guest.checks import ImpossibleValue
from frame_harness.guest.command_log import CommandLog
from frame_harness.guest.ending import explain, spoiled, status_of, symbolized
from frame_harness.guest.errors import GuestCrashed, GuestFailure
from frame_harness.guest.first_prompt import first_prompt
from frame_harness.guest.printed import Printed
from frame_harness.guest.remains import leave
from frame_harness.guest.reply import Reply, checked
from frame_harness.guest.request import argument, grouped
from frame_harness.guest.view import GuestAddresses, Region, TableView
from frame_harness.image.code_at import CodeAt
from frame_harness.image.image import Image
from frame_harness.image.room import require_room
from frame_harness.machine.definition import Machine
from frame_harness.machine.exit_status import ExitStatus
from frame_harness.machine.guest import Guest

COMMANDS_KEPT = 12
CONSOLE_KEPT = 20
BATCH_BYTES = 4000
COUNT_INSTRUCTIONS = ("-icount", "shift=0,sleep=on")
"""Arguments of QEMU: an instruction takes a nanosecond of the guest's time. A guest that is idle sleeps: with
`sleep=off` it would run from timer to timer and use up a CPU of the host."""


Watching = Callable[[Watch], Watch]
WITNESS: Final = "Witness"
"""The type of the static in which a guest publishes its addresses."""


class Keeper(Protocol):
    """Keeps the QEMU of a guest that ends well."""

    def hold(self, guest: BootedGuest) -> None: ...

    def keep(self, guest: BootedGuest) -> ExitStatus | None: ...


class BootedGuest:
    """A guest at its prompt, with panics of requests recovered.

    The caller of `boot` ends it: by `finish`, or by leaving it as a context manager.
    Every array is a live view of guest RAM: no copy, writable, valid also after the guest's death.
    """

    def __init__(self, guest: Guest, channel: Channel, image: Image, banner: Banner) -> None:
        self.guest, self.channel, self.image = guest, channel, image
        self.followed_field = image.subject.contract.followed
        self.machine, self.ram = guest.machine, guest.ram
        self.build_id, self.nonce = banner.build, banner.nonce
        self.hhdm = Vaddr(banner.fields.int("hhdm"))
        self.frames = banner.fields.int("frames")
        self.commands: deque[str] = deque(maxlen=COMMANDS_KEPT)
        self.log = CommandLog(channel.transcript.began)
        """Everything that it was sent; `commands` are what a report shows."""
        self.options = AS_USUAL
        """Plain options of its boot; a guest with the same ones begins as this one did."""
        self.called: set[str] = set()
        """Paths of the subject's functions that commands called."""
        self.failure: HarnessError | None = None
        self.before: Callable[[str], None] | None = None
        """Is told each command before it is sent."""
        self.prompt: Keeper | None = None
        """Where the guest's QEMU may go on with the next guest, once this one has ended well."""
        self.was_put_back = False
        """Whether it goes on in a QEMU that other guests used, and was put back to its prompt."""
        self.ended = False
        """Whether its end is known."""
        self.dumps_requested = 0
        self.dumps_whole = 0
        self._tail: tuple[str, ...] = ()
        self._end: tuple[GuestEnd, str] | None = None
        self._slots: NDArray[Any] | None = None

    @classmethod
    def boot(cls, image: Image, machine: Machine, **words: Unpack[BootArguments]) -> Self:
        """Start QEMU and wait for the prompt, with options as keywords, those of `BootOptions`.

        Raises:
            GuestCrashed, GuestTimeout, ImageTooLarge, BootError, WrongBuild: as `start` does.
        """
        return cls.start(image, machine, BootOptions(**words))

    @classmethod
    def start(cls, image: Image, machine: Machine, options: BootOptions = AS_USUAL) -> Self:
        """Start QEMU and wait for the prompt.

        Raises:
            GuestCrashed, GuestTimeout: it did not come to the prompt.
            ImageTooLarge: nothing was started.
            BootError: what came up is not this image, or is not the guest that was started.
            WrongBuild: the code that runs was compiled otherwise than the image's profile asks for.
        """
        nonce = secrets.token_hex(8)
        args = (*machine.extra_args, *COUNT_INSTRUCTIONS) if options.counts_instructions else None
        machine = machine.override(ram=options.ram, cpus=options.cpus, extra_args=args)
        require_room(image, machine.name, machine.ram)
        guest = Guest.start(
            machine, image.elf, append=options.command_line(machine.cpus, nonce), ram_fill=options.seed,
            debugger=options.debugger, logs=options.logs, resume=options.at_power_on is None,
        )  # fmt: skip
        guest.hung_at = hung_at(image, options.hung_before)
        channel = (TypedChannel if options.records_input else Channel)(guest.console)
        kernel = cls(guest, channel, image, first_prompt(guest, channel, image, nonce, options.at_power_on))
        kernel.options = options.plain(machine)
        return kernel

    def __repr__(self) -> str:
        how = "alive" if self.alive else self._end[0] if self._end else "gone"
        subject, profile = self.image.subject.name, self.image.profile
        kind = type(self).__name__
        return f"<{kind} {subject} on {self.machine.name}/{profile}, {self.frames} frames, {how}>"

    # Requests

    def request(self, command: str, *, watching: Watching | None = None) -> Reply:
        """Send one command line; the reply is returned whatever its status.

        Args:
            watching: makes another watch out of the one with the guest's own limits.
        Raises:
            GuestCrashed, GuestTimeout: there is no guest any more.
            NotInThisVersion: the command calls what the frame module does not have; nothing was sent.
            UsageError: it is not a line that can be sent; nothing was.
        """
        require_names_of(self.image, command)
        self.channel.require_line(command)
        if self.before is not None:
            self.before(command)
        self.commands.append(command)
        self.log.sent(command)
        self.called |= self.image.subject.contract.functions.of_line(command)
        watch: Watch = self.guest.deadline(command, tail=self.channel.tail)
        try:
            answer = self.channel.request(command, watching(watch) if watching else watch)
        except HarnessError as error:
            self.failure = explain(error, self.guest, self.channel, self.image)
            leave(self.failure, self.guest, self.channel, self.image, self.log)
            if self.failure is error:
                raise
            raise self.failure from error
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            # Its answer is still to come: the guest cannot be asked anything else, not even to exit.
            self.failure = HarnessError("guest", command, detail="nobody waited for the answer")
            raise
        backtrace = symbolized(answer.crashes[-1], self.image) if answer.crashes else ()
        reply = Reply(command, answer.reply, answer.data, backtrace)
        self.log.replied(reply.shown)
        self.commands[-1] = f"{command} → {'panic' if reply.status == 'panic' else reply.shown}"
        return reply

    def call(self, command: str, *arguments: int | str, watching: Watching | None = None) -> Reply:
        """Run a console command; integers are sent in hex.

        Raises:
            SubjectPanic: it panicked, and the guest recovered.
            AllocFailed: the subject returned an error.
            CommandRefused: the guest does not know the command or its arguments.
            GuestCrashed, GuestTimeout: there is no guest any more.
        """
        line = " ".join([command, *(argument(a) for a in arguments)])
        return checked(self.request(line, watching=watching), self.followed_field)

    def batch(self, commands: Sequence[str]) -> list[Reply]:
        """Run many commands in few round trips; stops like `call` at the first that does not succeed.

        Raises:
            ProtocolError: the guest tells other outcomes than those of the commands.
            SubjectPanic, AllocFailed, CommandRefused: a command ended so, as with `call`.
        """
        replies: list[Reply] = []
        for group in grouped(commands, BATCH_BYTES):
            done = self.call("batch " + ";".join(group)).parts(group)
            self.log.was_several(done)
            replies += [checked(reply, self.followed_field) for reply in done]
        return replies

    # What the host reads in RAM

    @property
    def witness(self) -> GuestAddresses:
        """Addresses and sizes that the guest publishes in its `WITNESS`, read in RAM at each use."""
        record = self.static("WITNESS", WITNESS)
        return GuestAddresses(
            hhdm_base=Vaddr(int(record["hhdm_base"])),
            meta_paddr=Paddr(int(record["meta_paddr"])),
            meta_bytes=int(record["meta_bytes"]),
            n_frames=int(record["n_frames"]),
            buddy_vaddr=Vaddr(int(record["buddy_vaddr"])),
        )

    def slots(self) -> NDArray[Any]:
        """The whole slot table in guest RAM, shape (n_frames,), dtype from the ELF's DWARF; no copy."""
        witness = self.witness
        if self._slots is None or len(self._slots) != witness.n_frames:
            self._slots = slot_table(self, witness)
        return self._slots

    def forget_views(self) -> None:
        """Make the next `slots` a view of its own: for measuring what that costs."""
        self._slots = None

    def dump(
        self, first_pfn: Pfn = Pfn(0), count: int | None = None, most_runs: int | None = None
    ) -> NDArray[Any]:
        """The slots as the guest prints them, decoded; slow, and independent of mapped RAM.

        Args:
            most_runs: of equal slots, after which the guest ends; then there may be fewer slots.
        Returns:
            Shape (count,), dtype as of `slots`.
        """
        count = self.frames - first_pfn if count is None else count
        slots = Printed(self).runs(first_pfn, count, most_runs).slots
        printed: NDArray[Any] = slots.view(self.image.dtype(self.image.slot_type)).reshape(-1)
        return printed

    def payload(self, paddr: Paddr, frames: int = 1) -> NDArray[np.uint8]:
        """The bytes of a frame, or of several in a row, shape (frames * 4096,), in guest RAM; no copy."""
        return self.ram.view(pfn_to_paddr(paddr_to_pfn(paddr)), frames * PAGE_SIZE)

    def bytes_at(self, vaddr: Vaddr, length: int) -> NDArray[np.uint8]:
        """Guest RAM behind a virtual address of the kernel image or of the HHDM: `length` bytes, no copy."""
        base = KERNEL_VMA if vaddr >= KERNEL_VMA else self.hhdm
        return self.ram.view(Paddr(vaddr - base), length)

    def static(self, symbol: str, type_name: str) -> Any:
        """A `repr(C)` static of the kernel, typed by DWARF, live in guest RAM."""
        vaddr, _ = self.image.symbol(symbol)
        return self.record(vaddr, type_name)

    def record(self, vaddr: Vaddr, type_name: str) -> Any:
        """A `repr(C)` value at a virtual address, typed by DWARF, live in guest RAM."""
        dtype = self.image.dtype(type_name)
        return self.bytes_at(vaddr, dtype.itemsize).view(dtype)[0]

    def subject_static(self, name: str) -> int | None:
        """A u64 static of the subject, None where the subject has none of that name."""
        vaddr = self.image.subject_static(name)
        return None if vaddr is None else int(self.bytes_at(vaddr, 8).view("<u8")[0])

    def memory_map(self) -> list[Region]:
        """The regions of the memory map as the command `map` prints them."""
        return [Region.parsed(line) for line in self.call("map").data]

    # The end

    @property
    def command_line(self) -> str:
        """The QEMU command line, for a shell."""
        return shlex.join(self.guest.argv)

    @property
    def alive(self) -> bool:
        """Whether the guest can still be asked something."""
        return self.failure is None and self._end is None

    def console_tail(self, lines: int = 8) -> tuple[str, ...]:
        """The last lines of the console before the guest was asked to exit."""
        return (self._tail or self.channel.tail(CONSOLE_KEPT))[-lines:]

    def finish(self, how: str = "pass") -> tuple[GuestEnd, str]:
        """Ask the guest to exit if it still can, reap it; returns how it ended, also in words."""
        if self._end is None:
            self._tail, asked = self.channel.tail(CONSOLE_KEPT), tuple(self.commands)
            # One that is gone already was not asked to exit, whatever it reported.
            trouble, stood = self.failure.summary if self.failure else "", None
            keeper = self.prompt if how == "pass" and self.alive else None
            try:
                if keeper:
                    keeper.hold(self)
                if self.alive:
                    self.request(f"exit {how}")
                    stood = keeper.keep(self) if keeper else None
                elif not isinstance(self.failure, GuestFailure):
                    # It may still be running, and cannot be asked to exit.
                    self.guest.kill()
            except HarnessError as error:
                trouble = error.summary
            finally:
                # Also when something else passes that nobody foresaw: the end is known, whatever happens.
                try:
                    end = (stood.kind, stood.describe()) if stood else status_of(self.guest, self.channel)
                    self._end = spoiled(end, trouble) if trouble else end
                    self.ended = True
                finally:
                    self.guest.close()
                    self.commands = deque(asked, maxlen=COMMANDS_KEPT)
        return self.end

    @property
    def end(self) -> tuple[GuestEnd, str]:
        """How the guest ended, as `finish` learned it."""
        return self._end or (GuestEnd.SIGNALED, "the harness broke down before it knew the end")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            self.finish()
        else:
            finish_well(self)


def finish_well(guest: BootedGuest) -> None:
    """Finish a guest that should exit as it is asked to.

    Raises:
        GuestCrashed: it did not, and nobody was told yet that it ended in another way.
    """
    told = guest.ended or guest.failure is not None
    end, words = guest.finish()
    if end is not GuestEnd.PASS and not told:
        raise GuestCrashed("exit", detail=f"expected pass, got {words}")


def hung_at(image: Image, hung_before: Callable[[CodeAt], bool] | None) -> Callable[[Vaddr], bool] | None:
    """What tells of an address whether guests hung there, from what tells it of code."""
    return None if hung_before is None else lambda rip: hung_before(image.symbolize(rip))


def gone(kernel: BootedGuest, what: str) -> HarnessError:
    """What became of a guest whose QEMU ended while a debugger held it, as `request` raises it.

    Args:
        what: it was to do.
    """
    if kernel.failure is None:
        error = GuestGone(what, kernel.channel.tail())
        kernel.failure = explain(error, kernel.guest, kernel.channel, kernel.image)
        leave(kernel.failure, kernel.guest, kernel.channel, kernel.image, kernel.log)
    return kernel.failure


def slot_table(kernel: TableView, witness: GuestAddresses) -> NDArray[Any]:
    """The slots in guest RAM, shape (n_frames,), from where the guest says that they are; no copy.

    Raises:
        BootError: there is no table yet.
        ImpossibleValue: it is not where the HHDM shows RAM.
    """
    if witness.n_frames == 0:
        raise BootError("slot table", detail="the metadata array does not exist yet")
    dtype, promise = kernel.image.dtype(kernel.image.slot_type), kernel.image.subject.contract.table
    # The guest knows the table by `get_meta(0)`; an address below the HHDM is told as 0.
    if witness.meta_paddr != 0:
        try:
            return kernel.ram.array(witness.meta_paddr, dtype, witness.n_frames)
        except RamError:
            pass  # told below, as the value that it is
    raise ImpossibleValue(
        promise.clause,
        "slot of frame 0, from which all others follow",
        expected=f"{witness.n_frames} slots of {dtype.itemsize} bytes in RAM, seen through the HHDM",
        got=f"{witness.hhdm_base + witness.meta_paddr:#x}"
        if witness.meta_paddr
        else "an address below the HHDM",
        function=promise.function,
    )
