"""Commands that look and report: audit, expiry. They need no key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.cli import actions, env
from publisher.cli.common import (
    ALL_CORES,
    BranchOption,
    DevKeysOption,
    IssueOption,
    JobsOption,
    JsonOption,
    RootDigestOption,
    SummaryOption,
    emit,
    is_work_folder,
    note,
    output,
    parse_digest,
    remote_at,
    warn_unpinned,
)
from registry_client.cli.output import error_json
from registry_client.cli.text import clean, counted
from registry_client.errors import (
    ConfigError,
    DocumentError,
    ExpiredError,
    GitHubError,
    NotFetchedError,
    RegistryError,
    VerificationError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from publisher.github.api import Api
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
    private_addresses: Annotated[
        bool | None,
        typer.Option(
            "--private-addresses/--public-addresses",
            envvar=env.PRIVATE_ADDRESSES,
            help="Also ask hosts at private addresses for artifacts and links. Default: not in GitHub Actions.",
            show_default=False,
        ),
    ] = None,
    jobs: JobsOption = None,
    issue: IssueOption = None,
    summary: SummaryOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Check everything: documents, digests, signatures, paths, expiry. Exit code 11 if there are errors."""
    from publisher.watch.audit import audit as run
    from publisher.watch.elsewhere import Elsewhere, Wanted, look_elsewhere
    from publisher.watch.reports import audit_notice, audit_summary
    from registry_client.http import Transport

    if quarantine_file is not None and not artifacts:
        raise ConfigError("--quarantine-file needs --artifacts", hint="Only artifacts are quarantined.")
    board = _Board.at(issue)
    tree, pinned, allowed = _audited(registry, root, parse_digest(root_digest), allow_dev_keys)
    remote = "://" in registry
    report = run(tree, pinned, env.now(), allow_dev_keys=allowed, complete=not remote, jobs=jobs or ALL_CORES)
    found = Elsewhere()
    if artifacts or links:
        note("looking at what is elsewhere: this may take a while")
        wanted = Wanted(artifacts, links, registry.rstrip("/") if remote else "")
        # Publishers choose the URLs, and a job may stand where it reaches more than they do.
        public_only = env.in_actions() if private_addresses is None else not private_addresses
        transport = Transport(public_only=public_only)
        found = look_elsewhere(tree, pinned, transport, wanted, allow_dev_keys=allowed)
        report = report.joined([*found.watched, *found.other])
    if quarantine_file is not None:
        _write_marks(quarantine_file, found)
    actions.write_summary(audit_summary(report, registry), summary)
    notice = audit_notice(report, found.watched, issue) if issue is not None else None
    code = 0 if report.sound else _AUDIT_FAILED
    _finish(_report_json(report, found), _report_text(report, registry), code, board, notice)


def _audited(
    registry: str, root: Path | None, digest: Digest | None, allow_dev_keys: bool
) -> tuple[Tree, bytes, bool]:
    """The registry's files, its root of trust, and whether development keys are accepted."""
    from publisher.authority import pinned_root
    from publisher.maintain.desk import require_registry
    from publisher.maintain.fetch_tree import fetch_tree
    from publisher.tree import DirTree
    from registry_client.client import read_root

    if "://" not in registry:
        folder = DirTree(require_registry(Path(registry)))
        pinned = read_root(root) if root is not None else pinned_root(folder, digest)
        return folder, pinned, allow_dev_keys or (Path(registry) / "dev-keys").is_dir()
    pinned = _root_of(registry, root, digest)
    return fetch_tree(registry, pinned, allow_dev_keys=allow_dev_keys), pinned, allow_dev_keys


def _write_marks(path: Path, found: Elsewhere) -> None:
    """Write the list for the registrar. An empty one would say that all is sound, so there is none if nothing was looked at.

    Raises:
        ConfigError: it cannot be written.
    """
    from publisher.registrar.quarantine import dump_marks
    from registry_client.store import write_atomic

    if not found.looked:
        output().warn(f"no artifact was looked at, since the index does not verify: {path} was not written")
        return
    try:
        write_atomic(path, dump_marks(found.marks))
    except OSError as e:
        raise ConfigError(f"{path}: cannot be written ({e.strerror})") from e


def _report_text(report: Report, registry: str) -> str:
    lines = [
        f"{finding.level}: {finding.path}: {finding.message}"
        + (f"  ({finding.hint})" if finding.hint else "")
        for finding in report.findings
    ]
    verdict = "sound" if report.sound else "not sound"
    lines.append(
        f"{registry}: {verdict}; {counted(report.plugins, 'plugin')}, "
        f"{counted(report.versions, 'version')}, {counted(len(report.findings), 'finding')}"
    )
    return "\n".join(clean(line) for line in lines)


def _report_json(report: Report, found: Elsewhere) -> dict[str, Any]:
    return {
        "sound": report.sound,
        "plugins": report.plugins,
        "versions": report.versions,
        "findings": [finding.to_json() for finding in report.findings],
        "quarantine": [mark.model_dump(by_alias=True, mode="json") for mark in found.marks],
    }


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

    board = _Board.at(issue)
    try:
        found = _expiries(registry, root, parse_digest(root_digest), branch, allow_dev_keys)
    except (VerificationError, DocumentError, NotFetchedError) as e:
        if board is not None:
            try:
                board.post(unreadable_notice(e, board.repository))
            except GitHubError as failed:  # what is wrong with the registry is the more important error
                output().warn(f"the issue could not be kept: {failed.message}")
        raise
    actions.write_summary(expiry_summary(found, registry), summary)
    lines = [
        f"{item.role:<10} {item.level.name.lower():<8} {item.days:>5} days, until {item.expires:%Y-%m-%d %H:%M} UTC"
        for item in found
    ]
    code = ExpiredError.exit_code if any(item.level is Level.EXPIRED for item in found) else 0
    notice = expiry_notice(found, issue) if issue is not None else None
    _finish({"roles": [item.to_json() for item in found]}, "\n".join(lines), code, board, notice)


def _expiries(
    registry: str, root: Path | None, digest: Digest | None, branch: str, allow_dev_keys: bool
) -> Sequence[Expiry]:
    from publisher.authority import pinned_root
    from publisher.main_branch import open_main
    from publisher.maintain.fetch_tree import fetch_metadata
    from publisher.watch.expiry import expiries
    from registry_client.client import read_root

    if "://" in registry and not _is_git(registry):
        pinned = _root_of(registry, root, digest)
        return expiries(fetch_metadata(registry, pinned), pinned, env.now(), allow_dev_keys=allow_dev_keys)
    if is_work_folder(Path(registry)):
        tree, pinned, allowed = _audited(registry, root, digest, allow_dev_keys)
        return expiries(tree, pinned, env.now(), allow_dev_keys=allowed)
    if root is None:
        warn_unpinned(digest)
    with open_main(remote_at(registry), branch, env.environ()) as main:
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


@dataclass(frozen=True)
class _Board:
    """Where issues are kept: what it needs is looked at before anything that takes long."""

    api: Api
    repository: str

    @classmethod
    def at(cls, repository: str | None) -> _Board | None:
        """The issues of a repository; None where none was asked for.

        Raises:
            ConfigError: no repository, or there is no token.
        """
        from publisher.github.api import JOB_TOKEN_VARIABLE, Api, check_repository_name

        if repository is None:
            return None
        check_repository_name(repository, "--issue")
        api = Api.from_environ(env.environ(), JOB_TOKEN_VARIABLE)
        if not api.has_token:
            raise ConfigError(
                "--issue needs a token", hint=f"Set {JOB_TOKEN_VARIABLE} to one that may write issues."
            )
        return cls(api, repository)

    def post(self, notice: Notice) -> None:
        """Open, update or close an issue.

        Raises:
            GitHubError: GitHub refuses.
        """
        from publisher.github.notices import post

        posted = post(self.api, self.repository, notice, env.now())
        note(f"issue #{posted.number}: {posted.what}" if posted.number else "no issue is needed")


def _finish(
    document: dict[str, Any], text: str, code: int, board: _Board | None, notice: Notice | None
) -> None:
    """Print the result, keep the issue, and end with the result's exit code. An issue that cannot be kept takes nothing from the result.

    Raises:
        typer.Exit: with the result's code, or with that of the failure where the result is good.
    """
    if not output().as_json:
        emit(document, text)
    failure: RegistryError | None = None
    if board is not None and notice is not None:
        try:
            board.post(notice)
        except RegistryError as e:
            failure = e
    if output().as_json:  # one document: it holds the failure too
        emit({**document, **_failure_json(failure)}, text)
    elif failure is not None:
        output().error(failure)
    if failure is not None and env.in_actions():
        actions.report(failure)
    if code or failure is not None:
        raise typer.Exit(code or (failure.exit_code if failure is not None else 0))


def _failure_json(failure: RegistryError | None) -> dict[str, Any]:
    if failure is None:
        return {}
    return {"issueError": error_json(failure.kind, failure.message, failure.hint, failure.exit_code)}
