"""The source manifest's model: what an author keeps in the plugin's repository.

It has the members of `Manifest` that an author states, as they are published; a test holds the two together.
What publishing finds out (digests, time, provenance, signatures) is not in it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from annotated_types import Len
from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from registry_client.models.base import (
    Digest,
    Document,
    Location,
    LongText,
    Name,
    PluginId,
    RelativePath,
    ShortText,
    UniqueTuple,
    Url,
    Version,
    check_location,
    check_relative,
    check_url,
)
from registry_client.models.manifest import (
    MAX_ARTIFACT_SIZE,
    Api,
    Author,
    Events,
    Packaged,
    Requires,
    Server,
    Ui,
)

FIRST_VERSION = "0.1.0"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def fill_url(template: str, *, plugin_id: str, version: str, name: str) -> str:
    """An artifact's URL out of its template.

    Args:
        template: a URL with any of `{id}`, `{version}` and `{name}` in it.
        plugin_id: for `{id}`.
        version: for `{version}`.
        name: for `{name}`, the artifact's file name.

    Raises:
        ValueError: another placeholder, or the outcome is not an absolute URL.
    """
    values = {"id": plugin_id, "version": version, "name": name}

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ValueError(
                f"unknown placeholder {match[0][:40]!r}; known are {{id}}, {{version}} and {{name}}"
            )
        return values[match[1]]

    return check_url(_PLACEHOLDER.sub(value, template))


def _folder(text: str) -> str:
    return text if text == "." else check_relative(text)


_PLAIN = r"[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)*"
FolderPath = Annotated[
    str,
    AfterValidator(_folder),
    WithJsonSchema({"type": "string", "pattern": rf"^(\.|{_PLAIN})$(?!\n)", "maxLength": 2000}),
]
UrlTemplate = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": r"^(https?://[^\s@]+|(?!.*://)[^\s\\:]+)$"})
]


class SourceArtifact(Document):
    """A file to publish: packed, built, built already, or placed elsewhere already."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["pack"]},
                {"required": ["path"]},
                {"required": ["build"]},
                {"required": ["url", "digest", "size"]},
            ],
            "dependentRequired": {"digest": ["url", "size"], "size": ["url", "digest"]},
            "dependentSchemas": {"build": {"properties": {"ecosystem": {"const": "python"}}}},
        }
    )

    ecosystem: Literal["python", "wordpress", "shopify", "custom"]
    """Which kind of host can install it."""
    pack: FolderPath | None = None
    """Folder to pack, relative to this file; `.` is the plugin's own folder."""
    path: RelativePath | None = None
    """File that was built already, relative to this file."""
    build: Literal["wheel", "sdist"] | None = None
    """What to build of the Python project in this file's folder, by its own build backend."""
    url: UrlTemplate | None = None
    """Where hosts find it. Without `digest` it may hold {id}, {version} and {name}; upload it there."""
    digest: Digest | None = None
    """sha256 of a file that is at `url` already."""
    size: Annotated[int, Field(ge=1, le=MAX_ARTIFACT_SIZE)] | None = None
    """Length in bytes of a file that is at `url` already."""
    media_type: Annotated[str, Field(pattern=r"^[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}$")] | None = None
    """Its media type, such as application/zip."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        placed = self.digest is not None or self.size is not None
        origins = [self.pack is not None, self.path is not None, self.build is not None, placed]
        if origins.count(True) != 1:
            raise ValueError("expected exactly one of pack, path, build and url with digest and size")
        if self.build is not None and self.ecosystem != "python":
            raise ValueError("expected ecosystem python, as build makes a wheel or an sdist")
        if placed and None in {self.url, self.digest, self.size}:
            raise ValueError("expected url, digest and size together")
        if self.url is not None and placed:
            check_location(self.url)
        elif self.url is not None:
            fill_url(self.url, plugin_id="id", version=FIRST_VERSION, name="name.zip")
        return self


class SourceManifest(Document):
    """What an author says of a plugin; publishing makes its manifest of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["ui"]}, {"required": ["server"]}, {"required": ["artifacts"]}],
        }
    )

    json_schema: Annotated[ShortText | None, Field(alias="$schema")] = None
    """For editors: where the schema of this file is. Not published."""
    kind: Literal["manifest"] = "manifest"
    """The kind of document."""
    schema_version: Literal[1] = 1
    """The version of this format."""
    id: PluginId
    """The plugin's id, unique in the registry, also after removing `-` and `_`."""
    name: ShortText
    """What people call the plugin."""
    version: Version = FIRST_VERSION
    """This version. A version is used once."""
    initial_status: Literal["draft", "released"] = "released"
    """Its status until its publisher signs a release document."""
    description: LongText | None = None
    """What it is for."""
    category: ShortText | None = None
    """One category, such as productivity."""
    keywords: Annotated[UniqueTuple[ShortText], Len(0, 50)] = ()
    """Words to be found by."""
    icon: Location | None = None
    """A picture."""
    screenshots: Annotated[tuple[Location, ...], Len(0, 50)] = ()
    """Pictures of it in use."""
    packaged: Packaged | None = None
    """Pictures that are in the plugin's archives."""
    author: Author | None = None
    """Who wrote it."""
    license: ShortText | None = None
    """An SPDX licence expression."""
    homepage: Url | None = None
    """Its page."""
    repository: Url | None = None
    """Its source repository."""
    documentation: Url | None = None
    """Its documentation."""
    changelog: LongText | None = None
    """What changed in this version."""
    ui: Ui | None = None
    """A user interface loaded in the browser."""
    server: Server | None = None
    """A backend run by its author."""
    artifacts: Annotated[tuple[SourceArtifact, ...], Len(1, 50)] | None = None
    """Files to publish."""
    requires: Requires | None = None
    """What it needs."""
    permissions: Annotated[UniqueTuple[Name], Len(0, 200)] = ()
    """What it asks its host for."""
    configuration: dict[str, Any] | None = None
    """A JSON Schema 2020-12 of its settings; secrets are `writeOnly`."""
    api: Api | None = None
    """HTTP endpoints it adds."""
    events: Events | None = None
    """Events it sends and listens to."""
    features: Annotated[dict[Name, bool], Len(0, 100)] | None = None
    """What it uses of its host, such as hot_reload."""

    @model_validator(mode="after")
    def _offers_something(self) -> Self:
        if self.ui is None and self.server is None and self.artifacts is None:
            raise ValueError("expected at least one of ui, server and artifacts")
        return self
