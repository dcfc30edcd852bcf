"""The environment and the clock: the only module of this package that reads them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

from publisher.git import TOKEN_VARIABLE
from publisher.signing import KEY_VARIABLE
from registry_client.errors import ConfigError

ALLOW_DEV_KEYS = "PLUGIN_REGISTRY_ALLOW_DEV_KEYS"
ROOT_DIGEST = "PLUGIN_REGISTRY_ROOT_DIGEST"


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


def provenance() -> dict[str, str]:
    """Where this is being built, as GitHub Actions says it; empty elsewhere."""
    env = os.environ
    if env.get("GITHUB_ACTIONS") != "true":
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


__all__ = ["ALLOW_DEV_KEYS", "ROOT_DIGEST", "TOKEN_VARIABLE", "default_key", "environ", "now", "provenance"]
