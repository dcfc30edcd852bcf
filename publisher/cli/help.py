"""One line for the list of commands, and examples for each command's own help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import typer

_TEXTS: dict[str, tuple[str, ...]] = {
    "new": (
        "Make a plugin out of a template.",
        "publisher new sms",
        "publisher new chatbox --style chat --db postgres --author Acme",
        "publisher new board --template remote-ui --style dashboard",
        "publisher new --update board",
    ),
    "check": ("Say everything that is wrong with a plugin.", "publisher check examples/calendar"),
    "convert": (
        "Show another form's manifest in the registry's.",
        "publisher convert ../sms",
        "publisher convert plugin.json --write",
    ),
    "pack": (
        "Pack a plugin's archives, reproducibly.",
        "publisher pack examples/hello-world",
        "publisher pack examples/wp-bridge --version 1.1.0",
        "publisher pack --no-isolation --output build/archives",
    ),
    "publish": (
        "Sign a version and offer it to a registry.",
        "publisher publish --to ../registry --key publisher.pem",
        "publisher publish . --to git@github.com:acme/registry.git --bump patch",
        "publisher publish . --to https://git.example/registry.git --dry-run",
        "publisher publish --to acme/registry --artifacts release --wait 900",
        "publisher publish --to acme/registry --pull-request",
        "publisher publish --to acme/registry --import",
    ),
    "set-status": (
        "Roll out, push, deprecate or yank a version.",
        "publisher set-status calendar 1.2.0 --status released --rollout 10",
        "publisher set-status calendar 1.2.0 --rollout 100 --push",
        "publisher set-status calendar 1.1.0 --status deprecated --reason 'use 1.2'",
    ),
    "yank": (
        "Keep a version from being chosen; its bytes stay.",
        "publisher yank calendar 1.2.0 --reason 'loses events' --key publisher.pem",
    ),
    "keygen": (
        "Make a key: a private file and a public one.",
        "publisher keygen --out ~/.config/acme/publisher.pem",
        "publisher keygen --out publisher.pem --passphrase",
    ),
    "sign": (
        "Add a signature: thresholds, root ceremonies.",
        "publisher sign staging/2.root.json --key root-2.pem",
        "publisher sign plugins/calendar/1.2.0/manifest.json --key second.pem",
    ),
    "registry init": (
        "Make a registry repository, ready to push.",
        "publisher registry init registry --base-url https://registry.example",
        "publisher registry init try --base-url http://127.0.0.1:8000 --dev",
    ),
    "registry validate": (
        "Check a pull request; runs nothing of it.",
        "publisher registry validate https://git.example/registry.git \\",
        "  --head refs/pull/7/head",
        "publisher registry validate . --head propose/calendar@1.2.0 --json",
    ),
    "registry register": (
        "Run the registrar: bring the index up to date.",
        "publisher registry register . --key ../registry-keys/online.pem",
        "publisher registry register git@github.com:acme/registry.git",
        "publisher registry register . --dry-run --json",
        "publisher registry register acme/registry --statuses acme/registry",
        "publisher registry register acme/registry --quarantine bad.json",
        "publisher registry register acme/registry --lift calendar@1.2.0",
    ),
    "registry import": (
        "Take versions from publishers' own releases.",
        "publisher registry import https://github.com/acme/registry",
        "publisher registry import https://github.com/acme/registry --dry-run",
    ),
    "registry renew": (
        "Sign again what nears its expiry.",
        "publisher registry renew . --key ../registry-keys/online.pem",
        "publisher registry renew acme/registry",
        "publisher registry renew . --role targets --key targets.pem",
        "publisher registry renew . --force --key new.pem",
    ),
    "registry rotate": (
        "Change the keys of a role.",
        "publisher registry rotate . online --add new.pem.pub.json \\",
        "  --key root-1.pem --key root-2.pem --key targets.pem",
        "publisher registry renew . --force --key new.pem",
        "publisher registry rotate . online --drop 1a2b3c4d \\",
        "  --key root-1.pem --key root-2.pem --key targets.pem",
        "publisher registry rotate . online --compromised --add new.pem.pub.json \\",
        "  --key root-1.pem --key root-2.pem --key targets.pem --key new.pem",
    ),
    "registry audit": (
        "Check every document, signature and expiry.",
        "publisher registry audit .",
        "publisher registry audit https://registry.example --root 1.root.json",
        "publisher registry audit . --artifacts --links --quarantine-file bad.json",
        "publisher registry audit . --issue acme/registry",
    ),
    "registry expiry": (
        "Say when signatures end, and warn in an issue.",
        "publisher registry expiry .",
        "publisher registry expiry https://github.com/acme/registry \\",
        "  --issue acme/registry",
    ),
    "registry schema": (
        "Write the JSON Schemas of the documents.",
        "publisher registry schema schema",
        "publisher registry schema schema --check",
    ),
    "registry workflows": (
        "Write the registry's GitHub workflows.",
        "publisher registry workflows .",
        "publisher registry workflows . --check",
    ),
    "registry mirror": (
        "Put what is served on object storage or in a folder.",
        "publisher registry mirror ../_site --from .",
        "publisher registry mirror s3://acme-plugins/registry --from .",
        "publisher registry mirror s3://acme-plugins \\",
        "  --endpoint https://ACCOUNT.r2.cloudflarestorage.com",
        "publisher registry mirror gs://acme-plugins/registry --dry-run --json",
    ),
    "policy add-publisher": (
        "Allow a new publisher.",
        "publisher registry policy add-publisher . acme --plugin 'acme-*' \\",
        "  --key-file publisher.pem.pub.json --key targets.pem",
    ),
    "policy change-publisher": (
        "Change a publisher's name, plugins, threshold.",
        "publisher registry policy change-publisher . acme --plugin calendar \\",
        "  --key targets.pem",
    ),
    "policy remove-publisher": (
        "Remove a publisher.",
        "publisher registry policy remove-publisher . acme --key targets.pem",
    ),
    "policy add-key": (
        "Give a publisher another key.",
        "publisher registry policy add-key . acme --key-file second.pem.pub.json \\",
        "  --key targets.pem",
    ),
    "policy retire-key": (
        "Let a key count only for what it has signed.",
        "publisher registry policy retire-key . acme 1a2b3c4d --key targets.pem",
    ),
    "policy revoke-key": (
        "Let a key count for nothing any more.",
        "publisher registry policy revoke-key . acme 1a2b3c4d --reason stolen \\",
        "  --key targets.pem",
    ),
    "policy set": (
        "Change name, URL, mirrors, where artifacts are.",
        "publisher registry policy set . --mirror https://mirror.example \\",
        "  --mirror https://second.example --key targets.pem",
        "publisher registry policy set . --catalogue-minutes 60 --key targets.pem",
    ),
    "policy block": (
        "Block versions of a plugin.",
        "publisher registry policy block . calendar --versions '<1.2' \\",
        "  --action disable --reason 'leaks tokens' --key blocks.pem",
    ),
    "policy unblock": (
        "Lift a plugin's blocks.",
        "publisher registry policy unblock . calendar --key blocks.pem",
        "publisher registry policy unblock . calendar --versions '<1.2' \\",
        "  --key blocks.pem",
    ),
}

EPILOG = """\b
A registry from nothing:
  publisher registry init registry --base-url https://registry.example
  publisher keygen --out publisher.pem
  publisher registry policy add-publisher registry acme --plugin calendar \\
    --key-file publisher.pem.pub.json --key registry-keys/targets.pem
  publisher publish PLUGIN --to registry --key publisher.pem
  publisher registry register registry --key registry-keys/online.pem

\b
Environment:
  PLUGIN_REGISTRY_KEY             PEM of the key to sign with, as a CI secret
  PLUGIN_REGISTRY_KEY_PASSPHRASE  passphrase of encrypted keys
  PLUGIN_REGISTRY_TOKEN           token for Git over HTTPS
  PLUGIN_REGISTRY_ROOT_DIGEST     what metadata/1.root.json must be
  PLUGIN_REGISTRY_ALLOW_DEV_KEYS  1: accept development keys
  SOURCE_DATE_EPOCH               seconds that stand in for the clock
  NO_COLOR, FORCE_COLOR           colours never, colours always

\b
Exit codes: 0 done, 1 other failure, 2 usage, 3 configuration or keys,
4 malformed document, 5 not fetched, 6 not verified, 7 not found, 9 not
published or refused, 10 the registrar refuses, 11 audit found errors,
130 interrupted."""


def command(
    app: typer.Typer, name: str, group: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command with its line and its examples."""
    short, *lines = _TEXTS[f"{group} {name}".strip()]
    epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
    return app.command(name, short_help=short, epilog=epilog)
