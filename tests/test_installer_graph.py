"""Who needs whom, read from a lock."""

from __future__ import annotations

import pytest
from support.locks import lock_of, locked

from registry_client.errors import NotFoundError
from registry_client.installer.project.graph import Branch, Link, build_tree, chains_to, dependants

LOCK = lock_of(
    locked("app", needs={"calendar": ">=1", "notes": ">=1"}),
    locked("calendar", needs={"notes": ">=1,<2"}),
    locked("notes"),
    locked("search", needs={"calendar": ">=0"}),
    wanted={"app": ">=1", "search": ""},
)


def shape(branches: tuple[Branch, ...]) -> dict[str, object]:
    """A tree as nested dicts; a repeated branch as three dots."""
    return {f"{b.plugin.id} {b.range}".strip(): "..." if b.repeated else shape(b.branches) for b in branches}


def test_tree_shows_what_is_below_a_plugin_once() -> None:
    """A second mention stands without its branches; one that has none is no repetition."""
    assert shape(build_tree(LOCK)) == {
        "app >=1": {"calendar >=1": {"notes >=1,<2": {}}, "notes >=1": {}},
        "search": {"calendar >=0": "..."},
    }


def test_tree_of_a_cycle_ends() -> None:
    """Plugins that need each other are shown once each."""
    lock = lock_of(locked("a", needs={"b": ">=0"}), locked("b", needs={"a": ">=0"}), wanted={"a": ""})
    assert shape(build_tree(lock)) == {"a": {"b >=0": {"a >=0": "..."}}}


def test_tree_of_a_long_chain() -> None:
    """Thousands of plugins in a row are no harder than a few."""
    count = 3000
    plugins = [locked(f"p{n}", needs={f"p{n + 1}": ">=0"} if n + 1 < count else None) for n in range(count)]
    branches, depth = build_tree(lock_of(*plugins, wanted={"p0": ""})), 0
    while branches:
        branches, depth = branches[0].branches, depth + 1
    assert depth == count


def test_chains_shortest_first() -> None:
    """Every way from plugins.toml to a plugin, with the range at each step."""
    assert chains_to(LOCK, "notes") == [
        [Link("", "app", ">=1"), Link("app", "notes", ">=1")],
        [Link("", "app", ">=1"), Link("app", "calendar", ">=1"), Link("calendar", "notes", ">=1,<2")],
        [Link("", "search", ""), Link("search", "calendar", ">=0"), Link("calendar", "notes", ">=1,<2")],
    ]


def test_chains_to_what_is_not_there() -> None:
    """The error names the plugin and where to look."""
    with pytest.raises(NotFoundError, match="no plugin 'other'") as caught:
        chains_to(LOCK, "other")
    assert "plugin tree" in caught.value.hint


def test_chains_do_not_explode() -> None:
    """Layers of plugins that all need each other have millions of chains; only some are looked for."""
    layers = 12
    plugins = [
        locked(
            f"l{layer}-{n}",
            needs={f"l{layer + 1}-{m}": ">=0" for m in range(6)} if layer + 1 < layers else None,
        )
        for layer in range(layers)
        for n in range(6)
    ]
    found = chains_to(lock_of(*plugins, wanted={"l0-0": ""}), "l11-0", most=10)
    assert len(found) == 10
    assert all(len(chain) == layers for chain in found)


def test_dependants() -> None:
    """Who needs a plugin directly."""
    assert dependants(LOCK, "notes") == [Link("app", "notes", ">=1"), Link("calendar", "notes", ">=1,<2")]
    assert dependants(LOCK, "app") == []
