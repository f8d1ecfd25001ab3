"""What a version of a module lacks keeps no clause from being judged that does not speak of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from frame_harness.cli.clauses import suite_checks
from frame_harness.frame_metadata.versions import VERSIONS
from tests.support.doors import ASKING, ROOT, SOURCES
from tests.support.name_recorder import FILE

Check = tuple[tuple[str, ...], Collection[str]]
"""The clauses that one case of a check looks at, the names that it needs."""
LATER = tuple(name.path for name in VERSIONS.names if not name.needed)
# Clauses of which every check needs a name that their words do not speak of, with the reason.
ALL_CHECKS_NEED = {
    "GEN-05": {
        "MetaSlot.meta_aux": "programs of several CPUs mark the frames that they own",
        "MetaSlot::set_vtable_bits": "likewise, with a vtable",
    }
}


def check_of(clauses: tuple[str, ...], names: Iterable[str] = ()) -> Check:
    return clauses, {*names, *(name for id_ in clauses for name in VERSIONS.of_clause(id_))}


def lost(checks: Collection[Check], name: str) -> list[str]:
    """The clauses that some of these checks look at, and none without a name that they do not speak of."""
    judged = {id_ for clauses, needs in checks if name not in needs for id_ in clauses}
    named = {id_ for clauses, _ in checks for id_ in clauses}
    return sorted(id_ for id_ in named - judged if name not in VERSIONS.of_clause(id_))


def test_clause_that_is_lost_with_the_name_of_another_is_found() -> None:
    mixed = check_of(("ALLOC-02", "GUARD-08"))
    assert lost([mixed], "frame_flags::MOVABLE") == ["GUARD-08"]
    assert lost([mixed], "MetaSlot.guard") == ["ALLOC-02"]
    assert lost([mixed, check_of(("GUARD-08",))], "frame_flags::MOVABLE") == []
    assert lost([check_of(("GUARD-08",), ["MetaSlot::generation"])], "MetaSlot::generation") == ["GUARD-08"]


def test_each_check_by_itself_loses_no_clause_with_the_name_of_another() -> None:
    """Each function of the suite is looked at with all of its cases: `-k` may choose it alone."""
    cases: dict[str, list[Check]] = {}
    for name, clauses in suite_checks():
        cases.setdefault(name, []).append(check_of(clauses))
    found = {
        f"{name} without {missing}": left
        for name, checks in cases.items()
        for missing in dict.fromkeys(name for _, needs in checks for name in needs)
        if (left := lost(checks, missing))
    }
    assert found == {}, "let each case of a check look at clauses that need the same names"


@pytest.mark.whole
@pytest.mark.slow
def test_no_clause_is_lost_with_a_name_that_its_checks_use_by_the_way(tmp_path: Path) -> None:
    """What the checks of the whole suite really make the guest call, on the built-in module."""
    file = tmp_path / "names.json"
    argv = [
        *(sys.executable, "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={ROOT}", "-p", "no:xdist"),
        *("-p", "no:cacheprovider", "-p", "tests.support.name_recorder", "--machine", "microvm"),
        *(*ASKING, "--any-machine", "--profile", "release", str(ROOT / "tests" / "contract")),
    ]
    env = {**os.environ, "PYTHONPATH": f"{SOURCES}:{ROOT}", FILE: str(file)}
    finished = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
    recorded = json.loads(file.read_text(encoding="utf-8"))
    checks = [check_of(tuple(clauses), names) for _, clauses, names in recorded]
    found = {name: clauses for name in LATER if (clauses := lost(checks, name))}
    known: dict[str, list[str]] = {}
    for id_, names in ALL_CHECKS_NEED.items():
        for name in names:
            known.setdefault(name, []).append(id_)
    assert found == known
