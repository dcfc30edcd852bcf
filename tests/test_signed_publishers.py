"""Publisher files and their keys: current, retired, revoked, disguised."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import CryptoSigner
from support.documents import (
    ed25519,
    key_object,
    keyid,
    keys_of,
    manifest,
    payload_digest,
    publisher,
    publisher_keys,
    release,
    sign,
    signature,
    verify,
    verify_as_release,
)

from registry_client.errors import (
    DocumentError,
    SignatureError,
    VerificationError,
)
from registry_client.jsontext import dump_json
from registry_client.signed import (
    PublisherKeys,
    VerifiedManifest,
    VerifiedRelease,
    parse_publisher,
)

ONE, TWO, STRANGER = ed25519("one"), ed25519("two"), ed25519("stranger")
ECDSA, RSA = CryptoSigner.generate_ecdsa(), CryptoSigner.generate_rsa(size=2048)
KEYS = publisher_keys(keys_of(ONE, TWO))
Doc = dict[str, Any]


def _verify(document: Doc, keys: PublisherKeys = KEYS) -> VerifiedManifest:
    return verify(document, keys)


def _verify_release(document: Doc, keys: PublisherKeys = KEYS, **expected: Any) -> VerifiedRelease:
    return verify_as_release(document, keys, **expected)


def _with(*signatures: Any) -> Doc:
    return {**manifest(), "signatures": list(signatures)}


class TestRetiredAndRevoked:
    """Keys of the past."""

    @staticmethod
    def _keys(**change: Any) -> PublisherKeys:
        return publisher_keys(keys_of(TWO), **change)

    def test_a_retired_key_counts_for_what_is_listed(self) -> None:
        """Manifests and releases from before the change still verify, by their payload digests."""
        listed = [payload_digest(manifest()), payload_digest(release())]
        keys = self._keys(retiredKeys={keyid(ONE): {"key": key_object(ONE), "digests": listed}})
        assert _verify(sign(manifest(), ONE), keys).keyids == {keyid(ONE)}
        assert _verify_release(sign(release(), ONE), keys).keyids == {keyid(ONE)}

    def test_and_for_nothing_else(self) -> None:
        """What a retired key signs now does not count, nor does a forgery of what is listed."""
        retired = {keyid(ONE): {"key": key_object(ONE), "digests": [payload_digest(manifest())]}}
        keys = self._keys(retiredKeys=retired)
        for document in (manifest(version="1.3.0"), manifest(name="Evil")):
            with pytest.raises(SignatureError, match="is retired, and this document is not among those"):
                _verify(sign(document, ONE), keys)
        with pytest.raises(SignatureError, match="is retired"):
            _verify_release(sign(release(), ONE), keys)
        with pytest.raises(SignatureError, match="does not verify"):
            _verify(_with(signature(manifest(), STRANGER, keyid(ONE))), keys)

    def test_a_retired_key_helps_to_a_threshold(self) -> None:
        """Old and new key together make two, for what is listed."""
        retired = {keyid(ONE): {"key": key_object(ONE), "digests": [payload_digest(manifest())]}}
        keys = self._keys(retiredKeys=retired, threshold=2)
        assert _verify(sign(manifest(), ONE, TWO), keys).keyids == {keyid(ONE), keyid(TWO)}

    def test_a_revoked_key_counts_for_nothing(self) -> None:
        """Until the document is signed anew with a current key."""
        keys = self._keys(revokedKeys={keyid(ONE): {"reason": "stolen"}})
        for check, document in ((_verify, manifest()), (_verify_release, release())):
            with pytest.raises(SignatureError, match="is revoked"):
                check(sign(document, ONE), keys)
            assert check(sign(document, ONE, TWO), keys).keyids == {keyid(TWO)}

    @pytest.mark.parametrize(
        "change",
        [
            {"revokedKeys": {keyid(TWO): {"reason": "x"}}},
            {"retiredKeys": {keyid(TWO): {"key": key_object(TWO), "digests": []}}},
            {
                "retiredKeys": {keyid(ONE): {"key": key_object(ONE), "digests": []}},
                "revokedKeys": {keyid(ONE): {"reason": "x"}},
            },
        ],
    )
    def test_a_key_has_one_state(self, change: dict[str, Any]) -> None:
        """No key is current and retired, or retired and revoked."""
        with pytest.raises(DocumentError, match="expected each keyid in one of"):
            self._keys(**change)


def _public(key: Doc, public: str) -> Doc:
    return {**key, "keyval": {"public": public}}


def _ed25519_as_pem() -> Doc:
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key_object(ONE)["keyval"]["public"]))
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}}


class TestPublisherFiles:
    """Keys as a publisher file states them."""

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            (key_object(ONE), _public(key_object(ONE), key_object(ONE)["keyval"]["public"].upper())),
            (key_object(ECDSA), _public(key_object(ECDSA), key_object(ECDSA)["keyval"]["public"] + "\n")),
            (
                key_object(RSA),
                _public(key_object(RSA), key_object(RSA)["keyval"]["public"].replace("\n", "\r\n")),
            ),
            (key_object(RSA), {**key_object(RSA), "scheme": "rsa-pkcs1v15-sha256"}),
        ],
        ids=["hex in upper case", "PEM with a line more", "PEM with CRLF", "another scheme"],
    )
    def test_two_keyids_for_one_public_key(self, a: Doc, b: Doc) -> None:
        """One key in two spellings would be two votes: refused, also where one of them is retired."""
        assert keyid(a) != keyid(b)
        with pytest.raises(VerificationError, match="two keyids hold one public key"):
            publisher_keys(keys_of(a, b), threshold=2)
        with pytest.raises(VerificationError, match="two keyids hold one public key"):
            publisher_keys(keys_of(a), retiredKeys={keyid(b): {"key": b, "digests": []}})

    def test_one_key_under_two_types(self) -> None:
        """An Ed25519 key that also stands there as PEM of another type makes no second vote."""
        other = _ed25519_as_pem()
        document = manifest()
        keys = publisher_keys(keys_of(ONE, other), threshold=2)
        with pytest.raises(SignatureError, match="1 of 2 needed signatures"):
            _verify(
                {
                    **document,
                    "signatures": [signature(document, ONE), signature(document, ONE, keyid(other))],
                },
                keys,
            )

    def test_keyids_are_computed(self) -> None:
        """A key under another key's id, current or retired, spoils the file."""
        with pytest.raises(VerificationError, match="is really"):
            publisher_keys({keyid(ONE): key_object(STRANGER)})
        with pytest.raises(VerificationError, match="is really"):
            publisher_keys(
                keys_of(TWO), retiredKeys={keyid(ONE): {"key": key_object(STRANGER), "digests": []}}
            )

    @pytest.mark.parametrize(
        ("plugins", "covered"),
        [
            (["acme-*"], True),
            (["acme-calendar"], True),
            (["other", "acme-calendar"], True),
            (["acme-calendar-*"], False),
            (["acme"], False),
            (["acme-calenda"], False),
            (["globex-*"], False),
            ([], False),
        ],
    )
    def test_ids_that_a_publisher_covers(self, plugins: list[str], covered: bool) -> None:
        """A good signature of a publisher who does not cover the id counts for nothing."""
        keys = publisher_keys(keys_of(ONE), plugins=plugins)
        if covered:
            assert _verify(sign(manifest(), ONE), keys).publisher == "acme"
            assert _verify_release(sign(release(), ONE), keys).publisher == "acme"
            return
        with pytest.raises(SignatureError, match="publisher 'acme' may not publish 'acme-calendar'"):
            _verify(sign(manifest(), ONE), keys)
        with pytest.raises(SignatureError, match="publisher 'acme' may not publish 'acme-calendar'"):
            _verify_release(sign(release(), ONE), keys)

    @pytest.mark.parametrize(
        "plugins", [["*"], ["acme*"], ["acme-*", "acme-*"], ["Acme"], ["acme\n"], "acme", None]
    )
    def test_malformed_patterns(self, plugins: Any) -> None:
        """Patterns outside the grammar spoil the file."""
        with pytest.raises(DocumentError, match=r"\$\.plugins"):
            parse_publisher(dump_json(publisher(keys_of(ONE), plugins=plugins)), "publishers/acme.json")
