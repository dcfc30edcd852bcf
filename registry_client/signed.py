"""Signed documents: parse, then verify, then use.

`parse_` functions give what was claimed; `verify_` functions give a `Verified…` object or raise. What uses
a manifest accepts only the verified type.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from registry_client.digest import Digest
from registry_client.errors import (
    DigestError,
    DocumentError,
    ManifestError,
    SignatureError,
    VerificationError,
)
from registry_client.jsontext import dump_line, parse_json, payload_of
from registry_client.keys import fingerprint, load_key
from registry_client.models.base import validate
from registry_client.models.blocks import BLOCKS_LIMIT, Blocks
from registry_client.models.manifest import MANIFEST_LIMIT, Manifest
from registry_client.models.policy import POLICY_LIMIT, Policy
from registry_client.models.publisher import PUBLISHER_LIMIT, Publisher
from registry_client.models.release import RELEASE_LIMIT, Release
from registry_client.names import covers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from securesystemslib.signer import Key

M = TypeVar("M", Manifest, Release)


@dataclass(frozen=True)
class Parsed(Generic[M]):
    """A well-formed document whose signatures nobody has checked yet.

    Attributes:
        model: the document.
        raw: the JSON object, with members that the model does not know.
        data: the bytes as received.
        where: path or URL, for messages.
    """

    model: M
    raw: dict[str, Any]
    data: bytes
    where: str

    @cached_property
    def payload(self) -> bytes:
        """RFC 8785 bytes without `signatures`: what is signed."""
        return payload_of(self.raw)

    @cached_property
    def payload_digest(self) -> Digest:
        """The document's identity."""
        return Digest.of(self.payload)


@dataclass(frozen=True)
class Verified(Generic[M]):
    """A document that enough of its publisher's keys have signed. Made only by `verify_manifest` and `verify_release`.

    Attributes:
        model: the document.
        raw: the JSON object, with members that the model does not know.
        data: the bytes as received.
        payload_digest: the document's identity.
        publisher: id of the publisher.
        keyids: the keys whose signatures counted.
    """

    model: M
    raw: dict[str, Any]
    data: bytes
    payload_digest: Digest
    publisher: str
    keyids: frozenset[str]


VerifiedManifest = Verified[Manifest]
VerifiedRelease = Verified[Release]


def parse_manifest(data: bytes, where: str) -> Parsed[Manifest]:
    """Parse manifest bytes.

    Raises:
        ManifestError: not a manifest; lists every problem.
    """
    try:
        raw = parse_json(data, limit=MANIFEST_LIMIT, where=where)
    except DocumentError as e:
        raise ManifestError(where, list(e.problems)) from e
    return Parsed(validate(Manifest, data, where, ManifestError), raw, data, where)


def parse_release(data: bytes, where: str) -> Parsed[Release]:
    """Parse release bytes.

    Raises:
        DocumentError: not a release; lists every problem.
    """
    raw = parse_json(data, limit=RELEASE_LIMIT, where=where)
    return Parsed(validate(Release, data, where), raw, data, where)


def parse_embedded_release(raw: dict[str, Any], where: str) -> Parsed[Release]:
    """A release document that stands whole in an index line."""
    return parse_release(dump_line(raw).encode(), where)  # compact, as indenting could take it over its limit


class PublisherKeys:
    """A publisher with its keys loaded and checked.

    Raises:
        VerificationError: a keyid that is not its key's, or one public key under two keyids.
    """

    def __init__(self, publisher: Publisher, where: str) -> None:
        self.publisher = publisher
        self.where = where
        self._current = _load_all({keyid: key.model_dump() for keyid, key in publisher.keys.items()}, where)
        retired = publisher.retired_keys or {}
        self._retired = _load_all({keyid: item.key.model_dump() for keyid, item in retired.items()}, where)
        self._digests = {keyid: frozenset(item.digests) for keyid, item in retired.items()}
        loaded = [*self._current.items(), *self._retired.items()]
        self._prints = {keyid: fingerprint(key.to_dict(), where) for keyid, key in loaded}
        if len(set(self._prints.values())) != len(loaded):
            raise VerificationError(
                f"{where}: two keyids hold one public key; each key may stand once",
                hint="Remove one of them with 'publisher registry policy revoke-key'.",
            )

    def covers(self, plugin_id: str) -> bool:
        """Whether this publisher may publish that plugin."""
        return any(covers(pattern, plugin_id) for pattern in self.publisher.plugins)

    def verify(self, document: Parsed[Any]) -> frozenset[str]:
        """Check a document's signatures.

        Returns:
            The keyids that counted, at least `threshold` distinct public keys.

        Raises:
            SignatureError: too few; says of each signature why it did not count.
        """
        counted: dict[str, bytes] = {}
        refused: list[str] = []
        for signature in document.model.signatures:
            verdict = self._verdict(document, signature.keyid, signature.sig)
            if isinstance(verdict, str):
                refused.append(f"{signature.keyid[:16]}… {verdict}")
            else:
                counted[signature.keyid] = verdict
        if len(set(counted.values())) < self.publisher.threshold:
            fates = "".join(f"\n  {fate}" for fate in refused)
            raise SignatureError(
                f"{document.where}: {len(counted)} of {self.publisher.threshold} needed signatures of publisher "
                f"{self.publisher.id!r} count{fates}",
                hint="Sign it with a current key of that publisher: 'publisher sign FILE --key KEY'.",
            )
        return frozenset(counted)

    def _verdict(self, document: Parsed[Any], keyid: str, sig: str) -> bytes | str:
        """The public key's fingerprint if the signature counts, else why it does not."""
        from securesystemslib.exceptions import UnverifiedSignatureError  # noqa: PLC0415  (blocks need no signatures)
        from securesystemslib.signer import Signature as SslibSignature  # noqa: PLC0415

        if keyid in (self.publisher.revoked_keys or {}):
            return "is revoked"
        key = self._current.get(keyid)
        if key is None:
            key = self._retired.get(keyid)
            if key is None:
                return "is not a key of this publisher"
            if document.payload_digest not in self._digests[keyid]:
                return "is retired, and this document is not among those it still counts for"
        try:
            key.verify_signature(SslibSignature(keyid, sig), document.payload)
        except UnverifiedSignatureError:
            return "does not verify: the document was changed after signing, or is of another kind"
        return self._prints[keyid]


def _load_all(keys: Mapping[str, dict[str, Any]], where: str) -> dict[str, Key]:
    return {keyid: load_key(keyid, key, where) for keyid, key in keys.items()}


def _verify(document: Parsed[M], keys: PublisherKeys) -> Verified[M]:
    if not keys.covers(document.model.id):
        raise SignatureError(
            f"{document.where}: publisher {keys.publisher.id!r} may not publish {document.model.id!r}",
            hint="A maintainer can allow it: 'publisher registry policy change-publisher --plugin'.",
        )
    keyids = keys.verify(document)
    return Verified(
        document.model, document.raw, document.data, document.payload_digest, keys.publisher.id, keyids
    )


def verify_manifest(document: Parsed[Manifest], keys: PublisherKeys) -> VerifiedManifest:
    """Check who signed a manifest.

    Raises:
        SignatureError: the publisher does not cover the id, or too few of its keys signed.
    """
    return _verify(document, keys)


def verify_release(
    document: Parsed[Release], keys: PublisherKeys, *, registry: str, manifest: Digest
) -> VerifiedRelease:
    """Check who signed a release document, and that it speaks of this registry and this manifest.

    Raises:
        SignatureError: another registry, another manifest, or too few signatures.
    """
    if document.model.registry != registry:
        raise SignatureError(
            f"{document.where}: is for registry {document.model.registry!r}, not for {registry!r}"
        )
    if document.model.manifest != manifest:
        raise SignatureError(
            f"{document.where}: is for manifest {document.model.manifest}, not for {manifest}"
        )
    return _verify(document, keys)


def verify_pinned(document: Parsed[Manifest], payload_digest: Digest) -> VerifiedManifest:
    """Check a manifest against the payload digest that a lock took from a verified one before.

    Raises:
        DigestError: not the pinned document.
    """
    if document.payload_digest != payload_digest:
        raise DigestError(
            f"{document.where}: payload digest {document.payload_digest}, but the lock pins {payload_digest}"
        )
    return Verified(document.model, document.raw, document.data, payload_digest, "", frozenset())


def _parse_plain(model: type[Any], data: bytes, limit: int, where: str) -> Any:
    parse_json(data, limit=limit, where=where)
    return validate(model, data, where)


def parse_publisher(data: bytes, where: str) -> PublisherKeys:
    """Parse a publisher file that TUF has verified.

    Raises:
        DocumentError: malformed. VerificationError: a keyid that is not its key's.
    """
    return PublisherKeys(_parse_plain(Publisher, data, PUBLISHER_LIMIT, where), where)


def parse_policy(data: bytes, where: str) -> Policy:
    """Parse a policy file that TUF has verified. Raises DocumentError."""
    policy: Policy = _parse_plain(Policy, data, POLICY_LIMIT, where)
    return policy


def parse_blocks(data: bytes, where: str) -> Blocks:
    """Parse a blocks file that TUF has verified. Raises DocumentError."""
    blocks: Blocks = _parse_plain(Blocks, data, BLOCKS_LIMIT, where)
    return blocks


__all__ = [
    "Parsed",
    "PublisherKeys",
    "Verified",
    "VerifiedManifest",
    "VerifiedRelease",
    "parse_blocks",
    "parse_embedded_release",
    "parse_manifest",
    "parse_policy",
    "parse_publisher",
    "parse_release",
    "verify_manifest",
    "verify_pinned",
    "verify_release",
]
