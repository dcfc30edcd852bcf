"""`publisher registry renew`: what is due when, with which keys, and that hosts can read the result."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from support.maintainers import START, Kept, make_registry
from support.mini_registry import serve

from publisher.maintain.renew import due
from publisher.tree import DirTree
from publisher.tuf_repository import latest_version
from registry_client.errors import ExpiredError, RegistrarError
from registry_client.trust import RoleInfo

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = ("root-1", "root-2", "targets", "blocks", "online")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with one plugin."""
    kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    return kept


def readable(kept: Kept, tmp_path: Path) -> bool:
    """Whether a fresh host reads the registry now."""
    with serve(kept.folder) as url:
        client = kept.client(url, tmp_path / f"home-{kept.now.timestamp()}")
        return client.resolve("calendar").manifest.model.version == "1.0.0"


@pytest.mark.parametrize(
    ("role", "days", "age", "is_due"),
    [
        ("timestamp", 7, timedelta(hours=19), False),
        ("timestamp", 7, timedelta(hours=20), True),
        ("snapshot", 21, timedelta(hours=19), False),
        ("registrar", 21, timedelta(days=1), True),
        ("targets", 180, timedelta(days=119), False),
        ("targets", 180, timedelta(days=121), True),
        ("blocks", 180, timedelta(days=181), True),
        ("root", 365, timedelta(days=304), False),
        ("root", 365, timedelta(days=306), True),
        ("targets", 30, timedelta(days=19), False),
        ("targets", 30, timedelta(days=21), True),
        ("root", 3650, timedelta(days=3580), False),
        ("timestamp", 3650, timedelta(hours=20), True),
    ],
)
def test_when_a_role_is_due(role: str, days: int, age: timedelta, is_due: bool) -> None:
    """Online roles daily; offline ones 60 days before they expire, or in the last third of a shorter life."""
    info = RoleInfo(role, 1, START + timedelta(days=days), START)
    assert due(info, START + age) is is_due


def test_without_a_signing_time_online_roles_are_due() -> None:
    """Metadata that another tool made does not say for how many days it was signed."""
    info = RoleInfo("timestamp", 1, START + timedelta(days=7), None)
    assert due(info, START)
    assert not due(RoleInfo("root", 1, START + timedelta(days=100), None), START)
    assert due(RoleInfo("root", 1, START + timedelta(days=59), None), START)


class TestDaily:
    """What a scheduled job does with the online key."""

    def test_at_once_nothing_is_due(self, kept: Kept) -> None:
        """And nothing is written."""
        before = kept.fingerprint()
        assert set(kept.renew("online").values()) == {"fine"}
        assert kept.fingerprint() == before

    def test_the_next_day(self, kept: Kept, tmp_path: Path) -> None:
        """The three online roles are signed again, and only they; hosts read the result."""
        kept.pass_time(days=1)
        tree = DirTree(kept.folder)
        before = {role: latest_version(tree, role) for role in ("root", "targets", "blocks", "registrar")}
        assert kept.renew("online") == {
            "root": "fine",
            "targets": "fine",
            "blocks": "fine",
            "registrar": "renewed",
            "snapshot": "renewed",
            "timestamp": "renewed",
        }
        after = {role: latest_version(tree, role) for role in before}
        assert after == {**before, "registrar": before["registrar"] + 1}
        assert readable(kept, tmp_path)
        assert kept.audit().findings == ()

    def test_every_day_for_a_year(self, kept: Kept, tmp_path: Path) -> None:
        """With all keys at hand, a job that misses nine days of ten keeps the registry readable, and its files few."""
        for _ in range(37):
            kept.pass_time(days=10)
            kept.renew(*EVERYTHING)
            kept.register()
        assert readable(kept, tmp_path)
        assert kept.audit().findings == ()
        assert len(list((kept.folder / "metadata").glob("*.snapshot.json"))) <= 3
        assert latest_version(DirTree(kept.folder), "root") == 2

    def test_only_the_timestamp(self, kept: Kept, tmp_path: Path) -> None:
        """`--role` leaves the others as they are."""
        kept.pass_time(days=1)
        found = kept.renew("online", roles=("timestamp",))
        assert found["timestamp"] == "renewed"
        assert latest_version(DirTree(kept.folder), "registrar") == 2
        assert readable(kept, tmp_path)

    def test_force(self, kept: Kept, tmp_path: Path) -> None:
        """Everything whose key is at hand is signed again, due or not; the rest is not reported as due."""
        found = kept.renew("online", "blocks", force=True)
        assert {role for role, result in found.items() if result == "renewed"} == {
            "blocks",
            "registrar",
            "snapshot",
            "timestamp",
        }
        assert found["root"] == found["targets"] == "fine"
        assert readable(kept, tmp_path)


class TestMissingKeys:
    """Keys of several people are rarely in one place."""

    def test_due_is_said(self, kept: Kept) -> None:
        """The online job goes on, and names the offline roles whose time has come."""
        kept.pass_time(days=130)
        found = kept.renew("online")
        assert (found["targets"], found["blocks"], found["root"]) == ("due", "due", "fine")
        assert found["timestamp"] == "renewed"

    def test_due_is_said_of_online_roles_too(self, kept: Kept) -> None:
        """A maintainer who renews targets learns that the daily job has not run."""
        kept.pass_time(days=2)
        found = kept.renew("targets")
        assert {role for role, result in found.items() if result == "due"} == {
            "registrar",
            "snapshot",
            "timestamp",
        }

    def test_a_root_with_one_of_two_keys_is_staged(self, kept: Kept, tmp_path: Path) -> None:
        """It is renewed when the second has signed."""
        kept.pass_time(days=320)
        assert kept.renew("root-1", "targets", "blocks")["root"] == "staged"
        assert latest_version(DirTree(kept.folder), "root") == 1
        kept.renew("root-1", "root-2")
        assert latest_version(DirTree(kept.folder), "root") == 2
        kept.renew("online")
        assert readable(kept, tmp_path)


class TestExpired:
    """A registry that was left alone."""

    @pytest.mark.parametrize("days", [8, 25, 200, 400])
    def test_it_is_renewed_and_readable_again(self, kept: Kept, tmp_path: Path, days: int) -> None:
        """However much has expired, one run with all keys brings it back."""
        kept.pass_time(days=days)
        with pytest.raises(ExpiredError):
            readable(kept, tmp_path)
        kept.renew(*EVERYTHING)
        assert readable(kept, tmp_path)
        assert kept.audit().findings == ()

    def test_by_people_one_after_the_other(self, kept: Kept, tmp_path: Path) -> None:
        """Each renews what is theirs; the online key comes last and makes it readable."""
        kept.pass_time(days=400)
        for names in (("root-2", "root-3"), ("targets",), ("blocks",), ("online",)):
            kept.renew(*names)
        assert readable(kept, tmp_path)

    def test_nothing_is_written_that_hosts_would_refuse(self, kept: Kept) -> None:
        """With targets expired, signing the online roles again would make nothing readable: an error says so."""
        kept.pass_time(days=200)
        before = kept.fingerprint()
        with pytest.raises(RegistrarError, match="targets metadata has expired"):
            kept.renew("online")
        assert kept.fingerprint() == before
