"""The verdict on a pull request: everything that is wrong with what it changes, found by the code that the registrar runs. Pure.

What passes here is registered once it is merged: documents are judged by `admit`, on top of the state that the base branch has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from publisher.authority import load_authority
from publisher.changes import describe_changes
from publisher.registrar.admit import admit, folder_of
from publisher.registrar.online import drop_unverified
from publisher.registrar.plan import on_main, submission_order
from publisher.registrar.state import Row, State, load_state
from publisher.registrar.submission import Context, Outcome, Result, broken
from publisher.review.authority import judge_maintainers
from publisher.review.paths import (
    Area,
    Base,
    Change,
    Problem,
    check_conflicts,
    check_scope,
    is_readable,
    named,
    subjects_of,
)
from publisher.review.submissions import find_all
from publisher.review.verdict import Fact, Verdict, VersionReport
from publisher.tree import Overlay
from registry_client.digest import Digest
from registry_client.errors import DocumentError, RegistryError
from registry_client.layout import plugin_folders, version_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from publisher.registrar.submission import Submission
    from publisher.tree import Tree

_MOST_ERRORS = 200
# Workflows and their actions, how Git writes files into a checkout, and what makes one accept development keys.
_RUNS = (".github/", ".gitattributes", ".gitmodules", "dev-keys")


def judge(changes: Sequence[Change], base: Base) -> Verdict:
    """Say everything that is wrong with a pull request, and what it would change.

    Args:
        changes: the files that it changes.
        base: the registry that it is to be merged into.

    Raises:
        RegistryError: the base itself cannot be judged by; that is not the pull request's fault.
    """
    problems = [*check_scope(changes), *check_conflicts(changes)]
    subjects = tuple(subjects_of(changes))
    notes = [] if subjects or problems else [_nothing_of_ours(changes)]
    versions: list[VersionReport] = []
    facts: list[Fact] = []
    by_area = {area: [c for c in changes if c.place.area is area] for area in Area}
    if by_area[Area.PLUGIN] or by_area[Area.ARTIFACT]:
        found = _Plugins(base, [*by_area[Area.PLUGIN], *by_area[Area.ARTIFACT]])
        problems += found.problems
        versions, notes = found.versions, notes + found.notes
    if by_area[Area.MAINTAINERS]:
        review = judge_maintainers(by_area[Area.MAINTAINERS], base)
        problems += review.problems
        facts, notes = review.facts, notes + review.notes
    unique = tuple(dict.fromkeys(problems))
    return Verdict(subjects, unique, tuple(versions), tuple(facts), tuple(notes), len(changes))


def _nothing_of_ours(changes: Sequence[Change]) -> str:
    if not changes:
        return "It changes no file."
    runs = [change.shown for change in changes if change.path.startswith(_RUNS)]
    if runs:
        return (
            f"It changes what the registry's workflows run or believe ({named(runs)}), which nothing here judges: "
            "merge it only after reading it line by line."
        )
    return "It changes no file of the registry, so there is nothing to check here."


@dataclass(frozen=True)
class _Restricted:
    """A tree with the files of some plugins only, so that no others are read; the rest of the registry is whole."""

    tree: Tree
    ids: frozenset[str]

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        return self.tree.read(path)

    def paths(self, folder: str) -> Iterator[str]:
        """All paths below a folder, sorted."""
        return (path for path in self.tree.paths(folder) if self._is_shown(path))

    def _is_shown(self, path: str) -> bool:
        found = version_file(path)
        return not path.startswith("plugins/") or (found is not None and found.id in self.ids)


class _Plugins:
    """The judgement of plugins' files.

    Attributes:
        problems: what is wrong.
        versions: what would be registered.
        notes: what is worth knowing.
    """

    def __init__(self, base: Base, changes: Sequence[Change]) -> None:
        self.problems: list[Problem] = []
        self.versions: list[VersionReport] = []
        self.notes: list[str] = []
        self._base = base
        readable = [change for change in changes if is_readable(change)]
        files = (version_file(c.path) for c in changes if c.place.area is Area.PLUGIN)
        ids = frozenset(found.id for found in files if found is not None)
        folders = [folder for plugin_id in ids for folder in plugin_folders(plugin_id)]
        base.prefetch(path for folder in folders for path in base.tree.paths(folder))
        self._tree = Overlay(_Restricted(base.patched(readable), ids))
        self._authority = load_authority(base.tree, base.root, allow_dev_keys=base.allow_dev_keys)
        drop_unverified(self._tree, self._authority)
        self._state = load_state(self._tree, self._authority)
        self._state.look_at(ids, full=False)
        self._context = Context(self._authority, self._tree.read, base.now, self._recover)
        self._changed = {change.path: change for change in readable}
        self._named: set[str] = set()
        self._refused: set[tuple[str, str]] = set()
        self._deletions(changes)
        self._documents()
        self._artifacts(readable)

    def _recover(self, path: str, digest: Digest) -> bytes | None:
        """What the pull request replaced."""
        data = self._base.tree.read(path)
        return data if data is not None and Digest.of(data) == digest else None

    def _deletions(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.new is None and self._folder_apart_from(change.path) is None:
                hint = (
                    "Set its status instead: 'publisher yank', or 'publisher set-status'."
                    if change.place.area is Area.PLUGIN
                    else "What versions name stays: locks and mirrors rely on it."
                )
                self.problems.append(
                    Problem(change.shown, "is deleted, but what was published stays published", hint)
                )

    def _documents(self) -> None:
        seen = set()
        for submission in sorted(on_main(self._tree, self._state), key=submission_order):
            if submission.source in self._changed:
                seen.add(submission.source)
                self._judge(submission)
            else:  # merged before, and not registered yet: it comes first, as it will for the registrar
                self._take(submission)
        for path, change in self._changed.items():
            if change.place.area is Area.PLUGIN and path not in seen:
                self._passed_over(change)

    def _folder_apart_from(self, path: str) -> str | None:
        """The folder of a published plugin, if a path of that plugin's is in the other one; else None."""
        found = version_file(path)
        if found is None or not self._state.holds(found.id):
            return None
        own = folder_of(found.id, self._state)
        return own if found.folder != own else None

    def _passed_over(self, change: Change) -> None:
        """A document that the registrar does not look at: as the index has it, or one that was signed again under another name."""
        own = self._folder_apart_from(change.path)
        if own is not None:
            what = f"does not stand in {own}, where the other files of its plugin do"
            self.problems.append(
                Problem(change.shown, what, "Move it there: a plugin's files stay together.")
            )
            return
        found = version_file(change.path)
        rows = self._state.sorted_rows(found.id) if found is not None else []
        indexed = {path: digest for row in rows for path, digest in row.files}
        if change.base is None or self._tree.digest(change.path) == indexed.get(change.path):
            self.notes.append(f"{change.shown}: the index has it already; nothing would change.")
            return
        hint = "Leave it as it is on the base branch; to sign the version again, sign the newest of its manifests."
        self.problems.append(
            Problem(change.shown, "is changed, but hosts know it by its digest: locks rely on it", hint)
        )

    def _take(self, submission: Submission) -> Outcome:
        outcome, files = admit(submission, self._state, self._context)
        for path, data in files.items():
            self._tree.write(path, data)
        return outcome

    def _judge(self, submission: Submission) -> None:
        key = (submission.id, submission.version)
        before = self._state.get(*key)
        newest = _newest(self._state, submission)
        errors = _collected(submission, self._state, self._context)
        outcome = self._take(submission)
        # That a release's version is missing follows from what is wrong with its manifest.
        follows = submission.manifest is None and before is None and key in self._refused
        if outcome.error is not None and not follows and not any(_same(outcome.error, e) for e in errors):
            errors.append(outcome.error)
        if submission.manifest is not None:
            self._named |= _artifact_urls(submission.manifest)
        if outcome.error is not None or errors:
            self._refused.add(key)
            self.problems += [p for error in errors for p in as_problems(error, submission.source)]
            return
        if outcome.result is Result.UNCHANGED:
            self.notes.append(f"{submission.source}: says what is in force already; nothing would change.")
            return
        self.versions.append(self._report(submission, outcome, before, newest))

    def _report(
        self, submission: Submission, outcome: Outcome, before: Row | None, newest: Row | None
    ) -> VersionReport:
        keys = self._authority.publisher_of(submission.id)
        publisher = keys.publisher.id if keys else ""
        changes, facts = None, []
        if submission.manifest is not None:
            known = self._tree.read(newest.path) if newest is not None else None
            previous = json.loads(known) if known is not None else None
            changes = describe_changes(json.loads(submission.manifest), previous)
        row = self._state.get(submission.id, submission.version)
        if submission.release is not None and row is not None:
            facts = _status_facts(before, row)
        return VersionReport(
            submission.id, submission.version, outcome.result, publisher, changes, tuple(facts)
        )

    def _artifacts(self, readable: Iterable[Change]) -> None:
        for change in readable:
            if change.place.area is not Area.ARTIFACT:
                continue
            if change.path not in self._named:
                what = "is named by no manifest of this pull request"
                hint = "Propose artifacts together with the manifest that names them."
                self.problems.append(Problem(change.shown, what, hint))
            # Of a published version nobody looks at the artifacts again, and hosts are served them at once.
            elif Digest.of(self._tree.read(change.path) or b"").hex != change.path.split("/")[2]:
                what = "does not have the digest in its name"
                self.problems.append(Problem(change.shown, what, "Propose the file that was signed."))


def _collected(submission: Submission, state: State, context: Context) -> list[RegistryError]:
    try:
        return find_all(submission, state, context)
    except Exception as e:  # noqa: BLE001  (a stranger's bytes, as in `admit`)
        return [broken(submission.source, e)]


def _same(error: RegistryError, known: RegistryError) -> bool:
    """Whether two errors say the same: the registrar stops at the first problem of a document, this goes on."""
    if isinstance(error, DocumentError) and isinstance(known, DocumentError):
        return error.where == known.where
    return error.message == known.message


def _newest(state: State, submission: Submission) -> Row | None:
    """The newest published version but this one, if possible one that can still be used."""
    rows = [row for row in state.sorted_rows(submission.id) if row.raw["version"] != submission.version]
    usable = [row for row in rows if "removed" not in row.raw and "quarantined" not in row.raw]
    return next(reversed(usable or rows), None)


def _artifact_urls(manifest: bytes) -> set[str]:
    """What a manifest names, however wrong the rest of it is."""
    try:
        return {str(item["url"]) for item in json.loads(manifest)["artifacts"]}
    except (ValueError, LookupError, TypeError, RecursionError):
        return set()


def _status_facts(before: Row | None, row: Row) -> list[Fact]:
    """What a release document changes."""
    new: dict[str, Any] = row.raw.get("release", {})
    old: dict[str, Any] = before.raw.get("release", {}) if before is not None else {}
    first = {"status": row.raw["initialStatus"], "rollout": 100, "push": True, "forceUpdate": False}
    labels = {"status": "Status", "rollout": "Rollout", "push": "Push", "forceUpdate": "Force update"}
    facts = []
    for name, label in labels.items():
        was, now = {**first, **old}[name], {**first, **new}[name]
        if was != now:
            facts.append(Fact(label, f"{_word(was)} → {_word(now)}"))
        elif name == "status":
            facts.append(Fact(label, f"{now}, as before"))
    return facts + ([Fact("Reason", str(new["reason"]))] if "reason" in new else [])


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value} %" if isinstance(value, int) else str(value)


def as_problems(error: RegistryError, source: str) -> list[Problem]:
    """An error as problems of a file: each of a document's on its own."""
    if isinstance(error, DocumentError):
        shown = error.problems[:_MOST_ERRORS]
        return [Problem(source, str(problem), error.hint) for problem in shown]
    message = error.message.removeprefix(f"{source}: ")
    name = source.rpartition("/")[2]
    return [Problem(source, message.removeprefix(f"{name}: "), error.hint)]


__all__ = ["as_problems", "judge"]
