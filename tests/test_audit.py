"""`publisher registry audit`: a sound registry has no findings, and every damage has one."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.maintainers import Kept, make_registry
from support.mini_registry import serve

from publisher.cli.main import main
from publisher.maintain import policy
from publisher.maintain.fetch_tree import fetch_tree
from publisher.set_status import Change
from publisher.signing import public_key_object
from publisher.tree import DirTree
from publisher.tuf_repository import latest_version
from publisher.watch.audit import Level, audit
from registry_client.digest import Digest
from registry_client.errors import RegistryError
from registry_client.layout import served_path
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from publisher.watch.audit import Report

ARTIFACT = b"a plugin's archive" * 20
PLACE = f"artifacts/sha256/{Digest.of(ARTIFACT).hex}/calendar-1.0.0.zip"
MANIFEST = "plugins/calendar/1.0.0/manifest.json"


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with a plugin of two versions, an artifact, a release and a block."""
    kept = make_registry(tmp_path)
    artifact = {"ecosystem": "custom", "url": PLACE, "digest": Digest.of(ARTIFACT), "size": len(ARTIFACT)}
    path = kept.folder / PLACE
    path.parent.mkdir(parents=True)
    path.write_bytes(ARTIFACT)
    kept.write_manifest("calendar", "1.0.0", "acme", artifacts=[artifact])
    kept.write_manifest("calendar", "1.1.0", "acme")
    kept.block("calendar", "<0.9")
    kept.register()
    kept.write_release("calendar", "1.0.0", "acme", Change(ReleaseStatus.DEPRECATED, reason="old"))
    kept.register()
    return kept


def by_url(kept: Kept) -> Report:
    """Audit over HTTP."""
    with serve(kept.folder) as url:
        tree = fetch_tree(url, kept.pinned, allow_dev_keys=False)
        return audit(tree, kept.pinned, kept.now, allow_dev_keys=False, complete=False)


def write(kept: Kept, path: str, data: bytes = b"{}\n") -> None:
    """Put a file into the registry."""
    full = kept.folder / path
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_bytes(data)


def append(kept: Kept, path: str) -> None:
    """Add a space to a file: still the same JSON, not the same bytes."""
    full = kept.folder / path
    full.write_bytes(full.read_bytes() + b" ")


def newest(kept: Kept, role: str) -> str:
    """The path of a role's newest metadata."""
    return f"metadata/{latest_version(DirTree(kept.folder), role)}.{role}.json"


def copy_of(kept: Kept, role: str, path: str = "") -> str:
    """Where hosts find a target of a role; the index shard unless said otherwise."""
    targets = json.loads((kept.folder / newest(kept, role)).read_bytes())["signed"]["targets"]
    wanted = path or next(name for name in targets if name.startswith("index/"))
    return served_path(wanted, Digest.from_hex(targets[wanted]["hashes"]["sha256"]))


def remove(kept: Kept, path: str) -> None:
    """Delete a file."""
    (kept.folder / path).unlink()


def edit(kept: Kept, path: str, **members: Any) -> None:
    """Change members of a document by hand."""
    document = json.loads((kept.folder / path).read_bytes())
    write(kept, path, json.dumps({**document, **members}).encode())


def test_a_sound_registry(kept: Kept) -> None:
    """No findings by folder and by URL, with everything looked at."""
    for report in (kept.audit(), by_url(kept)):
        assert report.findings == ()
        assert (report.sound, report.plugins, report.versions) == (True, 1, 2)


def test_an_empty_registry(tmp_path: Path) -> None:
    """Nothing to find in nothing."""
    kept = make_registry(tmp_path)
    assert kept.audit().findings == by_url(kept).findings == ()


@pytest.mark.parametrize(
    ("damage", "path", "words"),
    [
        (lambda k: append(k, MANIFEST), MANIFEST, "changed after publishing"),
        (lambda k: remove(k, MANIFEST), MANIFEST, "is missing"),
        (lambda k: edit(k, MANIFEST, name="Other"), MANIFEST, "changed after publishing"),
        (lambda k: append(k, PLACE), PLACE, "was changed"),
        (lambda k: remove(k, PLACE), PLACE, "missing"),
        (lambda k: append(k, "registry.json"), "registry.json", "differs"),
        (lambda k: edit(k, "registry.json", plugins=[]), "registry.json", "differs"),
        (lambda k: remove(k, "registry.json"), "registry.json", "differs"),
        (lambda k: append(k, "plugins/calendar.json"), "plugins/calendar.json", "differs"),
        (lambda k: remove(k, "plugins/calendar.json"), "plugins/calendar.json", "differs"),
        (lambda k: edit(k, "policy.json", name="Mine"), "policy.json", "differs"),
        (lambda k: edit(k, "publishers/acme.json", threshold=2), "publishers/acme.json", "differs"),
        (lambda k: remove(k, "publishers/acme.json"), "publishers/acme.json", "differs"),
        (lambda k: edit(k, "blocks.json", blocks=[]), "blocks.json", "differs"),
        (
            lambda k: append(k, "plugins/calendar/1.0.0/release.json"),
            "plugins/calendar/1.0.0/release.json",
            "",
        ),
        (
            lambda k: remove(k, "plugins/calendar/1.0.0/release.json"),
            "plugins/calendar/1.0.0/release.json",
            "",
        ),
        (lambda k: append(k, "schema/manifest.schema.json"), "schema/manifest.schema.json", "differs"),
        (lambda k: remove(k, "schema/policy.schema.json"), "schema/policy.schema.json", "differs"),
        (lambda k: write(k, "publishers/evil.json"), "publishers/evil.json", "no signed metadata names it"),
        (lambda k: write(k, "metadata/note.json"), "metadata/note.json", "is not a metadata file"),
        (lambda k: write(k, "plugins/x/y.txt"), "plugins/x/y.txt", "belongs to no published version"),
        (
            lambda k: write(k, "plugins/calendar/9.9.9/manifest.json"),
            "plugins/calendar/9.9.9/manifest.json",
            "",
        ),
        (
            lambda k: write(k, "plugins/calendar/1.0.0/x.json"),
            "plugins/calendar/1.0.0/x.json",
            "no published",
        ),
        (lambda k: write(k, "artifacts/loose.zip"), "artifacts/loose.zip", "no published version names it"),
        (lambda k: write(k, "targets/loose.json"), "targets/loose.json", "no kept metadata names it"),
        (lambda k: append(k, copy_of(k, "registrar")), "metadata", "signed"),
        (lambda k: remove(k, copy_of(k, "registrar")), "metadata", "signed"),
        (
            lambda k: remove(k, copy_of(k, "blocks", "blocks.json")),
            "targets/",
            "hosts read blocks.json there",
        ),
        (lambda k: remove(k, copy_of(k, "registrar", "registry.json")), "registry.json", ""),
        (
            lambda k: remove(k, copy_of(k, "targets", "publishers/acme.json")),
            "targets/publishers/",
            "missing",
        ),
        (lambda k: append(k, copy_of(k, "targets", "publishers/acme.json")), "metadata", "signed"),
        (lambda k: remove(k, newest(k, "targets")), "metadata/2.targets.json", "is missing"),
        (lambda k: remove(k, newest(k, "snapshot")), "metadata/", "is missing"),
        (lambda k: append(k, newest(k, "snapshot")), "metadata/", "was changed"),
        (lambda k: append(k, newest(k, "blocks")), "metadata/", "was changed"),
        (lambda k: remove(k, "metadata/timestamp.json"), "metadata", "timestamp.json: missing"),
        (lambda k: write(k, newest(k, "targets"), b"not JSON"), "metadata", "is not TUF metadata"),
        (lambda k: edit(k, newest(k, "registrar"), signatures=[]), "metadata", "signed by 0/1 keys"),
        (lambda k: edit(k, newest(k, "blocks"), signatures=[]), "metadata", ""),
        (
            lambda k: edit(k, "metadata/timestamp.json", signatures=[]),
            "metadata/timestamp.json",
            "not signed",
        ),
        (lambda k: write(k, MANIFEST, b"\xff\xfe"), MANIFEST, "changed"),
        (lambda k: write(k, MANIFEST, b""), MANIFEST, "changed"),
    ],
)
def test_damage_is_found(kept: Kept, damage: Callable[[Kept], object], path: str, words: str) -> None:
    """Each by a finding that names the file and says what is wrong; the audit itself changes nothing."""
    damage(kept)
    before = kept.fingerprint()
    findings = kept.audit().findings
    assert [f for f in findings if f.path.startswith(path) and words in f.message], findings
    assert kept.fingerprint() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda k: append(k, MANIFEST),
        lambda k: remove(k, MANIFEST),
        lambda k: append(k, PLACE),
        lambda k: remove(k, PLACE),
        lambda k: append(k, "plugins/calendar.json"),
        lambda k: remove(k, "plugins/calendar.json"),
        lambda k: append(k, copy_of(k, "registrar")),
        lambda k: remove(k, copy_of(k, "targets", "policy.json")),
        lambda k: edit(k, "metadata/timestamp.json", signatures=[]),
        lambda k: edit(k, newest(k, "registrar"), signatures=[]),
        lambda k: remove(k, newest(k, "snapshot")),
        lambda k: write(k, "metadata/timestamp.json", b"not JSON"),
        lambda k: write(k, "metadata/timestamp.json", b"{}"),
        lambda k: write(k, "metadata/2.root.json", b"{}"),
        lambda k: write(k, "metadata/2.root.json", k.pinned),
    ],
)
def test_damage_is_found_by_url(kept: Kept, damage: Callable[[Kept], object]) -> None:
    """Over HTTP too: as a finding, or as the error that ends the audit; never as a traceback."""
    damage(kept)
    try:
        sound = by_url(kept).sound
    except RegistryError:
        sound = False
    assert not sound


@pytest.mark.parametrize(
    ("hours", "expired", "soon"),
    [
        (1, set(), set()),
        (24 * 5.5, set(), {"timestamp"}),
        (24 * 7.5, {"timestamp"}, set()),
        (24 * 17, {"timestamp"}, {"snapshot", "registrar"}),
        (24 * 130, {"timestamp", "snapshot", "registrar"}, {"targets", "blocks"}),
        (24 * 400, {"timestamp", "snapshot", "registrar", "targets", "blocks", "root"}, set()),
    ],
)
def test_expiry(kept: Kept, hours: float, expired: set[str], soon: set[str]) -> None:
    """Expired roles are errors; those that soon will are warnings, which do not fail the audit."""
    kept.now += timedelta(hours=hours)
    report = kept.audit()
    names = {Level.ERROR: set[str](), Level.WARNING: set[str]()}
    for finding in report.findings:
        if "expire" in finding.message and finding.path != ".":
            names[finding.level].add(finding.path.removesuffix(".json").rpartition("/")[2].rpartition(".")[2])
    assert names == {Level.ERROR: expired, Level.WARNING: soon}
    assert report.sound is not bool(expired)


def test_what_the_registrar_put_aside_is_a_warning(kept: Kept) -> None:
    """A quarantined version is known to be bad: nobody reads it, so the registry is sound."""
    kept.new_key("acme-2")
    key = kept.signer("acme-2").public_key
    with kept.edit("targets") as desk:
        policy.add_key(desk, "acme", key.keyid, public_key_object(key))
        policy.revoke_key(desk, "acme", kept.keyid("acme"), "stolen")
    kept.register(allow_loss=2)
    report = kept.audit()
    assert report.sound
    assert {f.message.partition(":")[0] for f in report.findings} == {"quarantined"}


def test_a_lost_manifest_is_a_warning_once_the_registrar_has_said_so(kept: Kept) -> None:
    """Without history it cannot be restored: the version is removed, and named at every audit."""
    remove(kept, MANIFEST)
    kept.register(allow_loss=1)
    report = kept.audit()
    assert report.sound
    assert [(f.level, f.path) for f in report.findings if "removed" in f.message] == [
        (Level.WARNING, MANIFEST)
    ]


def test_unregistered_changes_of_the_maintainers_are_found(kept: Kept) -> None:
    """A block that was signed, but that the registrar has not brought to hosts yet."""
    kept.block("calendar", ">=0", "hide")
    assert not kept.audit().sound
    kept.register()
    kept.add_publisher("globex", "globex", "maps")
    assert [f.message for f in kept.audit().findings] == ["has not been brought to hosts yet"]
    kept.register()
    assert kept.audit().findings == ()


def test_another_root_of_trust(kept: Kept, tmp_path: Path) -> None:
    """A sound registry, but not the pinned one."""
    other = make_registry(tmp_path / "other")
    report = audit(DirTree(kept.folder), other.pinned, kept.now, allow_dev_keys=False)
    assert not report.sound


class TestCommand:
    """The command line."""

    @pytest.fixture(autouse=True)
    def _clock(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(kept.now.timestamp())))

    def test_sound(self, kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 0, by folder and by URL, in words and as JSON."""
        root = ["--root", str(kept.folder / "metadata" / "1.root.json")]
        with serve(kept.folder) as url:
            for arguments in (
                [str(kept.folder)],
                [str(kept.folder), *root],
                [url, *root],
                [f"{url}/", *root],
            ):
                assert main(["registry", "audit", *arguments]) == 0
                assert "sound; 1 plugin, 2 versions, 0 findings" in capsys.readouterr().out
                assert main(["registry", "audit", *arguments, "--json"]) == 0
                told = json.loads(capsys.readouterr().out)
                assert (told["sound"], told["findings"]) == (True, [])

    def test_not_sound(self, kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 11; each finding is a line, and an object with level, path and message."""
        append(kept, MANIFEST)
        assert main(["registry", "audit", str(kept.folder)]) == 11
        assert f"error: {MANIFEST}: was changed after publishing" in capsys.readouterr().out
        assert main(["registry", "audit", str(kept.folder), "--json"]) == 11
        told = json.loads(capsys.readouterr().out)
        assert told["sound"] is False
        assert {"level", "path", "message"} <= told["findings"][0].keys()

    def test_warnings_alone_do_not_fail(self, kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 0."""
        write(kept, "artifacts/loose.zip")
        assert main(["registry", "audit", str(kept.folder)]) == 0
        assert "warning: artifacts/loose.zip" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["{url}"], 3),
            (["{url}", "--root", "/nowhere"], 3),
            (["{url}/elsewhere", "--root", "{root}"], 5),
            (["{url}", "--root", "{folder}/policy.json"], 6),
            (["{folder}/plugins"], 3),
            (["/nowhere"], 3),
            (["ftp://x.example", "--root", "{root}"], 3),
            (["https://user:secret@x.example", "--root", "{root}"], 3),
            (["{folder}", "--root-digest", "sha256:zz"], 3),
            (["{folder}", "--root-digest", "sha256:" + "0" * 64], 3),
        ],
    )
    def test_what_cannot_be_audited(
        self, kept: Kept, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int
    ) -> None:
        """An error of its own kind, not a finding; nothing on stdout."""
        root = kept.folder / "metadata" / "1.root.json"
        with serve(kept.folder) as url:
            told = [text.format(url=url, root=root, folder=kept.folder) for text in arguments]
            assert main(["registry", "audit", *told]) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert "secret" not in captured.err

    def test_no_registry_any_more(self, kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
        """A folder without its first root is no registry; the hint says how to make one."""
        shutil.rmtree(kept.folder / "metadata")
        assert main(["registry", "audit", str(kept.folder)]) == 3
        assert "init" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("role", "path"),
    [
        ("blocks", "blocks.json"),
        ("targets", "policy.json"),
        ("targets", "publishers/acme.json"),
        ("registrar", "registry.json"),
    ],
)
def test_the_registrar_restores_a_lost_copy(kept: Kept, role: str, path: str) -> None:
    """As the finding's hint says: what follows from signed documents is written again."""
    remove(kept, copy_of(kept, role, path))
    assert not kept.audit().sound
    kept.register()
    assert kept.audit().findings == ()
