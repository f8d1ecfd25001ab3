"""A toolchain that was found is found again without a look, until something changes that decides about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from frame_harness.image import toolchain_memory
from frame_harness.image.compiler import TARGET, Toolchain, core_roots

LATER_NS = 10**18


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of the test's own for everything that is looked at."""
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}{os.pathsep}{tmp_path / 'bin'}")
    for name in ("RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    sysroot = tmp_path / "sysroot"
    programs = [tmp_path / "bin" / name for name in ("rustc", "cargo", "ld")]
    library = sysroot / "lib" / "rustlib" / TARGET / "lib" / "libcore.rlib"
    for file in (*programs, library, sysroot / "bin" / "rustc", *core_roots(sysroot)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
        file.chmod(0o755)
    (tmp_path / "home" / ".rustup" / "toolchains").mkdir(parents=True)
    return Toolchain(
        choice="installed-target", cargo=programs[1], rustc=programs[0], release="1.95.0",
        cargo_args=("-Zx",), rustflags=("-C", "y"), env=(("A", "b"),), sysroot=sysroot, key="k",
    )  # fmt: skip


def remembered(toolchain: Toolchain, force: str | None = None) -> Toolchain | None:
    fields = toolchain_memory.recall(force)
    return None if fields is None else Toolchain.restored(fields)


def test_nothing_is_remembered_at_first_and_all_of_it_afterwards(toolchain: Toolchain) -> None:
    assert remembered(toolchain) is None
    toolchain_memory.remember(toolchain, None, toolchain.sysroot)
    assert remembered(toolchain) == toolchain


def test_a_choice_that_was_forced_is_one_of_its_own(toolchain: Toolchain) -> None:
    toolchain_memory.remember(toolchain, "debian", None)
    assert remembered(toolchain) is None
    assert remembered(toolchain, "debian") == toolchain


def replaced(path: Path) -> None:
    """Put another file there with the time of the one before, as `cp -p` and packages do."""
    before = path.stat()
    other = path.with_name("other")
    other.write_text("another program")
    other.chmod(0o755)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def touched(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, ns=(LATER_NS, LATER_NS))


@pytest.mark.parametrize(
    "changed",
    [
        lambda tmp, _: touched(tmp / "bin" / "rustc"),
        lambda tmp, _: touched(tmp / "bin" / "cargo"),
        lambda tmp, _: touched(tmp / "bin" / "ld"),
        lambda _, one: touched(one.sysroot / "lib" / "rustlib" / TARGET / "lib" / "libcore.rlib"),
        lambda _, one: touched(one.sysroot / "lib" / "rustlib"),
        lambda tmp, _: touched(tmp / "home" / ".rustup" / "settings.toml"),
        lambda tmp, _: touched(tmp / "home" / ".rustup" / "toolchains"),
        lambda tmp, _: (tmp / "bin" / "rustc").unlink(),
        lambda tmp, _: replaced(tmp / "bin" / "rustc"),
        lambda tmp, _: replaced(tmp / "bin" / "cargo"),
        lambda _, one: replaced(core_roots(one.sysroot)[0]),
        lambda tmp, _: touched(tmp / "first" / "rustc"),
        lambda tmp, _: touched(tmp / "first" / "cargo"),
    ],
    ids=[
        "rustc", "cargo", "ld", "a library", "a target", "rustup's settings", "a toolchain", "no rustc",
        "another rustc", "another cargo", "another core library", "a rustc ahead of it",
        "a cargo ahead of it",
    ],
)  # fmt: skip
def test_what_decides_about_a_toolchain_makes_it_be_looked_for_again(
    changed: Callable[[Path, Toolchain], None], toolchain: Toolchain, tmp_path: Path
) -> None:
    toolchain_memory.remember(toolchain, None, toolchain.sysroot)
    changed(tmp_path, toolchain)
    assert remembered(toolchain) is None


@pytest.mark.parametrize("variable", ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"])
def test_another_variable_is_another_question(
    variable: str, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolchain_memory.remember(toolchain, None, None)
    with monkeypatch.context() as other:
        other.setenv(variable, "/elsewhere")
        assert remembered(toolchain) is None
    assert remembered(toolchain) == toolchain


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"shape": "1", "watched": {}, "toolchain": {}}'])
def test_a_note_that_is_none_of_this_version_is_no_answer(
    text: str, toolchain: Toolchain, tmp_path: Path
) -> None:
    toolchain_memory.remember(toolchain, None, None)
    [note] = (tmp_path / "cache" / "toolchains").iterdir()
    note.write_text(text)
    assert remembered(toolchain) is None
