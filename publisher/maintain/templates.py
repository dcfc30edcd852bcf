"""Files that a new registry starts with."""

from __future__ import annotations

GITATTRIBUTES = b"""# Signed bytes stay as they are: no line-ending conversion, no filters, no ident.
* -text -filter -ident
"""

_README = """# {name}

A plugin registry: signed JSON files in a Git repository. Nothing here is edited by hand; the generated files say so below.

| path | what it is | who writes it |
|---|---|---|
| `registry.json`, `plugins/<id>.json` | the catalogue, and the manifest that each of its lines names | the registrar |
| `plugins/<id>/<version>/` | manifests and releases, signed by their publishers | the registrar, from `publish/*` branches |
| `policy.json`, `publishers/`, `blocks.json` | who may publish what; what is blocked | the maintainers |
| `metadata/`, `targets/` | TUF metadata and hash-named copies | the registrar and the maintainers |
| `schema/` | JSON Schemas of the documents | `publisher registry schema` |

## Reading

Give the people who run hosts the file `metadata/1.root.json` over a channel they trust, and this URL:

    plugin --registry {base_url} --root 1.root.json search

## Maintaining

Keys are kept outside this repository, each root key with another person. Every change below is made in a clone, then committed and pushed;
the registrar does the rest.

    publisher registry policy add-publisher . ID --name NAME --key-file PUBLIC.json --plugin 'ID-*' --key TARGETS_KEY
    publisher registry policy block . PLUGIN --versions '<1.2' --action disable --reason WHY --key BLOCKS_KEY
    publisher registry register . --key ONLINE_KEY
    publisher registry renew . --key KEY
    publisher registry rotate . ROLE --add NEW.json --key KEY
    publisher registry audit .

The registry's id is `{registry}`. A new root needs {threshold} signatures of root keys.
"""


def owners_readme(*, name: str, base_url: str, registry: str, threshold: int) -> bytes:
    """A README for the people who own the registry."""
    return _README.format(name=name, base_url=base_url, registry=registry, threshold=threshold).encode()
