"""Development keys: for trying a registry out without keeping any secret.

They are computed from their names, so anyone can sign with them. Their keyids are hard-coded in `registry_client.keys`, and whatever
uses one is refused unless development keys are allowed.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

NAMES = ("root-1", "root-2", "root-3", "targets", "blocks", "online", "publisher")


def dev_key_pem(name: str) -> bytes:
    """The PKCS8 PEM of a development key.

    Args:
        name: one of `NAMES`.
    """
    seed = hashlib.sha256(f"plugin-registry development key {name}".encode()).digest()
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
