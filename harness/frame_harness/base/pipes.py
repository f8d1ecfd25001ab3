"""Messages between processes of ours, each of which may be ended at any time."""

from __future__ import annotations

import pickle
from multiprocessing.connection import Connection
from typing import Any


def heard(connection: Connection) -> bytes:
    """Wait for the next message.

    Raises:
        EOFError: who sends is gone, perhaps in the middle of a message, for which Python has another error.
    """
    try:
        return connection.recv_bytes()
    except OSError as error:
        raise EOFError from error


def value_heard(connection: Connection) -> Any:
    """Wait for the next value that was sent by `Connection.send`.

    Raises:
        EOFError: who sends is gone, perhaps in the middle of a message.
    """
    return pickle.loads(heard(connection))
