"""The compiler's own command for the last crate of a kernel, as cargo gives it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

from frame_harness.base.errors import HarnessError
from frame_harness.base.record import Record

_RUNS: Final = "Running `"
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*=")
_INCREMENTAL: Final = "incremental="
_EXTRA: Final = "extra-filename="


class CompilerCommand(Record, frozen=True, kw_only=True):
    """What compiles one crate: arguments, and the variables that cargo sets for it."""

    argv: tuple[str, ...]
    env: dict[str, str]

    @property
    def state(self) -> Path:
        """The folder in which the compiler keeps what it can use again."""
        return Path(self._value(_INCREMENTAL))

    @property
    def made(self) -> Path:
        """The file that it makes. In another folder nothing of the state could be used again."""
        folder, crate = (self.argv[self.argv.index(option) + 1] for option in ("--out-dir", "--crate-name"))
        return Path(folder, crate + self._value(_EXTRA))

    def _value(self, key: str) -> str:
        return next(word for word in self.argv if word.startswith(key)).removeprefix(key)


def command_of(told: str, crate: str) -> CompilerCommand:
    """Find the command for the binary of a crate.

    Args:
        told: by `cargo -vv`.
    Raises:
        HarnessError: it is not there; this cargo tells its commands in another way.
    """
    for line in told.splitlines():
        text = line.strip()
        if text.startswith(_RUNS) and f"--crate-name {crate} " in text and "--crate-type bin " in text:
            words = shlex.split(text.removeprefix(_RUNS).removesuffix("`"))
            first = next(place for place, word in enumerate(words) if not _VARIABLE.match(word))
            env = dict(word.split("=", 1) for word in words[:first])
            return CompilerCommand(argv=tuple(words[first:]), env=env)
    raise HarnessError(
        "mutants", "cargo -vv", expected=f"the compiler's command for {crate}", actual="none",
        next_step="report it with the version of cargo",
    )  # fmt: skip
