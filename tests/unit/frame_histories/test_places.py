"""Proves on which machines a script means the same."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from frame_harness.base.errors import UsageError
from frame_harness.cli.main import cli
from frame_harness.frame_histories.boot_configs import ISLANDS, WHOLE, require_same_memory
from frame_harness.frame_histories.commands import decode
from frame_harness.frame_histories.lockstep import BootConfig
from frame_harness.frame_histories.scripts import Script
from frame_harness.machine.definition import load_machine
from frame_harness.steering import replaying
from frame_harness.steering.replaying import ScriptReplayer

# `microvm` ends within the islands, so that its slot table, and what is free behind it, lie elsewhere.
ON_MICROVM = Script("microvm", "dev", ISLANDS, (decode("slot.mark_poisoned 0x1047000"),))


@pytest.mark.parametrize(
    ("made_on", "config", "played_on", "is_same"),
    [
        ("q35", WHOLE, "q35", True),
        ("q35", WHOLE, "pc", False),
        ("pc", ISLANDS, "q35", True),
        ("pc", ISLANDS, "q35-5g", True),
        ("microvm", ISLANDS, "q35", False),
        ("q35", ISLANDS, "microvm", False),
        ("nosuch", ISLANDS, "q35", False),
    ],
)
def test_a_script_is_played_where_its_addresses_mean_the_same(
    made_on: str, config: BootConfig, played_on: str, is_same: bool
) -> None:
    script = Script(made_on, "dev", config, (decode("alloc"),))
    if is_same:
        require_same_memory(script, load_machine(played_on), "s.txt")
    else:
        with pytest.raises(UsageError, match=f"expected one for {played_on}, got one for {made_on}"):
            require_same_memory(script, load_machine(played_on), "s.txt")


def test_a_machine_of_the_user_s_with_the_same_memory_plays_the_same(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('type = "q35"\nram = "32 MiB"\ncpu = "max"\nfirmware = "qboot"\n')
    script = Script("q35", "dev", WHOLE, (decode("alloc"),))
    require_same_memory(script, load_machine(tmp_path / "mine.toml"), "s.txt")


def test_a_machine_of_the_same_name_with_other_memory_is_noticed(tmp_path: Path) -> None:
    """Correct modules would break clauses there, as on a machine of another name."""
    mine = tmp_path / "q35.toml"
    mine.write_text('type = "q35"\nram = "64 MiB"\n')
    script = Script("q35", "dev", WHOLE, (decode("alloc"),), layout=load_machine("q35").layout)
    with pytest.raises(UsageError, match=r"expected one for q35 \(.* 67108864\), got one for q35 \("):
        require_same_memory(script, load_machine(mine), "s.txt")
    script = replace(script, layout=load_machine(mine).layout)
    require_same_memory(script, load_machine(mine), "s.txt")
    (tmp_path / "history-1.txt").write_text(script.text)
    with pytest.raises(
        pytest.skip.Exception, match=r"expected one for q35 .*, got one for q35 \(.* 67108864\)"
    ):
        ScriptReplayer(None).replay(tmp_path / "history-1.txt")


def test_a_script_of_other_memory_is_no_finding(tmp_path: Path) -> None:
    """A correct module would break ARRAY-03: the frame has no slot that anybody may write there."""
    file = tmp_path / "history-1.txt"
    file.write_text(ON_MICROVM.text)
    run = CliRunner().invoke(cli, ["replay", str(file), "--machine", "q35"], env={"FRAME_RS": ""})
    assert isinstance(run.exception, UsageError)
    with pytest.raises(pytest.skip.Exception, match="expected one for q35, got one for microvm"):
        ScriptReplayer(None).replay(file, "q35")


def test_two_machines_of_one_name_have_a_guest_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what is told of the second one would be what the first one does."""
    files = [tmp_path / folder / "mine.toml" for folder in "ab"]
    for file, cpu in zip(files, ("max", "qemu64"), strict=True):
        file.parent.mkdir()
        file.write_text(f'type = "q35"\nram = "32 MiB"\ncpu = "{cpu}"\nfirmware = "qboot"\n')
    script = tmp_path / "history-1.txt"
    script.write_text(Script("q35", "dev", WHOLE, (decode("alloc"),)).text)
    monkeypatch.setattr(replaying, "build", lambda *_: None)
    monkeypatch.setattr(replaying, "OwnHost", lambda _, machine: machine)
    monkeypatch.setattr(
        replaying, "Lockstep", lambda host, _: nullcontext(SimpleNamespace(host=host, without_verdict=False))
    )
    played: list[str] = []
    monkeypatch.setattr(replaying, "play_script", lambda guest, *_: played.append(guest.host.cpu))
    replayer = ScriptReplayer(None)
    for file in (*files, files[0]):
        replayer.replay(script, str(file))
    assert played == ["max", "qemu64", "max"]
