"""Public keys: keyids computed from the key, never taken from the document that carries it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from registry_client.errors import ConfigError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from securesystemslib.signer import Key

# What securesystemslib's file, KMS and HSM signers produce. GPG and the deprecated key types are left out.
SCHEMES = frozenset(
    {
        ("ed25519", "ed25519"),
        ("ecdsa", "ecdsa-sha2-nistp256"),
        ("ecdsa", "ecdsa-sha2-nistp384"),
        ("ecdsa", "ecdsa-sha2-nistp521"),
        ("rsa", "rsassa-pss-sha256"),
        ("rsa", "rsassa-pss-sha384"),
        ("rsa", "rsassa-pss-sha512"),
        ("rsa", "rsa-pkcs1v15-sha256"),
        ("rsa", "rsa-pkcs1v15-sha384"),
        ("rsa", "rsa-pkcs1v15-sha512"),
    }
)

# The keys of `publisher registry init --dev`, whose private halves anyone can make (publisher/dev_keys.py).
DEV_KEYIDS: frozenset[str] = frozenset(
    {
        "0d2323a64499f412d0fdb64457b492774460f6c845e2d595265d970c8005f031",  # root-1
        "536f543efe4914bbcf526c02eb486ce66cf53302ed44d3a4c1980db225595f44",  # root-2
        "bb76e0f597071850887eaf74298f824d34369a06d9a9203084ccf6730863c038",  # root-3
        "6e5141312b819d124f14fb32566ddee08fa3f77fbb5908c09c434e928213f82e",  # targets
        "bf7e0bfe28f55286546e65ac351202ab172d3b9cc159bae501ec403d77447da8",  # blocks
        "680825c625bb10f9fc42492b119aa175fc005ed7095d4d873f03cc0b593865ac",  # online
        "a473e9b4632d7ce4feeec4afd3911fe6950db55a225bfc5445e4c8176288ac94",  # publisher
    }
)


def compute_keyid(key: dict[str, Any]) -> str:
    """SHA-256 of the canonical form of a TUF key object (TUF specification 4.2)."""
    from securesystemslib.formats import encode_canonical  # noqa: PLC0415  (lazy: see docs/adr/0003-libraries.md)

    canonical = encode_canonical({name: key[name] for name in ("keytype", "scheme", "keyval")})
    return hashlib.sha256(str(canonical).encode()).hexdigest()


def load_key(keyid: str, key: dict[str, Any], where: str) -> Key:
    """A usable key out of a TUF key object.

    Raises:
        VerificationError: another keyid than the stated one, an unknown scheme, or not a public key.
    """
    from securesystemslib.signer import Key as SslibKey  # noqa: PLC0415

    if (key.get("keytype"), key.get("scheme")) not in SCHEMES:
        raise VerificationError(
            f"{where}: key {keyid[:16]}: type {key.get('keytype')!r} with scheme {key.get('scheme')!r} is not supported",
            hint="Use an Ed25519, ECDSA or RSA key with one of the schemes in docs/reference.md.",
        )
    computed = compute_keyid(key)
    if computed != keyid:
        raise VerificationError(
            f"{where}: key {keyid[:16]}… is really {computed[:16]}…; keyids are computed from the key",
            hint="Write the key as 'publisher keygen' prints it.",
        )
    fingerprint(key, where)
    return SslibKey.from_dict(keyid, dict(key))


def fingerprint(key: dict[str, Any], where: str) -> bytes:
    """Bytes that are equal for two key objects exactly if they hold the same public key.

    Raises:
        VerificationError: not a public key.
    """
    try:
        return _fingerprint(key["keytype"], key["keyval"]["public"])
    except (KeyError, TypeError, ValueError) as e:
        raise VerificationError(f"{where}: not a public key: {e}") from e


@lru_cache(maxsize=1024)
def _fingerprint(keytype: str, public: str) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    if keytype == "ed25519":
        raw = bytes.fromhex(public)
        Ed25519PublicKey.from_public_bytes(raw)
        return b"ed25519:" + raw
    try:
        loaded = load_pem_public_key(public.encode())
    except UnsupportedAlgorithm as e:
        raise ValueError(str(e)) from e
    return loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def refuse_dev_keys(keys: Iterable[dict[str, Any]], where: str, *, allowed: bool) -> None:
    """Refuse key objects whose private halves are public knowledge.

    Raises:
        ConfigError: one of them is a development key, and these were not allowed.
    """
    if allowed:
        return
    for key in keys:
        try:
            keyid = compute_keyid({**key, "keyval": {"public": _spelled(key["keyval"]["public"])}})
        except (KeyError, TypeError, AttributeError):  # not a key at all: the signature checks refuse it
            continue
        if keyid in DEV_KEYIDS:
            raise ConfigError(
                f"{where} uses development key {keyid[:16]}…, whose private half anyone can read",
                hint="For trying things out only: pass --allow-dev-keys (allow_dev_keys=True).",
            )


def _spelled(public: str) -> str:
    """The usual spelling of a public key: Ed25519 keys are hex, which has two cases."""
    return public if "-" in public else public.lower()
