"""Changing the status of a published version."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from support.documents import ed25519, manifest
from support.world import REGISTRY, START, World, push_to_bare

from publisher.cli.main import main
from publisher.destination import Destination, open_destination
from publisher.git import Remote
from publisher.registrar.admit import Result
from publisher.registrar.remote import register_remote
from publisher.set_status import Change, build_release
from registry_client.errors import ConfigError, NotFoundError, PublishError, YankedError
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST = manifest()


def after(current: dict[str, Any] | None, **change: Any) -> dict[str, Any]:
    """The next release document."""
    return build_release(MANIFEST, current, Change(**change), REGISTRY, START)


def test_what_is_not_changed_stays() -> None:
    """Each change takes the next revision and leaves the other members as they are."""
    first = after(None, rollout=10)
    assert (first["revision"], first["status"], first["rollout"], first["push"]) == (1, "released", 10, True)
    second = after(first, rollout=50, force_update=True)
    assert (second["revision"], second["status"], second["rollout"]) == (2, "released", 50)
    assert second["forceUpdate"] is True
    third = after(second, push=False)
    assert (third["revision"], third["rollout"], third["push"], third["forceUpdate"]) == (3, 50, False, True)
    assert third["manifest"] == first["manifest"]
    assert third["registry"] == REGISTRY


def test_a_reason_belongs_to_its_status() -> None:
    """It stays while the status does, and goes with it."""
    yanked = after(None, status=ReleaseStatus.YANKED, reason="loses data")
    assert after(yanked, rollout=5)["reason"] == "loses data"
    assert after(yanked, reason="worse than thought")["reason"] == "worse than thought"
    assert "reason" not in after(yanked, status=ReleaseStatus.RELEASED)


@given(
    st.lists(
        st.builds(
            Change,
            status=st.none() | st.sampled_from(ReleaseStatus),
            rollout=st.none() | st.integers(0, 100),
            push=st.none() | st.booleans(),
            force_update=st.none() | st.booleans(),
            reason=st.just("because"),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_sequence_of_changes(changes: list[Change]) -> None:
    """Revisions rise by one, and each change has its say."""
    current: dict[str, Any] | None = None
    for number, change in enumerate(changes, 1):
        current = build_release(MANIFEST, current, change, REGISTRY, START)
        assert current["revision"] == number
        for name, wanted in (
            ("status", change.status),
            ("rollout", change.rollout),
            ("push", change.push),
            ("forceUpdate", change.force_update),
        ):
            assert wanted is None or current[name] == wanted


# -- end to end --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["folder", "remote"])
def bare(request: pytest.FixtureRequest, tmp_path: Path, world: World) -> Path | None:
    """The registry as a bare repository, or None for its folder."""
    return push_to_bare(world, tmp_path / "bare.git") if request.param == "remote" else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A registry with acme-x 1.0.0."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.publish("acme-x", "1.0.0")
    world.register()
    return world


@contextlib.contextmanager
def opened(world: World, bare: Path | None) -> Iterator[Destination]:
    """The destination of either kind."""
    with open_destination(str(bare or world.folder), "main", os.environ) as destination:
        yield destination


def registered(world: World, bare: Path | None) -> list[Result]:
    """Run the registrar; what became of the submissions."""
    if bare is None:
        return [outcome.result for outcome in world.register().outcomes]
    run = register_remote(Remote(str(bare)), "main", lambda _: world.options(), os.environ, lambda: world.now)
    return [outcome.result for outcome in run.outcomes]


def test_set_status_and_again(world: World, bare: Path | None) -> None:
    """The same status again is a no-op that says so, before and after it is registered."""
    with opened(world, bare) as place:
        first = world.set_status("acme-x", "1.0.0", "deprecated", reason="old", to=place)
    assert first.offer is not None
    for _ in range(2):
        with opened(world, bare) as place:
            again = world.set_status("acme-x", "1.0.0", "deprecated", reason="old", to=place)
        assert again.offer is None
        assert "nothing to do" in again.note
        registered(world, bare)


def test_revisions_count_what_is_pending(world: World, bare: Path | None) -> None:
    """Two changes before the registrar runs: the second takes the next revision, and both are taken in order."""
    for status, revision in (("testing", 1), ("staged", 2)):
        with opened(world, bare) as place:
            prepared = world.set_status("acme-x", "1.0.0", status, to=place)
        assert prepared.release["revision"] == revision
    results = registered(world, bare)
    assert Result.RELEASED in results
    with opened(world, bare) as place:
        found = json.loads(place.tree.read("plugins/acme-x/1.0.0/release.json") or b"")
    assert (found["revision"], found["status"]) == (2, "staged")


def test_a_version_that_is_offered_but_not_registered(world: World, bare: Path | None) -> None:
    """Its status can be set already: both are registered together."""
    with opened(world, bare) as place:
        world.publish("acme-x", "1.1.0", to=place)
    with opened(world, bare) as place:
        world.set_status("acme-x", "1.1.0", "testing", to=place)
    assert Result.REFUSED not in registered(world, bare)
    with opened(world, bare) as place:
        assert place.tree.read("plugins/acme-x/1.1.0/release.json") is not None


@pytest.mark.parametrize("status", ["deprecated", "yanked"])
def test_reasons_are_required(world: World, status: str) -> None:
    """A status that takes something away needs one."""
    with pytest.raises(PublishError, match="expected a reason") as caught:
        world.set_status("acme-x", "1.0.0", status)
    assert "--reason" in caught.value.hint
    assert world.tree.read("plugins/acme-x/1.0.0/release.json") is None


@pytest.mark.parametrize(("plugin_id", "version"), [("acme-x", "9.0.0"), ("acme-none", "1.0.0")])
def test_versions_that_are_not_there(world: World, bare: Path | None, plugin_id: str, version: str) -> None:
    """The error names the version and says what comes first."""
    with opened(world, bare) as place, pytest.raises(NotFoundError, match=f"{plugin_id} {version}") as caught:
        world.set_status(plugin_id, version, "testing", to=place)
    assert "publisher publish" in caught.value.hint


def test_yank_and_release_again(world: World) -> None:
    """What the host sees: gone, and back with the next revision."""
    client = world.client(ttl=0)
    assert client.resolve("acme-x").info.version == "1.0.0"
    world.set_status("acme-x", "1.0.0", "yanked", reason="loses data")
    world.register()
    with pytest.raises(YankedError, match="loses data"):
        client.resolve("acme-x")
    world.set_status("acme-x", "1.0.0", "released")
    world.register()
    assert client.resolve("acme-x").info.version == "1.0.0"


def test_a_rollout_that_grows(world: World) -> None:
    """0 % reaches no one, 100 % everyone, and what was offered stays offered on the way."""
    from registry_client.resolve import Host

    clients = {number: world.client("shared", ttl=0, host=Host(f"{number:032x}")) for number in range(20)}
    world.publish("acme-x", "1.1.0", change=Change(rollout=0))
    world.register()
    reached: set[int] = set()
    for rollout in (0, 10, 50, 100):
        if rollout:
            world.set_status("acme-x", "1.1.0", rollout=rollout)
            world.register()
        now = {n for n, client in clients.items() if client.check_update("acme-x", "1.0.0") is not None}
        assert reached <= now
        assert (rollout == 0) <= (not now)
        assert (rollout == 100) <= (len(now) == 20)
        reached = now


# -- the commands ------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The publisher's key as a file."""
    signer = ed25519("acme-1")
    assert isinstance(signer, CryptoSigner)
    path = tmp_path / "acme.pem"
    path.write_bytes(signer.private_bytes)
    path.chmod(0o600)
    return str(path)


def test_the_commands(world: World, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`set-status` and its shortcut `yank`, with JSON on standard output."""
    common = ["--to", str(world.folder), "--key", key, "--json"]
    assert main(["set-status", "acme-x", "1.0.0", "--rollout", "10", "--no-push", *common]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["release"]["rollout"], document["release"]["push"]) == (10, False)
    assert main(["yank", "acme-x", "1.0.0", "--reason", "loses data", *common]) == 0
    release = json.loads(capsys.readouterr().out)["release"]
    assert (release["status"], release["reason"], release["revision"]) == ("yanked", "loses data", 2)
    world.register()
    with pytest.raises(YankedError):
        world.client().resolve("acme-x")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["set-status", "acme-x", "1.0.0"], ConfigError.exit_code),
        (["set-status", "../x", "1.0.0", "--status", "testing"], ConfigError.exit_code),
        (["set-status", "acme-x", "1.0", "--status", "testing"], ConfigError.exit_code),
        (["set-status", "acme-x", "2.0.0", "--status", "testing"], NotFoundError.exit_code),
        (["set-status", "acme-x", "1.0.0", "--status", "yanked"], PublishError.exit_code),
    ],
)
def test_commands_that_fail(
    world: World, key: str, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    """Message and hint on standard error, an exit code for each kind, nothing written."""
    before = world.snapshot()
    assert main([*arguments, "--to", str(world.folder), "--key", key]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err
    assert "Traceback" not in shown.err
    assert world.snapshot() == before
