"""A Git repository at a tag or commit, as one archive file. `git.py` runs Git."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from registry_client.errors import FetchError, InstallError, NotFoundError, TooLargeError
from registry_client.installer.elsewhere.folder import INSTALLERS_OWN
from registry_client.installer.elsewhere.git import HEAD, WANTED, Blob, Git, git_environment
from registry_client.installer.elsewhere.git_url import (
    check_commit,
    check_folder,
    check_git_ref,
    check_git_url,
    is_commit,
    repository_name,
)
from registry_client.installer.elsewhere.local import LIMITS, LOOKED_AT, read_local
from registry_client.installer.elsewhere.packed import (
    MAX_FILES,
    MAX_SIZE,
    Archive,
    Packed,
    ZipOut,
    cannot_be_packed,
    finished,
    packed_name,
    too_large,
)
from registry_client.portable import clashes, name_problem, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry_client.installer.project.sources import GitSource

MAX_FETCHED = MAX_SIZE
_POINTER = b"version https://git-lfs.github.com/spec/"


def clone(
    source: GitSource,
    into: Path,
    *,
    work: Path,
    environment: Mapping[str, str],
    timeout: float = 600.0,
    id: str | None = None,  # noqa: A002  (the document's own word)
    limit: int = MAX_FETCHED,
) -> Packed:
    """Fetch a repository at a tag or commit, and pack it as `pack_folder` packs a folder.

    The same commit gives the same bytes on every machine.

    Args:
        source: the repository, the tag or commit, and the folder in it.
        into: where the archive is put, named by its digest.
        work: a folder for what Git fetches; nothing stays there.
        environment: where Git finds programs, settings, keys and proxies.
        timeout: seconds for everything together.
        id: the plugin's id, if it is known; else what the repository says, else its name.
        limit: the most bytes that a host may send.

    Raises:
        FetchError: the host does not answer, refuses, sends too much, or takes too long.
        NotFoundError: there is no such tag, commit or folder.
        InstallError: what came cannot be packed, or Git is not installed.
    """
    _check(source)
    try:
        work.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=work, prefix="git-"))
    except OSError as e:
        raise InstallError(
            f"{work}: cannot be written ({e.strerror or e})", hint="Free some space there, or allow it."
        ) from e
    try:
        git = Git(folder, git_environment(environment, source.url), time.monotonic() + timeout, limit)
        commit = _fetched(git, source)
        return _packed(git, source, commit, into, id)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check(source: GitSource) -> None:
    """What Git could take for something else never reaches it, wherever the source came from."""
    try:
        check_git_url(source.url)
        if not is_commit(source.ref):
            check_git_ref(source.ref)
        if source.subdirectory:
            check_folder(source.subdirectory)
    except ValueError as e:
        raise InstallError(str(e), hint="Correct the plugin's entry in plugins.toml.") from e


def _fetched(git: Git, source: GitSource) -> str:
    """Fetch the tag or commit, without its history, and give the commit."""
    if is_commit(source.ref):
        git.init(source.ref)
        _fetch_commit(git, source)
    else:
        listed = git.refs(source.url, f"refs/tags/{source.ref}")
        if f"refs/tags/{source.ref}" not in listed:
            raise NotFoundError(
                f"{source.url}: there is no tag {source.ref!r}",
                hint="Name a tag that is there, or a commit in full.",
            )
        git.init(listed[f"refs/tags/{source.ref}"])
        git.fetch(source.url, f"refs/tags/{source.ref}")
    commit = git.text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{WANTED}^{{commit}}")
    if commit is None or (is_commit(source.ref) and commit != source.ref):
        raise NotFoundError(
            f"{source.url}: {source.ref} is no commit", hint="Name a tag or a commit that is there."
        )
    return check_commit(commit)


def _fetch_commit(git: Git, source: GitSource) -> None:
    """Fetch a commit by its id; from a host that allows no such thing, by a tag or branch that is at it."""
    try:
        git.fetch(source.url, source.ref)
    except FetchError as e:
        if isinstance(e, TooLargeError) or git.late:
            raise
        at = [ref for ref, oid in git.refs(source.url).items() if oid == source.ref]
        if not at:
            raise NotFoundError(
                f"{source.url}: does not give commit {source.ref}: {e.message}",
                hint="It is not there, or the host gives only tags and branches: use a tag.",
            ) from e
        git.fetch(source.url, max(at).removesuffix("^{}"))


def _packed(git: Git, source: GitSource, commit: str, into: Path, plugin_id: str | None) -> Packed:
    what = f"{source.url} at {source.ref}"
    files = _files(git, source, commit, what)
    small = {
        name: git.beginning(files[name].oid, LIMITS[name] + 1)
        for name in LOOKED_AT
        if name in files and files[name].size <= 16 * LIMITS[name]
    }
    stated = read_local(small, name=repository_name(source.url, source.subdirectory), id=plugin_id)
    with Archive(into, limit=MAX_SIZE, what=what) as archive:
        notes = list(stated.notes)
        with ZipOut(archive, stated.id, what) as out, git.blobs() as copy:
            for path in sorted(files, key=os.fsencode):
                with out.entry(path, files[path].size) as write:
                    head = copy(files[path], write)
                if files[path].size <= HEAD and head.startswith(_POINTER):
                    notes.append(f"{path} is a pointer of Git LFS; the file itself is not fetched")
        archive.hash_written()
        packed = finished(archive, packed_name(stated), stated, commit=commit)
    return replace(packed, notes=tuple(notes[:20]))


def _files(git: Git, source: GitSource, commit: str, what: str) -> dict[str, Blob]:
    """The files of a commit's tree by path, or of a folder in it.

    Raises:
        InstallError: something among them cannot be packed; lists everything.
    """
    tree = git.text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:{source.subdirectory}")
    if tree is None or git.text("cat-file", "-t", tree) != "tree":
        raise NotFoundError(
            f"{what}: there is no folder {source.subdirectory!r}",
            hint="Correct subdirectory in plugins.toml.",
        )
    files: dict[str, Blob] = {}
    problems: list[str] = []
    for line in git.listing(tree, what):
        head, _, raw = line.partition(b"\t")
        mode, kind, oid, size = head.decode("ascii").split()
        path = raw.decode("utf-8", "surrogateescape")
        if kind == "tree" or path.split("/", 1)[0] in INSTALLERS_OWN:
            continue
        wrong = _problem(mode, kind, path)
        if wrong:
            problems.append(f"{shown(path)}: {wrong}")
        else:
            files[path] = Blob(oid, int(size))
    problems += clashes(files)
    if not files and not problems:
        problems = ["holds no file to pack"]
    if len(files) > MAX_FILES:
        problems = [f"holds more than {MAX_FILES} files"]
    if problems:
        raise cannot_be_packed(what, sorted(problems), "Ask its author for a commit without what is listed.")
    if sum(blob.size for blob in files.values()) > MAX_SIZE:
        raise too_large(what, MAX_SIZE)
    return files


def _problem(mode: str, kind: str, path: str) -> str:
    """Why an entry of a tree cannot be packed; empty if it can."""
    if mode == "120000":
        return "is a symbolic link, which is not followed"
    if kind != "blob":
        return "is a submodule, which is not fetched"
    for part in path.split("/"):
        wrong = "its path holds an empty name, '.' or '..'" if part in {"", ".", ".."} else name_problem(part)
        if wrong or part.lower() == ".git":
            return wrong or "its path holds '.git'"
    return ""


__all__ = ["MAX_FETCHED", "clone"]
