"""Collects the scripts of a folder as tests: `pytest corpus/`.

A file is one only when its first line says so; whoever has none does not notice this plug-in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from frame_harness.base.profiles import profiles_named
from frame_harness.frame_histories.script_files import is_script

if TYPE_CHECKING:
    from frame_harness.steering.replaying import ScriptReplayer

REPLAYER: pytest.StashKey[ScriptReplayer] = pytest.StashKey()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take a script; everything else is none of ours."""
    if not is_script(file_path):
        return None
    collector: pytest.Collector = ScriptFile.from_parent(parent, path=file_path)
    return collector


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the guests that scripts were played on."""
    if replayer := config.stash.get(REPLAYER, None):
        replayer.close()


class ScriptFile(pytest.File):
    """A script, played once on each machine and in each build that the options name; else on its own."""

    def collect(self) -> Iterator[pytest.Item]:
        machines = self.config.getoption("--machine") or [""]
        profile = self.config.getoption("--profile") or ""
        for machine in machines:
            for each in profiles_named(profile):
                name = "-".join(filter(None, (machine, each))) or "as-saved"
                yield ScriptItem.from_parent(self, name=name, machine=machine, profile=each)


class ScriptItem(pytest.Item):
    """One script on one build."""

    def __init__(self, *, machine: str, profile: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._machine, self._profile = machine, profile

    def runtest(self) -> None:
        from frame_harness.steering.replaying import ScriptReplayer  # noqa: PLC0415 - only where there is a script

        stash = self.config.stash
        if REPLAYER not in stash:
            stash[REPLAYER] = ScriptReplayer(self.config.getoption("--frame-rs"))
        stash[REPLAYER].replay(self.path, self._machine, self._profile)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """In the words of a finding, without the harness's own lines."""
        from frame_harness.base.errors import HarnessError  # noqa: PLC0415
        from frame_harness.steering.replaying import ScriptFailed  # noqa: PLC0415

        if isinstance(excinfo.value, HarnessError | ScriptFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.path.name} [{self.name}]"
