"""What a pytest session judges, as a value: `check` makes one, or pytest's options do."""

from __future__ import annotations

import argparse
import copyreg
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.profiles import COVERAGE, profiles_named
from frame_harness.contract.contract import Contract
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.code_lines import CodeLines
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import CheckInRun, RunKey, SourceFile, SubjectInfo
from frame_harness.machine.definition import (
    DEFAULT_MACHINE,
    Machine,
    load_machine,
    load_machines,
    refuse_misspelled,
)
from frame_harness.machine.schema import ENDLESS_S


@dataclass(frozen=True, kw_only=True)
class SessionRequest:
    """The subject with the runs that checks of it may have.

    Attributes:
        machines: those of a check that names none, by what `--machine` calls each.
        any_machine: a check that names a machine has it, also one that is not among `machines`.
        accel: instead of the machine's own.
        frame_rs: the module as the user named it.
        program: how the user called frame-harness, for commands that show a finding again; else pytest does.
        evidence: the caller judges what was seen; else the session itself says what stands against a pass.
        only: the checks to make, as far as others do not leave them out; empty for all.
        first: checks to make before the others.
        measures_coverage: what runs of the subject is taken down, in a run of the profile `cov`.
        archive: the folder that what failing checks leave goes to; None where nothing is kept.
        red: value of `red=` on the guest's command line, which only kernels of our own tests know.
        images: by profile those of the subject that are built already; no compiler is looked for then.
        lines: of the image of profile `cov`, where they were read already.
    """

    subject: Subject
    machines: Mapping[str, Machine]
    profiles: tuple[str, ...]
    any_machine: bool
    accel: str | None = None
    frame_rs: str = ""
    program: str = ""
    evidence: bool = False
    only: frozenset[CheckInRun] = frozenset()
    first: frozenset[CheckInRun] = frozenset()
    measures_coverage: bool = False
    archive: Path | None = None
    red: str = ""
    images: Mapping[str, Image] = field(default_factory=dict)
    lines: CodeLines | None = None

    @property
    def builds(self) -> tuple[str, ...]:
        """The profiles of which an image is needed."""
        added = (COVERAGE,) if self.measures_coverage and COVERAGE not in self.profiles else ()
        return (*self.profiles, *added)

    def measures(self, run: RunKey) -> bool:
        """Whether it is taken down what runs of the subject in a run."""
        return self.measures_coverage and run.profile == COVERAGE

    def machine(self, name: str) -> Machine:
        """The machine of this name, with the accelerator that was asked for."""
        chosen = (machine for machine in self.machines.values() if machine.name == name)
        return (next(chosen, None) or load_machine(name)).override(accel=self.accel)

    def keys_for(self, named: Sequence[str]) -> list[RunKey]:
        """The runs of a check whose marker names some machines; none where the choice excludes them all.

        Raises:
            UsageError: a name is nearly that of a machine, so that the check would be skipped for ever.
        """
        machines = [machine.name for machine in self.machines.values()]
        for name in named:
            if name not in machines:
                refuse_misspelled(name)
        if named:
            machines = [name for name in named if self.any_machine or name in machines]
        keys = [RunKey(machine=name, profile=profile) for profile in self.profiles for name in machines]
        # Which lines run does not depend on the chipset: they are measured on one machine.
        first = next(iter(self.machines.values())).name
        added = [each for each in self.builds if each not in self.profiles and first in machines]
        return [*keys, *(RunKey(machine=first, profile=profile) for profile in added)]

    def check_again(self, run: RunKey, select: str, test: str = "") -> str:
        """The shell command that makes some checks of a run again.

        Args:
            select: what `-k` takes.
            test: the file of the checks, which the suite's own do not need.
        """
        words = [self.program, "check"] if self.program else ["pytest", *filter(None, [test])]
        options = self._options(run, self.accel if self.program else None)
        return shlex.join([*words, *options, "-k", select])

    def run_again(self, run: RunKey) -> str:
        """The shell command that makes all checks of a run again."""
        words = [self.program, "check"] if self.program else ["pytest"]
        return shlex.join([*words, *self._options(run, self.accel if self.program else None)])

    def storm_again(self, run: RunKey, storm: str) -> str:
        """The shell command that repeats one storm until it breaks something; it takes no accelerator."""
        return shlex.join([self.program, "storm", storm, "--again", *self._options(run)])

    def _options(self, run: RunKey, accel: str | None = None) -> list[str]:
        given = (argument for argument, machine in self.machines.items() if machine.name == run.machine)
        options = {"--frame-rs": self.frame_rs, "--accel": accel}
        options |= {"--machine": next(given, run.machine), "--profile": run.profile}
        return [word for option, value in options.items() if value for word in (option, value)]


def _frame_metadata() -> Contract:
    return FRAME_METADATA


def _reduced(contract: Contract) -> tuple[Callable[[], Contract], tuple[()]]:
    """A contract is made of functions, so another process is told which one it is."""
    if contract is not FRAME_METADATA:
        raise HarnessError(
            "contract", contract.name, expected=FRAME_METADATA.name, detail="no other process knows it"
        )
    return _frame_metadata, ()


copyreg.pickle(Contract, _reduced)

REQUEST: Final = pytest.StashKey[SessionRequest]()
"""Where the plug-in finds the request of the program that started pytest; without one the options say it."""


def info_of(subject: Subject) -> SubjectInfo:
    """What evidence says of a subject."""
    files = tuple(
        SourceFile(path=str(path), sha256=digest)
        for path, digest in zip(subject.files, subject.digests, strict=False)
    )
    return SubjectInfo(name=subject.name, path=str(subject.path), sha256=subject.sha256, files=files)


def storm_seconds(text: str) -> float:
    """Read how long a storm runs, which has an end; raises what argparse tells."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < ENDLESS_S:
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text!r}")
    return number


def request_of_options(config: pytest.Config) -> SessionRequest:
    """What a user of pytest asks for.

    Raises:
        SubjectError: the file that is to be judged cannot be read.
        UsageError: a machine is unknown, or two have one name; or a path is an empty text.
    """
    option = config.getoption
    for name in ("--frame-rs", "--out", "--cov-subject-lcov"):
        if option(name) == "":  # that of a variable which nobody has set: the built-in module would be judged
            raise UsageError(
                name, expected="a path", actual="an empty text", next_step="name a path, or omit the option"
            )
    named, frame_rs = option("--machine"), option("--frame-rs") or os.environ.get("FRAME_RS", "")
    return SessionRequest(
        subject=frame_module(frame_rs),
        machines=load_machines(named or [DEFAULT_MACHINE]),
        profiles=profiles_named(option("--profile") or "dev"),
        any_machine=named is None,
        accel=option("--accel"),
        frame_rs=frame_rs,
        measures_coverage=bool(option("--cov-subject") or option("--cov-subject-lcov")),
        archive=Path(out).absolute() if (out := option("--out")) else None,
    )
