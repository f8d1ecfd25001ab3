"""Keeps judging a subject while somebody works on it."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial

from frame_harness.base.errors import HarnessError
from frame_harness.base.interruption import unstopped
from frame_harness.base.parent import adopt_orphans, end_children
from frame_harness.base.pipes import heard
from frame_harness.base.streams import nobody_reads
from frame_harness.cli.check import CheckRequest
from frame_harness.cli.core import CoreRequest
from frame_harness.cli.rounds import CoreRounds, FrameRounds, guarded
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.report.terminal import console_for
from frame_harness.watching.content import Content
from frame_harness.watching.file_events import FileEvents
from frame_harness.watching.loop import Before, Event, Loop, RoundEnded, Saved
from frame_harness.watching.process import Round
from frame_harness.watching.screen import Screen


def watch(request: CheckRequest | CoreRequest) -> ExitCode:
    """Judge a subject on each save until Ctrl-C; return the status of the text as it is then.

    INTERRUPTED where that text was not judged to its end.

    Raises:
        HarnessError: the request makes no sense: a wrong path, machine, baseline or selection.
    """
    rounds = CoreRounds(request) if isinstance(request, CoreRequest) else FrameRounds(request)
    adopt_orphans()
    keep: set[int] = set()
    slot = None if isinstance(request, CoreRequest) else FRAME_METADATA.slot
    screen = Screen(console_for(), slot)

    def begin(before: Before) -> Round:
        return Round(partial(guarded, rounds, before), keep)

    loop = Loop(rounds.place, Content.of, begin, screen)
    try:
        with _signals() as signals:
            loop.run(_events(loop, keep, signals))
    except KeyboardInterrupt:
        pass
    finally:
        with unstopped():
            screen.close()
            loop.stop()
            end_children(())  # also one that was begun in the very moment of Ctrl-C
    return loop.status()


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """What becomes readable with a signal: Python drops what a handler raises while a finalizer runs."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.set_wakeup_fd(before)
        ours.close()
        theirs.close()


def _events(loop: Loop, keep: set[int], signals: socket.socket) -> Iterator[Event]:
    """Wait for saves and for what the round says, until a signal, or until nobody reads what is shown.

    Args:
        signals: becomes readable with a signal that ends this process.
        keep: is told the process ids of children that are no round's.
    """
    place, events = loop.place, FileEvents(loop.place)
    try:
        while not nobody_reads():
            keep.clear()
            keep.add(events.pid)
            if loop.place != place:
                events.close()
                place, events = loop.place, FileEvents(loop.place)
                continue
            under_way = loop.round if isinstance(loop.round, Round) else None
            ready = _ready(events, under_way, signals)
            if {sys.stdout.fileno(), signals.fileno()} & ready:
                return
            if events.seen.fileno() in ready:
                _all_of(events)
                yield Saved()
            elif under_way is not None:
                said = under_way.next()
                yield RoundEnded(under_way.last_words()) if said is None else said
    finally:
        events.close()


def _ready(events: FileEvents, under_way: Round | None, signals: socket.socket) -> set[int]:
    """Wait for something to be read; the descriptor of the output means that its reader has gone."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    poll.register(signals.fileno(), select.POLLIN)
    poll.register(events.seen.fileno(), select.POLLIN)
    if under_way is not None:
        poll.register(under_way.said.fileno(), select.POLLIN)
    return {number for number, _ in poll.poll()}


def _all_of(events: FileEvents) -> None:
    """Take whatever was seen until now: one look at the files answers all of it."""
    try:
        heard(events.seen)
        while events.seen.poll():
            heard(events.seen)
    except EOFError as error:
        raise HarnessError(
            "saves", detail="the process that sees them ended",
            next_step="see that nothing ends it, such as a lack of memory, and run the same command again",
        ) from error  # fmt: skip
