"""Run with `python -m unittest discover -s tests` in the plugin's folder."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plugin import create_plugin  # noqa: E402


class HelloWorld(unittest.IsolatedAsyncioTestCase):
    """The plugin without a host."""

    async def test_greets_and_announces(self) -> None:
        events = []

        async def publish(event, data):
            events.append((event, data))

        plugin = create_plugin({"greeting": "Hi"}, publish)
        self.assertTrue(await plugin.initialize())
        self.assertEqual(await plugin.greet("Ada"), "Hi, Ada!")
        self.assertEqual(events, [("hello-world.greeted", {"name": "Ada"})])
        self.assertTrue((await plugin.health_check())["healthy"])
        await plugin.shutdown()
        self.assertFalse((await plugin.health_check())["healthy"])

    async def test_refuses_settings_it_cannot_run_with(self) -> None:
        with self.assertLogs("plugin", "ERROR"):
            self.assertFalse(await create_plugin({"greeting": ""}).initialize())

    async def test_asks_for_the_key_that_is_set(self) -> None:
        plugin = create_plugin({"apiKey": "k"})
        self.assertTrue(plugin.allows("k"))
        self.assertFalse(plugin.allows(None))


if __name__ == "__main__":
    unittest.main()
