"""What keeps a clone from being set up is one line; what cannot be used is made anew."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from frame_harness.base import packages
from frame_harness.base.commands import Finished
from frame_harness.base.errors import HarnessError
from frame_harness.base.host_tools import HostTool
from tests.support.doors import SOURCES


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program that prepares a clone, for a clone in a folder of its own."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("bootstrap", SOURCES / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    return module


@pytest.mark.parametrize("name", ["clone", "a clone", "somebody's clone"])
@pytest.mark.parametrize(
    "line", ["VIRTUAL_ENV={path}", "    export VIRTUAL_ENV={path}"], ids=["3.11", "from 3.12 on"]
)
@pytest.mark.parametrize("quote", ['"{}"'.format, shlex.quote], ids=["first releases", "later ones"])
def test_virtualenv_of_a_clone_that_was_moved_is_none(
    quote: Callable[[str], str], line: str, name: str, bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "VENV", bootstrap.ROOT / name / ".venv")
    programs = bootstrap.VENV / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    assert not bootstrap._venv_works()

    def works(path: str) -> bool:
        text = f"# made\n{line.format(path=quote(path))}\nexport VIRTUAL_ENV\n"
        (programs / "activate").write_text(text, encoding="utf-8")
        return bool(bootstrap._venv_works())

    # A copy may lie at the end of the path of its original, or the other way round.
    assert not works("/elsewhere/.venv") and not works(f"/home/u{bootstrap.VENV}")
    assert not works(f"{bootstrap.VENV}/other/.venv")
    assert works(str(bootstrap.VENV))


def test_virtualenv_of_this_python_is_known(bootstrap: ModuleType) -> None:
    venv.create(bootstrap.VENV, symlinks=True, with_pip=False)
    (packages_of,) = (bootstrap.VENV / "lib").glob("python*/site-packages")
    (packages_of / "pip.py").touch()
    assert bootstrap._venv_works()


def test_clone_that_no_virtualenv_can_lie_in_is_named(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.require_place()
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path / "a:b")
    with pytest.raises(HarnessError, match="a path without ':'"):
        bootstrap.require_place()


def test_clone_whose_lines_no_debug_information_would_name_is_refused(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path / "a\\b")
    with pytest.raises(HarnessError, match="a path without backslashes"):
        bootstrap.require_place()


def test_clone_where_no_program_may_run_is_named(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_NOEXEC))
    with pytest.raises(HarnessError, match="noexec"):
        bootstrap.require_place()


def test_virtualenv_behind_a_link_is_left_alone(bootstrap: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    bootstrap.VENV.symlink_to(tmp_path / "other")
    with pytest.raises(HarnessError, match="expected a folder of this clone's own, got a link") as raised:
        bootstrap.set_up(print)
    assert raised.value.next_step == f"rm {bootstrap.VENV}, then make setup"


def test_clone_of_somebody_else_is_named(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(HarnessError, match=f"{bootstrap.ROOT}: expected a folder that you may write"):
        bootstrap.require_place()


def test_user_without_rights_is_told_all_packages_at_once(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Finished:
        return Finished(127, "", "not found")

    tools = [HostTool("one", ("one", "libone"), "", missing), HostTool("two", ("two",), "", missing)]
    monkeypatch.setattr(bootstrap, "HOST_TOOLS", tools)
    monkeypatch.setattr(packages, "may_install", lambda: False)
    monkeypatch.setenv("PATH", "/nothing")
    with pytest.raises(packages.MissingPackages, match=r"one libone two .*rustc-web") as raised:
        bootstrap.require_rights()
    assert "\n" not in raised.value.summary


def test_program_that_stands_alone_needs_no_rights(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = HostTool("one", ("one",), "", lambda: Finished(127, "", ""), stands_alone=True)
    monkeypatch.setattr(bootstrap, "HOST_TOOLS", [alone])
    monkeypatch.setattr(bootstrap, "can_unpack", lambda: True)
    monkeypatch.setattr(packages, "may_install", lambda: False)
    (bootstrap.VENV / "bin").mkdir(parents=True)
    bootstrap.require_rights()
    monkeypatch.setattr(bootstrap, "can_unpack", lambda: False)
    with pytest.raises(packages.MissingPackages, match="one"):
        bootstrap.require_rights()


@pytest.mark.parametrize("stands_alone", [True, False])
def test_packages_that_apt_refuses_are_unpacked_for_a_program_that_stands_alone(
    stands_alone: bool, bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise packages.MissingPackages("one", "package", detail="it would remove two", next_step="do")

    unpacked: list[tuple[object, ...]] = []
    said: list[str] = []
    tool = HostTool("one", ("package",), "", lambda: Finished(0, "", ""), stands_alone=stands_alone)
    monkeypatch.setattr(packages, "install", refuse)
    monkeypatch.setattr(bootstrap, "can_unpack", lambda: True)
    monkeypatch.setattr(bootstrap, "unpack", lambda *given, **_: unpacked.append(given))
    if not stands_alone:
        with pytest.raises(packages.MissingPackages, match="it would remove two"):
            bootstrap.bring(tool, said.append)
        assert not unpacked and not said
        return
    bootstrap.bring(tool, said.append)
    assert unpacked == [("one", ("package",), bootstrap.VENV / "one", bootstrap.VENV / "bin")]
    assert said == ["one: package: it would remove two: unpacking it in .venv instead"]


def test_tool_that_is_installed_but_does_not_work_is_named_with_its_words(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = HostTool("sh", ("dash",), "shell", lambda: Finished(1, "", "error: no libc"))
    monkeypatch.setattr(bootstrap, "HOST_TOOLS", [tool])
    monkeypatch.setattr(packages, "may_install", lambda: True)
    monkeypatch.setattr(packages, "install", lambda *_, **__: None)
    monkeypatch.setattr(bootstrap, "make_venv", lambda _: None)
    with pytest.raises(HarnessError, match=r"shell: /.*sh: expected one that works, got error: no libc"):
        bootstrap.set_up(print)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (PermissionError(13, "Permission denied", "/x"), 1, "set-up: [Errno 13] Permission denied: '/x'"),
        (HarnessError("set-up", "x", next_step="do"), 1, "set-up: x"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=["permission", "missing", "ctrl-c"],
)
def test_set_up_that_ends_early_says_one_line_and_what_to_do(
    error: BaseException,
    status: int,
    said: str,
    bootstrap: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(say: object) -> int:
        raise error

    monkeypatch.setattr(bootstrap, "set_up", fail)
    monkeypatch.setattr(sys, "argv", ["bootstrap.py"])
    assert bootstrap.main() == status
    first, second = capsys.readouterr().err.splitlines()
    assert first == said
    assert second.startswith("next: ")


def test_clone_that_cannot_be_locked_is_set_up_after_a_word(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", "wait", str(1 << 30)])
    assert bootstrap.main() == 0
    said, rest = capsys.readouterr().err.split(": ")
    assert said == "this clone cannot be locked (Bad file descriptor)"
    assert rest == "run no second set-up beside this one\n"


@pytest.mark.parametrize("lacks", ["", "cc", "virtualenv"])
def test_look_ends_well_only_where_nothing_is_missing(
    lacks: str, bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = HostTool("cc", ("gcc",), "C linker", lambda: Finished(int(lacks == "cc"), "", ""))
    monkeypatch.setattr(bootstrap, "HOST_TOOLS", [tool])
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", "look", *["ready"] * (lacks != "virtualenv")])
    assert bootstrap.main() == int(bool(lacks))
    out = capsys.readouterr().out
    assert out.count("MISSING") == out.count("next: ") == int(bool(lacks)) and lacks in out


def test_broken_connection_is_what_pip_failed_for(bootstrap: ModuleType) -> None:
    words = (
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'ProxyError('Cannot connect to proxy.'"
        ", NewConnectionError('<pip.Connection object at 0x7f>: Failed to establish one'))': /simple/click/\n"
        "ERROR: No matching distribution found for click\n"
    )
    why = bootstrap._why(Finished(1, "", words))
    assert why.startswith("no connection: 'ProxyError('Cannot connect to proxy.'")
    assert "0x7f" not in why and "Failed to establish" in why
    assert bootstrap._why(Finished(1, "", "ERROR: no luck\n")) == "ERROR: no luck"
