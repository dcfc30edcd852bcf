"""Private keys by URI: what loads, what is refused, and that key material never shows."""

from __future__ import annotations

import os
import stat
import traceback
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from support.mini_registry import sign

from publisher.documents import sign_document
from publisher.signing import (
    PASSPHRASE_VARIABLE,
    generate_key,
    keyid_of,
    load_signer,
    public_key_object,
    write_private_key,
)
from registry_client.errors import ConfigError, RegistryError
from registry_client.jsontext import payload_of
from registry_client.keys import load_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

DOCUMENT = {"kind": "manifest", "id": "calendar"}


def pem_of(key: PrivateKeyTypes, passphrase: str | None = None) -> bytes:
    """PKCS8 PEM of a key."""
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def key_file(tmp_path: Path, passphrase: str | None = None) -> Path:
    """A key as keygen writes it."""
    path = tmp_path / "key.pem"
    write_private_key(path, generate_key(passphrase)[0])
    return path


class TestWhere:
    """The forms of a key URI."""

    @pytest.mark.parametrize("form", ["{path}", "file:{path}", "~/key.pem", "file:~/key.pem"])
    def test_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
        """A plain path or `file:`, below the home folder too."""
        monkeypatch.setenv("HOME", str(tmp_path))
        path = key_file(tmp_path)
        signer = load_signer(form.format(path=path))
        assert load_key(keyid_of(signer.public_key), public_key_object(signer.public_key), "here")

    def test_a_variable(self, tmp_path: Path) -> None:
        """The PEM itself, as a CI secret holds it; the environment is what the caller gives."""
        pem = key_file(tmp_path).read_text()
        signer = load_signer("envvar:SECRET", environ={"SECRET": f"\n{pem}\n"})
        assert keyid_of(signer.public_key) == keyid_of(load_signer(str(tmp_path / "key.pem")).public_key)

    def test_the_process_environment_is_not_looked_at(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """One module of the package reads it, and hands it over."""
        monkeypatch.setenv("SECRET", key_file(tmp_path).read_text())
        with pytest.raises(ConfigError, match="SECRET"):
            load_signer("envvar:SECRET")

    @pytest.mark.parametrize(
        ("uri", "environ", "words"),
        [
            ("{tmp}/none.pem", {}, "none.pem"),
            ("file:{tmp}/none.pem", {}, "none.pem"),
            ("{tmp}", {}, "cannot be read"),
            ("", {}, "cannot be read"),
            ("envvar:", {}, "not set"),
            ("envvar:NONE", {}, "'NONE' is not set"),
            ("envvar:BLANK", {"BLANK": " \n"}, "'BLANK' is not set"),
            ("envvar:JUNK", {"JUNK": "junk"}, "not a PKCS8 PEM"),
            ("gcpksm:projects/x", {}, "cannot be read"),
        ],
    )
    def test_what_is_no_key(self, tmp_path: Path, uri: str, environ: dict[str, str], words: str) -> None:
        """Names where it was looked for, and has a way out."""
        with pytest.raises(ConfigError, match=words) as caught:
            load_signer(uri.format(tmp=tmp_path), environ=environ)
        assert caught.value.hint

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666])
    def test_a_file_that_others_can_read(self, tmp_path: Path, mode: int) -> None:
        """Is refused, with the command that puts it right."""
        path = key_file(tmp_path)
        path.chmod(mode)
        with pytest.raises(ConfigError, match=f"mode 0{mode:o}") as caught:
            load_signer(str(path))
        assert caught.value.hint == f"chmod 600 {path}"
        path.chmod(0o400)
        assert load_signer(str(path))


class TestPassphrase:
    """Encrypted keys."""

    def test_right_wrong_and_missing(self, tmp_path: Path) -> None:
        """From the environment, or asked for; never asked for when the environment has it."""
        path = key_file(tmp_path, "correct horse")

        def never(_: str) -> str:
            pytest.fail("asked although the environment has it")

        assert load_signer(str(path), environ={PASSPHRASE_VARIABLE: "correct horse"}, ask=never)
        assert load_signer(str(path), environ={}, ask=lambda _: "correct horse")
        for environ, ask, words in (
            ({PASSPHRASE_VARIABLE: "wrong"}, None, "wrong passphrase"),
            ({PASSPHRASE_VARIABLE: ""}, None, "has a passphrase"),
            ({}, None, "has a passphrase"),
            ({}, lambda _: "", "has a passphrase"),
            ({}, lambda _: "wrong", "wrong passphrase"),
        ):
            with pytest.raises(ConfigError, match=words) as caught:
                load_signer(str(path), environ=environ, ask=ask)
            assert "horse" not in caught.value.message

    def test_not_asked_for_without_need(self, tmp_path: Path) -> None:
        """A plain key asks nothing."""
        assert load_signer(str(key_file(tmp_path)), environ={PASSPHRASE_VARIABLE: "unused"}, ask=None)

    def test_a_variable_can_hold_an_encrypted_key(self) -> None:
        """Two secrets then, which leak separately."""
        pem = generate_key("correct horse")[0].decode()
        assert load_signer("envvar:K", environ={"K": pem, PASSPHRASE_VARIABLE: "correct horse"})
        with pytest.raises(ConfigError, match="has a passphrase"):
            load_signer("envvar:K", environ={"K": pem})


class TestTypes:
    """Kinds of keys."""

    @pytest.mark.parametrize(
        ("make", "scheme"),
        [
            (Ed25519PrivateKey.generate, "ed25519"),
            (lambda: ec.generate_private_key(ec.SECP256R1()), "ecdsa-sha2-nistp256"),
            (lambda: ec.generate_private_key(ec.SECP384R1()), "ecdsa-sha2-nistp384"),
            (lambda: rsa.generate_private_key(65537, 2048), "rsassa-pss-sha256"),
        ],
    )
    def test_what_signs(self, make: Callable[[], PrivateKeyTypes], scheme: str) -> None:
        """Its signature verifies with the key object that a publisher file carries."""
        signer = load_signer("envvar:K", environ={"K": pem_of(make()).decode()})
        assert signer.public_key.scheme == scheme
        signed = sign_document(DOCUMENT, [signer])
        key = load_key(signed["signatures"][0]["keyid"], public_key_object(signer.public_key), "here")
        from securesystemslib.signer import Signature

        key.verify_signature(Signature(key.keyid, signed["signatures"][0]["sig"]), payload_of(signed))

    @pytest.mark.parametrize(
        "make",
        [
            x25519.X25519PrivateKey.generate,
            lambda: dsa.generate_private_key(2048),
            lambda: ec.generate_private_key(ec.SECP256K1()),
        ],
    )
    def test_what_does_not(self, make: Callable[[], PrivateKeyTypes]) -> None:
        """Other types are refused by name of the place, not by a traceback."""
        with pytest.raises(ConfigError, match="variable K") as caught:
            load_signer("envvar:K", environ={"K": pem_of(make()).decode()})
        assert "Ed25519" in caught.value.hint

    def test_a_public_key_is_not_a_private_one(self) -> None:
        """Mistaken for one easily."""
        public = Ed25519PrivateKey.generate().public_key()
        from cryptography.hazmat.primitives.serialization import PublicFormat

        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        with pytest.raises(ConfigError, match="not a PKCS8 PEM private key"):
            load_signer("envvar:K", environ={"K": pem})


class TestLibraryUris:
    """Schemes of securesystemslib go to it unchanged."""

    def test_the_candidate_is_found_by_keyid(self, tmp_path: Path) -> None:
        """`file2:` is one that works without a service: its key loads when the public half is known."""
        path = key_file(tmp_path)
        own, other = load_signer(str(path)).public_key, generate_key()[1]
        assert keyid_of(load_signer(f"file2:{path}", candidates=[own]).public_key) == own.keyid
        uri = f"file2:{path}#{own.keyid[:12]}"
        assert keyid_of(load_signer(uri, candidates=[other, own]).public_key) == own.keyid

    @pytest.mark.parametrize("count", [0, 2])
    def test_unknown_or_ambiguous(self, tmp_path: Path, count: int) -> None:
        """With none or several candidates it cannot be told which key it is; the hint says how to."""
        candidates = [generate_key()[1] for _ in range(count)]
        with pytest.raises(ConfigError, match="which public key") as caught:
            load_signer(f"file2:{key_file(tmp_path)}", candidates=candidates)
        assert "--public-key" in caught.value.hint

    @pytest.mark.parametrize(
        "uri",
        [
            "gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
            "awskms:alias/registry",
            "azurekms://vault.vault.azure.net/keys/name/1",
            "hsm:2?label=registry",
        ],
    )
    def test_a_provider_whose_library_is_missing(self, uri: str) -> None:
        """An error that names the scheme and a way on; no traceback."""
        with pytest.raises(ConfigError) as caught:
            load_signer(uri, candidates=[generate_key()[1]])
        assert uri.partition("#")[0] in caught.value.message
        assert caught.value.hint


class TestSecrecy:
    """Nothing of a key or passphrase is in what people and logs see."""

    @pytest.mark.parametrize("damage", ["cut", "twisted", "encrypted", "wrong", "x25519", "header"])
    def test_no_key_material_in_any_error(self, tmp_path: Path, damage: str) -> None:
        """Message, hint, repr and the whole traceback with its causes, searched for every line of the key."""
        pem = pem_of(
            Ed25519PrivateKey.generate(), "correct horse" if damage in {"encrypted", "wrong"} else None
        )
        if damage == "x25519":
            pem = pem_of(x25519.X25519PrivateKey.generate())
        body = pem.decode().strip().split("\n")[1:-1]
        data = {
            "cut": pem[:-40],
            "twisted": pem.replace(body[0].encode()[:8], b"AAAAAAAA"),
            "header": pem.replace(b"PRIVATE KEY", b"PUBLIC KEY"),
        }.get(damage, pem)
        path = tmp_path / "key.pem"
        write_private_key(path, data)
        environ = (
            {"K": data.decode(), PASSPHRASE_VARIABLE: "tr0ub4dor"}
            if damage == "wrong"
            else {"K": data.decode()}
        )
        for uri in (str(path), "envvar:K"):
            with pytest.raises(RegistryError) as caught:
                load_signer(uri, environ=environ)
            error = caught.value
            shown = "".join(traceback.format_exception(error)) + repr(error) + error.message + error.hint
            for secret in (*body, "tr0ub4dor", "correct horse"):
                assert secret not in shown

    def test_signers_show_nothing(self, tmp_path: Path) -> None:
        """Neither repr nor str of a signer holds its key."""
        path = key_file(tmp_path)
        secret = path.read_text().split("\n")[1]
        signer = load_signer(str(path))
        assert secret not in repr(signer) + str(signer) + repr(vars(signer))

    def test_a_failing_key_service_is_not_quoted(self) -> None:
        """What a service says may hold tokens; only the kind of error is told."""
        signer = load_signer("envvar:K", environ={"K": generate_key()[0].decode()})

        class Failing(type(signer)):  # type: ignore[misc]
            """A key whose service refuses."""

            def sign(self, payload: bytes) -> None:
                """Fail as a service does."""
                raise PermissionError(f"token=s3cr3t refused {len(payload)}")

        failing = Failing(signer._private_key, signer.public_key)  # type: ignore[attr-defined]
        with pytest.raises(ConfigError, match="PermissionError") as caught:
            sign_document(DOCUMENT, [failing])
        assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


class TestFiles:
    """Writing keys."""

    def test_only_the_owner_can_read_it_whatever_the_umask(self, tmp_path: Path) -> None:
        """0600 from the first byte on."""
        before = os.umask(0)
        try:
            path = tmp_path / "deep" / "key.pem"
            write_private_key(path, b"secret")
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_never_over_another(self, tmp_path: Path) -> None:
        """Neither over a file nor through a link."""
        path = key_file(tmp_path)
        before = path.read_bytes()
        (tmp_path / "link.pem").symlink_to(tmp_path / "elsewhere.pem")
        for taken in (path, tmp_path / "link.pem"):
            with pytest.raises(ConfigError, match="never overwritten"):
                write_private_key(taken, b"new")
        assert path.read_bytes() == before
        assert not (tmp_path / "elsewhere.pem").exists()

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        """A file where a folder should be."""
        (tmp_path / "file").write_text("x")
        with pytest.raises(ConfigError, match="cannot be written"):
            write_private_key(tmp_path / "file" / "key.pem", b"new")


def test_signatures_replace_those_of_the_same_key_and_are_sorted() -> None:
    """Signing twice gives one signature; another key's stays; order does not depend on who came first."""
    first, second = (load_signer("envvar:K", environ={"K": generate_key()[0].decode()}) for _ in range(2))
    once = sign_document(DOCUMENT, [first])
    both = sign_document(sign_document(once, [first]), [second])
    assert [s["keyid"] for s in both["signatures"]] == sorted(keyid_of(s.public_key) for s in (first, second))
    assert both == sign_document(sign(DOCUMENT, second), [first])


def test_no_more_than_sixteen_signatures() -> None:
    """The limit of the document."""
    signers = [load_signer("envvar:K", environ={"K": generate_key()[0].decode()}) for _ in range(17)]
    sign_document(DOCUMENT, signers[:16])
    with pytest.raises(ConfigError, match="more than 16"):
        sign_document(DOCUMENT, signers)


def test_a_public_key_file_is_told_apart(tmp_path: Path) -> None:
    """Given in place of the private key, it is named for what it is, whatever its mode."""
    path = tmp_path / "acme.pem.pub.json"
    path.write_text('{"keyid": "00"}')
    with pytest.raises(ConfigError, match="is not a PKCS8 PEM private key") as caught:
        load_signer(f"file:{path}", environ={})
    assert "That is a public key; give the private one: acme.pem" in caught.value.hint
