"""Keeps judging a subject while somebody works on it."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator
from functools import partial

from frame_harness.base.errors import HarnessError
from frame_harness.base.parent import adopt_orphans, end_children
from frame_harness.cli.check import Request
from frame_harness.cli.core import CoreRequest
from frame_harness.cli.rounds import CoreRounds, FrameRounds, guarded
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.report.terminal import console_for
from frame_harness.watching.content import Content
from frame_harness.watching.eyes import Eyes
from frame_harness.watching.loop import Before, Ended, Event, Loop, Saved
from frame_harness.watching.process import Round, unstopped
from frame_harness.watching.screen import Screen


def watch(request: Request | CoreRequest) -> ExitCode:
    """Judge a subject on each save until Ctrl-C; return the status of the text as it is then.

    INTERRUPTED where that text was not judged to its end.

    Raises:
        HarnessError: the request makes no sense: a wrong path, machine, baseline or selection.
    """
    rounds = CoreRounds(request) if isinstance(request, CoreRequest) else FrameRounds(request)
    adopt_orphans()
    keep: set[int] = set()
    screen = Screen(console_for())

    def begin(before: Before) -> Round:
        return Round(partial(guarded, rounds, before), keep)

    loop = Loop(rounds.place, Content.of, begin, screen)
    try:
        loop.run(_events(loop, keep))
    except KeyboardInterrupt:
        pass
    finally:
        with unstopped():
            screen.close()
            loop.stop()
            end_children(())  # also one that was begun in the very moment of Ctrl-C
    return loop.status


def _events(loop: Loop, keep: set[int]) -> Iterator[Event]:
    """Wait for saves and for what the round says, until nobody reads any more what is shown.

    Args:
        keep: is told the process ids of children that are no round's.
    """
    place, eyes = loop.place, Eyes(loop.place)
    try:
        while True:
            keep.clear()
            keep.add(eyes.pid)
            if loop.place != place:
                eyes.close()
                place, eyes = loop.place, Eyes(loop.place)
                continue
            under_way = loop.round if isinstance(loop.round, Round) else None
            ready = _ready(eyes, under_way)
            if sys.stdout.fileno() in ready:
                return
            if eyes.seen.fileno() in ready:
                _all_of(eyes)
                yield Saved()
            elif under_way is not None:
                said = under_way.next()
                yield Ended(under_way.last_words()) if said is None else said
    finally:
        eyes.close()


def _ready(eyes: Eyes, under_way: Round | None) -> set[int]:
    """Wait for something to be read; the descriptor of the output means that its reader has gone."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    poll.register(eyes.seen.fileno(), select.POLLIN)
    if under_way is not None:
        poll.register(under_way.said.fileno(), select.POLLIN)
    return {number for number, _ in poll.poll()}


def _all_of(eyes: Eyes) -> None:
    """Take whatever was seen until now: one look at the files answers all of it."""
    try:
        eyes.seen.recv_bytes()
        while eyes.seen.poll():
            eyes.seen.recv_bytes()
    except EOFError as error:
        raise HarnessError("saves", detail="the process that sees them ended") from error
