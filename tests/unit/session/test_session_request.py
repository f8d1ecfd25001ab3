"""What a session is asked for is one value: it says the runs of a check, and how to see a finding again."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.resources import machines_dir
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.evidence import PlannedCheck, RunKey
from frame_harness.machine.definition import load_machines
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.session.request import SessionRequest
from frame_harness.session.results import planned_check

pytest_plugins = ["pytester"]

CASES = """
import pytest

@pytest.fixture(params=["first", "second"])
def way(request): ...

@pytest.mark.clause("ALLOC-09")
@pytest.mark.parametrize("case", ["microvm:dev", "my-q35:dev", "x-q35:dev"])
def test_it(kernel, case): ...

@pytest.mark.clause("ALLOC-09")
def test_way(way, kernel): ...

@pytest.mark.clause("ALLOC-09")
def test_alone(kernel): ...
"""
ASKED = SessionRequest(
    subject=frame_module(),
    machines=load_machines(["microvm", "q35"]),
    profiles=("dev", "release"),
    any_machine=False,
)
BY_CHECK = replace(ASKED, program="frame-harness", frame_rs="my f.rs", accel="tcg")
RUN = RunKey("q35", "dev")


@pytest.mark.parametrize(
    ("named", "any_machine", "machines"),
    [
        ([], False, ["microvm", "q35"]),
        (["q35", "q35-5g"], False, ["q35"]),
        (["q35-5g"], False, []),
        (["q35-5g", "microvm"], True, ["q35-5g", "microvm"]),
    ],
)
def test_check_has_the_machines_that_were_chosen_and_those_it_names(
    named: list[str], any_machine: bool, machines: list[str]
) -> None:
    keys = replace(ASKED, any_machine=any_machine).keys_for(named)
    assert keys == [RunKey(machine, profile) for profile in ("dev", "release") for machine in machines]


def test_accelerator_that_was_asked_for_is_that_of_every_machine() -> None:
    asked = replace(ASKED, accel="kvm")
    assert {asked.machine(name).accel for name in ("microvm", "q35-5g")} == {"kvm"}
    assert ASKED.machine("q35").accel == "tcg"


def test_command_that_shows_a_check_again_is_check_s_with_its_options() -> None:
    assert BY_CHECK.check_again(RUN, "ALLOC-07") == (
        "frame-harness check --frame-rs 'my f.rs' --accel tcg --machine q35 --profile dev -k ALLOC-07"
    )


def test_command_that_shows_a_user_s_test_again_is_pytest_s_with_its_file() -> None:
    asked = replace(ASKED, frame_rs="my f.rs", accel="tcg")
    assert asked.check_again(RUN, "a and b", "my test.py") == (
        "pytest 'my test.py' --frame-rs 'my f.rs' --machine q35 --profile dev -k 'a and b'"
    )


def test_command_that_repeats_a_storm_has_no_accelerator() -> None:
    assert BY_CHECK.storm_again(RUN, "large blocks") == (
        "frame-harness storm 'large blocks' --again --frame-rs 'my f.rs' --machine q35 --profile dev"
    )


def test_machine_of_a_file_is_named_by_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes((machines_dir() / "microvm.toml").read_bytes())
    asked = replace(ASKED, machines=load_machines([str(file)]))
    assert f"--machine {file} " in asked.check_again(RunKey("mine", "dev"), "x")


def test_worker_is_asked_for_the_same() -> None:
    there = pickle.loads(pickle.dumps(BY_CHECK))
    assert there == BY_CHECK and there.subject.contract is BY_CHECK.subject.contract


def test_check_has_its_run_and_the_same_name_in_each_whatever_its_cases_are_called(
    pytester: pytest.Pytester,
) -> None:
    pytester.makefile(".toml", **{"my-q35": 'type = "q35"\nram = "64 MiB"'})
    test = pytester.makepyfile(CASES)
    collected: list[PlannedCheck] = []

    class Listener:
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            collected.extend(filter(None, map(planned_check, session.items)))

    machines = ("--machine", "microvm", "--machine", "q35", "--machine", "my-q35.toml")
    pytester.inline_run("--collect-only", *machines, plugins=[Listener()])
    names = ["test_alone", *(f"test_it[{case}]" for case in ("microvm:dev", "my-q35:dev", "x-q35:dev"))]
    names += ["test_way[first]", "test_way[second]"]
    assert sorted((one.run.machine, one.check) for one in collected) == [
        (machine, f"{test.name}::{name}") for machine in ("microvm", "my-q35", "q35") for name in names
    ]


def test_a_contract_that_no_other_process_knows_is_refused_by_its_name() -> None:
    with pytest.raises(HarnessError, match=f"contract: {MEMORY_CORE.name}: expected {FRAME_METADATA.name}"):
        pickle.dumps(MEMORY_CORE)
