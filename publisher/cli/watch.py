"""Commands that look and report: audit, expiry. They need no key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.cli import actions, env
from publisher.cli.common import (
    BranchOption,
    DevKeysOption,
    IssueOption,
    JsonOption,
    RootDigestOption,
    SummaryOption,
    emit,
    note,
    parse_digest,
)
from registry_client.errors import ConfigError, ExpiredError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from publisher.github.notices import Notice
    from publisher.tree import Tree
    from publisher.watch.elsewhere import Elsewhere
    from publisher.watch.expiry import Expiry
    from publisher.watch.findings import Report
    from registry_client.digest import Digest

_AUDIT_FAILED = 11
RootOption = Annotated[
    Path | None, typer.Option("--root", metavar="FILE", help="The pinned root; needed for a URL.")
]


def audit(
    registry: Annotated[
        str, typer.Argument(metavar="DIR|URL", help="A folder with a registry, or a base URL.")
    ] = ".",
    root: RootOption = None,
    root_digest: RootDigestOption = None,
    artifacts: Annotated[
        bool,
        typer.Option("--artifacts", help="Also fetch every artifact that other hosts serve, and hash it."),
    ] = False,
    links: Annotated[
        bool, typer.Option("--links", help="Also follow the links of each plugin's newest release.")
    ] = False,
    quarantine_file: Annotated[
        Path | None,
        typer.Option(
            "--quarantine-file",
            metavar="FILE",
            help="Write what changed or vanished, for 'registry register --quarantine'.",
        ),
    ] = None,
    issue: IssueOption = None,
    summary: SummaryOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Check everything: documents, digests, signatures, paths, expiry. Exit code 11 if there are errors."""
    from publisher.registrar.quarantine import dump_marks
    from publisher.watch.audit import audit as run
    from publisher.watch.elsewhere import Elsewhere, Wanted, look_elsewhere
    from publisher.watch.reports import audit_notice, audit_summary
    from registry_client.http import Transport
    from registry_client.store import write_atomic

    if quarantine_file is not None and not artifacts:
        raise ConfigError("--quarantine-file needs --artifacts", hint="Only artifacts are quarantined.")
    tree, pinned, allowed = _audited(registry, root, parse_digest(root_digest), allow_dev_keys)
    remote = "://" in registry
    report = run(tree, pinned, env.now(), allow_dev_keys=allowed, complete=not remote)
    found = Elsewhere()
    if artifacts or links:
        note("looking at what is elsewhere: this may take a while")
        wanted = Wanted(artifacts, links, registry.rstrip("/") if remote else "")
        found = look_elsewhere(tree, pinned, Transport(), wanted, allow_dev_keys=allowed)
        report = replace(
            report, findings=tuple(dict.fromkeys((*report.findings, *found.watched, *found.other)))
        )
    if quarantine_file is not None:
        write_atomic(quarantine_file, dump_marks(found.marks))
    actions.write_summary(audit_summary(report, registry), summary)
    if issue is not None:
        _post(issue, audit_notice(report, found.watched, issue))
    _tell_report(report, registry, found)


def _audited(
    registry: str, root: Path | None, digest: Digest | None, allow_dev_keys: bool
) -> tuple[Tree, bytes, bool]:
    """The registry's files, its root of trust, and whether development keys are accepted."""
    from publisher.authority import pinned_root
    from publisher.maintain.desk import require_registry
    from publisher.maintain.fetch_tree import fetch_root, fetch_tree
    from publisher.tree import DirTree
    from registry_client.client import read_root

    if "://" not in registry:
        folder = DirTree(require_registry(Path(registry)))
        pinned = read_root(root) if root is not None else pinned_root(folder, digest)
        return folder, pinned, allow_dev_keys or (Path(registry) / "dev-keys").is_dir()
    if root is None and digest is None:
        raise ConfigError(
            "a registry at a URL needs --root or --root-digest",
            hint="Give its metadata/1.root.json, or that file's digest, from its maintainers.",
        )
    pinned = read_root(root) if root is not None else fetch_root(registry, digest) if digest else b""
    return fetch_tree(registry, pinned, allow_dev_keys=allow_dev_keys), pinned, allow_dev_keys


def _tell_report(report: Report, registry: str, found: Elsewhere) -> None:
    lines = [
        f"{finding.level}: {finding.path}: {finding.message}"
        + (f"  ({finding.hint})" if finding.hint else "")
        for finding in report.findings
    ]
    verdict = "sound" if report.sound else "not sound"
    lines.append(
        f"{registry}: {verdict}; {report.plugins} plugins, {report.versions} versions, {len(report.findings)} findings"
    )
    row = {
        "sound": report.sound,
        "plugins": report.plugins,
        "versions": report.versions,
        "findings": [finding.to_json() for finding in report.findings],
        "quarantine": [mark.model_dump(by_alias=True, mode="json") for mark in found.marks],
    }
    emit(row, "\n".join(lines))
    if not report.sound:
        raise typer.Exit(_AUDIT_FAILED)


def expiry(
    registry: Annotated[
        str,
        typer.Argument(
            metavar="REGISTRY",
            help="A folder, a Git remote, or a base URL (then with --root or --root-digest).",
        ),
    ] = ".",
    root: RootOption = None,
    root_digest: RootDigestOption = None,
    branch: BranchOption = "main",
    issue: IssueOption = None,
    summary: SummaryOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Say when each role's signatures end. With --issue, keep one issue about those that end soon.

    Soon: online roles under 5 days, offline ones under 60; urgent under 30. Exit code 6 if one has expired, or nothing verifies.
    """
    from publisher.watch.expiry import Level
    from publisher.watch.reports import expiry_notice, expiry_summary, unreadable_notice

    try:
        found = _expiries(registry, root, parse_digest(root_digest), branch, allow_dev_keys)
    except ConfigError:
        raise
    except RegistryError as e:
        if issue is not None:
            _post(issue, unreadable_notice(e, issue))
        raise
    actions.write_summary(expiry_summary(found, registry), summary)
    if issue is not None:
        _post(issue, expiry_notice(found, issue))
    lines = [
        f"{item.role:<10} {item.level.name.lower():<8} {item.days:>5} days, until {item.expires:%Y-%m-%d %H:%M} UTC"
        for item in found
    ]
    emit({"roles": [item.to_json() for item in found]}, "\n".join(lines))
    if any(item.level is Level.EXPIRED for item in found):
        raise typer.Exit(ExpiredError.exit_code)


def _expiries(
    registry: str, root: Path | None, digest: Digest | None, branch: str, allow_dev_keys: bool
) -> Sequence[Expiry]:
    from publisher.authority import pinned_root
    from publisher.git import Remote, is_bare_repository
    from publisher.main_branch import open_main
    from publisher.maintain.fetch_tree import fetch_metadata
    from publisher.watch.expiry import expiries
    from registry_client.client import read_root

    folder = Path(registry)
    if "://" in registry and not _is_git(registry):
        pinned = _root_of(registry, root, digest)
        return expiries(fetch_metadata(registry, pinned), pinned, env.now(), allow_dev_keys=allow_dev_keys)
    if folder.is_dir() and not is_bare_repository(folder):
        tree, pinned, allowed = _audited(registry, root, digest, allow_dev_keys)
        return expiries(tree, pinned, env.now(), allow_dev_keys=allowed)
    remote = Remote.parse(str(folder.resolve()) if folder.is_dir() else registry, env.environ())
    with open_main(remote, branch, env.environ()) as main:
        files = main.tree()
        pinned = read_root(root) if root is not None else pinned_root(files, digest)
        return expiries(files, pinned, env.now(), allow_dev_keys=allow_dev_keys)


def _root_of(url: str, root: Path | None, digest: Digest | None) -> bytes:
    from publisher.maintain.fetch_tree import fetch_root
    from registry_client.client import read_root

    if root is not None:
        return read_root(root)
    if digest is None:
        raise ConfigError(
            "a registry at a URL needs --root or --root-digest",
            hint="Give its metadata/1.root.json, or that file's digest, from its maintainers.",
        )
    return fetch_root(url, digest)


def _is_git(url: str) -> bool:
    """Whether a URL names a Git repository, not the base URL of served files: both may be https://."""
    from publisher.github.names import repository_at

    plain = not url.startswith(("https://", "http://"))
    return plain or url.rstrip("/").endswith(".git") or repository_at(url, env.environ()) is not None


def _post(repository: str, notice: Notice) -> None:
    """Open, update or close an issue."""
    from publisher.github.api import JOB_TOKEN_VARIABLE, Api, check_repository_name
    from publisher.github.notices import post

    check_repository_name(repository, "--issue")
    api = Api.from_environ(env.environ(), JOB_TOKEN_VARIABLE)
    if not api.has_token:
        raise ConfigError(
            "--issue needs a token", hint=f"Set {JOB_TOKEN_VARIABLE} to one that may write issues."
        )
    posted = post(api, repository, notice, env.now())
    where = f" #{posted.number}" if posted.number else ""
    note(f"issue{where}: {posted.what}" if posted.number else "no issue is needed")
