"""What a status means, cell by cell, and which of several holds."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rows import TIME, block, line, payload_digest, release

from registry_client.models.release import ReleaseStatus
from registry_client.names import EVERY_VERSION
from registry_client.status import MEANING, Standing, Status, Use, blocks_of, rank, standing_of

# The design's table, with its words.
TABLE = """
                                            | catalogue | by range                               | exact version | already locked
draft                                       | no        | no                                     | no            | -
testing                                     | no        | hosts on the testing channel           | yes           | yes
staged                                      | no        | no                                     | yes           | yes
released                                    | yes       | by rollout                             | yes           | yes
deprecated                                  | marked    | if nothing else fits, with a warning   | warns         | warns
yanked                                      | no        | no                                     | no            | warns
hidden                                      | no        | no                                     | no            | warns
quarantined                                 | no        | no                                     | no            | warns
removed                                     | no        | no                                     | no            | warns
disabled                                    | no        | no                                     | no            | refused
uninstalled                                 | no        | no                                     | no            | refused
"""
WORDS = {
    "no": Use.NO,
    "yes": Use.YES,
    "hosts on the testing channel": Use.CHANNEL,
    "by rollout": Use.ROLLOUT,
    "marked": Use.WARN,
    "warns": Use.WARN,
    "if nothing else fits, with a warning": Use.LAST,
    "refused": Use.NO,
}
COLUMNS = {
    "catalogue": "catalogue",
    "by range": "by_range",
    "exact version": "exact",
    "already locked": "locked",
}
_HEAD, *_ROWS = [[cell.strip() for cell in text.split("|")] for text in TABLE.strip("\n").splitlines()]
CELLS = [(r[0], column, cell) for r in _ROWS for column, cell in zip(_HEAD[1:], r[1:], strict=True)]


@pytest.mark.parametrize(("status", "column", "words"), CELLS)
def test_the_status_table(status: str, column: str, words: str) -> None:
    """Each cell of the design's table. A draft was never offered, so nothing can have locked it."""
    use = getattr(MEANING[Status(status)], COLUMNS[column])
    if words == "-":
        assert use in {Use.WARN, Use.NO}
    else:
        assert use is WORDS[words]


def test_the_table_has_every_status() -> None:
    """No status is without a row."""
    assert {r[0] for r in _ROWS} == set(Status) == set(MEANING)


def test_what_restricts_more_allows_no_more() -> None:
    """From draft on, nothing new is ever resolved, and what is locked fares no better from row to row."""
    order = {Use.YES: 0, Use.WARN: 1, Use.NO: 2}
    strict = sorted((status for status in Status if rank(status) >= rank(Status.DRAFT)), key=rank)
    locked = [order[MEANING[status].locked] for status in strict]
    assert locked == sorted(locked)
    for status in strict:
        assert MEANING[status].exact is MEANING[status].by_range is MEANING[status].catalogue is Use.NO


class TestEffective:
    """The most restrictive of what publisher, block and registrar say."""

    @pytest.mark.parametrize("initial", ["draft", "released"])
    def test_without_a_release_the_manifest_speaks(self, initial: str) -> None:
        """The first status holds, to everyone and pushed."""
        standing = standing_of(line("cal", "1.0.0", initialStatus=initial), None, ())
        assert standing == Standing(Status(initial))
        assert (standing.rollout, standing.push, standing.force_update) == (100, True, False)

    @pytest.mark.parametrize("status", list(ReleaseStatus))
    @pytest.mark.parametrize("initial", ["draft", "released"])
    def test_a_release_replaces_the_first_status(self, status: ReleaseStatus, initial: str) -> None:
        """The release's status holds, be it stricter than the first one or not."""
        document = release(
            "cal", "1.0.0", status=status, reason="why", rollout=7, push=False, forceUpdate=True
        )
        standing = standing_of(line("cal", "1.0.0", initialStatus=initial), document, ())
        assert standing == Standing(Status(status.value), "why", 7, push=False, force_update=True)

    @pytest.mark.parametrize(
        ("status", "quarantined", "removed", "actions"),
        list(
            itertools.product(
                ["released", "yanked"],
                [False, True],
                [False, True],
                [
                    (),
                    ("hide",),
                    ("disable",),
                    ("uninstall",),
                    ("hide", "uninstall", "disable"),
                    ("disable", "hide"),
                ],
            )
        ),
    )
    def test_the_most_restrictive_holds(
        self, status: str, quarantined: bool, removed: bool, actions: tuple[str, ...]
    ) -> None:
        """All combinations: the strictest status, with the reason of whoever gave it."""
        more: dict[str, Any] = {}
        said = {Status(status): "publisher"}
        if quarantined:
            more["quarantined"] = {"cause": "artifact", "reason": "registrar", "since": TIME}
            said[Status.QUARANTINED] = "registrar"
        if removed:
            more["removed"] = "gone"
            said[Status.REMOVED] = "gone"
        names = {"hide": Status.HIDDEN, "disable": Status.DISABLED, "uninstall": Status.UNINSTALLED}
        blocks = [block("cal", EVERY_VERSION, action=action, reason=f"block {action}") for action in actions]
        said |= {names[action]: f"block {action}" for action in actions}
        document = release("cal", "1.0.0", status=status, reason="publisher")
        standing = standing_of(line("cal", "1.0.0", **more), document, blocks)
        worst = max(said, key=rank)
        assert (standing.status, standing.reason) == (worst, said[worst])

    @given(
        st.sampled_from(list(ReleaseStatus)), st.booleans(), st.sampled_from(["hide", "disable", "uninstall"])
    )
    def test_others_only_restrict(self, status: ReleaseStatus, quarantined: bool, action: str) -> None:
        """No block and no quarantine ever makes a version more available than its publisher does."""
        document = release("cal", "1.0.0", status=status, reason="why")
        more: dict[str, Any] = (
            {"quarantined": {"cause": "manual", "reason": "r", "since": TIME}} if quarantined else {}
        )
        plain = standing_of(line("cal", "1.0.0"), document, ())
        standing = standing_of(line("cal", "1.0.0", **more), document, [block("cal", ">=1", action=action)])
        assert rank(standing.status) >= rank(plain.status)

    @pytest.mark.parametrize(
        ("standing", "expected"),
        [
            (Standing(Status.RELEASED), True),
            (Standing(Status.RELEASED, force_update=True), True),
            (Standing(Status.RELEASED, rollout=99), False),
            (Standing(Status.RELEASED, rollout=0), False),
            (Standing(Status.RELEASED, push=False), False),
            (Standing(Status.STAGED), False),
            (Standing(Status.TESTING), False),
            (Standing(Status.YANKED), False),
            (Standing(Status.DISABLED), False),
        ],
    )
    def test_advertised(self, standing: Standing, expected: bool) -> None:
        """Plain hosts see what is released to everyone and pushed, and nothing else."""
        assert standing.advertised is expected


class TestBlocks:
    """Which versions a block holds."""

    @pytest.mark.parametrize(
        ("versions", "version", "held"),
        [
            ("==1.0.0", "1.0.0", True),
            ("==1.0.0", "1.0.1", False),
            (">=1,<2", "1.9.0", True),
            (">=1,<2", "2.0.0", False),
            (">=1,<2", "1.9.0-rc.1", True),
            ("<=1.5.0", "1.5.0-alpha.3", True),
            (
                "<1.5.0",
                "1.5.0-alpha.3",
                False,
            ),  # PEP 440: `<` leaves out the prereleases of that version itself
            ("<1.5.0", "1.4.0-alpha.3", True),
            (">=1.0.0", "1.0.0-rc.1", False),
            ("==1.2.*", "1.2.0-rc.1", True),
            (EVERY_VERSION, "0.0.0-alpha.0", True),
        ],
    )
    def test_by_range(self, versions: str, version: str, held: bool) -> None:
        """Prereleases count without being asked for."""
        found = blocks_of([block("cal", versions)], "cal", version, payload_digest("cal", version))
        assert bool(found) is held

    def test_by_digest(self) -> None:
        """A payload digest is held whatever version it has; without a digest only the range counts."""
        digest = payload_digest("cal", "3.0.0")
        entry = block("cal", "==0.0.1", digests=[digest])
        assert blocks_of([entry], "cal", "3.0.0", digest) == [entry]
        assert blocks_of([entry], "cal", "3.0.0", payload_digest("cal", "3.0.1")) == []
        assert blocks_of([entry], "cal", "3.0.0", None) == []
        assert standing_of(line("cal", "3.0.0"), None, [entry]).status is Status.HIDDEN

    def test_of_that_plugin_only(self) -> None:
        """Another plugin's block holds nothing here, not even by digest."""
        digest = payload_digest("cal", "1.0.0")
        assert blocks_of([block("other", EVERY_VERSION, digests=[digest])], "cal", "1.0.0", digest) == []

    def test_all_are_told(self) -> None:
        """Every block that holds a version is given, in order."""
        entries = [block("cal", ">=1"), block("cal", ">=2"), block("cal", "==1.0.0", action="disable")]
        assert blocks_of(entries, "cal", "1.0.0", None) == [entries[0], entries[2]]
