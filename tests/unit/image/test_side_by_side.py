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
from frame_harness.image.side_by_side import build_each

Build = Callable[[str], None]
SUBJECT: Any = SimpleNamespace(name="a module")
TOOLCHAIN: Any = SimpleNamespace(key="none")


def go_on() -> None:
    """Come to no end but by a signal, which a process that waits could miss."""
    while True:
        os.sched_yield()


def refused(profile: str) -> CompileError:
    return CompileError(subject="a module", profile=profile, first="error: no", rendered="error: no")


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
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    return use


def test_two_processes_build_what_is_not_there(
    building: Callable[[Build, set[str]], None], tmp_path: Path
) -> None:
    def build(profile: str) -> None:
        with (tmp_path / profile).open("a") as file:
            file.write(f"{os.getpid()}\n")

    building(build, set())
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
