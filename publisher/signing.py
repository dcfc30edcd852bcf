"""Private keys, named by URI: `file:PATH` (or a plain path), `envvar:NAME`, or any scheme of securesystemslib.

Key material stays inside the signer objects: no message, log or exception of this module holds any.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

from registry_client.errors import ConfigError
from registry_client.keys import compute_keyid, refuse_dev_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from securesystemslib.signer import Key

PASSPHRASE_VARIABLE = "PLUGIN_REGISTRY_KEY_PASSPHRASE"  # noqa: S105  (the variable's name)
KEY_VARIABLE = "PLUGIN_REGISTRY_KEY"
_MAX_PEM = 64 * 1024
_LOCAL = ("file", "envvar")


def generate_key(passphrase: str | None = None) -> tuple[bytes, SSlibKey]:
    """A new Ed25519 key.

    Args:
        passphrase: encrypts the PEM; None leaves it plain.

    Returns:
        The private key as PKCS8 PEM, and the public key.
    """
    private = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return pem, SSlibKey.from_crypto(private.public_key())


def write_private_key(path: Path, pem: bytes) -> None:
    """Write a private key that only its owner can read; never over an existing file.

    Raises:
        ConfigError: the file exists or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
    except OSError as e:
        if isinstance(e, FileExistsError) and os.path.lexists(path):
            raise ConfigError(
                f"{path}: exists already; a key is never overwritten", hint="Choose another name."
            ) from e
        raise ConfigError(f"{path}: cannot be written ({e.strerror})") from e


def load_signer(
    uri: str,
    *,
    candidates: Iterable[Key] = (),
    environ: Mapping[str, str] | None = None,
    ask: Callable[[str], str] | None = None,
    allow_dev_keys: bool = False,
) -> Signer:
    """A signer for a key URI.

    Args:
        uri: `file:PATH`, a plain path, `envvar:NAME`, or a securesystemslib URI such as `gcpkms:…`, which may end in
            `#KEYID` to say which of the candidates it is.
        candidates: public keys that a KMS or HSM key may be.
        environ: the environment, which the caller has read; nothing of it if left out.
        ask: asks a person for a passphrase.
        allow_dev_keys: accept development keys.

    Raises:
        ConfigError: the key cannot be loaded. The message never holds key material.
    """
    env = environ or {}
    scheme, _, rest = uri.partition(":")
    if scheme == "envvar":
        signer: Signer = _from_variable(rest, env)
    elif scheme == "file" or (scheme not in _LOCAL and not _is_library_uri(scheme)):
        signer = _from_file(Path(rest if scheme == "file" else uri).expanduser(), env, ask)
    else:
        signer = _from_library(uri, list(candidates))
    refuse_dev_keys([signer.public_key.to_dict()], f"key {uri.partition('#')[0]}", allowed=allow_dev_keys)
    return signer


def _is_library_uri(scheme: str) -> bool:
    from securesystemslib.signer import SIGNER_FOR_URI_SCHEME  # noqa: PLC0415

    return len(scheme) > 1 and scheme in SIGNER_FOR_URI_SCHEME


def _from_variable(name: str, environ: Mapping[str, str]) -> CryptoSigner:
    pem = environ.get(name, "")
    if not pem.strip():
        raise ConfigError(
            f"environment variable {name!r} is not set or empty",
            hint="Set it to the private key's PEM, as a CI secret.",
        )
    return _signer(pem.encode(), f"environment variable {name}", environ, None)


def _from_file(path: Path, environ: Mapping[str, str], ask: Callable[[str], str] | None) -> CryptoSigner:
    try:
        status = path.stat()
        with path.open("rb") as file:
            pem = file.read(_MAX_PEM)
    except OSError as e:
        raise ConfigError(
            f"{path}: the private key cannot be read ({e.strerror})", hint="Make one with 'publisher keygen'."
        ) from e
    if b"PRIVATE KEY" not in pem:
        private = path.name.removesuffix(".pub.json")
        hint = f"That is a public key; give the private one: {private}" if private != path.name else ""
        raise ConfigError(
            f"{path}: is not a PKCS8 PEM private key", hint=hint or "Make a key with 'publisher keygen'."
        )
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077 and not _is_public_knowledge(pem):
        raise ConfigError(
            f"{path}: others can read this private key (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {path}",
        )
    return _signer(pem, str(path), environ, ask)


def _is_public_knowledge(pem: bytes) -> bool:
    """Whether these bytes are a development key, which hides nothing and may have any mode."""
    from publisher.dev_keys import NAMES, dev_key_pem  # noqa: PLC0415

    return any(pem == dev_key_pem(name) for name in NAMES)


def _signer(
    pem: bytes, where: str, environ: Mapping[str, str], ask: Callable[[str], str] | None
) -> CryptoSigner:
    private = _load_pem(pem, where, environ, ask)
    try:
        return CryptoSigner(private)
    except (ValueError, TypeError) as e:
        raise ConfigError(
            f"{where}: this type of key is not supported", hint="Use Ed25519, ECDSA or RSA."
        ) from e


def _load_pem(
    pem: bytes, where: str, environ: Mapping[str, str], ask: Callable[[str], str] | None
) -> PrivateKeyTypes:
    """A private key; errors of the library are dropped, not chained, so that nothing of the key can leak."""
    encrypted = b"ENCRYPTED" in pem
    passphrase = environ.get(PASSPHRASE_VARIABLE) if encrypted else None
    if encrypted and passphrase is None and ask is not None:
        passphrase = ask(where)
    if encrypted and not passphrase:
        raise ConfigError(f"{where}: the private key has a passphrase", hint=f"Set {PASSPHRASE_VARIABLE}.")
    try:
        return load_pem_private_key(pem, passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reason = "wrong passphrase, or damaged" if encrypted else "not a PKCS8 PEM private key"
    raise ConfigError(f"{where}: {reason}", hint="Make a key with 'publisher keygen'.") from None


def _from_library(uri: str, candidates: list[Key]) -> Signer:
    """A KMS or HSM signer. Its public key must be known: the library compares them."""
    bare, _, keyid = uri.partition("#")
    fitting = [key for key in candidates if not keyid or key.keyid.startswith(keyid)]
    if len(fitting) != 1:
        raise ConfigError(
            f"{bare}: which public key this is cannot be told",
            hint="Add '#' and the keyid to the URI, or give --public-key FILE.",
        )
    try:
        return Signer.from_priv_key_uri(bare, fitting[0])
    except UnsupportedLibraryError:
        missing = f"pip install 'securesystemslib[{bare.partition(':')[0]}]'"
        raise ConfigError(f"{bare}: the provider's library is not installed", hint=missing) from None
    except Exception as e:  # noqa: BLE001  (each backend raises errors of its own, and their texts are not ours to vouch for)
        raise ConfigError(
            f"{bare}: the key cannot be used ({type(e).__name__})", hint="See the provider's documentation."
        ) from None


def ask_passphrase(where: str) -> str:
    """Ask on the terminal; empty where there is none."""
    if not sys.stdin.isatty():
        return ""
    from getpass import getpass  # noqa: PLC0415

    return getpass(f"Passphrase for {where}: ")


def public_key_object(key: Key) -> dict[str, object]:
    """The TUF key object of a key, as publisher files and TUF metadata carry it."""
    return {"keytype": key.keytype, "scheme": key.scheme, "keyval": dict(key.keyval)}


def keyid_of(key: Key) -> str:
    """The computed keyid of a key."""
    return compute_keyid(public_key_object(key))
