"""Everything that is wrong with a manifest or a source, at once. Writes nothing."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from packaging.requirements import InvalidRequirement, Requirement
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from publisher import wordpress
from publisher.adapters import Folder
from publisher.built_file import inside, read_built
from publisher.pack import PackError, artifact_name, pack, packed_files
from publisher.python_dist import project_problem
from publisher.schemas import DIALECT, validate_against
from publisher.source import (
    FIRST_VERSION,
    Source,
    build_manifest,
    load_source,
    merge,
    model_problems,
    problems_of_source,
    read_source,
)
from publisher.wording import problems_in, show
from registry_client.errors import ManifestError, Problem, PublishError
from registry_client.jsontext import dump_json
from registry_client.models.base import json_path
from registry_client.models.manifest import MANIFEST_LIMIT, Manifest
from registry_client.names import check_plugin_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry_client.signed import Parsed

_PLACEHOLDER_SIGNATURE = {"keyid": "0" * 64, "sig": "00"}
_IN_TREE = re.compile(r"artifacts/sha256/([0-9a-f]{64})/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]{0,199}")
# Below these members stand values, not schemas.
_DATA = frozenset({"const", "enum", "default", "examples"})
_BY_NAME = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_README = re.compile(r"readme(\.[a-z]+)?", re.IGNORECASE)


def check_manifest(raw: dict[str, Any], where: str, *, signed: bool) -> list[Problem]:
    """Everything that is wrong with a manifest, apart from whether its signatures are genuine.

    Args:
        raw: the JSON object as parsed.
        where: path or URL, for messages.
        signed: whether `signatures` belong to it; otherwise they are not looked at.
    """
    whole = raw if signed else {**raw, "signatures": [_PLACEHOLDER_SIGNATURE]}
    problems = merge(
        validate_against("manifest", whole, where), model_problems(Manifest, whole), list(_semantics(raw))
    )
    size = len(dump_json(raw))
    if size > MANIFEST_LIMIT:
        problems.append(Problem("$", f"{size} bytes as written; at most {MANIFEST_LIMIT} are allowed"))
    return problems


def check_parsed(document: Parsed[Manifest]) -> list[Problem]:
    """Everything that is wrong with a signed manifest that the model has accepted, whose size was looked at when it was parsed."""
    return merge(validate_against("manifest", document.raw, document.where), list(_semantics(document.raw)))


def check_source(path: Path) -> list[Problem]:
    """Everything that is wrong with a plugin's source manifest and with the files that it would publish.

    Raises:
        ConfigError: there is no source manifest, or it cannot be read.
    """
    try:
        read = read_source(path)
    except ManifestError as e:
        return list(e.problems)
    raw, folder = read.raw, read.path.parent
    problems = merge(
        problems_of_source(read), list(_semantics(raw)), _files(raw, folder), _pictures(raw, folder)
    )
    return problems or _as_published(load_source(read.path))


def hints_for(source: Source) -> list[str]:
    """What an author may want to add: nothing here keeps a plugin from being published."""
    hints = [
        f"no {member}: people look for one before they install"
        for member in ("description", "license", "repository")
        if member not in source.raw
    ]
    if not any(_README.fullmatch(entry.name) for entry in source.folder.iterdir()):
        hints.append("no README: say what the plugin does and how it is set up")
    return hints


def _as_published(source: Source) -> list[Problem]:
    """What would be wrong with the manifest that is made of a source, digests aside."""
    artifacts = [
        {
            "ecosystem": entry.ecosystem,
            "url": entry.url if entry.digest and entry.url else f"artifacts/sha256/{'0' * 64}/artifact",
            "digest": entry.digest or f"sha256:{'0' * 64}",
            "size": entry.size or 1,
            **({"mediaType": entry.media_type} if entry.media_type else {}),
        }
        for entry in source.model.artifacts or ()
    ]
    manifest = build_manifest(source, version=source.model.version, artifacts=artifacts)
    return check_manifest(manifest, str(source.path), signed=False)


def _files(raw: dict[str, Any], folder: Path) -> list[Problem]:
    """What keeps the files of a source from being packed or read. The rest of the source may be wrong."""
    problems: list[Problem] = []
    names: dict[str, int] = {}
    for number, entry in enumerate(_objects(raw.get("artifacts"))):
        for member in ("pack", "path", "build"):
            value = entry.get(member)
            if not isinstance(value, str):
                continue
            at = f"$.artifacts[{number}].{member}"
            try:
                name = _try_file(raw, folder, entry, member)
            except PackError as e:
                problems += [Problem(at, f"{value}: {problem}") for problem in e.problems]
            except PublishError as e:
                problems.append(Problem(at, e.message))
            else:
                first = names.setdefault(name.lower(), number)
                if first != number:
                    problems.append(Problem(at, f"gives a file named {name}, as $.artifacts[{first}] does"))
    return problems


def _try_file(raw: dict[str, Any], folder: Path, entry: dict[str, Any], member: str) -> str:
    """Pack in memory, or read, and give the file's name. Nothing is built: that runs the project's code."""
    if member == "path":
        return read_built(folder, entry["path"])[0]
    if member == "build":
        problem = project_problem(folder)
        if problem:
            raise PublishError(problem)
        return f"<project>{'.whl' if entry['build'] == 'wheel' else '.tar.gz'}"
    full = inside(folder, entry["pack"])
    if not full.is_dir():
        raise PublishError(f"{entry['pack']}: no such folder below {folder}")
    try:
        plugin_id = check_plugin_id(str(raw.get("id")))
    except ValueError:
        plugin_id = "plugin"  # reported already; the files are looked at all the same
    pack(full, id=plugin_id, version=FIRST_VERSION)
    if entry.get("ecosystem") == "wordpress":
        wordpress.with_version(full, packed_files(full), FIRST_VERSION)
    several = sum("pack" in other for other in _objects(raw.get("artifacts"))) > 1
    return artifact_name(plugin_id, FIRST_VERSION, suffix=str(entry.get("ecosystem")) if several else "")


def _pictures(raw: dict[str, Any], folder: Path) -> list[Problem]:
    """Files that `packaged` names and that are not there."""
    packaged, problems = _object(raw.get("packaged")), []
    shots = packaged.get("screenshots")
    named = [("$.packaged.icon", packaged.get("icon"))]
    named += [
        (f"$.packaged.screenshots[{n}]", item)
        for n, item in enumerate(shots if isinstance(shots, list) else ())
    ]
    for at, path in named:
        if isinstance(path, str) and not Folder(folder).exists(path):
            problems.append(Problem(at, f"{show(path)} is no file of the plugin"))
    return problems


def _semantics(raw: dict[str, Any]) -> Iterator[Problem]:
    """What schema and model cannot say. Members of the wrong type are theirs to report."""
    for section, member in (("ui", "remoteEntry"), ("server", "deploymentUrl")):
        url = _object(raw.get(section)).get(member)
        if isinstance(url, str) and url.startswith("http:") and not _is_loopback(url):
            message = f"expected https://, found {show(url)}; plain http:// is for this machine only"
            yield Problem(f"$.{section}.{member}", message)
    yield from _artifact_places(raw)
    yield from _widgets(raw)
    yield from _requirements(raw)
    if isinstance(raw.get("configuration"), dict):
        yield from _configuration(raw["configuration"])


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _artifact_places(raw: dict[str, Any]) -> Iterator[Problem]:
    for number, entry in enumerate(_objects(raw.get("artifacts"))):
        url, digest = entry.get("url"), entry.get("digest")
        if not isinstance(url, str) or not isinstance(digest, str) or ":" in url:
            continue
        match = _IN_TREE.fullmatch(url)
        if match is None or f"sha256:{match[1]}" != digest:
            expected = f"artifacts/sha256/{digest.removeprefix('sha256:')[:64]}/<name>"
            yield Problem(
                f"$.artifacts[{number}].url",
                f"expected {expected} for a file kept in the registry, found {show(url)}",
            )


def _widgets(raw: dict[str, Any]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, widget in enumerate(_objects(_object(raw.get("ui")).get("widgets"))):
        name = widget.get("id")
        if isinstance(name, str) and seen.setdefault(name, number) != number:
            yield Problem(
                f"$.ui.widgets[{number}].id", f"{show(name)} is the id of $.ui.widgets[{seen[name]}] already"
            )


def _requirements(raw: dict[str, Any]) -> Iterator[Problem]:
    requires = _object(raw.get("requires"))
    packages = requires.get("packages")
    for number, text in enumerate(packages if isinstance(packages, list) else ()):
        try:
            Requirement(text if isinstance(text, str) else "valid")
        except InvalidRequirement:
            expected = "expected a PEP 508 requirement such as 'httpx>=0.27'"
            yield Problem(f"$.requires.packages[{number}]", f"{expected}, found {show(text)}")
    own = raw.get("id")
    if isinstance(own, str) and own in _object(requires.get("plugins")):
        yield Problem(json_path(("requires", "plugins", own)), "a plugin cannot require itself")


def _configuration(schema: dict[str, Any]) -> Iterator[Problem]:
    """Whether the settings' schema is one, and refers to itself only."""
    dialect = schema.get("$schema", DIALECT)
    if not isinstance(dialect, str) or dialect not in {DIALECT, f"{DIALECT}#"}:
        yield Problem("$.configuration['$schema']", f"expected {DIALECT}, found {show(dialect)}")
        return
    # The library holds the dialect's own schemas, the only ones that this one refers to.
    meta = Draft202012Validator(
        Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    found = problems_in(meta.iter_errors(schema))
    yield from (Problem(f"$.configuration{problem.path[1:]}", problem.message) for problem in found)
    if not found:
        yield from _references(schema)


def _references(schema: dict[str, Any]) -> Iterator[Problem]:
    """References that lead out of the schema, or nowhere."""
    root = {name: value for name, value in schema.items() if name != "$id"}
    resolver = Registry[Any]().with_resource("", DRAFT202012.create_resource(root)).resolver()
    for path, reference in _find_references(schema, ("configuration",)):
        at = json_path(path)
        if not reference.startswith("#"):
            yield Problem(
                at, f"expected a reference inside this schema ('#/$defs/…'), found {show(reference)}"
            )
            continue
        try:
            resolver.lookup(reference)
        except (
            Unresolvable,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
        ):  # the library trips over odd pointers
            yield Problem(at, f"{show(reference)} refers to nothing in this schema")


def _find_references(node: Any, path: tuple[int | str, ...]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    if isinstance(node, list):
        for number, item in enumerate(node):
            yield from _find_references(item, (*path, number))
    elif isinstance(node, dict):
        for name, member in node.items():
            here = (*path, name)
            if name in {"$ref", "$dynamicRef"} and isinstance(member, str):
                yield here, member
            elif name in _BY_NAME and isinstance(member, dict):
                for key, child in member.items():
                    yield from _find_references(child, (*here, key))
            elif name not in _DATA:
                yield from _find_references(member, here)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [_object(item) for item in value] if isinstance(value, list) else []


__all__ = ["check_manifest", "check_parsed", "check_source", "hints_for"]
