"""Signing manifests and release documents. Pure but for the signers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry_client.errors import ConfigError
from registry_client.jsontext import payload_digest_of, payload_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from securesystemslib.signer import Signer

    from registry_client.digest import Digest

_MAX_SIGNATURES = 16
_INCIDENTAL = ("lastUpdated", "provenance", "signatures", "manifestUrl")


def sign_document(raw: dict[str, Any], signers: Iterable[Signer]) -> dict[str, Any]:
    """The document with a signature of each signer, replacing earlier ones of the same key.

    Raises:
        ConfigError: more than 16 signatures, or a signer fails.
    """
    payload = payload_of(raw)
    signatures = {item["keyid"]: item for item in raw.get("signatures", ())}
    for signer in signers:
        try:
            made = signer.sign(payload)
        except Exception as e:  # noqa: BLE001  (the library documents that each backend raises errors of its own)
            raise ConfigError(
                f"key {signer.public_key.keyid[:16]}… could not sign ({type(e).__name__})",
                hint="Check that the key service can be reached and that you may use the key.",
            ) from None
        signatures[made.keyid] = {"keyid": made.keyid, "sig": made.signature}
    if len(signatures) > _MAX_SIGNATURES:
        raise ConfigError(f"more than {_MAX_SIGNATURES} signatures", hint="Start from the unsigned document.")
    body = {name: value for name, value in raw.items() if name != "signatures"}
    return {**body, "signatures": [signatures[keyid] for keyid in sorted(signatures)]}


def essence_of(manifest: dict[str, Any]) -> Digest:
    """A digest of what a manifest says, leaving out when, where and by whom it was built and signed."""
    return payload_digest_of({name: value for name, value in manifest.items() if name not in _INCIDENTAL})


def same_content(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two manifests say the same of a plugin."""
    return essence_of(a) == essence_of(b)
