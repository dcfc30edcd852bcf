"""A WordPress plugin: the header of its main PHP file, and `readme.txt`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from publisher.adapters.draft import Converted, Draft, identify, make_id, misfit, title
from publisher.adapters.files import is_inner, read_text
from publisher.adapters.values import bound, put_author, put_license, put_url, put_version, texts
from publisher.wordpress import header_field, stable_tag, with_php_version, with_stable_tag
from registry_client.errors import ConfigError
from registry_client.jsontext import KIB, MIB
from registry_client.models.base import LongText, ShortText

if TYPE_CHECKING:
    from publisher.adapters.files import SourceFiles

NAME = "WordPress plugin"
README = "readme.txt"
_HEADER = 8 * KIB
_MAX_PHP = 16 * MIB
_MAX_README = MIB
_MAX_FILES = 200
_MAX_CHANGELOG = 20_000
_FIELDS = (
    *(
        "Plugin Name",
        "Plugin URI",
        "Version",
        "Description",
        "Author",
        "Author URI",
        "License",
        "License URI",
    ),
    *(
        "Text Domain",
        "Domain Path",
        "Network",
        "Requires at least",
        "Requires PHP",
        "Update URI",
        "Requires Plugins",
    ),
)
_PLAIN = {"index", "main", "plugin"}
_NOT_CARRIED = {
    "License URI": "left out: the licence's name says it",
    "Domain Path": "left out: it stays in the packed header",
    "Network": "left out: it stays in the packed header",
    "Update URI": "left out: the registry says where updates are; it stays in the packed header",
    "Requires Plugins": "left out: these are slugs of wordpress.org, not ids of this registry",
}
_README_KEYS = frozenset(
    {"tags", "requires at least", "requires php", "license", "stable tag", "license uri"}
)
# Bounded: with \s*, which takes line ends too, the time would grow with the square of the length.
_SECTION = re.compile(r"^==[ \t]{0,40}([^=\s].{0,200}?)[ \t]{0,40}==[ \t]*$", re.MULTILINE)
_RELEASE = re.compile(r"^=[ \t]{0,40}([^=\s].{0,200}?)[ \t]{0,40}=[ \t]*$", re.MULTILINE)
_LINE = re.compile(r"([A-Za-z][A-Za-z ]{0,40}?)[ \t]*:[ \t]*(.*)")


@dataclass(frozen=True)
class _Readme:
    """What `readme.txt` says: its `Key: value` lines by lower-case key, its summary, its sections by lower-case title."""

    fields: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    sections: dict[str, str] = field(default_factory=dict)


def main_files(files: SourceFiles) -> list[str]:
    """The PHP files at the top of a folder that WordPress takes for plugins."""
    tops = [
        name
        for name in files.names()
        if name.endswith(".php") and not name.startswith(".") and is_inner(name)
    ]
    return [name for name in tops[:_MAX_FILES] if header_field(files.head(name, _HEADER), "Plugin Name")]


def convert(files: SourceFiles, path: str, *, repository: str) -> Converted:
    """The registry's manifest out of a plugin's header and readme.

    Args:
        files: the plugin's folder.
        path: the main file's path in it.
        repository: the repository's name, for an id.

    Raises:
        ConfigError: a file cannot be read.
    """
    data = files.read(path, _MAX_PHP)
    draft = Draft()
    header = {name: text for name in _FIELDS if (text := header_field(data, name))}
    readme = _read_readme(draft, files)
    if "\ufffd" in "".join(header.values()):
        draft.problem(path, "its header is not UTF-8; save it as UTF-8")
    if "Plugin Name" not in header:
        draft.problem(path, "expected a line 'Plugin Name: …' in the first 8 KiB")
    _put_identity(draft, header, path, repository)
    put_version(draft, header.get("Version"), f"{path}: Version")
    if "Version" not in header:
        draft.problem(f"{path}: Version", "expected a line 'Version: 1.0.0' in the header")
    _put_words(draft, header, readme, path)
    _put_needs(draft, header, readme, path)
    for name, reason in _NOT_CARRIED.items():
        if name in header:
            draft.note(f"{path}: {name}", reason)
    draft.put("artifacts", [{"ecosystem": "wordpress", "pack": "."}])

    def with_version(version: str) -> dict[str, bytes]:
        changed = {path: with_php_version(data, version, path)}
        if files.exists(README):
            before = files.read(README, _MAX_README)
            if stable_tag(before) not in {None, "trunk"}:
                changed[README] = with_stable_tag(before, version)
        return changed

    def changelog(version: str) -> str | None:
        text = _changelog(readme, version)[:_MAX_CHANGELOG]
        return None if not text or misfit(LongText, text) else text

    return draft.converted(with_version, changelog)


def _put_identity(draft: Draft, header: dict[str, str], path: str, repository: str) -> None:
    stem = path.rpartition("/")[2].removesuffix(".php")
    name, domain = header.get("Plugin Name"), header.get("Text Domain")
    own = None if stem.lower() in _PLAIN else stem
    identify(
        draft,
        [(path, own), (f"{path}: Text Domain", domain), (path, name), ("the repository's name", repository)],
    )
    title(draft, [(f"{path}: Plugin Name", name), ("", repository)])
    if domain is not None and make_id(domain) != draft.raw.get("id"):
        draft.note(
            f"{path}: Text Domain",
            f"differs from the id {draft.raw.get('id')!r}; it stays in the packed header",
        )


def _put_words(draft: Draft, header: dict[str, str], readme: _Readme, path: str) -> None:
    draft.carry("description", LongText, header.get("Description") or readme.summary, f"{path}: Description")
    put_author(draft, header.get("Author"), f"{path}: Author", url=header.get("Author URI"))
    put_license(draft, header.get("License") or readme.fields.get("license"), f"{path}: License")
    put_url(draft, "homepage", header.get("Plugin URI"), f"{path}: Plugin URI")
    draft.put("keywords", texts(draft, readme.fields.get("tags") or [], f"{README}: Tags", ShortText)[:50])
    text = _changelog(readme, header.get("Version", ""))
    if len(text) > _MAX_CHANGELOG:
        draft.note(f"{README}: Changelog", f"cut to {_MAX_CHANGELOG} characters")
    draft.carry("changelog", LongText, text[:_MAX_CHANGELOG], f"{README}: Changelog")
    for key in readme.fields:
        if key not in _README_KEYS:
            draft.note(
                f"{README}: {key.capitalize()}", "not in the registry's manifest; it stays in the packed file"
            )


def _put_needs(draft: Draft, header: dict[str, str], readme: _Readme, path: str) -> None:
    def stated(name: str) -> tuple[str | None, str]:
        where = path if name in header else README
        return header.get(name) or readme.fields.get(name.lower()), f"{where}: {name}"

    host = bound(draft, ">=", *stated("Requires at least"))
    php = bound(draft, ">=", *stated("Requires PHP"))
    needs = {"host": {"wordpress": host} if host else None, "system": [f"php{php}"] if php else None}
    draft.put("requires", {name: value for name, value in needs.items() if value})


def _read_readme(draft: Draft, files: SourceFiles) -> _Readme:
    """`readme.txt` as wordpress.org reads it; empty without one."""
    if not files.exists(README):
        return _Readme()
    try:
        text = read_text(files, README, _MAX_README)
    except ConfigError as e:
        draft.problem(README, e.message)
        return _Readme()
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    first = _SECTION.search(lines)
    head = lines[: first.start()] if first else lines
    fields: dict[str, str] = {}
    summary = ""
    for line in head.split("\n")[:200]:
        match = _LINE.fullmatch(line.strip())
        if match is not None and not summary:
            fields.setdefault(match[1].lower(), match[2].strip())
        elif line.strip() and not line.startswith("="):
            summary = summary or line.strip()
    return _Readme({name: value for name, value in fields.items() if value}, summary, _parts(_SECTION, lines))


def _parts(heading: re.Pattern[str], text: str) -> dict[str, str]:
    found = list(heading.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)][: len(found)]
    return {match[1].lower(): text[match.end() : end].strip() for match, end in zip(found, ends, strict=True)}


def _changelog(readme: _Readme, version: str) -> str:
    """What `readme.txt` says of a version; all of its changelog where that version has no part of its own."""
    text = readme.sections.get("changelog", "")
    releases = _releases(text)
    return next((releases[name] for name in (version, f"v{version}") if name in releases), text)


def _releases(changelog: str) -> dict[str, str]:
    """The parts of a changelog by version; `= 1.0.0 - 2026-01-31 =` counts as 1.0.0."""
    return {name.split(" ")[0]: text for name, text in _parts(_RELEASE, changelog).items() if name}


__all__ = ["NAME", "README", "convert", "main_files"]
