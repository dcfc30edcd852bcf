"""Who needs whom, read from a lock. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.errors import NotFoundError
from registry_client.names import in_range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry_client.installer.project.lockfile import Lock, LockedPlugin, LockedSource


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


def reachable(lock: Lock, roots: Iterable[str] | None = None) -> set[str]:
    """The locked plugins that are asked for, all or these, and all that they need."""
    by_id = lock.by_id
    ahead = [name for name in (lock.wanted if roots is None else roots) if name in by_id]
    found = set[str]()
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += [below for below in needs(by_id[name]) if below in by_id]
    return found


def dependants(lock: Lock, plugin_id: str) -> list[Link]:
    """Who needs a plugin directly, with the ranges."""
    return [
        Link(plugin.id, plugin_id, needs(plugin)[plugin_id])
        for plugin in lock.plugins
        if plugin_id in needs(plugin)
    ]


def contradictions(lock: Lock, default_registry: str) -> list[str]:
    """What no resolution would have put into a lock: it was edited, or merged by what does not know what it says.

    Everything in it is asked for, or needed by something in it. What is asked for comes from where it is asked for; what is
    needed comes from the registry of a plugin that needs it, so that no other registry with the same id takes its place.

    Args:
        lock: the lock.
        default_registry: where the plugins come from that unsigned ones need.
    """
    by_id, reached = lock.by_id, reachable(lock)
    found = [f"{name} is asked for and not locked" for name in sorted(lock.wanted.keys() - by_id.keys())]
    found += [f"{name} is locked, and nothing needs it" for name in sorted(by_id.keys() - reached)]
    registries: dict[str, set[str]] = {}
    for name in sorted(reached):
        for below, text in sorted(needs(by_id[name]).items()):
            registries.setdefault(below, set()).add(by_id[name].source.registry or default_registry)
            if below not in by_id:
                found.append(f"{name} needs {below}, which is not locked")
            elif by_id[below].signed and not in_range(by_id[below].version, text, prereleases=True):
                found.append(f"{name} needs {below} {text}, and {by_id[below].version} is locked")
    for name in sorted(reached):
        source = by_id[name].source
        if name in lock.wanted:
            if not answers(lock.wanted[name].source, source):
                found.append(f"{name} is not locked from where it is asked for")
        elif source.registry not in registries[name]:
            found.append(f"{name} is not locked from the registry of what needs it")
    return found


def answers(wanted: LockedSource, found: LockedSource) -> bool:
    """Whether a plugin comes from where it should; which commit or which version of an index it is does not matter."""
    ref = wanted.ref if found.kind == "pypi" else found.ref
    return found.model_copy(update={"commit": None, "ref": ref}) == wanted
