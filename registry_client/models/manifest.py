"""`manifest.json`: what one version of a plugin is. Immutable, signed by its publisher."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from annotated_types import Len
from pydantic import ConfigDict, Field, model_validator

from registry_client.digest import Digest
from registry_client.jsontext import KIB
from registry_client.models.base import (
    Count,
    Document,
    Location,
    LongText,
    Name,
    PackagedPath,
    PluginId,
    Range,
    ShortText,
    Signatures,
    Time,
    UniqueTuple,
    Url,
    Version,
)

MANIFEST_LIMIT = 256 * KIB
MAX_ARTIFACT_SIZE = 4 * 1024**3


class Author(Document):
    """Who wrote the plugin."""

    name: ShortText
    """A person or an organisation."""
    email: ShortText | None = None
    """An address for mail about the plugin."""
    url: Url | None = None
    """A page about the author."""


class Packaged(Document):
    """Pictures inside the plugin's archives, for whoever has unpacked one. Paths start in the plugin's folder."""

    icon: PackagedPath | None = None
    """A picture."""
    screenshots: Annotated[tuple[PackagedPath, ...], Len(0, 50)] = ()
    """Pictures of it in use."""


class Menu(Document):
    """Where a plugin appears in its host's menu."""

    title: ShortText
    """The text of the entry."""
    icon: ShortText | None = None
    """An icon's name or class in the host."""
    position: int | None = None
    """Order among the entries; lower comes first."""
    parent: ShortText | None = None
    """The entry below which this one stands."""


class Widget(Document):
    """A dashboard widget."""

    id: Name
    """Unique within the plugin."""
    title: ShortText
    """What the user sees."""
    size: ShortText | None = None
    """small, medium or large, or what the host knows."""
    position: int | None = None
    """Order on the dashboard."""


class Ui(Document):
    """A user interface that a host loads in the browser."""

    model_config = ConfigDict(
        json_schema_extra={"dependentRequired": {"remoteEntry": ["expose"], "expose": ["remoteEntry"]}}
    )

    remote_entry: Url | None = None
    """URL of the Module Federation remote entry. Give each version a URL of its own."""
    expose: Annotated[str, Field(pattern=r"^\./[A-Za-z0-9_./-]{1,200}$")] | None = None
    """The exposed module, such as `./PluginApp`."""
    integrity: Annotated[str, Field(pattern=r"^sha(256|384|512)-[A-Za-z0-9+/]{43,88}={0,2}$")] | None = None
    """Subresource Integrity of the remote entry."""
    menu: Menu | None = None
    """The plugin's menu entry."""
    widgets: Annotated[tuple[Widget, ...], Len(0, 100)] = ()
    """Dashboard widgets."""

    @model_validator(mode="after")
    def _entry_and_module(self) -> Self:
        if (self.remote_entry is None) != (self.expose is None):
            raise ValueError("expected remoteEntry and expose together")
        return self


class Server(Document):
    """A backend that the plugin's author runs."""

    route_base: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]{0,200}$")]
    """Path under which the host routes to the backend."""
    deployment_url: Url | None = None
    """Where the backend runs."""
    health_check: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]{0,200}$")] | None = None
    """Path below `deploymentUrl` that answers 2xx when the backend is well."""
    health_check_interval: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """Seconds between two checks."""
    health_check_timeout: Annotated[int, Field(ge=1, le=3600)] | None = None
    """Seconds after which a check has failed."""


class Artifact(Document):
    """A packed file of the plugin."""

    ecosystem: Literal["python", "wordpress", "shopify", "custom"]
    """Which kind of host can install it."""
    url: Location
    """Where it is: absolute, or relative to the registry so that mirrors serve it too."""
    digest: Digest
    """sha256 of the file."""
    size: Annotated[int, Field(ge=1, le=MAX_ARTIFACT_SIZE)]
    """Its length in bytes."""
    media_type: Annotated[str, Field(pattern=r"^[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}$")] | None = None
    """Its media type, such as application/zip."""


class Requires(Document):
    """What a version needs. The registrar copies this into the index, so that resolving needs no manifests."""

    host: Annotated[dict[Name, Range], Len(0, 20)] | None = None
    """Host applications by name, with the range of their versions."""
    python: Range | None = None
    """Python versions."""
    platforms: Annotated[UniqueTuple[Name], Len(0, 20)] = ()
    """Platforms as `sys.platform` names them; none means any."""
    plugins: Annotated[dict[PluginId, Range], Len(0, 200)] | None = None
    """Other plugins, with the range of their versions."""
    packages: Annotated[tuple[ShortText, ...], Len(0, 500)] = ()
    """Python packages, PEP 508."""
    system: Annotated[tuple[ShortText, ...], Len(0, 100)] = ()
    """Programs and services that the machine must have, such as redis-server>=6.0."""


class Endpoint(Document):
    """One HTTP endpoint."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"]
    """The HTTP method."""
    path: Annotated[str, Field(min_length=1, max_length=200)]
    """Path below the prefix."""
    description: LongText | None = None
    """What it does."""


class RateLimit(Document):
    """How often an API may be called."""

    requests: Annotated[int, Field(ge=1)]
    """Requests per period."""
    period: Annotated[int, Field(ge=1)]
    """The period, in seconds."""


class Api(Document):
    """The HTTP API that a plugin adds to its host."""

    prefix: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]{0,200}$")] | None = None
    """Path below which the endpoints stand."""
    version: ShortText | None = None
    """The API's own version, such as v1."""
    endpoints: Annotated[tuple[Endpoint, ...], Len(0, 500)] = ()
    """The endpoints."""
    rate_limit: RateLimit | None = None
    """A limit that the host should apply."""


class Events(Document):
    """Events on the host's bus."""

    publishes: Annotated[UniqueTuple[Name], Len(0, 500)] = ()
    """Events that the plugin sends."""
    subscribes: Annotated[UniqueTuple[Name], Len(0, 500)] = ()
    """Events that it listens to."""


class Provenance(Document):
    """Where a version was built: claimed by the publisher, not proven."""

    repository: Url | None = None
    """The source repository."""
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")] | None = None
    """The commit it was built from."""
    ref: ShortText | None = None
    """The branch or tag."""
    workflow: ShortText | None = None
    """The workflow's name."""
    run: Url | None = None
    """The run's page."""


class Manifest(Document):
    """What one version of a plugin is."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["ui"]}, {"required": ["server"]}, {"required": ["artifacts"]}],
        }
    )

    kind: Literal["manifest"]
    """Signed with the rest, so that one document's signature cannot pass for another's."""
    schema_version: Literal[1]
    """The version of this format."""
    id: PluginId
    """The plugin's id, unique in the registry, also after removing `-` and `_`."""
    name: ShortText
    """What people call the plugin."""
    version: Version
    """This version. A version is used once."""
    initial_status: Literal["draft", "released"]
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
    artifacts: Annotated[tuple[Artifact, ...], Len(1, 50)] | None = None
    """Packed files."""
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
    provenance: Provenance | None = None
    """Where it was built."""
    manifest_url: Url | None = None
    """Where the newest manifest is served. Advisory."""
    last_updated: Time | None = None
    """When this version was published."""
    signatures: Signatures
    """The publisher's signatures."""

    @model_validator(mode="after")
    def _offers_something(self) -> Self:
        if self.ui is None and self.server is None and self.artifacts is None:
            raise ValueError("expected at least one of ui, server and artifacts")
        return self


__all__ = [
    "MANIFEST_LIMIT",
    "Artifact",
    "Author",
    "Count",
    "Manifest",
    "Packaged",
    "Provenance",
    "Requires",
    "Server",
    "Ui",
]
