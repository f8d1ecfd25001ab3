"""Proves that images of several profiles are built at the same time, and that nothing is left of it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.image import side_by_side
from frame_harness.image.errors import CompileError
from frame_harness.image.side_by_side import build_each, building_ahead

Build = Callable[[str], None]
SUBJECT: Any = SimpleNamespace(name="a module")
TOOLCHAIN: Any = SimpleNamespace(key="none")


def go_on() -> None:
    """Come to no end but by a signal, which a process that waits could miss."""
    while True:
        os.sched_yield()


def refused(profile: str) -> CompileError:
    return CompileError(subject="a module", profile=profile, first="error: no", rendered="error: no")


def noting(folder: Path) -> Build:
    """Note in a file for each profile which processes were asked for it."""

    def build(profile: str) -> None:
        with (folder / profile).open("a") as file:
            file.write(f"{os.getpid()}\n")

    return build


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> Callable[[Build, set[str]], None]:
    """Put something in the place of the compiler, and say what is built already."""

    def use(build: Build, kept: set[str]) -> None:
        def instead(_subject: object, profile: str, **_: object) -> object:
            build(profile)
            kept.add(profile)
            return SimpleNamespace(profile=profile)

        monkeypatch.setattr(side_by_side, "build", instead)
        monkeypatch.setattr(side_by_side, "is_built", lambda _s, profile, _t: profile in kept)
        monkeypatch.setattr(side_by_side, "find_toolchain", lambda: TOOLCHAIN)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    return use


def test_two_processes_build_what_is_not_there(
    building: Callable[[Build, set[str]], None], tmp_path: Path
) -> None:
    building(noting(tmp_path), set())
    assert [each.image.profile for each in build_each(SUBJECT, ["dev", "release"], TOOLCHAIN)] == [
        "dev", "release",
    ]  # fmt: skip
    here = str(os.getpid())
    assert (tmp_path / "dev").read_text().split() == [here]
    other, then = (tmp_path / "release").read_text().split()
    assert other != here == then
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("kept", [{"dev"}, {"release"}, {"dev", "release"}])
def test_one_process_is_enough_where_one_image_is_missing(
    building: Callable[[Build, set[str]], None], kept: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    building(lambda _: None, kept)
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: pytest.fail("a process was started"))
    assert len(list(build_each(SUBJECT, ["dev", "release"], TOOLCHAIN))) == 2


def test_an_error_of_the_first_ends_the_others(building: Callable[[Build, set[str]], None]) -> None:
    here = os.getpid()

    def build(profile: str) -> None:
        if os.getpid() != here:
            go_on()
        raise refused(profile)

    building(build, set())
    with pytest.raises(CompileError, match="dev"):
        list(build_each(SUBJECT, ["dev", "release"], TOOLCHAIN))
    assert not multiprocessing.active_children()


def test_what_only_the_other_process_meets_is_told_here(building: Callable[[Build, set[str]], None]) -> None:
    def build(profile: str) -> None:
        if profile == "release":
            raise refused(profile)

    building(build, set())
    with pytest.raises(CompileError, match="release"):
        list(build_each(SUBJECT, ["dev", "release"], TOOLCHAIN))


def test_nobody_goes_on_when_nobody_wants_the_rest(building: Callable[[Build, set[str]], None]) -> None:
    here = os.getpid()
    building(lambda _: None if os.getpid() == here else go_on(), set())
    each = build_each(SUBJECT, ["dev", "release"], TOOLCHAIN)
    next(each)
    each.close()
    assert not multiprocessing.active_children()


def test_what_was_begun_ahead_is_waited_for_while_another_process_builds_the_rest(
    building: Callable[[Build, set[str]], None], tmp_path: Path
) -> None:
    building(noting(tmp_path), set())
    with building_ahead(SUBJECT, ["dev", "release"]) as build_rest:
        images = [each.image.profile for each in build_rest(SUBJECT, ["dev", "release"], TOOLCHAIN)]
    assert images == ["dev", "release"]
    # What another process has built is asked for here once more, and found built.
    (ahead, found), (beside, _) = ((tmp_path / name).read_text().split() for name in images)
    assert found == str(os.getpid()) and len({ahead, beside, found}) == 3
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(("kept", "times"), [(set[str](), 1), ({"dev"}, 1), ({"dev", "release"}, 0)])
def test_who_waits_for_what_was_begun_ahead_does_something_else_meanwhile_once(
    building: Callable[[Build, set[str]], None], kept: set[str], times: int
) -> None:
    building(lambda _: None, kept)
    done: list[int] = []
    profiles = ["dev", "release"]
    with building_ahead(SUBJECT, profiles) as build_rest:
        assert len(list(build_rest(SUBJECT, profiles, TOOLCHAIN, meanwhile=lambda: done.append(1)))) == 2
    assert len(done) == times


def test_nothing_is_done_meanwhile_where_nothing_was_begun_ahead(
    building: Callable[[Build, set[str]], None],
) -> None:
    building(lambda _: None, set())
    assert list(build_each(SUBJECT, ["dev"], TOOLCHAIN, meanwhile=lambda: pytest.fail("it has to build")))


def test_an_error_that_a_build_meets_ahead_is_raised_by_who_waits_for_it(
    building: Callable[[Build, set[str]], None],
) -> None:
    def build(profile: str) -> None:
        raise refused(profile)

    building(build, set())
    with (
        building_ahead(SUBJECT, ["dev", "release"]) as build_rest,
        pytest.raises(CompileError, match="dev"),
    ):
        list(build_rest(SUBJECT, ["dev", "release"], TOOLCHAIN))
    assert not multiprocessing.active_children()


def test_nothing_that_was_begun_ahead_outlives_the_one_that_needs_it_no_more(
    building: Callable[[Build, set[str]], None],
) -> None:
    building(lambda _: go_on(), set())
    with building_ahead(SUBJECT, ["dev"]):
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("kept", [{"dev"}, {"dev", "release"}])
def test_what_is_built_is_not_waited_for(building: Callable[[Build, set[str]], None], kept: set[str]) -> None:
    here = os.getpid()
    building(lambda _: None if os.getpid() == here else go_on(), set(kept))
    with building_ahead(SUBJECT, ["dev", "release"]) as build_rest:
        first = next(build_rest(SUBJECT, ["dev"], TOOLCHAIN))
    assert first.image.profile == "dev"


def test_one_cpu_has_no_time_to_build_ahead(
    building: Callable[[Build, set[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    building(lambda _: None, set())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with building_ahead(SUBJECT, ["dev"]) as build_rest:
        assert build_rest is build_each
