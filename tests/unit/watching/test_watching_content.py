"""Proves which saves change what is judged, and that a save is seen however it is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from frame_harness.watching.content import Change, Content, WatchedPlace
from frame_harness.watching.file_events import FileEvents

PATIENCE_S = 60.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "memory" / "frame.rs"
    path.parent.mkdir()
    path.write_text("// one\n")
    return path


@pytest.fixture
def place(file: Path) -> WatchedPlace:
    return WatchedPlace((file,), folders=(file.with_suffix(""),))


def renamed_over(file: Path) -> None:
    new = file.with_name(".frame.rs.new")
    new.write_text("// two\n")
    new.replace(file)


def moved_away_first(file: Path) -> None:
    file.rename(file.with_name("frame.rs~"))
    file.write_text("// two\n")


SAVES: dict[str, Callable[[Path], object]] = {
    "written in place": lambda file: file.write_text("// two\n"),
    "renamed over the old one": renamed_over,
    "the old one kept as a backup": moved_away_first,
    "gone": lambda file: file.unlink(),
}


def after(place: WatchedPlace, save: Callable[[], object]) -> Change:
    before = Content.of(place)
    save()
    return Content.of(place).since(before)


@pytest.mark.parametrize("name", SAVES)
def test_another_text_is_a_change_however_it_is_saved(place: WatchedPlace, file: Path, name: str) -> None:
    assert after(place, lambda: SAVES[name](file)) == Change((file,), ())


def test_the_same_text_is_no_change(place: WatchedPlace, file: Path) -> None:
    assert after(place, lambda: os.utime(file, ns=(1, 1))) == Change((), (file,))


def test_what_no_compiler_reads_is_no_change(place: WatchedPlace, file: Path) -> None:
    assert after(place, lambda: file.with_name(".frame.rs.swp").write_text("x")) == Change((), ())
    assert after(place, lambda: file.with_name("other.rs").write_text("x")) == Change((), ())


def test_a_module_of_its_own_is_a_change_when_it_comes_and_when_it_goes(
    place: WatchedPlace, file: Path
) -> None:
    own = file.with_suffix("") / "lists" / "free.rs"
    own.parent.mkdir(parents=True)
    assert after(place, lambda: own.write_text("// own\n")) == Change((own,), ())
    assert after(place, lambda: shutil.rmtree(own.parent)) == Change((own,), ())


NAMES = (
    ('const WORDS: &str = include_str!("words.txt");', "words.txt"),
    ('include!(\n    "../made.rs"\n);', "../made.rs"),
    ('#[path = "lists/free.inc"]\nmod free;', "lists/free.inc"),
)


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_a_file_that_a_text_names_is_a_change_before_anything_was_compiled(
    place: WatchedPlace, file: Path, text: str, name: str
) -> None:
    named = file.parent / name
    named.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert after(place, lambda: named.write_text('include!("more.inc");')) == Change((named,), ())
    further = named.parent / "more.inc"
    assert after(place, lambda: further.write_text("// one\n")) == Change((further,), ())
    assert after(place, further.unlink) == Change((further,), ())


def test_a_file_that_a_text_begins_or_ceases_to_name_was_not_saved(place: WatchedPlace, file: Path) -> None:
    file.with_name("words.txt").write_text("words")
    for text in ('include_str!("words.txt");', "// none"):
        assert after(place, partial(file.write_text, text)) == Change((file,), ())


def test_a_text_that_ceases_to_name_itself_is_a_change(place: WatchedPlace, file: Path) -> None:
    own = file.with_suffix("") / "own.rs"
    own.parent.mkdir()
    for one in (file, own):
        one.write_text(f'include!("{one.name}");')
        assert after(place, partial(one.write_text, "// none")) == Change((one,), ())


def test_files_that_name_each_other_and_what_has_no_end_hold_nobody_up(
    place: WatchedPlace, file: Path
) -> None:
    os.mkfifo(file.with_name("pipe"))
    file.write_text('include!("frame.rs"); include!("pipe"); include!("/dev/zero"); include!("..");')
    assert set(Content.of(place).digests) == {file}


def test_a_file_that_is_needed_and_gone_is_named(place: WatchedPlace, file: Path) -> None:
    assert Content.of(place).lacking(place) == ()
    file.unlink()
    assert Content.of(place).lacking(place) == (file,)


def test_files_that_are_known_later_were_not_saved(place: WatchedPlace, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "words.txt"
    other.write_text("words")
    wider = WatchedPlace(place.needed, (other,), place.folders)
    known = Content.of(place).with_others(Content.of(wider))
    assert Content.of(wider).since(known) == Change((), ())
    other.write_text("other words")
    assert Content.of(wider).since(known) == Change((other,), ())


@pytest.fixture
def events(place: WatchedPlace) -> Iterator[FileEvents]:
    opened = FileEvents(place)
    try:
        yield opened
    finally:
        opened.close()


def saw(events: FileEvents, place: WatchedPlace, before: Content) -> Change:
    """Wait as a loop does: look at the files whenever something was seen, until they are others."""
    change = Change((), ())
    while not change.changed:
        assert events.seen.poll(PATIENCE_S), "nothing was seen"
        events.seen.recv_bytes()
        change = Content.of(place).since(before)
    return change


@pytest.mark.parametrize("name", SAVES)
def test_a_save_is_seen_however_it_is_made(
    events: FileEvents, place: WatchedPlace, file: Path, name: str
) -> None:
    before = Content.of(place)
    SAVES[name](file)
    assert saw(events, place, before).changed == (file,)


def test_each_of_two_saves_is_seen(events: FileEvents, place: WatchedPlace, file: Path) -> None:
    for text in ("// two\n", "// three\n"):
        before = Content.of(place)
        file.write_text(text)
        assert saw(events, place, before).changed == (file,)


def test_a_module_is_seen_in_a_folder_that_was_not_there(
    events: FileEvents, place: WatchedPlace, file: Path
) -> None:
    before = Content.of(place)
    own = file.with_suffix("") / "lists" / "free.rs"
    own.parent.mkdir(parents=True)
    own.write_text("// own\n")
    assert saw(events, place, before).changed == (own,)
    before = Content.of(place)
    own.write_text("// own, too\n")
    assert saw(events, place, before).changed == (own,)


def test_a_save_is_seen_of_a_file_that_a_saved_text_names(
    events: FileEvents, place: WatchedPlace, file: Path
) -> None:
    before = Content.of(place)
    file.write_text('include!("../made/table.inc");')
    assert saw(events, place, before).changed == (file,)
    before, table = Content.of(place), file.parent / "../made/table.inc"
    table.parent.mkdir()
    table.write_text("// made\n")
    assert saw(events, place, before).changed == (table,)


def test_a_save_is_seen_in_a_folder_that_took_the_place_of_another(
    events: FileEvents, place: WatchedPlace, file: Path
) -> None:
    before = Content.of(place)
    file.parent.rename(file.parent.with_name("old"))
    assert saw(events, place, before).changed == (file,)
    before = Content.of(place)
    file.parent.mkdir()
    file.write_text("// two\n")
    assert saw(events, place, before).changed == (file,)
    before = Content.of(place)
    file.write_text("// three\n")
    assert saw(events, place, before).changed == (file,)
