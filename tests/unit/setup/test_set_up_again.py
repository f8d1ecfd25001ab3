"""The set-up does what is missing, once: beside another one, and behind one that something overtook."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.doors import SOURCES

TOOLS = ("sh", "dirname", "readlink", "cat", "cksum")
WANTED = (
    "pyproject.toml",
    "harness/frame-harness",
    "harness/bootstrap.py",
    "harness/frame_harness/cli/requirements.lock",
    "harness/frame_harness/base/host_tools.py",
    "harness/frame_harness/base/packages.py",
)
# The program itself, but for what takes a minute.
PROGRAM = """\
import fcntl, importlib.util, os, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("bootstrap", {program!r})
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)
def set_up(say):
    print("sets up", file=sys.stderr, flush=True)
    os.makedirs(".venv/bin", exist_ok=True)
    for name in ("python", "frame-harness", "qemu-system-x86_64"):
        Path(".venv/bin", name).unlink(missing_ok=True)
        Path(".venv/bin", name).symlink_to(sys.executable)
    {work}
    return 0
bootstrap.set_up = set_up
sys.exit(bootstrap.main())
"""


def a_clone(folder: Path, work: str = "pass") -> Path:
    clone = folder / "a clone"
    for name in WANTED:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text("", encoding="utf-8")
    shutil.copy2(SOURCES / "bootstrap.sh", clone / "harness")
    program = PROGRAM.format(program=str(SOURCES / "bootstrap.py"), work=work)
    (clone / "harness" / "bootstrap.py").write_text(program, encoding="utf-8")
    return clone


def start(clone: Path, *words: str, path: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", "harness/bootstrap.sh", *words],
        cwd=clone,
        env={"PATH": str(path)} if path else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(clone: Path) -> str:
    """What a set-up that ends well tells."""
    process = start(clone)
    out, err = process.communicate()
    assert process.returncode == 0 and not out, err
    return err


def test_second_set_up_waits_for_the_first_then_finds_nothing_to_do(tmp_path: Path) -> None:
    clone = a_clone(tmp_path, 'fcntl.flock(open("gate"), fcntl.LOCK_SH)')
    with (clone / "gate").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        first = start(clone)
        assert first.stderr is not None and first.stderr.readline() == "sets up\n"
        second = start(clone)
        assert second.stderr is not None
        line = second.stderr.readline()
    rest = [process.communicate()[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), rest
    assert line.startswith("waiting for another set-up of this clone, which may be stopped (Ctrl-C gives up)")
    assert "sets up" not in rest[1]
    assert told(clone) == ""


def test_set_up_that_something_overtook_is_made_again(tmp_path: Path) -> None:
    clone = a_clone(tmp_path, 'Path("pyproject.toml").write_text("as pulled meanwhile")')
    assert [told(clone) for _ in range(3)] == ["sets up\n", "sets up\n", ""]


def test_clone_is_set_up_again_where_it_is_moved_and_for_each_text_that_says_what_is_wanted(
    tmp_path: Path,
) -> None:
    clone = a_clone(tmp_path)
    assert told(clone) == "sets up\n"
    clone = clone.rename(tmp_path / "moved")
    assert told(clone) == "sets up\n"
    for name in WANTED:
        with (clone / name).open("a", encoding="utf-8") as text:
            text.write("# one more\n")
        assert told(clone) == "sets up\n", name
    assert told(clone) == ""


def test_look_does_not_blame_a_virtualenv_that_is_ready_for_a_program_that_lacks(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in TOOLS:
        (programs / name).symlink_to(shutil.which(name) or name)
    (programs / "python3").symlink_to(sys.executable)
    clone = a_clone(tmp_path)
    for missing in (["virtualenv", "C linker"], ["C linker"]):
        looked = start(clone, "look", path=programs)
        out, err = looked.communicate()
        assert looked.returncode == 1, err
        assert [what for what in ("virtualenv", "C linker") if what in out] == missing, out
        assert told(clone) in ("sets up\n", "")
