"""The versions of a memory core in its repository's history, and how one is taken out of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from frame_harness.base.commands import Say
from frame_harness.base.disk import writing
from frame_harness.base.errors import UsageError
from frame_harness.base.git import GitCommit, Repository
from frame_harness.base.resources import build_dir
from frame_harness.image import cache_limit, store
from frame_harness.image.subject import Subject
from frame_harness.judge.origin import Commit
from frame_harness.memory_core.tree import FOLDER, NEEDED, core_in

WORKING_TREE: Final = Commit()
VERSIONS: Final = "versions"
"""The folder of the build folder in which versions lie while they are needed."""


class NoCore(Exception):
    """A version that cannot be taken out, with the reason as its text."""


@dataclass(frozen=True)
class Version:
    """What the core's folder held at some time."""

    commit: Commit
    folder: str
    """In the repository, at that time."""
    content: str
    """Equal for two versions that hold the same; empty where there was no core."""


@dataclass(frozen=True)
class Lineage:
    """The versions that led to a core as it is now, oldest first; each follows from the one before."""

    repository: Repository
    core: Path
    """Its folder now."""
    versions: tuple[Version, ...]
    notes: tuple[str, ...] = ()
    """What a reader of the answers has to know."""

    @property
    def newest(self) -> Version:
        """The one that lies in `core`."""
        return self.versions[-1]


def lineage_of(core: Path, since: str) -> Lineage:
    """Find the versions of a core from a commit on.

    Where a merge holds the same core as one of its parents, that parent's line is followed, as `git log`
    does: the core came from there. Where it holds another one, the merge itself is a version, and its first
    parent comes before it. So each step of the line is one that somebody made, and changes the core.

    Raises:
        UsageError: there is no such history; says what is wrong.
        GitError, MissingToolError: git is not there, or cannot read it.
    """
    repository = Repository.around(core)
    start, head = _ends(repository, since)
    folder = repository.path_of(core)
    changed = repository.changed(folder)
    if not changed and head not in repository.trees([head], folder):
        raise UsageError(
            "--since", since, expected=f"{folder} in the commit HEAD", actual="nothing: git does not know it",
            next_step="commit the tree first",
        )  # fmt: skip
    commits = {commit.id: commit for commit in repository.commits(f"{start}..{head}")}
    walk = _Walk(repository, commits, folder)
    versions = list(walk.back_from(head))
    oldest, note = walk.oldest(start, since)
    versions = [oldest, *reversed(versions)]
    if changed:
        versions.append(Version(WORKING_TREE, folder, "working tree"))
    if len(versions) == 1:
        raise UsageError(
            "--since", since, expected=f"a commit before one that touches {folder}",
            actual="no commit after it does", next_step="name an older commit",
        )  # fmt: skip
    return Lineage(repository, core, tuple(versions), tuple(filter(None, (*walk.notes, note))))


def _ends(repository: Repository, since: str) -> tuple[str, str]:
    """The commits from and to which to look."""
    head, start = repository.id_of("HEAD"), repository.id_of(since)
    if head is None:
        raise UsageError(
            "--since",
            since,
            detail=f"{repository.root} has no commit yet",
            next_step="commit the sources first",
        )
    hint = ", or get the rest of a shallow clone: git fetch --unshallow" if repository.shallow else ""
    if start is None:
        raise UsageError(
            "--since", since, expected=f"a commit of {repository.root}", actual="none that git knows",
            next_step=f"name an id, a tag or HEAD~20{hint}",
        )  # fmt: skip
    if not repository.is_ancestor(start, head):
        raise UsageError(
            "--since", since, expected="a commit that led to HEAD", actual="one of another branch",
            next_step=f"name `$(git merge-base {since} HEAD)`{hint}",
        )  # fmt: skip
    return start, head


class _Walk:
    """Goes from a commit back to the first one that is not among the given ones."""

    def __init__(self, repository: Repository, commits: Mapping[str, GitCommit], folder: str) -> None:
        self._repository, self._commits, self._folder = repository, commits, folder
        self._end = ""
        self.notes: list[str] = []
        asked = {*commits, *(parent for commit in commits.values() for parent in commit.parents)}
        self._asked = sorted(asked)
        self._trees = repository.trees(self._asked, folder)

    def back_from(self, at: str) -> Iterator[Version]:
        """Every commit that changed the core, newest first."""
        while (commit := self._commits.get(at)) is not None:
            tree = self._trees.get(at)
            before = next((one for one in commit.parents if self._trees.get(one) == tree), None)
            if before is None:
                yield Version(_commit(commit), self._folder, tree or "")
                before = commit.parents[0] if commit.parents else ""
                self._follow_a_move(before, commit)
            at = before
        self._end = at

    def oldest(self, start: str, since: str) -> tuple[Version, str]:
        """The version before all that were found, with a note where it is another commit's."""
        at = self._end or start
        trees, note = self._repository.trees([at, start], self._folder), ""
        if trees.get(at) == trees.get(start):
            at = start
        [commit] = self._repository.commits("--no-walk", at)
        if at != start:
            note = (
                f"the core came past {since} by a merge: {commit.short}, before it, is the oldest looked at"
            )
        return Version(_commit(commit), self._folder, trees.get(at, "")), note

    def _follow_a_move(self, before: str, commit: GitCommit) -> None:
        """Look for the core at another place where it lay in no such folder before."""
        if not before or before in self._trees:
            return
        files = set(self._repository.files(before))
        folders = {str(PurePosixPath(file).parent) for file in files}
        cores = [one for one in sorted(folders) if _is_core(one, files)]
        if len(cores) == 1:
            self.notes.append(f"the core lay in {cores[0]} before {commit.short}")
            self._folder = cores[0]
            self._trees = self._repository.trees(self._asked, self._folder)


def _is_core(folder: str, files: set[str]) -> bool:
    return PurePosixPath(folder).name == FOLDER and all(f"{folder}/{name}" in files for name in NEEDED)


def _commit(commit: GitCommit) -> Commit:
    return Commit(
        id=commit.id, short=commit.short, date=commit.date, subject=commit.subject,
        merge=len(commit.parents) > 1,
    )  # fmt: skip


class Sources:
    """Takes versions out of a repository; each lies in a folder of its own."""

    def __init__(self, lineage: Lineage, place: Path) -> None:
        self._lineage, self._place = lineage, place

    def subject(self, version: Version) -> Subject:
        """A version as something that can be built; the newest one where it is.

        Raises:
            NoCore: there is none in that version, or git lacks a part of it.
        """
        lineage, name = self._lineage, version.commit.short or "working tree"
        if version.content == lineage.newest.content:
            return core_in(lineage.core, name)
        if not version.content:
            raise NoCore(f"it has no {version.folder}")
        folder = self._place / version.content / FOLDER
        if not folder.is_dir():
            self._take_out(version, folder)
        return core_in(folder, name)

    def _take_out(self, version: Version, folder: Path) -> None:
        repository, commit = self._lineage.repository, version.commit.id
        files = [one for one in repository.files(commit, version.folder) if one.endswith(".rs")]
        needed = {name: str(PurePosixPath(version.folder, name)) for name in NEEDED}
        if outside := [one for one in files if ".." in PurePosixPath(one).parts]:
            raise NoCore(f"it has a file outside of its folder: {outside[0]}")
        if lacking := [name for name, path in needed.items() if path not in files]:
            raise NoCore(f"it lacks {', '.join(lacking)}")
        contents = repository.contents(commit, files)
        if lacking := [name for name, path in needed.items() if path not in contents]:
            raise NoCore(f"git has no content of {', '.join(lacking)}")
        with writing(folder):
            for path, content in contents.items():
                file = folder / PurePosixPath(path).relative_to(version.folder)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)


@contextlib.contextmanager
def sources(lineage: Lineage, say: Say | None) -> Iterator[Sources]:
    """Make room for versions for the time of a block.

    A core always gets the same place, since the place is part of what is compiled: so its builds are kept for
    the next call. A second process that follows the same core waits. What a killed one left is removed.
    """
    key = hashlib.sha256(os.fsencode(lineage.core)).hexdigest()[:16]
    place = build_dir() / VERSIONS / key
    with store.locked(f"{VERSIONS}-{key}", say=say), cache_limit.used(place):
        shutil.rmtree(place, ignore_errors=True)
        try:
            yield Sources(lineage, place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process has its own folder there
                place.parent.rmdir()
