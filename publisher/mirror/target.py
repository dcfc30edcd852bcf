"""What a target says: a folder, or a prefix in a bucket; and which endpoints may be used. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from registry_client.errors import ConfigError
from registry_client.urls import LOCAL

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMES: Final = ("s3", "gs", "az")
ENDPOINT_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL", "GCS_BASE_URL"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""Where obstore looks for another endpoint, the one that counts first."""
_SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("AWS_",),
    "gs": ("GOOGLE_", "GCS_"),
    "az": ("AZURE_",),
}
"""How the names of the variables begin that obstore reads, in either case."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_PREFIX = re.compile(r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*")
_LIKE_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # two characters at least: 'C:' is a drive
_FORMS = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"


class Bucket(NamedTuple):
    """A prefix in a bucket.

    Attributes:
        scheme: s3, gs or az.
        bucket: its name; Azure says container.
        prefix: below which the mirror stands; may be empty.
    """

    scheme: str
    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """As it was given."""
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")


def parse_target(text: str) -> Bucket | None:
    """The bucket that a target names; None where it is a folder.

    Raises:
        ConfigError: a URL of another form. What it holds of secrets is not repeated.
    """
    if "://" not in text:
        _refuse_slip(text)
        return None
    scheme, _, rest = text.partition("://")
    if scheme not in SCHEMES:
        raise ConfigError(f"{scheme[:20]}://: is no place for a mirror", hint=f"Give a folder, {_FORMS}.")
    if "@" in rest or "?" in rest or "#" in rest:
        raise ConfigError(
            f"the {scheme}:// URL carries credentials or a query",
            hint="Take them out: credentials come from the environment, and this one should be replaced if it was a real one.",
        )
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.removesuffix("/")
    if not _BUCKET.fullmatch(bucket) or (prefix and not _PREFIX.fullmatch(prefix)):
        raise ConfigError(
            f"{text[:200]!r} is not the URL of a prefix in a bucket",
            hint=f"Give {_FORMS}, of letters, digits, '.', '_', '~' and '-'.",
        )
    return Bucket(scheme, bucket, prefix)


def check_settings(bucket: Bucket, environ: Mapping[str, str]) -> None:
    """Refuse settings that cannot be sent, such as a secret that was pasted with its line break: obstore ends the process over them.

    Args:
        bucket: the target.
        environ: the environment.

    Raises:
        ConfigError: a setting holds a control character. It is named, not shown.
    """
    for name, value in environ.items():
        if name.upper().startswith(_SETTINGS[bucket.scheme]) and _CONTROL.search(value):
            raise ConfigError(
                f"{name} holds a line break or another control character", hint="Set it to the value alone."
            )


def _refuse_slip(text: str) -> None:
    """Refuse what is no URL and looks like one: `s3:/bucket` would become a folder, and a mirror that nobody reads."""
    found = _LIKE_SCHEME.match(text)
    if found:
        raise ConfigError(
            f"{found[0][:20]} begins like a URL, and is none of a place for a mirror",
            hint=f"Give {_FORMS}; a folder of such a name as ./NAME.",
        )


def endpoint_of(bucket: Bucket, given: str | None, environ: Mapping[str, str]) -> str | None:
    """The endpoint that is asked in place of the cloud's own; None for that.

    Args:
        bucket: the target.
        given: the option; it counts before the environment.
        environ: the environment.

    Raises:
        ConfigError: not https (http is for this machine alone: what is sent is signed, not encrypted), or it carries secrets.
    """
    found = given or next((environ[n] for n in ENDPOINT_VARIABLES[bucket.scheme] if environ.get(n)), None)
    if found is None:
        return None
    where = "--endpoint" if given else "the endpoint in the environment"
    try:
        parts = urlsplit(found)
        host, _ = parts.hostname, parts.port
    except ValueError as e:
        raise ConfigError(f"{where}: is not a URL", hint="Give https://HOST.") from e
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            f"{where} carries credentials or a query", hint="Credentials come from the environment alone."
        )
    if not host or (parts.scheme != "https" and not (parts.scheme == "http" and host in LOCAL)):
        raise ConfigError(
            f"{where}: {parts.scheme[:20]}://{host or ''} is refused",
            hint="Give https://HOST; http is for this machine alone.",
        )
    return found.rstrip("/")
