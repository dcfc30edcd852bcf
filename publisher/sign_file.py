"""`publisher sign FILE`: add one signature to a document or to TUF metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.documents import sign_document
from publisher.tree import DirTree, Overlay, write_changes
from publisher.tuf_repository import (
    OFFLINE,
    STAGING,
    add_signature,
    delegators_of,
    dump_metadata,
    is_complete,
    keyids_for,
    metadata_path,
    parse_metadata,
    promote,
)
from registry_client.errors import ConfigError
from registry_client.jsontext import MIB, dump_json, parse_json
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from securesystemslib.signer import Signer

_SIGNABLE = ("manifest", "release")
_FILE_NAME = re.compile(rf"[1-9][0-9]*\.({'|'.join(OFFLINE)})\.json")


@dataclass(frozen=True)
class Signed:
    """What a signature came to.

    Attributes:
        path: the file, where it stands now.
        signatures: how many it carries.
        complete: whether it meets its thresholds; None where this cannot be told from the file alone.
    """

    path: Path
    signatures: int
    complete: bool | None


def sign_file(path: Path, signer: Signer) -> Signed:
    """Add one signature to a manifest, a release document or TUF metadata.

    Metadata below `staging/` moves to `metadata/` when its thresholds are met, and with it what waited for its keys.

    Raises:
        ConfigError: not a file that is signed. DocumentError: not strict JSON.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read ({e.strerror})") from e
    raw = parse_json(data, limit=MIB, where=str(path))
    if "signed" in raw:
        return _sign_metadata(path, data, signer)
    if raw.get("kind") not in _SIGNABLE:
        raise ConfigError(
            f"{path}: is neither a manifest, a release document nor TUF metadata",
            hint="Policy, publishers and blocks are signed through TUF: 'publisher registry policy'.",
        )
    signed = sign_document(raw, [signer])
    _write(path, dump_json(signed))
    return Signed(path, len(signed["signatures"]), None)


def _sign_metadata(path: Path, data: bytes, signer: Signer) -> Signed:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise ConfigError(
            f"{path}: is not named as metadata that people sign",
            hint="Names are N.root.json, N.targets.json and N.blocks.json.",
        )
    role = match[1]
    metadata = parse_metadata(data, role, str(path))
    path = path.resolve()
    folder = path.parent.parent
    tree = Overlay(DirTree(folder))
    if path.parent.name != STAGING and role != "root":
        raise ConfigError(
            f"{path}: is served already, and the metadata above it names its digest",
            hint="To sign it again: 'publisher registry renew --force --role ROLE'.",
        )
    keyid = signer.public_key.keyid
    if keyid not in keyids_for(tree, role, metadata):
        raise ConfigError(
            f"{path}: key {keyid[:16]}… is not a key of role {role}",
            hint="Use one of the keys that the root or targets name.",
        )
    add_signature(metadata, signer)
    complete = is_complete(role, metadata, delegators_of(tree, role, metadata))
    out = path
    if path.parent.name == STAGING:
        tree.write(f"{STAGING}/{path.name}", dump_metadata(role, metadata))
        if promote(tree, role):
            out = folder / metadata_path(role, metadata.signed.version)
        write_changes(folder, tree.changes)
    else:
        _write(out, dump_metadata(role, metadata))
    return Signed(out, len(metadata.signatures), complete)


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomic(path, data)
    except OSError as e:
        raise ConfigError(f"{path}: cannot be written ({e.strerror})") from e
