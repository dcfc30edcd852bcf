"""The registrar on a Git remote: pending refs in, one commit on main out.

A publish ref is data, never code: blobs of fixed names and modes are read by object id, their sizes first; nothing is checked out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from publisher.git import scratch_repository
from publisher.main_branch import change_main
from publisher.registrar.gather import Pause, gather
from publisher.registrar.run import Options, Run, register
from publisher.registrar.submission import ARTIFACT_PATH, MAX_IN_TREE, Outcome, Result, Submission, broken
from registry_client.errors import PublishError, RegistryError
from registry_client.jsontext import parse_json, payload_digest_of
from registry_client.layout import plain_file, plain_path, plugin_folders, version_file
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.models.release import RELEASE_LIMIT
from registry_client.names import PLUGIN_ID_PATTERN, VERSION_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from publisher.git import Git, Remote
    from publisher.git_tree import GitTree
    from publisher.main_branch import Main
    from publisher.tree import Tree
    from registry_client.digest import Digest

PUBLISH = "refs/heads/publish/"
_REF = re.compile(rf"refs/heads/publish/({PLUGIN_ID_PATTERN})@({VERSION_PATTERN})@([0-9a-f]{{12}})")
_LIMITS = {"manifest.json": MANIFEST_LIMIT, "release.json": RELEASE_LIMIT}
MAX_FILES = 52
# Bounds on what is named on one command line, and on what strangers can make one run do.
_BATCH = 300
_DELETED_AT_ONCE = 100
_MOST_REFS = 3000
_UNTOLD = "what became of the refs could not be told"
_STUCK = "handled branches could not be deleted"


def publish_ref(plugin_id: str, version: str, digest_hex: str) -> str:
    """The ref under which a submission is offered."""
    return f"{PUBLISH}{plugin_id}@{version}@{digest_hex[:12]}"


def register_remote(
    remote: Remote,
    branch: str,
    options_for: Callable[[Tree], Options],
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
    *,
    dry_run: bool = False,
    on_handled: Callable[[Sequence[Outcome]], None] | None = None,
) -> Run:
    """Run the registrar on a remote: push main with a lease, start over if it moved, then delete the handled refs.

    Args:
        remote: the registry's repository.
        branch: its main branch.
        options_for: gives the options for the tree that main has.
        environ: the environment for Git.
        clock: the time, UTC.
        dry_run: push nothing.
        on_handled: told what became of the refs, once main is pushed and before they are deleted. What it raises is only a note.

    Raises:
        RegistryError: nothing was pushed.
    """
    runs: list[Run] = []

    def one_batch(main: Main) -> tuple[Run, bool]:
        batch = _batch(main.refs)
        run = _run(main, batch, options_for, clock())
        if not dry_run:
            if run.changes:
                main.push(run.changes, run.message(), clock())
            told = _tell(run.outcomes, on_handled)
            stuck = _delete(main.git, batch)
            run = replace(run, notes=(*run.notes, *told, *stuck))
            if stuck:  # the next batch would be the same one
                return run, True
        return run, len(batch) == len(main.refs)

    while True:
        run, last = change_main(remote, branch, environ, one_batch, f"{PUBLISH}*")
        runs.append(run)
        if dry_run or last or sum(len(one.outcomes) for one in runs) >= _MOST_REFS:
            return _together(runs)


def wait_for_more(
    remote: Remote,
    environ: Mapping[str, str],
    seconds: float,
    pause: Pause = Pause(),  # noqa: B008  (nothing changes in it)
) -> None:
    """Where something is offered, wait for what else comes, so that it all goes into one commit.

    Args:
        remote: the registry's repository.
        environ: the environment for Git.
        seconds: for how long at most.
        pause: how time passes meanwhile.

    Raises:
        GitError: the remote cannot be read.
    """
    with scratch_repository(remote, environ) as git:
        gather(lambda: git.ls_remote(f"{PUBLISH}*"), seconds, pause)


def _together(runs: Sequence[Run]) -> Run:
    """One report on all batches. Each was given the same orders, and the first carried them out."""
    first = runs[0]
    told = [note for run in runs[1:] for note in run.notes if note.startswith((_UNTOLD, _STUCK))]
    return replace(
        runs[-1],
        outcomes=tuple(outcome for run in runs for outcome in run.outcomes),
        quarantines=tuple(dict.fromkeys(line for run in runs for line in run.quarantines)),
        notes=tuple(dict.fromkeys([*first.notes, *told])),
    )


def _tell(outcomes: Sequence[Outcome], on_handled: Callable[[Sequence[Outcome]], None] | None) -> list[str]:
    """Say what became of the refs. That somebody could not be told stops nothing: the index is what counts."""
    if on_handled is None:
        return []
    try:
        on_handled(outcomes)
    except RegistryError as e:
        return [f"{_UNTOLD}: {e.message}" + (f" {e.hint}" if e.hint else "")]
    return []


def _batch(refs: Mapping[str, str]) -> dict[str, str]:
    """The refs to handle in one commit. By a digest of their names, so that nobody's many refs come first for ever."""
    names = sorted(
        refs, key=lambda ref: hashlib.sha256(f"{refs[ref]} {ref}".encode("utf-8", "surrogateescape")).digest()
    )
    return {ref: refs[ref] for ref in names[:_BATCH]}


def _run(main: Main, refs: Mapping[str, str], options_for: Callable[[Tree], Options], now: datetime) -> Run:
    git, tree = main.git, main.tree()
    if refs:
        git.fetch(sorted(set(refs.values())))
    submissions, refused = read_refs(git, refs)
    _prefetch(tree, {submission.id for submission in submissions})

    def recover(path: str, digest: Digest) -> bytes | None:
        git.fetch([main.commit], depth=None, blobless=True)
        return git.from_history(main.commit, path, digest)

    def changed_since(base: str) -> list[str] | None:
        changed = main.changed_since(tree, base)
        if changed is None:  # everything will be read
            tree.prefetch(tree.paths("plugins"))
        else:
            found = (version_file(path) or plain_file(path) for path in changed)
            _prefetch(
                tree, {item if isinstance(item, str) else item.id for item in found if item is not None}
            )
        return changed

    options = replace(options_for(tree), recover=recover, commit=main.commit, changed_since=changed_since)
    if options.full:
        tree.prefetch(tree.paths("plugins"))
    run = register(tree, submissions, options, now)
    return replace(run, outcomes=(*run.outcomes, *refused))


def _prefetch(tree: GitTree, ids: Iterable[str]) -> None:
    """Fetch all that stands on main of some plugins: a run looks at every version of those that it looks at."""
    folders = [folder for plugin_id in ids for folder in plugin_folders(plugin_id)]
    tree.prefetch([path for folder in folders for path in (plain_path(folder), *tree.paths(folder))])


def _delete(git: Git, refs: Mapping[str, str]) -> list[str]:
    """Delete handled refs, each with a lease: one that changed meanwhile stays for the next run. Says which could not be deleted."""
    names = sorted(refs)
    refused: dict[str, str] = {}
    for start in range(0, len(names), _DELETED_AT_ONCE):
        results = git.push([("", ref, refs[ref]) for ref in names[start : start + _DELETED_AT_ONCE]])
        refused |= {result.ref: result.reason for result in results if not result.accepted}
    there = git.ls_remote(*sorted(refused)[:_DELETED_AT_ONCE]) if refused else {}
    stuck = [reason for ref, reason in sorted(refused.items()) if there.get(ref) == refs[ref]]
    if not stuck:
        return []
    return [
        f"{_STUCK}: {stuck[0]}. The registrar's credential must be allowed to delete publish/*, or it handles them again each time."
    ]


def read_refs(git: Git, refs: Mapping[str, str]) -> tuple[list[Submission], list[Outcome]]:
    """The submissions in publish refs, and the refs that are none. Whatever is wrong with one concerns that one alone."""
    good: list[Submission] = []
    bad: list[Outcome] = []
    for ref, commit in sorted(refs.items()):
        match = _REF.fullmatch(ref)
        plugin_id, version = (match[1], match[2]) if match else ("?", "?")
        name = ref.removeprefix("refs/heads/").encode("utf-8", "replace").decode()
        shown = name if match else repr(name[:100])
        try:
            good.append(_read_ref(git, shown, match, commit))
        except RegistryError as e:
            bad.append(Outcome(Submission(shown, plugin_id, version, commit=commit), Result.REFUSED, e))
        except Exception as e:  # noqa: BLE001  (a stranger's bytes: whatever they break must not stop the others)
            error = broken(shown, e)
            bad.append(Outcome(Submission(shown, plugin_id, version, commit=commit), Result.REFUSED, error))
    return good, bad


def _check_name(submission: Submission, digits: str) -> None:
    """Refuse a ref whose last part is not the payload digest of what it holds.

    Raises:
        PublishError: it is not. DocumentError: not JSON.
    """
    data, limit = submission.manifest, MANIFEST_LIMIT
    if data is None:
        data, limit = submission.release, RELEASE_LIMIT
    if data is None:
        raise PublishError(f"{submission.source}: holds neither manifest.json nor release.json")
    if not payload_digest_of(parse_json(data, limit=limit, where=submission.source)).hex.startswith(digits):
        raise PublishError(
            f"{submission.source}: holds another document than its name says",
            hint="Publish with 'publisher publish'.",
        )


def file_limit(path: str) -> int | None:
    """How many bytes a file of a submission may have; None if it may not be there."""
    return _LIMITS.get(path, MAX_IN_TREE if ARTIFACT_PATH.fullmatch(path) else None)


def submission_of(ref: str, commit: str, files: Mapping[str, bytes]) -> Submission:
    """The submission in a publish ref, out of the files of its commit.

    Raises:
        PublishError: the ref's name does not fit what it holds. DocumentError: not JSON.
    """
    name = ref.removeprefix("refs/heads/")
    match = _REF.fullmatch(ref)
    if match is None:
        raise PublishError(f"{name}: is not publish/<id>@<version>@<12 hex digits>")
    artifacts = dict(files)
    manifest, release = artifacts.pop("manifest.json", None), artifacts.pop("release.json", None)
    submission = Submission(name, match[1], match[2], manifest, release, artifacts, commit)
    _check_name(submission, match[3])
    return submission


def _read_ref(git: Git, name: str, match: re.Match[str] | None, commit: str) -> Submission:
    if match is None:
        raise PublishError(f"{name}: is not publish/<id>@<version>@<12 hex digits>")
    if git.parents(commit):
        raise PublishError(f"{name}: the commit has a parent; a submission is one commit without any")
    files: dict[str, bytes] = {}
    artifacts: dict[str, str] = {}
    for entry in git.entries(commit, limit=MAX_FILES):
        limit = file_limit(entry.path)
        if limit is None:
            raise PublishError(
                f"{name}: holds {entry.path[:120]!r}; a submission holds only manifest.json, release.json and artifacts"
            )
        if entry.mode != "100644" or entry.kind != "blob":
            raise PublishError(
                f"{name}: {entry.path} has mode {entry.mode}; only plain files (100644) are taken"
            )
        _, size = git.size(entry.oid)
        if size > limit:
            raise PublishError(f"{name}: {entry.path} has {size} bytes; at most {limit} are allowed")
        if entry.path in _LIMITS:
            files[entry.path] = git.read(entry.oid)
        else:
            artifacts[entry.path] = entry.oid
    return replace(submission_of(f"refs/heads/{name}", commit, files), artifacts=_Artifacts(git, artifacts))


class _Artifacts(Mapping[str, bytes]):
    """The artifacts of a ref, read when they are asked for: of a submission that nobody signed, none is."""

    def __init__(self, git: Git, oids: Mapping[str, str]) -> None:
        self._git = git
        self._oids = oids

    def __getitem__(self, path: str) -> bytes:
        return self._git.read(self._oids[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._oids)

    def __len__(self) -> int:
        return len(self._oids)
