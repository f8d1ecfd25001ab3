"""Makes small git repositories, whatever the settings of the one who runs the tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATE = "2026-01-02T03:04:05+00:00"
_NOBODY_S = {
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0",
    "GIT_AUTHOR_DATE": DATE,
    "GIT_COMMITTER_DATE": DATE,
    **{f"GIT_{who}_NAME": "somebody" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "somebody@example.org" for who in ("AUTHOR", "COMMITTER")},
}  # fmt: skip


@dataclass(frozen=True)
class Repo:
    """A repository with a working tree."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Repo:
        """An empty one, on a branch `main`."""
        root.mkdir(parents=True, exist_ok=True)
        repo = cls(root)
        repo.git("init", "--quiet", "--initial-branch=main")
        return repo

    def tree(self, *entries: str) -> str:
        """The id of a tree that is made of lines of `git ls-tree`, whatever they name."""
        return self.git("mktree", given="".join(f"{entry}\n" for entry in entries))

    def git(self, *words: str | Path, given: str = "") -> str:
        """What git prints."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=environment | _NOBODY_S, capture_output=True,
            text=True, check=False, input=given,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return str(done.stdout).strip()

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the working tree."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def commit(self, subject: str, files: Mapping[str, str] | None = None) -> str:
        """Commit everything, after files were written; returns the id."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def state(self) -> tuple[str, ...]:
        """All that nobody but its owner may change."""
        index = self.root / ".git" / "index"
        return (
            self.git("status", "--porcelain"), self.git("rev-parse", "HEAD"), self.git("branch", "--all"),
            self.git("worktree", "list"), self.git("stash", "list"), self.git("for-each-ref"),
            str(index.stat().st_mtime_ns),
        )  # fmt: skip
