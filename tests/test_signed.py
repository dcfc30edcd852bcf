"""The attack table of signed documents: each forgery is refused for its own reason, and honest documents pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from support.documents import (
    ed25519,
    key_object,
    keyid,
    keys_of,
    manifest,
    payload_digest,
    publisher_keys,
    release,
    sign,
    signature,
    verify,
    verify_as_release,
)

from registry_client.digest import Digest
from registry_client.errors import (
    DocumentError,
    ManifestError,
    SignatureError,
)
from registry_client.jsontext import canonical_bytes, dump_json, payload_of
from registry_client.models.base import Signature
from registry_client.signed import (
    PublisherKeys,
    VerifiedManifest,
    VerifiedRelease,
    parse_manifest,
    parse_release,
    verify_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ONE, TWO, STRANGER = ed25519("one"), ed25519("two"), ed25519("stranger")
ECDSA, RSA = CryptoSigner.generate_ecdsa(), CryptoSigner.generate_rsa(size=2048)
KEYS = publisher_keys(keys_of(ONE, TWO))
GOLDEN = json.loads((Path(__file__).parent / "golden" / "signed.json").read_text("utf-8"))
Doc = dict[str, Any]


def _verify(document: Doc, keys: PublisherKeys = KEYS) -> VerifiedManifest:
    return verify(document, keys)


def _verify_release(document: Doc, keys: PublisherKeys = KEYS, **expected: Any) -> VerifiedRelease:
    return verify_as_release(document, keys, **expected)


def _padded(document: Doc, count: int) -> Doc:
    """The document with `count` signatures: a good one and others of unknown keyids."""
    others = [{"keyid": f"{n:064x}", "sig": "00" * 64} for n in range(count - 1)]
    return {**document, "signatures": [signature(document, ONE), *others]}


class TestHonest:
    """What passes."""

    @pytest.mark.parametrize("signer", [ONE, ECDSA, RSA], ids=["ed25519", "ecdsa", "rsa"])
    def test_each_kind_of_key(self, signer: CryptoSigner) -> None:
        """Manifests and releases signed with Ed25519, ECDSA and RSA verify, and say who signed."""
        keys = publisher_keys(keys_of(signer))
        verified = _verify(sign(manifest(), signer), keys)
        assert (verified.publisher, set(verified.keyids)) == ("acme", {keyid(signer)})
        assert verified.payload_digest == payload_digest(manifest())
        assert verified.model.id == "acme-calendar"
        assert _verify_release(sign(release(), signer), keys).keyids == {keyid(signer)}

    def test_the_text_does_not_matter(self) -> None:
        """Order, spaces and escapes may change after signing; bytes as received are kept."""
        document = sign(manifest(name="Kalender \u00e9\U0001f600"), ONE)
        shuffled = dict(sorted(document.items(), reverse=True))
        data = json.dumps(shuffled, indent=5).encode()
        verified = verify_manifest(parse_manifest(data, "m"), KEYS)
        assert verified.data == data
        assert verified.payload_digest == payload_digest(document)

    def test_unknown_members_pass_and_are_signed(self) -> None:
        """A newer publisher may say more, at any depth; what it says is covered by the signature."""
        document = manifest(future={"x": [1, 2.5]}, ui={**manifest()["ui"], "shiny": True})
        assert _verify(sign(document, ONE)).raw["future"] == {"x": [1, 2.5]}
        signed = sign(document, ONE)
        for changed in (
            {**signed, "future": {"x": [1, 2.6]}},
            {k: v for k, v in signed.items() if k != "future"},
        ):
            with pytest.raises(SignatureError, match="does not verify"):
                _verify(changed)

    def test_a_bad_signature_beside_a_good_one(self) -> None:
        """Signatures of unknown and former keys, and broken ones, do not spoil one that counts."""
        document = manifest()
        more = [signature(document, STRANGER), {**signature(document, TWO), "sig": "00" * 64}]
        verified = _verify({**document, "signatures": [*more, signature(document, ONE)]})
        assert verified.keyids == {keyid(ONE)}

    def test_sixteen_signatures(self) -> None:
        """Sixteen are allowed."""
        assert _verify(_padded(manifest(), 16)).keyids == {keyid(ONE)}

    def test_signatures_can_be_added(self) -> None:
        """Another signature changes nothing but who signed."""
        once, twice = _verify(sign(manifest(), ONE)), _verify(sign(manifest(), ONE, TWO))
        assert once.payload_digest == twice.payload_digest
        assert twice.keyids == {keyid(ONE), keyid(TWO)}


def _set(path: str, value: Any) -> Callable[[Doc], Doc]:
    """A change of one member, after signing."""

    def change(document: Doc) -> Doc:
        copy = json.loads(json.dumps(document))
        *steps, last = path.split(".")
        inner = copy
        for step in steps:
            inner = inner[step]
        inner[last] = value
        return dict(copy)

    return change


SIGNED = sign(manifest(), ONE)
EDITED: dict[str, Callable[[Doc], Doc]] = {
    "name": _set("name", "Calendar "),
    "id": _set("id", "acme-other"),
    "version": _set("version", "1.2.1"),
    "status": _set("initialStatus", "draft"),
    "code": _set("ui.remoteEntry", "https://evil.example/remoteEntry.js"),
    "a permission more": _set("permissions", ["files"]),
    "an unknown member more": _set("note", 1),
    "null for a missing member": _set("homepage", None),
    "empty for a missing member": _set("keywords", []),
}


@pytest.mark.parametrize("edit", EDITED.values(), ids=EDITED)
def test_edited_after_signing(edit: Callable[[Doc], Doc]) -> None:
    """Any edited, added or emptied member is refused."""
    with pytest.raises(
        SignatureError, match=r"manifest\.json: 0 of 1 needed signatures .*\n.*does not verify"
    ) as caught:
        _verify(edit(SIGNED))
    assert "publisher sign" in caught.value.hint


def _with(*signatures: Any) -> Doc:
    return {**manifest(), "signatures": list(signatures)}


GOOD = signature(manifest(), ONE)
MALFORMED: dict[str, tuple[Any, str]] = {
    "no list": ({k: v for k, v in SIGNED.items() if k != "signatures"}, r"\$\.signatures: field required"),
    "null": ({**manifest(), "signatures": None}, r"\$\.signatures"),
    "an empty list": (_with(), r"\$\.signatures: .*at least 1"),
    "17 signatures": (_padded(manifest(), 17), r"\$\.signatures: .*at most 16"),
    "one keyid twice": (_with(GOOD, GOOD), "one signature per keyid"),
    "one keyid twice, one of them bad": (_with({**GOOD, "sig": "00" * 64}, GOOD), "one signature per keyid"),
    "a keyid in upper case": (_with({**GOOD, "keyid": GOOD["keyid"].upper()}), r"\$\.signatures\[0\]\.keyid"),
    "a keyid with a newline": (_with({**GOOD, "keyid": GOOD["keyid"] + "\n"}), r"\$\.signatures\[0\]\.keyid"),
    "a short keyid": (_with({**GOOD, "keyid": GOOD["keyid"][:-1]}), r"\$\.signatures\[0\]\.keyid"),
    "no keyid": (_with({"sig": GOOD["sig"]}), r"\$\.signatures\[0\]\.keyid"),
    "no signature in it": (_with({"keyid": GOOD["keyid"]}), r"\$\.signatures\[0\]\.sig"),
    "an empty signature": (_with({**GOOD, "sig": ""}), r"\$\.signatures\[0\]\.sig"),
    "an odd number of digits": (_with({**GOOD, "sig": GOOD["sig"] + "0"}), r"\$\.signatures\[0\]\.sig"),
    "upper-case hex": (_with({**GOOD, "sig": GOOD["sig"].upper()}), r"\$\.signatures\[0\]\.sig"),
    "base64": (_with({**GOOD, "sig": "q83v/w=="}), r"\$\.signatures\[0\]\.sig"),
    "a text for a list": ({**manifest(), "signatures": GOOD["sig"]}, r"\$\.signatures"),
    "an object for a list": ({**manifest(), "signatures": {"0": GOOD}}, r"\$\.signatures"),
    "another kind": (sign(manifest(kind="release"), ONE), r"\$\.kind"),
    "another format": (sign(manifest(schemaVersion=2), ONE), r"\$\.schemaVersion"),
}


@pytest.mark.parametrize(("document", "rule"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_signatures(document: Doc, rule: str) -> None:
    """What is no proper list of signatures is a ManifestError, before any key is looked at."""
    with pytest.raises(ManifestError, match=rule):
        parse_manifest(dump_json(document), "manifest.json")


REFUSED: dict[str, tuple[Doc, str]] = {
    "an unknown key": (sign(manifest(), STRANGER), "is not a key of this publisher"),
    "an unknown key under a known keyid": (
        _with(signature(manifest(), STRANGER, keyid(ONE))),
        "does not verify",
    ),
    "a known key under another known keyid": (
        _with(signature(manifest(), ONE, keyid(TWO))),
        "does not verify",
    ),
    "a known key under an unknown keyid": (
        _with(signature(manifest(), ONE, "0" * 64)),
        "is not a key of this",
    ),
    "a signature cut short": (_with({**GOOD, "sig": GOOD["sig"][:-2]}), "does not verify"),
    "a signature and more": (_with({**GOOD, "sig": GOOD["sig"] + "00"}), "does not verify"),
    "one of another manifest": (_with(signature(manifest(version="1.1.0"), ONE)), "does not verify"),
    "one of the same manifest's release": (_with(signature(release(), ONE)), "does not verify"),
    "one over the bytes with the list": (
        _with({"keyid": keyid(ONE), "sig": ONE.sign(canonical_bytes(_with())).signature}),
        "does not verify",
    ),
    "one over the bytes of the file": (
        _with({"keyid": keyid(ONE), "sig": ONE.sign(dump_json(manifest())).signature}),
        "does not verify",
    ),
    "one over the digest": (
        _with({"keyid": keyid(ONE), "sig": ONE.sign(payload_digest(manifest()).encode()).signature}),
        "does not verify",
    ),
}


@pytest.mark.parametrize(("document", "reason"), REFUSED.values(), ids=REFUSED)
def test_signatures_that_do_not_count(document: Doc, reason: str) -> None:
    """Each is refused, and the message says of the signature why it does not count."""
    with pytest.raises(
        SignatureError, match=f"0 of 1 needed signatures of publisher 'acme' count\n.*{reason}"
    ):
        _verify(document)


class TestOneKindForAnother:
    """A signature is good for one kind of document only."""

    def test_a_release_is_no_manifest(self) -> None:
        """A signed document with the members of both kinds is what its signed `kind` says, and nothing else."""
        both = manifest() | release()
        as_release = sign({**both, "kind": "release"}, ONE)
        assert _verify_release(as_release).model.status == "released"
        with pytest.raises(ManifestError, match=r"\$\.kind"):
            parse_manifest(dump_json(as_release), "manifest.json")
        with pytest.raises(SignatureError, match="does not verify"):
            _verify({**as_release, "kind": "manifest"})

    def test_a_manifest_is_no_release(self) -> None:
        """And the other way round."""
        as_manifest = sign({**release(), **manifest()}, ONE)
        assert _verify(as_manifest).model.version == "1.2.0"
        with pytest.raises(DocumentError, match=r"\$\.kind"):
            parse_release(dump_json(as_manifest), "release.json")
        with pytest.raises(SignatureError, match="does not verify"):
            _verify_release({**as_manifest, "kind": "release"})


class TestThreshold:
    """So many distinct public keys must sign."""

    KEYS = publisher_keys(keys_of(ONE, TWO, ECDSA), threshold=2)

    def test_two_keys(self) -> None:
        """Any two of them are enough; three are as well."""
        for signers in ([ONE, TWO], [TWO, ECDSA], [ONE, TWO, ECDSA]):
            assert len(_verify(sign(manifest(), *signers), self.KEYS).keyids) == len(signers)

    @pytest.mark.parametrize("signers", [[ONE], [ONE, STRANGER], [ECDSA]])
    def test_one_key(self, signers: list[CryptoSigner]) -> None:
        """One is not, whatever strangers add."""
        with pytest.raises(SignatureError, match="1 of 2 needed signatures"):
            _verify(sign(manifest(), *signers), self.KEYS)

    def test_one_key_twice(self) -> None:
        """One key's signature under a second keyid does not count as another."""
        document = manifest()
        with pytest.raises(SignatureError, match="1 of 2 needed signatures"):
            _verify(
                {**document, "signatures": [signature(document, ONE), signature(document, ONE, keyid(TWO))]},
                self.KEYS,
            )

    def test_two_signatures_of_one_key(self) -> None:
        """ECDSA gives other bytes each time: two signatures of one key are still of one keyid."""
        document = manifest()
        first, second = signature(document, ECDSA), signature(document, ECDSA)
        assert first["sig"] != second["sig"]
        with pytest.raises(ManifestError, match="one signature per keyid"):
            _verify({**document, "signatures": [first, second]}, self.KEYS)

    def test_more_than_there_are_keys(self) -> None:
        """A threshold that cannot be reached lets nothing through."""
        with pytest.raises(SignatureError, match="2 of 3 needed"):
            _verify(sign(manifest(), ONE, TWO), publisher_keys(keys_of(ONE, TWO), threshold=3))

    def test_no_keys(self) -> None:
        """A publisher without keys can publish nothing."""
        with pytest.raises(SignatureError, match="0 of 1 needed"):
            _verify(sign(manifest(), ONE), publisher_keys({}))

    @pytest.mark.parametrize("threshold", [0, -1, True, 17, None, "1"])
    def test_out_of_bounds(self, threshold: Any) -> None:
        """A threshold is an integer from 1 to 16."""
        with pytest.raises(DocumentError, match=r"\$\.threshold"):
            publisher_keys(keys_of(ONE), threshold=threshold)


@pytest.mark.parametrize("vector", GOLDEN["documents"], ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, Any]) -> None:
    """Canonical payload, digest and signature of fixed documents with a fixed key, byte for byte."""
    signer = CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(GOLDEN["privateKeyHex"])))
    assert key_object(signer) == GOLDEN["key"]
    assert keyid(signer) == GOLDEN["keyid"]
    document = vector["document"]
    assert payload_of(document) == vector["payload"].encode()
    assert payload_digest(document) == vector["payloadDigest"]
    assert [signature(document, signer)] == document["signatures"]
    keys = publisher_keys({GOLDEN["keyid"]: GOLDEN["key"]})
    if document["kind"] == "manifest":
        assert _verify(document, keys).payload_digest == vector["payloadDigest"]
    else:
        assert _verify_release(document, keys, manifest=Digest(document["manifest"])).keyids == {
            GOLDEN["keyid"]
        }


def test_the_model_of_a_signature() -> None:
    """Models are frozen: nothing verified can be changed by accident."""
    verified = _verify(SIGNED)
    assert isinstance(verified.model.signatures[0], Signature)
    with pytest.raises(ValueError, match="frozen"):
        verified.model.name = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        verified.publisher = "x"  # type: ignore[misc]
