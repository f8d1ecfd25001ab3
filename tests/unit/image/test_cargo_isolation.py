"""Nothing outside of the project changes what is compiled; the mirrors of a user go on working."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from frame_harness.base import resources
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image import Toolchain, cargo, cargo_config, find_toolchain
from frame_harness.image.build import build
from frame_harness.image.compiler import TARGET
from frame_harness.image.errors import CargoConfigError
from frame_harness.image.isolation import ROOT, environment

# Every table by which cargo's reference lets a file change what is compiled.
FORGED = {
    "profile": "[profile.dev]\ndebug-assertions = false\n[profile.release]\nopt-level = 0\n",
    "package": "[profile.dev.package.kernel_shim]\noverflow-checks = false\n",
    "build": '[build]\nrustflags = ["-Cdebug-assertions=off"]\nrustc-wrapper = "forged"\nrustc = "forged"\n',
    "target": '[target.x86_64-unknown-none]\nrustflags = ["-Ctarget-cpu=native"]\nlinker = "forged"\n',
    "cfg": "[target.'cfg(all())']\nrustflags = [\"-Copt-level=0\"]\n",
    "env": '[env]\nFRAME_RS = { value = "/forged.rs", force = true }\nRUSTC_BOOTSTRAP = "1"\n',
    "unstable": '[unstable]\nbuild-std = ["core"]\nprofile-rustflags = true\n',
    "patch": '[patch.crates-io]\nspin = { path = "forged" }\n',
    "paths": 'paths = ["forged"]\n',
    "include": 'include = ["more.toml"]\n',
}
MIRROR = '[source.crates-io]\nreplace-with = "mirror"\n[source.mirror]\ndirectory = "vendor"\n'
VARIABLES = {
    "RUSTFLAGS": "-Cdebug-assertions=off", "RUSTDOCFLAGS": "-Cforged", "CARGO_ENCODED_RUSTFLAGS": "-Cforged",
    "RUSTC": "/forged/rustc", "RUSTC_WRAPPER": "/forged/wrap", "RUSTC_WORKSPACE_WRAPPER": "/forged/wrap",
    "RUSTC_BOOTSTRAP": "kernel_shim", "RUSTC_LINKER": "forged", "RUSTC_FORCE_RUSTC_VERSION": "forged",
    "CARGO_BUILD_RUSTC_WRAPPER": "/forged/wrapper", "CARGO_BUILD_RUSTFLAGS": "-Cforged",
    "CARGO_BUILD_TARGET": "forged", "CARGO_BUILD_BUILD_DIR": "/forged", "CARGO_TARGET_DIR": "/forged",
    "CARGO_TARGET_X86_64_UNKNOWN_NONE_RUSTFLAGS": "-Ctarget-cpu=native", "CARGO_INCREMENTAL": "0",
    "CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER": "forged", "CARGO_PROFILE_DEV_DEBUG_ASSERTIONS": "false",
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0", "CARGO_UNSTABLE_BUILD_STD": "core", "CARGO": "/forged/cargo",
    "__CARGO_TEST_ROOT": "/forged", "__CARGO_TESTS_ONLY_SRC_ROOT": "/forged", "LD_PRELOAD": "",
    "LD_LIBRARY_PATH": "/forged", "SOURCE_DATE_EPOCH": "1", "FRAME_RS": "/forged/frame.rs",
    "FRAME_HARNESS_BUILD": "forged", "FRAME_HARNESS_LACKS": "forged", "FRAME_HARNESS_PARTS": "forged",
    "OPT_LEVEL": "0", "PROFILE": "forged", "SYSROOT": "/forged",
    "GCC_EXEC_PREFIX": "/forged", "COMPILER_PATH": "/forged", "LIBRARY_PATH": "/forged", "LDFLAGS": "-forged",
}  # fmt: skip
USERS_OWN = {
    "HTTPS_PROXY": "http://proxy.test:1", "no_proxy": "localhost", "CARGO_HTTP_MULTIPLEXING": "false",
    "CARGO_NET_OFFLINE": "false", "CARGO_REGISTRIES_MINE_TOKEN": "secret",
    "SSL_CERT_FILE": "/etc/ssl/cert.pem",
    "GIT_SSH_COMMAND": "ssh -v", "SSH_AUTH_SOCK": "/run/agent",
}  # fmt: skip

Place = Callable[[str], None]


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return find_toolchain()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone's shim with a parent folder of its own, and a home of its own for cargo."""
    shim = tmp_path / "parent" / "clone" / "kernel_shim"
    shutil.copytree(resources.shim_dir(), shim, ignore=shutil.ignore_patterns("target"))
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(resources, "shim_dir", lambda: shim)
    return shim


def write(folder: Path, text: str, name: str = "config.toml") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    (folder / "more.toml").write_text(FORGED["profile"] + "[http]\ntimeout = 7\n", encoding="utf-8")


@pytest.fixture(params=["parent of the clone", "clone", "shim", "current folder", "home of cargo"])
def place(
    request: pytest.FixtureRequest, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder in which cargo looks for its configuration."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return {
        "parent of the clone": clone.parents[1] / ".cargo",
        "clone": clone.parent / ".cargo",
        "shim": clone / ".cargo",
        "current folder": tmp_path / "here" / ".cargo",
        "home of cargo": tmp_path / "home",
    }[str(request.param)]


def order(toolchain: Toolchain) -> cargo.Invocation:
    return cargo.image_invocation(frame_module(), "dev", toolchain)


def seen_by_cargo(toolchain: Toolchain, told: cargo.Invocation) -> dict[str, Any]:
    """Ask cargo itself for the configuration that it obeys when it is run like this."""
    told.home.make()
    env = environment() | told.settings
    # A stable cargo shows its configuration only to who claims to be working on it.
    env |= {"CARGO_HOME": str(told.home.path), "RUSTC_BOOTSTRAP": "1"}
    argv = [str(toolchain.cargo), "-Zunstable-options", "config", "get", "--format=json"]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.mark.parametrize("name", ["config", "config.toml"])
def test_no_configuration_of_another_project_reaches_cargo(
    place: Path, name: str, toolchain: Toolchain
) -> None:
    before = order(toolchain)
    mine = place == resources.shim_dir() / ".cargo"
    for text in FORGED.values():
        if mine and name == "config.toml":
            continue  # the shim's own, which is a source of the build
        write(place, text, name)
        after = order(toolchain)
        assert set(seen_by_cargo(toolchain, after)) <= cargo_config.SOURCES | {"build", "term"}, text
        if "include" not in text:
            assert after.told == before.told, text
    seen = seen_by_cargo(toolchain, order(toolchain))
    # What the harness sets by variables is shown there, too.
    assert set(seen.get("build", {})) <= {"rustc", "rustc-wrapper", "rustc-workspace-wrapper"}


@pytest.mark.parametrize("place", ["parent of the clone", "clone", "home of cargo"], indirect=True)
def test_mirrors_of_the_user_reach_cargo(place: Path, toolchain: Toolchain) -> None:
    write(place, MIRROR + FORGED["profile"] + '[http]\ncainfo = "ca.pem"\n')
    seen = seen_by_cargo(toolchain, order(toolchain))
    assert seen["source"]["crates-io"]["replace-with"] == "mirror"
    assert seen["source"]["mirror"]["directory"] == str(place.parent / "vendor")
    assert seen["http"]["cainfo"] == str(place.parent / "ca.pem")
    assert "profile" not in seen


def test_configuration_is_merged_as_cargo_merges_it(
    clone: Path, tmp_path: Path, toolchain: Toolchain
) -> None:
    own_list = '[registry]\nglobal-credential-providers = ["bin/near --x"]\n'
    write(clone.parent / ".cargo", own_list + '[http]\ntimeout = 1\nproxy = "near"\n')
    far_list = '[registry]\nglobal-credential-providers = ["cargo:token", "bin/far"]\n'
    write(tmp_path / "home", 'include = "more.toml"\n' + far_list + '[http]\nproxy = "far"\n')
    (tmp_path / "home" / "more.toml").write_text('[http]\nproxy = "further"\nuser-agent = "me"\n')
    seen = seen_by_cargo(toolchain, order(toolchain))
    assert seen["http"] == {"proxy": "near", "timeout": 1, "user-agent": "me"}
    listed = seen["registry"]["global-credential-providers"]
    assert listed == ["cargo:token", f"{tmp_path}/bin/far", f"{clone.parent}/bin/near --x"]


def test_no_variable_that_is_not_named_reaches_cargo_or_the_compiler(
    monkeypatch: pytest.MonkeyPatch, toolchain: Toolchain, tmp_path: Path
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = order(toolchain)
    for name, value in (VARIABLES | USERS_OWN).items():
        monkeypatch.setenv(name, value)
    after = order(toolchain)
    assert after.told == before.told
    recorder = tmp_path / "cargo"
    recorder.write_text(f'#!/bin/sh\nenv -0 > "{tmp_path}/env"\npwd > "{tmp_path}/cwd"\n')
    recorder.chmod(0o755)
    cargo.Invocation((str(recorder),), after.settings, after.home, toolchain).run(what="recording")
    entries = (tmp_path / "env").read_text().split("\0")
    env = dict(entry.split("=", 1) for entry in entries if entry)
    assert {name: env.get(name) for name in USERS_OWN} == USERS_OWN
    set_here = {"RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS"}
    set_here |= {"FRAME_HARNESS_BUILD", "FRAME_HARNESS_LACKS", "FRAME_HARNESS_PARTS"}
    assert set(env) & set(VARIABLES) <= set_here | set(dict(toolchain.env))
    assert not [name for name, value in env.items() if "forged" in value.lower()]
    assert env["RUSTC"] == str(toolchain.rustc)
    assert not env.keys() & {"RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"}


def test_no_wrapper_of_the_compiler_is_named_where_a_file_may_name_one(toolchain: Toolchain) -> None:
    home = order(toolchain).home
    set_here = cargo.settings(toolchain, replace(home, at_root="include = ['more.toml']"))
    assert set_here["RUSTC_WRAPPER"] == set_here["RUSTC_WORKSPACE_WRAPPER"] == ""


def test_everything_that_is_told_is_in_the_key(clone: Path, tmp_path: Path, toolchain: Toolchain) -> None:
    def told(profile: str = "dev") -> str:
        return cargo.image_invocation(frame_module(), profile, toolchain).told

    whole = cargo.image_invocation(frame_module(), "dev", toolchain)
    assert whole.lacking(["MetaSlot"]).told != whole.told
    first = told()
    write(tmp_path / "home", MIRROR)
    mirrored = told()
    config = clone / ".cargo" / "config.toml"
    config.write_text(config.read_text().replace("static", "pic"))
    flags = told()
    assert len({first, mirrored, flags, told("release")}) == 4


@pytest.mark.parametrize(
    ("text", "refused"),
    [(MIRROR + "[alias]\nb = 'build'\n", ""), *((text, name) for name, text in FORGED.items())],
)
def test_file_that_cargo_reads_wherever_it_runs_may_only_name_mirrors(
    tmp_path: Path, text: str, refused: str
) -> None:
    write(tmp_path / ".cargo", text)
    if not refused:
        assert cargo_config.check_root(tmp_path) == text
        return
    with pytest.raises(CargoConfigError, match="may change what is compiled") as raised:
        cargo_config.check_root(tmp_path)
    assert str(tmp_path / ".cargo" / "config.toml") in raised.value.summary
    assert "next: " in str(raised.value)


@pytest.mark.parametrize("text", [b"[http", b"\xff\xfe"])
def test_damaged_configuration_is_one_clear_error(clone: Path, toolchain: Toolchain, text: bytes) -> None:
    file = clone.parents[1] / ".cargo" / "config.toml"
    file.parent.mkdir()
    file.write_bytes(text)
    with pytest.raises(CargoConfigError, match="expected a file in TOML") as raised:
        order(toolchain)
    assert str(file) in raised.value.summary
    assert "\n" not in raised.value.summary


def test_downloads_locks_and_keys_are_the_users_own(
    clone: Path, tmp_path: Path, toolchain: Toolchain
) -> None:
    home = tmp_path / "home"
    write(home, "")
    (home / "credentials.toml").write_text("[registries.mine]\ntoken = 'secret'\n")
    told = order(toolchain)
    told.home.make()
    told.home.make()
    ours = told.home.path
    for name in ("registry", "git", "credentials.toml"):
        assert (ours / name).resolve() == home / name
    (ours / ".package-cache").touch()  # as cargo does, through a link to what is not there
    assert (home / ".package-cache").is_file()
    assert (ours / "config.toml").stat().st_mode & 0o077 == 0
    shutil.rmtree(ours)
    assert (home / "registry").is_dir()


def test_home_of_cargo_that_cannot_be_written_is_done_without(
    clone: Path, tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "file" / "home"))  # nothing can be made there
    told = order(toolchain)
    told.home.make()
    assert [file.name for file in told.home.path.iterdir()] == ["config.toml"]


@pytest.mark.slow
def test_build_among_forged_settings_is_the_same_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toolchain: Toolchain
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    users = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    (home / "registry").symlink_to(users / "registry")
    monkeypatch.setenv("CARGO_HOME", str(home))
    subject = frame_module(shutil.copy(frame_module().path, tmp_path / "frame.rs"))
    plain = build(subject, "dev", toolchain=toolchain)
    for note in (resources.build_dir() / "notes").iterdir():
        if plain.sha256 in note.read_text():
            note.unlink()
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    write(
        home,
        "".join(FORGED[name] for name in ("profile", "package", "build", "target", "cfg", "env", "unstable")),
    )
    assert build(subject, "dev", toolchain=toolchain).sha256 == plain.sha256


def test_part_of_the_shim_that_changed_with_an_old_time_stamp_is_compiled_again(
    clone: Path, tmp_path: Path, toolchain: Toolchain
) -> None:
    order = cargo.invocation(
        "check", clone / "Cargo.toml", TARGET, tmp_path / "target", toolchain, "--package=shim_parts",
        *toolchain.cargo_args,
    )  # fmt: skip
    assert order.run(what="checking the parts").status == 0
    assert (tmp_path / "target" / ".rustc_info.json").is_file(), "cargo asks the compiler in each run"
    changed = clone / "parts" / "random.rs"
    changed.write_text("no Rust", encoding="utf-8")
    os.utime(changed, (1, 1))
    assert "no Rust" in order.run(what="checking the parts").err
