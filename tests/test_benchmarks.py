"""The benchmark is honest: its large registries are what the registrar would write, its server is slow as it says, its guards can fail."""

from __future__ import annotations

import gzip
import json
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import __main__ as command
from benchmarks import smoke
from benchmarks.bulk import build_bulk
from benchmarks.data import build_data, options_for
from benchmarks.figures import Figure, figure_from_json
from benchmarks.generated import BulkTree, Generator, fanned_out
from benchmarks.peers.pages import PARTS, cut, part_of, read_pages
from benchmarks.plots import draw
from benchmarks.plugins import VERSIONS, number_of, plugin_at
from benchmarks.report import fill, tables, to_json
from benchmarks.serving import serve
from benchmarks.sources import Layer
from benchmarks.subject import build_subject, write_plainly
from benchmarks.targets import judge
from benchmarks.usage import Counted, count_waves
from publisher.registrar.basis import parse_basis
from publisher.registrar.run import register
from publisher.tree import MemoryTree
from registry_client import layout

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from benchmarks.targets import Found

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[1]


# --- data


def test_plugins_are_found_by_their_ids() -> None:
    """A plugin's number stands in its id; an id that only looks like one is nobody's."""
    for number in (0, 57, 99):
        assert number_of(plugin_at(number, 100).id, 100) == number
    assert number_of(plugin_at(57, 100).id, 50) is None
    assert number_of("team99-calendar-000000", 100) is None
    assert number_of("calendar", 100) is None


def test_a_tree_that_is_made_lists_what_it_reads(tmp_path: Path) -> None:
    """Folder and generator together look like a folder with all files."""
    write_plainly(tmp_path, {"policy.json": b"{}", "index/1.json": b"1"})
    tree = BulkTree(tmp_path, Generator(12, NOW))
    paths = list(tree.paths(""))
    assert {"policy.json", "index/1.json"} < set(paths)
    assert len(paths) == 2 + 12 + 12 * len(VERSIONS) + 6
    assert all(tree.read(path) for path in paths)
    assert dict(tree.generator.files()) == {p: tree.read(p) for p in paths if p.startswith("plugins/")}
    assert tree.read("plugins/calendar.json") is None
    assert list(tree.paths("index")) == ["index/1.json"]


@pytest.mark.parametrize("count", [12, 70])
def test_what_is_made_directly_is_what_the_registrar_writes(count: int) -> None:
    """Byte for byte, but for what a run says of itself, which is given."""
    registered = build_data(count, NOW).files
    basis = parse_basis(signed_by_registrar(registered))
    assert basis is not None
    made = {**build_bulk(count, NOW, 1, basis=basis), **dict(Generator(count, NOW).files())}
    assert set(made) == set(registered)
    assert [path for path, data in made.items() if registered[path] != data] == []
    quiet = parse_basis(signed_by_registrar(build_bulk(count, NOW, 1)))
    assert quiet is not None
    assert (quiet.totals, quiet.targets, quiet.blocks) == (basis.totals, basis.targets, basis.blocks)


def signed_by_registrar(files: dict[str, bytes]) -> dict[str, Any]:
    """The signed part of the registrar's newest metadata."""
    newest = max(path for path in files if path.endswith(".registrar.json"))
    signed: dict[str, Any] = json.loads(files[newest])["signed"]
    return signed


def test_many_plugins_are_fanned_out_as_the_registrar_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bound set low: some of the plugins in one folder, the others in many."""
    monkeypatch.setattr(layout, "FAN_OUT_ABOVE", 5)
    fanned_out.cache_clear()
    try:
        registered = build_data(20, NOW).files
        made = {**build_bulk(20, NOW, 1), **dict(Generator(20, NOW).files())}
    finally:
        fanned_out.cache_clear()
    assert sum(path.startswith("plugins/_") for path in made) > 60
    assert {p for p in made if p.startswith("plugins/")} == {
        p for p in registered if p.startswith("plugins/")
    }


def test_the_registrar_goes_on_from_what_was_made_directly(tmp_path: Path) -> None:
    """It finds nothing to correct, and one more version changes no other plugin."""
    subject = build_subject(30, NOW, tmp_path, 1)
    files = {path: subject.tree.read(path) or b"" for path in subject.tree.paths("")}
    options = replace(options_for(subject.root.read_bytes()), full=True)
    changes = register(MemoryTree(files), (), options, NOW).changes
    assert [path for path in changes if not path.startswith("metadata/")] == []
    changed = [path for path in subject.changed_paths() if path.startswith("plugins/")]
    assert changed
    assert all(subject.plugin.id in path for path in changed)


# --- server


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Any]:
    """A server of two layers with a round trip of 50 ms and 1 MB a second."""
    write_plainly(tmp_path / "a", {"one.json": b"[1]" * 100, "large.bin": bytes(range(256)) * 400})
    write_plainly(tmp_path / "b", {"one.json": b"[2]"})
    layers = {"a": Layer(str(tmp_path / "a")), "b": Layer(str(tmp_path / "b"))}
    with serve(layers, latency=0.05, rate=1_000_000) as host:
        yield host


def get(connection: HTTPConnection, path: str, **headers: str) -> tuple[float, int, bytes, str]:
    """Seconds, status, body and entity tag."""
    start = time.perf_counter()
    connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
    answer = connection.getresponse()
    data = answer.read()
    return time.perf_counter() - start, answer.status, data, answer.getheader("ETag", "")


def test_the_server_charges_round_trips_and_bytes(served: Any) -> None:
    """A new connection is a round trip of its own; a large file takes as long as the link says."""
    connection = HTTPConnection(served.url.removeprefix("http://"))
    first, second = get(connection, "/one.json")[0], get(connection, "/one.json")[0]
    assert first >= 0.1
    assert 0.05 <= second < first
    seconds, _, data, _ = get(connection, "/large.bin")
    assert len(data) == 102_400
    assert seconds >= 0.05 + 0.1
    counted = served.take()
    assert (counted.requests, counted.connections, counted.waves) == (3, 1, 3)
    assert counted.bodies == 300 * 2 + 102_400
    assert served.take() == Counted()
    connection.close()


def test_the_server_compresses_and_knows_its_files(served: Any) -> None:
    """Gzip for those who ask, 304 for those who have it, 404 for what is not there."""
    connection = HTTPConnection(served.url.removeprefix("http://"))
    _, _, packed, etag = get(connection, "/one.json", Accept_Encoding="gzip")
    assert gzip.decompress(packed) == b"[1]" * 100
    assert get(connection, "/one.json", If_None_Match=etag)[1:3] == (304, b"")
    assert get(connection, "/two.json")[1] == 404
    served.use("b", "a")
    assert get(connection, "/one.json")[2] == b"[2]"
    assert get(connection, "/large.bin")[1] == 200
    served.behave("drip")
    connection.request("GET", "/one.json")
    assert connection.sock is not None
    time.sleep(0.7)
    assert 1 <= len(connection.sock.recv(1000)) <= 5
    connection.close()


@pytest.mark.parametrize(
    ("requests", "waves"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (0, 1)], 1),
        ([(0, 1), (1, 2), (2, 3)], 3),
        ([(0, 3), (1, 2), (2, 4)], 2),
        ([(0, None), (1, 2)], 1),
        ([(5, 6), (0, 1), (0.5, 5.5)], 2),
    ],
)
def test_waves(requests: list[tuple[float, float | None]], waves: int) -> None:
    """Requests that run side by side are one round trip, those that wait for each other are several."""
    assert count_waves(requests) == waves


# --- figures, targets, tables


def figure(key: str, plugins: int, seconds: float = 0.1, **used: int) -> Figure:
    """A figure."""
    counted = Counted(**{"requests": 0, **used}) if used else None
    return Figure(key, plugins, f"{key} for people", (seconds,), counted=counted, memory=1_000_000)


def good() -> list[Figure]:
    """Figures that meet every guard and target that they concern."""
    found = []
    for plugins in (100, 1000, 10_000):
        found += [
            figure("client/cold", plugins, 0.3, requests=10, waves=5, bodies=20_000),
            figure("client/unchanged", plugins, 0.09, requests=2, waves=1, bodies=300),
            figure("client/changed", plugins, 0.2, requests=5, waves=4, bodies=9000),
            figure("client/inside", plugins, 0.02, requests=0),
            figure("command/search", plugins, 0.09, requests=0),
            figure("command/info", plugins, 0.09, requests=0),
            figure("command/pip", plugins, 0.1),
            figure("peer/shard", plugins, 0.2),
            figure("registrar/publish", plugins, 0.1),
            figure("manifests/plain", plugins, 0.9),
            figure("manifests/bundle", plugins, 0.3),
            figure("peer/connections", plugins, 0.7),
        ]
    growth = Figure("growth/batch-5", 10_000, "growth a publish: batches of 5", (2500.0,), "B")
    return [*found, growth]


def found_in(figures: list[Figure]) -> Found:
    """Figures by key and size."""
    return {(one.key, one.plugins): one for one in figures}


def test_good_figures_break_no_guard_and_miss_no_target() -> None:
    """The tables below change one thing each."""
    assert smoke.broken_in(found_in(good())) == []
    assert [target for target in judge(good()) if not target.met] == []
    assert sum(target.everywhere for target in judge(good())) > 10


@pytest.mark.parametrize("guard", smoke.GUARDS, ids=lambda guard: guard.name)
def test_every_guard_can_fail(guard: smoke.Guard) -> None:
    """Worse by half than its bound, and by no more, a guard says so under its name."""
    found = found_in(good())
    value = guard.measured(found)
    assert value <= guard.most
    above = max(guard.most * 1.5, guard.most + 1)
    for key, one in found.items():
        slower = replace(one, samples=tuple(seconds * above / (value or 1) for seconds in one.samples))
        worse: dict[str, int] = {}
        if one.counted is not None:
            worse = {name: int(number + above + 1) for name, number in vars(one.counted).items()}
        more = replace(slower, counted=Counted(**worse) if worse else None)
        changed = {**found, key: more}
        if guard in smoke.broken_in(changed):
            assert key[0] in guard.keys
            assert guard.message(changed).startswith(f"guard {guard.name}: {guard.says}; measured ")
            return
    pytest.fail(f"nothing that was measured can break {guard.name}")


def test_a_count_that_is_over_fails_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Requests do not depend on luck: they are not measured again."""
    runs = []

    def measured(names: Collection[str]) -> Found:
        runs.append(names)
        found = found_in(good())
        found["client/unchanged", 1000] = figure("client/unchanged", 1000, requests=3, waves=2, bodies=300)
        return found

    assert smoke.main(measured) == 1
    assert len(runs) == 1
    assert "error: guard unchanged-trips: " in capsys.readouterr().err


@pytest.mark.parametrize(("slow", "code"), [((True, False), 0), ((True, True), 1)])
def test_a_time_that_is_over_is_measured_again(
    slow: tuple[bool, bool], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine may be busy once."""
    turns = iter(slow)
    asked = []

    def measured(names: Collection[str]) -> Found:
        asked.append(set(names))
        found = found_in(good())
        found["client/cold", 1000] = replace(
            found["client/cold", 1000], samples=(0.6 if next(turns) else 0.3,)
        )
        return found

    assert smoke.main(measured) == code
    assert asked == [set(smoke.NEEDED.values()), {"client", "shards"}]
    assert ("error: guard cold-time: " in capsys.readouterr().err) is bool(code)


@pytest.mark.parametrize(
    ("worse", "text", "everywhere"),
    [
        (
            figure("client/cold", 1000, 0.3, requests=10, waves=6, bodies=20_000),
            "at most 5 round trips",
            True,
        ),
        (figure("client/cold", 1000, 0.3, requests=10, waves=5, bodies=60_001), "under 60 KB", True),
        (figure("client/unchanged", 1000, 0.1, requests=2, waves=1, bodies=400), "at any size", True),
        (figure("client/inside", 1000, 0.1, requests=1), "no request", True),
        (figure("client/cold", 1000, 0.5, requests=10, waves=5, bodies=20_000), "at most 2 x", False),
        (figure("registrar/publish", 10_000, 0.4), "under 0.3 s", False),
        (Figure("growth/batch-5", 10_000, "growth", (4001.0,), "B"), "under 4 KB", True),
    ],
)
def test_targets_can_be_missed(worse: Figure, text: str, everywhere: bool) -> None:
    """One figure over its bound, one target missed."""
    figures = [*good(), worse]
    missed = [target for target in judge(figures) if not target.met]
    assert [(text in target.text, target.everywhere) for target in missed] == [(True, everywhere)]


def test_results_come_back_as_they_were() -> None:
    """What the file holds is what was measured, and the tables come from it."""
    document = json.loads(json.dumps(to_json(good(), 5, {"x": 60.0}, {})))
    assert [figure_from_json(raw) for raw in document["figures"]] == good()
    made = tables(document)
    assert (
        "| client/cold for people | 300 ms; 10 requests, 5 trips, 20.0 KB; +1 MB memory |" in made["client"]
    )
    assert "| 10,000 | registrar after one publish: under 0.3 s | 0.100 s | met |" in made["targets"]
    assert "One run of 1 minutes on " in made["machine"]


def test_only_measured_parts_of_a_page_are_filled() -> None:
    """What people wrote stays, and so does a part that was not measured."""
    page = "a\n<!-- measured: client -->\nold\n<!-- end of client -->\nb\n<!-- measured: other -->\nkept\n<!-- end of other -->\n"
    filled = fill(page, {"client": "| new |"})
    assert filled == page.replace("\nold\n", "\n\n| new |\n\n")
    assert fill(filled, {"client": "| new |"}) == filled


@pytest.mark.parametrize("page", command.PAGES, ids=lambda path: path.name)
def test_the_documents_show_the_results_that_are_kept(page: Path) -> None:
    """Their measured parts are made from docs/scale/figures.json, and nobody has touched them since."""
    document = json.loads((ROOT / "docs" / "scale" / "figures.json").read_bytes())
    text = page.read_text("utf-8")
    assert "<!-- measured: " in text
    assert fill(text, tables(document)) == text


def test_a_failed_step_keeps_what_the_others_measured(tmp_path: Path) -> None:
    """Results are on disk after each step, the failure with them."""
    run = command.Run(tmp_path / "results.json", 5)
    run.do("good", lambda: [figure("client/inside", 100, requests=0)])

    def bad() -> Iterator[Figure]:
        yield figure("client/cold", 100, requests=1)
        raise RuntimeError("the disk is full")

    run.do("bad", bad)
    document = json.loads((tmp_path / "results.json").read_bytes())
    assert [raw["key"] for raw in document["figures"]] == ["client/inside", "client/cold"]
    assert document["failures"] == {"bad": "RuntimeError: the disk is full"}
    assert set(document["seconds"]) == {"good", "bad"}


def test_plots_are_the_same_for_the_same_results() -> None:
    """Well-formed, small, the same bytes each time."""
    pytest.importorskip("matplotlib")
    document = to_json(good(), 5, {}, {})
    made = draw(document)
    assert {"cold-bytes.svg", "cold-time.svg", "registrar.svg", "growth.svg"} <= set(made)
    assert draw(document) == made
    for name, data in made.items():
        assert len(data) < 60_000, name
        assert ET.fromstring(data).tag.endswith("svg")


# --- peers


def test_peers_have_the_same_data(tmp_path: Path) -> None:
    """Every index line stands in the pages, and each page in the part where it is looked for."""
    data = build_bulk(40, NOW, 1)
    write_plainly(tmp_path, data)
    pages = read_pages(tmp_path)
    assert set(pages) == {plugin_at(number, 40).id for number in range(40)}
    for plugin_id, page in pages.items():
        assert [row["version"] for row in json.loads(page)] == list(VERSIONS), plugin_id
    parts = cut(pages)
    assert len(parts) == PARTS
    assert all(plugin_id in json.loads(parts[part_of(plugin_id)]) for plugin_id in pages)
