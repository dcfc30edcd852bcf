"""`publisher registry init`: what a new registry is, and what is refused with nothing written."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from support.maintainers import START, Kept, make_registry
from support.mini_registry import serve
from tuf.ngclient import Updater
from tuf.ngclient.config import UpdaterConfig

from publisher.cli.main import main
from publisher.dev_keys import NAMES, dev_key_pem
from publisher.maintain import init as maker
from publisher.maintain.desk import Desk
from publisher.signing import PASSPHRASE_VARIABLE, keyid_of, load_signer
from publisher.tree import DirTree
from publisher.watch.audit import audit
from registry_client.client import RegistryClient
from registry_client.digest import Digest
from registry_client.errors import ConfigError
from registry_client.keys import DEV_KEYIDS
from registry_client.store import Directories

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://registry.example/main"


def init(folder: Path, *arguments: str, url: str = URL) -> int:
    """Run the command."""
    return main(["registry", "init", str(folder), "--base-url", url, "--json", *arguments])


def every_file(folder: Path) -> list[str]:
    """All that stands in a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry of today's defaults."""
    return make_registry(tmp_path)


def test_a_new_registry_is_complete_and_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that the design names is there, the audit finds nothing, and the printed digest is the root's."""
    folder = tmp_path / "registry"
    assert init(folder) == 0
    told = json.loads(capsys.readouterr().out)
    files = every_file(folder)
    for path in (".gitattributes", "README.md", "policy.json", "blocks.json", "registry.json"):
        assert path in files
    assert {path.split("/")[0] for path in files} >= {"metadata", "targets", "schema"}
    assert b"* -text -filter -ident" in (folder / ".gitattributes").read_bytes()
    root = (folder / "metadata" / "1.root.json").read_bytes()
    assert told["rootDigest"] == Digest.of(root)
    assert main(["registry", "audit", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


def test_the_root_needs_two_of_three_and_each_role_has_its_own_key(tmp_path: Path) -> None:
    """Root 2-of-3, one key each for targets, blocks and the online roles; six different keys in all."""
    assert init(tmp_path / "registry") == 0
    tree = DirTree(tmp_path / "registry")
    signed = json.loads(tree.read("metadata/1.root.json") or b"")["signed"]
    assert (len(signed["roles"]["root"]["keyids"]), signed["roles"]["root"]["threshold"]) == (3, 2)
    assert signed["roles"]["snapshot"] == signed["roles"]["timestamp"]
    assert signed["consistent_snapshot"] is True
    delegations = json.loads(tree.read("metadata/1.targets.json") or b"")["signed"]["delegations"]
    assert [role["name"] for role in delegations["roles"]] == ["blocks", "registrar"]
    assert len({*signed["keys"], *delegations["keys"]}) == 6


def test_private_keys_are_outside_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    """Six files of mode 0600 in a folder beside the registry; no private key anywhere below it."""
    assert init(tmp_path / "registry") == 0
    keys = tmp_path / "registry-keys"
    assert every_file(keys) == sorted(
        f"{name}.pem" for name in ("root-1", "root-2", "root-3", "targets", "blocks", "online")
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}
    for path in (tmp_path / "registry").rglob("*"):
        assert not path.is_file() or b"PRIVATE KEY" not in path.read_bytes()


def test_a_registry_in_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`init .` puts the keys beside the folder, not into it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["registry", "init", ".", "--base-url", URL]) == 0
    assert (tmp_path / "here-keys" / "online.pem").is_file()
    assert not list((tmp_path / "here").rglob("*.pem"))


@pytest.mark.parametrize(
    ("arguments", "url", "kind"),
    [
        (("--keys", "{registry}/keys"), URL, "Config"),
        (("--keys", "{registry}"), URL, "Config"),
        (("--keys", "{registry}/../registry/keys"), URL, "Config"),
        (("--threshold", "3", "--root-keys", "2"), URL, "Config"),
        ((), "ftp://registry.example", "Config"),
        (("--id", "x"), "ftp://registry.example", "Config"),
        (("--id", "x"), "https://user:pw@registry.example", "Config"),
        (("--mirror", "file:///etc"), URL, "Config"),
        (("--id", "two words"), URL, "Document"),
        (("--name", "x" * 5000), URL, "Document"),
    ],
)
def test_what_cannot_be_a_registry_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], url: str, kind: str
) -> None:
    """Keys inside the registry, an impossible threshold, a bad URL or id: one error, and no file, not even a key."""
    folder = tmp_path / "registry"
    code = init(folder, *(text.format(registry=folder) for text in arguments), url=url)
    error = json.loads(capsys.readouterr().out)["error"]
    assert (code, error["kind"]) == (error["exitCode"], kind)
    assert "pw" not in error["message"]
    assert every_file(tmp_path) == []


def test_an_existing_registry_is_never_touched(tmp_path: Path, kept: Kept) -> None:
    """Neither with ordinary keys nor with --dev, and no keys are made for nothing."""
    before = kept.fingerprint()
    assert init(kept.folder) == 3
    assert init(kept.folder, "--dev") == 3
    assert kept.fingerprint() == before
    assert not (tmp_path / "registry-keys").exists()


def test_existing_keys_are_never_overwritten(tmp_path: Path) -> None:
    """If one of the key files exists, none is written, and no registry either."""
    keys = tmp_path / "registry-keys"
    keys.mkdir()
    (keys / "blocks.pem").write_text("mine")
    assert init(tmp_path / "registry") == 3
    assert every_file(tmp_path) == ["registry-keys/blocks.pem"]
    assert (keys / "blocks.pem").read_text() == "mine"


def test_files_of_a_repository_that_is_there_already_stay(tmp_path: Path) -> None:
    """README.md and .gitattributes are left as they are; all else is written."""
    folder = tmp_path / "registry"
    folder.mkdir()
    (folder / "README.md").write_text("ours")
    assert init(folder) == 0
    assert (folder / "README.md").read_text() == "ours"
    assert (folder / "registry.json").is_file()


def test_id_name_mirrors_and_artifacts_stand_in_the_policy(tmp_path: Path) -> None:
    """What was asked for is in policy.json; without --id the id comes from the URL."""
    more = (
        "--id",
        "acme",
        "--name",
        "Acme's",
        "--mirror",
        "https://a.example/",
        "--mirror",
        "https://b.example",
    )
    assert init(tmp_path / "one", *more, "--artifacts-in-tree") == 0
    policy = json.loads((tmp_path / "one" / "policy.json").read_bytes())
    assert (policy["registry"], policy["name"]) == ("acme", "Acme's")
    assert policy["mirrors"] == ["https://a.example", "https://b.example"]
    assert policy["artifacts"] == {"inTree": True}
    assert init(tmp_path / "two") == 0
    policy = json.loads((tmp_path / "two" / "policy.json").read_bytes())
    assert (policy["registry"], policy["artifacts"]) == ("registry.example/main", {"inTree": False})


def test_keys_with_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All six keys are encrypted, and none opens without the passphrase."""
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse")
    assert init(tmp_path / "registry", "--passphrase") == 0
    for path in (tmp_path / "registry-keys").iterdir():
        assert b"ENCRYPTED" in path.read_bytes()
        load_signer(str(path), environ=os.environ)
        with pytest.raises(ConfigError, match="passphrase"):
            load_signer(str(path), environ={})


def test_a_plain_tuf_client_reads_it(kept: Kept, tmp_path: Path) -> None:
    """`tuf.ngclient.Updater` from the first root downloads the catalogue, the policy, the blocks and a publisher."""
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    with serve(kept.folder) as url:
        (tmp_path / "targets").mkdir()
        updater = Updater(
            str(tmp_path / "tuf"),
            f"{url}/metadata/",
            str(tmp_path / "targets"),
            f"{url}/targets/",
            config=UpdaterConfig(prefix_targets_with_hash=True),
            bootstrap=kept.pinned,
        )
        updater.refresh()
        for path in ("registry.json", "policy.json", "blocks.json", "publishers/acme.json"):
            info = updater.get_targetinfo(path)
            assert info is not None
            copy = tmp_path / "targets" / path.replace("/", "_")
            updater.download_target(info, str(copy))
            assert copy.read_bytes() == (kept.folder / path).read_bytes()


class TestDev:
    """`init --dev`."""

    def test_the_hard_coded_keyids_are_those_of_the_development_keys(self) -> None:
        """A key added to one list and not to the other would slip through."""
        made = {
            keyid_of(
                load_signer(
                    "envvar:K", environ={"K": dev_key_pem(name).decode()}, allow_dev_keys=True
                ).public_key
            )
            for name in NAMES
        }
        assert made == DEV_KEYIDS

    def test_ten_years_and_sound(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Every role is signed for ten years, the keys stand in the registry, and the audit finds nothing."""
        folder = tmp_path / "registry"
        assert init(folder, "--dev") == 0
        for path in (folder / "metadata").iterdir():
            assert json.loads(path.read_bytes())["signed"]["x-plugin-registry-expiry-days"] == 3650
        assert {f"{name}.pem" for name in NAMES} < set(every_file(folder / "dev-keys"))
        assert not (tmp_path / "registry-keys").exists()
        capsys.readouterr()
        assert main(["registry", "audit", str(folder), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["findings"] == []

    def test_everything_refuses_it_unless_told(self, tmp_path: Path) -> None:
        """Client, registrar, maintainers' commands and publish refuse development keys; each has the way out."""
        folder = tmp_path / "registry"
        assert init(folder, "--dev") == 0
        key = str(folder / "dev-keys" / "online.pem")
        assert main(["registry", "register", str(folder), "--key", key]) == 3
        assert main(["registry", "register", str(folder), "--key", key, "--allow-dev-keys"]) == 0
        assert main(["registry", "renew", str(folder), "--key", key]) == 3
        assert main(["registry", "renew", str(folder), "--key", key, "--allow-dev-keys"]) == 0
        with pytest.raises(ConfigError, match="development key"):
            Desk(folder, [], START)
        root = (folder / "metadata" / "1.root.json").read_bytes()
        with pytest.raises(ConfigError, match="development key"):
            audit_strictly(folder, root)
        with serve(folder) as url:
            where = Directories.default(tmp_path / "home")
            with pytest.raises(ConfigError, match="development key") as caught:
                RegistryClient(url, root=root, directories=where).refresh()
            assert "--allow-dev-keys" in caught.value.hint
            RegistryClient(url, root=root, directories=where, allow_dev_keys=True).refresh()

    def test_publishing_with_the_development_key_is_refused_unless_told(self, tmp_path: Path) -> None:
        """The publisher's development key signs nothing without the flag."""
        folder, source = tmp_path / "registry", tmp_path / "calendar"
        assert init(folder, "--dev") == 0
        source.mkdir()
        ui = {"remoteEntry": "https://cdn.example/calendar.js", "expose": "./App"}
        (source / "manifest.json").write_text(
            json.dumps({"id": "calendar", "name": "Calendar", "version": "1.0.0", "ui": ui})
        )
        arguments = [
            "publish",
            str(source),
            "--to",
            str(folder),
            "--key",
            str(folder / "dev-keys/publisher.pem"),
        ]
        assert main(arguments) == 3
        assert not (folder / "plugins").exists()


def audit_strictly(folder: Path, root: bytes) -> None:
    """Audit without allowing development keys; what the report says first is raised."""
    finding = audit(DirTree(folder), root, START, allow_dev_keys=False).findings[0]
    raise ConfigError(finding.message, hint=finding.hint)


def test_a_threshold_is_held_against_the_keys_at_hand(kept: Kept) -> None:
    """`build_registry` itself refuses an impossible threshold, whoever calls it."""
    new = maker.NewRegistry(URL, "x", "X", threshold=4)
    signers = maker.load_keys(
        {name: kept.keys[name] for name in ("root-1", "targets", "blocks", "online")}, None
    )
    with pytest.raises(ConfigError, match="threshold of 4"):
        maker.build_registry(new, signers, START)
