"""An image is kept under the name of what it was compiled from, or it is not kept."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from frame_harness.base import resources
from frame_harness.base.errors import HarnessError
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image import CompileError, Toolchain, build, cache_limit, cargo, find_toolchain
from frame_harness.image.build import changed_sources
from frame_harness.image.subject import Subject

BUILD = "frame_harness.image.build"


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return find_toolchain()


class Compiler:
    """Stands for cargo: what it makes holds the texts of what it reads."""

    def __init__(self, elf: Path) -> None:
        self.reads: list[Path] = []
        """Files beside the subject's own."""
        self.meanwhile: Callable[[], object] = lambda: None
        """Done behind the reading."""
        self.runs = 0
        self._elf = elf

    def compile(self, subject: Subject, *_: object, **__: object) -> cargo.CargoOutput:
        self.runs += 1
        sources = (*subject.files, *self.reads)
        self._elf.write_bytes(b"\0".join(file.read_bytes() for file in sources))
        self.meanwhile()
        return cargo.CargoOutput(self._elf, sources, ())


@pytest.fixture
def compiler(toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """With a build folder of its own."""
    compiler = Compiler(tmp_path / "kernel")
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cargo, "compile_shim", compiler.compile)
    monkeypatch.setattr(sys.modules[BUILD], "lacking_names", lambda *_, **__: ())
    monkeypatch.setattr(sys.modules[BUILD], "prove_image", lambda *_: None)
    return compiler


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    folder = tmp_path / "memory"
    folder.mkdir(exist_ok=True)
    (folder / "frame.rs").write_text("mod meta;\n", encoding="utf-8")
    return frame_module(folder / "frame.rs")


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shim, to change."""
    copy = tmp_path / "kernel_shim"
    shutil.copytree(resources.shim_dir(), copy, ignore=shutil.ignore_patterns("target"))
    monkeypatch.setattr(resources, "shim_dir", lambda: copy)
    return copy


@pytest.mark.parametrize("undone", [False, True], ids=["left", "undone"])
@pytest.mark.parametrize("name", ["src/main.rs", "linker.ld", ".cargo/config.toml"])
def test_file_of_the_shim_that_changes_while_it_is_compiled_is_never_judged(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, shim: Path, name: str, undone: bool
) -> None:
    file = shim / name
    text = file.read_text(encoding="utf-8")

    def edit() -> None:
        file.write_text(f"{text}\n", encoding="utf-8")
        if undone:
            file.write_text(text, encoding="utf-8")

    compiler.meanwhile = edit
    with pytest.raises(CompileError, match=f"changed while it was compiled: {file}"):
        build(subject, "dev", toolchain=toolchain)
    compiler.meanwhile = lambda: None
    file.write_text(text, encoding="utf-8")
    build(subject, "dev", toolchain=toolchain)
    assert compiler.runs == 2


def test_file_of_the_shim_that_changes_while_a_build_waits_is_never_judged(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, shim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shim / "src" / "main.rs"

    def edited(*_: object, **__: object) -> tuple[str, ...]:
        file.write_text("fn main() {}\n", encoding="utf-8")
        os.utime(file, (0, 0))
        return ()

    monkeypatch.setattr(sys.modules[BUILD], "lacking_names", edited)
    monkeypatch.setattr(sys.modules[BUILD], "_changed", lambda *_: False)  # it was done long before
    with pytest.raises(CompileError, match=f"changed while it was compiled: {shim}"):
        build(subject, "dev", toolchain=toolchain)


@pytest.mark.parametrize("place", ["src/memory/target", "src/linked"])
def test_each_file_of_the_shim_is_part_of_what_is_compiled(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, shim: Path, tmp_path: Path, place: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (shim / "src" / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(shim)  # without an end
    (shim / "src" / "memory" / "target").mkdir()
    build(subject, "dev", toolchain=toolchain)
    (shim / place / "more.rs").write_text("", encoding="utf-8")
    build(subject, "dev", toolchain=toolchain)
    assert compiler.runs == 2
    (shim / "target").mkdir()
    (shim / "target" / "left.rs").write_text("", encoding="utf-8")
    build(subject, "dev", toolchain=toolchain)
    assert compiler.runs == 2, "what cargo makes by hand is no source"


@pytest.fixture
def limits(compiler: Compiler, tmp_path: Path) -> Path:
    """A file that the frame module reads in a folder, which has a namesake with another text beside it."""
    for name, text in (("cfg.a", "a"), ("cfg.b", "b")):
        folder = tmp_path / "memory" / name
        folder.mkdir(parents=True)
        (folder / "limits.txt").write_text(text, encoding="utf-8")
    file = tmp_path / "memory" / "cfg" / "limits.txt"
    compiler.reads.append(file)
    return file


def test_link_that_leads_elsewhere_while_it_is_compiled_is_never_judged(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, limits: Path
) -> None:
    folder = limits.parent
    folder.with_name("links").mkdir()
    second = folder.with_name("links") / "second"
    second.symlink_to("../cfg.a")
    folder.symlink_to("links/second")

    def swap() -> None:
        second.unlink()
        second.symlink_to("../cfg.b")

    compiler.meanwhile = swap
    with pytest.raises(CompileError, match=f"changed while it was compiled: {second}"):
        build(subject, "dev", toolchain=toolchain)


def test_folder_that_takes_the_place_of_another_while_it_is_compiled_is_compiled_again(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, limits: Path
) -> None:
    folder, texts = limits.parent, [limits.parent.with_name(name) for name in ("cfg.a", "cfg.b")]
    texts[0].rename(folder)

    def swap() -> None:
        folder.rename(texts[0])
        texts[1].rename(folder)
        texts.reverse()

    def swap_once() -> None:
        if compiler.runs == 1:
            swap()

    compiler.meanwhile = swap_once
    assert build(subject, "dev", toolchain=toolchain).elf.read_bytes().endswith(b"b")
    assert compiler.runs == 2
    build(subject, "dev", toolchain=toolchain)
    assert compiler.runs == 2
    compiler.meanwhile = swap
    with pytest.raises(CompileError, match=f"changed while it was compiled: {folder}"):
        build(subject, "release", toolchain=toolchain)
    assert compiler.runs == 4


def test_what_comes_into_the_folders_of_sources_is_no_change_of_them(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, limits: Path, tmp_path: Path
) -> None:
    limits.parent.with_name("cfg.a").rename(limits.parent)

    def edit_beside() -> None:
        for folder in (limits.parent, subject.path.parent, tmp_path):
            (folder / ".other.swp").write_text("", encoding="utf-8")
            (folder / "below").mkdir()

    compiler.meanwhile = edit_beside
    build(subject, "dev", toolchain=toolchain)
    assert compiler.runs == 1


def test_file_that_changes_behind_the_compiler_is_compiled_again(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is proved that the image is as it was asked for, which takes its time."""
    meta = subject.path.with_name("meta.rs")
    meta.write_text("", encoding="utf-8")
    compiler.reads.append(meta)
    monkeypatch.setattr(sys.modules[BUILD], "prove_image", lambda *_: meta.write_text("fn two() {}"))
    first = build(subject, "dev", toolchain=toolchain)
    assert changed_sources(first) == [meta]
    assert build(subject, "dev", toolchain=toolchain).elf.read_bytes().endswith(b"fn two() {}")


@pytest.mark.parametrize(
    ("name", "other"), [("meta.rs", "meta/mod.rs"), ("meta/mod.rs", "meta.rs"), ("", "frame/mod.rs")]
)
def test_second_file_of_a_module_is_for_the_compiler_to_refuse(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, name: str, other: str
) -> None:
    folder = subject.path.parent
    if name:
        compiler.reads.append(folder / name)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("", encoding="utf-8")
    build(subject, "dev", toolchain=toolchain)
    (folder / other).parent.mkdir(exist_ok=True)
    (folder / other).write_text("", encoding="utf-8")
    for _ in range(2):  # what was there when it was compiled is no reason to compile it again
        build(subject, "dev", toolchain=toolchain)
        assert compiler.runs == 2


@pytest.mark.parametrize("left", [b"", b"x"], ids=["nothing", "another text"])
def test_image_that_lost_its_bytes_is_built_again(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, left: bytes
) -> None:
    """As a host leaves it that lost its power: a file is there, its bytes are not."""
    elf = build(subject, "dev", toolchain=toolchain).elf
    whole = elf.read_bytes()
    elf.unlink()
    elf.write_bytes(left * len(whole))
    for note in (resources.build_dir() / "notes").iterdir() if left else ():
        note.unlink()
    assert build(subject, "dev", toolchain=toolchain).elf.read_bytes() == whole
    assert compiler.runs == 2


@pytest.mark.parametrize("times", [1, 99])
def test_image_that_somebody_removes_before_it_is_held_is_written_again(
    compiler: Compiler, toolchain: Toolchain, subject: Subject, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    hold, removed = cache_limit.hold, list[Path]()

    def removing(image: Path) -> bool:
        if len(removed) < times:
            removed.append(image)
            image.unlink()
        return hold(image)

    monkeypatch.setattr(cache_limit, "hold", removing)
    if times == 1:
        assert build(subject, "dev", toolchain=toolchain).elf.is_file()
    else:
        with pytest.raises(HarnessError, match="expected a file that stays"):
            build(subject, "dev", toolchain=toolchain)
