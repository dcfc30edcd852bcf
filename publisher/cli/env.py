"""The environment and the clock: the only module of this package that reads them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

from publisher.git import TOKEN_VARIABLE
from publisher.github.names import JOB_TOKEN_VARIABLE
from publisher.signing import KEY_VARIABLE, PASSPHRASE_VARIABLE
from registry_client.errors import ConfigError

ALLOW_DEV_KEYS = "PLUGIN_REGISTRY_ALLOW_DEV_KEYS"
PRIVATE_ADDRESSES = "PLUGIN_REGISTRY_PRIVATE_ADDRESSES"
ROOT_DIGEST = "PLUGIN_REGISTRY_ROOT_DIGEST"
_SECRETS = (TOKEN_VARIABLE, JOB_TOKEN_VARIABLE, KEY_VARIABLE, PASSPHRASE_VARIABLE)


def environ() -> Mapping[str, str]:
    """The environment."""
    return os.environ


def now() -> datetime:
    """The time, UTC; SOURCE_DATE_EPOCH, if set, stands in for the clock (reproducible-builds.org).

    Raises:
        ConfigError: it is set, and not to a time.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError) as e:
        raise ConfigError(
            "SOURCE_DATE_EPOCH is not a time in seconds since 1970", hint="Unset it, or set it right."
        ) from e


def default_key() -> str | None:
    """The key URI that is used if none is given: the variable that CI sets."""
    return f"envvar:{KEY_VARIABLE}" if os.environ.get(KEY_VARIABLE) else None


def secrets() -> list[str]:
    """The values that may be printed nowhere."""
    return [value for name in _SECRETS if (value := os.environ.get(name, "").strip())]


def in_actions() -> bool:
    """Whether this is a step of a GitHub Actions job."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def summary_file() -> Path | None:
    """The Markdown file that GitHub Actions shows on a run's page, or None elsewhere."""
    return _actions_file("GITHUB_STEP_SUMMARY")


def output_file() -> Path | None:
    """The file from which GitHub Actions takes a step's outputs, or None elsewhere."""
    return _actions_file("GITHUB_OUTPUT")


def _actions_file(name: str) -> Path | None:
    value = os.environ.get(name, "") if in_actions() else ""
    return Path(value) if value else None


def tag() -> str | None:
    """The tag that a GitHub Actions job runs for, or None."""
    env = os.environ
    return env.get("GITHUB_REF_NAME") if in_actions() and env.get("GITHUB_REF_TYPE") == "tag" else None


def run_url() -> str:
    """The page of the GitHub Actions run that this is a step of; empty elsewhere."""
    return provenance().get("run", "")


def provenance() -> dict[str, str]:
    """Where this is being built, as GitHub Actions says it; empty elsewhere."""
    env = os.environ
    if not in_actions():
        return {}
    server, repository = env.get("GITHUB_SERVER_URL", ""), env.get("GITHUB_REPOSITORY", "")
    found = {
        "repository": f"{server}/{repository}",
        "commit": env.get("GITHUB_SHA", ""),
        "ref": env.get("GITHUB_REF", ""),
        "workflow": env.get("GITHUB_WORKFLOW", ""),
        "run": f"{server}/{repository}/actions/runs/{env.get('GITHUB_RUN_ID', '')}",
    }
    return {name: value for name, value in found.items() if value}


__all__ = [
    "ALLOW_DEV_KEYS",
    "PRIVATE_ADDRESSES",
    "ROOT_DIGEST",
    "TOKEN_VARIABLE",
    "default_key",
    "environ",
    "in_actions",
    "now",
    "output_file",
    "provenance",
    "run_url",
    "secrets",
    "summary_file",
    "tag",
]
