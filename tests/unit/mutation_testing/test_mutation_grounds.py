"""What mutants are measured by is of one text; what cannot work is refused before anything is judged."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace as with_fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from rich.console import Console

from frame_harness.base.digests import sha256_of
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.campaigns.files import known as known_files
from frame_harness.cli import mutate_grounds
from frame_harness.cli.campaign_options import CampaignOptions
from frame_harness.cli.main import cli
from frame_harness.cli.mutate import MutateRequest, mutate
from frame_harness.cli.mutate_grounds import Begins, FrameGround
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.image import Image
from frame_harness.judge.evidence import GuestExits, Level, Outcome, RunKey
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from frame_harness.memory_core.design import TREE
from frame_harness.memory_core.steps import CaseStorm
from frame_harness.memory_core.tree import NEEDED
from frame_harness.memory_core.worker import Judged as JudgedBuild
from frame_harness.memory_core.worker import Task as CoreCase
from frame_harness.mutation.generate import mutants_of
from frame_harness.mutation.mutants import Mutant
from frame_harness.mutation_testing import cores, judging
from frame_harness.mutation_testing.campaign import Ground
from frame_harness.mutation_testing.cores import CoreTask, judge_core_mutant
from frame_harness.mutation_testing.explained import SurvivorExplanation, idle
from frame_harness.mutation_testing.judging import FrameTask
from frame_harness.mutation_testing.records import Fate, How, JudgedMutant
from frame_harness.mutation_testing.suite import STORMS_AGAIN, Suite
from frame_harness.report.progress import Progress
from tests.support.core_mutants import TREE as KERNEL_TREE
from tests.support.mutant_samples import DEV, RUN, known, mutant, reference, result
from tests.unit.evidence_samples import healthy_run

TEXT = "fn f() {\n    put(1);\n}\n"


class Prepared:
    """A subject whose judgement takes no time; remembers whether it was judged."""

    read = ()

    def __init__(self, judged_text: str = TEXT) -> None:
        self.was_judged = False
        self._judged_text = judged_text

    def texts(self) -> dict[str, bytes]:
        return {"a.rs": TEXT.encode()}

    def made(self, _progress: Progress, _mutants: Sequence[Mutant], begins: Begins) -> Ground:
        begins("identity")
        self.was_judged = True
        return Ground(
            texts={"a.rs": self._judged_text.encode()}, reference=reference(), contract=FRAME_METADATA,
            work=killed, task=lambda one, _: one, identity="identity", files=(),
        )  # fmt: skip


def killed(task: Mutant) -> JudgedMutant:
    return JudgedMutant(key=task.key, fate=Fate.KILLED)


def request(subject: Prepared, tmp_path: Path, **where: Any) -> MutateRequest:
    return MutateRequest(
        cast("FrameGround", subject),
        command="",
        where=CampaignOptions(**where),
        json=tmp_path / "report.json",
    )


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Campaigns run in this process."""
    settings = CampaignOptions.settings

    def in_this_process(options: CampaignOptions, name: str, say: Callable[[str], None]) -> Any:
        found = settings(options, name, say)
        return SimpleNamespace(**{**vars(found), "workers": 0})

    monkeypatch.setattr(CampaignOptions, "settings", in_this_process)


def used(folder: Path) -> Path:
    folder.mkdir()
    (folder / "campaign.json").write_text(
        '{"name": "fuzz", "identity": "another", "command": "frame-harness fuzz", "version": "1"}'
    )
    return folder


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (lambda folder: {"out": used(folder)}, "holds the results of a campaign already"),
        (lambda folder: {"resume": used(folder)}, "expected this mutate campaign"),
        (lambda folder: {"resume": folder}, "expected the folder of a campaign"),
        (lambda _: {"scheduler": "tcp://127.0.0.1:1"}, "127.0.0.1:1"),
        (lambda _: {"scheduler": "nowhere"}, "expected an address"),
        (lambda _: {"scheduler": "tcp://127.0.0.1:1", "workers": 2}, "does not go with --scheduler"),
    ],
    ids=["used folder", "another campaign", "no campaign", "nobody there", "no address", "two places"],
)
def test_a_campaign_that_cannot_be_is_refused_before_the_subject_is_judged(
    where: Callable[[Path], dict[str, Any]], words: str, tmp_path: Path
) -> None:
    subject = Prepared()
    asked = request(subject, tmp_path, **where(tmp_path / "campaign"))
    with pytest.raises(HarnessError, match=re.escape(words)):
        mutate(asked)
    assert not subject.was_judged
    assert not (tmp_path / "report.json").exists(), "a report of nothing"


@pytest.mark.usefixtures("here")
def test_a_campaign_of_the_text_that_was_judged_is_reported(tmp_path: Path) -> None:
    assert mutate(request(Prepared(), tmp_path, out=tmp_path / "campaign")) is ExitCode.PASS
    assert '"killed"' in (tmp_path / "report.json").read_text(encoding="utf-8")


@pytest.mark.usefixtures("here")
def test_mutants_of_a_text_that_was_edited_before_it_was_judged_are_refused(tmp_path: Path) -> None:
    edited = Prepared(judged_text=TEXT.replace("put(1)", "take(2)"))
    with pytest.raises(HarnessError, match="expected the text that mutants were made of"):
        mutate(request(edited, tmp_path, out=tmp_path / "campaign"))


def test_subject_that_was_edited_while_it_was_judged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frame.rs"
    path.write_text(TEXT, encoding="utf-8")
    subject, texts = frame_module(path), {"frame.rs": TEXT.encode()}
    mutate_grounds._require_unchanged(subject, {"frame.rs": path}, texts)
    path.write_text(TEXT + "\n", encoding="utf-8")
    with pytest.raises(HarnessError, match=r"frame\.rs changed"):
        mutate_grounds._require_unchanged(subject, {"frame.rs": path}, texts)
    path.unlink()
    with pytest.raises(HarnessError, match=r"frame\.rs changed"):
        mutate_grounds._require_unchanged(subject, {"frame.rs": path}, texts)


def test_module_with_another_file_compiled_into_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frame.rs"
    path.write_text(TEXT, encoding="utf-8")

    def require(*read: Path) -> None:
        image = SimpleNamespace(sources=tuple((str(file), "0") for file in read))
        mutate_grounds._require_rust_alone(frame_module(path), {"frame.rs": path}, cast("Any", [image]))

    require(path, Path("/elsewhere/table.in"))
    with pytest.raises(UsageError, match=r"got table\.in compiled into it"):
        require(path, tmp_path / "table.in")


def test_texts_are_kept_as_they_were(tmp_path: Path) -> None:
    texts = {"frame.rs": b"one", "frame/part.rs": b"two"}
    kept = mutate_grounds._laid_down(tmp_path, texts)
    assert {name: path.read_bytes() for name, path in kept.items()} == texts


def test_a_command_that_judges_the_same_text_takes_nothing_from_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both keep what they measured at one place, and no two measure the same times."""
    kept = tmp_path / "reference.json"
    kept.write_bytes(msgspec.json.encode(reference()))
    monkeypatch.setattr(mutate_grounds, "_kept", lambda _: kept)
    ground = FrameGround(None, ("microvm",), "dev", None).made(
        Progress(Console(quiet=True)), [], lambda _: None
    )
    task = cast("FrameTask", ground.task(mutant(), False))
    kept.write_bytes(msgspec.json.encode(reference(duration_s=9.0)))
    with known_files({sha256_of(path): path for path in ground.files}):
        assert judging.read_reference(task.reference) == reference()


def test_damaged_reference_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    assert mutate_grounds._read(path) is None
    path.write_bytes(b'{"subject": ')
    assert mutate_grounds._read(path) is None


MADE = mutants_of({"a.rs": TEXT.encode()})


@pytest.mark.parametrize(
    "other",
    [
        ("1", {"a.rs": b"x"}, MADE, ("dev",)),
        ("0", {"a.rs": b"y"}, MADE, ("dev",)),
        ("0", {"b.rs": b"x"}, MADE, ("dev",)),
        ("0", {"a.rs": b"x"}, MADE[1:], ("dev",)),
        ("0", {"a.rs": b"x"}, [replace(MADE[0], start=MADE[0].start + 1), *MADE[1:]], ("dev",)),
        ("0", {"a.rs": b"x"}, MADE, ("release",)),
    ],
    ids=["subject", "text", "name", "other mutants", "a key of another edit", "settings"],
)
def test_identity_is_another_where_results_may_be(other: Any) -> None:
    own = mutate_grounds._identity("0", {"a.rs": b"x"}, MADE, ("dev",))
    assert own == mutate_grounds._identity("0", {"a.rs": b"x"}, MADE, ("dev",))
    assert own != mutate_grounds._identity(*other)


def test_a_reason_that_names_another_function_is_told() -> None:
    one = mutant()
    reason = SurvivorExplanation(mutant=one.key, function="elsewhere", why="REF-01")
    (words,) = idle({one.key: reason}, [one], {one.key})
    assert words == f"{one.key}: it is in {one.function}, not in elsewhere"


def seen(*ends: GuestEnd, results: Sequence[Any] = ()) -> JudgedBuild:
    exits = tuple(GuestExits(got=end, count=1, text=f"was {end}") for end in ends)
    ledger = SimpleNamespace(run=RUN, layout=healthy_run(RUN).layout, exits=exits, invariants={})
    return cast("JudgedBuild", SimpleNamespace(ledger=ledger, results=results))


@pytest.mark.parametrize("end", [GuestEnd.PANIC, GuestEnd.RESET, GuestEnd.TIMEOUT, GuestEnd.CONTRADICTION])
def test_core_that_ends_a_guest_otherwise_is_told_from_the_subject(end: GuestEnd) -> None:
    kill = cores._kill(seen(GuestEnd.PASS, end), reference())
    assert kill is not None and kill.how is How.NO_PASS


@pytest.mark.parametrize("end", [GuestEnd.KILLED, GuestEnd.SIGNALED, GuestEnd.REFUSED])
def test_guest_that_the_host_ended_is_no_kill(end: GuestEnd) -> None:
    with pytest.raises(HarnessError, match=f"was {end}"):
        cores._kill(seen(GuestEnd.PASS, end), reference())


@pytest.mark.parametrize(
    ("shown", "kills"),
    [((False, False, True), True), ((False,) * STORMS_AGAIN, False)],
    ids=["at last", "never"],
)
def test_storm_of_a_core_must_show_its_fault_again(
    shown: Sequence[bool], kills: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = result(
        "cases[CORE-01]", Outcome.VIOLATED, "CORE-01", level=Level.STORM, case=str(CaseStorm(3, 9, 1))
    )
    known = result("cases[CORE-02]", Outcome.VIOLATED, "CORE-02")  # what the subject itself breaks
    plays = iter(shown)
    monkeypatch.setattr(
        cores, "judge_build", lambda *_: seen(results=(known, fault) if next(plays) else (known,))
    )
    kill = cores._kill(seen(results=(fault,)), reference())
    assert kill is not None and kill.by_storm
    task = CoreCase(
        RUN, cast("Image", None), load_machine("microvm"), again="", seed=1, without_ownership="",
        design=TREE, known=frozenset({("CORE-02", "")}),
    )  # fmt: skip
    assert cores._shows_again(task, kill) is kills
    assert next(plays, None) is None


class AsBuilt:
    """A mutant that is another program in some profiles."""

    def __init__(self, *differing: str) -> None:
        self._differing = differing

    def image(self, profile: str) -> str:
        return profile

    def differs(self, profile: str) -> bool:
        return profile in self._differing

    def first_differing(self, profiles: Sequence[str]) -> list[str]:
        return sorted(profiles, key=lambda one: one not in self._differing)


RUNS = (RUN, DEV, RunKey("q35", "release"), RunKey("q35", "dev"))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets mutants be built in no time, as told."""

    def as_told(*differing: str) -> None:
        for module in (judging, cores):
            monkeypatch.setattr(module, "builder", lambda *_: contextlib.nullcontext())
            monkeypatch.setattr(module, "built", lambda *_: AsBuilt(*differing))
            monkeypatch.setattr(module, "read_texts", lambda _: {"frame.rs": b""})
            monkeypatch.setattr(module, "read_reference", lambda _: reference())

    return as_told


@pytest.mark.parametrize(
    ("one_run", "runs"),
    [
        (
            True,
            [(DEV,)],
        ),
        (False, [(DEV,), (RUN,), RUNS[2:]]),
    ],
    ids=["with a reason", "without one"],
)
def test_frame_mutant_with_a_reason_is_judged_in_the_first_run_that_can_tell_it(
    one_run: bool, runs: list[Any], built: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    built("dev")
    made: list[Any] = []
    monkeypatch.setattr(Suite, "make", lambda _, some, *__: made.append(tuple(some)))
    task = FrameTask(
        mutant=mutant(), texts={}, reference="0", machines={}, any_machine=True, runs=RUNS, one_run=one_run
    )
    found = judging.judge_mutant(task)
    assert (found.fate, found.why, made) == (Fate.SURVIVED, "", runs)
    assert found.every_run is not one_run


@pytest.mark.parametrize(
    ("one_run", "differing", "profiles", "every_run"),
    [
        (True, ("dev", "release"), ["release"], False),
        (True, ("dev",), ["dev"], True),
        (False, ("dev", "release"), ["release", "dev"], True),
    ],
    ids=["with a reason", "another program in one profile alone", "without a reason"],
)
def test_core_mutant_with_a_reason_is_judged_in_the_first_profile_that_can_tell_it(
    one_run: bool,
    differing: tuple[str, ...],
    profiles: list[str],
    every_run: bool,
    built: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built(*differing)
    made: list[str] = []

    def plays(task: Any, _: object) -> JudgedBuild:
        made.append(task.run.profile)
        return seen(GuestEnd.PASS)

    monkeypatch.setattr(cores, "judge_build", plays)
    monkeypatch.setattr(cores, "_of_run", lambda _, run, *__: SimpleNamespace(run=run))
    task = CoreTask(
        mutant=mutant(), texts={}, reference="0", runs=(RUN, DEV), request_cpu_s=1.0, seed=1, one_run=one_run
    )
    found = judge_core_mutant(task)
    assert (found.fate, found.why, made) == (Fate.SURVIVED, "", profiles)
    assert found.every_run is every_run


def test_core_is_no_survivor_of_cases_that_its_host_had_no_room_for() -> None:
    skipped = result("core[maps of tens of GiB]", Outcome.SKIPPED, message="no room")
    cores._require_as_much((), RUN, reference())
    with pytest.raises(HarnessError, match="no room"):
        cores._require_as_much((skipped,), skipped.run, reference())


def test_operators_are_chosen_by_the_names_that_a_report_shows() -> None:
    found = CliRunner().invoke(
        cli, ["mutate", "--list", *(f"--operator={one}" for one in ("ordering", "bit"))]
    )
    assert found.exit_code == ExitCode.PASS, found.output
    assert {line.split()[1] for line in found.stdout.splitlines()} == {"ordering", "bit"}


def test_the_list_of_mutants_has_the_reasons_and_tells_those_that_nothing_needs(tmp_path: Path) -> None:
    words = ["mutate", "--list", "--function", "MetaSlot::inc_ref"]
    key, _, _, function, *_ = CliRunner().invoke(cli, words).stdout.splitlines()[0].split()
    reasons = tmp_path / "reasons.toml"
    one = '[[survivor]]\nmutant = "{}"\nfunction = "{}"\nwhy = "nobody asks"\n'
    reasons.write_text(one.format(key, function) + one.format("0" * 12, function))
    found = CliRunner().invoke(cli, [*words, "--explained", str(reasons)])
    assert [line.split()[0] for line in found.stdout.splitlines() if "explained: nobody asks" in line] == [
        key
    ]
    assert found.stderr == f"a reason that nothing needs: {'0' * 12}: no such mutant is made of this text\n"
    reasons.write_text("[[survivor]]\nkey = 1\n")
    found = CliRunner().invoke(cli, [*words, "--explained", str(reasons)])
    assert isinstance(found.exception, UsageError) and found.exception.which == str(reasons)


@pytest.mark.parametrize(
    "words",
    [
        ("--list", "--json", "r"),
        ("--list", "--least", "0"),
        ("--list", "--again", "k"),
        ("--again", "k", "--html", "r"),
        ("--again", "k", "--sample", "3"),
    ],
    ids=" ".join,
)
def test_an_option_that_would_do_nothing_beside_another_is_refused(words: tuple[str, ...]) -> None:
    found = CliRunner().invoke(cli, ["mutate", *words])
    assert found.exit_code == ExitCode.USAGE and "does not go with" in found.output


@pytest.mark.parametrize("any_machine", [True, False])
def test_checks_that_name_a_machine_have_it_on_a_mutant_where_they_had_it_on_the_subject(
    any_machine: bool,
) -> None:
    machine = load_machine("microvm")
    task = FrameTask(
        mutant=mutant(), texts={}, reference="0", machines={"mine.toml": machine}, any_machine=any_machine,
        runs=(RUN,),
    )  # fmt: skip
    asked = judging._request(task, reference(results=()))
    assert (asked.machines, asked.any_machine) == ({"mine.toml": machine}, any_machine)
    assert len(asked.keys_for(["q35-5g"])) == 0  # no profile is asked for yet
    assert [key.machine for key in with_fields(asked, profiles=("dev",)).keys_for(["q35-5g"])] == (
        ["q35-5g"] if any_machine else []
    )


def test_mutants_are_built_without_owners_of_blocks_where_the_core_itself_was() -> None:
    memory, absent = (
        KERNEL_TREE / "src" / "memory",
        known("cases[CORE-26]", "CORE-26", outcome=Outcome.ABSENT),
    )
    assert cores._core_in(memory, reference()).features
    narrow = cores._core_in(memory, reference(results=(absent,)))
    assert not narrow.features and narrow.parts == NEEDED
