"""What the models' members are for, out of the docstrings below them, for the JSON Schemas.

pydantic can read these when a model is defined, but then whoever imports a model pays for reading and parsing its source
(docs/adr/0025-cheap-reads.md). Only schemas need them, so they are read when schemas are made.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from registry_client.models.base import Document

if TYPE_CHECKING:
    from collections.abc import Iterator


def describe(schema: dict[str, Any], model: type[Document]) -> None:
    """Put the descriptions of its members into a schema that pydantic made of a model, and into the definitions inside it."""
    known = {one.__name__: one for one in _below(Document)}
    for definition, own in [(schema, model), *_definitions(schema, known)]:
        texts = _texts(own)
        for name, field in own.model_fields.items():
            if name in texts:
                definition["properties"][field.alias or name]["description"] = texts[name]


def _definitions(
    schema: dict[str, Any], known: dict[str, type[Document]]
) -> Iterator[tuple[dict[str, Any], type[Document]]]:
    for name, definition in schema.get("$defs", {}).items():
        if name in known:  # the others are enumerations
            yield definition, known[name]


def _below(model: type[Document]) -> Iterator[type[Document]]:
    for child in model.__subclasses__():
        yield child
        yield from _below(child)


def _texts(model: type[Document]) -> dict[str, str]:
    """The docstrings of a model's members by their names in Python, those of its bases included."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Document) and base is not Document:
            texts |= _of_module(base.__module__).get(base.__name__, {})
    return texts


@cache
def _of_module(module: str) -> dict[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _of_class(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _of_class(node: ast.ClassDef) -> dict[str, str]:
    """A member's docstring is the text that follows its annotation."""
    found = {}
    for member, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(member, ast.AnnAssign)
            and isinstance(member.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[member.target.id] = inspect.cleandoc(below.value.value)
    return found
