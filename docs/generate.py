"""Writes the generated parts of `docs/`: `make docs`. `--check` only says whether they are current.

Parts stand between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; `docs/cli.md` is generated whole. Sources are the JSON
Schemas, the error tree, the status table and the typer applications, so that none of it can say anything else than the code.
"""
# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
import yaml

from publisher.cli.app import app as publisher_app
from publisher.registrar.retention import KEEP, KEEP_CATALOGUE
from publisher.registrar.submission import MAX_IN_TREE
from publisher.schemas import build_schemas
from publisher.tuf_repository import DEFAULT_DAYS
from publisher.wording import EXPECTED
from registry_client import errors
from registry_client.cli.app import app as plugin_app
from registry_client.client import TTL
from registry_client.jsontext import KIB, MAX_DEPTH, MAX_INTEGER, MIB
from registry_client.keys import SCHEMES
from registry_client.models.blocks import BLOCKS_LIMIT
from registry_client.models.index import CATALOGUE_LIMIT, SHARD_LIMIT
from registry_client.models.manifest import MANIFEST_LIMIT, MAX_ARTIFACT_SIZE
from registry_client.models.policy import POLICY_LIMIT
from registry_client.models.publisher import PUBLISHER_LIMIT
from registry_client.models.release import RELEASE_LIMIT
from registry_client.rollout import bucket
from registry_client.shards import SPLIT_ABOVE
from registry_client.status import MEANING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

DOCS = Path(__file__).resolve().parent
_KINDS = (
    "source",
    "manifest",
    "release",
    "publisher",
    "policy",
    "blocks",
    "index",
    "index-directory",
    "registry",
)
_EVERYWHERE = {"help", "json_output", "_json", "_show_version", "install_completion", "show_completion"}
_GOLDEN = (
    ("00000000000000000000000000000000", "calendar", "1.2.0"),
    ("0123456789abcdef0123456789abcdef", "calendar", "1.2.0"),
    ("ffffffffffffffffffffffffffffffff", "my-plugin_2", "10.20.30-rc.4"),
    ("9b2f6c1e8a7d4035b6e1c2d3f4a59687", "a", "0.0.0"),
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


# -- documents ---------------------------------------------------------------------------------------------------


def documents() -> list[str]:
    """A table for each document, and for each object inside it."""
    lines: list[str] = []
    shown: list[tuple[str, Any]] = []
    schemas = {kind: json.loads(build_schemas()[f"{kind}.schema.json"]) for kind in _KINDS}
    for kind, schema in schemas.items():
        lines += [f"### {schema['title']}", "", f"`schema/{kind}.schema.json`. {schema['description']}", ""]
        lines += [*_members(schema), ""]
        for name, definition in schema.get("$defs", {}).items():
            if (name, definition) in shown:
                continue
            shown.append((name, definition))
            if "properties" in definition:
                lines += [f"**{name}**: {definition['description']}", "", *_members(definition), ""]
            elif "enum" not in definition:
                lines += [f"**{name}**: {definition.get('description', '')} {_type(definition)}.", ""]
    return lines[:-1]


def _members(schema: dict[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    rows = []
    for name, member in schema["properties"].items():
        text = member.get("description", "")
        if "default" in member and member["default"] not in ([], {}, None):
            text += f" Default: `{json.dumps(member['default'])}`."
        rows.append((f"`{name}`", "yes" if name in required else "", _type(member), text))
    return table(("member", "required", "value", "meaning"), rows)


def _type(node: dict[str, Any]) -> str:  # noqa: PLR0911  (one line a form)
    if "$ref" in node:
        return _reference(node["$ref"].rpartition("/")[2])
    if "const" in node:
        return f"`{json.dumps(node['const'])}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "pattern" in node:
        return EXPECTED[node["pattern"]].removeprefix("a text of the form ")
    if "anyOf" in node and "type" not in node:
        return " or ".join(_type(branch) for branch in node["anyOf"])
    kind = node.get("type")
    if kind == "array":
        each = " each once" if node.get("uniqueItems") else ""
        return f"array of {_type(node['items'])}; {_span(node, 'Items')}{each}"
    if kind == "object":
        return _object(node)
    if kind == "integer":
        return f"whole number{_bounds(node.get('minimum'), node.get('maximum'))}"
    return {"string": f"text, {_span(node, 'Length')}", "boolean": "true or false"}.get(
        str(kind), "any JSON value"
    )


def _reference(name: str) -> str:
    for schema in build_schemas().values():
        definition = json.loads(schema).get("$defs", {}).get(name, {})
        if "enum" in definition:
            return _type(definition)
    return f"**{name}**"


def _object(node: dict[str, Any]) -> str:
    for pattern, value in node.get("patternProperties", {}).items():
        return f"object: {EXPECTED[pattern]} → {_type(value)}"
    if isinstance(node.get("additionalProperties"), dict):
        return f"object: name → {_type(node['additionalProperties'])}"
    if "properties" in node:
        names = ", ".join(f"`{name}`" for name in node["properties"])
        return f"object of {names}"
    return "object"


def _span(node: dict[str, Any], what: str) -> str:
    low, high = node.get(f"min{what}", 0), node.get(f"max{what}")
    return f"{low} to {high}" if high is not None else f"at least {low}" if low else "any length"


def _bounds(low: int | None, high: int | None) -> str:
    if high is not None:
        return f", {low} to {_number(high)}"
    return "" if low is None else f", at least {low}"


def _number(value: int) -> str:
    return "2^53-1" if value == MAX_INTEGER else f"{value}"


# -- facts -------------------------------------------------------------------------------------------------------


def statuses() -> list[str]:
    """The status table."""
    rows = [
        (
            f"`{status}`",
            meaning.catalogue.value,
            meaning.by_range.value,
            meaning.exact.value,
            meaning.locked.value,
        )
        for status, meaning in MEANING.items()
    ]
    return table(("status", "catalogue", "by range", "exact version", "already locked"), rows)


def rollout() -> list[str]:
    """Golden vectors of the rollout formula."""
    rows = [(f"`{i}`", f"`{p}`", f"`{v}`", str(bucket(i, p, v))) for i, p, v in _GOLDEN]
    return table(("installation id", "plugin", "version", "bucket"), rows)


def exit_codes() -> list[str]:
    """Exit codes, out of the error tree."""
    rows: list[tuple[str, str, str]] = [("0", "", "Done."), ("2", "`Usage`", "The command line is wrong.")]
    for error in _tree(errors.RegistryError):
        doc = (error.__doc__ or "").strip().splitlines()[0]
        rows.append((str(error.exit_code), f"`{error.__name__.removesuffix('Error')}`", doc))
    rows += [
        ("11", "", "`publisher registry audit` found errors."),
        ("20", "", "`plugin outdated --exit-code`: an update is offered."),
        ("130", "`Interrupted`", "Ctrl-C."),
    ]
    return table(
        ("exit code", "`error.kind` with `--json`", "meaning"), sorted(rows, key=lambda row: int(row[0]))
    )


def _tree(error: type[errors.RegistryError]) -> Iterator[type[errors.RegistryError]]:
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


def schemes() -> list[str]:
    """Key types and signature schemes."""
    return table(("keytype", "scheme"), [(f"`{kind}`", f"`{scheme}`") for kind, scheme in sorted(SCHEMES)])


def limits() -> list[str]:
    """Sizes and counts beyond which things are refused."""

    def size(count: int) -> str:
        return f"{count // MIB} MiB" if count % MIB == 0 else f"{count // KIB} KiB"

    rows = [
        ("manifest", size(MANIFEST_LIMIT)),
        ("release document", size(RELEASE_LIMIT)),
        ("publisher file", size(PUBLISHER_LIMIT)),
        ("policy", size(POLICY_LIMIT)),
        ("blocks", size(BLOCKS_LIMIT)),
        (
            "index shard",
            f"{size(SHARD_LIMIT)}; split above {size(SPLIT_ABOVE)}, up to 512 TUF targets, and below these up to 20 bits",
        ),
        ("`registry.json`", size(CATALOGUE_LIMIT)),
        ("artifact kept in the registry", f"{MAX_IN_TREE // 1_000_000} MB"),
        ("any artifact", f"{MAX_ARTIFACT_SIZE // 1024**3} GiB"),
        ("JSON depth", str(MAX_DEPTH)),
        ("JSON integers", f"±{_number(MAX_INTEGER)}"),
    ]
    return table(("what", "at most"), rows)


def expiries() -> list[str]:
    """For how long each role is signed, and how long superseded files stay."""
    hours = int(KEEP_CATALOGUE.total_seconds() // 3600)
    when = {"root": "60 days before", "targets": "60 days before", "blocks": "60 days before"}
    rows = [
        (f"`{role}`", f"{days} days", when.get(role, "after 20 hours")) for role, days in DEFAULT_DAYS.items()
    ]
    return [
        *table(("role", "signed for", "`publisher registry renew` signs again"), rows),
        "",
        f"Superseded metadata and shards stay {KEEP.days} days, copies of `registry.json` {hours} hour, roots for ever.",
        f"A client asks a host again after {TTL / 60:.0f} minutes.",
    ]


# -- commands ----------------------------------------------------------------------------------------------------


def commands() -> list[str]:
    """Both command lines, out of their typer applications."""
    lines = [
        "# Commands",
        "",
        "Generated from the commands themselves by `make docs`. Both take `--help`, `--version` and, on every command, `--json`: one JSON",
        "document on standard output and nothing else. Exit codes and environment variables: [reference](reference.md#exit-codes).",
    ]
    for app, name in ((plugin_app, "plugin"), (publisher_app, "publisher")):
        lines += _group(typer.main.get_command(app), name, 2)
    return lines


def _group(command: Any, name: str, level: int) -> list[str]:
    lines = ["", f"{'#' * level} {name}", "", _prose(command.help or "")]
    lines += _options(command, "options before the command")
    for child_name, child in command.commands.items():
        if hasattr(child, "commands"):
            lines += _group(child, f"{name} {child_name}", level)
        else:
            lines += _command(child, f"{name} {child_name}", level + 1)
    return lines


def _command(command: Any, name: str, level: int) -> list[str]:
    arguments = [_shown(param) for param in command.params if param.param_type_name == "argument"]
    usage = " ".join([name, *arguments, "[OPTIONS]"])
    lines = ["", f"{'#' * level} {name}", "", f"`{usage}`", "", _prose(command.help or "")]
    examples = re.findall(r"^  (.*)$", command.epilog or "", re.MULTILINE)
    if examples:
        lines += ["", "```text", *examples, "```"]
    return lines + _options(command, "option")


def _shown(param: Any) -> str:
    text = param.metavar or param.name.upper()
    text = f"{text}…" if param.nargs == -1 else text
    return text if param.required else f"[{text}]"


def _prose(text: str) -> str:
    body = text.replace("\b\n", "")
    return "\n\n".join(" ".join(part.split()) for part in body.strip().split("\n\n"))


def _options(command: Any, head: str) -> list[str]:
    rows = []
    for param in command.params:
        if param.name in _EVERYWHERE or not getattr(param, "help", None):
            continue
        if param.param_type_name == "argument":
            rows.append((f"`{_shown(param)}`", param.help))
            continue
        names = "/".join([*param.opts, *param.secondary_opts])
        value = "" if param.is_flag else f" {param.metavar or 'VALUE'}"
        rows.append((f"`{names}{value}`", _prose(param.help)))
    return ["", *table((head, "meaning"), rows)] if rows else []


# -- files -------------------------------------------------------------------------------------------------------


def action() -> list[str]:
    """The inputs and outputs of the action that plugin repositories use."""
    text = (DOCS.parent / ".github/actions/publish/action.yml").read_text("utf-8")
    described: dict[str, Any] = yaml.safe_load(text)
    inputs = [
        (f"`{name}`", "yes" if item.get("required") else "", f"{item['description']}.")
        for name, item in described["inputs"].items()
    ]
    outputs = [(f"`{name}`", f"{item['description']}.") for name, item in described["outputs"].items()]
    return [*table(("input", "required", "meaning"), inputs), "", *table(("output", "meaning"), outputs)]


def example(name: str) -> Callable[[], list[str]]:
    """An example plugin's workflow, whole."""
    path = DOCS.parent / "examples" / name / ".github" / "workflows" / "plugin-ci.yml"
    return lambda: ["```yaml", *path.read_text("utf-8").rstrip().split("\n"), "```"]


PARTS = {
    "action": action,
    "archive-workflow": example("hello-world"),
    "remote-workflow": example("calendar"),
    "documents": documents,
    "statuses": statuses,
    "rollout": rollout,
    "exit-codes": exit_codes,
    "schemes": schemes,
    "limits": limits,
    "expiries": expiries,
}


def generated(text: str) -> str:
    """A document with its generated parts made anew."""

    def part(match: re.Match[str]) -> str:
        name = match[1]
        body = "\n".join(PARTS[name]())
        return f"<!-- generated: {name} -->\n\n{body}\n\n<!-- end of {name} -->"

    return re.sub(r"<!-- generated: ([a-z-]+) -->.*?<!-- end of \1 -->", part, text, flags=re.DOTALL)


def main(arguments: Sequence[str]) -> int:
    """Write, or with `--check` compare. Returns 1 if something differs."""
    wanted = {
        path: generated(path.read_text("utf-8"))
        for path in sorted(DOCS.glob("*.md"))
        if path.name != "cli.md"
    }
    wanted[DOCS / "cli.md"] = "\n".join(commands()) + "\n"
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in stale:
        if "--check" not in arguments:
            path.write_text(wanted[path], "utf-8")
        state = "is not current; run: make docs" if "--check" in arguments else "written"
        sys.stdout.write(f"docs/{path.name}: {state}\n")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
