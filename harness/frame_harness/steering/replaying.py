"""Plays the scripts of a corpus again, many on one guest."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.frame_histories.boot_configs import require_same_memory
from frame_harness.frame_histories.commands import encode
from frame_harness.frame_histories.history import HistoryFailure
from frame_harness.frame_histories.lockstep import Lockstep, OwnHost
from frame_harness.frame_histories.script_play import play_script
from frame_harness.frame_histories.scripts import Script
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import NotInThisVersion
from frame_harness.image.build import build
from frame_harness.machine.definition import Machine, load_machine
from frame_harness.machine.firmware import require_host
from frame_harness.steering.folder import read


class ScriptFailed(AssertionError):
    """A script is not as the model says; in the words of a finding."""

    def __init__(self, failure: HistoryFailure, script: Script) -> None:
        lines = [f"{failure.clause}: {CLAUSES[failure.clause].title}", f"  {failure.difference.line}"]
        if failure.blame.function:
            lines.append(f"  in {failure.blame.function}")
        lines += [f"    {encode(command)}" for command in failure.commands]
        if script.clause and script.clause != failure.clause:
            lines.append(f"  (it was found to break {script.clause})")
        super().__init__("\n".join(lines))


class ScriptReplayer:
    """One guest for each machine, build and memory map; it is put back to its prompt for each script.

    Args:
        frame_rs: the module to judge; else that of `FRAME_RS`, else the built-in one.
    """

    def __init__(self, frame_rs: str | None) -> None:
        named = frame_rs or os.environ.get("FRAME_RS")
        self._subject = frame_module(Path(named) if named else None)
        self._guests = ExitStack()
        self._by_place: dict[tuple[Machine, str, str], Lockstep] = {}

    def close(self) -> None:
        """End the guests that are open."""
        self._guests.close()

    def replay(self, path: Path, machine: str = "", profile: str = "") -> None:
        """Play a script; one that the model cannot follow to its end is skipped.

        Raises:
            ScriptFailed: what it shows breaks a clause.
            HarnessError: it is no script, or nobody can play it.
        """
        script = read(path)
        definition = load_machine(machine or script.machine)
        try:
            require_same_memory(script, definition, str(path))
        except UsageError as error:
            pytest.skip(f"{error.summary}: its addresses mean something else there")
        try:
            guest = self._guest(script, definition, profile or script.profile)
        except NotInThisVersion as error:
            pytest.skip(error.summary)
        failure = play_script(guest, script, str(path))
        if failure is not None:
            raise ScriptFailed(failure, script)
        if guest.without_verdict:
            pytest.skip("what the module did is allowed, and the model cannot follow it")

    def _guest(self, script: Script, machine: Machine, profile: str) -> Lockstep:
        place = (machine, profile, repr(script.boot_config))
        if place not in self._by_place:
            require_host(machine)
            host = OwnHost(build(self._subject, profile), machine)
            self._by_place[place] = self._guests.enter_context(Lockstep(host, script.boot_config))
        return self._by_place[place]
