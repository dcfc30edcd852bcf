"""The Nexidra manifest: `plugin.json`, with the permissions in `permissions.json` beside it.

It has the members of a Nexus manifest. A registry's entry (checksum, signature, verified) is accepted as well: what it
says about the packed file is left to signing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from publisher.adapters import needs, nexus
from publisher.adapters.draft import Converted, Draft
from publisher.adapters.edit import json_with_version
from publisher.adapters.files import read_text
from publisher.adapters.placeholders import filled
from registry_client.errors import ConfigError, DocumentError
from registry_client.jsontext import parse_json
from registry_client.models.manifest import MANIFEST_LIMIT

if TYPE_CHECKING:
    from publisher.adapters.files import SourceFiles

NAME = "Nexidra manifest"
FILE = "plugin.json"
PERMISSIONS = "permissions.json"
_SIGNED = frozenset({"checksum", "signature", "verified"})


def marks(raw: dict[str, Any]) -> list[str]:
    """What in a manifest only this form has."""
    return [name for name in raw if name in _SIGNED]


def convert(files: SourceFiles, path: str, text: str, raw: dict[str, Any], *, repository: str) -> Converted:
    """The registry's manifest out of this one.

    Args:
        files: the plugin's folder.
        path: the manifest's path in it.
        text: its text.
        raw: the JSON object in it.
        repository: the repository's name, for an id and for placeholders.
    """
    draft = Draft()
    nexus.carry(draft, files, filled(draft, raw, repository), repository=repository, known=_SIGNED)
    for name in marks(raw):
        draft.note(
            f"$.{name}", "left out: publishing signs the manifest, which names the packed file's digest"
        )
    if files.exists(PERMISSIONS):
        _put_permissions(draft, files)
    return draft.converted(lambda version: {path: json_with_version(text, version)})


def _put_permissions(draft: Draft, files: SourceFiles) -> None:
    """`permissions.json`: an object, or a list, which is wrapped so that the strict parser takes it."""
    try:
        text = read_text(files, PERMISSIONS, MANIFEST_LIMIT)
        wrapped = f'{{"permissions": {text}}}'.encode()
        found = parse_json(
            wrapped, limit=MANIFEST_LIMIT + len(wrapped) - len(text.encode()), where=PERMISSIONS
        )
    except ConfigError as e:
        draft.problem(PERMISSIONS, e.message)
    except DocumentError as e:
        draft.problem(PERMISSIONS, str(e.problems[0]))
    else:
        if list(found) == ["permissions"]:
            needs.put_permissions(draft, found["permissions"], PERMISSIONS)
        else:
            draft.problem(PERMISSIONS, f"is no list or object: {json.dumps(list(found))[:80]}")


__all__ = ["FILE", "NAME", "PERMISSIONS", "convert", "marks"]
