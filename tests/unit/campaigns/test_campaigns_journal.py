"""Results are kept as they come, and a campaign goes on where it was stopped: all in one process."""

from __future__ import annotations

import errno
import json
import os
import pickle
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from frame_harness.base.digests import sha256_of
from frame_harness.base.disk import Unwritable
from frame_harness.base.errors import HarnessError, MachineError, UsageError
from frame_harness.base.version import version
from frame_harness.campaigns.done import LossReason, Lost
from frame_harness.campaigns.engine import CampaignProgress, DoneTask, campaign
from frame_harness.campaigns.journal import Journal, seed_of
from frame_harness.campaigns.plan import Plan, Settings
from frame_harness.cli.campaign_options import CampaignOptions
from frame_harness.cli.main import cli
from tests.support.campaign_tasks import Job, Kind, Number, act, plan_of

DONE: list[int] = []


def noted(job: Job) -> Number:
    DONE.append(job.n)
    return act(job)


def here(folder: Path | None, *, resume: bool = False) -> Settings:
    return Settings(0, None, folder, resume, None)


def run(settings: Settings, numbers: range, plan: Plan[Job, Number] | None = None) -> list[DoneTask[Number]]:
    DONE.clear()
    with campaign(plan or Plan("tries", noted, Number, "one"), settings) as running:
        for n in numbers:
            running.submit(str(n), Job(n=n))
        return list(running.results())


def squares(numbers: range) -> list[DoneTask[Number]]:
    return [DoneTask(str(n), Number(n=n * n)) for n in numbers]


def test_results_come_and_are_kept_one_line_each(tmp_path: Path) -> None:
    assert run(here(tmp_path / "c"), range(3)) == squares(range(3))
    lines = (tmp_path / "c" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"key": str(n), "result": {"n": n * n}} for n in range(3)]
    assert json.loads((tmp_path / "c" / "campaign.json").read_text())["name"] == "tries"


def test_the_seed_of_a_campaign_is_kept(tmp_path: Path) -> None:
    for seed in (7, None):
        plan = Plan("tries", noted, Number, "one", seed=seed)
        run(here(tmp_path / str(seed)), range(1), plan)
        assert seed_of(tmp_path / str(seed)) == seed
    with pytest.raises(UsageError, match="expected the folder of a campaign"):
        seed_of(tmp_path)


def test_resume_is_advised_only_where_there_is_something_to_go_on_with(tmp_path: Path) -> None:
    said: list[str] = []
    settings = Settings(0, None, tmp_path / "a b", resume=False, say=said.append)
    run(settings, range(1))
    assert said == [f"results: {tmp_path}/a b; if it is stopped, go on with --resume '{tmp_path}/a b'"]
    seed_of(tmp_path / "a b")
    with pytest.raises(UsageError, match="holds the results of a campaign already"):
        run(settings, range(1))
    assert len(said) == 1
    CampaignOptions(out=tmp_path / "new").settings(
        "tries", said.append
    )  # `mutate` then judges its subject first
    assert len(said) == 1


def test_a_campaign_without_a_folder_keeps_nothing(tmp_path: Path) -> None:
    assert run(here(None), range(2)) == squares(range(2))
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_not_done_again(tmp_path: Path) -> None:
    run(here(tmp_path), range(3))
    assert run(here(tmp_path, resume=True), range(5)) == squares(range(5))
    assert DONE == [3, 4]


def test_a_line_that_was_not_finished_is_done_again(tmp_path: Path) -> None:
    run(here(tmp_path), range(3))
    file = tmp_path / "results.jsonl"
    file.write_bytes(file.read_bytes()[:-4])
    assert run(here(tmp_path, resume=True), range(3)) == squares(range(3))
    assert DONE == [2]
    assert len(file.read_text().splitlines()) == 3, "the part of a line is gone"


@pytest.mark.parametrize("text", ["one", pytest.param("[" * 100_000, id="too deep")])
def test_a_line_that_nobody_can_read_is_named(text: str, tmp_path: Path) -> None:
    run(here(tmp_path), range(3))
    file = tmp_path / "results.jsonl"
    file.write_text(file.read_text().replace('"n":1', f'"n":{text}'))
    with pytest.raises(HarnessError, match=r"results\.jsonl:2: cannot be read"):
        run(here(tmp_path, resume=True), range(3))


def test_what_was_lost_is_tried_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, plan_of())
    with journal.open(resume=False):
        journal.keep(DoneTask("1", Lost(reason=LossReason.HUNG, detail="no result after 1 s")))
    assert run(here(tmp_path, resume=True), range(3)) == squares(range(3))
    assert DONE == [0, 1, 2]


def is_small(result: Number) -> bool:
    return result.n < 4


def test_what_is_not_final_is_done_again_and_the_later_line_counts(tmp_path: Path) -> None:
    run(here(tmp_path), range(3))
    picky = Plan("tries", noted, Number, "one", is_final=is_small)
    assert run(here(tmp_path, resume=True), range(3), picky) == squares(range(3))
    assert DONE == [2], "the result 4 did not stand"
    journal = Journal(tmp_path, plan_of())
    with journal.open(resume=True):
        journal.keep(DoneTask("2", Number(n=3)))
    assert run(here(tmp_path, resume=True), range(3), picky)[2] == DoneTask("2", Number(n=3))
    assert DONE == [], "the later line, which stands, is read"


def test_a_later_line_that_is_not_final_takes_back_an_earlier_one(tmp_path: Path) -> None:
    run(here(tmp_path), range(2))
    journal = Journal(tmp_path, plan_of())
    with journal.open(resume=True):
        journal.keep(DoneTask("1", Number(n=9)))
    picky = Plan("tries", noted, Number, "one", is_final=is_small)
    run(here(tmp_path, resume=True), range(2), picky)
    assert DONE == [1]


def test_what_is_done_again_is_not_counted_among_the_kept(tmp_path: Path) -> None:
    run(here(tmp_path), range(3))
    picky = Plan("tries", noted, Number, "one", is_final=is_small)
    with campaign(picky, here(tmp_path, resume=True)) as running:
        for n in range(3):
            running.submit(str(n), Job(n=n))
        assert len(list(running.results())) == 3
    assert (running.progress.kept, running.progress.done) == (2, 1)


@pytest.mark.parametrize("other", [plan_of("two"), Plan("others", act, Number, "one")], ids=["files", "name"])
def test_another_campaign_is_not_gone_on_with(other: Plan[Job, Number], tmp_path: Path) -> None:
    run(here(tmp_path), range(2))
    with pytest.raises(UsageError, match=r"--resume: .*: expected this .* campaign, got one of other files"):
        run(here(tmp_path, resume=True), range(2), other)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2


def test_a_folder_with_results_is_not_begun_again(tmp_path: Path) -> None:
    run(here(tmp_path), range(2))
    with pytest.raises(UsageError, match="holds the results of a campaign already") as caught:
        run(here(tmp_path), range(2))
    assert f"--resume {tmp_path}" in caught.value.next_step


def test_results_of_nobody_knows_which_campaign_are_not_taken_over(tmp_path: Path) -> None:
    run(here(tmp_path), range(2))
    (tmp_path / "campaign.json").unlink()
    with pytest.raises(UsageError, match=r"results\.jsonl: nobody knows of which campaign it is") as caught:
        run(here(tmp_path), range(2), plan_of("two"))
    assert caught.value.next_step == "remove it, or name another folder"
    assert not (tmp_path / "campaign.json").exists(), "else --resume would take these for its own"


@pytest.mark.parametrize("name", ["results.jsonl", "lock"])
def test_a_pipe_in_the_folder_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    run(here(tmp_path), range(1))
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=f"{name}: expected a file, got something else"):
        run(here(tmp_path, resume=True), range(1))


def test_a_folder_without_a_campaign_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected the folder of a campaign, got no campaign\.json"):
        run(here(tmp_path / "nowhere", resume=True), range(2))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("/proc/x", "no folder can be made there: No such file or directory"),
        ("/proc/x/y", "no folder can be made there: No such file or directory"),
        ("file/x", "no folder can be made there: Not a directory"),
        ("file", "no folder can be made there: File exists"),
        ("x" * 300, "no folder can be made there: File name too long"),
    ],
)
def test_a_folder_that_cannot_be_is_one_message(place: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unwritable) as caught:
        run(here(tmp_path / place), range(1))
    assert caught.value.summary == f"cannot be written: {tmp_path / place}: {why}"
    assert caught.value.next_step == "name another folder"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOSPC])
def test_what_else_goes_wrong_in_a_campaign_is_not_told_as_its_folder(number: int, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"Errno {number}") as caught, campaign(plan_of(), here(tmp_path)):
        raise OSError(number, "of something else")
    assert not isinstance(caught.value, HarnessError)


def test_results_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(here(tmp_path), range(1))

    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UsageError, match=r"--resume: .*: cannot be read: Permission denied"):
        run(here(tmp_path, resume=True), range(1))


def test_two_commands_do_not_work_on_one_folder(tmp_path: Path) -> None:
    with campaign(plan_of(), here(tmp_path)), pytest.raises(UsageError, match="another command is working"):
        run(here(tmp_path, resume=True), range(2))


def test_more_tasks_may_come_while_results_do() -> None:
    found = []
    with campaign(plan_of(), here(None)) as running:
        running.submit("0", Job(n=2))
        for done in running.results():
            assert isinstance(done.result, Number)
            found.append(done.result.n)
            if done.result.n < 100:
                running.submit(str(len(found)), Job(n=done.result.n))
    assert found == [4, 16, 256]


def test_a_file_is_found_by_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "any name"
    file.write_bytes(b"12345")
    with campaign(plan_of(files=[file]), here(None)) as running:
        running.submit("0", Job(kind=Kind.FILE, where=sha256_of(file)))
        assert [done.result for done in running.results()] == [Number(n=5)]


def test_a_file_that_has_changed_since_is_not_found(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    with campaign(plan_of(files=[file]), here(None)) as running:
        running.submit("0", Job(kind=Kind.FILE, where=sha256_of(file)))
        file.write_bytes(b"54321")
        with pytest.raises(HarnessError, match=r"file of a campaign: file\.txt: expected content"):
            list(running.results())


def test_an_error_travels_with_all_its_parts() -> None:
    error = UsageError("what", "which", expected=1, actual=2, detail="d", next_step="n", evidence="e")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (UsageError, str(error), vars(error))


def test_an_error_travels_with_the_error_that_caused_it() -> None:
    try:
        raise UsageError("then") from MachineError("first", detail="d")
    except UsageError as error:
        again = pickle.loads(pickle.dumps(error))
    assert isinstance(again.__cause__, MachineError) and str(again.__cause__) == "first: d"


def test_the_line_of_progress_says_done_rate_findings_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = CampaignProgress()
    progress.submitted, progress.kept, progress.done = 100, 10, 40
    progress.findings, progress.again, progress.lost = 1, 2, 3
    assert progress.words == "50 of 100 tasks, 4 a second, 1 finding, 12 s left, 2 begun again, 3 lost"


def test_nobody_says_how_long_what_has_no_end_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 60.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = CampaignProgress(open_ended=True, has_findings=False)
    progress.submitted, progress.done = 9, 3
    assert progress.words == "3 tasks, 3 a minute"


def test_a_campaign_of_another_version_is_not_gone_on_with(tmp_path: Path) -> None:
    run(here(tmp_path), range(2))
    note = tmp_path / "campaign.json"
    note.write_text(note.read_text().replace(version(), "0.0.1 with code 00000000"))
    with pytest.raises(UsageError, match=r"got one of 0\.0\.1 with code 00000000"):
        run(here(tmp_path, resume=True), range(2))


@pytest.mark.parametrize("command", ["fuzz", "mutate", "storm"])
def test_a_folder_of_no_campaign_is_refused_before_anything_is_built(command: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, [command, "--resume", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert result.exception.summary.endswith("expected the folder of a campaign, got no campaign.json")
