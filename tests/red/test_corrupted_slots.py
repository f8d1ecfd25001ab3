"""The host corrupts a healthy guest's memory: exactly those invariants fire that should."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from frame_harness.cli.main import cli
from frame_harness.cli.matrix import COLUMNS, NOBODY, cells, summary
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.commands import Op
from frame_harness.frame_histories.corruption_table import CORRUPTIONS
from frame_harness.frame_histories.corruptions import Corruption
from frame_harness.frame_histories.lockstep import OwnHost
from frame_harness.frame_histories.matrix import CorruptionRunner, MatrixRow
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine

MACHINES = [("q35", "dev"), ("microvm", "release"), ("pc", "dev")]


@pytest.fixture(scope="module", params=MACHINES, ids=":".join)
def laboratory(request: pytest.FixtureRequest) -> Iterator[CorruptionRunner]:
    machine, profile = request.param
    host = OwnHost(build(frame_module(), profile), load_machine(machine))
    kernel: Kernel = host.boot()
    yield CorruptionRunner(kernel)
    host.finish(kernel)


def test_nothing_fires_before_the_corruption(laboratory: CorruptionRunner) -> None:
    assert not laboratory.violated_before
    assert len(set(laboratory.scene.pfns.values())) == len(laboratory.scene.pfns)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_corruption_is_noticed_by_exactly_the_invariants_that_should(
    corruption: Corruption, laboratory: CorruptionRunner
) -> None:
    row = laboratory.row(corruption)
    assert row.as_expected, row


def test_guest_is_healthy_again_after_the_corruptions(laboratory: CorruptionRunner) -> None:
    for corruption in CORRUPTIONS[:3]:
        laboratory.row(corruption)
    assert not laboratory.look()


def test_every_invariant_is_proved_able_to_fail_on_a_guest() -> None:
    assert frozenset(INVARIANTS) == frozenset().union(*(corruption.fires for corruption in CORRUPTIONS))


def test_every_whole_memory_clause_has_a_corruption_that_breaks_it() -> None:
    fired = frozenset().union(*(corruption.fires for corruption in CORRUPTIONS))
    broken = {clause for name in fired for clause in INVARIANTS[name].clauses}
    assert broken >= {id_ for id_, clause in CLAUSES.items() if "W" in clause.kind}


def test_kernel_itself_notices_what_it_trips_over() -> None:
    host = OwnHost(build(frame_module(), "dev"), load_machine("q35"))
    kernel = host.boot()
    try:
        laboratory = CorruptionRunner(kernel)
        rows = {each.name: laboratory.row(each) for each in CORRUPTIONS if each.kind in ("cached", "held")}
    finally:
        host.finish(kernel)
    assert rows["cached refcount of a live frame"].panics == (Op.ALLOC, Op.ALLOC_ALL)
    assert rows["cached flags FREE lost"].panics[0] is Op.DRAIN
    assert not rows["held meta_aux written"].noticed


def test_matrix_names_who_notices() -> None:
    noticed = MatrixRow(CORRUPTIONS[0], (Op.ALLOC,), ("W-LINK-IN-TABLE", "W-LINK-SYMMETRIC"))
    unnoticed = MatrixRow(CORRUPTIONS[0], (), ())
    assert cells(noticed)[3:] == ("alloc", "LINK-IN-TABLE, LINK-SYMMETRIC")
    assert cells(unnoticed)[3:] == ("", NOBODY)
    assert summary([noticed, unnoticed]).endswith("1 violate invariants, 1 are noticed by nobody")


def test_matrix_is_printed_for_a_document_too() -> None:
    run = CliRunner().invoke(cli, ["matrix", "--markdown"], env={"FRAME_RS": ""})
    assert run.exit_code == ExitCode.PASS, run.output
    lines = run.output.splitlines()
    assert "| " + " | ".join(COLUMNS) + " |" in lines
    assert sum(line.startswith("| ") for line in lines) == len(CORRUPTIONS) + 1
