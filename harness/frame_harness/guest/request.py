"""Shapes what is sent to a guest."""

from __future__ import annotations

from collections.abc import Sequence


def argument(value: int | str) -> str:
    """Write one operand of a command; integers in hex."""
    return f"{value:#x}" if isinstance(value, int) else value


def grouped(commands: Sequence[str], limit: int) -> list[list[str]]:
    """Share commands out among lines, in order, none of more than `limit` bytes unless one command is."""
    groups: list[list[str]] = []
    size = limit
    for command in commands:
        size += len(command) + 1
        if size > limit:
            groups.append([])
            size = len(command) + 1
        groups[-1].append(command)
    return groups
