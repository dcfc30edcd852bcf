"""What must not be published is recognised by name, place and content; what only looks like it is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from publisher.built_file import read_built
from publisher.cli.main import main
from publisher.secret_files import secret_problem
from registry_client.errors import PublishError

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"-----BEGIN " + b"PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("path", "data", "message"),
    [
        *((name, b"", "holds secrets by convention") for name in (
            ".env", ".ENV", "config/.env.production", ".envrc", ".netrc", "_netrc", ".pypirc", ".git-credentials",
            ".pgpass", ".htpasswd", "keys/id_rsa", "id_ed25519", "cert.P12", "a.pfx", "release.keystore", "vault.kdbx",
            "putty.ppk", ".aws/credentials", "home/.docker/config.json",
        )),
        ("key.txt", b"x\n" + KEY, "holds a private key"),
        ("key.txt", b"-----BEGIN OPENSSH " + b"PRIVATE KEY-----", "holds a private key"),
        ("key.txt", b"PuTTY-User-Key-File-3: ssh-ed25519", "holds a private key"),
        (".npmrc", b"//r.example/:_authToken=npm_abc\n", "holds a token"),
        ("ui/.npmrc", b"a=b\n_auth = eDp5\n", "holds a token"),
        (".yarnrc.yml", b'npmAuthToken: "abc"\n', "holds a token"),
        (".npmrc", b"//r.example/:_authToken=${NPM_TOKEN}\nsave-exact=true\n", None),
        (".npmrc", b"# _authToken=abc\nregistry=https://r.example\n", None),
        (".npmrc", b"_authToken=\nregistry=https://r.example\n", None),
        (".yarnrc.yml", b'npmAuthToken: "${TOKEN}"\n', None),
        ("notes.txt", b"_authToken=abc", None),
        *((name, b"", None) for name in (
            ".env.example", "env", "environment", "id_rsa.pub", "credentials", "config.json", "keystore", "netrc.py",
        )),
        ("pub.pem", b"-----BEGIN PUBLIC KEY-----", None),
    ],
)  # fmt: skip
def test_secret_problem(path: str, data: bytes, message: str | None) -> None:
    """The reason names the path, and shows nothing of what is inside."""
    found = secret_problem(path, data)
    if message is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(f"{path}: {message}")
        assert not data or data.decode() not in found


@pytest.mark.parametrize(
    ("name", "data"), [("release.keystore", b"A=1"), ("server.pem", b"\n" + KEY + b"\nx")]
)
def test_a_file_that_was_built_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes
) -> None:
    """What `path` names is published as it is, so it is refused as when packing; `check` says so before."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PublishError, match="secrets must not be packed"):
        read_built(tmp_path, name)
    manifest = {
        "id": "x",
        "name": "X",
        "version": "1.0.0",
        "artifacts": [{"ecosystem": "custom", "path": name}],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert main(["check", str(tmp_path)]) == 4
    assert "secrets must not be packed" in capsys.readouterr().err


def test_code_that_reads_keys_is_no_key(tmp_path: Path) -> None:
    """A bundle may hold the words: it is published as it was built."""
    (tmp_path / "plugin.js").write_bytes(b"const head = `" + KEY + b"`")
    assert read_built(tmp_path, "plugin.js")[0] == "plugin.js"


def test_a_loop_of_links_is_an_error_of_ours(tmp_path: Path) -> None:
    """Not a traceback."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PublishError, match="a: "):
        read_built(tmp_path, "a")
