"""Members that describe a plugin, shared by several JSON forms: each is carried over by one function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher.adapters.draft import Draft, below, misfit, show
from publisher.adapters.values import texts
from registry_client.models.base import Location, LongText, Name, PackagedPath, ShortText
from registry_client.models.manifest import Api, Endpoint, Events, RateLimit, Server, Ui, Widget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from publisher.adapters.files import SourceFiles

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_MAX_KEYWORDS = 50


def put_api(draft: Draft, api: Any, endpoints: Any, path: str, endpoints_path: str) -> None:
    """`{prefix, version, rate_limit}` and the endpoints."""
    found: dict[str, Any] = {}
    if isinstance(api, dict):
        fields = Api.model_fields
        for name in ("prefix", "version"):
            _member(draft, found, name, fields[name].annotation, api.get(name), below(path, name))
        if "prefix" in found and _api_misfit(found):
            draft.note(
                below(path, "prefix"),
                f"left out: expected a path such as /api/x, found {show(found.pop('prefix'))}",
            )
        limit = next((name for name in ("rate_limit", "rateLimit") if name in api), None)
        if limit is not None:
            _rate_limit(draft, found, api[limit], below(path, limit))
        if endpoints is None and "endpoints" in api:
            endpoints, endpoints_path = api["endpoints"], below(path, "endpoints")
        draft.leave_out(api, {"prefix", "version", "rate_limit", "rateLimit", "endpoints"}, path, "manifest")
    elif api is not None:
        draft.note(path, f"left out: expected an object, found {show(api)}")
    listed = _endpoints(draft, endpoints, endpoints_path)
    draft.put("api", {**found, **({"endpoints": listed} if listed else {})})


def _api_misfit(found: dict[str, Any]) -> bool:
    return misfit(Api, {"prefix": found["prefix"]}) is not None


def _member(draft: Draft, found: dict[str, Any], name: str, kind: Any, value: Any, path: str) -> None:
    if value is None:
        return
    reason = misfit(kind, value)
    if reason is None:
        found[name] = value
    else:
        draft.note(path, f"left out: {reason}")


def _rate_limit(draft: Draft, found: dict[str, Any], value: Any, path: str) -> None:
    if isinstance(value, dict) and isinstance(value.get("period"), str):
        value = {**value, "period": _PERIODS.get(value["period"].lower().rstrip("s"), value["period"])}
    if isinstance(value, dict):
        draft.leave_out(value, {"requests", "period"}, path, "manifest")
        value = {name: value[name] for name in ("requests", "period") if name in value}
    _member(draft, found, "rateLimit", RateLimit, value, path)


def _endpoints(draft: Draft, value: Any, path: str) -> list[dict[str, Any]]:
    found = []
    for at, item in _objects(draft, value, path):
        endpoint = {
            name: item[name] for name in ("method", "path", "description") if item.get(name) is not None
        }
        if isinstance(endpoint.get("method"), str):
            endpoint["method"] = endpoint["method"].upper()
        reason = misfit(Endpoint, endpoint)
        if reason is None:
            found.append(endpoint)
            draft.leave_out(item, {"method", "path", "description"}, at, "manifest")
        else:
            draft.note(at, f"left out: expected method and path ({reason})")
    return found


def _objects(draft: Draft, value: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    if value is None:
        return []
    if not isinstance(value, list):
        draft.note(path, f"left out: expected a list, found {show(value)}")
        return []
    for number, item in enumerate(value):
        if not isinstance(item, dict):
            draft.note(below(path, number), f"left out: expected an object, found {show(item)}")
    return [(below(path, number), item) for number, item in enumerate(value) if isinstance(item, dict)]


def put_ui(draft: Draft, value: Any, path: str) -> None:
    """`{enabled, remoteEntry, expose, integrity, menu, dashboard_widgets}`."""
    if not isinstance(value, dict):
        if value is not None:
            draft.note(path, f"left out: expected an object, found {show(value)}")
        return
    if value.get("enabled") is False:
        draft.note(path, "left out, as it is not enabled")
        return
    found: dict[str, Any] = {}
    for name in ("remoteEntry", "expose", "integrity"):
        old = {"remoteEntry": "remote_entry"}.get(name, name)
        if (stated := value.get(name, value.get(old))) is not None:
            found[name] = stated
    menu = value.get("menu")
    if isinstance(menu, dict):
        fields = ("title", "icon", "position", "parent")
        found["menu"] = {name: menu[name] for name in fields if menu.get(name) is not None}
        draft.leave_out(menu, fields, below(path, "menu"), "manifest")
    elif menu is not None:
        draft.note(below(path, "menu"), f"left out: expected an object, found {show(menu)}")
    widgets = next((name for name in ("widgets", "dashboard_widgets") if name in value), "widgets")
    if listed := _widgets(draft, value.get(widgets), below(path, widgets)):
        found["widgets"] = listed
    known = {"enabled", "remoteEntry", "remote_entry", "expose", "integrity", "menu", widgets}
    draft.leave_out(value, known, path, "manifest")
    _keep_fitting(draft, found, path)
    draft.put("ui", found)


def _keep_fitting(draft: Draft, ui: dict[str, Any], path: str) -> None:
    """A menu that cannot be shown is left out; where the interface is loaded from must be right."""
    if "menu" in ui and (reason := misfit(Ui, {"menu": ui["menu"]})):
        del ui["menu"]
        draft.note(below(path, "menu"), f"left out: {reason}")


def _widgets(draft: Draft, value: Any, path: str) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    fields = ("id", "title", "size", "position")
    for at, item in _objects(draft, value, path):
        widget = {name: item[name] for name in fields if item.get(name) is not None}
        reason = misfit(Widget, widget)
        if reason is None and widget["id"] in found:
            reason = "another widget has its id"
        if reason is None:
            found[widget["id"]] = widget
            draft.leave_out(item, fields, at, "manifest")
        else:
            draft.note(at, f"left out: {reason}")
    return list(found.values())


def put_health_check(draft: Draft, value: Any, prefix: Any, path: str) -> None:
    """`{endpoint, interval, timeout}` as `server`, at the prefix of the API."""
    if value is None:
        return
    if isinstance(value, str):
        value = {"endpoint": value}
    if not isinstance(value, dict):
        draft.note(path, f"left out: expected an object, found {show(value)}")
        return
    if "server" in draft.raw:
        draft.note(path, "left out: server says it")
        return
    if not isinstance(prefix, str):
        draft.note(path, "left out: without api.prefix there is no path that a host could ask")
        return
    names = {"endpoint": "healthCheck", "interval": "healthCheckInterval", "timeout": "healthCheckTimeout"}
    server: dict[str, Any] = {"routeBase": prefix}
    for old, new in names.items():
        if value.get(old) is None:
            continue
        reason = misfit(Server, {"routeBase": prefix, new: value[old]})
        if reason is None:
            server[new] = value[old]
        else:
            draft.note(below(path, old), f"left out: {reason}")
    draft.leave_out(value, names, path, "manifest")
    if len(server) > 1:
        draft.put("server", server)


def put_events(draft: Draft, value: Any, path: str) -> None:
    """`{publishes, subscribes}`."""
    if not isinstance(value, dict):
        if value is not None:
            draft.note(path, f"left out: expected an object, found {show(value)}")
        return
    fields = list(Events.model_fields)
    listed = {name: texts(draft, value.get(name), below(path, name), Name) for name in fields}
    draft.put("events", {name: items for name, items in listed.items() if items})
    draft.leave_out(value, fields, path, "manifest")


def put_features(draft: Draft, value: Any, path: str) -> None:
    """`{name: true or false}`, or a list of names."""
    if isinstance(value, list):
        value = dict.fromkeys(texts(draft, value, path, Name), True)
    if not isinstance(value, dict):
        if value is not None:
            draft.note(path, f"left out: expected an object, found {show(value)}")
        return
    found: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, bool) and misfit(Name, name) is None:
            found[name] = item
        else:
            draft.note(below(path, name), f"left out: expected true or false, found {show(item)}")
    draft.put("features", found)


def put_pictures(draft: Draft, files: SourceFiles, value: Mapping[str, Any], path: str) -> None:
    """`icon` and `screenshots`: URLs as they are, files of the plugin as `packaged`."""
    icon = _picture(draft, files, value.get("icon"), below(path, "icon"))
    shots = value.get("screenshots")
    if isinstance(shots, str):
        shots = [shots]
    if shots is not None and not isinstance(shots, list):
        draft.note(below(path, "screenshots"), f"left out: expected a list, found {show(shots)}")
        shots = []
    found = [
        _picture(draft, files, item, below(below(path, "screenshots"), number))
        for number, item in enumerate(shots or ())
    ]
    packaged: dict[str, Any] = {}
    for kind, place in ((True, packaged), (False, draft.raw)):
        if icon is not None and icon[1] is kind:
            place["icon"] = icon[0]
        if listed := [item[0] for item in found if item is not None and item[1] is kind]:
            place["screenshots"] = listed
    draft.put("packaged", packaged)


def _picture(draft: Draft, files: SourceFiles, value: Any, path: str) -> tuple[str, bool] | None:
    """A picture, and whether it is a file of the plugin."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and ":" in value and misfit(Location, value) is None:
        return value, False
    text = value.removeprefix("./") if isinstance(value, str) else ""
    if misfit(PackagedPath, text) is not None:
        draft.note(path, f"left out: expected a URL or a file of the plugin, found {show(value)}")
        return None
    if not files.exists(text):
        draft.note(path, f"left out: {text[:80]!r} is no file of the plugin")
        return None
    return text, True


def put_words(draft: Draft, mapping: Mapping[str, Any], path: str) -> None:
    """`description`, `category`, `keywords` with `tags`, `changelog`."""
    for name, kind in (("description", LongText), ("category", ShortText), ("changelog", LongText)):
        draft.carry(name, kind, mapping.get(name), below(path, name))
    words = [
        word
        for name in ("keywords", "tags")
        for word in texts(draft, mapping.get(name), below(path, name), ShortText)
    ]
    words = list(dict.fromkeys(words))
    if len(words) > _MAX_KEYWORDS:
        draft.note(below(path, "keywords"), f"cut to {_MAX_KEYWORDS}")
    draft.put("keywords", words[:_MAX_KEYWORDS])


__all__ = [
    "put_api",
    "put_events",
    "put_features",
    "put_health_check",
    "put_pictures",
    "put_ui",
    "put_words",
]
