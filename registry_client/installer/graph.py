"""Who needs whom, read from a lock. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.errors import NotFoundError

if TYPE_CHECKING:
    from registry_client.installer.lockfile import Lock, LockedPlugin


@dataclass(frozen=True)
class Branch:
    """A plugin in the tree.

    Attributes:
        plugin: the plugin, as locked.
        range: the range in which it was asked for; empty for any.
        branches: what it needs; empty where it was shown before.
        repeated: whether its branches are left out because they stand elsewhere in the tree.
    """

    plugin: LockedPlugin
    range: str
    branches: tuple[Branch, ...] = ()
    repeated: bool = False


@dataclass(frozen=True)
class Link:
    """One step of a chain: who asks, for what, in which range. `asked_by` is empty for plugins.toml."""

    asked_by: str
    id: str
    range: str


def needs(plugin: LockedPlugin) -> dict[str, str]:
    """The plugins that a plugin needs, with their ranges."""
    return dict((plugin.requires.plugins if plugin.requires else None) or {})


def build_tree(lock: Lock) -> tuple[Branch, ...]:
    """The plugins that plugins.toml asks for, each with what it needs; a plugin's branches are shown once."""
    by_id = lock.by_id
    roots = [(name, wish.range) for name, wish in sorted(lock.wanted.items()) if name in by_id]
    # Two passes instead of recursion, which a long chain would exhaust: first who is shown with branches, then from below.
    order: dict[str, None] = {}
    first: set[tuple[str, str]] = set()
    ahead = [("", name) for name, _ in reversed(roots)]
    while ahead:
        parent, name = ahead.pop()
        if name in order:
            continue
        order[name] = None
        first.add((parent, name))
        ahead += [(name, below) for below, _ in reversed(_below(by_id, name))]
    made: dict[str, tuple[Branch, ...]] = {}
    for parent in [*reversed(order), ""]:
        edges = _below(by_id, parent) if parent else roots
        made[parent] = tuple(
            Branch(by_id[name], text, made[name])
            if (parent, name) in first
            else Branch(by_id[name], text, repeated=bool(_below(by_id, name)))
            for name, text in edges
        )
    return made[""]


def _below(by_id: dict[str, LockedPlugin], plugin_id: str) -> list[tuple[str, str]]:
    return [(name, text) for name, text in sorted(needs(by_id[plugin_id]).items()) if name in by_id]


def chains_to(lock: Lock, plugin_id: str, *, most: int = 100) -> list[list[Link]]:
    """Every chain of requirements from plugins.toml to a plugin, the shortest first.

    Args:
        lock: the lock.
        plugin_id: the plugin.
        most: how many chains are looked for.

    Raises:
        NotFoundError: the lock has no such plugin.
    """
    by_id = lock.by_id
    if plugin_id not in by_id:
        raise NotFoundError(
            f"plugins.lock has no plugin {plugin_id!r}", hint="See what it has: 'plugin tree'."
        )
    leads = _leading_to(lock, plugin_id)
    found: list[list[Link]] = []
    ahead = [[Link("", name, wish.range)] for name, wish in sorted(lock.wanted.items()) if name in leads]
    while ahead and len(found) < most:
        chain = ahead.pop(0)
        last = chain[-1].id
        if last == plugin_id:
            found.append(chain)
            continue
        seen = {link.id for link in chain}
        if len(ahead) < most * most:  # layers of plugins that all need each other have millions of chains
            ahead += [
                [*chain, Link(last, name, text)]
                for name, text in sorted(needs(by_id[last]).items())
                if name in leads - seen
            ]
    return found


def _leading_to(lock: Lock, plugin_id: str) -> set[str]:
    """The plugin, and all that need it, directly or not."""
    needed_by: dict[str, list[str]] = {}
    for plugin in lock.plugins:
        for name in needs(plugin):
            needed_by.setdefault(name, []).append(plugin.id)
    found, ahead = set[str](), [plugin_id]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += needed_by.get(name, ())
    return found


def dependants(lock: Lock, plugin_id: str) -> list[Link]:
    """Who needs a plugin directly, with the ranges."""
    return [
        Link(plugin.id, plugin_id, needs(plugin)[plugin_id])
        for plugin in lock.plugins
        if plugin_id in needs(plugin)
    ]
