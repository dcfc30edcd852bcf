"""Documents of every kind, and keys to sign them with."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from registry_client.jsontext import dump_json, payload_digest_of, payload_of
from registry_client.keys import compute_keyid
from registry_client.signed import (
    PublisherKeys,
    VerifiedManifest,
    VerifiedRelease,
    parse_manifest,
    parse_publisher,
    parse_release,
    verify_manifest,
    verify_release,
)

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from registry_client.digest import Digest


def ed25519(name: str) -> CryptoSigner:
    """A key computed from its name: the same in each run."""
    seed = hashlib.sha256(f"test key {name}".encode()).digest()
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed))


def key_object(signer: Signer) -> dict[str, Any]:
    """The TUF key object of a signer's public key."""
    key = signer.public_key
    return {"keytype": key.keytype, "scheme": key.scheme, "keyval": dict(key.keyval)}


def keyid(key: dict[str, Any] | Signer) -> str:
    """The computed keyid of a key object or of a signer."""
    return compute_keyid(key if isinstance(key, dict) else key_object(key))


def keys_of(*keys: dict[str, Any] | Signer) -> dict[str, Any]:
    """Key objects by their keyids."""
    objects = [key if isinstance(key, dict) else key_object(key) for key in keys]
    return {compute_keyid(key): key for key in objects}


def signature(document: dict[str, Any], signer: Signer, as_keyid: str | None = None) -> dict[str, str]:
    """One signature over a document, under the signer's keyid or another."""
    made = signer.sign(payload_of(document))
    return {"keyid": as_keyid or keyid(signer), "sig": made.signature}


def sign(document: dict[str, Any], *signers: Signer) -> dict[str, Any]:
    """The document with these signatures and no others."""
    return {**document, "signatures": [signature(document, signer) for signer in signers]}


def manifest(**change: Any) -> dict[str, Any]:
    """A small manifest without signatures."""
    document = {
        "kind": "manifest",
        "schemaVersion": 1,
        "id": "acme-calendar",
        "name": "Calendar",
        "version": "1.2.0",
        "initialStatus": "released",
        "ui": {"remoteEntry": "https://cdn.example/calendar/1.2.0/remoteEntry.js", "expose": "./PluginApp"},
        **change,
    }
    return {name: value for name, value in document.items() if value is not None}


def release(of: dict[str, Any] | None = None, **change: Any) -> dict[str, Any]:
    """A release document for a manifest, without signatures."""
    about = manifest() if of is None else of
    return {
        "kind": "release",
        "schemaVersion": 1,
        "registry": "acme-registry",
        "id": about["id"],
        "version": about["version"],
        "manifest": payload_digest_of(about),
        "revision": 1,
        "status": "released",
        "rollout": 100,
        "push": True,
        **change,
    }


def publisher(keys: dict[str, Any], **change: Any) -> dict[str, Any]:
    """A publisher document."""
    return {
        "kind": "publisher",
        "schemaVersion": 1,
        "id": "acme",
        "name": "Acme",
        "keys": keys,
        "threshold": 1,
        "plugins": ["acme-*"],
        **change,
    }


def publisher_keys(keys: dict[str, Any], **change: Any) -> PublisherKeys:
    """A publisher with its keys loaded, the way a client does it."""
    return parse_publisher(dump_json(publisher(keys, **change)), "publishers/acme.json")


def payload_digest(document: dict[str, Any]) -> Digest:
    """A document's identity."""
    return payload_digest_of(document)


def verify(document: dict[str, Any], keys: PublisherKeys) -> VerifiedManifest:
    """What a client makes of these manifest bytes."""
    return verify_manifest(parse_manifest(dump_json(document), "manifest.json"), keys)


def verify_as_release(document: dict[str, Any], keys: PublisherKeys, **expected: Any) -> VerifiedRelease:
    """What a client makes of these release bytes, for the small manifest unless told otherwise."""
    want = {"registry": "acme-registry", "manifest": payload_digest(manifest()), **expected}
    return verify_release(parse_release(dump_json(document), "release.json"), keys, **want)
