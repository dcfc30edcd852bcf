"""`publisher publish`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.cli import actions, env
from publisher.cli.common import (
    BranchOption,
    Bump,
    DevKeysOption,
    JsonOption,
    KeysOption,
    PublicKeysOption,
    SourceArgument,
    ToOption,
    emit,
    load_signers,
    note,
    tell_notes,
    wanted_version,
)
from publisher.cli.offer import (
    DryRunOption,
    ForceOption,
    ImportOption,
    PullRequestOption,
    PushOption,
    ReasonOption,
    RolloutOption,
    Sent,
    StatusOption,
    TagOption,
    WaitOption,
    delivery_of,
    send,
)
from publisher.cli.pack import NoIsolationOption, builder
from publisher.delivery import Delivery, Placement, Way
from publisher.set_status import Change
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from publisher.publish import Prepared


_NEXT = {
    Way.BRANCH: "The registrar takes it into the index on its next run: 'publisher registry register'.",
    Way.PULL_REQUEST: "A maintainer merges it; then the registrar takes it into the index.",
    Way.IMPORT: "The registry looks at releases every now and then, and the registrar takes it from there.",
}


def publish(
    path: SourceArgument = Path(),
    to: ToOption = ".",
    key: KeysOption = None,
    public_key: PublicKeysOption = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Publish as this version.")
    ] = None,
    bump: Annotated[Bump | None, typer.Option("--bump", help="Raise the version, and write it back.")] = None,
    status: StatusOption = None,
    rollout: RolloutOption = None,
    push: PushOption = None,
    force_update: ForceOption = None,
    reason: ReasonOption = None,
    artifacts: Annotated[
        Placement | None,
        typer.Option(
            "--artifacts",
            help="Keep archives in the registry, or upload them to a release of the plugin's own repository.",
        ),
    ] = None,
    artifact_url: Annotated[
        str | None,
        typer.Option(
            "--artifact-url", metavar="TEMPLATE", help="Where archives are placed: {id}, {version}, {name}."
        ),
    ] = None,
    no_isolation: NoIsolationOption = False,
    tag: TagOption = None,
    check_health: Annotated[
        bool,
        typer.Option(
            "--check-health", help="First ask the backend and the frontend; publish only if both answer."
        ),
    ] = False,
    health_timeout: Annotated[
        int,
        typer.Option(
            "--health-timeout",
            metavar="SECONDS",
            min=1,
            max=3600,
            help="For how long to ask before giving up.",
        ),
    ] = 60,
    pull_request: PullRequestOption = False,
    import_: ImportOption = False,
    wait: WaitOption = None,
    branch: BranchOption = "main",
    dry_run: DryRunOption = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Publish a version: pack, fill in digests, provenance and time, sign, check, and offer it to the registrar.

    The same content again is a no-op; other content under a published version is refused.
    """
    from publisher.publish import Publication, prepare
    from publisher.source import load_source, write_version

    source = load_source(path)
    tell_notes(source.form, source.path, source.notes)
    wanted = wanted_version(source, version, bump)
    change = Change(status, rollout, push, force_update, reason)
    signers = load_signers(key, public_keys=public_key, allow_dev_keys=allow_dev_keys)
    delivery = delivery_of(to, branch, pull_request, import_, tag, wanted)
    placement = _placement(artifacts, artifact_url, delivery)
    url = _release_url(delivery) if placement is Placement.RELEASE else artifact_url
    publication = Publication(
        source, wanted, change, signers, env.provenance(), url, builder(isolated=not no_isolation)
    )
    if not dry_run:
        delivery.check_token()
    now = env.now()
    with delivery.open() as destination:
        prepared = prepare(publication, destination, now)
        if check_health:
            _check_health(prepared, health_timeout)
        if prepared.offer is not None and not dry_run and placement is Placement.RELEASE:
            _upload(delivery, prepared)

        def offered(sent: Sent) -> None:
            if bump is not None:
                write_version(source, wanted)
            _write_outputs(prepared, sent)

        sent = send(destination, prepared.offer, now, wait, dry_run=dry_run, on_offered=offered)
    if bump is not None and sent.result == "unchanged" and not dry_run:
        write_version(source, wanted)
    _tell(prepared, sent, delivery.way)


def _placement(wanted: Placement | None, artifact_url: str | None, delivery: Delivery) -> Placement | None:
    """Where packed artifacts go; None leaves it to the manifest and the registry.

    Raises:
        ConfigError: two places, or one that the way does not reach.
    """
    if wanted is not None and artifact_url is not None:
        raise ConfigError("--artifacts and --artifact-url exclude each other")
    if delivery.way is not Way.IMPORT or artifact_url is not None:
        return wanted
    if wanted is Placement.IN_TREE:
        raise ConfigError(
            "--import cannot bring archives into the registry",
            hint="Leave --artifacts in-tree out: they go to the release.",
        )
    return Placement.RELEASE


def _release_url(delivery: Delivery) -> str:
    from publisher.delivery import own_repository
    from publisher.github.names import server_url
    from publisher.github.releases import asset_url_template

    environ = env.environ()
    return asset_url_template(server_url(environ), own_repository(environ), delivery.tag)


def _upload(delivery: Delivery, prepared: Prepared) -> None:
    """Upload packed artifacts to the release before anything names them."""
    from publisher.delivery import own_repository
    from publisher.github.api import JOB_TOKEN_VARIABLE, Api
    from publisher.github.releases import upload

    if prepared.packed:
        environ = env.environ()
        api = Api.from_environ(environ, JOB_TOKEN_VARIABLE)
        # A release may take no files once it is published: with an import, the manifest still has to get on it.
        publish_draft = False if delivery.way is Way.IMPORT else None
        target = environ.get("GITHUB_SHA", "")
        for asset in upload(
            api, own_repository(environ), delivery.tag, prepared.packed, target=target, publish=publish_draft
        ):
            note(f"{asset.name} is on release {delivery.tag} ({asset.digest})")


def _check_health(prepared: Prepared, seconds: int) -> None:
    from publisher.health import check_health
    from registry_client.http import Transport

    for check in check_health(
        prepared.manifest, Transport(), timeout_seconds=seconds, sleep=time.sleep, clock=time.monotonic
    ):
        note(f"{check.what} answers: {check.detail}")


def _tell(prepared: Prepared, sent: Sent, way: Way) -> None:
    plugin_id, version = prepared.manifest["id"], prepared.manifest["version"]
    named = f"{plugin_id} {version}"
    texts = {
        "unchanged": prepared.note,
        "dry run": f"{named} would be published ({prepared.payload_digest})",
        "offered": sent.note or f"{named} is offered at {sent.url or sent.place} ({prepared.payload_digest})",
        "registered": f"{named} is registered ({prepared.payload_digest})",
    }
    document: dict[str, Any] = {
        "id": plugin_id,
        "version": version,
        "payloadDigest": prepared.payload_digest,
        "manifestUrl": prepared.manifest_url,
        "result": sent.result,
        "place": sent.place,
        "url": sent.url,
        "note": prepared.note or sent.note,
    }
    emit({name: value for name, value in document.items() if value}, texts[sent.result])
    if sent.result == "offered":
        note(_NEXT[way])
    _write_outputs(prepared, sent)
    actions.write_summary(_summary(prepared, sent, texts[sent.result]))


def _write_outputs(prepared: Prepared, sent: Sent) -> None:
    """The outputs of a job's step; of those that are written twice, the last counts."""
    actions.write_outputs(
        {
            "id": prepared.manifest["id"],
            "version": prepared.manifest["version"],
            "manifest-url": prepared.manifest_url,
            "digest": str(prepared.payload_digest),
            "result": sent.result,
            "place": sent.url or sent.place,
        }
    )


def _summary(prepared: Prepared, sent: Sent, text: str) -> str:
    """The job's summary: what was published, and where."""
    from publisher.markdown import code, escape, table

    rows = [
        ("version", escape(prepared.manifest["version"])),
        ("result", escape(sent.result)),
        ("payload digest", code(str(prepared.payload_digest))),
        ("offered at", code(sent.url or sent.place or "-")),
        ("manifest", code(prepared.manifest_url)),
    ]
    head = f"### {escape(str(prepared.manifest['name']))} {escape(prepared.manifest['version'])}"
    return f"{head}\n\n{escape(text)}\n\n{table(('', ''), rows)}"
