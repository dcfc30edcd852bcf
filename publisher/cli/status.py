"""`publisher set-status` and `publisher yank`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.cli import env
from publisher.cli.common import (
    BranchOption,
    DevKeysOption,
    JsonOption,
    KeysOption,
    PublicKeysOption,
    ToOption,
    emit,
    load_signers,
)
from publisher.cli.offer import (
    DryRunOption,
    ForceOption,
    ImportOption,
    PullRequestOption,
    PushOption,
    ReasonOption,
    RolloutOption,
    StatusOption,
    TagOption,
    WaitOption,
    delivery_of,
    send,
)
from publisher.set_status import Change
from registry_client.errors import ConfigError
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from publisher.delivery import Delivery


def set_status(
    plugin_id: Annotated[str, typer.Argument(metavar="ID", help="The plugin.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version.")],
    to: ToOption = ".",
    status: StatusOption = None,
    rollout: RolloutOption = None,
    push: PushOption = None,
    force_update: ForceOption = None,
    reason: ReasonOption = None,
    key: KeysOption = None,
    public_key: PublicKeysOption = None,
    tag: TagOption = None,
    pull_request: PullRequestOption = False,
    import_: ImportOption = False,
    wait: WaitOption = None,
    branch: BranchOption = "main",
    dry_run: DryRunOption = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Sign a new status for a published version: roll it out, push it, deprecate it, yank it."""
    change = Change(status, rollout, push, force_update, reason)
    if change == Change():
        raise ConfigError(
            "nothing to change was given",
            hint="Give --status, --rollout, --push, --force-update or --reason.",
        )
    signing = _Signing(key, public_key, allow_dev_keys)
    version = version.removeprefix("v")
    delivery = delivery_of(to, branch, pull_request, import_, tag, version)
    _set_status(plugin_id, version, change, signing, delivery, wait, dry_run)


def yank(
    plugin_id: Annotated[str, typer.Argument(metavar="ID", help="The plugin.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; people see it.")],
    to: ToOption = ".",
    key: KeysOption = None,
    public_key: PublicKeysOption = None,
    tag: TagOption = None,
    pull_request: PullRequestOption = False,
    import_: ImportOption = False,
    wait: WaitOption = None,
    branch: BranchOption = "main",
    dry_run: DryRunOption = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Yank a version: it is not resolved any more; its bytes stay. Short for set-status --status yanked."""
    change = Change(ReleaseStatus.YANKED, reason=reason)
    signing = _Signing(key, public_key, allow_dev_keys)
    version = version.removeprefix("v")
    delivery = delivery_of(to, branch, pull_request, import_, tag, version)
    _set_status(plugin_id, version, change, signing, delivery, wait, dry_run)


@dataclass(frozen=True)
class _Signing:
    """The options that name keys."""

    key: list[str] | None
    public_key: list[Path] | None
    allow_dev_keys: bool


def _set_status(
    plugin_id: str,
    version: str,
    change: Change,
    signing: _Signing,
    delivery: Delivery,
    wait: int | None,
    dry_run: bool,
) -> None:
    from publisher.set_status import prepare_release
    from registry_client.names import check_plugin_id, check_version

    try:
        check_plugin_id(plugin_id)
        check_version(version)
    except ValueError as e:
        raise ConfigError(str(e)) from e
    signers = load_signers(signing.key, public_keys=signing.public_key, allow_dev_keys=signing.allow_dev_keys)
    if not dry_run:
        delivery.check_token()
    now = env.now()
    with delivery.open() as destination:
        prepared = prepare_release(plugin_id, version, change, signers, destination, now)
        sent = send(destination, prepared.offer, now, wait, dry_run=dry_run)
    release = prepared.release
    stated = f"status {release['status']}, rollout {release['rollout']} %, revision {release['revision']}"
    where = {"registered": ", registered", "dry run": " (dry run)"}.get(
        sent.result, f", offered at {sent.url or sent.place}"
    )
    said = prepared.note or sent.note
    text = said or f"{plugin_id} {version}: {stated}{where}"
    row = {
        "id": plugin_id,
        "version": version,
        "release": release,
        "result": sent.result,
        "place": sent.place,
        "url": sent.url,
        "note": said,
    }
    emit({name: value for name, value in row.items() if value}, text)
