"""Breaks the built-in frame module, by replacing words that occur exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frame_harness.base.disk import write_whole
from frame_harness.base.resources import build_dir
from frame_harness.frame_metadata.subject import frame_module
from tests.support.same_place import same_place

Edit = tuple[str, str]


class MutantError(AssertionError):
    """The text that a mutant replaces is not there, or there more than once."""


@dataclass(frozen=True)
class Mutant:
    """One bug; `clauses` are those that must be found broken.

    Attributes:
        where: which of the clauses' checks are run, as pytest's `-k` takes it.
        profile: of the build in which it shows.
        machine: on which it shows.
        functions: paths of the items that may be blamed beside those that the edits are made in.
    """

    name: str
    edits: tuple[Edit, ...]
    clauses: frozenset[str]
    where: str = "not test_w_ and not test_s_"
    profile: str = "release"
    machine: str = "microvm"
    functions: frozenset[str] = frozenset()

    @property
    def selection(self) -> str:
        """The checks that must catch it, for `-k`."""
        return f"(({' or '.join(sorted(self.clauses))}) and {self.where})"


def apply(text: str, edits: Sequence[Edit], *, name: str = "mutant") -> str:
    """Replace one text after the other; each must occur exactly once when its turn comes."""
    for old, new in edits:
        if text.count(old) != 1:
            raise MutantError(f"{name}: expected {old!r} once, found it {text.count(old)} times")
        text = text.replace(old, new)
    return text


def mutated(folder: Path, edits: Sequence[Edit]) -> Path:
    """Write a changed copy of the built-in module; return its path."""
    path = folder / "frame.rs"
    path.write_text(apply(frame_module().path.read_text(encoding="utf-8"), edits), encoding="utf-8")
    return path


def broken(edits: Sequence[Edit]) -> Path:
    """Return the path of a changed copy of the built-in module, which nobody may change further."""
    return kept(apply(frame_module().path.read_text(encoding="utf-8"), edits))


def broken_here(edits: Sequence[Edit]) -> Path:
    """Return the path of a changed copy of the built-in module, for a test that alone looks at it.

    It lies where the test before had its own, so that most of what the compiler made of that is of use.
    """
    return mutated(same_place(), edits)


def kept(text: str, name: str = "frame.rs") -> Path:
    """Return the path of a module with this text, each time the same: what was built once is built."""
    data = text.encode()
    path = build_dir() / "mutants" / hashlib.sha256(data).hexdigest()[:16] / name
    if not path.exists():
        write_whole(path, data)
    return path


@dataclass(frozen=True)
class Batch:
    """Bugs in one build, told apart by their clauses."""

    name: str
    mutants: tuple[Mutant, ...]

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All of their edits."""
        return tuple(edit for mutant in self.mutants for edit in mutant.edits)

    @property
    def selection(self) -> str:
        """The checks that must catch them, for `-k`."""
        return " or ".join(mutant.selection for mutant in self.mutants)

    @property
    def profile(self) -> str:
        """Of the build."""
        return self.mutants[0].profile

    @property
    def machine(self) -> str:
        """On which they show."""
        return self.mutants[0].machine


def batches(mutants: Sequence[Mutant], text: str, *, size: int) -> list[Batch]:
    """Deal mutants of a text out to builds of at most `size` bugs.

    Neighbors of a table touch the same code, so each goes to the build that has the fewest so far, of those
    whose bugs leave its own text alone and break none of its clauses.
    """
    dealt: dict[tuple[str, str], list[list[Mutant]]] = {}
    for mutant in mutants:
        key = (mutant.profile, mutant.machine)
        n_alike = sum((each.profile, each.machine) == key for each in mutants)
        builds = dealt.setdefault(key, [[] for _ in range(-(-n_alike // size))])
        fitting = [build for build in builds if len(build) < size and _fits(mutant, build, text)]
        if not fitting:
            fitting = [[]]
            builds += fitting
        min(fitting, key=len).append(mutant)
    found = [build for builds in dealt.values() for build in builds]
    return [Batch(f"{number:02}", tuple(build)) for number, build in enumerate(found)]


def _fits(mutant: Mutant, build: Sequence[Mutant], text: str) -> bool:
    if any(mutant.clauses & other.clauses for other in build):
        return False
    try:
        apply(text, [*(edit for other in build for edit in other.edits), *mutant.edits])
    except MutantError:
        return False
    return True
