"""What a plugin needs and asks for: hosts, other plugins, packages, platforms, permissions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from publisher.adapters.draft import Draft, below, make_id, misfit, show
from publisher.adapters.requirements import packages_of
from publisher.adapters.values import ANY, both, bound, normal_range, platforms, take_range, texts
from registry_client.models.base import Name, ShortText

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLUGIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9 ._-]*?)\s*((?:[<>=!~^].*)?)")
_HOST_LIMIT = re.compile(r"(min|max)_([a-z][a-z0-9_]{0,40}?)_version")
_HOST_RANGE = re.compile(r"([a-z][a-z0-9_]{0,40}?)_version")
_DEPENDENCIES = ("nexus", "python", "packages", "plugins", "system")
_MAX_PLUGIN = 500


class Requirements:
    """What a plugin needs, gathered from several members.

    Args:
        draft: where problems go, and at last `requires`.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.hosts: dict[str, str] = {}
        self.python: str | None = None
        self.plugins: dict[str, str] = {}
        self.packages: dict[str, None] = {}
        self.platforms: list[str] = []
        self.system: list[str] = []

    def host(self, name: str, range_text: str | None) -> None:
        """Add a range of a host's versions, or of Python's."""
        if name == "python":
            self.python = both(self.python, range_text)
            return
        found = both(self.hosts.get(name), range_text)
        if found is not None:
            self.hosts[name] = found

    def plugin(self, text: Any, path: str) -> None:
        """Add a plugin that is required, such as `auth_plugin>=1.0.0`."""
        match = (
            _PLUGIN.fullmatch(text.strip()) if isinstance(text, str) and len(text) <= _MAX_PLUGIN else None
        )
        if match is None:
            self.draft.problem(path, f"expected a plugin such as 'auth>=1.0', found {show(text)}")
            return
        self.plugin_range(match[1], match[2] or ANY, path)

    def plugin_range(self, name: str, range_text: Any, path: str) -> None:
        """Add a plugin that is required, with the range of its versions."""
        made = make_id(name)
        try:
            found = normal_range(range_text) if isinstance(range_text, str) else None
        except ValueError:
            found = None
        if made is None or found is None:
            self.draft.problem(
                path, f"expected a plugin and a range, found {show(name)} and {show(range_text)}"
            )
            return
        if made != name:
            self.draft.note(path, f"the plugin {name[:80]!r} is required by the id {made!r}")
        self.plugins[made] = both(self.plugins.get(made), found) or ANY

    def finish(self) -> None:
        """Set `requires`."""
        found = {
            "host": {name: text for name, text in self.hosts.items() if text != ANY},
            "python": None if self.python == ANY else self.python,
            "platforms": self.platforms,
            "plugins": self.plugins,
            "packages": list(self.packages),
            "system": self.system,
        }
        self.draft.put("requires", {name: value for name, value in found.items() if value})


def put_dependencies(needs: Requirements, value: Any, path: str) -> None:
    """What `dependencies` says: `{nexus, python, packages, plugins, system}`, or a list of plugins."""
    draft = needs.draft
    if isinstance(value, list):
        value = {"plugins": value}
    if not isinstance(value, dict):
        if value is not None:
            draft.problem(path, f"expected what is required, found {show(value)}")
        return
    for host in ("nexus", "python"):
        needs.host(host, take_range(draft, value.get(host), below(path, host)))
    needs.packages |= dict.fromkeys(packages_of(draft, value.get("packages"), below(path, "packages")))
    plugins, at = value.get("plugins"), below(path, "plugins")
    if isinstance(plugins, dict):
        for name, text in plugins.items():
            needs.plugin_range(name, text, below(at, name))
    elif isinstance(plugins, list):
        for number, item in enumerate(plugins):
            needs.plugin(item, below(at, number))
    elif plugins is not None:
        draft.problem(at, f"expected a list of plugins, found {show(plugins)}")
    needs.system += texts(draft, value.get("system"), below(path, "system"), ShortText)
    draft.leave_out(value, _DEPENDENCIES, path, "manifest")


def put_compatibility(needs: Requirements, value: Any, path: str) -> None:
    """`{min_nexus_version, max_nexus_version, platforms}`, of any host."""
    if not isinstance(value, dict):
        if value is not None:
            needs.draft.problem(path, f"expected an object, found {show(value)}")
        return
    known = {"platforms", *put_host_versions(needs, value, path)}
    needs.platforms += platforms(needs.draft, value.get("platforms"), below(path, "platforms"))
    needs.draft.leave_out(value, known, path, "manifest")


def put_host_versions(needs: Requirements, mapping: Mapping[str, Any], path: str) -> list[str]:
    """`min_X_version`, `max_X_version` and `X_version`; returns which members these were."""
    known = []
    for name, value in mapping.items():
        limit, span = _HOST_LIMIT.fullmatch(name), _HOST_RANGE.fullmatch(name)
        if limit is not None:
            sign = ">=" if limit[1] == "min" else "<="
            needs.host(limit[2], bound(needs.draft, sign, value, below(path, name)))
        elif span is not None:
            needs.host(span[1], take_range(needs.draft, value, below(path, name)))
        else:
            continue
        known.append(name)
    return known


def put_permissions(draft: Draft, value: Any, path: str) -> None:
    """A list, `{"permissions": […]}`, or `{role: […]}`. One that cannot be said is a problem: hosts ask people for it."""
    names: dict[str, None] = dict.fromkeys(draft.raw.get("permissions", ()))
    for at, item in _permissions(draft, value, path):
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            draft.leave_out(item, {"name"}, at, "manifest")
        name = item.get("name") if isinstance(item, dict) else item
        if isinstance(name, str) and misfit(Name, name) is None:
            names[name] = None
        else:
            draft.problem(at, f"expected a permission such as 'database.read', found {show(item)}")
    draft.put("permissions", list(names))


def _permissions(draft: Draft, value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict) and isinstance(value.get("permissions"), (list, dict)):
        draft.leave_out(value, {"permissions"}, path, "manifest")
        return _permissions(draft, value["permissions"], below(path, "permissions"))
    if isinstance(value, dict) and all(isinstance(items, list) for items in value.values()):
        for role in value:
            draft.note(below(path, role), "whom a permission is for is not carried over; the permissions are")
        return [
            (below(below(path, role), number), item)
            for role, items in value.items()
            for number, item in enumerate(items)
        ]
    if isinstance(value, list):
        return [(below(path, number), item) for number, item in enumerate(value)]
    if value is not None:
        draft.problem(path, f"expected a list of permissions, found {show(value)}")
    return []


__all__ = ["Requirements", "put_compatibility", "put_dependencies", "put_host_versions", "put_permissions"]
