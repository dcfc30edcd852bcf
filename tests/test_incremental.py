"""The registrar by what changed: whatever happened to a registry, it writes the bytes that a run writes which looks at everything."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.documents import ed25519
from support.history import PLUGINS, History

from publisher.registrar import scope, state, write
from publisher.registrar.run import no_recovery
from publisher.registrar.submission import Result
from publisher.tree import MemoryTree, Overlay, write_changes
from publisher.tuf_repository import (
    BASIS,
    TufRepository,
    dump_metadata,
    latest_version,
    metadata_path,
    read_metadata,
)
from registry_client.layout import version_file

EVENTS = [
    "publish",
    "publish",
    "publish",
    "publish",
    "publish",
    "publish",
    "status",
    "status",
    "shrink",
    "edit",
    "delete",
    "revert",
    "revert",
    "artifact",
    "stray",
    "block",
    "unblock",
    "key",
    "pattern",
    "policy",
    "renew",
    "quarantine",
    "register",
    "register",
    "register",
    "wait",
    "wait",
]
SOUND = {PLUGINS[0], PLUGINS[1], PLUGINS[3], PLUGINS[4]}
"""Those of the plugins whose names do not clash."""
STEPS = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 999)), min_size=3, max_size=14)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS, st.sampled_from([0, 30]))
def test_by_what_changed_as_whole(steps: list[tuple[str, int]], minutes: int) -> None:
    """Histories of everything that happens to a registry; after each event the registrar runs both ways."""
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "registry", minutes=minutes)
        history.register()
        for number, (event, value) in enumerate(steps):
            history.happen(event, value)
            history.world.tick(seconds=30)
            if number % 3 != 1:  # sometimes two things happen between runs
                history.register(allow_loss=1000)
        history.register(allow_loss=1000)
        settled = history.register(allow_loss=1000)
        assert settled is None or settled.changes == {}


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A registry with ten versions of two publishers, looked at whole once."""
    made = History(tmp_path / "registry")
    for number in (0, 1, 3, 4, 5, 6, 8, 9, 10, 11):
        made.happen("publish", number)
    made.register()
    return made


def _plugins_seen(history: History) -> set[str]:
    found = (version_file(path) for path in history.seen)
    return {item.id for item in found if item is not None}


class TestWhatIsLookedAt:
    """Only what changed is read, and nothing of it is missed."""

    def test_one_publish_reads_one_plugin(self, history: History) -> None:
        """Neither manifests nor anything else of the others is read."""
        history.register()
        history.happen("publish", 0)
        history.register()
        history.happen("publish", 3)
        run = history.register()
        assert run is not None
        assert len(run.outcomes) == 1
        assert _plugins_seen(history) == {
            PLUGINS[0],
            PLUGINS[3],
        }  # and the one before, which main may have lost

    def test_nothing_new(self, history: History) -> None:
        """A run after nothing happened changes nothing."""
        run = history.register()
        assert run is not None
        assert run.changes == {}

    def test_what_the_run_before_wrote_is_undone(self, history: History) -> None:
        """Main is again as the run before found it: a comparison with that commit alone would show nothing."""
        history.happen("offer", 15)
        before = history.world.snapshot()
        history.register()
        after = history.world.snapshot()
        new = [path for path in after if path.startswith(("plugins/", "artifacts/")) and path not in before]
        assert len(new) == 2
        for path in new:
            (history.world.folder / path).unlink()
        history.register()
        assert history.world.snapshot().items() >= {path: after[path] for path in new}.items()

    def test_an_edit_of_what_was_repaired(self, history: History) -> None:
        """The same edit once more, after the registrar undid it."""
        path = history.world.folder / "plugins" / PLUGINS[0] / "1.1.0" / "manifest.json"
        sound = path.read_bytes()
        for _ in range(2):
            path.write_bytes(b"{}")
            history.happen("publish", 4)
            history.register()
            assert path.read_bytes() == sound

    def test_a_shard_that_the_run_before_wrote_is_gone(self, history: History) -> None:
        """It is missed at once, although it stood in no commit before."""
        history.register()
        history.happen("offer", 0)
        before = history.world.snapshot()
        history.register()
        shards = [p for p in history.world.snapshot() if p.startswith("targets/index/") and p not in before]
        assert shards
        for path in shards:
            (history.world.folder / path).unlink()
        assert history.register() is None  # both runs are refused, for the same reason

    def test_what_was_refused_is_said_each_time(self, history: History) -> None:
        """It stands on main, unchanged since long."""
        history.happen("stray", 0)
        for number in (0, 1, 3, 4):
            history.happen("publish", number)
            run = history.register()
            assert run is not None
            assert [o.submission.id for o in run.refused] == ["acme-stray"]

    def test_a_publisher_comes_to_cover_what_was_refused(self, history: History) -> None:
        """What the maintainers change is compared with what they said when main was last read."""
        history.happen("stray", 1)
        history.register()
        history.happen("publish", 3)
        history.register()
        history.happen("pattern", 1)
        run = history.register()
        assert run is not None
        assert run.refused

    def test_a_lost_artifact(self, history: History) -> None:
        """Which plugin refers to it is not known: everything is looked at, and it comes back."""
        history.register()
        file = next((history.world.folder / "artifacts").rglob("*.bin"))
        file.unlink()
        history.register()
        assert file.exists()


class TestWhenEverythingIsLookedAt:
    """No base, or none that serves."""

    def _seen(self, history: History) -> set[str]:
        history.happen("publish", 1)
        history.register()
        return _plugins_seen(history)

    def test_a_base_that_is_gone(self, history: History) -> None:
        """History was rewritten."""
        history.register()
        history.commits.clear()
        assert self._seen(history) == SOUND
        assert self._seen(history) == {PLUGINS[1]}

    def test_another_derivation(self, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
        """A program that derives otherwise does so once with everything."""
        self._seen(history)
        assert self._seen(history) == {PLUGINS[1]}
        for module in (scope, state, write):
            monkeypatch.setattr(module, "DERIVATION", 2)
        assert self._seen(history) == SOUND
        assert self._seen(history) == {PLUGINS[1]}

    def test_another_online_key(self, history: History) -> None:
        """What an earlier key said of its run is not taken over."""
        history.register()
        tree = Overlay(MemoryTree(history.world.snapshot()))
        other = TufRepository(tree, [ed25519("other")], history.world.now)
        metadata = other.open("registrar")
        assert BASIS in metadata.signed.unrecognized_fields
        metadata.signatures.clear()
        path = metadata_path("registrar", latest_version(tree, "registrar"))
        tree.write(path, dump_metadata("registrar", metadata))
        assert BASIS not in other.open("registrar").signed.unrecognized_fields


class TestBase:
    """What the registrar signs of its own run."""

    def _member(self, history: History) -> dict[str, Any]:
        tree = history.world.tree
        signed = read_metadata(tree, "registrar", latest_version(tree, "registrar")).signed
        return dict(signed.unrecognized_fields[BASIS])

    def test_members(self, history: History) -> None:
        """The commit that was read, and what the index holds since."""
        history.happen("publish", 1)
        history.register()
        member = self._member(history)
        assert member["commit"] in history.commits
        assert member["totals"] == {"plugins": 4, "versions": 11, "usable": 11}
        assert member["again"]["plugins"] == [PLUGINS[1]]

    def test_renewal_keeps_it(self, history: History) -> None:
        """Whoever signs the index again without looking at main says nothing new of it."""
        before = self._member(history)
        history.world.tick(days=2)
        history.happen("renew", 0)
        assert self._member(history) == before

    def test_an_edited_base_counts_for_nothing(self, history: History) -> None:
        """Whoever may push to main cannot make a run look away: the metadata does not verify any more."""
        history.register()
        tree = history.world.tree
        path = metadata_path("registrar", latest_version(tree, "registrar"))
        data = tree.read(path) or b""
        member = self._member(history)
        manifest = history.world.folder / "plugins" / PLUGINS[0] / "1.1.0" / "manifest.json"
        manifest.write_bytes(b"{}")
        (history.world.folder / path).write_bytes(
            data.replace(member["commit"].encode(), history.commit().encode())
        )
        assert history.register() is None

    def test_an_older_state_put_back(self, history: History) -> None:
        """Validly signed, with its older base: everything that changed since that is looked at."""
        older = history.world.snapshot()
        history.happen("publish", 0)
        history.register()
        newest = history.world.snapshot()
        for path in newest:
            if path.startswith(("metadata/", "targets/", "registry.json")):
                (history.world.folder / path).unlink()
        write_changes(
            history.world.folder, {p: d for p, d in older.items() if p.startswith(("metadata/", "targets/"))}
        )
        run = history.register()
        assert run is not None
        assert [o.result for o in run.outcomes] == [Result.PUBLISHED]


class TestGuard:
    """The blast-radius guard counts by what is signed."""

    def test_by_the_signed_totals(self, history: History) -> None:
        """Three of ten versions at once are too many, whichever way they are counted."""
        history.register()
        for plugin_id in sorted(SOUND)[:3]:
            (history.world.folder / "plugins" / plugin_id / "1.1.0" / "manifest.json").write_bytes(b"{}")
        assert history.register(recover=no_recovery) is None
        assert history.register(recover=no_recovery, allow_loss=3) is not None
