"""What a version changes, for the people who let it in."""

from __future__ import annotations

from typing import Any

import pytest
from support.documents import manifest

from publisher.changes import describe_changes, show_size

ARTIFACT = {"ecosystem": "custom", "url": "artifacts/x.zip", "digest": f"sha256:{'0' * 64}", "size": 2048}


def settings(**properties: Any) -> dict[str, Any]:
    """A schema of settings."""
    return {"type": "object", "properties": properties}


def test_a_first_version() -> None:
    """Everything that it has is new."""
    changes = describe_changes(manifest(permissions=["b", "a"], artifacts=[ARTIFACT]), None)
    assert changes.permissions.to_json() == {"added": ["a", "b"]}
    assert changes.origins.to_json() == {"added": ["https://cdn.example"]}
    assert (changes.previous, changes.artifacts, changes.size, changes.previous_size) == (None, 1, 2048, None)
    assert "the first version" in changes.markdown()


def test_nothing_but_the_version() -> None:
    """The same again."""
    changes = describe_changes(manifest(version="1.3.0"), manifest())
    assert not changes.permissions
    assert not changes.configuration_changed
    assert not changes.origins
    assert changes.markdown().count("| unchanged |") == 3


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        (None, settings(a={}), {"added": ["a"]}),
        (settings(a={}), None, {"removed": ["a"]}),
        (settings(a={"type": "string"}), settings(a={"type": "number"}), {"changed": ["a"]}),
        (settings(a=settings(b={})), settings(a=settings(c={})), {"added": ["a.c"], "removed": ["a.b"]}),
        (settings(a={}), {**settings(a={}), "required": ["a"]}, {"changed": ["a"]}),
        (settings(a={}), {**settings(a={}), "title": "T"}, {}),
        ({"properties": []}, {"properties": {"a": True}}, {"added": ["a"]}),
    ],
)
def test_configuration(old: Any, new: Any, keys: dict[str, list[str]]) -> None:
    """Keys by name, nested ones too; a change of none of them is said as well."""
    changes = describe_changes(manifest(configuration=new), manifest(configuration=old))
    assert changes.configuration_changed
    assert changes.configuration.to_json() == keys
    assert ("none of its keys" in changes.markdown()) == (not keys)


def test_names_are_strangers_words() -> None:
    """Long lists are cut, and nothing in them is Markdown."""
    changes = describe_changes(
        manifest(
            name="@all <b>",
            permissions=[f"p{n:03}|`" for n in range(200)],
            configuration=settings(**{"x" * 5000: {}}),
        ),
        manifest(),
    )
    text = changes.markdown()
    assert "and 170 more" in text
    assert len(text) < 10_000
    assert "<b>" not in text
    assert "@all" not in text
    assert all(line.count("|") == 3 for line in text.splitlines())


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (3 * 1024**3, "3.0 GiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    """In units that people read."""
    assert show_size(size) == text
