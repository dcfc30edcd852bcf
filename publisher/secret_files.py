"""Files that must not be published, as far as that can be recognised: by their names, by where they lie, by what they hold. Pure."""

from __future__ import annotations

import re

_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|^PuTTY-User-Key-File-[0-9]:"
)
_HARMLESS_ENV = frozenset({".env.example", ".env.sample", ".env.template"})
# What tools read passwords and tokens from, in lower case.
_NAMES = frozenset({
    *(".env", ".envrc", ".netrc", "_netrc", ".pypirc", ".git-credentials", ".pgpass", ".my.cnf", ".htpasswd", ".dockercfg"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"),
})  # fmt: skip
_ENDS = (".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk")
_PLACES = ("/.aws/credentials", "/.docker/config.json", "/.config/gh/hosts.yml")
# Settings of package managers, which are harmless without these: a token, unless it is taken from the environment.
_PACKAGE_SETTINGS = frozenset({".npmrc", ".yarnrc", ".yarnrc.yml"})
_TOKEN = re.compile(
    rb"^[^#;\n]*(?:_authToken|_auth|_password|npmAuthToken|npmAuthIdent)\"?[ \t]*[=:][ \t]*[\"']?(?!\$|[\"'\s])",
    re.MULTILINE,
)


def secret_problem(path: str, data: bytes) -> str | None:
    """Why a file must not be published; None if nothing is recognised.

    Args:
        path: its path, with `/`.
        data: its bytes; empty to judge by the path alone.
    """
    name = path.rpartition("/")[2].lower()
    if (
        name in _NAMES
        or (name.startswith(".env.") and name not in _HARMLESS_ENV)
        or name.endswith(_ENDS)
        or f"/{path.lower()}".endswith(_PLACES)
    ):
        return f"{path}: holds secrets by convention; secrets must not be packed"
    if _PRIVATE_KEY.search(data):
        return f"{path}: holds a private key; secrets must not be packed"
    if name in _PACKAGE_SETTINGS and _TOKEN.search(data):
        return f"{path}: holds a token for a package registry; secrets must not be packed"
    return None


__all__ = ["secret_problem"]
