"""What the tables of a frame module are read from."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from frame_harness.guest.reply import Reply
from frame_harness.guest.view import GuestAddresses, Region, TableView


class GuestView(TableView, Protocol):
    """A guest's console and memory; `slots` gives the table in RAM, shape (n_frames,)."""

    frames: int

    @property
    def witness(self) -> GuestAddresses: ...

    def request(self, command: str) -> Reply: ...

    def call(self, command: str, *arguments: int | str) -> Reply: ...

    def slots(self) -> NDArray[Any]: ...

    def buddy(self) -> Any: ...

    def memory_map(self) -> list[Region]: ...
