"""`publisher registry policy`: who may publish what, with which keys, and what is blocked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from publisher.authority import check_no_overlap
from publisher.schemas import validate_against
from publisher.tuf_repository import add_target
from registry_client.errors import (
    ConfigError,
    DocumentError,
    NotFoundError,
    RegistryError,
    VerificationError,
)
from registry_client.jsontext import dump_json, payload_digest_of
from registry_client.layout import plugin_folders, version_file
from registry_client.models.base import format_time
from registry_client.names import check_plugin_id, check_range, parse_version
from registry_client.signed import parse_blocks, parse_manifest, parse_policy, parse_publisher
from registry_client.status import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from publisher.maintain.desk import Desk
    from publisher.tree import Tree
    from registry_client.digest import Digest
    from registry_client.models.policy import Policy

Json = dict[str, Any]


@dataclass(frozen=True)
class PublisherChange:
    """What to change of a publisher; None and empty leave things as they are."""

    name: str | None = None
    threshold: int | None = None
    add_plugins: tuple[str, ...] = ()
    remove_plugins: tuple[str, ...] = ()
    add_repositories: tuple[int, ...] = ()
    remove_repositories: tuple[int, ...] = ()


def add_publisher(
    desk: Desk, publisher_id: str, name: str, keys: dict[str, Json], change: PublisherChange
) -> None:
    """Allow a new publisher.

    Args:
        desk: the registry.
        publisher_id: a new id.
        name: what people call it.
        keys: TUF key objects by keyid.
        change: threshold, plugins and repositories.

    Raises:
        ConfigError: the id is taken, or the result breaks a rule.
    """
    path = _path(publisher_id)
    if desk.document(path) is not None:
        raise ConfigError(f"{path}: exists already", hint="Use 'change-publisher' or 'add-key'.")
    document: Json = {
        "kind": "publisher",
        "schemaVersion": 1,
        "id": publisher_id,
        "name": name,
        "keys": keys,
        "threshold": 1,
        "plugins": [],
    }
    _write(desk, path, _changed(document, change))


def change_publisher(desk: Desk, publisher_id: str, change: PublisherChange) -> None:
    """Change a publisher's name, threshold, plugins or repositories. Raises ConfigError, NotFoundError."""
    _edit(desk, publisher_id, lambda document: _changed(document, change))


def remove_publisher(desk: Desk, publisher_id: str) -> None:
    """Remove a publisher: its versions are quarantined until another one covers and signs them."""
    path = _path(publisher_id)
    if desk.document(path) is None:
        raise _unknown(publisher_id)
    with desk.repository.edit_targets() as targets:
        del targets.targets[path]
    desk.tree.delete(path)


def add_key(desk: Desk, publisher_id: str, keyid: str, key: Json) -> None:
    """Give a publisher another key."""

    def change(document: Json) -> Json:
        if keyid in document.get("revokedKeys", {}):
            raise ConfigError(f"key {keyid[:16]}… was revoked and cannot come back", hint="Make a new key.")
        retired = {k: v for k, v in document.get("retiredKeys", {}).items() if k != keyid}
        return _with(document, keys={**document["keys"], keyid: key}, retiredKeys=retired)

    _edit(desk, publisher_id, change)


def retire_key(desk: Desk, publisher_id: str, keyid: str) -> int:
    """Retire a key: it signs nothing new, and counts for what it has signed in this registry until now.

    Returns:
        For how many documents it still counts.
    """
    counted: list[str] = []

    def change(document: Json) -> Json:
        key = _key(document, keyid)
        counted.extend(sorted(signed_by(desk.tree, keyid)))
        retired = {"key": key, "digests": counted, "since": format_time(desk.now)}
        keys = {k: v for k, v in document["keys"].items() if k != keyid}
        return _with(document, keys=keys, retiredKeys={**document.get("retiredKeys", {}), keyid: retired})

    _edit(desk, publisher_id, change)
    return len(counted)


def revoke_key(desk: Desk, publisher_id: str, keyid: str, reason: str) -> int:
    """Revoke a key: it counts for nothing, whatever it signed.

    Returns:
        How many published documents it had signed.
    """

    def change(document: Json) -> Json:
        _key(document, keyid)
        revoked = {
            **document.get("revokedKeys", {}),
            keyid: {"reason": reason, "since": format_time(desk.now)},
        }
        keys = {k: v for k, v in document["keys"].items() if k != keyid}
        retired = {k: v for k, v in document.get("retiredKeys", {}).items() if k != keyid}
        return _with(document, keys=keys, retiredKeys=retired, revokedKeys=revoked)

    _edit(desk, publisher_id, change)
    return len(signed_by(desk.tree, keyid))


def full_keyid(desk: Desk, publisher_id: str, prefix: str) -> str:
    """The keyid of a publisher's key out of its first characters.

    Raises:
        NotFoundError: none, or more than one, begins so.
    """
    data = desk.document(_path(publisher_id))
    if data is None:
        raise _unknown(publisher_id)
    document = json.loads(data)
    known: Json = {**document["keys"], **document.get("retiredKeys", {}), **document.get("revokedKeys", {})}
    fitting = [keyid for keyid in known if keyid.startswith(prefix.lower())]
    if len(fitting) != 1 or not prefix:
        raise NotFoundError(
            f"publisher {publisher_id!r} has {len(fitting)} keys whose keyid begins with {prefix!r}",
            hint="Its keys are: " + ", ".join(f"{keyid[:16]}…" for keyid in known),
        )
    return str(fitting[0])


def set_policy(desk: Desk, members: Json) -> tuple[Policy, list[str]]:
    """Change members of policy.json.

    Returns:
        The policy as it then is, and which of the members were different before. Where none was, and nothing waits for more
        signatures, nothing is signed.

    Raises:
        ConfigError: the result breaks a rule.
    """
    before = desk.document("policy.json") or b"{}"
    data = dump_json(_valid("policy", {**json.loads(before), **members}, "policy.json"))
    policy = parse_policy(data, "policy.json")
    old, new = (
        model.model_dump(mode="json", by_alias=True)
        for model in (parse_policy(before, "policy.json"), policy)
    )
    changed = [member for member in members if old[member] != new[member]]
    if changed or desk.waiting:
        _sign_target(desk, "policy.json", data)
    return policy, changed


def block(desk: Desk, entry: Json) -> list[str]:
    """Block versions of a plugin.

    Args:
        desk: the registry.
        entry: id, versions, action, reason, and digests if any.

    Returns:
        The published versions that it holds.
    """
    document = _blocks(desk)
    since = {"since": format_time(desk.now)}
    others = [
        item
        for item in document["blocks"]
        if (item["id"], item["versions"]) != (entry["id"], entry["versions"])
    ]
    _write_blocks(desk, {**document, "blocks": [*others, {**entry, **since}]})
    return matching_versions(desk.tree, entry)


def unblock(desk: Desk, plugin_id: str, versions: str | None) -> list[str]:
    """Lift the blocks of a plugin, or only the one with exactly this range.

    Returns:
        The published versions that it held.

    Raises:
        NotFoundError: there is no such block.
    """
    document = _blocks(desk)
    lifted = [b for b in document["blocks"] if b["id"] == plugin_id and versions in {None, b["versions"]}]
    if not lifted:
        raise NotFoundError(f"no block on {plugin_id}{f' {versions}' if versions else ''}")
    _write_blocks(desk, {**document, "blocks": [b for b in document["blocks"] if b not in lifted]})
    held = {version for entry in lifted for version in matching_versions(desk.tree, entry)}
    return sorted(held, key=parse_version)


def published_versions(tree: Tree, plugin_id: str) -> dict[str, Digest]:
    """Payload digests of a plugin's published versions, oldest first."""
    found = {}
    paths = [path for folder in plugin_folders(plugin_id) for path in tree.paths(folder)]
    for path in paths:
        parts = version_file(path)
        if parts is None or not parts.is_manifest or parts.resigned:
            continue
        try:
            document = parse_manifest(tree.read(path) or b"", path)
        except RegistryError:  # not published: the audit names it
            continue
        found[document.model.version] = document.payload_digest
    return {version: found[version] for version in sorted(found, key=parse_version)}


def matching_versions(tree: Tree, entry: Json) -> list[str]:
    """The published versions that a block holds, oldest first."""
    blocks = parse_blocks(
        dump_json({"kind": "blocks", "schemaVersion": 1, "blocks": [_dated(entry)]}), "block"
    ).blocks
    versions = published_versions(tree, entry["id"])
    return [
        version for version, digest in versions.items() if blocks_of(blocks, entry["id"], version, digest)
    ]


def signed_by(tree: Tree, keyid: str) -> set[str]:
    """Payload digests of all published manifests and releases that carry a signature of a key."""
    found = set()
    for path in tree.paths("plugins"):
        if version_file(path) is None:
            continue
        try:
            document = json.loads(tree.read(path) or b"{}")
            if any(item.get("keyid") == keyid for item in document.get("signatures", ())):
                found.add(str(payload_digest_of(document)))
        except (ValueError, AttributeError):  # not published: the audit names it
            continue
    return found


def _dated(entry: Json) -> Json:
    return {"since": "1970-01-01T00:00:00Z", **entry}


def _path(publisher_id: str) -> str:
    try:
        return f"publishers/{check_plugin_id(publisher_id)}.json"
    except ValueError as e:
        raise ConfigError(str(e).replace("plugin id", "publisher id")) from e


def _unknown(publisher_id: str) -> NotFoundError:
    return NotFoundError(f"there is no publisher {publisher_id!r}", hint="See the folder publishers/.")


def _key(document: Json, keyid: str) -> Json:
    key = document["keys"].get(keyid) or document.get("retiredKeys", {}).get(keyid, {}).get("key")
    if key is None:
        raise NotFoundError(f"publisher {document['id']!r} has no key {keyid[:16]}… in use")
    return dict(key)


def _with(document: Json, **members: Any) -> Json:
    """The document with other members; empty optional ones are left out."""
    changed = {**document, **members}
    optional = {"retiredKeys", "revokedKeys", "repositoryIds"}
    return {name: value for name, value in changed.items() if value or name not in optional}


def _changed(document: Json, change: PublisherChange) -> Json:
    plugins = [p for p in document["plugins"] if p not in change.remove_plugins]
    repositories = [r for r in document.get("repositoryIds", []) if r not in change.remove_repositories]
    return _with(
        document,
        name=change.name or document["name"],
        threshold=change.threshold or document["threshold"],
        plugins=_merged(plugins, change.add_plugins),
        repositoryIds=_merged(repositories, change.add_repositories),
    )


def _merged(items: list[Any], more: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys([*items, *more]))


def _edit(desk: Desk, publisher_id: str, change: Callable[[Json], Json]) -> None:
    path = _path(publisher_id)
    data = desk.document(path)
    if data is None:
        raise _unknown(publisher_id)
    _write(desk, path, change(json.loads(data)))


def _write(desk: Desk, path: str, document: Json) -> None:
    """Check a publisher file, alone and against the others, then sign it."""
    data = dump_json(_valid("publisher", document, path))
    try:
        keys = parse_publisher(data, path)
    except (
        VerificationError
    ) as e:  # a keyid that is not its key's, or one key twice: the caller's mistake here
        raise ConfigError(e.message, hint=e.hint) from e
    check_no_overlap({**_patterns(desk), keys.publisher.id: keys.publisher.plugins})
    _sign_target(desk, path, data)


def _patterns(desk: Desk) -> dict[str, tuple[str, ...]]:
    """What each publisher covers, staged changes included."""
    targets = desk.repository.open("targets").signed.targets
    documents = [desk.document(path) or b"" for path in targets if path.startswith("publishers/")]
    publishers = [parse_publisher(data, "publishers").publisher for data in documents]
    return {publisher.id: publisher.plugins for publisher in publishers}


def _valid(kind: str, document: Json, where: str) -> Json:
    problems = validate_against(kind, document, where)
    if problems:
        raise DocumentError(where, problems)
    return document


def _sign_target(desk: Desk, path: str, data: bytes) -> None:
    with desk.repository.edit_targets() as targets:
        desk.tree.write(add_target(targets, path, data), data)
    desk.tree.write(path, data)


def _blocks(desk: Desk) -> Json:
    document: Json = json.loads(desk.document("blocks.json", "blocks") or b"{}")
    return document


def _write_blocks(desk: Desk, document: Json) -> None:
    for entry in document["blocks"]:
        try:
            check_range(entry["versions"])
        except ValueError as e:
            raise ConfigError(f"block on {entry['id']}: {e}") from e
    data = dump_json(_valid("blocks", document, "blocks.json"))
    parse_blocks(data, "blocks.json")
    with desk.repository.edit_targets("blocks") as role:
        desk.tree.write(add_target(role, "blocks.json", data), data)
    desk.tree.write("blocks.json", data)
