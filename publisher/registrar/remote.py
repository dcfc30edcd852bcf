"""The registrar on a Git remote: pending refs in, one commit on main out.

A publish ref is data, never code: blobs of fixed names and modes are read by object id, their sizes first; nothing is checked out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from publisher.git import Git, GitTree, Remote, scratch_repository
from publisher.registrar.admit import ARTIFACT_PATH, MAX_IN_TREE, Outcome, Result, Submission, broken
from publisher.registrar.run import Options, Run, register
from registry_client.errors import GitError, PublishError, RegistrarError, RegistryError
from registry_client.jsontext import parse_json, payload_digest_of
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.models.release import RELEASE_LIMIT
from registry_client.names import PLUGIN_ID_PATTERN, VERSION_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from publisher.tree import Tree
    from registry_client.digest import Digest

PUBLISH = "refs/heads/publish/"
_REF = re.compile(rf"refs/heads/publish/({PLUGIN_ID_PATTERN})@({VERSION_PATTERN})@([0-9a-f]{{12}})")
_LIMITS = {"manifest.json": MANIFEST_LIMIT, "release.json": RELEASE_LIMIT}
_MAX_FILES = 52
_ATTEMPTS = 8
# Bounds on what is named on one command line, and on what strangers can make one run do.
_BATCH = 300
_DELETED_AT_ONCE = 100
_MOST_REFS = 3000
# What Git prints when another push was faster: a lost lease, or a lost lock on the ref.
_MOVED = ("stale", "fetch first", "non-fast-forward", "lock ref", "failed to update ref", "reference already")


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
) -> Run:
    """Run the registrar on a remote: push main with a lease, start over if it moved, then delete the handled refs.

    Args:
        remote: the registry's repository.
        branch: its main branch.
        options_for: gives the options for the tree that main has.
        environ: the environment for Git.
        clock: the time, UTC.
        dry_run: push nothing.

    Raises:
        RegistryError: nothing was pushed.
    """
    main_ref = f"refs/heads/{branch}"
    done: list[Outcome] = []
    failures = 0
    while failures < _ATTEMPTS:
        with scratch_repository(remote, environ) as git:
            refs = git.ls_remote(main_ref, f"{PUBLISH}*")
            main = refs.pop(main_ref, None)
            if main is None:
                raise GitError(
                    f"{remote.url} has no branch {branch!r}",
                    hint="Push the registry first, or give --branch.",
                )
            batch = _batch(refs)
            run = _run(git, main, batch, options_for, clock())
            if not dry_run and run.changes and not _push_main(git, main, main_ref, run, clock()):
                failures += 1
                continue
            done += run.outcomes
            if not dry_run:
                _delete(git, batch)
            if dry_run or len(batch) == len(refs) or len(done) >= _MOST_REFS:
                return replace(run, outcomes=tuple(done))
    raise RegistrarError(f"{branch} moved {_ATTEMPTS} times while the registrar worked", hint="Run it again.")


def _batch(refs: Mapping[str, str]) -> dict[str, str]:
    """The refs to handle in one commit. By a digest of their names, so that nobody's many refs come first for ever."""
    names = sorted(
        refs, key=lambda ref: hashlib.sha256(f"{refs[ref]} {ref}".encode("utf-8", "surrogateescape")).digest()
    )
    return {ref: refs[ref] for ref in names[:_BATCH]}


def _run(
    git: Git, main: str, refs: Mapping[str, str], options_for: Callable[[Tree], Options], now: datetime
) -> Run:
    git.fetch([main, *sorted(set(refs.values()))])
    tree = GitTree(git, main)
    submissions, refused = read_refs(git, refs)

    def recover(path: str, digest: Digest) -> bytes | None:
        git.fetch([main], depth=None)
        return git.from_history(main, path, digest)

    options = replace(options_for(tree), recover=recover)
    run = register(tree, submissions, options, now)
    return replace(run, outcomes=(*run.outcomes, *refused))


def _push_main(git: Git, main: str, main_ref: str, run: Run, now: datetime) -> bool:
    lines = [
        f"{o.submission.id} {o.submission.version}: {o.result}"
        for o in run.outcomes
        if o.result is not Result.UNCHANGED
    ]
    body = "\n".join(lines)
    commit = git.commit(main, run.changes, f"{run.summary()}\n\n{body}\n", now)
    result = git.push([(commit, main_ref, main)])[0]
    if result.accepted:
        return True
    if any(word in result.reason for word in _MOVED):
        return False
    raise GitError(
        f"the remote refuses the push to {main_ref}: {result.reason}",
        hint="The registrar's own credential must be allowed to push to main.",
    )


def _delete(git: Git, refs: Mapping[str, str]) -> None:
    """Delete handled refs, each with a lease: one that changed meanwhile stays for the next run."""
    names = sorted(refs)
    for start in range(0, len(names), _DELETED_AT_ONCE):
        git.push([("", ref, refs[ref]) for ref in names[start : start + _DELETED_AT_ONCE]])


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


def _read_ref(git: Git, name: str, match: re.Match[str] | None, commit: str) -> Submission:
    if match is None:
        raise PublishError(f"{name}: is not publish/<id>@<version>@<12 hex digits>")
    if git.parents(commit):
        raise PublishError(f"{name}: the commit has a parent; a submission is one commit without any")
    files: dict[str, bytes] = {}
    for entry in git.entries(commit, limit=_MAX_FILES):
        limit = _LIMITS.get(entry.path, MAX_IN_TREE if ARTIFACT_PATH.fullmatch(entry.path) else None)
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
        files[entry.path] = git.read(entry.oid)
    manifest, release = files.pop("manifest.json", None), files.pop("release.json", None)
    submission = Submission(name, match[1], match[2], manifest, release, files, commit)
    _check_name(submission, match[3])
    return submission
