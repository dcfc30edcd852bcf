"""The registry's own workflows, run by act: pull requests judged, offers registered or refused, releases imported, roles renewed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519, payload_digest, sign
from support.forge import REGISTRY, Forge, open_forge, private_pem
from support.wheelhouse import Kit, make_kit

from publisher.destination import open_destination
from publisher.git_remote import TOKEN_VARIABLE
from publisher.maintain import policy
from publisher.offer import Offer
from registry_client.jsontext import dump_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

CALENDAR = "acme/calendar"
UI = {"remoteEntry": "https://calendar.example/1.0.0/entry.js", "expose": "./App"}


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Kit:
    """What the runners install, and keep: one for all processes of a session."""
    base = tmp_path_factory.getbasetemp()
    return make_kit(base.parent if hasattr(request.config, "workerinput") else base)


@pytest.fixture
def forge(tmp_path: Path, kit: Kit) -> Iterator[Forge]:
    """A forge with a registry; no run may give a secret away."""
    with open_forge(tmp_path / "forge", kit) as made:
        yield made
    assert made.leaks() == []


def signed(forge: Forge, plugin_id: str = "acme-calendar", *, by: str = "acme", **members: Any) -> bytes:
    """A manifest of version 1.0.0, signed by a publisher, or with a stranger's key."""
    signer = forge.world.publishers[by][0] if by in forge.world.publishers else ed25519(by)
    document = {
        "kind": "manifest",
        "schemaVersion": 1,
        "id": plugin_id,
        "name": "Calendar",
        "version": "1.0.0",
    }
    return dump_json(sign({**document, "initialStatus": "released", "ui": UI, **members}, signer))


def tampered(data: bytes) -> bytes:
    """The document with another name than the one that was signed."""
    return data.replace(b'"Calendar"', b'"Kalendar"')


def test_a_good_pull_request_passes_and_is_registered_when_merged(forge: Forge) -> None:
    """The summary shows what would change; after the merge the registrar takes it, and a host reads it."""
    number = forge.propose({"plugins/acme-calendar/1.0.0/manifest.json": signed(forge)})
    judged = forge.validate(number)
    assert judged.code == 0, judged.log
    assert "acme-calendar" in judged.summary
    assert set(forge.host.passwords) == {forge.runner.secrets[REGISTRY]["GITHUB_TOKEN"]}  # which reads
    merged = forge.merge(number)
    assert merged.code == 0, merged.log
    assert forge.read("acme-calendar").model.version == "1.0.0"


MANIFEST = "plugins/acme-calendar/1.0.0/manifest.json"
CANARY = b'#!/bin/sh\necho canary sang; touch "$RUNNER_TOOL_CACHE/canary"\n'


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param(lambda f: {MANIFEST: tampered(signed(f))}, ["signature"], id="a bad signature"),
        pytest.param(
            lambda f: {MANIFEST: signed(f, by="stranger")},
            ["not a key of this publisher"],
            id="a stranger's key",
        ),
        pytest.param(
            lambda f: {"plugins/globex-chat/1.0.0/manifest.json": signed(f, "globex-chat")},
            ["globex-chat"],
            id="an id of nobody",
        ),
        pytest.param(
            lambda f: {
                MANIFEST: signed(f),
                "plugins/acme-other/1.0.0/manifest.json": signed(f, "acme-other"),
            },
            ["one plugin"],
            id="two plugins at once",
        ),
        pytest.param(
            lambda _: {"metadata/timestamp.json": b"{}"},
            ["metadata/timestamp.json"],
            id="the registrar's files",
        ),
    ],
)
def test_a_bad_pull_request_fails_and_says_everything_that_is_wrong(
    forge: Forge, files: Callable[[Forge], dict[str, bytes | None]], words: list[str]
) -> None:
    """On the page of the run stands what is wrong; nothing of the pull request is run."""
    judged = forge.validate(forge.propose(files(forge)))
    assert judged.code != 0
    for word in words:
        assert word in judged.summary


def test_what_a_pull_request_brings_along_is_not_run(forge: Forge) -> None:
    """The action that the workflow uses comes out of main, whatever the pull request makes of it; only its data is read."""
    number = forge.propose(
        {".github/actions/setup-publisher/install.sh": CANARY, MANIFEST: tampered(signed(forge))}
    )
    judged = forge.validate(number)
    assert judged.code != 0
    assert "does not verify" in judged.summary
    assert judged.told("canary sang") == ["canary sang"]
    assert not (forge.runner.tools / "canary").exists()


def offer(forge: Forge, plugin_id: str, data: bytes) -> str:
    """Offer version 1.0.0 on a publish branch, past what `publisher publish` checks; gives the commit."""
    made = Offer(
        plugin_id, "1.0.0", payload_digest(json.loads(data)).hex, {"manifest.json": data}, "Offer it"
    )
    environ = {**os.environ, TOKEN_VARIABLE: forge.token("anybody", contents="write")}
    with open_destination(f"{forge.host.url}/{REGISTRY}", "main", environ) as destination:
        place = destination.submit(made, forge.world.now).place
    return forge.refs()[f"refs/heads/{place}"]


def test_the_registrar_says_on_each_commit_what_became_of_it(forge: Forge) -> None:
    """One run: the good offers are registered, the others refused, each with the reason as its commit's status."""
    first = offer(forge, "acme-calendar", signed(forge))
    run = forge.register()
    assert run.code == 0, run.log
    sign_it, other = "Sign it with a current key", signed(forge, description="Other")
    refused = {
        offer(forge, "acme-notes", tampered(signed(forge, "acme-notes"))): ("does not verify", sign_it),
        offer(forge, "acme-tasks", signed(forge, "acme-tasks", by="stranger")): ("not a key of", sign_it),
        offer(forge, "globex-chat", signed(forge, "globex-chat")): ("globex-chat", "A maintainer allows it"),
        offer(forge, "acme-calendar", other): (
            "published already, with other content",
            "A version is used once",
        ),
    }
    good = offer(forge, "acme-mail", signed(forge, "acme-mail"))
    run = forge.register()
    assert run.code != 0
    statuses = {each.sha: each for each in forge.double.repository(REGISTRY).statuses}
    assert {sha: each.state for sha, each in statuses.items()} == {
        **dict.fromkeys([first, good], "success"),
        **dict.fromkeys(refused, "failure"),
    }
    for sha, (why, way_out) in refused.items():
        assert why in (statuses[sha].description or "")
        assert not run.told(why, way_out), run.log
    assert {each.context for each in statuses.values()} == {"plugin-registry"}
    assert forge.offers() == []
    assert forge.read("acme-mail").model.version == "1.0.0"


RELEASED = """\
name: Plugin
on: {push: {tags: ["v*"]}}
permissions: {}
jobs:
  publish:
    permissions:
      contents: write
    uses: acme/plugin-registry/.github/workflows/publish.yml@3f786850e387550fdab836ed7e6dc881de23001b
    with:
      registry: acme/plugin-registry
      import: true
    secrets:
      signing-key: ${{ secrets.PLUGIN_SIGNING_KEY }}
"""


def test_a_release_is_imported_with_no_secret_that_crosses_repositories(forge: Forge) -> None:
    """A tag, the plugin's own token, a release with an asset, the registry's poll; the archive stays on the release."""
    document = {
        "id": "acme-calendar",
        "name": "Calendar",
        "artifacts": [{"ecosystem": "python", "pack": "plugin"}],
    }
    forge.plugin(CALENDAR, RELEASED, document, {"plugin/main.py": "print('hello')\n"})
    forge.runner.secrets[CALENDAR] = {"PLUGIN_SIGNING_KEY": private_pem(forge.world.publishers["acme"][0])}
    run = forge.push(CALENDAR, tag="v1.0.0")
    assert run.code == 0, run.log
    unknown = forge.run(REGISTRY, "import.yml", "schedule")
    assert unknown.code == 0, unknown.log
    assert forge.offers() == []
    number = forge.double.repository(CALENDAR).id
    with forge.maintain("Watch the repository") as desk:
        policy.change_publisher(desk, "acme", policy.PublisherChange(add_repositories=(number,)))
    assert forge.run(REGISTRY, "register.yml", "push").code == 0
    run = forge.run(REGISTRY, "import.yml", "schedule")
    assert run.code == 0, run.log
    assert forge.dispatched
    assert forge.register().code == 0
    found = forge.read("acme-calendar")
    assert found.model.version == "1.0.0"
    assert [data[:4] for data in forge.download(found)] == [b"PK\x03\x04"]
    again = forge.run(REGISTRY, "import.yml", "schedule")
    assert again.code == 0, again.log
    assert forge.offers() == []


def test_renewing_signs_again_and_warns_in_one_issue(tmp_path: Path, kit: Kit) -> None:
    """Three days on, online roles are signed anew; for an offline one that ends soon there is one issue, however many runs."""
    with open_forge(tmp_path / "forge", kit, days={"targets": 4}) as forge:
        later = int(forge.world.now.timestamp()) + 3 * 24 * 3600
        forge.runner.env = {**kit.pip, "SOURCE_DATE_EPOCH": str(later)}
        before = forge.read_main("metadata/timestamp.json")
        for _ in range(2):
            run = forge.run(REGISTRY, "renew.yml", "schedule")
            assert run.code == 0, run.log
            assert run.jobs == {"renew": "success", "warn": "success"}
        assert forge.read_main("metadata/timestamp.json") != before
        issues = list(forge.double.repository(REGISTRY).issues.values())
        assert [(each.state, "targets" in (each.body or "")) for each in issues] == [("open", True)]
        assert forge.leaks() == []
