"""Releases, pinned manifests, policy and blocks: what is refused in each."""

from __future__ import annotations

from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from support.documents import (
    ed25519,
    keyid,
    keys_of,
    manifest,
    payload_digest,
    publisher_keys,
    release,
    sign,
    verify,
    verify_as_release,
)

from registry_client.digest import Digest
from registry_client.errors import (
    DigestError,
    DocumentError,
    ManifestError,
    SignatureError,
)
from registry_client.jsontext import dump_json, dump_line
from registry_client.signed import (
    PublisherKeys,
    VerifiedManifest,
    VerifiedRelease,
    parse_blocks,
    parse_embedded_release,
    parse_manifest,
    parse_policy,
    parse_release,
    verify_pinned,
    verify_release,
)

ONE, TWO, STRANGER = ed25519("one"), ed25519("two"), ed25519("stranger")
ECDSA, RSA = CryptoSigner.generate_ecdsa(), CryptoSigner.generate_rsa(size=2048)
KEYS = publisher_keys(keys_of(ONE, TWO))
Doc = dict[str, Any]


def _verify(document: Doc, keys: PublisherKeys = KEYS) -> VerifiedManifest:
    return verify(document, keys)


def _verify_release(document: Doc, keys: PublisherKeys = KEYS, **expected: Any) -> VerifiedRelease:
    return verify_as_release(document, keys, **expected)


class TestReleases:
    """A release speaks of one registry and one manifest."""

    @pytest.mark.parametrize(
        ("change", "rule"),
        [
            ({"registry": "globex"}, "is for registry 'globex', not for 'acme-registry'"),
            ({"registry": "acme-registry-2"}, "is for registry"),
            ({"manifest": Digest.of(b"x")}, "is for manifest sha256:"),
            ({"manifest": payload_digest(manifest(version="1.2.1"))}, "is for manifest sha256:"),
        ],
    )
    def test_for_another(self, change: dict[str, Any], rule: str) -> None:
        """One that its publisher signed for another registry or manifest is refused."""
        with pytest.raises(SignatureError, match=rule):
            _verify_release(sign(release(**change), ONE))

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("status", "deprecated"), ("rollout", 99), ("push", False), ("forceUpdate", True), ("revision", 2),
            ("reason", "x"), ("id", "acme-other"), ("version", "1.2.1"), ("note", "x"),
        ],
    )  # fmt: skip
    def test_edited_after_signing(self, member: str, value: Any) -> None:
        """No member can be widened or changed without the publisher's key."""
        signed = sign(release(reason="old"), ONE)
        with pytest.raises(SignatureError, match="does not verify"):
            _verify_release({**signed, member: value})

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"revision": 0}, "revision"), ({"revision": 1.0}, "revision"), ({"revision": "1"}, "revision"),
            ({"revision": True}, "revision"), ({"rollout": 101}, "rollout"), ({"rollout": -1}, "rollout"),
            ({"rollout": 12.5}, "rollout"), ({"rollout": "10"}, "rollout"), ({"rollout": None}, "rollout"),
            ({"push": 1}, "push"), ({"push": "true"}, "push"), ({"forceUpdate": 0}, "forceUpdate"),
            ({"status": "hidden"}, "status"), ({"status": "Released"}, "status"), ({"status": "yanked"}, ""),
            ({"status": "deprecated"}, ""), ({"status": "yanked", "reason": ""}, "reason"), ({"kind": "x"}, "kind"),
            ({"registry": ""}, "registry"), ({"manifest": "sha256:x"}, "manifest"), ({"version": "1.2"}, "version"),
        ],
    )  # fmt: skip
    def test_malformed(self, change: dict[str, Any], path: str) -> None:
        """Wrong types and values are named by their path, even if they are signed."""
        with pytest.raises(DocumentError, match=rf"\$\.?{path}"):
            parse_release(dump_json(sign(release(**change), ONE)), "release.json")

    def test_size_limits(self) -> None:
        """A release has at most 16 KiB, a manifest 256 KiB."""
        with pytest.raises(DocumentError, match="at most 16384"):
            parse_release(dump_json(sign(release(note="x" * 17_000), ONE)), "release.json")
        with pytest.raises(ManifestError, match="at most 262144"):
            parse_manifest(dump_json(sign(manifest(note="x" * 262_144), ONE)), "manifest.json")

    def test_embedded_in_the_index(self) -> None:
        """What stands whole in an index line verifies like the file, up to the file's own limit."""
        document = sign(release(notes=[1] * 7000), ONE)
        assert len(dump_line(document)) < 16_384 < len(dump_json(document))
        parsed = parse_embedded_release(document, "index")
        want = payload_digest(manifest())
        assert verify_release(parsed, KEYS, registry="acme-registry", manifest=want).keyids == {keyid(ONE)}


class TestPinned:
    """What a lock pins needs no keys."""

    def test_the_pinned_bytes(self) -> None:
        """The very payload passes, whoever signed it."""
        parsed = parse_manifest(dump_json(sign(manifest(), STRANGER)), "m")
        assert verify_pinned(parsed, payload_digest(manifest())).model.id == "acme-calendar"

    def test_any_others(self) -> None:
        """Another payload does not, though its publisher signed it."""
        parsed = parse_manifest(dump_json(sign(manifest(name="New"), ONE)), "m")
        with pytest.raises(DigestError, match="but the lock pins"):
            verify_pinned(parsed, payload_digest(manifest()))


class TestOtherDocuments:
    """Policy and blocks, which TUF verifies."""

    def test_policy(self) -> None:
        """A policy is parsed; a wrong kind is refused."""
        document = {
            "kind": "policy",
            "schemaVersion": 1,
            "registry": "r",
            "name": "R",
            "baseUrl": "https://x.example/r",
        }
        assert parse_policy(dump_json(document), "policy.json").registry == "r"
        for change in (
            {"kind": "blocks"},
            {"baseUrl": "file:///x"},
            {"baseUrl": "https://u:p@x.example"},
            {"mirrors": ["x"]},
        ):
            with pytest.raises(DocumentError, match=r"policy\.json"):
                parse_policy(dump_json({**document, **change}), "policy.json")

    def test_blocks(self) -> None:
        """Blocks are parsed; each needs a range, an action, a reason and a time."""
        entry = {
            "id": "x",
            "versions": ">=1",
            "action": "hide",
            "reason": "r",
            "since": "2026-01-31T12:00:00Z",
        }
        document: Doc = {"kind": "blocks", "schemaVersion": 1, "blocks": [entry]}
        assert parse_blocks(dump_json(document), "blocks.json").blocks[0].id == "x"
        for name in entry:
            bare = {k: v for k, v in entry.items() if k != name}
            with pytest.raises(DocumentError, match=rf"\$\.blocks\[0\]\.{name}: field required"):
                parse_blocks(dump_json({**document, "blocks": [bare]}), "blocks.json")
        for change in (
            {"versions": ""},
            {"versions": "==="},
            {"action": "lift"},
            {"reason": ""},
            {"since": "now"},
        ):
            with pytest.raises(DocumentError, match=rf"\$\.blocks\[0\]\.{next(iter(change))}"):
                parse_blocks(dump_json({**document, "blocks": [{**entry, **change}]}), "blocks.json")
