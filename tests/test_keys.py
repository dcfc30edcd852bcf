"""Public keys: computed keyids, accepted schemes, one fingerprint a key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import CryptoSigner
from support.documents import ed25519 as fixed_key
from support.documents import key_object, keyid

from publisher.dev_keys import NAMES, dev_key_pem
from publisher.maintain.init import dev_signer
from publisher.signing import keyid_of, load_signer
from registry_client.errors import ConfigError, VerificationError
from registry_client.keys import DEV_KEYIDS, SCHEMES, compute_keyid, fingerprint, load_key, refuse_dev_keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

ED = key_object(fixed_key("one"))


def _pem(key: PublicKeyTypes) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _key(keytype: str, scheme: str, public: Any) -> dict[str, Any]:
    return {"keytype": keytype, "scheme": scheme, "keyval": {"public": public}}


EC_PEM = _pem(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.mark.parametrize(
    "signer",
    [CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa(), CryptoSigner.generate_rsa(size=2048)],
    ids=["ed25519", "ecdsa", "rsa"],
)
def test_keyids_are_those_of_the_tuf_library(signer: CryptoSigner) -> None:
    """Our keyid is the one that securesystemslib gives the same key, and the key loads under it."""
    key = key_object(signer)
    assert compute_keyid(key) == signer.public_key.keyid
    loaded = load_key(compute_keyid(key), key, "x")
    loaded.verify_signature(signer.sign(b"data"), b"data")


def test_golden_keyid() -> None:
    """SHA-256 of the canonical key object, as a constant: it may never change."""
    canonical = '{"keytype":"ed25519","keyval":{"public":"' + "00" * 32 + '"},"scheme":"ed25519"}'
    expected = "7f7373360bc914a5d4a7bd87711615178beb6cf52494fcc49082ec65ba62908c"
    assert hashlib.sha256(canonical.encode()).hexdigest() == expected
    assert compute_keyid(_key("ed25519", "ed25519", "00" * 32)) == expected


def test_members_beyond_the_key_do_not_count() -> None:
    """Only type, scheme and value make the keyid."""
    assert compute_keyid({**ED, "note": "x"}) == compute_keyid(ED)


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        (_key("ed25519", "ed25519", "00" * 31), "not a public key"),
        (_key("ed25519", "ed25519", "00" * 33), "not a public key"),
        (_key("ed25519", "ed25519", "zz" * 32), "not a public key"),
        (_key("ed25519", "ed25519", ""), "not a public key"),
        (_key("ed25519", "ed25519", "\u0661" * 64), "not a public key"),
        (_key("ecdsa", "ecdsa-sha2-nistp256", "00" * 32), "not a public key"),
        (_key("ecdsa", "ecdsa-sha2-nistp256", EC_PEM[:-40]), "not a public key"),
        (_key("ecdsa", "ecdsa-sha2-nistp256", EC_PEM.replace("PUBLIC", "PRIVATE")), "not a public key"),
        (
            _key("rsa", "rsassa-pss-sha256", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
            "not a public key",
        ),
        (_key("ed25519", "rsassa-pss-sha256", "00" * 32), "is not supported"),
        (_key("sphincs", "sphincs-shake-128s", "00" * 32), "is not supported"),
        (_key("rsa", "rsassa-pss-md5", EC_PEM), "is not supported"),
        (_key("rsa", "rsa-pkcs1v15-sha1", EC_PEM), "is not supported"),
        (_key("rsa", "pgp+rsa-pkcsv1.5", EC_PEM), "is not supported"),
        (_key("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", EC_PEM), "is not supported"),
    ],
)
def test_unusable_keys(key: dict[str, Any], rule: str) -> None:
    """What is no public key of a supported scheme is refused, naming the file."""
    with pytest.raises(VerificationError, match=rule) as caught:
        load_key(compute_keyid(key), key, "publishers/acme.json")
    assert str(caught.value).startswith("publishers/acme.json: ")


@pytest.mark.parametrize("stated", ["0" * 64, compute_keyid(_key("ed25519", "ed25519", "00" * 32))])
def test_keyids_are_not_believed(stated: str) -> None:
    """A key under another keyid than its own is refused, with both named."""
    with pytest.raises(VerificationError, match=f"is really {compute_keyid(ED)[:16]}"):
        load_key(stated, ED, "x")


@pytest.mark.parametrize(
    ("scheme", "made"),
    [
        ("rsassa-pss-sha256", dsa.generate_private_key(1024).public_key()),
        ("rsassa-pss-sha256", ec.generate_private_key(ec.SECP256R1()).public_key()),
        ("ecdsa-sha2-nistp256", ed25519.Ed25519PrivateKey.generate().public_key()),
        ("ecdsa-sha2-nistp256", x25519.X25519PrivateKey.generate().public_key()),
        ("ecdsa-sha2-nistp384", ec.generate_private_key(ec.SECP256R1()).public_key()),
    ],
)
def test_a_key_of_another_type_verifies_nothing(scheme: str, made: PublicKeyTypes) -> None:
    """A PEM of another type or curve than stated may load, but no signature counts, and nothing breaks."""
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import Signature

    key = _key("rsa" if scheme.startswith("rsa") else "ecdsa", scheme, _pem(made))
    loaded = load_key(compute_keyid(key), key, "x")
    with pytest.raises(UnverifiedSignatureError):
        loaded.verify_signature(Signature(compute_keyid(key), "00" * 64), b"data")


class TestFingerprint:
    """Equal exactly if the public keys are."""

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            (ED, _key("ed25519", "ed25519", ED["keyval"]["public"].upper())),
            (
                ED,
                _key(
                    "ed25519", "ed25519", " ".join(ED["keyval"]["public"][i : i + 2] for i in range(0, 64, 2))
                ),
            ),
            (
                _key("ecdsa", "ecdsa-sha2-nistp256", EC_PEM),
                _key("ecdsa", "ecdsa-sha2-nistp256", EC_PEM + "\n\n"),
            ),
            (
                _key("ecdsa", "ecdsa-sha2-nistp256", EC_PEM),
                _key("ecdsa", "ecdsa-sha2-nistp256", "note\n" + EC_PEM),
            ),
            (
                _key("ecdsa", "ecdsa-sha2-nistp256", EC_PEM),
                _key("ecdsa", "ecdsa-sha2-nistp256", EC_PEM.replace("\n", "\r\n")),
            ),
            (_key("ecdsa", "ecdsa-sha2-nistp256", EC_PEM), _key("ecdsa", "ecdsa-sha2-nistp384", EC_PEM)),
        ],
        ids=["upper case", "spaces", "line breaks", "text before", "CRLF", "other scheme"],
    )
    def test_one_key_in_two_spellings(self, a: dict[str, Any], b: dict[str, Any]) -> None:
        """Different keyids, one fingerprint."""
        assert compute_keyid(a) != compute_keyid(b)
        assert fingerprint(a, "x") == fingerprint(b, "x")

    def test_different_keys(self) -> None:
        """Different keys, different fingerprints."""
        others = [ED, key_object(fixed_key("two")), _key("ecdsa", "ecdsa-sha2-nistp256", EC_PEM)]
        assert len({fingerprint(key, "x") for key in others}) == 3

    @pytest.mark.parametrize(
        "key", [{}, {"keytype": "ed25519"}, _key("ed25519", "ed25519", 7), {"keytype": "rsa", "keyval": None}]
    )
    def test_malformed(self, key: dict[str, Any]) -> None:
        """What lacks members or has wrong types is a VerificationError."""
        with pytest.raises(VerificationError, match="not a public key"):
            fingerprint(key, "x")


class TestDevelopmentKeys:
    """Keys that everybody has."""

    def test_the_list_is_that_of_the_keys(self) -> None:
        """The hard-coded keyids are those of the keys that can be computed from their names."""
        made = {keyid_of(CryptoSigner(_private(name)).public_key) for name in NAMES}
        assert made == DEV_KEYIDS

    @pytest.mark.parametrize("name", NAMES)
    def test_refused_unless_allowed(self, name: str) -> None:
        """Each is refused, and passes where development keys are allowed; other keys always pass."""
        key = key_object(CryptoSigner(_private(name)))
        with pytest.raises(ConfigError, match="the pinned root uses development key") as caught:
            refuse_dev_keys([ED, key], "the pinned root", allowed=False)
        assert "--allow-dev-keys" in caught.value.hint
        refuse_dev_keys([ED, key], "the pinned root", allowed=True)
        refuse_dev_keys([ED, {}, {"keyval": 7}], "the pinned root", allowed=False)

    def test_signers_refuse_them(self) -> None:
        """They cannot even be loaded for signing."""
        environ = {"KEY": dev_key_pem("online").decode()}
        with pytest.raises(ConfigError, match="development key"):
            load_signer("envvar:KEY", environ=environ)
        assert keyid(load_signer("envvar:KEY", environ=environ, allow_dev_keys=True)) in DEV_KEYIDS


def _private(name: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(dev_key_pem(name), None)


def test_no_weak_scheme_is_accepted() -> None:
    """No MD5, no SHA-1, no GPG."""
    assert not [scheme for _, scheme in SCHEMES if "md5" in scheme or "sha1" in scheme or "pgp" in scheme]


def test_a_development_key_in_capitals_is_still_one() -> None:
    """Hex has two spellings; the other one gives another keyid and the same key."""
    key = dev_signer("online").public_key.to_dict()
    spelled = {**key, "keyval": {"public": key["keyval"]["public"].upper()}}
    with pytest.raises(ConfigError, match="development key"):
        refuse_dev_keys([spelled], "here", allowed=False)
