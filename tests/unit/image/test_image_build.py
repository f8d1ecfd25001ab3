"""The shim is built around any subject, once, and what was built stays as it is."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from frame_harness.base import resources
from frame_harness.base.commands import TOLD, telling_through
from frame_harness.base.errors import BuildError, UsageError
from frame_harness.base.units import Vaddr
from frame_harness.frame_metadata.layouts import LAYOUTS
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.backtrace import path_in_module
from frame_harness.image import (
    CompileError,
    NotJudgeable,
    SubjectError,
    Toolchain,
    build,
    cargo,
    find_toolchain,
)
from frame_harness.image.code_at import CodeAt
from tests.support.same_place import same_place


@pytest.fixture
def toolchain() -> Toolchain:
    return find_toolchain()


@pytest.fixture
def subject_file() -> Path:
    """A copy of the built-in module that was never built, at a path that quoting gets wrong when it can."""
    folder = same_place() / 'my kernel\'s "größe" $HOME #1'
    folder.mkdir()
    file = Path(shutil.copy(frame_module().path, folder / "frame.rs"))
    with file.open("a", encoding="utf-8") as text:
        text.write(f"// {uuid.uuid4()}\n")
    return file


@pytest.mark.parametrize("profile", ["dev", "release"])
def test_built_in_subject_becomes_an_image_that_explains_itself(profile: str) -> None:
    image = build(frame_module(), profile)
    assert image.elf.read_bytes()[:4] == b"\x7fELF"
    assert len(bytes.fromhex(image.build_id)) == 20
    for name, expected in LAYOUTS.items():
        assert LAYOUTS.diff(expected, image.layout(name)) == []
    vaddr, size = image.symbol("WITNESS")
    assert vaddr >= 0xFFFF_FFFF_8000_0000
    assert size == image.dtype("Witness").itemsize
    found = image.function_line("MetaSlot::dec_ref")
    assert found is not None
    assert "fn dec_ref" in Path(found[0]).read_text(encoding="utf-8").splitlines()[found[1] - 1]
    ours = [
        (at, size) for at, size, name in image._elf.functions if name.startswith("kernel_shim::") and size
    ]
    shown = [str(image.symbolize(Vaddr(at + size - 1))) for at, size in ours]
    # kernel_shim::console::dispatch::run+0x1b (/…/kernel_shim/src/console/dispatch.rs:41)
    pattern = r"kernel_shim::.*\+0x[0-9a-f]+ \(/.+\.rs:[1-9][0-9]*\)"
    whole = [line for line in shown if re.fullmatch(pattern, line)]
    assert len(whole) > 10
    assert len(whole) > 0.9 * len(shown)  # functions in assembly have a name alone


@pytest.mark.parametrize("profile", ["dev", "release"])
def test_inlined_code_of_a_library_is_shown_as_the_line_that_uses_it(profile: str) -> None:
    image = build(frame_module(), profile)
    [(at, size)] = [
        (at, size) for at, size, name in image._elf.functions if name.endswith("FrameAllocOptions::allocate")
    ]
    places = [image._dwarf.places_of(vaddr) for vaddr in map(Vaddr, range(at, at + size))]
    atomics = [found for found in places if found[0][0].endswith("sync/atomic.rs")]
    assert atomics
    assert all(found[-1][0] == str(image.subject.path) for found in places)
    shown = [image.symbolize(Vaddr(vaddr)) for vaddr in range(at, at + size)]
    assert {code.file for code in shown} == {str(image.subject.path)}
    assert all(f"({image.subject.path}:" in str(code) for code in shown)


def test_line_of_an_inlined_function_is_shown_with_its_name() -> None:
    image = build(frame_module(), "release")
    codes = [image.symbolize(at) for at, size, _ in image._elf.functions if size]
    codes += [image.symbolize(Vaddr(at + size // 2)) for at, size, _ in image._elf.functions if size]
    inlined = [code for code in codes if code.function != code.symbol]
    assert len(inlined) > 10
    for code in inlined:
        text = Path(code.file).read_text(encoding="utf-8").splitlines() if Path(code.file).is_file() else []
        assert not text or code.line <= len(text)
        assert str(code) == f"{code.function} in {code.symbol}+{code.offset:#x} ({code.file}:{code.line})"
    frame = [code for code in inlined if path_in_module(code.function).startswith("MetaSlot::")]
    assert frame and all(one.file == str(image.subject.path) for one in frame)


def test_address_that_is_no_code_is_shown_as_it_is() -> None:
    image = build(frame_module(), "dev")
    assert image.symbolize(Vaddr(0x1234)) == CodeAt(Vaddr(0x1234))
    assert str(CodeAt(Vaddr(0x1234))) == CodeAt(Vaddr(0x1234)).place == "0x0000000000001234"


def test_file_under_any_path_is_compiled_in_place(subject_file: Path) -> None:
    image = build(frame_module(subject_file), "dev")
    found = image.function_line("MetaSlot::dec_ref")
    assert found is not None
    assert Path(found[0]) == subject_file


def test_lints_of_the_shim_are_not_the_subject_s(subject_file: Path) -> None:
    with subject_file.open("a", encoding="utf-8") as file:
        file.write("pub unsafe fn Read(at: *const u8) -> u8 {\n    let unused = 1;\n    *at\n}\n")
    assert build(frame_module(subject_file), "release").elf.is_file()


def test_second_build_runs_no_compiler(subject_file: Path, toolchain: Toolchain) -> None:
    first = build(frame_module(subject_file), "dev", toolchain=toolchain)
    broken = dataclasses.replace(toolchain, cargo=Path("/nonexistent/cargo"))
    assert build(frame_module(subject_file), "dev", toolchain=broken).elf == first.elf


def test_image_is_known_again_after_another_subject_was_built(
    subject_file: Path, toolchain: Toolchain
) -> None:
    first = build(frame_module(subject_file), "dev", toolchain=toolchain)
    other = subject_file.with_name("other.rs")
    other.write_text(subject_file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    build(frame_module(other), "dev", toolchain=toolchain)
    broken = dataclasses.replace(toolchain, cargo=Path("/nonexistent/cargo"))
    assert build(frame_module(subject_file), "dev", toolchain=broken).elf == first.elf


@pytest.mark.parametrize("damage", ["{}", '{"elf": 5, "sources": {}}', '{"elf": "a", "sources": []}'])
def test_damaged_note_of_a_build_is_no_note(damage: str, subject_file: Path) -> None:
    first = build(frame_module(subject_file), "dev")
    notes = [file for file in (resources.build_dir() / "notes").iterdir() if first.sha256 in file.read_text()]
    assert notes
    for note in notes:
        note.write_text(damage)
    assert build(frame_module(subject_file), "dev").subject == first.subject


def test_included_file_that_changes_while_it_is_compiled_is_never_judged(
    subject_file: Path, toolchain: Toolchain, tmp_path: Path
) -> None:
    more = subject_file.with_name("more.rs")
    more.write_text("", encoding="utf-8")
    with subject_file.open("a", encoding="utf-8") as file:
        file.write('\ninclude!("more.rs");\n')
    slow = tmp_path / "cargo"
    words = shlex.quote(str(toolchain.cargo)), shlex.quote(str(more))
    slow.write_text('#!/bin/sh\n{} "$@"\nstatus=$?\necho >> {}\nexit $status\n'.format(*words))
    slow.chmod(0o755)
    with pytest.raises(CompileError, match="changed while it was compiled"):
        build(frame_module(subject_file), "dev", toolchain=dataclasses.replace(toolchain, cargo=slow))


def test_edit_of_the_subject_under_an_old_time_stamp_makes_another_image_and_spares_the_first(
    subject_file: Path,
) -> None:
    subject = frame_module(subject_file)
    before = build(subject, "dev")
    content = before.elf.read_bytes()
    text = subject_file.read_text(encoding="utf-8")
    subject_file.write_text("\n".join(["", "", text]), encoding="utf-8")
    os.utime(subject_file, (0, 0))  # as `mv`, `cp -p` or `rsync -a` leave it
    after = build(subject, "dev")
    assert after.elf != before.elf
    assert after.subject.sha256 != before.subject.sha256
    assert before.elf.read_bytes() == content
    lines = [image.function_line("MetaSlot::dec_ref") or ("", 0) for image in (before, after)]
    assert lines[1][1] == lines[0][1] + 2


def test_edit_of_a_file_that_the_subject_includes_is_noticed(subject_file: Path) -> None:
    more = subject_file.with_name("more.rs")
    more.write_text("", encoding="utf-8")
    with subject_file.open("a", encoding="utf-8") as file:
        file.write('\ninclude!("more.rs");\n')
    build(frame_module(subject_file), "dev")
    more.write_text('compile_error!("noticed");', encoding="utf-8")
    os.utime(more, (0, 0))
    with pytest.raises(CompileError, match="noticed"):
        build(frame_module(subject_file), "dev")


def test_variable_that_the_subject_reads_is_part_of_what_is_compiled(
    subject_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subject_file.open("a", encoding="utf-8") as file:
        file.write(
            '\nconst _: () = assert!(!matches!(option_env!("USER"), Some(name) if name.len() == 3));\n'
        )
    monkeypatch.setenv("USER", "alice")
    first = build(frame_module(subject_file), "dev")
    monkeypatch.setenv("USER", "bob")
    with pytest.raises(CompileError, match="assertion failed"):
        build(frame_module(subject_file), "dev")
    monkeypatch.setenv("USER", "carol")
    monkeypatch.setenv("LOGNAME", "somebody, whom it does not ask for")
    again = build(frame_module(subject_file), "dev")
    assert again.sha256 == first.sha256


def test_variable_that_is_kept_from_the_subject_is_named_each_time(
    subject_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subject_file.open("a", encoding="utf-8") as file:
        file.write('\nconst _: () = assert!(option_env!("KERNEL_FEATURE").is_none());\n')
    said: list[str] = []
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    with telling_through(said.append):
        for value in ("", "1", "2"):
            monkeypatch.setenv(TOLD, "")
            if value:
                monkeypatch.setenv("KERNEL_FEATURE", value)
            build(frame_module(subject_file), "dev")
    words = "frame.rs reads KERNEL_FEATURE while it is compiled: no variable of yours reaches the compiler"
    assert [line.startswith(f"note: {words}") for line in said] == [True, True]


def test_variable_that_the_subject_cannot_do_without_has_a_next_step(
    subject_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERNEL_FEATURE", "1")
    with subject_file.open("a", encoding="utf-8") as file:
        file.write('\npub const FEATURE: &str = env!("KERNEL_FEATURE");\n')
    with pytest.raises(CompileError, match="environment variable `KERNEL_FEATURE` not defined") as raised:
        build(frame_module(subject_file), "dev")
    assert "no variable of yours reaches the compiler" in raised.value.next_step


def test_switch_between_two_subjects_never_mixes_them_up(subject_file: Path) -> None:
    for _ in range(2):
        assert build(frame_module(), "dev").subject.is_builtin
        image = build(frame_module(subject_file), "dev")
        found = image.function_line("MetaSlot::dec_ref")
        assert found is not None
        assert Path(found[0]) == subject_file


def test_subject_that_does_not_compile_is_the_compilers_verdict(subject_file: Path) -> None:
    with subject_file.open("a", encoding="utf-8") as file:
        file.write("\npub fn broken() -> u32 { no_such_thing }\n")
    with pytest.raises(CompileError) as raised:
        build(frame_module(subject_file), "release")
    assert "error[E0425]: cannot find value `no_such_thing`" in raised.value.first
    assert "frame.rs:" in raised.value.first
    assert "\n" not in raised.value.first
    assert "^^^^^^^^^^^^^ not found in this scope" in raised.value.rendered
    assert raised.value.rendered.splitlines()[0] in str(raised.value)
    assert raised.value.next_step.startswith(f"fix {subject_file}")


_NO_LINKER = """\
#!/bin/sh
echo '{"reason":"compiler-message","target":{"kind":["bin"],"name":"kernel_shim"},"message":
{"level":"error","message":"linker not found","code":null,"spans":[],"rendered":"error: linker not found"}}'
exit 101
"""


@pytest.mark.parametrize("names_are_known", [False, True])
@pytest.mark.parametrize("script", [_NO_LINKER, "#!/bin/sh\necho no network >&2; exit 101\n", ""])
def test_failure_that_is_not_the_subjects_is_not_blamed_on_it(
    subject_file: Path,
    toolchain: Toolchain,
    script: str,
    names_are_known: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cargo fails when it compiles what a frame module depends on, or when it compiles the shim."""
    if names_are_known:
        monkeypatch.setattr(sys.modules["frame_harness.image.build"], "lacking_names", lambda *_, **__: ())
    with subject_file.open("a", encoding="utf-8") as file:
        file.write("// never compiled before\n")
    cargo = subject_file.with_name("cargo")
    cargo.write_text(script.replace("\n{", "{"))
    cargo.chmod(0o755)
    with pytest.raises(BuildError) as raised:
        build(frame_module(subject_file), "dev", toolchain=dataclasses.replace(toolchain, cargo=cargo))
    assert isinstance(raised.value, CompileError) == (script == _NO_LINKER)
    assert "not about the frame module" in raised.value.next_step


@pytest.mark.parametrize(
    "text", ["", "}", "\x00", "#![no_std]\nfn main() {}", 'compile_error!("two\\nlines");']
)
def test_subject_of_any_text_is_an_error_in_one_line(subject_file: Path, text: str) -> None:
    subject_file.write_text(text, encoding="utf-8")
    with pytest.raises((CompileError, NotJudgeable)) as raised:
        build(frame_module(subject_file), "dev")
    assert "\n" not in raised.value.summary


def test_error_in_a_line_of_the_shim_s_is_not_blamed_on_the_subject(
    subject_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the names ever be asked for wrongly, nobody is told to change the file."""
    subject_file.write_text("", encoding="utf-8")
    monkeypatch.setattr(sys.modules["frame_harness.image.build"], "lacking_names", lambda *_, **__: ())
    with pytest.raises(CompileError) as raised:
        build(frame_module(subject_file), "dev")
    assert "not about the frame module" in raised.value.next_step
    assert "fix " + str(subject_file) not in str(raised.value)


def test_subject_that_is_no_text_is_an_error_in_one_line(subject_file: Path) -> None:
    subject_file.write_bytes(bytes(range(256)))
    with pytest.raises(CompileError) as raised:
        build(frame_module(subject_file), "dev")
    assert "\n" not in raised.value.summary


@pytest.mark.parametrize("name", ["absent.rs", "", "frame.rs/below"])
def test_subject_that_cannot_be_read_is_refused_before_any_build(subject_file: Path, name: str) -> None:
    with pytest.raises(SubjectError) as raised:
        frame_module(subject_file.parent / name)
    assert "\n" not in raised.value.summary


@pytest.mark.parametrize("name", [b"frame-\xff.rs", b"frame\n.rs"])
def test_path_that_no_source_can_name_is_refused(tmp_path: Path, name: bytes) -> None:
    file = tmp_path / os.fsdecode(name)
    shutil.copy(frame_module().path, file)
    with pytest.raises(SubjectError, match="expected a path in UTF-8") as raised:
        frame_module(file)
    str(raised.value).encode()


def test_build_script_takes_no_path_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["frame_harness.image.build"], "lacking_names", lambda *_, **__: ())
    file = Path(shutil.copy(frame_module().path, tmp_path / os.fsdecode(b"frame-\xff.rs")))
    with pytest.raises(CompileError, match="expected a path in UTF-8"):
        build(dataclasses.replace(frame_module(), path=file, name="not UTF-8"), "dev")


def test_file_named_like_the_built_in_subject_is_not_taken_for_it(subject_file: Path) -> None:
    assert not frame_module(subject_file.rename(subject_file.with_name("built-in"))).is_builtin


def test_image_of_another_module_is_refused(subject_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = frame_module(subject_file)
    elf = build(frame_module(), "dev").elf
    other = cargo.CargoOutput(elf, (frame_module().path,), ())
    monkeypatch.setattr(cargo, "compile_shim", lambda *_, **__: other)
    with pytest.raises(CompileError, match="none of the sources"):
        build(subject, "dev")


def test_subject_that_vanished_is_refused(subject_file: Path) -> None:
    subject = frame_module(subject_file)
    subject_file.unlink()
    with pytest.raises(SubjectError, match="No such file"):
        build(subject, "dev")


def test_unknown_profile_is_refused() -> None:
    with pytest.raises(UsageError, match="expected dev or release or cov or fuzz") as refused:
        build(frame_module(), "fastest")
    assert "counted branches" in refused.value.evidence


def test_variables_of_other_builds_change_nothing(
    subject_file: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "RUSTFLAGS": "--no-such-flag", "CARGO_ENCODED_RUSTFLAGS": "--no-such-flag",
        "CARGO_TARGET_DIR": "elsewhere", "CARGO_BUILD_TARGET": "no-such-target",
        "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "maybe", "FRAME_RS": "/nonexistent/frame.rs",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    image = build(frame_module(subject_file), "dev", toolchain=toolchain)
    assert image.layout("MetaSlot").size == 64
    assert not (resources.shim_dir() / "elsewhere").exists()


def test_two_processes_that_want_one_image_share_it(subject_file: Path) -> None:
    script = (
        "import sys; from frame_harness.image.build import build;"
        "from frame_harness.frame_metadata.subject import frame_module;"
        "print(build(frame_module(sys.argv[1]), 'release').elf)"
    )
    argv = [sys.executable, "-c", script, str(subject_file)]
    children = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert outputs[0] == outputs[1] != ""


def test_real_frame_rs_compiles_unmodified_in_both_profiles(real: Path) -> None:
    before = real.read_bytes()
    for profile in ("dev", "release"):
        image = build(frame_module(real), profile)
        for name, expected in LAYOUTS.items():
            assert LAYOUTS.diff(expected, image.layout(name)) == []
        assert image.function_line("FrameAllocOptions::allocate") is not None
    assert real.read_bytes() == before
