"""`publisher sign FILE`: one more signature on a document or on metadata."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.maintainers import Kept, make_registry

from publisher.maintain import policy
from publisher.set_status import Change
from publisher.sign_file import sign_file
from publisher.signing import public_key_object
from publisher.tree import DirTree
from publisher.tuf_repository import latest_version
from registry_client.errors import ConfigError, DocumentError, RegistryError
from registry_client.jsontext import payload_digest_of
from registry_client.models.release import ReleaseStatus


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry whose publisher has two keys, both needed."""
    kept = make_registry(tmp_path)
    second = kept.new_key("acme-2").public_key
    with kept.edit("targets") as desk:
        policy.add_key(desk, "acme", second.keyid, public_key_object(second))
        policy.change_publisher(desk, "acme", policy.PublisherChange(threshold=2))
    kept.register()
    return kept


class TestDocuments:
    """Manifests and releases."""

    def test_a_threshold_of_two(self, kept: Kept) -> None:
        """With one signature the registrar refuses it, with two it is published; the content stays the same."""
        path = kept.write_manifest("calendar", "1.0.0", "acme")
        before = payload_digest_of(json.loads(path.read_bytes()))
        assert [str(o.error).partition("\n")[0][-40:] for o in kept.register().refused] != []
        done = sign_file(path, kept.signer("acme-2"))
        assert (done.path, done.signatures, done.complete) == (path, 2, None)
        assert payload_digest_of(json.loads(path.read_bytes())) == before
        assert kept.register().refused == []
        release = kept.write_release(
            "calendar", "1.0.0", "acme", Change(ReleaseStatus.YANKED, reason="loses events")
        )
        assert len(kept.register().refused) == 1
        sign_file(release, kept.signer("acme-2"))
        assert kept.register().refused == []
        assert kept.audit().findings == ()

    def test_twice_by_one_key_is_one_signature(self, kept: Kept) -> None:
        """A threshold counts keys."""
        path = kept.write_manifest("calendar", "1.0.0", "acme")
        assert sign_file(path, kept.signer("acme")).signatures == 1

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            (b"not JSON", DocumentError),
            (b"\xff\xfe{}", DocumentError),
            (b'{"kind": "manifest", "kind": "release"}', DocumentError),
            (b"[]", DocumentError),
            (b"{}", ConfigError),
            (b'{"kind": "policy"}', ConfigError),
            (b'{"kind": "blocks"}', ConfigError),
            (b'{"kind": "publisher"}', ConfigError),
            (b'{"kind": 1}', ConfigError),
            (b'{"signed": {}, "signatures": []}', RegistryError),
            (b'{"signed": "x"}', RegistryError),
            (b" " * (2**20 + 1), DocumentError),
        ],
    )
    def test_what_is_not_signed(
        self, kept: Kept, tmp_path: Path, data: bytes, error: type[RegistryError]
    ) -> None:
        """Left as it is, with one of our errors; statements of the maintainers point to the command for them."""
        for name in ("x.json", "1.targets.json"):
            path = tmp_path / "staging" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            with pytest.raises(error):
                sign_file(path, kept.signer("targets"))
            assert path.read_bytes() == data

    def test_no_file(self, kept: Kept, tmp_path: Path) -> None:
        """Missing, or a folder."""
        for path in (tmp_path / "none.json", tmp_path):
            with pytest.raises(ConfigError, match="cannot be read"):
                sign_file(path, kept.signer("acme"))


class TestMetadata:
    """TUF metadata."""

    @pytest.fixture
    def staged(self, kept: Kept) -> Path:
        """A root that waits for its second signature."""
        kept.new_key("root-4")
        kept.rotate("root", "root-1", add=("root-4",))
        return kept.folder / "staging" / "2.root.json"

    def test_served_when_complete(self, kept: Kept, staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also when the file is named from within its folder."""
        assert sign_file(staged, kept.signer("root-1")).complete is False
        monkeypatch.chdir(staged.parent)
        done = sign_file(Path("2.root.json"), kept.signer("root-2"))
        assert (done.complete, done.path) == (True, kept.folder / "metadata" / "2.root.json")
        assert not staged.exists()
        assert kept.root.version == 2

    def test_new_root_keys_alone_do_not_serve_it(self, kept: Kept, staged: Path) -> None:
        """The root before must agree with its own threshold: signatures of new keys do not count for that."""
        assert sign_file(staged, kept.signer("root-4")).complete is False
        assert staged.exists()
        assert kept.root.version == 1

    @pytest.mark.parametrize("name", ["targets", "blocks", "online", "acme"])
    def test_a_key_of_another_role(self, kept: Kept, staged: Path, name: str) -> None:
        """Is refused, and the file stays as it is."""
        before = staged.read_bytes()
        with pytest.raises(ConfigError, match="is not a key of role root"):
            sign_file(staged, kept.signer(name))
        assert staged.read_bytes() == before

    def test_what_is_served_is_not_changed(self, kept: Kept) -> None:
        """Hosts know these files by digest: one more signature would break them. The hint has the way."""
        before = kept.fingerprint()
        for role, key in (("targets", "targets"), ("blocks", "blocks")):
            path = kept.folder / "metadata" / f"{latest_version(DirTree(kept.folder), role)}.{role}.json"
            with pytest.raises(ConfigError, match="is served already") as caught:
                sign_file(path, kept.signer(key))
            assert "renew" in caught.value.hint
        for name in ("timestamp.json", "1.snapshot.json", "1.registrar.json"):
            with pytest.raises(ConfigError, match="is not named as metadata that people sign"):
                sign_file(kept.folder / "metadata" / name, kept.signer("online"))
        assert kept.fingerprint() == before

    def test_another_role_under_that_name(self, kept: Kept, staged: Path) -> None:
        """The type inside must be that of the name."""
        other = staged.with_name("9.root.json")
        other.write_bytes((kept.folder / "metadata" / "1.targets.json").read_bytes())
        with pytest.raises(RegistryError, match="not of role root"):
            sign_file(other, kept.signer("root-1"))
