"""A fresh clone sets itself up; a built wheel works where there is no clone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from frame_harness.base import resources
from frame_harness.base.commands import run
from frame_harness.base.errors import HarnessError
from tests.support.fresh_machine import copy_clone

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow

MENU = ("FRAME_RS", "KERNEL_SRC", "MACHINE", "PROFILE", "BASELINE", "TIME", "ARGS")
NO_OP_LIMIT_S = 1.0  # of CPU time: a loaded machine is no failure


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a clone")
    copy_clone(folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, clone: Path) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # What a person leaves behind who runs cargo by hand must not travel.
    leftover = clone / "kernel_shim" / "target" / "leftover.rs"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_text("", encoding="utf-8")
    argv: list[str | Path] = [
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, clone,
    ]  # fmt: skip
    finished = run(argv, what="building the wheel")
    assert finished.status == 0, finished.err
    return next(folder.glob("*.whl"))


def test_doctor_of_a_fresh_clone_says_what_is_missing_and_installs_nothing(clone: Path) -> None:
    before = sorted(clone.rglob("*"))
    asked = make(clone, "doctor")
    assert asked.returncode != 0
    assert "MISSING  the virtualenv .venv" in asked.stdout and "next: make setup" in asked.stdout
    assert sorted(clone.rglob("*")) == before


def test_fresh_clone_is_ready_after_one_command_then_says_nothing(clone: Path) -> None:
    first = make(clone, "setup")
    assert first.returncode == 0, first.stderr
    assert "toolchain: rustc" in first.stderr
    assert (clone / ".venv" / "bin" / "frame-harness").is_file()
    before = os.times()
    second = make(clone, "setup")
    after = os.times()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    spent_s = after.children_user - before.children_user + after.children_system - before.children_system
    assert spent_s < NO_OP_LIMIT_S

    # The harness that it made is this clone's, and works.
    asked = run(
        [clone / ".venv/bin/python", "-P", "-c", "import frame_harness; print(frame_harness.__file__)"],
        what="asking",
        cwd=Path("/"),
    )
    assert Path(asked.out.strip()) == clone / "harness" / "frame_harness" / "__init__.py"
    doctor = make(clone, "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "nothing is missing" in doctor.stdout
    # A user's settings of Python are for other programs.
    doctor = make(clone, "doctor", env={"PYTHONHOME": "/nothing", "PYTHONPATH": "/nothing"})
    assert doctor.returncode == 0, doctor.stderr


def test_menu_is_shown_without_any_set_up(clone: Path) -> None:
    shown = make(clone)
    assert shown.returncode == 0
    assert {"make qemu-test", "make test", "make doctor"} <= {
        " ".join(line.split()[:2]) for line in shown.stdout.splitlines()
    }


def test_make_inside_of_make_has_wishes_of_its_own(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS"):
        monkeypatch.setenv(name, " -- ARGS=--no-such-option")
    monkeypatch.setenv("ARGS", "--no-such-option")
    shown = make(clone, "--dry-run", "test")
    assert shown.returncode == 0, shown.stderr
    assert "-m pytest" in shown.stdout and "--no-such-option" not in shown.stdout


def test_menu_in_these_tests_is_the_makefile_s() -> None:
    names = re.findall(
        r"^([A-Z_]+) *\?=", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert tuple(names) == MENU


def test_wheel_carries_what_a_user_needs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "frame_harness/_data/kernel_shim/Cargo.toml",
        "frame_harness/_data/kernel_shim/Cargo.lock",
        "frame_harness/_data/kernel_shim/parts/lib.rs",
        "frame_harness/_data/kernel_shim/.cargo/config.toml",
        "frame_harness/_data/kernel_shim/src/memory/frame.rs",
        "frame_harness/_data/qemu/q35.toml",
        "frame_harness/cli/main.py",
        "frame_harness/cli/requirements.lock",
        "frame_harness/frame_metadata/explanations/allocation.toml",
        "frame_harness/memory_core/explanations/boot.toml",
    ):
        assert needed in names
    assert any(name.startswith("frame_harness/_data/suite/test_") for name in names)
    assert [name for name in names if "target/" in name or "__pycache__" in name] == []
    roots = {name.partition("/")[0] for name in names}
    scripts = wheel_info(wheel).replace(".dist-info", ".data")
    assert roots == {"frame_harness_start.py", "frame_harness", wheel_info(wheel), scripts}
    assert [name for name in names if name.startswith(scripts)] == [f"{scripts}/scripts/frame-harness"]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Where the wheel was installed, with an environment in which nothing of this clone is found."""
    folder = tmp_path_factory.mktemp("installed")
    site = folder / "site"
    argv: list[str | Path] = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", site, wheel]
    assert run(argv, what="installing the wheel").status == 0
    left_out = ("FRAME_HARNESS_CACHE", "PYTEST_", *MENU)
    env = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    env |= {
        "PYTHONPATH": str(site),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return site, env


def test_installed_wheel_builds_the_shim_in_an_empty_folder(
    installed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """The installed files stay untouched: they may belong to root."""
    site, env = installed
    before = sorted((path, path.stat().st_mtime_ns) for path in site.rglob("*") if path.is_file())
    script = (
        "import frame_harness; from frame_harness.image.build import build;"
        "from frame_harness.frame_metadata.subject import frame_module;"
        "image = build(frame_module(), 'dev'); print(frame_harness.__file__); print(image.elf);"
        "print(image.layout('MetaSlot').size)"
    )
    finished = run([sys.executable, "-c", script], what="building the shim", cwd=tmp_path, env=env)
    assert finished.status == 0, finished.err
    package, elf, size = finished.out.splitlines()
    assert Path(package) == site / "frame_harness" / "__init__.py"
    assert Path(env["XDG_CACHE_HOME"]) / "frame-harness" in Path(elf).parents
    assert size == "64"
    assert list(tmp_path.iterdir()) == []
    assert sorted((path, path.stat().st_mtime_ns) for path in site.rglob("*") if path.is_file()) == before


def test_installed_wheel_runs_the_test_of_the_readme_then_judges_through_its_command(
    installed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    site, env = installed
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)
    spied = "\n\ndef test_place():\n    import frame_harness\n    print(frame_harness.__file__)\n"
    (tmp_path / "test_mine.py").write_text(example + spied, encoding="utf-8")
    pytest_ = [sys.executable, "-P", "-m", "pytest", "-rP", "-p", "no:cacheprovider"]
    tested = run([*pytest_, "test_mine.py", "--machine", "microvm"], what="pytest", cwd=tmp_path, env=env)
    assert tested.status == 0 and "2 passed" in tested.out, tested.out + tested.err
    assert str(site / "frame_harness" / "__init__.py") in tested.out

    command, here = site / "bin" / "frame-harness", ("--machine", "microvm", "--profile", "dev")
    judged = run([command, "check", *here, "-k", "CONST-01"], what="frame-harness", cwd=tmp_path, env=env)
    assert judged.status == 0, judged.out + judged.err
    assert judged.out.splitlines()[-1].startswith("PASS: 1 check, 1 clause held, 1 machine × 1 profile")
    assert str(site / "frame_harness" / "_data" / "kernel_shim") in "".join(judged.out.split())


def test_installed_command_has_work_done_by_processes_of_its_own(
    installed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """Python starts them anew: each imports the file of the command."""
    site, env = installed
    argv: list[str | Path] = [
        site / "bin" / "frame-harness",
        "fuzz",
        "--machine",
        "microvm",
        "--profile",
        "dev",
    ]
    done = run([*argv, "--commands", "20", "--workers", "1"], what="frame-harness", cwd=tmp_path, env=env)
    assert (done.status, done.out.count("found nothing"), done.err.count("results: ")) == (0, 1, 1), done.err


def test_build_folder_that_cannot_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", "/proc/frame-harness")
    with pytest.raises(HarnessError, match="FRAME_HARNESS_CACHE") as raised:
        resources.build_dir()
    assert "\n" not in raised.value.summary


def wheel_info(wheel: Path) -> str:
    return "-".join(wheel.name.split("-")[:2]) + ".dist-info"


def make(
    clone: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    # What an outer make wants, in the variables that it exports too, must not reach this one.
    kept = dict(os.environ)
    for name in os.environ:
        if name in MENU or name.startswith(("MAKE", "MFLAGS", "GNUMAKEFLAGS", "PYTHON")):
            del kept[name]
    return subprocess.run(
        ["make", *arguments],
        cwd=clone,
        env=kept | dict(env or {}),
        capture_output=True,
        text=True,
        check=False,
    )
