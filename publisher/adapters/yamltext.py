"""YAML out of a plugin's folder: one mapping of plain values, strictly. Pure.

Anchors, aliases and tags are refused: a few lines with them expand to more than any memory holds, and settings need none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from registry_client.errors import ConfigError
from registry_client.jsontext import KIB, MAX_DEPTH, MAX_INTEGER

if TYPE_CHECKING:
    import yaml

YAML_LIMIT = 64 * KIB


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """One YAML mapping, as JSON would say it.

    Args:
        text: at most `YAML_LIMIT` characters.
        where: the file's path, for messages.

    Raises:
        ConfigError: too long, not YAML, no mapping, a key twice, an alias, or a value that JSON has not.
    """
    try:
        import yaml  # noqa: PLC0415  (only manifests that refer to YAML need it)
    except ModuleNotFoundError as e:
        raise ConfigError(
            f"{where}: reading YAML needs the extra 'publisher'",
            hint="pip install 'plugin-registry[publisher]'",
        ) from e
    if len(text) > YAML_LIMIT:
        raise ConfigError(f"{where}: more than {YAML_LIMIT} characters")
    try:
        node = _compose(text, where)
        value = {} if node is None else _value(node, where, 1)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(
            f"{where}: is not YAML{line} ({getattr(e, 'problem', None) or 'unreadable'})"
        ) from e
    except RecursionError as e:
        raise ConfigError(f"{where}: nested deeper than {MAX_DEPTH} levels") from e
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a mapping of names to values")
    return value


def _compose(text: str, where: str) -> yaml.Node | None:
    import yaml  # noqa: PLC0415

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ConfigError(
                f"{where}: anchors and aliases (& and *) are not read",
                hint="Write the values out, or give the file as JSON.",
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError(f"{where}: nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return node


def _value(node: yaml.Node, where: str, depth: int) -> Any:
    import yaml  # noqa: PLC0415

    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if not isinstance(node, yaml.ScalarNode) and kind not in {"map", "seq"}:
        raise _no_json(kind, node, where)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag != "tag:yaml.org,2002:str" or key in found:
                line = key_node.start_mark.line + 1
                raise ConfigError(f"{where} line {line}: expected a name as the key, each once")
            found[key] = _value(value_node, where, depth + 1)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, where, depth + 1) for item in node.value]
    return _scalar(node, where)


def _scalar(node: yaml.Node, where: str) -> Any:
    import yaml  # noqa: PLC0415

    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    at = f"{where} line {node.start_mark.line + 1}"
    if kind == "str":
        return node.value
    if kind not in {"null", "bool", "int", "float"}:
        raise _no_json(kind, node, where)
    try:
        value = getattr(yaml.constructor.SafeConstructor(), f"construct_yaml_{kind}")(node)
    except (ValueError, LookupError, OverflowError) as e:
        raise ConfigError(f"{at}: is no {kind}") from e
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{at}: expected a finite number")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ConfigError(f"{at}: the number is outside ±(2^53-1), which JSON cannot carry exactly")
    return value


def _no_json(kind: str, node: yaml.Node, where: str) -> ConfigError:
    return ConfigError(
        f"{where} line {node.start_mark.line + 1}: {kind[:40]!r} is none of JSON's values",
        hint="Write it in quotes, as a text.",
    )


__all__ = ["YAML_LIMIT", "parse_yaml"]
