"""Proves that the compiler decides what a frame module has, and that another interface is nobody's fault."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from frame_harness.base.commands import Finished
from frame_harness.base.errors import BuildError
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.frame_metadata.versions import VERSIONS
from frame_harness.image import CompileError, NotJudgeable, find_toolchain, offer
from frame_harness.image.offer import lacking_names, questions
from frame_harness.image.said import said
from tests.support.mutants import Edit, mutated
from tests.support.versions import BEFORE_MOVABLE, OLDER, UNJUDGEABLE, split

SNAPSHOT = "    pub fn debug_snapshot(&self) -> (u32, u32, u64) {"
REST = "\n        let (vtable, guard) = (self.vtable_bits(), self.get_guard());"
TAKEN: Edit = (
    "self.generation(), guard, vtable)\n    }\n}\n",
    "self.generation(), guard, vtable)\n    }\n}\n",
)


def lacks(path: Path) -> set[str]:
    return set(lacking_names(frame_module(path), "release", find_toolchain()))


def test_a_copy_of_the_built_in_module_lacks_nothing(tmp_path: Path) -> None:
    assert lacks(mutated(tmp_path, ())) == set()


def test_modules_in_a_folder_of_their_own_are_found_as_in_a_kernel(tmp_path: Path) -> None:
    assert lacks(split(tmp_path)) == set()


def test_a_folder_with_a_mod_rs_is_a_layout_of_kernels_too(tmp_path: Path) -> None:
    path = split(tmp_path)
    assert lacks(path.rename(path.with_name("frame") / "mod.rs")) == set()


def test_modules_of_a_file_of_another_name_are_told_where_they_belong(tmp_path: Path) -> None:
    path = split(tmp_path)
    path.with_name("frame").rename(path.with_name("mine"))
    with pytest.raises(CompileError) as caught:
        lacks(path.rename(path.with_name("mine.rs")))
    assert caught.value.next_step.startswith("call the file frame.rs, the folder mine/ of its modules frame/")


def test_what_came_later_is_lacking_in_an_older_version(tmp_path: Path) -> None:
    assert lacks(mutated(tmp_path, BEFORE_MOVABLE)) == {"frame_flags::MOVABLE"}
    older = lacks(OLDER)
    assert {"MetaSlot", "MetaSlot.generation", "MetaSlot::mark_poisoned", "meta_guard"} < older
    assert not older & set(VERSIONS.needed)


@pytest.mark.parametrize(
    "edit",
    [
        (
            SNAPSHOT,
            SNAPSHOT.replace("pub ", "") + REST.replace("\n", "\n        // pub fn debug_snapshot\n", 1),
        ),
        (SNAPSHOT, f"    #[cfg(any())]\n{SNAPSHOT}"),
        (SNAPSHOT, f"    #[cfg(not(debug_assertions))]\n    #[cfg(debug_assertions)]\n{SNAPSHOT}"),
        (SNAPSHOT, SNAPSHOT.replace("(&self)", "(&self, _more: u32)")),
        (SNAPSHOT, SNAPSHOT.replace("debug_snapshot", "r#debug_snapshots")),
    ],
    ids=["private", "configured-out", "configured-out-twice", "other-arguments", "other-name"],
)
def test_a_name_that_is_only_in_the_text_is_lacking(edit: Edit, tmp_path: Path) -> None:
    calls = "    get_meta(phys).debug_snapshot()\n"
    edits = (
        (edit[0] + REST, edit[1] + ("" if REST[1:] in edit[1] else REST)),
        (calls, "    let _ = phys; (0, 0, 0)\n"),
    )
    found = lacks(mutated(tmp_path, edits))
    assert found == {"MetaSlot::debug_snapshot"}


def test_a_name_that_a_macro_makes_is_there(tmp_path: Path) -> None:
    made = SNAPSHOT.replace("    pub fn debug_snapshot", "    pub fn $name")
    edits: tuple[Edit, ...] = (
        (SNAPSHOT + REST, f"    made!(debug_snapshot);\n{SNAPSHOT.replace('debug_snapshot', 'spare')}{REST}"),
        (
            "impl MetaSlot {\n",
            f"macro_rules! made {{\n    ($name:ident) => {{\n{made} self.spare() }}\n"
            "    };\n}\n\nimpl MetaSlot {\n",
        ),
    )
    assert lacks(mutated(tmp_path, edits)) == set()


@pytest.mark.parametrize("text", ["", "#![no_std]\nfn main() {}\n", "pub mod unrelated {}\n"])
def test_what_is_no_frame_module_is_told_by_the_names_that_it_lacks(text: str, tmp_path: Path) -> None:
    path = tmp_path / "frame.rs"
    path.write_text(text)
    with pytest.raises(
        NotJudgeable, match=r"cannot be judged: it lacks PAGE_SIZE, .*, [0-9]+ more"
    ) as caught:
        lacks(path)
    assert "\n" not in str(caught.value) and caught.value.asks == ()
    assert {"get_meta", "FrameAllocOptions"} < set(caught.value.lacks)


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("use crate::vfs::Inode;", "crate::vfs::Inode"),
        ("use crate::{sync::SpinLock, memory::phys_to_virt as _};", "crate::sync::SpinLock"),
        ("use super::vmalloc;", "super::vmalloc"),
        ("pub fn f() { crate::memory::buddy::grow(1) }", "crate::memory::buddy::grow"),
        ("pub fn f() { crate::vfs::open() }", "crate::vfs::open"),
        ("pub fn f(boot: &mut BootAllocator) { boot.reserve() }", "BootAllocator::reserve"),
        ("pub type T = crate::memory::heap::Heap;", "crate::memory::heap::Heap"),
    ],
)
def test_what_nobody_offers_is_told_by_name_and_no_fault_of_the_file(
    line: str, asked: str, tmp_path: Path
) -> None:
    path = mutated(tmp_path, ())
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    with pytest.raises(NotJudgeable) as caught:
        lacks(path)
    assert (caught.value.lacks, caught.value.asks) == ((), (asked,))
    assert "fix " not in str(caught.value) and "\n" not in str(caught.value)


def test_both_sides_are_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "frame.rs"
    path.write_text(UNJUDGEABLE)
    with pytest.raises(
        NotJudgeable, match=r"it lacks PAGE_SIZE.*; it asks its crate for crate::vfs::Inode, which"
    ):
        lacks(path)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (
            "pub fn f() -> u32 { hugo() }",
            "error[E0425]: cannot find function `hugo` in this scope at {path}:",
        ),
        ('pub fn f() -> u32 { "" }', "error[E0308]: mismatched types at {path}:"),
        ("fn f(", "error: this file contains an unclosed delimiter at {path}:"),
        ("mod below;", "error[E0583]: file not found for module `below` at {path}:"),
        ("// \udcff", "error: couldn't read `{path}`: stream did not contain valid UTF-8"),
    ],
)
def test_what_does_not_compile_is_the_file_s_own_trouble(text: str, first: str, tmp_path: Path) -> None:
    path = mutated(tmp_path, ())
    written = f"{path.read_text(encoding='utf-8')}\n{text}\n"
    path.write_text(written, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(CompileError) as caught:
        lacks(path)
    assert caught.value.first.startswith(first.format(path=path))
    assert tempfile.gettempdir() not in caught.value.first.replace(str(tmp_path), "")
    assert caught.value.next_step.startswith(f"fix {path}")


def test_two_files_of_one_module_are_told_with_what_to_do(tmp_path: Path) -> None:
    path = split(tmp_path)
    own = next(path.with_suffix("").glob("*.rs"))
    (own.with_suffix("")).mkdir()
    (own.with_suffix("") / "mod.rs").write_text("")
    with pytest.raises(CompileError, match="found at both") as caught:
        lacks(path)
    assert caught.value.next_step == "remove one of the two files, then run the same command"


def test_all_that_decides_an_answer_is_asked_for(tmp_path: Path) -> None:
    subject, form = frame_module(mutated(tmp_path, ())), VERSIONS.alternative
    assert form is not None
    slot = next(name for name in VERSIONS.names if not name.needed)
    needed = tuple(replace(name, needed=True) if name is slot else name for name in VERSIONS.names)
    others = [
        VERSIONS,
        replace(VERSIONS, names=needed),
        replace(VERSIONS, alternative=None),
        *(replace(VERSIONS, alternative=replace(form, **{part: "x"})) for part in ("name", "asked", "flag")),
    ]
    asked = [questions(replace(subject, contract=replace(subject.contract, versions=one))) for one in others]
    beside = Path(shutil.copy(subject.path, tmp_path / "other.rs"))  # its own modules lie elsewhere
    assert len({*asked, questions(frame_module(beside))}) == len(others) + 1


def test_every_name_that_something_depends_on_is_asked_for() -> None:
    known = {name.path for name in VERSIONS.names if not name.needed} | {"use of BootAllocator::try_alloc"}
    for id_ in CLAUSES:
        assert set(VERSIONS.of_clause(id_)) <= known, id_
    commands = [
        "slot.generation 0x1000",
        "array.slot 0",
        "vt.addr both",
        "smp.job 1 9 seed=2 look@0 churn=3~4 claim",
    ]
    needs = {name for command in commands for name in VERSIONS.of_line(command)}
    assert needs <= known
    assert {"MetaSlot::generation", "get_meta_slot", "FrameMetaVtable", "MetaSlot::cas_refcount"} <= needs
    assert VERSIONS.of_line("slot.peek 0x1000") == VERSIONS.of_line("alloc new") == ()


def test_what_the_compiler_misses_in_the_crate_is_named_with_its_whole_path() -> None:
    text = [{"text": "use crate::memory::zone::Zone;", "highlight_start": 20}]
    span = {"is_primary": True, "file_name": "frame.rs", "line_start": 3, "text": text}
    message = {
        "message": "unresolved import `crate::memory::zone`",
        "code": {"code": "E0432"},
        "spans": [span],
    }
    found = said(message)
    assert (found.file, found.line, found.word) == ("frame.rs", 3, "crate::memory::zone::Zone")
    assert found.is_a_name and found.asked_of_the_crate == "crate::memory::zone::Zone"
    assert not said({**message, "code": None}).is_a_name


def error(code: str, message: str) -> str:
    """What a compiler says of line 3 of a frame module."""
    span = {"is_primary": True, "file_name": "/k/frame.rs", "line_start": 3, "text": []}
    return json.dumps({"level": "error", "message": message, "code": {"code": code}, "spans": [span]})


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (Finished(-9, "", '{"level":"error","mess'), "status -9"),
        (Finished(-9, "", error("E0308", "mismatched types")), "status -9"),
        (Finished(1, "", ""), "status 1"),
        (Finished(1, "", error("E0463", "can't find crate for `log`")), "crate for `log`"),
        (Finished(1, "", error("E0463", "can't find crate for `a` which `b` depends on")), "crate for `a`"),
    ],
    ids=["in a message", "behind one", "without a word", "a library is gone", "one that it needs is gone"],
)
def test_a_compiler_that_was_ended_says_nothing_of_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: Finished, told: str
) -> None:
    monkeypatch.setattr(offer, "run_writing", lambda *_, **__: ended)
    with pytest.raises(BuildError, match="the compiler ended with") as caught:
        lacks(mutated(tmp_path, ()))
    assert told in caught.value.summary and caught.value.next_step.startswith("see that nothing ends")
    assert not isinstance(caught.value, CompileError)


def test_a_crate_that_nobody_promised_is_for_the_text_to_do_without(tmp_path: Path) -> None:
    path = mutated(tmp_path, ())
    path.write_text(f"{path.read_text(encoding='utf-8')}\nextern crate std;\n", encoding="utf-8")
    with pytest.raises(CompileError, match="can't find crate for `std`") as caught:
        lacks(path)
    assert caught.value.next_step.startswith(f"fix {path}")
