"""Pure core, thin edges: who imports what, read from the source, and what an import costs, seen from outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import registry_client

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGES = ("registry_client", "publisher")
SOURCES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8"))
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
# What touches the world, and the one module of each package that may; two where Git and other programs are kept apart, and
# connections and what is sent over them.
EDGES: dict[str, dict[str, str]] = {
    "requests": {"registry_client": "registry_client/http.py registry_client/connections.py"},
    "urllib3": {"registry_client": "registry_client/http.py registry_client/connections.py"},
    "urllib.request": {},
    "http.client": {},
    "socket": {},
    "tuf.ngclient": {"registry_client": "registry_client/trust.py"},
    "subprocess": {
        "registry_client": "registry_client/installer/elsewhere/git.py",
        "publisher": "publisher/git.py publisher/process.py",
    },
    "github": {"publisher": "publisher/github/connection.py"},
    "copier": {"publisher": "publisher/scaffold.py"},
    "obstore": {"publisher": "publisher/mirror/object_store.py"},
    "plumbum": {"publisher": "publisher/scaffold.py"},
    "os.environ": {"registry_client": "registry_client/cli/env.py", "publisher": "publisher/cli/env.py"},
}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
PROCESSES = {"system", "popen", "fork", "execv", "execvp", "posix_spawn", "spawnv", "startfile"}


def _typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs: what is imported for type checkers only is left out."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not _typing_only(child):
            yield from _walk(child)


def _uses(tree: ast.AST) -> set[str]:
    """Full names of what a module imports, and of what it takes from `os` to reach environment and processes."""
    found: set[str] = set()
    for node in _walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            found.add(f"os.{node.attr}")
    found |= {"os.environ" for name in ENVIRONMENT if f"os.{name}" in found}
    return found | {"subprocess" for name in PROCESSES if f"os.{name}" in found}


USES = {path: _uses(tree) for path, tree in SOURCES.items()}


def _users(name: str) -> set[str]:
    return {
        path for path, uses in USES.items() if any(use == name or use.startswith(f"{name}.") for use in uses)
    }


@pytest.mark.parametrize("edge", EDGES)
def test_each_edge_is_touched_in_one_module_per_package(edge: str) -> None:
    """The network, TUF's updater, processes, GitHub and the environment are each behind one module."""
    assert _users(edge) <= set(" ".join(EDGES[edge].values()).split())


@pytest.mark.parametrize("edge", ["requests", "tuf.ngclient", "subprocess", "os.environ"])
def test_the_reader_of_imports_sees_them(edge: str) -> None:
    """The edges that exist are found where they are: the test above looks at something."""
    assert _users(edge)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import requests", "requests"),
        ("import requests.adapters as x", "requests.adapters"),
        ("from tuf import ngclient", "tuf.ngclient"),
        ("def f():\n    import subprocess", "subprocess"),
        ("import os\nx = os.environ['A']", "os.environ"),
        ("import os\nx = os.getenv('A')", "os.environ"),
        ("from os import environ", "os.environ"),
        ("import os\nos.system('x')", "subprocess"),
    ],
)
def test_ways_to_import(source: str, expected: str) -> None:
    """Each way to reach an edge counts, inside functions too."""
    assert expected in _uses(ast.parse(source))


def test_types_cost_nothing() -> None:
    """What stands under TYPE_CHECKING is no use of a module."""
    assert _uses(ast.parse("if TYPE_CHECKING:\n    import requests")) == set()


def test_the_read_side_never_imports_the_write_side() -> None:
    """`registry_client` stands alone, for type checkers too."""
    for path, tree in SOURCES.items():
        if path.startswith("registry_client/"):
            names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
            assert not [name for name in names if name.split(".")[0] == "publisher"], path


def test_imports_are_absolute() -> None:
    """No relative imports, which the checks above would not see."""
    relative = [
        p for p, t in SOURCES.items() for n in ast.walk(t) if isinstance(n, ast.ImportFrom) and n.level
    ]
    assert relative == []


def _loaded(code: str) -> set[str]:
    """Top-level names of all modules that a fresh interpreter has loaded after running `code`."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


HEAVY = {
    "pydantic", "pydantic_core", "tuf", "securesystemslib", "requests", "urllib3", "cryptography", "rfc8785", "packaging",
    "rich", "typer", "jsonschema",
}  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        "import registry_client",
        "import registry_client.catalogue",
        "import registry_client.fresh, registry_client.recall",
        "import registry_client.cli.main, registry_client.cli.search, registry_client.cli.info",
        "import registry_client.session",
        "import registry_client.client",
        "from registry_client import RegistryClient, CatalogueEntry, Directories, PluginWarning, RegistryError",
    ],
)
def test_searching_loads_no_heavy_library(code: str) -> None:
    """What reads a fresh catalogue needs neither the network nor TUF nor the models."""
    assert not _loaded(code) & HEAVY


def test_a_search_inside_the_ttl_loads_none_either() -> None:
    """Not at import only: the search itself goes without them."""
    code = """
import json, tempfile, time
from pathlib import Path
from registry_client import RegistryClient, Directories, Digest
from registry_client.store import Store, View
with tempfile.TemporaryDirectory() as home:
    directories = Directories.default(Path(home))
    store = Store(directories, "https://registry.example")
    data = json.dumps({"plugins": [{"id": "calendar", "name": "Calendar", "version": "1.0.0"}]}).encode()
    digest, now = Digest.of(data), time.time()
    store.write_object(digest, data)
    store.write_view(View(Digest.of(b"root"), now, 0.0, now + 1000, digest, digest, False))
    client = RegistryClient("https://registry.example", root=b"root", directories=directories)
    assert [entry.id for entry in client.search("cal")] == ["calendar"]
"""
    assert not _loaded(code) & HEAVY


# What takes long to import, by what can do without it.
WITHOUT = {
    "import registry_client.cli.main, registry_client.cli.info": "concurrent logging tempfile uuid asyncio",
    "import registry_client.signed, registry_client.statements": "tuf securesystemslib cryptography rfc8785 requests urllib3 ssl asyncio",
    "import registry_client.installer.installer": "tuf securesystemslib cryptography requests urllib3 ssl tomlkit resolvelib filelock "
    "tarfile ctypes concurrent asyncio",
    "from registry_client.installer import applying, checking, operations, registries": "tuf securesystemslib cryptography requests "
    "urllib3 ssl tomlkit resolvelib",
    "import registry_client.cli.app": "tuf securesystemslib cryptography requests urllib3 ssl rich tomlkit resolvelib filelock",
}


@pytest.mark.parametrize("code", WITHOUT)
def test_what_is_not_needed_is_not_loaded(code: str) -> None:
    """Listing, and installing where nothing is to be done, wait for no library that only verifies, fetches, solves or writes."""
    assert not _loaded(code) & set(WITHOUT[code].split())


def test_models_are_made_one_by_one() -> None:
    """Making a model takes milliseconds: who needs blocks does not make manifests of all kinds."""
    code = (
        "import registry_client.models.blocks\n"
        "loaded = {n.rpartition('.')[2] for n in sys.modules if n.startswith('registry_client.models.')}"
    )
    assert _loaded(f"{code}\nassert loaded == {{'base', 'blocks'}}, loaded")


def test_names_of_the_models_resolve() -> None:
    """Each name of `registry_client.models` is there, and others are not."""
    from registry_client import models

    assert models.__all__ == sorted(models.__all__)
    for name in models.__all__:
        assert getattr(models, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = models.Nothing


def test_importing_models_reads_no_sources() -> None:
    """Descriptions are for the JSON Schemas: nobody who reads a registry waits for sources to be read and parsed."""
    code = (
        "import inspect, pydantic\ndef refuse(*_): raise AssertionError('a source was read')\n"
        "inspect.getsource = inspect.getsourcelines = inspect.findsource = refuse\n"
        "from registry_client.models import Block, IndexLine, Manifest, Policy, Publisher, Release\n"
        "import registry_client.installer.disk.record, registry_client.installer.project.tables"
    )
    assert "pydantic" in _loaded(code)


def test_the_command_lets_pydantic_load_no_plugins() -> None:
    """Looking through all that is installed for plugins of pydantic takes longer than most commands; a host keeps its own."""
    code = "import registry_client.cli.main as m\nm.main(['list', '--json'])\nimport pydantic.plugin._loader as loader"
    assert "pydantic" in _loaded(f"{code}\nassert loader._plugins is None")
    hosts = "from registry_client import Installer\nimport os\nassert 'PYDANTIC_DISABLE_PLUGINS' not in os.environ"
    assert "pydantic" in _loaded(hosts)


def test_public_names_resolve() -> None:
    """Each name of `__all__` is there, sorted, and others are not."""
    assert registry_client.__all__ == sorted(registry_client.__all__)
    for name in registry_client.__all__:
        assert getattr(registry_client, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = registry_client.Nothing


@pytest.mark.parametrize("path", [path for path in SOURCES if not path.endswith("__main__.py")])
def test_every_module_says_what_it_is_for(path: str) -> None:
    """Each module has a docstring."""
    assert ast.get_docstring(SOURCES[path])
