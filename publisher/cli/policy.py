"""`publisher registry policy`: who may publish what, with which keys, and what is blocked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.cli import env
from publisher.cli.common import (
    DevKeysOption,
    DirArgument,
    JsonOption,
    KeysOption,
    RootDigestOption,
    emit,
    load_signers,
    note,
    parse_digest,
    read_public_key,
    tell_waiting,
)
from publisher.cli.help import command
from registry_client.errors import ConfigError
from registry_client.models.blocks import BlockAction
from registry_client.names import EVERY_VERSION

if TYPE_CHECKING:
    from publisher.maintain.desk import Desk

app = typer.Typer(
    help="Say who may publish what, with which keys, and what is blocked.", no_args_is_help=True
)
PublisherArgument = Annotated[str, typer.Argument(metavar="PUBLISHER", help="The publisher's id.")]
PluginsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin", metavar="PATTERN", help="A plugin id, or a prefix such as 'acme-*'. Repeat for more."
    ),
]
RepositoriesOption = Annotated[
    list[int] | None,
    typer.Option("--repository-id", metavar="N", help="Numeric id of a repository that may publish."),
]
ThresholdOption = Annotated[
    int | None, typer.Option("--threshold", metavar="N", min=1, max=16, help="How many keys must sign.")
]
KeyidArgument = Annotated[
    str, typer.Argument(metavar="KEYID", help="The key, by the first characters of its keyid.")
]


def _desk(folder: Path, key: list[str] | None, root_digest: str | None, allow_dev_keys: bool) -> Desk:
    from publisher.maintain.desk import Desk, candidates, require_registry

    known = candidates(require_registry(folder))
    signers = load_signers(key, allow_dev_keys=allow_dev_keys, candidates=known)
    return Desk(
        folder, signers, env.now(), allow_dev_keys=allow_dev_keys, root_digest=parse_digest(root_digest)
    )


def _done(desk: Desk, text: str, **more: Any) -> None:
    changed = desk.save()
    emit({"changedFiles": changed, "staged": desk.waiting, **more}, text)
    tell_waiting(desk)
    if not changed:
        return
    note("Commit and push it; the registrar brings it to hosts: 'publisher registry register'.")


@command(app, "add-publisher", "policy")
def add_publisher(
    folder: DirArgument,
    publisher: PublisherArgument,
    key_file: Annotated[
        list[Path],
        typer.Option(
            "--key-file", metavar="FILE", help="A public key of theirs (from keygen). Repeat for more."
        ),
    ],
    plugin: PluginsOption = None,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="What people call them.")] = None,
    threshold: ThresholdOption = None,
    repository_id: RepositoriesOption = None,
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Allow a new publisher."""
    from publisher.maintain import policy
    from publisher.signing import public_key_object

    desk = _desk(folder, key, root_digest, allow_dev_keys)
    keys = {k.keyid: public_key_object(k) for k in map(read_public_key, key_file)}
    change = policy.PublisherChange(None, threshold, tuple(plugin or ()), (), tuple(repository_id or ()))
    policy.add_publisher(desk, publisher, name or publisher, keys, change)
    _done(desk, f"publisher {publisher} may publish {', '.join(plugin or ['nothing yet'])}")


@command(app, "change-publisher", "policy")
def change_publisher(
    folder: DirArgument,
    publisher: PublisherArgument,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="What people call them.")] = None,
    plugin: PluginsOption = None,
    remove_plugin: Annotated[
        list[str] | None, typer.Option("--remove-plugin", metavar="PATTERN", help="Not this any more.")
    ] = None,
    threshold: ThresholdOption = None,
    repository_id: RepositoriesOption = None,
    remove_repository_id: Annotated[
        list[int] | None, typer.Option("--remove-repository-id", metavar="N", help="Not this any more.")
    ] = None,
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Change a publisher's name, plugins, threshold or repositories."""
    from publisher.maintain import policy

    desk = _desk(folder, key, root_digest, allow_dev_keys)
    change = policy.PublisherChange(
        name,
        threshold,
        tuple(plugin or ()),
        tuple(remove_plugin or ()),
        tuple(repository_id or ()),
        tuple(remove_repository_id or ()),
    )
    if change == policy.PublisherChange():
        raise ConfigError("nothing to change was given")
    policy.change_publisher(desk, publisher, change)
    _done(desk, f"publisher {publisher} changed")


@command(app, "remove-publisher", "policy")
def remove_publisher(
    folder: DirArgument,
    publisher: PublisherArgument,
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Remove a publisher. Its versions are quarantined until another publisher covers and signs them."""
    from publisher.maintain import policy

    desk = _desk(folder, key, root_digest, allow_dev_keys)
    policy.remove_publisher(desk, publisher)
    _done(desk, f"publisher {publisher} removed")


@command(app, "add-key", "policy")
def add_key(
    folder: DirArgument,
    publisher: PublisherArgument,
    key_file: Annotated[
        Path, typer.Option("--key-file", metavar="FILE", help="The new public key (from keygen).")
    ],
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Give a publisher another key."""
    from publisher.maintain import policy
    from publisher.signing import public_key_object

    desk = _desk(folder, key, root_digest, allow_dev_keys)
    new = read_public_key(key_file)
    policy.add_key(desk, publisher, new.keyid, public_key_object(new))
    _done(desk, f"publisher {publisher} has key {new.keyid}", keyid=new.keyid)


@command(app, "retire-key", "policy")
def retire_key(
    folder: DirArgument,
    publisher: PublisherArgument,
    keyid: KeyidArgument,
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Retire a key: it signs nothing new, and still counts for what it signed here before."""
    from publisher.maintain import policy

    desk = _desk(folder, key, root_digest, allow_dev_keys)
    full = policy.full_keyid(desk, publisher, keyid)
    count = policy.retire_key(desk, publisher, full)
    _done(
        desk,
        f"key {full} of {publisher} is retired; it still counts for {count} documents",
        keyid=full,
        documents=count,
    )


@command(app, "revoke-key", "policy")
def revoke_key(
    folder: DirArgument,
    publisher: PublisherArgument,
    keyid: KeyidArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")],
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Revoke a key: it counts for nothing. Versions signed by it alone are quarantined until they are signed again."""
    from publisher.maintain import policy

    desk = _desk(folder, key, root_digest, allow_dev_keys)
    full = policy.full_keyid(desk, publisher, keyid)
    count = policy.revoke_key(desk, publisher, full, reason)
    _done(
        desk,
        f"key {full} of {publisher} is revoked; it had signed {count} documents",
        keyid=full,
        documents=count,
    )
    if count:
        note(
            "Versions that no other key has signed will be quarantined: 'publisher registry register --allow-loss N'."
        )


@command(app, "set", "policy")
def set_policy(
    folder: DirArgument,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="What people call the registry.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Where it is served.")
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            "--mirror",
            metavar="URL",
            help="All mirrors, which are other URLs with the same tree: replaces those there are. Repeat for more.",
        ),
    ] = None,
    no_mirrors: Annotated[
        bool, typer.Option("--no-mirrors", help="Remove all mirrors. Not together with --mirror.")
    ] = False,
    artifacts_in_tree: Annotated[
        bool | None,
        typer.Option("--artifacts-in-tree/--no-artifacts-in-tree", help="Keep artifacts in the registry."),
    ] = None,
    catalogue_minutes: Annotated[
        int | None,
        typer.Option(
            "--catalogue-minutes",
            metavar="N",
            min=0,
            max=1440,
            help="For how long additions to registry.json may wait for each other; 0 for not at all. 'plugin search' and plain hosts "
            "show them as late; hosts that verify resolve new versions at once.",
        ),
    ] = None,
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Change the registry's name, base URL, mirrors, whether it keeps artifacts, or how often registry.json is written."""
    from publisher.maintain import policy

    if no_mirrors and mirror:
        raise typer.BadParameter("--no-mirrors and --mirror exclude each other: give one of them")
    members: dict[str, Any] = {
        "name": name,
        "baseUrl": base_url.rstrip("/") if base_url else None,
        "mirrors": mirror,
        "catalogueMinutes": catalogue_minutes,
    }
    if no_mirrors:
        members["mirrors"] = []
    if artifacts_in_tree is not None:
        members["artifacts"] = {"inTree": artifacts_in_tree}
    wanted = {member: value for member, value in members.items() if value is not None}
    if not wanted:
        raise ConfigError("nothing to change was given")
    desk = _desk(folder, key, root_digest, allow_dev_keys)
    now, changed = policy.set_policy(desk, wanted)
    lines = [f"policy: {', '.join(changed)} changed" if changed else "policy: stands so already"]
    if "mirrors" in wanted:
        lines.append(f"mirrors: {', '.join(now.mirrors) or 'none'}")
    _done(desk, "\n".join(lines), changedMembers=changed, mirrors=list(now.mirrors))


@command(app, "block", "policy")
def block(
    folder: DirArgument,
    plugin_id: Annotated[str, typer.Argument(metavar="PLUGIN", help="The plugin.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; hosts show it.")],
    versions: Annotated[
        str,
        typer.Option(
            "--versions",
            metavar="RANGE",
            help="Which versions, prereleases too; but '<1.2' leaves out 1.2.0-rc.1, '<1.2.0a0' does not.",
        ),
    ] = EVERY_VERSION,
    action: Annotated[BlockAction, typer.Option("--action", help="What hosts do.")] = BlockAction.HIDE,
    digest: Annotated[
        list[str] | None, typer.Option("--digest", metavar="DIGEST", help="A payload digest to block too.")
    ] = None,
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Block versions of a plugin, and print which published versions match."""
    from publisher.maintain import policy

    desk = _desk(folder, key, root_digest, allow_dev_keys)
    entry: dict[str, Any] = {"id": plugin_id, "versions": versions, "action": action.value, "reason": reason}
    if digest:
        entry["digests"] = digest
    matching = policy.block(desk, entry)
    others = [v for v in policy.published_versions(desk.tree, plugin_id) if v not in matching]
    text = f"{plugin_id} {versions}: {action}; matches {', '.join(matching) or 'no published version'}"
    if others:
        text += f"; leaves {', '.join(others)}"
    _done(desk, text, id=plugin_id, versions=versions, matching=matching, leaving=others)


@command(app, "unblock", "policy")
def unblock(
    folder: DirArgument,
    plugin_id: Annotated[str, typer.Argument(metavar="PLUGIN", help="The plugin.")],
    versions: Annotated[
        str | None,
        typer.Option("--versions", metavar="RANGE", help="Only the block with exactly this range."),
    ] = None,
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Lift a plugin's blocks, and print which published versions they held."""
    from publisher.maintain import policy

    desk = _desk(folder, key, root_digest, allow_dev_keys)
    matching = policy.unblock(desk, plugin_id, versions)
    text = f"{plugin_id}: unblocked; it held {', '.join(matching) or 'no published version'}"
    _done(desk, text, id=plugin_id, matching=matching)
