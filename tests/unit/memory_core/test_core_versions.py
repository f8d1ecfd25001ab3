"""Proves that the versions of a core are found in a repository, and that each wrong history is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.base import git
from frame_harness.base.errors import MissingToolError, UsageError
from frame_harness.judge.origin import Commit
from frame_harness.memory_core.tree import NEEDED
from frame_harness.memory_core.versions import NoCore, Version, lineage_of, sources
from tests.support.repositories import Repo

CORE = "kernel/src/memory"


def files(version: object, folder: str = CORE) -> dict[str, str]:
    return {f"{folder}/{name}": f"// {version}\n" for name in NEEDED}


def repository(root: Path, *versions: object) -> Repo:
    repo = Repo.make(root)
    for version in versions:
        repo.commit(f"version {version}", files(version))
    return repo


def subjects(repo: Repo, since: str, folder: str = CORE) -> list[str]:
    """The versions' commits, by their first lines."""
    return [one.commit.subject for one in lineage_of(repo.root / folder, since).versions]


def text_of(repo: Repo, since: str, at: int) -> bytes:
    """What is taken out of a version."""
    lineage = lineage_of(repo.root / CORE, since)
    with sources(lineage, None) as taken_out:
        subject = taken_out.subject(lineage.versions[at])
        assert subject.path.name == "memory"
        return (subject.path / "buddy.rs").read_bytes()


@pytest.fixture(autouse=True)
def _own_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "builds"))


def test_only_commits_that_touch_the_core_are_versions(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2)
    repo.commit("a text", {"README": "words"})
    repo.commit("version 3", files(3))
    repo.commit("the last text", {"README": "more words"})
    assert subjects(repo, "HEAD~4") == ["version 1", "version 2", "version 3"]
    assert subjects(repo, "HEAD~2") == ["a text", "version 3"], "the commit that is named is the oldest"


def test_versions_are_taken_out_and_nothing_is_left(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2, 3)
    before = repo.state()
    assert [text_of(repo, "HEAD~2", at) for at in range(3)] == [b"// 1\n", b"// 2\n", b"// 3\n"]
    assert repo.state() == before
    assert not (tmp_path / "builds" / "versions").exists()


def test_a_version_that_names_files_outside_of_its_folder_is_not_taken_out(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2)
    evil = repo.git("hash-object", "-w", repo.root / CORE / "buddy.rs")
    up = repo.tree(f"100644 blob {evil}\tevil.rs")
    folder = repo.tree(f"040000 tree {up}\t..", *repo.git("ls-tree", f"HEAD:{CORE}").splitlines())
    top = folder
    for name in reversed(CORE.split("/")):
        top = repo.tree(f"040000 tree {top}\t{name}")
    commit = repo.git("commit-tree", top, "-m", "evil")
    lineage = lineage_of(repo.root / CORE, "HEAD~1")
    with sources(lineage, None) as taken_out:
        with pytest.raises(NoCore, match=r"a file outside of its folder: kernel/src/memory/\.\./evil\.rs"):
            taken_out.subject(Version(Commit(id=commit, short="evil"), CORE, folder))
        assert not list((tmp_path / "builds").rglob("evil.rs"))


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2)
    lineage = lineage_of(repo.root / CORE, "HEAD~1")
    with sources(lineage, None) as taken_out:
        place = taken_out.subject(lineage.versions[0]).path
        (place / "buddy.rs").write_text("half of it")
        with pytest.raises(KeyboardInterrupt):
            raise KeyboardInterrupt
    stale = place / "buddy.rs"
    stale.parent.mkdir(parents=True)
    stale.write_text("half of it")
    assert text_of(repo, "HEAD~1", 0) == b"// 1\n"
    assert not place.exists()


def test_links_stand_for_what_they_lead_to(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1)
    repo.write({"shared/buddy.rs": "// shared\n"})
    (repo.root / CORE / "buddy.rs").unlink()
    (repo.root / CORE / "buddy.rs").symlink_to("../../../shared/buddy.rs")
    repo.commit("a link")
    repo.commit("version 3", {f"{CORE}/zone.rs": "// 3\n"})
    assert text_of(repo, "HEAD~2", 1) == b"// shared\n"


def test_what_is_not_committed_is_the_newest_version(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2)
    repo.write({f"{CORE}/zone.rs": "// changed\n"})
    versions = lineage_of(repo.root / CORE, "HEAD~1").versions
    assert [one.commit.subject for one in versions] == ["version 1", "version 2", ""]
    assert text_of(repo, "HEAD~1", 1) == b"// 2\n"
    assert subjects(repo, "HEAD") == ["version 2", ""], "what is not committed may be all there is"


def test_other_changes_are_no_version(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2)
    repo.write({f"{CORE}/notes.txt": "words", "kernel/src/main.rs": "// changed\n"})
    assert subjects(repo, "HEAD~1") == ["version 1", "version 2"]


def test_a_merge_that_only_takes_a_branch_over_is_no_version(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1)
    repo.git("checkout", "--quiet", "-b", "work")
    repo.commit("version 2", files(2))
    repo.git("checkout", "--quiet", "main")
    repo.commit("a text", {"README": "words"})
    repo.git("merge", "--quiet", "--no-ff", "--message", "a merge", "work")
    assert subjects(repo, "HEAD~2") == ["version 1", "version 2"]


def test_a_merge_that_joins_two_changes_is_a_version(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1)
    repo.git("checkout", "--quiet", "-b", "work")
    repo.commit("zone", {f"{CORE}/zone.rs": "// zone\n"})
    repo.git("checkout", "--quiet", "main")
    repo.commit("buddy", {f"{CORE}/buddy.rs": "// buddy\n"})
    repo.git("merge", "--quiet", "--no-ff", "--message", "a merge", "work")
    versions = lineage_of(repo.root / CORE, "HEAD~2").versions
    assert [one.commit.subject for one in versions] == ["version 1", "buddy", "a merge"]
    assert [one.commit.merge for one in versions] == [False, False, True]


def test_a_core_that_came_past_the_oldest_commit_is_followed_to_where_it_left(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1)
    repo.git("checkout", "--quiet", "-b", "work")
    repo.commit("version 2", files(2))
    repo.git("checkout", "--quiet", "main")
    repo.commit("version 3", files(3))
    repo.git("merge", "--quiet", "--no-ff", "--strategy-option=theirs", "--message", "a merge", "work")
    lineage = lineage_of(repo.root / CORE, "HEAD^1")
    assert [one.commit.subject for one in lineage.versions] == ["version 1", "version 2"]
    assert "came past HEAD^1 by a merge" in lineage.notes[0]


def test_a_core_that_moved_is_followed(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "r")
    for version in (1, 2):
        repo.commit(f"version {version}", files(version, "old/memory"))
    (repo.root / "kernel" / "src").mkdir(parents=True)
    repo.git("mv", "old/memory", CORE)
    repo.commit("a move")
    repo.commit("version 3", files(3))
    assert subjects(repo, "HEAD~3") == ["version 1", "version 2", "a move", "version 3"]
    assert text_of(repo, "HEAD~3", 1) == b"// 2\n"
    [note] = lineage_of(repo.root / CORE, "HEAD~3").notes
    assert note.startswith("the core lay in old/memory before ")


def test_a_repository_may_be_the_folder_itself(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "memory")
    for version in (1, 2):
        repo.commit(f"version {version}", {name: f"// {version}\n" for name in NEEDED})
    lineage = lineage_of(repo.root, "HEAD~1")
    with sources(lineage, None) as taken_out:
        assert (taken_out.subject(lineage.versions[0]).path / "zone.rs").read_text() == "// 1\n"
    repo.write({"zone.rs": "// changed\n"})
    assert lineage_of(repo.root, "HEAD~1").newest.commit.id == ""


def test_version_without_a_core_says_so(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "r")
    repo.commit("a text", {"README": "words"})
    repo.commit("a part", {f"{CORE}/zone.rs": "// 0\n"})
    repo.commit("version 1", files(1))
    lineage = lineage_of(repo.root / CORE, "HEAD~2")
    assert [one.commit.subject for one in lineage.versions] == ["a text", "a part", "version 1"]
    with sources(lineage, None) as taken_out:
        for at, words in ((0, f"it has no {CORE}"), (1, "it lacks frame.rs, boot_alloc.rs, buddy.rs")):
            with pytest.raises(NoCore, match=words):
                taken_out.subject(lineage.versions[at])


def test_objects_that_a_clone_lacks_are_named(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2)
    blob = repo.git("rev-parse", f"HEAD~1:{CORE}/buddy.rs")
    (repo.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(NoCore, match="git has no content of zone"):
        text_of(repo, "HEAD~1", 0)


def test_variables_of_a_hook_lead_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo, other = repository(tmp_path / "r", 1, 2), repository(tmp_path / "other", 7)
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    assert subjects(repo, "HEAD~1") == ["version 1", "version 2"]


def refused(repo: Repo, since: str) -> str:
    with pytest.raises(UsageError) as error:
        lineage_of(repo.root / CORE, since)
    return str(error.value)


def test_each_wrong_history_is_refused_in_words(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2)
    assert "expected a commit of" in refused(repo, "v9.9") and "got none that git knows" in refused(
        repo, "v9.9"
    )
    assert "got none that git knows" in refused(repo, "--all")
    assert "got no commit after it does" in refused(repo, "HEAD")
    repo.git("checkout", "--quiet", "-b", "side", "HEAD~1")
    side = repo.commit("version 3", files(3))
    repo.git("checkout", "--quiet", "main")
    assert "expected a commit that led to HEAD, got one of another branch" in refused(repo, side)


def test_folder_without_a_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r" / CORE).mkdir(parents=True)
    assert "expected a folder in a git repository, got not a git repository" in refused(
        Repo(tmp_path / "r"), "HEAD"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="git"):
        git.Repository.around(tmp_path)


def test_repository_without_the_core_or_without_a_commit_is_refused(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "r")
    repo.write(files(1) | {".gitignore": "kernel/\n"})
    assert "has no commit yet" in refused(repo, "HEAD")
    repo.commit("no kernel")
    repo.commit("no kernel again")
    assert f"expected {CORE} in the commit HEAD, got nothing: git does not know it" in refused(repo, "HEAD~1")


def test_shallow_clone_is_named(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2, 3)
    repo.git("clone", "--quiet", "--depth=2", f"file://{repo.root}", tmp_path / "shallow")
    shallow = Repo(tmp_path / "shallow")
    assert "git fetch --unshallow" in refused(shallow, "HEAD~2")
    assert subjects(shallow, "HEAD~1") == ["version 2", "version 3"], "what is there can be looked at"


def test_versions_that_hold_the_same_have_the_same_content(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r", 1, 2, 1, 2)
    versions: tuple[Version, ...] = lineage_of(repo.root / CORE, "HEAD~3").versions
    assert versions[0].content == versions[2].content != versions[1].content == versions[3].content
