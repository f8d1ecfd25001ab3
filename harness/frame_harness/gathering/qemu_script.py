"""Turns the command that a guest was started with into a script that a shell can run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

# The harness's ends of these are gone; the guest's memory is QEMU's own then.
_WITH_VALUE: Final = ("-chardev", "-serial", "-mon", "-object", "-gdb", "-d", "-D", "-dfilter")
_PAUSED: Final = "-S"
_BACKEND: Final = re.compile(r",memory-backend=[^,]*")
_HEAD: Final = """#!/bin/sh
# Starts this guest again. Its console is here: type `1 help`, then `2 alloc new` and so on, each line with
# the next number; Ctrl-C ends it. Its memory holds zeroes at first, not what it held when the check failed.
# To give it all commands that the check gave it (the serial port loses what comes before the kernel has it):
#   (echo; grep -v '^#' {commands} | awk '{{ print NR " " $0 }}') | sh qemu.sh
cd "$(dirname "$0")" || exit
"""


def script(argv: Sequence[str], kernel: str, commands: str = "commands.txt") -> str:
    """A shell script that starts a guest with its console on standard input and output.

    Args:
        argv: QEMU's, as the harness started it.
        kernel: the ELF, relative to the script's folder.
        commands: name of the file of its commands, in the same folder.
    """
    words = [*_kept(argv, kernel), "-serial", "stdio", "-monitor", "none"]
    return _HEAD.format(commands=commands) + "exec " + " \\\n  ".join(_rows(words)) + "\n"


def _kept(argv: Sequence[str], kernel: str) -> Iterator[str]:
    """The words of the command without those that name what was handed down to QEMU."""
    words = iter(argv)
    for word in words:
        if word == _PAUSED:
            continue
        if word in _WITH_VALUE:
            next(words, None)
        elif word == "-kernel":
            next(words, None)
            yield from (word, kernel)
        elif word == "-machine":
            yield from (word, _BACKEND.sub("", next(words, "")))
        else:
            yield word


def _rows(words: Sequence[str]) -> Iterator[str]:
    """An option with its value on a line."""
    row: list[str] = []
    for word in words:
        if word.startswith("-") and row:
            yield shlex.join(row)
            row = []
        row.append(word)
    yield shlex.join(row)
