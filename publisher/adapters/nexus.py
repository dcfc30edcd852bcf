"""The Nexus manifest, `manifest.json`: flat, with typed settings, or rich, with settings in files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher.adapters import members, needs
from publisher.adapters.configuration import is_foreign, put_configuration
from publisher.adapters.draft import Converted, Draft, identify, title
from publisher.adapters.edit import json_with_version
from publisher.adapters.placeholders import filled
from publisher.adapters.requirements import read_requirements
from publisher.adapters.values import platforms, put_author, put_license, put_url, put_version

if TYPE_CHECKING:
    from publisher.adapters.files import SourceFiles

NAME = "Nexus manifest"
_OWN = frozenset({
    *("display_name", "title", "tags", "email", "dependencies", "compatibility", "health_check", "api_endpoints"),
    *("python_version", "nexus_version", "min_nexus_version", "max_nexus_version"),
})  # fmt: skip
_KNOWN = _OWN | {
    *(
        "id",
        "name",
        "version",
        "description",
        "category",
        "keywords",
        "changelog",
        "author",
        "author_url",
        "license",
    ),
    *(
        "homepage",
        "repository",
        "documentation",
        "docs",
        "icon",
        "screenshots",
        "permissions",
        "configuration",
    ),
    *("config", "api", "events", "ui", "features", "platforms", "server"),
}
_SERVER = ("routeBase", "deploymentUrl", "healthCheck", "healthCheckInterval", "healthCheckTimeout")


def marks(raw: dict[str, Any]) -> list[str]:
    """What in a manifest only this form has."""
    found = [name for name in raw if name in _OWN]
    api, ui, repository = (_object(raw.get(name)) for name in ("api", "ui", "repository"))
    found += ["api.rate_limit"] if "rate_limit" in api else []
    found += [f"ui.{name}" for name in ("enabled", "dashboard_widgets", "remote_entry") if name in ui]
    found += ["repository.url"] if "url" in repository else []
    return found + (["configuration"] if is_foreign(raw.get("configuration")) else [])


def convert(files: SourceFiles, path: str, text: str, raw: dict[str, Any], *, repository: str) -> Converted:
    """The registry's manifest out of this one.

    Args:
        files: the plugin's folder, for files that the manifest names.
        path: the manifest's path in it.
        text: its text.
        raw: the JSON object in it.
        repository: the repository's name, for an id and for placeholders.
    """
    draft = Draft()
    carry(draft, files, filled(draft, raw, repository), repository=repository)
    return draft.converted(lambda version: {path: json_with_version(text, version)})


def carry(
    draft: Draft,
    files: SourceFiles,
    raw: dict[str, Any],
    *,
    repository: str,
    known: frozenset[str] = frozenset(),
) -> None:
    """Carry over everything that a manifest of this kind says.

    Args:
        draft: where to.
        files: the plugin's folder.
        raw: the manifest.
        repository: the repository's name.
        known: members that the caller takes care of.
    """
    identify(
        draft, [("$.id", raw.get("id")), ("$.name", raw.get("name")), ("the repository's name", repository)]
    )
    title(
        draft,
        [(f"$.{name}", raw.get(name)) for name in ("display_name", "title", "name")] + [("", repository)],
    )
    put_version(draft, raw.get("version"), "$.version")
    members.put_words(draft, raw, "$")
    put_author(draft, raw.get("author"), "$.author", email=raw.get("email"), url=raw.get("author_url"))
    put_license(draft, raw.get("license"), "$.license")
    for old, new in (
        *((name, name) for name in ("homepage", "repository", "documentation")),
        ("docs", "documentation"),
    ):
        put_url(draft, new, raw.get(old), f"$.{old}")
    members.put_pictures(draft, files, raw, "$")
    _put_needs(draft, files, raw)
    needs.put_permissions(draft, raw.get("permissions"), "$.permissions")
    for name in ("configuration", "config"):
        put_configuration(draft, files, raw.get(name), f"$.{name}")
    members.put_ui(draft, raw.get("ui"), "$.ui")
    members.put_api(draft, raw.get("api"), raw.get("api_endpoints"), "$.api", "$.api_endpoints")
    members.put_events(draft, raw.get("events"), "$.events")
    members.put_features(draft, raw.get("features"), "$.features")
    draft.put(
        "server", {name: value for name, value in _object(raw.get("server")).items() if name in _SERVER}
    )
    members.put_health_check(
        draft, raw.get("health_check"), draft.raw.get("api", {}).get("prefix"), "$.health_check"
    )
    draft.put("artifacts", [{"ecosystem": "python", "pack": "."}])
    draft.leave_out(_object(raw.get("server")), _SERVER, "$.server", "manifest")
    hosts = {name for name in raw if name.endswith("_version")}
    draft.leave_out(raw, _KNOWN | known | hosts, "$", "manifest")


def _put_needs(draft: Draft, files: SourceFiles, raw: dict[str, Any]) -> None:
    needed = needs.Requirements(draft)
    needs.put_host_versions(needed, raw, "$")
    needs.put_dependencies(needed, raw.get("dependencies"), "$.dependencies")
    needs.put_compatibility(needed, raw.get("compatibility"), "$.compatibility")
    needed.platforms += platforms(draft, raw.get("platforms"), "$.platforms")
    needed.packages |= dict.fromkeys(read_requirements(draft, files))
    needed.finish()


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


__all__ = ["NAME", "carry", "convert", "marks"]
