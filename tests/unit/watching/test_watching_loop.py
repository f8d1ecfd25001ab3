"""Proves when a round begins, is given up, counts: on events that a test makes, without files or guests."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

from frame_harness.cli.watch import _signals
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import Evidence, Outcome
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.watching.content import Content, WatchedPlace
from frame_harness.watching.loop import Before, Event, Loop, RoundEnded, Saved
from frame_harness.watching.messages import Built, BuiltImage, Looked, Refused, RoundJudged
from tests.support.judging import judge
from tests.unit.evidence_samples import TABLE, healthy, with_outcome

FILE, OTHER = Path("/k/memory/frame.rs"), Path("/k/words.txt")
IMAGES = (BuiltImage(elf="/cache/1.elf", sha256="1", profile="dev"),)
BUILT = Built(seconds=1.0, images=IMAGES, sources=(), changed=None, first=0)
BROKEN = with_outcome(healthy(), TABLE, Outcome.VIOLATED)


def judged(evidence: Evidence) -> RoundJudged:
    return RoundJudged(evidence=evidence, verdict=judge(evidence), known=EMPTY)


class Round:
    def __init__(self, before: Before) -> None:
        self.before, self.stopped = before, False

    def stop(self) -> None:
        self.stopped = True


class Recorder:
    """Writes down what a screen is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> object:
        def tell(*values: object, **named: object) -> None:
            self.told.append(" ".join([name, *(key for key, value in named.items() if value)]))

        return tell


class Scene:
    """A loop over files and rounds that are values."""

    def __init__(self) -> None:
        self.texts: dict[Path, str] = {FILE: "one"}
        self.clock = 0
        self.rounds: list[Round] = []
        self.shows = Recorder()
        self.loop = Loop(WatchedPlace((FILE,)), self.look, self.begin, self.shows)  # type: ignore[arg-type]

    def look(self, place: WatchedPlace) -> Content:
        files = [file for file in (*place.needed, *place.others) if file in self.texts]
        return Content(
            {file: (self.clock, 1, 1) for file in files},
            {file: self.texts[file] for file in files},
            frozenset(place.others),
        )

    def begin(self, before: Before) -> Round:
        self.rounds.append(Round(before))
        return self.rounds[-1]

    def status(self) -> ExitCode:
        return self.loop.status()

    def save(self, text: str) -> Saved:
        self.clock += 1
        self.texts[FILE] = text
        return Saved()

    def run(self, *steps: Event | str) -> list[str]:
        """Judge what is there, then let happen one after the other: an event, or a save of some text."""
        self.loop.run(self.save(one) if isinstance(one, str) else one for one in steps)
        return self.shows.told


def test_what_is_there_is_judged_at_once_and_its_status_counts() -> None:
    scene = Scene()
    assert scene.status() is ExitCode.INTERRUPTED
    assert scene.run(BUILT, judged(healthy())) == ["begins", "built", "judged"]
    assert scene.status() is ExitCode.PASS and scene.rounds[0].stopped


def test_a_save_begins_a_round_that_knows_what_is_broken_and_the_images_before() -> None:
    scene = Scene()
    scene.run(BUILT, judged(BROKEN))
    assert scene.status() is ExitCode.FAIL
    scene.loop.take(scene.save("two"))
    assert scene.status() is ExitCode.INTERRUPTED, "the text of now is not judged yet"
    assert {one.check for one in scene.rounds[1].before.standing.checks} == {TABLE}
    assert scene.rounds[1].before.images == IMAGES


def test_a_save_in_the_middle_gives_the_round_up() -> None:
    scene = Scene()
    assert scene.run(BUILT, "two") == ["begins", "built", "begins anew"]
    assert [one.stopped for one in scene.rounds] == [True, False]


def test_the_same_text_starts_nothing() -> None:
    scene = Scene()
    told = scene.run(BUILT, judged(healthy()), "one")
    assert told == ["begins", "built", "judged", "same"] and len(scene.rounds) == 1
    assert scene.status() is ExitCode.PASS


def test_the_same_text_gives_no_round_up_that_runs_guests() -> None:
    scene = Scene()
    assert scene.run(BUILT, "one") == ["begins", "built", "same"]
    assert not scene.rounds[0].stopped


def test_the_same_text_that_is_saved_while_it_is_compiled_is_compiled_again() -> None:
    scene = Scene()
    assert scene.run("one") == ["begins", "begins anew"]


def test_what_is_seen_and_changes_nothing_says_nothing() -> None:
    scene = Scene()
    assert scene.run(Saved(), BUILT, Saved()) == ["begins", "built"]


def test_a_verdict_on_a_text_that_is_no_more_is_not_told() -> None:
    scene = Scene()
    scene.run(BUILT)
    scene.save("two")  # nobody saw it yet
    scene.loop.take(judged(healthy()))
    assert scene.shows.told == ["begins", "built", "begins anew"]
    assert scene.status() is ExitCode.INTERRUPTED


def test_the_status_is_none_of_a_text_that_was_saved_since_and_nobody_heard_of() -> None:
    scene = Scene()
    scene.run(BUILT, judged(healthy()))
    scene.save("one")
    assert scene.status() is ExitCode.PASS, "the same text"
    scene.save("two")
    assert scene.status() is ExitCode.INTERRUPTED


def test_a_file_that_vanishes_is_waited_for() -> None:
    scene = Scene()
    scene.run(BUILT)
    del scene.texts[FILE]
    scene.loop.take(Saved())
    assert scene.rounds[0].stopped and scene.loop.round is None
    assert scene.status() is ExitCode.INTERRUPTED
    scene.loop.take(scene.save("one"))
    assert scene.shows.told == ["begins", "built", "gone", "begins"]


def test_what_the_first_checks_see_changes_nothing_that_is_known() -> None:
    scene = Scene()
    scene.run(BUILT, Looked(evidence=BROKEN, verdict=judge(BROKEN)), "two")
    assert scene.shows.told == ["begins", "built", "looked", "begins anew"]
    assert not scene.rounds[1].before.standing.findings


def test_a_round_that_is_refused_ends_with_its_status_and_the_next_save_goes_on() -> None:
    scene = Scene()
    scene.run(Refused(status=ExitCode.USAGE, words="error: baseline"))
    assert scene.status() is ExitCode.USAGE and scene.rounds[0].stopped
    scene.loop.take(scene.save("two"))
    assert scene.shows.told == ["begins", "refused", "begins"]


def test_a_round_that_breaks_down_is_an_error_and_keeps_what_is_known() -> None:
    scene = Scene()
    scene.run(BUILT, judged(BROKEN), "two", RoundEnded("Traceback"))
    assert scene.shows.told[-1] == "refused" and scene.status() is ExitCode.ERROR
    scene.loop.take(scene.save("three"))
    assert scene.rounds[-1].before.standing.findings


def test_files_that_were_compiled_are_watched_from_then_on() -> None:
    scene = Scene()
    scene.texts[OTHER] = "words"
    built = Built(seconds=1.0, images=IMAGES, sources=(str(OTHER),), changed=None, first=0)
    assert scene.run(built, Saved()) == ["begins", "built"]
    assert scene.loop.place.others == (OTHER,)
    scene.texts[OTHER] = "others"
    scene.loop.take(Saved())
    assert scene.shows.told[-1] == "begins anew"


def test_a_file_that_is_compiled_no_longer_was_not_saved() -> None:
    scene = Scene()
    scene.texts[OTHER] = "words"
    built = Built(seconds=1.0, images=IMAGES, sources=(str(OTHER),), changed=None, first=0)
    assert scene.run(built, "two", BUILT, Saved()) == ["begins", "built", "begins anew", "built"]
    assert scene.loop.place.others == ()


def test_a_signal_is_seen_though_its_handler_raised_nothing() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)  # as if Python had dropped what it raised
    try:
        with _signals() as signals:
            assert not select.select([signals], [], [], 0)[0]
            os.kill(os.getpid(), signal.SIGUSR1)
            assert select.select([signals], [], [], 0)[0]
    finally:
        signal.signal(signal.SIGUSR1, before)
