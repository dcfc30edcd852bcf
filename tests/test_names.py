"""The grammar of ids, patterns, versions, ranges and file names."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.names import (
    EVERY_VERSION,
    asks_for_prereleases,
    check_file_name,
    check_pattern,
    check_plugin_id,
    check_range,
    check_version,
    container_name,
    covers,
    in_range,
    is_device_name,
    is_prerelease,
    overlap,
    parse_range,
    parse_version,
)

GOOD_IDS = [
    "a",
    "0",
    "calendar",
    "my-plugin_2",
    "a-",
    "a_",
    "a--b",
    "x" * 64,
    "com",
    "com10",
    "console",
    "nul-x",
]
BAD_IDS = {
    "empty": "",
    "65 characters": "x" * 65,
    "a newline at the end": "calendar\n",
    "a newline before": "\ncalendar",
    "a NUL": "calendar\x00",
    "a space": "my plugin",
    "upper case": "Calendar",
    "a dash first": "-x",
    "an underscore first": "_x",
    "a dot": "a.b",
    "a dot alone": ".",
    "the folder above": "..",
    "a path": "a/b",
    "a path of Windows": "a\\b",
    "a path upwards": "../../etc",
    "a wildcard": "acme-*",
    "a scope": "@acme/x",
    "percent": "a%2fb",
    "a Cyrillic a": "c\u0430lendar",
    "a full-width a": "\uff41",
    "an Arabic digit": "a\u0661",
    "a superscript": "com\u00b2",
    "a long s, which lower() makes s": "pa\u017f",
    "a Kelvin sign, which lower() makes k": "\u212a",
    "a soft hyphen": "a\u00adb",
    "con": "con",
    "nul": "nul",
    "com1": "com1",
    "lpt9": "lpt9",
    "com0": "com0",
}


class TestPluginIds:
    """Ids."""

    @pytest.mark.parametrize("text", GOOD_IDS)
    def test_good(self, text: str) -> None:
        """Well-formed ids come back as they are."""
        assert check_plugin_id(text) == text

    @pytest.mark.parametrize("text", BAD_IDS.values(), ids=BAD_IDS)
    def test_bad(self, text: str) -> None:
        """Everything else is refused, on one line."""
        with pytest.raises(ValueError, match="plugin id") as caught:
            check_plugin_id(text)
        assert "\n" not in str(caught.value)

    @given(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True))
    def test_ids_are_safe_file_names(self, text: str) -> None:
        """What passes as an id passes as a file name and, with an ending, still does."""
        if not is_device_name(text):
            assert check_file_name(check_plugin_id(text)) == text
            assert check_file_name(f"{text}.json")

    def test_container_names(self) -> None:
        """Ids that differ only in `-` and `_` have one container name."""
        assert (
            len({container_name(text) for text in ("my-plugin", "my_plugin", "myplugin", "m-y-plugin_")}) == 1
        )


class TestPatterns:
    """Which ids a publisher covers."""

    @pytest.mark.parametrize("text", ["acme", "acme-*", "a-*", "acme-tools-*", "a--*"])
    def test_good(self, text: str) -> None:
        """Ids, and prefixes that end in a dash."""
        assert check_pattern(text) == text

    @pytest.mark.parametrize(
        "text",
        [
            "*",
            "-*",
            "acme*",
            "acme_*",
            "*-acme",
            "a*b-*",
            "acme-**",
            "Acme-*",
            "acme-*\n",
            "con",
            "",
            "a" * 64 + "-*",
        ],
    )
    def test_bad(self, text: str) -> None:
        """A star stands nowhere else."""
        with pytest.raises(ValueError, match="plugin id"):
            check_pattern(text)

    @pytest.mark.parametrize(
        ("pattern", "plugin_id", "expected"),
        [
            ("acme", "acme", True),
            ("acme", "acme-x", False),
            ("acme-*", "acme-x", True),
            ("acme-*", "acme-x-y", True),
            ("acme-*", "acme--", True),
            ("acme-*", "acme-", False),
            ("acme-*", "acme", False),
            ("acme-*", "acme_x", False),
            ("acme-*", "acmex", False),
            ("acme-*", "xacme-x", False),
        ],
    )
    def test_covers(self, pattern: str, plugin_id: str, expected: bool) -> None:
        """A prefix covers the ids that go on after its dash."""
        assert covers(pattern, plugin_id) is expected

    def test_overlap_is_a_common_id(self) -> None:
        """Two patterns overlap exactly if some id is covered by both: all of a small alphabet, tried out."""
        ids = ["".join(p) for n in range(1, 6) for p in itertools.product("a-", repeat=n) if p[0] == "a"]
        short = [i for i in ids if len(i) <= 3]
        patterns = [*short, *(f"{i}*" for i in short if i.endswith("-"))]
        for pattern in patterns:
            check_pattern(pattern)
        covered = {pattern: {i for i in ids if covers(pattern, i)} for pattern in patterns}
        for a, b in itertools.product(patterns, repeat=2):
            assert overlap(a, b) == bool(covered[a] & covered[b]), (a, b)


NUMBER = st.integers(0, 12) | st.integers(0, 999_999_999)
STAGE = st.tuples(st.sampled_from(["alpha", "beta", "rc"]), NUMBER)
PARTS = st.tuples(NUMBER, NUMBER, NUMBER, st.none() | STAGE)
Parts = tuple[int, int, int, tuple[str, int] | None]


def _text(parts: Parts) -> str:
    stage = parts[3]
    return f"{parts[0]}.{parts[1]}.{parts[2]}" + (f"-{stage[0]}.{stage[1]}" if stage else "")


def _semver_key(parts: Parts) -> tuple[int, int, int, bool, str, int]:
    """Precedence by SemVer 2.0.0, 11: a prerelease is lower; letters compare as ASCII, numbers as numbers."""
    stage = parts[3] or ("", 0)
    return (*parts[:3], parts[3] is None, *stage)


class TestVersions:
    """Versions."""

    @pytest.mark.parametrize(
        "text", ["0.0.0", "1.2.3", "999999999.0.10", "1.0.0-alpha.0", "1.0.0-beta.12", "1.0.0-rc.999999999"]
    )
    def test_good(self, text: str) -> None:
        """Well-formed versions come back as they are, and say whether they are prereleases."""
        assert check_version(text) == text
        assert is_prerelease(text) == parse_version(text).is_prerelease

    @pytest.mark.parametrize(
        "text",
        [
            "", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.02.3", "1.2.03", "1.2.3\n", " 1.2.3", "1.2.3 ",
            "1.2.3-alpha", "1.2.3-alpha.01", "1.2.3-alpha1", "1.2.3a1", "1.2.3-dev.1", "1.2.3-RC.1", "1.2.3-rc.1.2",
            "1.2.3+build", "1.2.3-rc.1+x", "1.2.3.post1", "1!1.2.3", "1.2.x", "1.2.*", "-1.2.3", "1234567890.0.0",
            "1.0.0-rc.1234567890", "1.2.\uff13", "1.2.\u0663", "latest", "../1.2.3",
        ],
    )  # fmt: skip
    def test_bad(self, text: str) -> None:
        """The rest of SemVer and of PEP 440 is outside the grammar."""
        for check in (check_version, parse_version):
            with pytest.raises(ValueError, match="expected a version"):
                check(text)

    @given(PARTS, PARTS)
    def test_order_is_that_of_semver(self, a: Parts, b: Parts) -> None:
        """`packaging` orders the grammar as SemVer does, and no two texts are one version."""
        left, right = parse_version(_text(a)), parse_version(_text(b))
        assert (left < right) == (_semver_key(a) < _semver_key(b))
        assert (left == right) == (a == b)

    @given(PARTS)
    def test_every_version_is_in_every_version(self, parts: Parts) -> None:
        """The range for all versions holds each, its least too."""
        assert in_range(_text(parts), EVERY_VERSION, prereleases=True)
        assert parse_version(_text(parts)) >= parse_version("0.0.0-alpha.0")


class TestRanges:
    """Ranges."""

    @pytest.mark.parametrize(
        "text",
        [
            ">=1.2,<2",
            "==1.2.3",
            "==1.*",
            "~=1.2",
            "!=1.3.0",
            ">1",
            "<=2.0.0-rc.1",
            " >= 1.0 , < 2 ",
            ">=1,",
            EVERY_VERSION,
        ],
    )
    def test_good(self, text: str) -> None:
        """PEP 440 specifiers come back as they were written."""
        assert check_range(text) == text

    @pytest.mark.parametrize(
        "text",
        [
            "", " ", ",", " , ", "===1.2.3", ">=1,===1.2.3", "1.2.3", "^1.2", "~1.2", "*", "latest", ">=1 <2", ">=1 || <2",
            ">=", "==", "~=1", ">=1.*", "<<1", ">=1\n", ">=1;x", ">=1.0+local", "== 1.0 @ x", "\uff1e=1", ">=\u0661",
            ">=1," * 70, "9" * 201,
        ],
    )  # fmt: skip
    def test_bad(self, text: str) -> None:
        """No `===`, nothing empty, nothing longer than 200 characters, no other language of ranges."""
        with pytest.raises(ValueError, match="expected a range") as caught:
            check_range(text)
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize(
        ("version", "range_text", "with_pre", "without"),
        [
            ("1.5.0", ">=1,<2", True, True),
            ("2.0.0", ">=1,<2", False, False),
            ("1.5.0-rc.1", ">=1,<2", True, False),
            ("1.0.0-rc.1", ">=1", False, False),
            ("1.0.0-rc.1", "<=1", True, False),
            ("2.0.0-rc.1", "<2", False, False),  # PEP 440: `<2` leaves out the prereleases of 2 itself
            ("2.0.0-alpha.1", "<2.0.0-rc.1", True, False),
            ("1.2.0-rc.1", "==1.2.*", True, False),
            ("1.9.0", "~=1.2", True, True),
            ("2.0.0", "~=1.2", False, False),
            ("1.0.0-rc.1", "==1.0.0-rc.1", True, False),
            ("1.3.0", "!=1.3.0", False, False),
        ],
    )
    def test_in_range(self, version: str, range_text: str, with_pre: bool, without: bool) -> None:
        """Whether prereleases count is decided by the caller, never by the range or the library's default."""
        assert in_range(version, range_text, prereleases=True) is with_pre
        assert in_range(version, range_text, prereleases=False) is without

    @pytest.mark.parametrize(
        ("range_text", "expected"),
        [
            (">=1,<2", False),
            ("==1.*", False),
            (">=1.0.0-rc.1", True),
            (">=1,<2.0.0-beta.2", True),
            ("==1.0.0-alpha.0", True),
            ("!=1.0.0-rc.1", False),
            (">=1,!=1.5.0-rc.1", False),
            ("!=1.*", False),
        ],
    )
    def test_asking_for_prereleases(self, range_text: str, expected: bool) -> None:
        """Naming a prerelease asks for them; excluding one does not."""
        assert asks_for_prereleases(range_text) is expected

    @given(PARTS, st.sampled_from([">=", "<=", ">", "<", "==", "!="]), PARTS)
    def test_comparisons_agree_with_the_order(self, a: Parts, operator: str, b: Parts) -> None:
        """With prereleases, operators mean the order, but for PEP 440's two exceptions at `<` a stable version."""
        left, right = parse_version(_text(a)), parse_version(_text(b))
        means = {
            ">=": left >= right, "<=": left <= right, ">": left > right,
            "<": left < right and not (b[3] is None and a[:3] == b[:3]), "==": left == right, "!=": left != right,
        }  # fmt: skip
        assert parse_range(f"{operator}{_text(b)}").contains(left, prereleases=True) == means[operator]


class TestFileNames:
    """File names."""

    @pytest.mark.parametrize(
        "name", ["a.zip", "plugin-1.2.0.tar.gz", "a b.zip", "x" * 200, "_a", "A(1)@2+3.whl"]
    )
    def test_good(self, name: str) -> None:
        """Plain names come back as they are."""
        assert check_file_name(name) == name

    @pytest.mark.parametrize(
        "name",
        [
            "", ".", "..", ".hidden", "a/b", "a\\b", "a:b", "a\n", "a.", "a ", " a", "-rf", "con", "CON.txt", "nul.tar.gz",
            "Com1.zip", "com\u00b9", "con .txt", "a*", "a?", "a\x00", "\u00e9", "x" * 201, "a|b", "a<b", 'a"b', "~a",
        ],
    )  # fmt: skip
    def test_bad(self, name: str) -> None:
        """What some file system or shell takes for something else is refused."""
        with pytest.raises(ValueError, match="expected a plain file name"):
            check_file_name(name)

    @pytest.mark.parametrize(
        "name", ["con", "CON", "aux.json", "LPT1.tar.gz", "com\u00b3.x", "nul ", "prn .x", "conin$"]
    )
    def test_device_names(self, name: str) -> None:
        """Windows takes these for devices, with any ending."""
        assert is_device_name(name)

    @pytest.mark.parametrize("name", ["console", "com", "com10", "xcon", "nul2", "lpt"])
    def test_other_names(self, name: str) -> None:
        """But not these."""
        assert not is_device_name(name)
