"""`publisher registry init`: a registry repository, ready to push, with its keys outside of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from securesystemslib.signer import CryptoSigner

from publisher.dev_keys import NAMES, dev_key_pem
from publisher.maintain.templates import GITATTRIBUTES, owners_readme
from publisher.maintain.workflows import build_workflows
from publisher.registrar.run import Options, register
from publisher.schemas import build_schemas, validate_against
from publisher.signing import generate_key, load_signer, public_key_object, write_private_key
from publisher.tree import MemoryTree, Overlay, write_changes
from publisher.tuf_repository import DEFAULT_DAYS, ONLINE, TufRepository, add_target, delegations
from registry_client.digest import Digest
from registry_client.errors import ConfigError, DocumentError
from registry_client.jsontext import dump_json
from registry_client.urls import check_base_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from securesystemslib.signer import Signer, SSlibKey

DEV_DAYS = dict.fromkeys(DEFAULT_DAYS, 3650)


@dataclass(frozen=True)
class Keys:
    """The signers of a new registry.

    Attributes:
        root: root keys, in the order in which they are named.
        targets: the maintainers' offline key.
        blocks: the key of the maintainer on call.
        online: the registrar's key.
    """

    root: tuple[Signer, ...]
    targets: Signer
    blocks: Signer
    online: Signer

    @property
    def all(self) -> tuple[Signer, ...]:
        """Every signer."""
        return (*self.root, self.targets, self.blocks, self.online)


@dataclass(frozen=True)
class NewRegistry:
    """What a registry is to be.

    Attributes:
        base_url: the URL below which its tree will be served.
        registry: its id, which release documents name.
        name: what people call it.
        threshold: how many root keys must sign a new root.
        in_tree: whether it keeps artifacts itself.
        mirrors: other URLs with the same tree.
        days: for how many days each role is signed.
    """

    base_url: str
    registry: str
    name: str
    threshold: int = 2
    in_tree: bool = False
    mirrors: tuple[str, ...] = ()
    days: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_DAYS))


def default_id(base_url: str) -> str:
    """A registry id out of its base URL: host and path."""
    parts = urlsplit(check_base_url(base_url))
    return f"{parts.hostname}{parts.path}".rstrip("/")[:100]


def check_new(new: NewRegistry, roots: int) -> None:
    """Refuse what cannot become a registry, before any key is made.

    Args:
        new: what it is to be.
        roots: how many root keys it is to have.

    Raises:
        ConfigError: the threshold is out of range, or a URL cannot be used. DocumentError: the id or the name cannot.
    """
    if not 1 <= new.threshold <= roots:
        raise ConfigError(
            f"a threshold of {new.threshold} is not possible with {roots} root keys",
            hint="Give more --root-keys, or a lower --threshold.",
        )
    problems = validate_against("policy", policy_document(new), "policy.json")
    if problems:
        raise DocumentError(
            "policy.json", problems, hint="Give another --id, --name, --base-url or --mirror."
        )


def make_keys(folder: Path, roots: int, passphrase: str | None) -> dict[str, Path]:
    """Generate a registry's keys, each in a file of its own that only its owner can read.

    Args:
        folder: made if missing.
        roots: how many root keys.
        passphrase: encrypts them; None leaves them plain.

    Returns:
        Path of the private key by name (`root-1` … `online`).

    Raises:
        ConfigError: one of the files exists already, and nothing was written.
    """
    names = [*(f"root-{number}" for number in range(1, roots + 1)), "targets", "blocks", "online"]
    paths = {name: folder / f"{name}.pem" for name in names}
    taken = [str(path) for path in paths.values() if path.exists()]
    if taken:
        raise ConfigError(
            f"{taken[0]}: exists already; keys are never overwritten", hint="Give another --keys folder."
        )
    for path in paths.values():
        pem, _ = generate_key(passphrase)
        write_private_key(path, pem)
    return paths


def load_keys(paths: Mapping[str, Path], passphrase: str | None) -> Keys:
    """The signers of keys that `make_keys` wrote."""
    environ = {"PLUGIN_REGISTRY_KEY_PASSPHRASE": passphrase} if passphrase else {}
    signers = {name: load_signer(f"file:{path}", environ=environ) for name, path in paths.items()}
    roots = tuple(signer for name, signer in sorted(signers.items()) if name.startswith("root-"))
    return Keys(roots, signers["targets"], signers["blocks"], signers["online"])


def dev_keys() -> Keys:
    """The development keys."""
    signers = {name: dev_signer(name) for name in NAMES}
    roots = tuple(signers[f"root-{number}"] for number in (1, 2, 3))
    return Keys(roots, signers["targets"], signers["blocks"], signers["online"])


def dev_signer(name: str) -> CryptoSigner:
    """The signer of one development key."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    return CryptoSigner(load_pem_private_key(dev_key_pem(name), None))


def build_registry(
    new: NewRegistry, keys: Keys, now: datetime, *, allow_dev_keys: bool = False
) -> dict[str, bytes]:
    """Every file of a new, empty registry.

    Raises:
        ConfigError: the base URL or the id cannot be used, or the threshold is out of range.
    """
    check_new(new, len(keys.root))
    tree = Overlay(MemoryTree({}))
    tree.write(".gitattributes", GITATTRIBUTES)
    readme = owners_readme(
        name=new.name, base_url=new.base_url, registry=new.registry, threshold=new.threshold
    )
    tree.write("README.md", readme)
    for name, data in build_schemas().items():
        tree.write(f"schema/{name}", data)
    _sign_offline(tree, new, keys, now)
    root = tree.read("metadata/1.root.json") or b""
    options = Options(root, [keys.online], allow_dev_keys=allow_dev_keys)
    memory = MemoryTree({path: data for path, data in tree.changes.items() if data is not None})
    run = register(memory, (), options, now)
    return {**memory.files, **{path: data for path, data in run.changes.items() if data is not None}}


def _sign_offline(tree: Overlay, new: NewRegistry, keys: Keys, now: datetime) -> None:
    """Root, targets with policy.json, and blocks with an empty blocks.json."""
    repository = TufRepository(tree, keys.all, now, dict(new.days))
    with repository.edit_root() as root:
        root.consistent_snapshot = True
        for signer in keys.root:
            root.add_key(_public(signer), "root")
        root.roles["root"].threshold = new.threshold
        root.add_key(_public(keys.targets), "targets")
        root.add_key(_public(keys.online), "snapshot")
        root.add_key(_public(keys.online), "timestamp")
    with repository.edit_targets() as targets:
        targets.delegations = delegations([_public(keys.blocks)], [_public(keys.online)])
        policy = dump_json(policy_document(new))
        tree.write(add_target(targets, "policy.json", policy), policy)
        tree.write("policy.json", policy)
    with repository.edit_targets("blocks") as role:
        blocks = dump_json({"kind": "blocks", "schemaVersion": 1, "blocks": []})
        tree.write(add_target(role, "blocks.json", blocks), blocks)
        tree.write("blocks.json", blocks)


def _public(signer: Signer) -> SSlibKey:
    key: Any = signer.public_key
    return key  # type: ignore[no-any-return]


def policy_document(new: NewRegistry) -> dict[str, Any]:
    """policy.json of a new registry."""
    return {
        "kind": "policy",
        "schemaVersion": 1,
        "registry": new.registry,
        "name": new.name,
        "baseUrl": check_base_url(new.base_url),
        "mirrors": [check_base_url(url) for url in new.mirrors],
        "expiryDays": {role: new.days[role] for role in ONLINE},
        "artifacts": {"inTree": new.in_tree},
    }


def dev_key_files() -> dict[str, bytes]:
    """The development keys as files, which stand in the registry for everyone to see."""
    files = {f"dev-keys/{name}.pem": dev_key_pem(name) for name in NAMES}
    public = dev_signer("publisher").public_key
    key_file = {"keyid": public.keyid, "key": public_key_object(public)}
    return {**files, "dev-keys/publisher.pem.pub.json": dump_json(key_file)}


def root_digest(files: Mapping[str, bytes]) -> Digest:
    """What CI pins as the root of trust."""
    return Digest.of(files["metadata/1.root.json"])


def refuse_existing(folder: Path) -> None:
    """Refuse a folder that is a registry already.

    Raises:
        ConfigError: it is.
    """
    if (folder / "metadata" / "1.root.json").exists():
        raise ConfigError(f"{folder}: is a registry already", hint="Choose another folder.")


def write_registry(folder: Path, files: Mapping[str, bytes], *, keep: frozenset[str] = frozenset()) -> None:
    """Write a new registry into a folder that is not one yet.

    Args:
        folder: made if missing.
        files: what `build_registry` gave.
        keep: files that are left as they are if they exist, such as README.md.

    Raises:
        ConfigError: the folder holds a registry already.
    """
    refuse_existing(folder)
    write_changes(
        folder,
        {path: data for path, data in files.items() if not (path in keep and (folder / path).exists())},
    )


def add_workflows(folder: Path, version: str) -> None:
    """Write the workflows of a registry's repository into it, but for files that are there already.

    Args:
        folder: the registry's.
        version: which version of this project they install.

    Raises:
        ConfigError: a file cannot be written.
    """
    new = {path: data for path, data in build_workflows(version).items() if not (folder / path).exists()}
    write_changes(folder, new)


def public_keys_summary(keys: Keys) -> dict[str, str]:
    """Names and keyids, for people to note down."""
    names = [*(f"root-{number}" for number in range(1, len(keys.root) + 1)), "targets", "blocks", "online"]
    return {name: signer.public_key.keyid for name, signer in zip(names, keys.all, strict=True)}
