"""The parts of the shim that touch no hardware pass their own tests, on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from frame_harness.base import resources
from frame_harness.image import Toolchain, cargo, find_toolchain, store

PARTS = resources.shim_dir() / "parts"


def host_of(toolchain: Toolchain) -> str:
    said = subprocess.run([toolchain.rustc, "-vV"], capture_output=True, text=True, check=True).stdout
    return said.partition("host: ")[2].partition("\n")[0]


@pytest.mark.quick
def test_parts_pass_their_tests_on_the_host() -> None:
    toolchain = find_toolchain()
    host = host_of(toolchain)
    if not list((toolchain.sysroot / "lib/rustlib" / host / "lib").glob("libtest-*")):
        pytest.skip(f"the compiler has no library for tests on the host: {toolchain.sysroot}")
    if shutil.which("cc") is None:
        pytest.skip("no program cc, by which the compiler links tests for the host")
    target_dir = resources.build_dir() / "parts" / toolchain.key
    order = cargo.invocation("test", PARTS.parent / "Cargo.toml", host, target_dir, toolchain,
                             "--package=shim_parts", "--lib")  # fmt: skip
    # The flags of the bare machine are not for the host.
    order = replace(order, settings=order.settings | {"CARGO_ENCODED_RUSTFLAGS": ""})
    with store.locked(f"parts-{toolchain.key}"):
        finished = order.run(what="testing the parts of the shim")
    assert finished.status == 0, finished.out + finished.err
    passed = re.search(r"test result: ok\. (\d+) passed; 0 failed; 0 ignored", finished.out)
    assert passed is not None, finished.out
    assert int(passed[1]) == n_tests()


def n_tests() -> int:
    """The tests that are written, so that none is left out of the build unseen."""
    return sum(_text(file).count("#[test]\n") for file in PARTS.rglob("*.rs"))


def test_every_file_of_tests_is_compiled() -> None:
    modules = set(re.findall(r"^mod (\w+);", _text(PARTS / "tests" / "mod.rs"), flags=re.MULTILINE))
    assert modules == {file.stem for file in (PARTS / "tests").glob("*.rs")} - {"mod"}


def test_parts_have_no_unsafe_code() -> None:
    assert "#![forbid(unsafe_code)]" in _text(PARTS / "lib.rs")


def test_shim_has_the_licence_of_the_project() -> None:
    root = PARTS.parents[1]
    shim, parts = (
        tomllib.loads(_text(folder / "Cargo.toml"))["package"]["license"] for folder in (PARTS.parent, PARTS)
    )
    project = tomllib.loads(_text(root / "pyproject.toml"))["project"]["license"]
    assert shim == parts == project
    assert _text(root / "LICENSE").startswith(f"{project} License")


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
