"""Runs tiny concurrent programs in every way that weak memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from frame_harness.orderings.events import MemoryOrder

# A view-based machine in the manner of "A Promising Semantics for Relaxed-Memory Concurrency" (Kang et al.,
# POPL 2017), without promises: every place keeps all its messages in modification order, a thread knows for
# each place the newest message it must not go behind. Hence no load buffering (C11 allows some), and seq_cst
# counts as acq_rel: what this machine shows can happen, what it does not show may still be allowed by the
# model. Plain accesses run as relaxed ones; races on them are for the caller to name.

Id = tuple[int, int]  # thread and step that wrote a message; the first value of a place is (-1, 0)
FIRST: Final[Id] = (-1, 0)
View = frozenset[tuple[str, Id]]


@dataclass(frozen=True)
class Move:
    """One step of a thread."""

    op: str
    """`load`, `store`, `update` (a load and a store in one) or `fence`."""
    place: str = ""
    order: MemoryOrder = MemoryOrder.MONOTONIC
    expect: int | str | None = None
    """When not None, the step can only happen if it reads this value."""
    value: int | str | None = None
    """What is written."""
    register: str = ""
    """Keeps the value read, when not empty."""
    late: bool = False
    """A store that becomes visible at any time, until a step of the same thread that `drains`."""
    drains: bool = False
    """The thread's late stores are in order from here on."""
    source: int | None = field(default=None, compare=False)
    """Index of the access that it stands for on the thread's path; None for a step that is assumed."""


@dataclass(frozen=True)
class Happening:
    """One step of a thread as it happened; `read` names the message that it read, `value` what that said."""

    thread: int
    step: int
    read: Id | None = None
    value: int | str | None = None

    @property
    def message(self) -> Id:
        """The message that it left, if any."""
        return self.thread, self.step + 1


@dataclass(frozen=True)
class _Message:
    id: Id
    value: int | str
    view: View
    glued: bool = False  # an update's message stays next to the one it read


@dataclass(frozen=True)
class _Thread:
    at: int = 0
    current: View = frozenset()
    acquired: View = frozenset()  # what an acquire fence would make current
    released: View = frozenset()  # what was current at the last release fence
    late: View = frozenset()  # what it wrote and nothing has put in order yet


@dataclass(frozen=True)
class _State:
    threads: tuple[_Thread, ...]
    memory: tuple[tuple[str, tuple[_Message, ...]], ...]
    registers: tuple[tuple[str, int | str], ...] = ()


_Step = tuple[_Message | None, _State]
"""The message that a step read, if any, and what is then."""


@dataclass
class Litmus:
    """Threads that run at once over places with first values."""

    threads: Sequence[Sequence[Move]]
    first: dict[str, int | str]
    states: int = field(default=0, init=False)

    def outcomes(self) -> set[tuple[tuple[str, int | str], ...]]:
        """Return every possible content of all registers when all threads are through."""
        memory = tuple(
            (place, (_Message(FIRST, value, frozenset()),)) for place, value in sorted(self.first.items())
        )
        begin = _State(tuple(_Thread() for _ in self.threads), memory)
        seen, pending, found = {begin}, [begin], set[tuple[tuple[str, int | str], ...]]()
        while pending:
            state = pending.pop()
            if self._over(state):
                found.add(tuple(sorted(state.registers)))
            for _, following in self._following(state):
                if following not in seen:
                    seen.add(following)
                    pending.append(following)
        self.states = len(seen)
        return found

    def witness(self, condition: Callable[[dict[str, int | str]], bool]) -> tuple[Happening, ...] | None:
        """Return steps that lead to a content of the registers that meets a condition; None where none do.

        Earlier threads go ahead as far as that allows.
        """
        memory = tuple(
            (place, (_Message(FIRST, value, frozenset()),)) for place, value in sorted(self.first.items())
        )
        begin = _State(tuple(_Thread() for _ in self.threads), memory)
        seen, pending = {begin}, [(begin, tuple[Happening, ...]())]
        while pending:
            state, steps = pending.pop()
            if self._over(state) and condition(dict(state.registers)):
                return steps
            for happening, following in reversed(list(self._following(state))):
                if following not in seen:
                    seen.add(following)
                    pending.append((following, (*steps, happening)))
        return None

    def _over(self, state: _State) -> bool:
        return all(thread.at == len(moves) for thread, moves in zip(state.threads, self.threads, strict=True))

    def reaches(self, condition: Callable[[dict[str, int | str]], bool]) -> bool:
        """Tell whether some outcome meets a condition on the registers."""
        return any(condition(dict(outcome)) for outcome in self.outcomes())

    def _following(self, state: _State) -> Iterator[tuple[Happening, _State]]:
        for index, thread in enumerate(state.threads):
            if thread.at < len(self.threads[index]):
                move = self.threads[index][thread.at]
                ahead = replace(thread, at=thread.at + 1)
                if move.drains:
                    ahead = replace(ahead, current=ahead.current | ahead.late, late=frozenset())
                for read, following in _MOVES[move.op](state, index, ahead, move):
                    value = move.value if read is None else read.value
                    seen = None if read is None else read.id
                    yield Happening(index, thread.at, seen, value), following


def _with(state: _State, index: int, thread: _Thread) -> _State:
    return replace(state, threads=(*state.threads[:index], thread, *state.threads[index + 1 :]))


def _messages(state: _State, place: str) -> tuple[_Message, ...]:
    return next(messages for name, messages in state.memory if name == place)


def _position(messages: Sequence[_Message], view: View, place: str) -> int:
    """Return where the newest message lies that the view knows; views may name several of one place."""
    known = {id_ for name, id_ in view if name == place}
    return max((at for at, message in enumerate(messages) if message.id in known), default=0)


def _readable(state: _State, thread: _Thread, move: Move) -> Iterator[tuple[int, _Message]]:
    messages = _messages(state, move.place)
    for at in range(_position(messages, thread.current, move.place), len(messages)):
        if move.expect is None or messages[at].value == move.expect:
            yield at, messages[at]


def _having_read(thread: _Thread, move: Move, message: _Message) -> _Thread:
    own = frozenset({(move.place, message.id)})
    current = thread.current | own | (message.view if move.order.acquires else frozenset())
    return replace(thread, current=current, acquired=thread.acquired | own | message.view)


def _keep(state: _State, move: Move, value: int | str) -> _State:
    return replace(state, registers=(*state.registers, (move.register, value))) if move.register else state


def _load(state: _State, index: int, thread: _Thread, move: Move) -> Iterator[_Step]:
    for _, message in _readable(state, thread, move):
        yield message, _with(_keep(state, move, message.value), index, _having_read(thread, move, message))


def _store(state: _State, index: int, thread: _Thread, move: Move) -> Iterator[_Step]:
    messages = _messages(state, move.place)
    newest = _position(messages, thread.current | thread.late, move.place)
    for at in range(newest + 1, len(messages) + 1):
        if at == len(messages) or not messages[at].glued:
            yield None, _written(state, index, thread, move, at, inherited=frozenset(), glued=False)


def _update(state: _State, index: int, thread: _Thread, move: Move) -> Iterator[_Step]:
    messages = _messages(state, move.place)
    for at, message in _readable(state, thread, move):
        if at + 1 == len(messages) or not messages[at + 1].glued:
            read = _having_read(thread, move, message)
            kept = _keep(state, move, message.value)
            # The message that was read lives on in the new one: updates continue a release sequence.
            yield message, _written(kept, index, read, move, at + 1, inherited=message.view, glued=True)


def _written(
    state: _State, index: int, thread: _Thread, move: Move, at: int, *, inherited: View, glued: bool
) -> _State:
    id_ = (index, thread.at)
    own = frozenset({(move.place, id_)})
    view = (thread.current if move.order.releases else thread.released) | own | inherited
    message = _Message(id_, move.value if move.value is not None else "?", view, glued)
    messages = _messages(state, move.place)
    longer = (*messages[:at], message, *messages[at:])
    memory = tuple((name, longer if name == move.place else old) for name, old in state.memory)
    if move.late:
        thread = replace(thread, late=thread.late | own)
    else:
        thread = replace(thread, current=thread.current | own, acquired=thread.acquired | own)
    return _with(replace(state, memory=memory), index, thread)


def _fence(state: _State, index: int, thread: _Thread, move: Move) -> Iterator[_Step]:
    if move.order.acquires:
        thread = replace(thread, current=thread.current | thread.acquired)
    if move.order.releases:
        thread = replace(thread, released=thread.current)
    yield None, _with(state, index, thread)


_MOVES: Final[dict[str, Callable[[_State, int, _Thread, Move], Iterator[_Step]]]] = {
    "load": _load,
    "store": _store,
    "update": _update,
    "fence": _fence,
}
