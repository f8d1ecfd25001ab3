"""Reads a repository through git, and changes nothing in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from frame_harness.base.errors import HarnessError, MissingToolError, UsageError

_ANOTHER_REPOSITORY: Final = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_CEILING_DIRECTORIES",
    "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_LITERAL_PATHSPECS",
)  # fmt: skip
"""Variables that a hook or a shell may have set, and that would lead git elsewhere."""
_SETTINGS: Final = ("-c", "log.showSignature=false", "-c", "log.follow=false", "-c", "core.quotePath=false")


class GitError(HarnessError):
    """Git could not read what it was asked for."""


@dataclass(frozen=True)
class GitCommit:
    """One commit; `date` is the author's, as YYYY-MM-DD."""

    id: str
    short: str
    date: str
    subject: str
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Repository:
    """A repository with a working tree; `root` is the top folder of that."""

    root: Path

    @classmethod
    def around(cls, folder: Path) -> Repository:
        """Return the repository that a folder lies in.

        Raises:
            UsageError: it lies in none, or git may not read it.
            MissingToolError: there is no git.
        """
        done = _git(folder, "rev-parse", "--show-toplevel")
        if done.returncode != 0:
            raise UsageError(
                "repository", str(folder), expected="a folder in a git repository", actual=_said(done),
                next_step="name a tree in a clone of the kernel",
            )  # fmt: skip
        return cls(Path(_text(done.stdout).rstrip("\n")).resolve())

    def path_of(self, folder: Path) -> str:
        """Return how git calls a folder: relative to the root, with slashes; the root itself is empty."""
        path = folder.resolve().relative_to(self.root).as_posix()
        return "" if path == "." else path

    def id_of(self, name: str) -> str | None:
        """Return the id of the commit that a name stands for: an id, a tag, `HEAD~20`; None without any."""
        done = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return _text(done.stdout).strip() if done.returncode == 0 else None

    @property
    def shallow(self) -> bool:
        """Whether the clone was made without the older part of its history."""
        return _text(self._run("rev-parse", "--is-shallow-repository").stdout).strip() == "true"

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Tell whether a commit is part of the history of another one, or the same."""
        return self._run("merge-base", "--is-ancestor", older, newer).returncode == 0

    def commits(self, *revisions: str) -> tuple[GitCommit, ...]:
        """Return the commits that `git log` lists for some revisions, newest first.

        Raises:
            GitError: git cannot read them.
        """
        # A subject is one line: it holds no NUL and no line break.
        out = self._out("log", "--no-color", "--format=%H%x00%h%x00%as%x00%P%x00%s", *revisions, "--")
        return tuple(_commit(line) for line in _text(out).split("\n") if line)

    def trees(self, commits: Sequence[str], folder: str) -> Mapping[str, str]:
        """Return by commit the id of what a folder holds in it; a commit without the folder has none."""
        asked = "".join(f"{commit}:{folder}\n" for commit in commits)
        out = self._out("cat-file", "--batch-check=%(objecttype) %(objectname)", given=asked.encode())
        answers = (line.partition(" ") for line in _text(out).splitlines())
        pairs = zip(commits, answers, strict=True)
        return {commit: id_ for commit, (kind, _, id_) in pairs if kind == "tree"}

    def files(self, commit: str, folder: str = "") -> tuple[str, ...]:
        """Return the paths of all files of a commit below a folder, links included, submodules not.

        Raises:
            GitError: git cannot read them.
        """
        # --full-tree: the folder is one of the repository's, wherever git was started.
        out = self._out("ls-tree", "-r", "-z", "--full-tree", commit, *([f"{folder}/"] if folder else []))
        entries = (entry.partition("\t") for entry in os.fsdecode(out).split("\0") if entry)
        return tuple(path for facts, _, path in entries if " blob " in facts)

    def contents(self, commit: str, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return what files hold in a commit; a link in the repository stands for what it leads to.

        What git cannot give is left out: a link that leads outside, an object that a clone lacks.

        Raises:
            GitError: git cannot read at all.
        """
        wanted = [path for path in paths if "\n" not in path]
        asked = "".join(f"{commit}:{path}\n" for path in wanted)
        out = self._out("cat-file", "--batch", "--follow-symlinks", given=os.fsencode(asked))
        return dict(_batch(out, wanted))

    def changed(self, folder: str) -> bool:
        """Tell whether Rust files below a folder are not as they were committed."""
        out = self._out("status", "--porcelain", "--", f":(top,glob){PurePosixPath(folder, '**/*.rs')}")
        return bool(out.strip())

    def _run(self, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return _git(self.root, *words, given=given)

    def _out(self, *words: str, given: bytes = b"") -> bytes:
        done = self._run(*words, given=given)
        if done.returncode != 0:
            raise GitError("git", words[0], detail=_said(done), next_step=f"see what git says in {self.root}")
        return done.stdout


def _git(folder: Path, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # Git renews its index beside many a question; this one belongs to somebody else.
    environment = {name: value for name, value in os.environ.items() if name not in _ANOTHER_REPOSITORY}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8", "GIT_PAGER": "cat"}
    try:
        return subprocess.run(
            ["git", *_SETTINGS, *words], cwd=folder, env=environment, input=given, capture_output=True,
            check=False,
        )  # fmt: skip
    except OSError as error:  # also one that may not be executed
        nothing = isinstance(error, FileNotFoundError)
        raise MissingToolError(
            "git", expected="the program", actual="nothing in PATH" if nothing else error.strerror,
            next_step="install git",
        ) from error  # fmt: skip


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = [line.strip() for line in _text(done.stderr).splitlines() if line.strip()]
    return lines[0].removeprefix("fatal: ") if lines else f"exit status {done.returncode}"


def _commit(line: str) -> GitCommit:
    id_, short, date, parents, subject = line.split("\0")
    return GitCommit(id_, short, date, subject, tuple(parents.split()))


def _batch(out: bytes, paths: Sequence[str]) -> Iterable[tuple[str, bytes]]:
    """Take the answers of `git cat-file --batch` apart.

    `<id> blob <bytes>`, the content, a line break; `<name> missing`; for a link that leads to no file of the
    commit `dangling|loop|notdir|symlink <bytes>`, the path, a line break.
    """
    at = 0
    for path in paths:
        end = out.index(b"\n", at)
        words = out[at:end].split(b" ")
        at = end + 1
        if words[-1] == b"missing":
            continue
        size = int(words[-1])
        if len(words) == 3 and words[1] == b"blob":
            yield path, out[at : at + size]
        at += size + 1
