"""Hello World: a plugin for a FastAPI host.

The host makes the plugin with `create_plugin`, awaits `initialize`, mounts what `get_api_routes` gives, and awaits
`shutdown` in the end. FastAPI is imported only when routes are asked for.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

Publish = Callable[[str, dict[str, Any]], Awaitable[None]]
MAX_NAME = 100

logger = logging.getLogger(__name__)


async def _nobody_listens(event: str, data: dict[str, Any]) -> None:
    logger.debug("event %s: %s", event, data)


class HelloWorldPlugin:
    """Greets people.

    Args:
        config: settings as the manifest's `configuration` describes them.
        publish: sends an event to the host's bus.
    """

    name = "hello-world"
    # The manifest that is packed with this file: one place for the version.
    version = json.loads((Path(__file__).parent / "manifest.json").read_text(encoding="utf-8"))["version"]

    def __init__(self, config: Mapping[str, Any] | None = None, publish: Publish = _nobody_listens) -> None:
        self._config = dict(config or {})
        self._publish = publish
        self.initialized = False
        self.greeted = 0

    async def initialize(self) -> bool:
        """Check the settings. False, and a line in the log, if the plugin cannot run with them."""
        greeting = self._config.get("greeting", "Hello")
        if not isinstance(greeting, str) or not 1 <= len(greeting) <= 100:
            logger.error("%s: setting 'greeting' must be a text of 1 to 100 characters", self.name)
            return False
        self.initialized = True
        return True

    async def shutdown(self) -> None:
        """Stop greeting."""
        self.initialized = False

    async def on_event(self, event: str, data: Mapping[str, Any]) -> None:
        """Greet new users: the host calls this for the events that the manifest subscribes to."""
        if event == "user.created":
            await self.greet(str(data.get("username", "World")))

    async def greet(self, name: str) -> str:
        """The greeting for a name, announced on the bus.

        Raises:
            ValueError: the name is empty or too long.
        """
        if not 1 <= len(name) <= MAX_NAME:
            raise ValueError(f"expected a name of 1 to {MAX_NAME} characters")
        self.greeted += 1
        await self._publish("hello-world.greeted", {"name": name})
        return f"{self._config.get('greeting', 'Hello')}, {name}!"

    async def health_check(self) -> dict[str, Any]:
        """Whether the plugin is well."""
        return {"healthy": self.initialized, "version": self.version, "greeted": self.greeted}

    def allows(self, key: str | None) -> bool:
        """Whether a caller with this API key may call; everybody may if none is set."""
        wanted = self._config.get("apiKey")
        return not wanted or hmac.compare_digest(str(wanted).encode(), (key or "").encode())

    def get_api_routes(self) -> list[Any]:
        """The routers that the host mounts below the manifest's `api.prefix`."""
        from fastapi import APIRouter, Header, HTTPException

        router = APIRouter(tags=[self.name])

        async def hello(name: str, x_api_key=Header(default=None)):  # noqa: ANN001, ANN202
            if not self.allows(x_api_key):
                raise HTTPException(status_code=401, detail="wrong or missing X-Api-Key")
            try:
                return {"message": await self.greet(name)}
            except ValueError as e:
                raise HTTPException(status_code=422, detail=str(e)) from e

        router.add_api_route("/hello/{name}", hello, methods=["GET"])
        router.add_api_route("/health", self.health_check, methods=["GET"])
        return [router]


def create_plugin(config: Mapping[str, Any] | None = None, publish: Publish = _nobody_listens) -> HelloWorldPlugin:
    """What the host calls."""
    return HelloWorldPlugin(config, publish)
