"""Digests: one form, and bytes that must have them."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.digest import Digest, verify_digest
from registry_client.errors import DigestError

HEX = "0123456789abcdef" * 4


def test_a_digest_is_its_text() -> None:
    """A digest compares and prints as the text that documents carry."""
    digest = Digest.of(b"abc")
    assert digest == f"sha256:{hashlib.sha256(b'abc').hexdigest()}"
    assert Digest.from_hex(digest.hex) == Digest(digest) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX.upper()}",
        f"SHA256:{HEX}",
        f"sha512:{HEX}",
        f"sha256:{HEX}\n",
        f" sha256:{HEX}",
        f"sha256:{HEX[:-1]}g",
        f"sha256:{HEX[:-1]}\uff11",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    """Only lower-case `sha256:` and 64 hex digits, nothing after them."""
    with pytest.raises(ValueError, match="expected sha256:"):
        Digest(text)


@given(st.binary(max_size=200))
def test_what_has_its_digest_passes(data: bytes) -> None:
    """Bytes with their own digest and size come back as they are."""
    assert verify_digest(data, digest=Digest.of(data), size=len(data), where="x") is data
    assert verify_digest(data, digest=Digest.of(data), size=None, where="x") is data


@pytest.mark.parametrize(
    ("data", "size", "rule"),
    [
        (b"abcd", 3, "4 bytes, but the signed size is 3"),
        (b"", 3, "0 bytes, but the signed size is 3"),
        (b"abd", 3, "but the signed digest is"),
        (b"abd", None, "but the signed digest is"),
    ],
)
def test_what_has_not_is_refused(data: bytes, size: int | None, rule: str) -> None:
    """Another size or another digest is a DigestError that names the file and the rule."""
    with pytest.raises(DigestError, match=rule) as caught:
        verify_digest(data, digest=Digest.of(b"abc"), size=size, where="plugins/x.json")
    assert str(caught.value).startswith("plugins/x.json: ")
    assert caught.value.hint
