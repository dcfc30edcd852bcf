"""The judgement of maintainers' changes in a pull request: signed as they must be, and what follows from them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from publisher.authority import Authority, load_authority
from publisher.maintain.desk import Desk
from publisher.registrar.inputs import Inputs
from publisher.registrar.online import drop_unverified
from publisher.registrar.plan import tolerated_loss
from publisher.registrar.run import no_recovery
from publisher.registrar.state import State, load_state
from publisher.registrar.submission import broken
from publisher.registrar.verdicts import verify_rows
from publisher.review.facts import describe_authority
from publisher.review.paths import Base, Change, Problem, is_readable
from publisher.schemas import validate_against
from publisher.source import merge, model_problems
from publisher.tree import Overlay
from publisher.tuf_repository import STAGING, latest_version, read_metadata, staged_version
from registry_client.cli.text import counted
from registry_client.digest import Digest
from registry_client.errors import DocumentError, RegistryError
from registry_client.jsontext import parse_json
from registry_client.layout import plugin_folders
from registry_client.models import Blocks, Policy, Publisher
from registry_client.signed import parse_blocks, parse_policy, parse_publisher

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from publisher.review.verdict import Fact
    from publisher.tree import Tree

_METADATA = re.compile(r"(metadata|staging)/([0-9]+)\.(root|targets|blocks)\.json")
_COPY = re.compile(r"targets/((?:publishers/)?)([0-9a-f]{64})\.(.+)")
_KINDS: dict[str, tuple[type[Any], Callable[[bytes, str], object]]] = {
    "publisher": (Publisher, parse_publisher),
    "policy": (Policy, parse_policy),
    "blocks": (Blocks, parse_blocks),
}
_BY_COMMAND = (
    "Make the change with 'publisher registry policy', which signs it, and commit every file that it writes."
)
_MOST_NAMED = 20


@dataclass
class Review:
    """What was found out.

    Attributes:
        problems: what is wrong.
        facts: what would change.
        notes: what else whoever merges should know.
    """

    problems: list[Problem] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge_maintainers(changes: Sequence[Change], base: Base) -> Review:
    """Judge what only maintainers may say: root, targets, blocks, and the documents that these name.

    Raises:
        RegistryError: the base itself does not verify.
    """
    before = load_authority(base.tree, base.root, allow_dev_keys=base.allow_dev_keys)
    review = Review()
    try:
        _judge(review, changes, base, before)
    except Exception as e:  # noqa: BLE001  (a stranger's bytes: whatever they break is their problem)
        error = e if isinstance(e, RegistryError) else broken("the maintainers' files", e)
        review.problems.append(Problem("", error.message, error.hint))
    return review


def _judge(review: Review, changes: Sequence[Change], base: Base, before: Authority) -> None:
    kept = [change for change in changes if not _forbidden(review, change, base.tree)]
    tree = base.patched([change for change in kept if change.new is None or is_readable(change)])
    after = _verified(review, tree, base)
    named = _named(tree, after)
    for change in kept:
        if change.new is not None and is_readable(change):
            data = tree.read(change.path) or b""
            review.problems += [*_malformed(change, data), *_unsigned(change, data, named, after)]
    if after is None:
        return
    for path in [f"{STAGING}/{version}.{role}.json" for role, version in _staged(tree)]:
        review.notes.append(
            f"{path} waits for more signatures; it has no effect until 'publisher sign' adds them."
        )
    review.problems += [*_unreached(kept, tree, after), *_expired(after, before, base)]
    review.facts += describe_authority(before, after, tree)
    _consequences(review, tree, before, after, base)


def _forbidden(review: Review, change: Change, tree: Tree) -> bool:
    """Note a change that is never right: of what hosts know by version or digest."""
    is_document = not _METADATA.fullmatch(change.path) and not _COPY.fullmatch(change.path)
    is_free = change.path.startswith((f"{STAGING}/", "publishers/"))
    what = ""
    if change.new is None and not is_free:
        what = "is deleted, but hosts may still read it"
    elif change.new is not None and change.old is not None and not is_document and not is_free:
        what = "is changed, but hosts know it by its version or digest; a version is used once"
    elif change.new is not None and change.old is None:
        match = _METADATA.fullmatch(change.path)
        if match and int(match[2]) <= latest_version(tree, match[3]):
            what = f"is not newer than version {latest_version(tree, match[3])} on the base branch"
    if what:
        hint = "Leave the file as it is on the base branch, and make the change again on top of that."
        review.problems.append(Problem(change.shown, what, hint))
    return bool(what)


def _verified(review: Review, tree: Tree, base: Base) -> Authority | None:
    """The maintainers' statements as the pull request has them, or None if they do not verify."""
    try:
        after = load_authority(tree, base.root, allow_dev_keys=base.allow_dev_keys)
    except RegistryError as e:
        path, _, message = e.message.partition(": ")
        is_path = path.startswith(("metadata/", "targets/", "publishers/", f"{STAGING}/"))
        review.problems.append(Problem(path if is_path else "", message if is_path else e.message, e.hint))
        return None
    try:  # what stands in staging/ must carry a maintainer's signature, as it must when one signs on top of it
        Desk(tree, (), base.now, allow_dev_keys=base.allow_dev_keys, root_digest=Digest.of(base.root))
    except RegistryError as e:
        path, _, message = e.message.partition(": ")
        review.problems.append(Problem(path, message, e.hint))
    return after


def _staged(tree: Tree) -> Iterator[tuple[str, int]]:
    for role in ("root", "targets", "blocks"):
        version = staged_version(tree, role)
        if version is not None:
            yield role, version


def _named(tree: Tree, after: Authority | None) -> dict[str, set[str]]:
    """Digests of each document that signed metadata names, staged metadata too."""
    named: dict[str, set[str]] = {}
    roles: list[Any] = [after.targets, after.blocks_role] if after is not None else []
    roles += [
        read_metadata(tree, role, version, STAGING).signed
        for role, version in _staged(tree)
        if role != "root"
    ]
    for role in roles:
        for path, info in role.targets.items():
            named.setdefault(path, set()).add(f"sha256:{info.hashes.get('sha256')}")
    return named


def _malformed(change: Change, data: bytes) -> list[Problem]:
    """What is wrong with a document by itself."""
    kind = change.place.subject.split(" ")[0]
    if kind not in _KINDS or change.path.startswith("targets/"):
        return []
    model, parse = _KINDS[kind]
    try:
        raw = parse_json(data, limit=change.place.limit, where=change.path)
        problems = merge(validate_against(kind, raw, change.path), model_problems(model, raw))
        if not problems:
            parse(data, change.path)
    except DocumentError as e:
        problems = list(e.problems)
    except RegistryError as e:
        return [Problem(change.shown, e.message.removeprefix(f"{change.path}: "), e.hint)]
    return [Problem(change.shown, str(problem)) for problem in problems]


def _unsigned(
    change: Change, data: bytes, named: dict[str, set[str]], after: Authority | None
) -> list[Problem]:
    """Whether a document is one that signed metadata names, with this content."""
    if after is None or _METADATA.fullmatch(change.path):
        return []
    match = _COPY.fullmatch(change.path)
    digest = Digest.of(data)
    path = f"{match[1]}{match[3]}" if match else change.path
    if match and match[2] != digest.hex:
        return [Problem(change.shown, f"has digest {digest.hex}, not the one in its name", _BY_COMMAND)]
    if digest in named.get(path, set()):
        return []
    what = (
        "is named with other content by what the maintainers signed"
        if path in named
        else "is named by no signed metadata"
    )
    return [Problem(change.shown, what, _BY_COMMAND)]


def _unreached(changes: Iterable[Change], tree: Tree, after: Authority) -> list[Problem]:
    """Roots that no chain leads to, staged versions that are overtaken, and documents that are gone but still named."""
    problems = []
    for change in changes:
        match = _METADATA.fullmatch(change.path)
        if match and change.new is not None and match[1] == "metadata" and match[3] == "root":
            if int(match[2]) > after.root.version:
                what = f"is not reached: the root before it, version {int(match[2]) - 1}, is missing"
                problems.append(Problem(change.shown, what, "Roots follow one another without a gap."))
        elif match and change.new is not None and match[1] == STAGING:
            if staged_version(tree, match[3]) != int(match[2]):
                what = "is overtaken by a later version"
                problems.append(Problem(change.shown, what, "Leave it out."))
        elif change.new is None and change.path in after.documents:
            what = "is deleted, but signed metadata still names it"
            problems.append(
                Problem(change.shown, what, "'publisher registry policy remove-publisher' does both.")
            )
    return problems


def _expired(after: Authority, before: Authority, base: Base) -> list[Problem]:
    pairs = (
        ("root", after.root, before.root),
        ("targets", after.targets, before.targets),
        ("blocks", after.blocks_role, before.blocks_role),
    )
    return [
        Problem(
            f"metadata/{new.version}.{role}.json",
            f"expired on {new.expires:%Y-%m-%d %H:%M} UTC; hosts would refuse it",
            "Sign it again: 'publisher registry renew'.",
        )
        for role, new, old in pairs
        if new.version != old.version and new.expires <= base.now
    ]


def _consequences(review: Review, tree: Tree, before: Authority, after: Authority, base: Base) -> None:
    """What the registrar would make of it: whether it goes on, and which versions become usable or unusable."""
    overlay = Overlay(_WithoutArtifacts(tree))
    try:
        drop_unverified(overlay, after)
        state = load_state(overlay, after)
    except RegistryError as e:
        review.problems.append(Problem("", f"the registrar would stop: {e.message}", e.hint))
        return
    ids = [plugin_id for plugin_id in state.rows if _concerns(plugin_id, before, after)]
    folders = [folder for plugin_id in ids for folder in plugin_folders(plugin_id)]
    base.prefetch(path for folder in folders for path in tree.paths(folder))
    subset = State({plugin_id: dict(state.rows[plugin_id]) for plugin_id in ids})
    usable = subset.usable()
    verify_rows(Inputs(overlay, after, base.now, no_recovery), subset)
    lost, won = sorted(usable - subset.usable()), sorted(subset.usable() - usable)
    for plugin_id, version in lost[:_MOST_NAMED]:
        row = subset.get(plugin_id, version)
        reason = row.raw["quarantined"]["reason"].removeprefix(f"{row.path}: ") if row is not None else ""
        review.notes.append(f"{plugin_id} {version} would become unusable (quarantined): {reason}")
    if len(lost) > _MOST_NAMED:
        review.notes.append(f"So would {len(lost) - _MOST_NAMED} more.")
    if won:
        names = ", ".join(f"{plugin_id} {version}" for plugin_id, version in won[:_MOST_NAMED])
        more = f" and {len(won) - _MOST_NAMED} more" if len(won) > _MOST_NAMED else ""
        review.notes.append(f"Usable again would be {names}{more}.")
    if len(lost) > tolerated_loss(len(state.usable())):
        review.notes.append(
            f"The registrar takes the loss of {counted(len(lost), 'version')} only when told: "
            f"'publisher registry register --allow-loss {len(lost)}'."
        )


def _concerns(plugin_id: str, before: Authority, after: Authority) -> bool:
    """Whether a plugin's documents may verify otherwise than before."""
    if before.policy.registry != after.policy.registry:
        return True
    old, new = before.publisher_of(plugin_id), after.publisher_of(plugin_id)
    if old is None or new is None:
        return old is not new
    paths = [f"publishers/{keys.publisher.id}.json" for keys in (old, new)]
    return before.documents[paths[0]] != after.documents[paths[1]]


@dataclass(frozen=True)
class _WithoutArtifacts:
    """A tree whose packed files count as absent: no signature depends on them, and they may be large."""

    tree: Tree

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        return None if path.startswith("artifacts/") else self.tree.read(path)

    def paths(self, folder: str) -> Iterable[str]:
        """All paths below a folder, sorted."""
        return self.tree.paths(folder)


__all__ = ["Review", "judge_maintainers"]
