"""Mutants are built from the state of the subject itself; those that are no other program are told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from frame_harness.base.commands import Finished
from frame_harness.base.errors import BuildError
from frame_harness.base.profiles import PROFILES as ALL_PROFILES
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image import cargo, store
from frame_harness.image.build import lock_of
from frame_harness.image.errors import CompileError
from frame_harness.image.store import content_of
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.mutation import base_build, building
from frame_harness.mutation.base_build import Base, CompilerCommand, command_of
from frame_harness.mutation.building import (
    Builder,
    BuiltMutant,
    DoesNotCompile,
    Equivalent,
    NotLinked,
    build_mutant,
    builder,
)
from frame_harness.mutation.mutants import Mutant, Operator
from frame_harness.mutation.same_code import orderings_of
from frame_harness.mutation.workplace import Workplace, claimed
from tests.support.frame_mutants import MUTANTS
from tests.support.mutants import Edit, apply

NAME = "frame.rs"
TEXT = frame_module().path.read_text(encoding="utf-8")
PROFILES = ("release",)
# The same program in other words: another number, another name, other lines.
SAME: tuple[tuple[Edit, ...], ...] = (
    (("pub const PAGE_SIZE: u64 = 1 << 12;", "pub const PAGE_SIZE: u64 = 4096;"),),
    (("(count < REFCOUNT_UNUSED - 1)", "(count < u32::MAX - 1)"),),
    (("    fence(Acquire);\n                1", "    fence(Acquire);\n\n\n                1"),),
)
# x86 code has the same bytes for these orderings.
WEAKER: Edit = ("self.flags.load(Acquire)", "self.flags.load(Relaxed)")


def of_edits(*edits: Edit) -> Mutant:
    """All edits as one mutant of the whole text."""
    return Mutant(
        key="0" * 12, operator=Operator.LITERAL, file=NAME, start=0, end=len(TEXT.encode()), line=1, column=1,
        function="", before=TEXT, after=apply(TEXT, edits),
    )  # fmt: skip


def module_in(folder: Path) -> Subject:
    return frame_module(folder / NAME)


@pytest.fixture(scope="module")
def builds() -> Iterator[Builder]:
    with builder({NAME: TEXT.encode()}, module_in) as found:
        yield found


@pytest.mark.parametrize("edits", SAME, ids=["number", "name", "lines"])
def test_the_same_program_in_other_words_is_equivalent(builds: Builder, edits: tuple[Edit, ...]) -> None:
    assert isinstance(build_mutant(builds, of_edits(*edits), PROFILES), Equivalent)


def test_weaker_ordering_with_the_same_code_is_told_by_the_ir(builds: Builder) -> None:
    found = build_mutant(builds, of_edits(WEAKER), PROFILES)
    assert isinstance(found, BuiltMutant) and found.differing == ()


def test_what_does_not_compile_is_told_with_the_first_error(builds: Builder) -> None:
    found = build_mutant(builds, of_edits(("self.flags.load(Acquire)", "true")), PROFILES)
    assert isinstance(found, DoesNotCompile) and found.first == "mismatched types"


SPAN: dict[str, object] = {"file_name": "/tree/frame.rs", "is_primary": True, "line_start": 3, "text": []}
LINKER: dict[str, object] = {
    "$message_type": "diagnostic", "level": "error", "message": "linking with `rust-lld` failed: signal: 9",
    "code": None, "spans": [], "rendered": "error: linking failed",
}  # fmt: skip
TYPES = LINKER | {"message": "mismatched types", "code": {"code": "E0308"}, "spans": [SPAN]}
SYNTAX = TYPES | {"message": "expected expression", "code": None}
IN_THE_SHIM = [SPAN | {"file_name": "src/main.rs"}]


@pytest.mark.parametrize(
    ("status", "errors", "of_the_text"),
    [
        (1, [TYPES], True),
        (1, [SYNTAX, LINKER], True),
        (1, [TYPES | {"spans": IN_THE_SHIM}], True),
        (1, [LINKER], False),
        (1, [SYNTAX | {"message": "couldn't read `src/slot.rs`", "spans": IN_THE_SHIM}], False),
        (1, [TYPES | {"message": "can't find crate for `core`", "code": {"code": "E0463"}}], False),
        (-9, [TYPES], False),
        (1, [], False),
    ],
    ids=["types", "syntax", "the shim", "linker", "reading", "library", "killed", "silent"],
)
def test_a_text_is_refused_only_where_the_compiler_names_a_place(
    builds: Builder, monkeypatch: pytest.MonkeyPatch, status: int, errors: list[object], of_the_text: bool
) -> None:
    mine = str(builds.subject.path).encode()
    said = b"\n".join(msgspec.json.encode(one).replace(b"/tree/frame.rs", mine) for one in errors)
    cut = '\n{"$message_type":"diagnostic","mess'
    monkeypatch.setattr(building, "run_writing", lambda *_, **__: Finished(status, "", said.decode() + cut))
    if of_the_text:
        assert isinstance(build_mutant(builds, of_edits(WEAKER), PROFILES), DoesNotCompile)
    else:
        with pytest.raises(BuildError, match="the compiler ended with status") as caught:
            build_mutant(builds, of_edits(WEAKER), PROFILES)
        assert not isinstance(caught.value, CompileError) and caught.value.next_step


def test_a_compiler_that_is_killed_behind_the_kernel_is_no_fault_of_the_mutant(
    builds: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(subject: Subject, profile: str, *_: object, **__: object) -> str:
        raise CompileError(subject=subject.name, profile=profile, first="signal: 9")

    monkeypatch.setattr(building, "compile_ir", killed)
    with pytest.raises(BuildError, match="no LLVM IR") as caught:
        build_mutant(builds, of_edits(WEAKER), PROFILES)
    assert not isinstance(caught.value, CompileError)


def test_another_program_is_built_and_its_image_has_the_text_of_the_mutant(builds: Builder) -> None:
    found = build_mutant(builds, of_edits(("held - 1", "held - 2")), PROFILES)
    assert isinstance(found, BuiltMutant) and found.differing == PROFILES
    image = found.images["release"]
    assert "held - 2" in image.subject.path.read_text(encoding="utf-8")
    assert image.subject == image.subject.refreshed() and image.symbol("kernel_main")


def test_what_was_built_before_makes_no_difference(builds: Builder) -> None:
    one, other = of_edits(("held - 1", "held - 2")), of_edits(("held - 1", "held - 3"))
    first, between, again = (builds.image(each, "release").sha256 for each in (one, other, one))
    assert first == again != between


def test_known_bugs_are_other_programs(builds: Builder) -> None:
    chosen = [one for one in MUTANTS if one.profile == "release"][::40]
    found = [build_mutant(builds, of_edits(*one.edits), PROFILES) for one in chosen]
    assert chosen and [type(one) for one in found] == [BuiltMutant] * len(chosen)


@pytest.mark.whole
def test_no_known_bug_is_called_equivalent(builds: Builder) -> None:
    found = {one.name: build_mutant(builds, of_edits(*one.edits)) for one in MUTANTS}
    assert {name for name, built in found.items() if not isinstance(built, BuiltMutant)} == set()


def test_places_are_told_apart_by_who_works_in_them() -> None:
    with claimed({NAME: b"// one\n"}) as one, claimed({NAME: b"// two\n", "frame/part.rs": b""}) as two:
        assert one.folder != two.folder
        assert [place.text(NAME) for place in (one, two)] == [b"// one\n", b"// two\n"]
        kept = two.folder
    with claimed({NAME: b"// three\n"}), claimed({NAME: b"// four\n"}) as again:
        assert again.folder == kept and not (again.sources / "frame" / "part.rs").exists()


def test_time_stamp_of_a_file_stays_where_its_text_does() -> None:
    with claimed({NAME: b"// one\n", "zone.rs": b"// zone\n"}) as place:
        os.utime(place.sources / "zone.rs", ns=(1, 1))
        place.write(NAME, b"// two\n")
        assert (place.sources / NAME).read_bytes() == b"// two\n"
        place.restore_texts()
        assert (place.sources / NAME).read_bytes() == b"// one\n"
        assert (place.sources / "zone.rs").stat().st_mtime_ns == 1


def test_kernels_that_a_place_keeps_are_few() -> None:
    with claimed({NAME: b"// one\n"}) as place:
        for number in range(6):
            made = place.folder / "made"
            made.write_bytes(bytes([number]))
            last = place.kept(made, f"{number}" * 64, "kernel", most=2)
        assert last.read_bytes() == b"\x05" and len(list(last.parent.parent.iterdir())) == 2


def test_command_is_that_of_the_binary() -> None:
    begun = "     Running `CARGO=/c OUT_DIR='/o ut' /bin/rustc --crate-name kernel_shim"
    told = (
        f"{begun} parts/lib.rs --crate-type lib --out-dir /deps`\n"
        f"{begun} src/main.rs --crate-type bin --cfg 'feature=\"a\"' "
        "-C extra-filename=-12 --out-dir /deps -C incremental=/state`\n"
    )
    command = command_of(told, "kernel_shim")
    assert command.env == {"CARGO": "/c", "OUT_DIR": "/o ut"} and command.argv[0] == "/bin/rustc"
    assert (command.made, command.state) == (Path("/deps/kernel_shim-12"), Path("/state"))
    assert 'feature="a"' in command.argv


IR = """
define void @a(ptr %slot) {
  store atomic i32 1, ptr %slot release, align 4, !dbg !1
  fence acquire
  ret void
}
"""


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (IR.replace("%slot", "%x").replace("!dbg !1", "!dbg !22"), True),
        (IR.replace("release", "monotonic"), False),
        (IR.replace("  fence acquire\n", ""), False),
        (IR.replace("@a", "@b"), False),
        (IR + '!2972 = !DISubprogram(name: "fence", scope: !2971, line: 12)\n', True),
        (IR.replace("  ret void", "  call void @_ZN4core5fence17h0123E()\n  ret void"), True),
    ],
)
def test_orderings_are_read_without_names_of_values(other: str, same: bool) -> None:
    assert (orderings_of(other) == orderings_of(IR)) is same


def test_subject_that_does_not_compile_in_a_place_of_its_own_is_no_mutant_that_does_not() -> None:
    with (
        builder({NAME: b"fn f() { missing() }"}, module_in) as broken,
        pytest.raises(BuildError, match="the subject itself does not compile: ") as caught,
    ):
        build_mutant(broken, of_edits(WEAKER), PROFILES)
    assert not isinstance(caught.value, CompileError)


def test_same_code_with_another_binding_is_equivalent_whatever_numbers_metadata_get(builds: Builder) -> None:
    edit = ("held => Some(held - 1),", "held => Some({ let gone: u32 = held - 1; gone }),")
    assert isinstance(build_mutant(builds, of_edits(edit), PROFILES), Equivalent)


UNUSED = "/// Nobody calls it.\n#[inline]\npub fn unused(count: u32) -> u32 {\n    count + 1\n}\n"


def test_code_that_no_kernel_has_is_not_called_equivalent() -> None:
    text = f"{TEXT}\n{UNUSED}"
    start = text.encode().index(b"count + 1", len(TEXT.encode()))
    mutant = Mutant(
        key="0" * 12, operator=Operator.ARITHMETIC, file=NAME, start=start, end=start + 9, line=1, column=1,
        function="unused", before="count + 1", after="count - 1",
    )  # fmt: skip
    with builder({NAME: text.encode()}, module_in) as builds:
        assert isinstance(build_mutant(builds, mutant, PROFILES), NotLinked)


def test_orderings_of_another_compiler_or_method_are_not_compared_with(builds: Builder) -> None:
    builds._place.take_note("orderings", builds.subject.sha256, "those of another compiler")
    assert isinstance(build_mutant(builds, of_edits(*SAME[0]), PROFILES), Equivalent)


def test_state_is_built_again_where_a_file_from_elsewhere_changed(builds: Builder, tmp_path: Path) -> None:
    base, own = builds.base("release"), builds._place.sources
    other = tmp_path / "table.in"
    other.write_text("1", encoding="utf-8")
    extended = replace(base, sources=(*base.sources, (str(other), content_of([other]))))
    assert base.stands(own) and extended.stands(own)
    other.write_text("2", encoding="utf-8")
    assert not extended.stands(own)
    other.unlink()
    assert not extended.stands(own)


PART = "frame/part.rs"


def with_part(text: str) -> dict[str, bytes]:
    return {NAME: b"mod part;\n", PART: text.encode()}


def test_another_text_of_a_module_of_the_frame_module_is_built_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[bytes] = []

    def build(place: Workplace, *order: object) -> Base:
        built.append((place.sources / PART).read_bytes())
        command, folder = CompilerCommand(argv=(), env={}), str(place.folder)
        return Base(key=str(order[-1]), folder=folder, command=command, program="", lacks=(), sources=())

    def orderings(builds: Builder, _: Subject) -> str:
        return (builds._place.sources / PART).read_text(encoding="utf-8")

    monkeypatch.setattr(base_build, "_built", build)
    monkeypatch.setattr(Builder, "_orderings", orderings)
    for now, after in ("ab", "ab", "ba"):
        weaker = Mutant(
            key="0" * 12, operator=Operator.ORDERING, file=PART, start=0, end=1, line=1, column=1,
            function="", before=now, after=after,
        )  # fmt: skip
        with builder(with_part(now), module_in) as builds:
            builds.base("release")
            assert not builds.orders_alike(weaker)
    assert built == [b"a", b"b"]


def test_places_in_every_file_of_a_subject_are_left_out_of_its_program(
    monkeypatch: pytest.MonkeyPatch, builds: Builder
) -> None:
    image = builds.image(of_edits(WEAKER), "release")
    monkeypatch.setattr(building, "program_of", lambda _, sources: " ".join(one.name for one in sources))
    with builder(with_part(""), module_in) as other:
        assert other.program(image) == "frame.rs part.rs"


def test_common_folder_is_copied_while_no_build_works_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held: list[str] = []

    @contextmanager
    def locked(name: str, **_: object) -> Iterator[None]:
        held.append(name)
        yield

    toolchain = find_toolchain()
    monkeypatch.setattr(store, "locked", locked)
    monkeypatch.setattr(cargo, "target_dir_of", lambda _: tmp_path / "common")
    (tmp_path / "common").mkdir()
    base_build._target(Workplace(tmp_path / "place", {}), toolchain)
    assert set(held) >= {lock_of(toolchain, profile) for profile in ALL_PROFILES}


def test_state_of_a_file_that_changed_while_it_was_compiled_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(place: Workplace, *order: object) -> Base:
        part = place.sources / PART
        part.write_text("fn other() {}", encoding="utf-8")
        command, folder = CompilerCommand(argv=(), env={}), str(place.folder)
        return Base(
            key=str(order[-1]), folder=folder, command=command, program="", lacks=(),
            sources=((str(part), content_of([part])),),
        )  # fmt: skip

    monkeypatch.setattr(base_build, "_built", build)
    with builder(with_part("fn part() {}"), module_in) as builds:
        with pytest.raises(BuildError, match=r"changed while it was compiled: .*part\.rs"):
            builds.base("release")
        assert not (builds._place.folder / "base-release.json").exists()
