"""The short way to accept a URL accepts nothing that the long way refuses."""

from __future__ import annotations

import re
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.models import base

NEVER = re.compile(r"(?!)")
PIECES = st.sampled_from([
    "http", "https", "ftp", "://", ":/", "//", "/", "a.example", "A", "-", "..", "@", ":", ":80", ":99999", "[::1]", "[", "]", "?q=1", "#x",
    "%41", "%", "\\", "user:pass@", "~", "_", "<", '"', "^", "`", "{", "|", " ", "\t", "\n", "é", "\uff0f", "\x7f", "a" * 1990,
])  # fmt: skip


def accepted(text: str) -> bool:
    """Whether a text counts as a URL."""
    try:
        return base.check_url(text) == text
    except ValueError:
        return False


@given(
    st.one_of(
        st.lists(PIECES, max_size=8).map("".join), st.lists(PIECES).map(lambda p: "https://a" + "".join(p))
    )
)
def test_both_ways_agree(text: str) -> None:
    """On whatever is put together of what URLs are made of."""
    short = accepted(text)
    with mock.patch.object(base, "_PLAIN_URL", NEVER):
        assert accepted(text) == short


@pytest.mark.parametrize("letter", [chr(number) for number in range(256)])
def test_each_letter(letter: str) -> None:
    """In the host, first and later, and in the path."""
    for text in (f"https://{letter}", f"https://a{letter}", f"https://a{letter}/", f"https://a/{letter}b"):
        short = accepted(text)
        with mock.patch.object(base, "_PLAIN_URL", NEVER):
            assert accepted(text) == short


def test_usual_urls_go_the_short_way() -> None:
    """For URLs as plugins have them; else this test would show nothing."""
    assert base._PLAIN_URL.fullmatch("https://cdn.example/calendar/1.0.0/assets/remoteEntry.js?v=1#top")
