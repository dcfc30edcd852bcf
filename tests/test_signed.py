"""The attack table of signed documents: each forgery is refused for its own reason, and honest documents pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
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
)

from registry_client.digest import Digest
from registry_client.errors import (
    DigestError,
    DocumentError,
    ManifestError,
    SignatureError,
    VerificationError,
)
from registry_client.jsontext import canonical_bytes, dump_json, dump_line, payload_of
from registry_client.models.base import Signature
from registry_client.signed import (
    PublisherKeys,
    VerifiedManifest,
    VerifiedRelease,
    parse_blocks,
    parse_embedded_release,
    parse_manifest,
    parse_policy,
    parse_publisher,
    parse_release,
    verify_manifest,
    verify_pinned,
    verify_release,
)

ONE, TWO, STRANGER = ed25519("one"), ed25519("two"), ed25519("stranger")
ECDSA, RSA = CryptoSigner.generate_ecdsa(), CryptoSigner.generate_rsa(size=2048)
KEYS = publisher_keys(keys_of(ONE, TWO))
GOLDEN = json.loads((Path(__file__).parent / "golden" / "signed.json").read_text("utf-8"))
Doc = dict[str, Any]


def _verify(document: Doc, keys: PublisherKeys = KEYS) -> VerifiedManifest:
    return verify_manifest(parse_manifest(dump_json(document), "manifest.json"), keys)


def _verify_release(document: Doc, keys: PublisherKeys = KEYS, **expected: Any) -> VerifiedRelease:
    want = {"registry": "acme-registry", "manifest": payload_digest(manifest()), **expected}
    return verify_release(parse_release(dump_json(document), "release.json"), keys, **want)


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
        assert (verified.publisher, verified.keyids) == ("acme", {keyid(signer)})
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
        for verify, document in ((_verify, manifest()), (_verify_release, release())):
            with pytest.raises(SignatureError, match="is revoked"):
                verify(sign(document, ONE), keys)  # type: ignore[operator]
            assert verify(sign(document, ONE, TWO), keys).keyids == {keyid(TWO)}  # type: ignore[operator]

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
        verified.model.name = "x"
    with pytest.raises(AttributeError):
        verified.publisher = "x"  # type: ignore[misc]
