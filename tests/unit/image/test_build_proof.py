"""A build that is not what was asked for is an error that names what differs, however it came about.

Here the isolation of cargo is behind us: the compiler was told something else, and only the code shows it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from frame_harness.base.commands import run
from frame_harness.cli.check import CheckRequest, check
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image import (
    Toolchain,
    ToolchainError,
    build,
    cargo,
    evidence,
    find_toolchain,
    ir_build,
    proof,
    store,
)
from frame_harness.image.asked import Asked, asked
from frame_harness.image.build import lock_of
from frame_harness.image.compiler import TARGET
from frame_harness.image.errors import BuildDifference, WrongBuild
from frame_harness.image.guest_word import check_profile
from frame_harness.image.image import Image
from frame_harness.image.ir_build import compile_ir
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine

_KERNEL = """#![no_std]
#![no_main]
#[path = {path}]
mod evidence;
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {{ loop {{}} }}
#[unsafe(no_mangle)]
extern "C" fn _start(from: &[u64; 8], to: &mut [u64; 8]) {{
    evidence::codegen_assertion(from[0]);
    to[0] = evidence::codegen_overflow(from[1]) + evidence::codegen_recursion(from[2]);
    evidence::codegen_features(from, to);
    // SAFETY: never run.
    unsafe {{ evidence::codegen_optimization(from.as_ptr(), 8, true, &mut to[1]) }};
}}
"""


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    try:
        return find_toolchain("installed-target")
    except ToolchainError as error:
        pytest.skip(f"a sample needs the target's own core library: {error.summary}")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="frame-harness-test-") as name:
        yield Path(name)


def linked(folder: Path, toolchain: Toolchain, profile: str, *flags: str) -> Image:
    """Compile the evidence into a program, with flags after those of the profile, which they outrank."""
    source, elf = folder / "kernel.rs", folder / "kernel"
    source.write_text(_KERNEL.format(path=json.dumps(str(evidence.path()))), encoding="utf-8")
    kept = [f"-Clink-arg=--undefined={name}" for name in evidence.ALL]
    argv: list[str | Path] = [
        toolchain.rustc, "--edition=2021", f"--target={TARGET}", "-Ccodegen-units=1",
        *asked(profile).flags, *cargo.shim_flags(), *kept, *flags, "-o", elf, source,
    ]  # fmt: skip
    finished = run(argv, what="compiling a sample")
    assert finished.status == 0, finished.err
    digest = hashlib.sha256(elf.read_bytes()).hexdigest()
    return Image(elf=elf, sha256=digest, profile=profile, subject=frame_module())


@pytest.mark.parametrize("profile", ["dev", "release"])
def test_code_that_was_compiled_as_asked_is_believed(
    folder: Path, toolchain: Toolchain, profile: str
) -> None:
    proof.prove_image(linked(folder, toolchain, profile), toolchain)


def test_the_evidence_is_compiled_once_for_a_compiler_and_a_profile(
    folder: Path, toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    compiled, asked_for = evidence.compiled, list[str]()

    def counted(wanted: Asked, *arguments: Any, **named: Any) -> AbstractContextManager[Path]:
        asked_for.append(wanted.profile)
        return compiled(wanted, *arguments, **named)

    monkeypatch.setattr(evidence, "compiled", counted)
    for profile in ("dev", "release", "dev", "release"):
        proof.prove_image(linked(folder, toolchain, profile), toolchain)
    assert asked_for == ["dev", "release"]
    with pytest.raises(WrongBuild, match="level 3"):
        proof.prove_image(linked(folder, toolchain, "release", "-Copt-level=3"), toolchain)
    another = replace(toolchain, key="another")
    proof.prove_image(linked(folder, toolchain, "dev"), another)
    assert asked_for[-1] == "dev"


def test_what_is_known_of_the_evidence_holds_for_the_harness_that_compiled_it(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {proof._place(asked("dev"), toolchain)}
    made_by = proof._MADE_BY
    assert [path.name for path in made_by] == ["evidence.py", "machine_code.py"]
    for at, path in enumerate(made_by):
        other = tmp_path / path.name
        other.write_bytes(path.read_bytes() + b"# another line\n")
        monkeypatch.setattr(proof, "_MADE_BY", (*made_by[:at], other, *made_by[at + 1 :]))
        places.add(proof._place(asked("dev"), toolchain))
    assert len(places) == 3


@pytest.mark.parametrize(
    ("profile", "flag", "what", "got"),
    [
        ("dev", "-Cdebug-assertions=off", "debug assertions", "off"),
        ("dev", "-Coverflow-checks=off", "overflow checks", "off"),
        ("dev", "-Copt-level=0", "optimization", "level 0"),
        ("dev", "-Copt-level=2", "optimization", "level 2"),
        ("dev", "-Copt-level=3", "optimization", "level 3"),
        ("dev", "-Ctarget-cpu=x86-64-v3", "CPU features", "BMI1 in codegen_features"),
        ("dev", "-Ctarget-feature=+popcnt", "CPU features", "POPCNT in codegen_features"),
        ("dev", "-Crelocation-model=pic", "compiler flags", "others"),
        ("release", "-Cdebug-assertions=on", "debug assertions", "on"),
        ("release", "-Coverflow-checks=on", "overflow checks", "on"),
        ("release", "-Copt-level=1", "optimization", "level 1"),
        ("release", "-Copt-level=3", "optimization", "level 3"),
        ("release", "-Copt-level=s", "optimization", "level s"),
        ("release", "-Copt-level=z", "optimization", "level z"),
        ("release", "-Ctarget-cpu=x86-64-v3", "CPU features", "BMI"),
    ],
)
def test_code_that_was_compiled_otherwise_is_named(
    folder: Path, toolchain: Toolchain, profile: str, flag: str, what: str, got: str
) -> None:
    with pytest.raises(WrongBuild) as raised:
        proof.prove_image(linked(folder, toolchain, profile, flag), toolchain)
    [difference] = raised.value.differences
    assert difference.what == what
    assert got in difference.got
    assert what in raised.value.summary
    assert "says nothing about the frame module" in raised.value.summary
    assert raised.value.next_step


def test_everything_that_differs_is_named_at_once(folder: Path, toolchain: Toolchain) -> None:
    flags = ("-Cdebug-assertions=off", "-Coverflow-checks=off")
    image = linked(folder, toolchain, "dev", *flags)
    assert [one.what for one in proof.differences(image, toolchain)] == [
        "debug assertions",
        "overflow checks",
    ]


@pytest.fixture
def crates(toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crates that a subject needs are compiled before the compiler goes wrong."""
    crates = ir_build._dependencies(toolchain, None)
    monkeypatch.setattr(ir_build, "_dependencies", lambda *_: crates)


def wrapped(toolchain: Toolchain, folder: Path, *flags: str) -> Toolchain:
    """A compiler that adds flags by itself, as a wrapper in its place would."""
    script = folder / "rustc"
    script.write_text(f'#!/bin/sh\nexec "{toolchain.rustc}" "$@" {" ".join(flags)}\n')
    script.chmod(0o755)
    return replace(toolchain, rustc=script)


@pytest.mark.parametrize(
    ("profile", "flag", "what", "got"),
    [
        ("dev", "-Cdebug-assertions=off", "debug assertions", "off"),
        ("dev", "-Coverflow-checks=off", "overflow checks", "off"),
        ("dev", "-Copt-level=0", "optimization", "level 0"),
        ("release", "-Copt-level=z", "optimization", "level z"),
        ("release", "-Cdebug-assertions=on", "debug assertions", "on"),
        ("release", "-Coverflow-checks=on", "overflow checks", "on"),
        ("release", "-Ctarget-cpu=native", "CPU", "x86-64"),
        ("dev", "-Ctarget-feature=+popcnt", "CPU features", "+popcnt"),
    ],
)
@pytest.mark.usefixtures("crates")
def test_ir_that_was_compiled_otherwise_is_named(
    tmp_path: Path, toolchain: Toolchain, profile: str, flag: str, what: str, got: str
) -> None:
    with pytest.raises(WrongBuild, match="LLVM IR of built-in") as raised:
        compile_ir(frame_module(), profile, wrapped(toolchain, tmp_path, flag))
    difference = next(one for one in raised.value.differences if one.what == what)
    assert got in f"{difference.expected} {difference.got}"


@pytest.mark.usefixtures("crates")
def test_ir_of_another_level_than_the_evidence_alone_is_named(tmp_path: Path, toolchain: Toolchain) -> None:
    with pytest.raises(WrongBuild) as raised:
        compile_ir(frame_module(), "dev", twice_optimized(toolchain, tmp_path))
    assert raised.value.differences == (BuildDifference("optimization", "level 1", "level 2 or 3"),)


def twice_optimized(toolchain: Toolchain, folder: Path) -> Toolchain:
    """A compiler that optimizes the subject alone more than it was told to."""
    script = folder / "rustc"
    name = "--crate-name=kernel_shim"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *{name}*) set -- "$@" -Copt-level=2;; esac\nexec "{toolchain.rustc}" "$@"\n'
    )
    script.chmod(0o755)
    return replace(toolchain, rustc=script)


GOOD = {"profile": "dev", "assertions": "1", "overflow": "1", "optimized": "1", "features": "none"}


@pytest.mark.parametrize(
    ("word", "value", "what"),
    [
        ("profile", "release", "profile"),
        ("assertions", "0", "debug assertions"),
        ("overflow", "0", "overflow checks"),
        ("optimized", "0", "optimization"),
        ("features", "sse2,avx", "CPU features"),
    ],
)
def test_guest_that_sees_something_else_is_not_believed(word: str, value: str, what: str) -> None:
    check_profile("dev", GOOD)
    with pytest.raises(WrongBuild) as raised:
        check_profile("dev", GOOD | {word: value})
    assert [one.what for one in raised.value.differences] == [what]


@pytest.fixture(scope="module")
def forged(toolchain: Toolchain) -> Iterator[cargo.CargoOutput]:
    """The shim around the built-in module as a dev build without assertions, compiled by cargo."""
    order = cargo.image_invocation(frame_module(), "dev", toolchain)
    setting = "--config=profile.dev.package.kernel_shim.debug-assertions=false"
    with tempfile.TemporaryDirectory(prefix="frame-harness-test-") as name:
        elf = Path(name, "kernel_shim")
        # As `build` does: the next build works in the same folder, and takes the place of this one.
        with store.locked(lock_of(toolchain, "dev")):
            built = cargo.compile_shim(frame_module(), "dev", replace(order, argv=(*order.argv, setting)))
            elf.write_bytes(built.elf.read_bytes())
        yield replace(built, elf=elf)


def test_image_whose_assertions_a_package_setting_took_away_is_refused(
    toolchain: Toolchain, forged: cargo.CargoOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = frame_module()
    monkeypatch.setattr(cargo, "compile_shim", lambda *_, **__: forged)
    # Under a key that no image has.
    monkeypatch.setattr(import_module("frame_harness.image.build"), "_known", lambda _: None)
    with pytest.raises(WrongBuild, match="expected debug assertions on, got debug assertions off"):
        build(subject, "dev", toolchain=toolchain)


def test_guest_without_assertions_says_so_when_it_boots(forged: cargo.CargoOutput) -> None:
    digest = hashlib.sha256(forged.elf.read_bytes()).hexdigest()
    image = Image(elf=forged.elf, sha256=digest, profile="dev", subject=frame_module())
    with pytest.raises(WrongBuild, match="code that runs in the guest") as raised:
        Kernel.boot(image, load_machine("microvm"))
    whats = [one.what for one in raised.value.differences]
    assert whats == ["profile", "debug assertions"]


def test_check_of_a_forged_image_is_an_error_that_is_told_once(
    forged: cargo.CargoOutput, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cargo, "compile_shim", lambda *_, **__: forged)
    monkeypatch.setattr(import_module("frame_harness.image.build"), "_known", lambda _: None)
    status = check(CheckRequest(machines=("microvm",), profile="dev", select="VT-03"))
    shown = " ".join(capsys.readouterr().out.split())
    assert status is ExitCode.ERROR
    assert shown.count("expected debug assertions on, got debug assertions off") == 1
    assert "next: " in shown
