"""Each of the three Rust toolchains is found when it is forced.

The installed one builds the shim for most other tests, the others do it here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from frame_harness.base.commands import run
from frame_harness.base.errors import UsageError
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image import ToolchainError, build, find_toolchain
from frame_harness.image import toolchain as toolchain_module
from frame_harness.image.compiler import TARGET, Toolchain, core_files
from frame_harness.image.toolchain import CHOICES, oldest_release


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing that was built before counts."""
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def installed() -> Toolchain:
    """The first choice, where this machine has it."""
    try:
        return find_toolchain("installed-target")
    except ToolchainError as error:
        pytest.skip(f"the target is not installed: {error.summary}")


@pytest.fixture
def rustup_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the active toolchain (by links, without its books) to damage."""
    if shutil.which("rustup") is None:
        pytest.skip("rustup is not here: install it to test what it adds")
    asked = run(["rustc", "--print", "sysroot"], what="asking rustc")
    sysroot = Path(asked.out.strip())
    if asked.status != 0 or not (sysroot / "lib" / "rustlib" / TARGET).exists():
        pytest.skip(f"rustup has no toolchain with the target: {asked.last_words()}")
    home = tmp_path / "rustup"
    copy = home / "toolchains" / sysroot.name

    def place(source: str, target: str) -> None:
        # rustup's own books are copied: what it writes there must not reach the original.
        (shutil.copy2 if Path(source).parent.name == "rustlib" else os.link)(source, target)

    no_books = shutil.ignore_patterns("doc", "man")
    try:
        shutil.copytree(sysroot, copy, symlinks=True, copy_function=place, ignore=no_books)
    except (OSError, shutil.Error):
        shutil.rmtree(copy, ignore_errors=True)  # another file system: links do not reach there
        shutil.copytree(sysroot, copy, symlinks=True, ignore=no_books)
    for name in ("settings.toml", "update-hashes"):
        source = sysroot.parents[1] / name
        if source.is_dir():
            shutil.copytree(source, home / name)
        elif source.exists():
            shutil.copy2(source, home / name)
    monkeypatch.setenv("RUSTUP_HOME", str(home))
    monkeypatch.setenv("RUSTUP_TOOLCHAIN", sysroot.name)
    return copy


def test_toolchain_that_is_found_first_says_which_it_is() -> None:
    line = find_toolchain().describe()
    assert "rustc 1." in line
    assert "\n" not in line


@pytest.mark.slow
def test_rustup_adds_the_target_then_builds_the_shim_and_shows_how_far_it_is(
    own_cache: Path, rustup_copy: Path
) -> None:
    assert find_toolchain("installed-target").rustc.is_relative_to(rustup_copy)
    run(["rustup", "target", "remove", TARGET], what="removing the target")
    assert not (rustup_copy / "lib" / "rustlib" / TARGET).exists()
    with pytest.raises(ToolchainError, match="cannot compile for"):
        find_toolchain("installed-target")
    toolchain = find_toolchain("rustup-add", install=True)
    assert toolchain.choice == "rustup-add"
    assert toolchain.rustc.is_relative_to(rustup_copy)
    said: list[str] = []
    image = build(frame_module(), "dev", toolchain=toolchain, say=said.append)
    assert own_cache in image.elf.parents
    assert image.layout("MetaSlot").size == 64
    assert all("\n" not in line for line in said)
    assert any("packages done" in line for line in said)


@pytest.mark.slow
def test_compiler_that_its_user_compiled_again_is_another_one(own_cache: Path, rustup_copy: Path) -> None:
    """The program `rustc` stays the same: it only loads the compiler."""
    before = find_toolchain("installed-target")
    (rustup_copy / "lib" / "librustc_driver-0123456789abcdef.so").touch()
    after = find_toolchain("installed-target")
    assert (after.release, after.rustc) == (before.release, before.rustc)
    assert after.key != before.key, "images of the one would be judged for the other"
    assert own_cache.exists()


def test_toolchain_is_named_by_what_its_files_hold(tmp_path: Path) -> None:
    driver = tmp_path / "lib" / "librustc_driver-0123456789abcdef.so"
    source = tmp_path / "lib" / "rustlib" / "src" / "rust" / "library" / "core" / "src" / "num" / "mod.rs"
    for file in (driver, source):
        file.parent.mkdir(parents=True)
        file.write_text("one", encoding="utf-8")

    def key() -> str:
        return toolchain_module._key("rustc 1.95.0", tmp_path, core_files(tmp_path), ())

    first = key()
    for file in (driver, source):
        os.utime(file, (1, 1))
        assert key() == first, "installed anew, as in each run of a CI"
        other = file.with_name("other")
        other.write_text("two", encoding="utf-8")
        os.utime(other, (1, 1))
        other.replace(file)
        assert key() != first, "as a package with a fixed time, or `cp -p`, leaves it"
        file.write_text("one", encoding="utf-8")
        assert key() == first


@pytest.mark.slow
def test_debian_set_builds_the_shim() -> None:
    """In the common build folder: this set compiles the core library first, once is enough.

    Tests install nothing on this machine; where that may be, test_fresh_machine.py makes one of its own.
    """
    try:
        toolchain = find_toolchain("debian")
    except ToolchainError as error:
        pytest.skip(f"Debian's set is not here: {error.evidence}")
    image = build(frame_module(), "dev", toolchain=toolchain)
    assert toolchain.choice == "debian"
    assert image.layout("MetaSlot").size == 64
    assert image.function_line("MetaSlot::dec_ref") is not None


def test_choice_is_forced_by_variable_too(installed: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAME_HARNESS_TOOLCHAIN", installed.choice)
    assert find_toolchain().choice == installed.choice


def test_unknown_choice_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as raised:
        find_toolchain("gcc")
    assert all(choice in raised.value.summary for choice in CHOICES)


def test_target_that_is_lacking_leads_to_the_next_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rustup whose download fails is one line; then Debian's turn comes."""
    fake(
        tmp_path,
        "rustc",
        'case "$*" in *sysroot) echo /nonexistent;; *) echo "error: no core" >&2; exit 1;; esac',
    )
    fake(
        tmp_path, "rustup", 'echo "info: downloading" >&2; echo "error: could not download file" >&2; exit 1'
    )
    for name in ("apt-get", "apt-cache"):
        fake(tmp_path, name, "exit 100")
    monkeypatch.setattr(toolchain_module, "_DEBIAN_BIN", tmp_path / "no Debian compiler here")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    said: list[str] = []
    with pytest.raises(ToolchainError) as raised:
        find_toolchain(say=said.append, install=True)
    tried = str(raised.value)
    assert [choice for choice in CHOICES if f"{choice}: " not in tried] == []
    assert "apt-get install" in tried
    assert any("could not download file" in line for line in said if line.startswith("toolchain: rustup-add"))
    assert all("\n" not in line for line in said)


@pytest.mark.parametrize("choice", ["rustup-add", "debian"])
def test_nothing_is_added_to_a_machine_unless_the_set_up_asks_for_it(
    choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` and `doctor` read; a program that installs packages unasked is a surprise."""
    called = tmp_path / "called"
    for name in ("apt-get", "rustup"):
        fake(tmp_path, name, f"echo {name} >>{called}")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(toolchain_module, "_DEBIAN_BIN", tmp_path)
    with pytest.raises(ToolchainError, match=r"not added|not installed") as raised:
        find_toolchain(choice)
    assert not called.exists()
    assert "rustup target add" in str(raised.value) or "apt-get install" in str(raised.value)


@pytest.mark.parametrize(
    ("told", "actual"),
    [("release: 1.84.1", r"1\.84\.1"), ("no compiler", "'no compiler'"), ("", "'nothing'")],
)
def test_compiler_that_is_too_old_or_none_says_what_is_needed(
    told: str, actual: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "old"
    (root / "bin").mkdir(parents=True)
    version = f'case "$*" in *sysroot) echo {{root}};; *) echo "{told}";; esac'
    for folder, name in ((tmp_path, "rustc"), (root / "bin", "rustc"), (root / "bin", "cargo")):
        fake(folder, name, version.format(root=root))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    wanted = f"{oldest_release()} or later" if told.startswith("release") else "a line `release: …`"
    with pytest.raises(ToolchainError, match=rf"expected {wanted}, got {actual}"):
        find_toolchain("installed-target")


def test_nothing_at_all_is_one_line_for_each_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for choice in ("installed-target", "rustup-add"):
        with pytest.raises(ToolchainError, match="on the path") as raised:
            find_toolchain(choice)
        assert "\n" not in raised.value.summary
        assert "next: " in str(raised.value)


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
