"""Which files two Git trees differ in, held against what Git itself says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from support.world import commit_all, git

from publisher.git import Git
from publisher.review.tree_diff import diff_trees, parse_tree
from registry_client.errors import GitError, PublishError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with two commits, `old` and `new`, that differ in every way."""
    git(tmp_path, "init", "--quiet", ".")
    for path in ("same/a", "same/b", "deep/er/still/x", "file", "dir/inner", "gone/x", "mode", "moved"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    commit_all(tmp_path, "old")
    git(tmp_path, "tag", "old")
    (tmp_path / "deep/er/still/x").write_text("changed")
    (tmp_path / "file").unlink()
    (tmp_path / "file").mkdir()
    (tmp_path / "file/now").write_text("a folder")
    (tmp_path / "dir/inner").unlink()
    (tmp_path / "dir").rmdir()
    (tmp_path / "dir").symlink_to("same")
    (tmp_path / "gone/x").unlink()
    (tmp_path / "mode").chmod(0o755)
    (tmp_path / "moved").rename(tmp_path / "émoved\n\t")
    commit_all(tmp_path, "new")
    git(tmp_path, "tag", "new")
    return tmp_path


def read(folder: Path, oid: str) -> bytes:
    """A tree object."""
    return Git(folder, {}).run("cat-file", "tree", oid)


def trees(folder: Path) -> tuple[str, str]:
    """Ids of the two trees."""
    return git(folder, "rev-parse", "old^{tree}"), git(folder, "rev-parse", "new^{tree}")


def test_the_same_as_git(folder: Path) -> None:
    """Changed, added, deleted, of another mode, a file for a folder and the other way round."""
    listing = git(folder, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "old", "new")
    parts = listing.strip("\0").split("\0")
    expected = set()
    for head, path in zip(parts[::2], parts[1::2], strict=True):
        old_mode, new_mode, old, new, _ = head.lstrip(":").split()
        expected.add((path, (old_mode, old), (new_mode, new)))
    absent = ("000000", "0" * 40)
    found = {
        (
            diff.path,
            (diff.old.mode, diff.old.oid) if diff.old else absent,
            (diff.new.mode, diff.new.oid) if diff.new else absent,
        )
        for diff in diff_trees(lambda oid, _: read(folder, oid), *trees(folder))
    }
    # A name that a folder takes over is two differences here and to Git.
    assert found == expected


def test_folders_that_are_the_same_are_not_read(folder: Path) -> None:
    """The cost is that of what differs."""
    asked: list[str] = []
    diff_trees(lambda oid, _: asked.append(oid) or read(folder, oid), *trees(folder))  # type: ignore[func-returns-value]
    assert git(folder, "rev-parse", "old:same") not in asked


def test_too_many(folder: Path) -> None:
    """There is an end to it."""
    with pytest.raises(PublishError, match="more than 3 files"):
        diff_trees(lambda oid, _: read(folder, oid), *trees(folder), most=3)


OID = b"\x01" * 20


@pytest.mark.parametrize(
    "data",
    [
        b"100644",
        b"100644 x",
        b"100644 x\0short",
        b"100644 \0" + OID,
        b"100644 a/b\0" + OID,
        b" x\0" + OID,
        b"100644 x\0" + OID + b"100755 x\0" + OID,
    ],
)
def test_what_is_no_tree(data: bytes) -> None:
    """Objects made by hand: cut off, nameless, with paths for names, with a name twice."""
    with pytest.raises(GitError, match="not a sound Git tree"):
        parse_tree(data, 20)


def test_a_long_name_takes_no_time() -> None:
    """Git takes a tree whose only name is a megabyte of what could begin entries; it is refused at once, not after hours."""
    began = time.monotonic()
    with pytest.raises(GitError, match="not a sound Git tree"):
        parse_tree(b"100644 " + b"1 " * 20_000 + b"/x\0" + b"i" * 20, 20)
    assert time.monotonic() - began < 3
