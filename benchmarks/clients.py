"""Clients of a registry over HTTP: nothing cached, nothing changed, one plugin changed, many manifests; and commands inside the TTL."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, Rounds, run_command, run_worker
from benchmarks.serving import serve
from benchmarks.sources import Layer
from benchmarks.subject import write_plainly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serving import Host
    from benchmarks.subject import Subject

TEXT = "calendar 0000"
"""What is searched for: a few plugins have it, in a registry of any size."""
_TITLES = {
    "cold": "one plugin, nothing cached",
    "unchanged": "refresh, nothing changed",
    "inside": "one plugin, inside the TTL",
    "changed": "one plugin, after it got a new version",
}
# What is measured, the call, how many seconds after the first one, and what is served.
_STEPS = (
    ("cold", "resolve", 0, ("first",)),
    ("", "refresh", 400, ("first",)),  # the first refresh of all also fetches the policy, once
    ("unchanged", "refresh", 800, ("first",)),
    ("inside", "resolve", 810, ("first",)),
    ("changed", "resolve", 1200, ("changed", "first")),
)


def imports(subject: Subject, host: Host) -> list[str]:
    """The modules that a host process has imported once it has looked something up."""
    job = client_job(subject, host, "imports", "resolve")
    found: list[str] = run_worker({**job, "what": "modules"})["modules"]
    host.take()
    return found


def client_job(subject: Subject, host: Host, home: str, call: str, later: float = 0) -> dict[str, Any]:
    """A worker's job: one call of a client with a home of that name."""
    return {
        "what": "client",
        "url": host.url,
        "root": str(subject.root),
        "home": str(subject.scratch / f"home-{home}"),
        "call": call,
        "later": later,
        "id": subject.plugin.id,
        "text": TEXT,
        "expected": subject.plugins,
    }


def measure_clients(subject: Subject) -> Iterator[Figure]:
    """One plugin cold, inside the TTL and after it changed, and a refresh that finds nothing new, in turns."""
    rounds = {name: Rounds(f"client/{name}", subject.plugins, title) for name, title in _TITLES.items()}
    with serve(subject.layers()) as host:
        modules = imports(subject, host)
        for number in range(subject.repeat + 1):
            home = f"client-{number}"
            for name, call, later, layers in _STEPS:
                host.use(*layers)
                result = run_worker({**client_job(subject, host, home, call, later), "modules": modules})
                counted = host.take()
                if name and number:  # the first round makes and compresses what the server keeps
                    rounds[name].add(result["seconds"][0], counted, result["memory"])
            shutil.rmtree(subject.scratch / f"home-{home}")
    yield from (one.figure() for one in rounds.values())


def measure_commands(subject: Subject) -> Iterator[Figure]:
    """`plugin search` and `plugin info` inside the TTL and `pip --version`, in turns, as whole processes; the search in process."""
    plugin = [sys.executable, "-m", "registry_client.cli.main"]
    commands = {
        "search": ("`plugin search`, inside the TTL", [*plugin, "search", *TEXT.split()]),
        "info": ("`plugin info`, inside the TTL", [*plugin, "info", subject.plugin.id]),
        "pip": ("`pip --version`, beside it", [sys.executable, "-m", "pip", "--version"]),
    }
    rounds = {
        name: Rounds(f"command/{name}", subject.plugins, title) for name, (title, _) in commands.items()
    }
    with serve(subject.layers()) as host:
        home = subject.scratch / "home-commands"
        environ = {
            "PLUGIN_REGISTRY_URL": host.url,
            "PLUGIN_REGISTRY_ROOT": str(subject.root),
            "PLUGIN_REGISTRY_HOME": str(home),
        }
        for _ in range(2):  # fills the cache, and the system's
            for _, command in commands.values():
                run_command(command, environ)
        host.take()
        for _ in range(2 * subject.repeat):
            for name, (_, command) in commands.items():
                rounds[name].add(run_command(command, environ), host.take())
        job = client_job(subject, host, "commands", "search")
        inside = Rounds("catalogue/inside", subject.plugins, "catalogue searched inside the TTL, in process")
        for _ in range(subject.repeat):
            result = run_worker({**job, "modules": ["registry_client.client"]})
            inside.add(result["seconds"][0], host.take(), result["memory"])
    yield from (one.figure() for one in (*rounds.values(), inside))


def measure_catalogue(subject: Subject) -> Iterator[Figure]:
    """The catalogue's bytes parsed and searched."""
    job = {"what": "catalogue", "file": str(subject.folder / "registry.json"), "text": TEXT}
    result = run_worker({**job, "repeat": 3 * subject.repeat})
    for key, title in (
        ("searched", "catalogue parsed as far as needed and searched, in process"),
        ("parsed", "catalogue parsed whole, every line given, in process"),
    ):
        yield Figure(f"catalogue/{key}", subject.plugins, title, tuple(result[key]))


def measure_manifests(subject: Subject) -> Iterator[Figure]:
    """The newest manifest of every plugin, nothing cached: without a bundle, and with one as mirrors have it."""
    from publisher.mirror.bundle import build_bundle

    bundle = build_bundle(subject.tree)
    if bundle is None:
        raise AssertionError(f"a registry of {subject.plugins} plugins has no bundle")
    write_plainly(subject.scratch / "bundle", {"bundle/manifests.gz": bundle})
    layers = {**subject.layers(), "bundle": Layer(str(subject.scratch / "bundle"))}
    kinds = {
        "plain": ("all manifests, without a bundle", ("first",)),
        "bundle": ("all manifests, with a bundle", ("bundle", "first")),
    }
    rounds = {name: Rounds(f"manifests/{name}", subject.plugins, title) for name, (title, _) in kinds.items()}
    with serve(layers) as host:
        modules = imports(subject, host)
        for number in range(subject.repeat + 1):
            for name, (_, order) in kinds.items():
                host.use(*order)
                job = client_job(subject, host, f"{name}-{number}", "manifests")
                result = run_worker({**job, "modules": modules})
                counted = host.take()
                if number:
                    rounds[name].add(result["seconds"][0], counted, result["memory"])
                shutil.rmtree(subject.scratch / f"home-{name}-{number}")
    yield from (one.figure() for one in rounds.values())
