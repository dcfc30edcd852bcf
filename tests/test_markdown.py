"""Untrusted text in Markdown: it shows as written, and does nothing."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.markdown import Markdown, code, escape, table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", "plain words"),
        ("a | b", r"a \| b"),
        ("`code`", r"\`code\`"),
        ("**bold** _i_ ~~s~~", r"\*\*bold\*\* \_i\_ \~\~s\~\~"),
        ("[x](https://evil.example)", r"\[x\](https:&#8203;//evil.example)"),
        ("![x](y)", r"\!\[x\](y)"),
        ("<img src=x onerror=y>", "&lt;img src=x onerror=y&gt;"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("@acme/all", "@&#8203;acme/all"),
        ("me@mail.example", "me@&#8203;mail.example"),
        ("acme/x#12, GH-7", "acme/x#&#8203;12, GH-&#8203;7"),
        ("www.evil.example", "www&#8203;.evil.example"),
        (":tada: 12:30", ":&#8203;tada: 12:&#8203;30"),
        ("# title", "#&#8203; title"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("=====", r"\====="),
        ("$x$", "&#36;x&#36;"),
        (r"back\slash", r"back\\slash"),
        ("two\nlines\r\n\n# and\tmore", "two lines #&#8203; and more"),
        ("\x1b[31mred\x07", r"\[31mred"),
        ("right\u202eleft", "rightleft"),
        ("acme-calendar 1.2.0", "acme-calendar 1.2.0"),
    ],
)
def test_escape(text: str, expected: str) -> None:
    """Each way in which text does something on GitHub, and text that does nothing."""
    assert escape(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("acme-x", "`acme-x`"),
        ("@acme #1 <b> **x**", "`@acme #1 <b> **x**`"),
        ("a`b", "<code>a&#96;b</code>"),
        ("a|b", "<code>a&#124;b</code>"),
        ("` | `` </code><img>", "<code>&#96; &#124; &#96;&#96; &#60;&#47;code&#62;&#60;img&#62;</code>"),
        ("a\nb", "`a b`"),
    ],
)
def test_code(text: str, expected: str) -> None:
    """A span that nothing closes early, in tables too."""
    assert code(text) == expected


def test_table() -> None:
    """Cells stay in their columns; what is Markdown already is not escaped again."""
    assert table(["A", "B|"], [["x|y", code("z|")], ["1\n2", Markdown("**b**\nc")]]) == (
        "| A | B\\| |\n| --- | --- |\n| x\\|y | <code>z&#124;</code> |\n| 1 2 | **b** c |\n"
    )


def _shown(markdown: str) -> str:
    """What a reader sees of escaped text: backslashes and entities resolved, invisible characters gone."""
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown)
    for entity, letter in (("&#8203;", ""), ("&#36;", "$"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, letter)
    return text


@given(st.text(alphabet=st.one_of(st.sampled_from("\\`*_[]<>&#@|:-.1 \n$~!"), st.characters())))
def test_whatever_comes_shows_as_written(text: str) -> None:
    """Nothing is lost but line breaks and invisible characters; no special character is left bare."""
    escaped = escape(text)
    visible = "".join(
        letter if not letter.isspace() else " "
        for letter in text
        if letter.isspace() or unicodedata.category(letter) not in {"Cc", "Cf", "Cs"}
    )
    assert _shown(escaped).split() == visible.split()
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|~]", escaped)
    assert not re.search(r"[<>$\n]|[@#](?!&#8203;|[0-9]+;)|://", escaped)
    assert escape(escaped) is escaped
