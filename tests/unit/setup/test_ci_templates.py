"""The action for GitHub and the template for GitLab do what they say, with a harness that notes its words."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from frame_harness.cli.main import cli
from frame_harness.judge.exit_codes import ExitCode

ROOT = Path(__file__).resolve().parents[3]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
GITLAB: dict[str, Any] = yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text(encoding="utf-8"))
JOB: dict[str, Any] = GITLAB[".judge-kernel"]
WORKFLOW: dict[str, Any] = yaml.safe_load(
    (ROOT / ".github" / "workflows" / "judge-your-kernel.yml").read_text(encoding="utf-8")
)
HARNESS = """#!/bin/sh
printf '%s\\n' "$@" > "$SAID"
echo sarif > "$REPORTS/report.sarif"
exit "$STATUS"
"""
NOTES_ITSELF = '#!/bin/sh\necho "$(basename "$0") $*" >> "$SAID"\n'
REPORTS = ("--json", "--junit", "--sarif", "--code-quality", "--html", "--out")


def shell_lines() -> Iterator[tuple[str, str]]:
    """Each script with its name."""
    for step in STEPS:
        if "run" in step:
            yield step["name"], step["run"]
    for part in ("before_script", "script"):
        yield part, "\n".join(JOB[part])
    yield "judge.sh", (ROOT / "ci" / "judge.sh").read_text(encoding="utf-8")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with the script, and with a harness that writes down what it is asked."""
    folder = tmp_path / "a clone"
    program = folder / ".venv" / "bin" / "frame-harness"
    program.parent.mkdir(parents=True)
    program.write_text(HARNESS)
    program.chmod(0o755)
    (folder / "ci").mkdir()
    (folder / "ci" / "judge.sh").write_bytes((ROOT / "ci" / "judge.sh").read_bytes())
    return folder


def run(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"], "SAID": str(folder / "said"), "STATUS": "0",
        "REPORTS": str(folder / "the reports"), "GITHUB_OUTPUT": str(folder / "output"), "FRAME_RS": "f.rs",
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script], env=environment | variables, text=True,
        capture_output=True, check=False, cwd=folder,
    )  # fmt: skip


def said(folder: Path) -> list[str]:
    return (folder / "said").read_text().splitlines()


def step(name: str) -> dict[str, Any]:
    [found] = [one for one in STEPS if one["name"] == name]
    return found


@pytest.mark.parametrize(("name", "script"), list(shell_lines()), ids=lambda value: value[:20])
def test_script_is_one_to_the_shell(name: str, script: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("script", [script for _, script in shell_lines()], ids=lambda value: value[:20])
def test_no_word_of_a_user_is_put_into_a_script(script: str) -> None:
    assert "${{" not in script


def test_every_input_is_used_and_every_name_that_is_used_exists() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    ids = {one["id"] for one in STEPS if "id" in one}
    assert set(re.findall(r"steps\.([\w-]+)\.", text)) == ids
    written = set(re.findall(r'echo "(\w+)=', step("Judge")["run"]))
    assert set(re.findall(r"steps\.judge\.outputs\.([\w-]+)", text)) == written


def test_example_uses_the_action_with_inputs_that_it_has() -> None:
    [job] = WORKFLOW["jobs"].values()
    [uses] = [one for one in job["steps"] if one["uses"] == "./"]
    assert set(uses["with"]) <= set(ACTION["inputs"])
    assert WORKFLOW["permissions"]["security-events"] == "write"


@pytest.mark.parametrize("status", ["0", "1", "3", "130"])
def test_status_of_the_step_is_that_of_the_verdict(clone: Path, status: str) -> None:
    done = run(step("Judge")["run"], clone, GITHUB_ACTION_PATH=str(clone), STATUS=status)
    assert done.returncode == int(status), done.stderr
    outputs = dict(line.split("=", 1) for line in (clone / "output").read_text().splitlines())
    reports = clone / "the reports"
    assert outputs == {"reports": str(reports), "status": status, "sarif": str(reports / "report.sarif")}


def test_what_uploads_reports_runs_after_a_finding_too() -> None:
    later = STEPS[STEPS.index(step("Judge")) + 1 :]
    assert len(later) == 3 and all(one["if"].startswith("always() && ") for one in later)


def test_harness_is_asked_for_options_that_it_has(clone: Path) -> None:
    done = run(
        'sh "ci/judge.sh"', clone, PROFILE="release", SELECT="REF or GUARD", BASELINE="known findings.toml"
    )
    assert done.returncode == 0, done.stderr
    words = said(clone)
    assert words[words.index("-k") + 1] == "REF or GUARD"
    assert words[words.index("--baseline") + 1] == "known findings.toml"
    known = {name for option in cli.commands["check"].params for name in option.opts}
    named = {word for word in words if word.startswith("-")}
    assert named == {*REPORTS, "--profile", "-k", "--baseline"}
    assert named <= known
    files = [words[words.index(name) + 1] for name in REPORTS]
    assert len(set(files)) == len(REPORTS)
    assert {str(Path(file).parent) for file in files} == {str(clone / "the reports")}


def test_nothing_is_asked_that_nobody_said(clone: Path) -> None:
    assert run('sh "ci/judge.sh"', clone, PROFILE="", SELECT="", BASELINE="").returncode == 0
    assert not {"--profile", "-k", "--baseline"} & set(said(clone))


def test_kernel_that_nobody_named_is_no_pass_of_the_built_in_module(clone: Path) -> None:
    done = run('sh "ci/judge.sh"', clone, FRAME_RS="", KERNEL_SRC="")
    assert done.returncode == ExitCode.USAGE and "expected a path in FRAME_RS or KERNEL_SRC" in done.stderr
    assert not (clone / "said").exists()
    assert run('sh "ci/judge.sh"', clone, FRAME_RS="", KERNEL_SRC="src").returncode == 0


def test_script_without_a_folder_for_reports_is_no_pass(clone: Path) -> None:
    done = run("unset REPORTS; sh ci/judge.sh", clone)
    assert done.returncode != 0 and "names the folder for the reports" in done.stderr


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Programs that write down how they are called."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sudo", "apt-get", "make", "git"):
        (folder / name).write_text(NOTES_ITSELF)
        (folder / name).chmod(0o755)
    for name in ("sh", "basename", "echo", "bash"):
        (folder / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    return folder


def test_set_up_installs_qemu_and_makes_the_clone_ready(clone: Path, tools: Path) -> None:
    done = run(step("Set up")["run"], clone, PATH=str(tools), GITHUB_ACTION_PATH="/the action")
    assert done.returncode == 0, done.stderr
    assert said(clone) == [
        "sudo apt-get update",
        "sudo apt-get install -y --no-install-recommends qemu-system-x86",
        "make -C /the action setup",
    ]


def test_gitlab_s_job_clones_the_harness_that_it_is_told(clone: Path, tools: Path) -> None:
    before = "\n".join(JOB["before_script"])
    refused = run(before, clone, PATH=str(tools), FRAME_HARNESS_REF="v1", FRAME_HARNESS_REPOSITORY="")
    assert refused.returncode != 0 and "names the harness" in refused.stderr
    (clone / "said").unlink()
    done = run(
        before, clone, PATH=str(tools), FRAME_HARNESS_REF="v1", FRAME_HARNESS_REPOSITORY="https://x/h.git"
    )
    assert done.returncode == 0, done.stderr
    assert said(clone)[2:] == [
        "git clone --depth 1 --branch v1 https://x/h.git /opt/frame-harness",
        "make -C /opt/frame-harness setup",
    ]


def test_gitlab_s_job_keeps_the_reports_that_the_script_writes(clone: Path) -> None:
    folder = JOB["variables"]["REPORTS"].removeprefix("$CI_PROJECT_DIR/")
    assert f"{folder}/" in JOB["artifacts"]["paths"] and JOB["artifacts"]["when"] == "always"
    assert run('sh "ci/judge.sh"', clone).returncode == 0
    written = {Path(word).name for word in said(clone) if word.startswith("/")}
    assert {Path(file).name for file in JOB["artifacts"]["reports"].values()} <= written
    assert all(Path(file).parent.name == folder for file in JOB["artifacts"]["reports"].values())


def test_gitlab_s_variables_are_those_that_the_script_reads() -> None:
    text = (ROOT / "ci" / "judge.sh").read_text(encoding="utf-8")
    of_the_clone = {"FRAME_HARNESS_REPOSITORY", "FRAME_HARNESS_REF", "FRAME_HARNESS_CACHE"}
    for name in set(JOB["variables"]) - of_the_clone:
        assert name in text
    [judge] = [one for one in STEPS if one.get("id") == "judge"]
    assert set(judge["env"]) - {"FRAME_HARNESS_CACHE"} == set(JOB["variables"]) - of_the_clone
