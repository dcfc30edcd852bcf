"""Placeholders of CI workflows: only the known ones, only as whole texts, and never silently."""

from __future__ import annotations

import json
from typing import Any

import pytest

from publisher.adapters import REGISTRY, MemoryFiles, detect

NAME = "${{ github.event.repository.name }}"
OWN = {"id": "board", "name": "Board", "version": "1.0.0", "server": {"routeBase": "/api/board"}}


def files(raw: dict[str, Any]) -> MemoryFiles:
    """A folder with a manifest.json."""
    return MemoryFiles({"manifest.json": json.dumps(raw).encode()})


@pytest.mark.parametrize(
    "more",
    [
        {"description": "Runs $(cat list) and ${HOME}/bin each day"},
        {"description": "A template language: {{ x }}, ${x}, $(x)"},
        {"description": "Write ${{ env.NAME }} where the name goes."},
        {"changelog": "* `$(date)` is escaped now"},
        {"description": "${HOME}"},
        {"description": "$(cat list)"},
        {
            "configuration": {
                "type": "object",
                "properties": {"a": {"default": NAME}, "b": {"default": "$(date)"}},
            }
        },
    ],
)
def test_what_only_looks_like_one(more: dict[str, Any]) -> None:
    """A manifest in the registry's form stays one, word for word."""
    found = detect(files({**OWN, **more}))
    assert (found.form, found.convert) == (REGISTRY, None)
    assert found.raw == {**OWN, **more}


@pytest.mark.parametrize(
    "text", ["${{ github.sha }}", " ${{github.ref_name}} ", "$(date)", "$(date -u +%Y-%m-%dT%H:%M:%S.000Z)"]
)
def test_a_whole_placeholder(text: str) -> None:
    """Where people read it, it is left out, and a note says so and shows it."""
    found = detect(
        files({**OWN, "description": text, "author": {"name": "Ada", "url": text}, "tags": ["a", text]})
    )
    assert found.convert is not None
    made = found.convert("repo")
    assert not made.problems
    assert {path: made.raw.get(path) for path in ("description", "author", "keywords")} == {
        "description": None,
        "author": {"name": "Ada"},
        "keywords": ["a"],
    }
    left_out = [note for note in made.notes if "is a placeholder" in note.message]
    assert [note.path for note in left_out] == ["$.description", "$.author.url", "$.tags[1]"]
    assert all(text.strip() in note.message for note in left_out)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"id": "${{ env.ID }}"}, "$.id"),
        ({"permissions": ["database.read", "${{ vars.PERMISSION }}"]}, "$.permissions[1]"),
        ({"ui": {"remoteEntry": "${{ vars.URL }}", "expose": "./A"}}, "$.ui.remoteEntry"),
        ({"server": {"routeBase": "$(date)"}}, "$.server.routeBase"),
        ({"title": "Board", "dependencies": {"plugins": ["${{ env.X }}"]}}, "$.dependencies.plugins[0]"),
        ({"title": "Board", "platforms": ["${{ matrix.os }}"]}, "$.platforms[0]"),
    ],
)
def test_what_hosts_act_on_is_never_left_out(more: dict[str, Any], path: str) -> None:
    """A permission that went unseen would never be asked for: it has to be written out."""
    found = detect(files({**OWN, **more}))
    assert found.convert is not None
    (problem,) = [
        problem for problem in found.convert("repo").problems if "is a placeholder" in problem.message
    ]
    assert problem.path == path
    assert "state the value itself" in problem.message


def test_a_text_around_one_is_the_authors(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the repository's name is filled in within a text; what else stands there stays, and is judged as it is."""
    raw = {**OWN, "lastUpdated": "x", "name": f"{NAME} for ${{{{ env.WHO }}}}", "description": "Costs $(5)"}
    found = detect(files(raw))
    assert found.convert is not None
    made = found.convert("board")
    assert (made.raw["name"], made.raw["description"]) == ("board for ${{ env.WHO }}", "Costs $(5)")
    found = detect(
        files({**OWN, "ui": {"remoteEntry": "https://${{ env.X }}.example/a.js"}, "lastUpdated": "x"})
    )
    assert found.convert is not None
    assert found.convert("board").raw["ui"]["remoteEntry"] == "https://${{ env.X }}.example/a.js"
