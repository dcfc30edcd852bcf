"""`publisher registry mirror s3://…` against an S3 server that honours the conditions of writes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import requests
from support.maintainers import Kept, make_registry
from support.mirrored import copy_of, newest, publish, run
from support.object_storage import ENVIRONMENT, S3, Request, serve_s3

from publisher.cli.main import main
from publisher.mirror.kinds import kind_of
from publisher.mirror.lease import Clock
from publisher.mirror.object_store import ObjectPlace, open_bucket
from publisher.mirror.place import LEASE, OWN, STATE
from publisher.mirror.run import Options, Source, mirror
from publisher.mirror.served import served_paths, timestamp_version
from publisher.mirror.target import Bucket
from publisher.tree import TIMESTAMP, DirTree
from registry_client.bundle import BUNDLE_PATH
from registry_client.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX = "acme/registry"


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    """One server for all tests; each has its own bucket."""
    with serve_s3() as server:
        yield server


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server without faults, and credentials in the environment."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    server.fault, server.lost, server.deaf = (lambda _: None), (lambda _: False), False
    server.requests.clear()
    return server


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with one version of one plugin."""
    kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    return kept


@pytest.fixture
def bucket(s3: S3) -> str:
    """An empty bucket."""
    return s3.make_bucket()


class Time:
    """A clock that sleeping moves on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @property
    def clock(self) -> Clock:
        """As the code takes it."""
        return Clock(lambda: self.seconds, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        self.seconds += seconds


def place(s3: S3, bucket: str, *, prefix: str = PREFIX, wait: float = 300) -> ObjectPlace:
    """The mirror."""
    return open_bucket(Bucket("s3", bucket, prefix), s3.url, wait=wait, clock=Time().clock)


def base(s3: S3, bucket: str) -> str:
    """The base URL that hosts configure."""
    return f"{s3.url}/{bucket}/{PREFIX}"


def keys(s3: S3, bucket: str) -> set[str]:
    """What is there, but what runs remember."""
    return {path for path in place(s3, bucket).list() if not path.startswith(OWN)}


def kept_version(kept: Kept) -> int:
    """The version of the registry's timestamp."""
    return timestamp_version((kept.folder / TIMESTAMP).read_bytes())


def test_hosts_read_a_bucket(s3: S3, bucket: str, kept: Kept, tmp_path: Path) -> None:
    """All that is served is there, byte for byte, and nothing else; a host needs nothing but the URL."""
    done = run(place(s3, bucket), kept.folder, kept.now)
    paths = {*served_paths(DirTree(kept.folder)), BUNDLE_PATH}
    assert set(done.written) == paths == keys(s3, bucket)
    for path in paths - {BUNDLE_PATH}:
        assert s3.get(f"{bucket}/{PREFIX}/{path}").content == (kept.folder / path).read_bytes()
    assert newest(kept, base(s3, bucket), tmp_path / "home") == "1.0.0"


def test_what_caches_and_browsers_are_told(s3: S3, bucket: str, kept: Kept) -> None:
    """What never changes may be kept for ever, the rest for as long as clients go without asking; the timestamp briefly."""
    run(place(s3, bucket), kept.folder, kept.now)
    told = {}
    for path in keys(s3, bucket):
        answer = s3.get(f"{bucket}/{PREFIX}/{path}")
        told[path] = answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"] == kind_of(path).content_type, path
        assert "Content-Encoding" not in answer.headers
    assert told.pop(TIMESTAMP) == "public, max-age=10"
    mutable = {path for path, control in told.items() if control == "public, max-age=300"}
    assert mutable >= {"registry.json", "policy.json", "blocks.json", BUNDLE_PATH, "publishers/acme.json"}
    for path in told.keys() - mutable:
        assert told[path] == "public, max-age=31536000, immutable"
        assert path.startswith(("metadata/", "targets/")) or path.endswith("/manifest.json"), path


def test_the_order_of_writes(s3: S3, bucket: str, kept: Kept) -> None:
    """The first root, then what never changes, then what changes in place, the roles, their snapshot, the timestamp."""
    run(place(s3, bucket), kept.folder, kept.now)
    writes = [path.removeprefix(f"/{bucket}/{PREFIX}/") for path in s3.puts() if OWN not in path]
    waves = [kind_of(path).wave for path in writes]
    assert waves == sorted(waves)
    assert writes[0] == "metadata/1.root.json"
    assert writes[-1] == TIMESTAMP
    assert writes.index("registry.json") > writes.index("publishers/acme.json")
    assert len(writes) == len(set(writes))


def test_every_write_has_a_condition(s3: S3, bucket: str, kept: Kept) -> None:
    """Nothing is ever written without saying what stands there."""
    run(place(s3, bucket), kept.folder, kept.now)
    publish(kept, "1.1.0")
    run(place(s3, bucket), kept.folder, kept.now)
    for request in s3.requests:
        if request.writes:
            assert ("if-match" in request.headers) != ("if-none-match" in request.headers), request.path


def test_a_bucket_follows(s3: S3, bucket: str, kept: Kept, tmp_path: Path) -> None:
    """Only what changed is read and written; what the registry has no more goes after the grace time; other files stay."""
    run(place(s3, bucket), kept.folder, kept.now)
    other = place(s3, bucket, prefix=f"{PREFIX}/notes")
    other.put("readme.txt", b"mine", kind_of("readme.txt"), None)
    s3.requests.clear()
    again = run(place(s3, bucket), kept.folder, kept.now)
    assert (again.written, again.deleted) == ((), ())
    assert {path.rpartition("/")[2] for path in s3.puts()} == {"lease.json"}
    assert len(s3.requests) < 20
    publish(kept, "1.1.0")
    kept.pass_time(days=30)
    publish(kept, "1.2.0")
    s3.requests.clear()
    done = run(place(s3, bucket), kept.folder, kept.now)
    assert len([path for path in s3.puts() if OWN not in path]) == len(done.written)
    assert done.leaving > 0
    assert newest(kept, base(s3, bucket), tmp_path / "home") == "1.2.0"
    kept.pass_time(days=7)
    last = run(place(s3, bucket), kept.folder, kept.now)
    assert len(last.deleted) == done.leaving
    assert keys(s3, bucket) == {*served_paths(DirTree(kept.folder)), BUNDLE_PATH, "notes/readme.txt"}


def test_the_state_is_never_trusted(s3: S3, bucket: str, kept: Kept) -> None:
    """Lost, damaged, or of an older run: what stands there is what counts."""
    run(place(s3, bucket), kept.folder, kept.now)
    there = place(s3, bucket)
    found = there.read(STATE, 10**6)
    assert found is not None
    for state in (None, b"", b"{", found[0][:100], found[0]):
        tag = place(s3, bucket).list()
        if state is None:
            there.delete([STATE])
        else:
            there.put(STATE, state, kind_of(STATE), tag.get(STATE))
        assert run(place(s3, bucket), kept.folder, kept.now).written == ()
        there.put("registry.json", b"{}", kind_of("registry.json"), tag["registry.json"])
        manifest = "plugins/calendar/1.0.0/manifest.json"
        there.put(manifest, b"forged", kind_of(manifest), tag[manifest])
        assert run(place(s3, bucket), kept.folder, kept.now).written == (manifest, "registry.json")


@pytest.mark.parametrize("lost", [False, True])
def test_stopped_at_every_write(
    s3: S3, bucket: str, kept: Kept, tmp_path: Path, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the store fails, before or after it did what was asked, hosts read the state before; the next run completes it."""
    monkeypatch.setattr("publisher.mirror.object_store._RETRIES", 0)
    run(place(s3, bucket), kept.folder, kept.now)
    publish(kept, "1.1.0")
    hints: list[str] = []
    for stop in range(200):
        writes = [0]

        def failing(request: Request, writes: list[int] = writes, stop: int = stop) -> bool:
            writes[0] += request.writes
            return request.writes and writes[0] > stop

        s3.fault = (lambda _: None) if lost else (lambda request: 503 if failing(request) else None)
        s3.lost = failing if lost else (lambda _: False)
        try:
            run(place(s3, bucket), kept.folder, kept.now)
        except PublishError as e:
            hints.append(e.hint)
        else:
            break
        s3.fault, s3.lost = (lambda _: None), (lambda _: False)
        read = newest(kept, base(s3, bucket), tmp_path / f"home-{stop}")
        assert read == "1.0.0" or lost
    assert len(hints) > 5
    assert all(hints)
    s3.fault, s3.lost = (lambda _: None), (lambda _: False)
    run(place(s3, bucket), kept.folder, kept.now)
    assert newest(kept, base(s3, bucket), tmp_path / "home") == "1.1.0"
    assert run(place(s3, bucket), kept.folder, kept.now).written == ()


def test_a_first_run_that_stops(
    s3: S3, bucket: str, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any write into an empty bucket: the next run knows it for its own mirror, and completes it."""
    monkeypatch.setattr("publisher.mirror.object_store._RETRIES", 0)
    stopped = 0
    for stop in range(0, 200, 4):
        writes, there = [0], s3.make_bucket()

        def failing(request: Request, writes: list[int] = writes, stop: int = stop) -> int | None:
            writes[0] += request.writes
            return 503 if request.writes and writes[0] > stop else None

        s3.fault = failing
        try:
            run(place(s3, there), kept.folder, kept.now)
        except PublishError:
            s3.fault = lambda _: None
        else:
            break
        stopped += 1
        assert s3.get(f"{there}/{PREFIX}/{TIMESTAMP}").status_code != 200
        run(place(s3, there), kept.folder, kept.now)
        assert newest(kept, base(s3, there), tmp_path / f"home-{stop}") == "1.0.0"
    assert stopped > 5


def test_interrupted_by_somebody(s3: S3, bucket: str, kept: Kept) -> None:
    """The lease is let go of, so that the next run need not wait; what was written is remembered."""

    def interrupt(done: int, total: int) -> None:
        assert done <= total
        if done == 10:
            raise KeyboardInterrupt

    source = Source(DirTree(kept.folder), "registry")
    with pytest.raises(KeyboardInterrupt):
        mirror(place(s3, bucket), source, Options(kept.now, progress=interrupt))
    s3.requests.clear()
    assert mirror(place(s3, bucket, wait=0), source, Options(kept.now)).unchanged >= 10
    assert len([request for request in s3.requests if request.method == "GET"]) < 30


def test_a_file_that_is_not_what_its_name_says(s3: S3, bucket: str, kept: Kept) -> None:
    """Such a copy is not passed on."""
    copy = next((kept.folder / "targets").glob("*.registry.json"))
    copy.write_bytes(b"{}")
    with pytest.raises(ConfigError, match="changed while it was copied") as caught:
        run(place(s3, bucket), kept.folder, kept.now)
    assert "its bytes are not those of its name" in caught.value.hint
    assert TIMESTAMP not in keys(s3, bucket)


def test_one_answer_that_gets_lost(s3: S3, bucket: str, kept: Kept, tmp_path: Path) -> None:
    """A write that was done, and whose answer was an error, is seen to be done when it is tried again."""
    seen: set[str] = set()

    def once(request: Request) -> bool:
        first = request.writes and request.path not in seen
        seen.add(request.path)
        return first

    s3.lost = once
    done = run(place(s3, bucket), kept.folder, kept.now)
    assert {*done.written} == keys(s3, bucket)
    s3.lost = lambda _: False
    assert newest(kept, base(s3, bucket), tmp_path / "home") == "1.0.0"


def test_no_bucket_goes_back(s3: S3, bucket: str, kept: Kept, tmp_path: Path) -> None:
    """A mirror that is newer is left alone, and so is one that a newer run has begun to bring up to date."""
    old = copy_of(kept, tmp_path / "old")
    publish(kept, "1.1.0")
    run(place(s3, bucket), kept.folder, kept.now)
    before = place(s3, bucket).list()
    with pytest.raises(ConfigError, match=r"is at timestamp \d+, and this registry only at \d+"):
        run(place(s3, bucket), old.folder, kept.now)
    assert place(s3, bucket).list() == before


def test_a_newer_run_that_stopped_is_not_undone(
    s3: S3, bucket: str, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older checkout does not take back what a newer run has written; it waits for a newer one to complete it."""
    monkeypatch.setattr("publisher.mirror.object_store._RETRIES", 0)
    run(place(s3, bucket), kept.folder, kept.now)
    old = copy_of(kept, tmp_path / "old")
    publish(kept, "1.1.0")
    s3.fault = lambda request: 503 if request.writes and request.path.endswith(TIMESTAMP) else None
    with pytest.raises(PublishError, match=r"timestamp\.json: cannot be written"):
        run(place(s3, bucket), kept.folder, kept.now)
    s3.fault = lambda _: None
    before = {path: tag for path, tag in place(s3, bucket).list().items() if path != LEASE}
    with pytest.raises(ConfigError, match="a run has begun to bring it to timestamp"):
        run(place(s3, bucket), old.folder, kept.now)
    assert {path: tag for path, tag in place(s3, bucket).list().items() if path != LEASE} == before
    assert run(place(s3, bucket), kept.folder, kept.now).written == (TIMESTAMP,)


def test_another_registry_is_not_written_over(s3: S3, bucket: str, kept: Kept, tmp_path: Path) -> None:
    """Nor are files of others."""
    (tmp_path / "other").mkdir()
    other = make_registry(tmp_path / "other")
    run(place(s3, bucket), other.folder, other.now)
    with pytest.raises(ConfigError, match="mirror of another registry"):
        run(place(s3, bucket), kept.folder, kept.now)
    taken = s3.make_bucket()
    place(s3, taken).put("index.html", b"<p>", kind_of("index.html"), None)
    with pytest.raises(ConfigError, match="holds other files"):
        run(place(s3, taken), kept.folder, kept.now)
    assert keys(s3, taken) == {"index.html"}


def test_a_store_that_ignores_conditions(s3: S3, bucket: str, kept: Kept) -> None:
    """Is refused before anything is written: runs would undo each other, and nobody would see it."""
    s3.deaf = True
    with pytest.raises(ConfigError, match="ignores If-Match"):
        run(place(s3, bucket), kept.folder, kept.now)
    assert keys(s3, bucket) == set()


def test_a_dry_run_writes_nothing(s3: S3, bucket: str, kept: Kept) -> None:
    """Not even the lease."""
    would = run(place(s3, bucket), kept.folder, kept.now, dry_run=True)
    assert s3.puts() == []
    assert place(s3, bucket).list() == {}
    assert {*run(place(s3, bucket), kept.folder, kept.now).written} == {*would.written}


def test_a_run_that_was_killed(s3: S3, bucket: str, kept: Kept) -> None:
    """Its lease ends; until then others wait, and no longer than they were told to."""
    run(place(s3, bucket), kept.folder, kept.now)
    killed = place(s3, bucket).exclusive(kept_version(kept))
    killed.__enter__()
    publish(kept, "1.1.0")
    said: list[str] = []
    waiting = open_bucket(
        Bucket("s3", bucket, PREFIX),
        s3.url,
        wait=60,
        clock=Time().clock,
        on_wait=lambda: said.append("waits"),
    )
    with pytest.raises(PublishError, match="another run writes this mirror"):
        run(waiting, kept.folder, kept.now)
    assert said == ["waits"]
    assert run(place(s3, bucket, wait=300), kept.folder, kept.now).written


def test_a_run_that_was_halted(s3: S3, bucket: str, kept: Kept, tmp_path: Path) -> None:
    """Another took over meanwhile: what it wrote is not written over when the halted one goes on."""
    run(place(s3, bucket), kept.folder, kept.now)
    old = copy_of(kept, tmp_path / "old")
    publish(kept, "1.1.0")
    halted = copy_of(kept, tmp_path / "halted")
    publish(kept, "1.2.0")
    taken_over: list[bool] = []

    def halt(request: Request) -> None:
        if request.writes and request.path.endswith("registry.json") and not taken_over:
            taken_over.append(True)
            run(place(s3, bucket), kept.folder, kept.now)

    s3.fault = halt
    with pytest.raises(PublishError, match="another run took over"):
        run(place(s3, bucket), halted.folder, kept.now)
    s3.fault = lambda _: None
    assert old.folder.exists()
    assert newest(kept, base(s3, bucket), tmp_path / "home") == "1.2.0"
    for path in served_paths(DirTree(kept.folder)):
        assert s3.get(f"{bucket}/{PREFIX}/{path}").content == (kept.folder / path).read_bytes(), path


def test_a_run_that_lost_the_right_deletes_nothing(s3: S3, bucket: str, kept: Kept, tmp_path: Path) -> None:
    """Deletions have no condition: what the next run has put back would be gone."""
    extra = kept.folder / "schema" / "extra.json"
    extra.write_text("{}")
    run(place(s3, bucket), kept.folder, kept.now)
    extra.unlink()
    run(place(s3, bucket), kept.folder, kept.now)
    publish(kept, "1.1.0")
    kept.pass_time(days=8)
    halted = copy_of(kept, tmp_path / "halted")
    publish(kept, "1.2.0")
    extra.write_text("{}")

    def halt(request: Request) -> None:
        if request.writes and request.path.endswith(STATE):
            s3.fault = lambda _: None
            run(place(s3, bucket), kept.folder, kept.now)

    s3.fault = halt
    with pytest.raises(PublishError, match="another run took over"):
        run(place(s3, bucket), halted.folder, kept.now)
    assert "schema/extra.json" in keys(s3, bucket)


def test_the_right_is_kept_while_a_mirror_is_read(s3: S3, bucket: str, kept: Kept) -> None:
    """Without a state everything is read: on a large mirror that takes longer than a lease lasts."""
    run(place(s3, bucket), kept.folder, kept.now)
    place(s3, bucket).delete([STATE])
    time = Time()

    def slow(request: Request) -> None:
        time.seconds += 20 * (request.method == "GET" and OWN not in request.path)

    s3.fault = slow
    s3.requests.clear()
    slow_one = open_bucket(Bucket("s3", bucket, PREFIX), s3.url, wait=300, clock=time.clock)
    assert run(slow_one, kept.folder, kept.now).written == ()
    assert time.seconds > 360
    renewed = [path for path in s3.puts() if path.endswith(LEASE)]
    assert len(renewed) > 5  # taken, tried twice in vain, let go of, and once after that last long wait


def test_a_lease_that_cannot_be_written(s3: S3, bucket: str, kept: Kept) -> None:
    """A store that answers every write with a conflict, as some do for what is locked, is not asked for ever."""
    s3.fault = lambda request: 409 if request.writes else None
    with pytest.raises(PublishError, match="another run writes this mirror"):
        run(place(s3, bucket, wait=10), kept.folder, kept.now)


def test_what_comes_back_in_time_is_not_deleted(s3: S3, bucket: str, kept: Kept) -> None:
    """Its grace begins anew when it goes again, however long it was back."""
    extra = kept.folder / "schema" / "extra.json"
    extra.write_text("{}")
    run(place(s3, bucket), kept.folder, kept.now)
    extra.unlink()
    assert run(place(s3, bucket), kept.folder, kept.now).leaving == 1
    kept.pass_time(days=5)
    extra.write_text("{}")
    assert run(place(s3, bucket), kept.folder, kept.now).leaving == 0
    kept.pass_time(days=5)
    extra.unlink()
    assert run(place(s3, bucket), kept.folder, kept.now).deleted == ()


def test_folders_that_a_console_made(s3: S3, bucket: str, kept: Kept) -> None:
    """An object named as the prefix, with a slash, is no other file."""
    requests.put(f"{base(s3, bucket)}/", data=b"", timeout=30).raise_for_status()
    run(place(s3, bucket), kept.folder, kept.now)
    requests.put(f"{base(s3, bucket)}/plugins/", data=b"", timeout=30).raise_for_status()
    done = run(place(s3, bucket), kept.folder, kept.now, grace=timedelta(0))
    assert (done.written, done.deleted) == ((), ())


def test_a_name_that_is_no_path(s3: S3, bucket: str, kept: Kept) -> None:
    """Such an object hides all others from the listing: nothing is written, and it is said why."""
    run(place(s3, bucket), kept.folder, kept.now)
    requests.put(f"{base(s3, bucket)}/plugins//x.json", data=b"", timeout=30).raise_for_status()
    with pytest.raises(PublishError, match="an object there has a name with an empty part"):
        run(place(s3, bucket), kept.folder, kept.now)


def test_a_store_that_takes_a_write_a_second(s3: S3, bucket: str, kept: Kept) -> None:
    """The lease is let go of all the same, so that the next run need not wait."""
    leases: list[Request] = []

    def limited(request: Request) -> int | None:
        leases.extend([request] if request.writes and request.path.endswith(LEASE) else [])
        return 429 if leases and request is leases[-1] and len(leases) == 4 else None

    s3.fault = limited
    run(place(s3, bucket), kept.folder, kept.now)
    assert len(leases) == 5
    run(place(s3, bucket, wait=0), kept.folder, kept.now)


def test_two_writes_that_meet(s3: S3, bucket: str, kept: Kept) -> None:
    """S3 answers 409 to one of them; it is looked at again, and written."""
    met: list[str] = []

    def meet(request: Request) -> int | None:
        first = request.writes and request.path.endswith("registry.json") and not met
        met.extend([request.path] if first else [])
        return 409 if first else None

    s3.fault = meet
    assert "registry.json" in run(place(s3, bucket), kept.folder, kept.now).written
    assert met
    assert run(place(s3, bucket), kept.folder, kept.now).written == ()


def test_grace_survives_a_lost_state(s3: S3, bucket: str, kept: Kept) -> None:
    """Then it begins anew: a file stays longer, never shorter."""
    old = kept.folder / "schema" / "extra.json"
    old.write_text("{}")
    run(place(s3, bucket), kept.folder, kept.now)
    old.unlink()
    assert run(place(s3, bucket), kept.folder, kept.now).leaving == 1
    kept.pass_time(days=6)
    place(s3, bucket).delete([STATE])
    kept.pass_time(days=2)
    assert run(place(s3, bucket), kept.folder, kept.now).deleted == ()
    kept.pass_time(days=7)
    assert run(place(s3, bucket), kept.folder, kept.now).deleted == ("schema/extra.json",)
    assert run(place(s3, bucket), kept.folder, kept.now, grace=timedelta(0)).deleted == ()


@pytest.mark.parametrize(
    ("status", "exit_code", "said"),
    [(403, 9, "the right to"), (401, 9, "credentials"), (500, 9, "Run it again")],
)
def test_what_the_store_says_is_not_repeated(
    s3: S3,
    bucket: str,
    kept: Kept,
    status: int,
    exit_code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its answers and the library's errors may hold signatures: of them only status, code and known words are shown."""
    monkeypatch.setattr("publisher.mirror.object_store._RETRIES", 0)
    s3.fault = lambda _: status
    arguments = ["registry", "mirror", f"s3://{bucket}/x", "--from", str(kept.folder), "--endpoint", s3.url]
    assert main(arguments) == exit_code
    shown = capsys.readouterr()
    assert said in shown.err
    assert f"s3://{bucket}/x/" in shown.err
    assert "secret" not in shown.err + shown.out
    assert "Debug" not in shown.err


def test_the_command(
    s3: S3, bucket: str, kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what it did; the endpoint may stand in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    arguments = ["registry", "mirror", f"s3://{bucket}/{PREFIX}/", "--from", str(kept.folder), "--json"]
    assert main([*arguments, "--dry-run"]) == 0
    would = json.loads(capsys.readouterr().out)
    assert main(arguments) == 0
    did = json.loads(capsys.readouterr().out)
    assert did.pop("dryRun") is False
    assert would.pop("dryRun") is True
    assert did == would
    assert did["written"] == len(keys(s3, bucket))
    assert main([*arguments, "--endpoint", "http://127.0.0.1:9"]) == 9
    assert "nothing answers there" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "aws_region"])
def test_a_secret_with_a_line_break(
    s3: S3,
    bucket: str,
    kept: Kept,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it is pasted easily: the setting is named, its value not shown, and nothing panics."""
    monkeypatch.setenv(name, "hunter2\n")
    arguments = ["registry", "mirror", f"s3://{bucket}/x", "--from", str(kept.folder), "--endpoint", s3.url]
    assert main(arguments) == 3
    shown = capsys.readouterr()
    assert f"{name} holds a line break" in shown.err
    assert "hunter2" not in shown.err + shown.out


def test_conditions_that_are_switched_off(
    s3: S3, bucket: str, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever did that for another program is told."""
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    with pytest.raises(PublishError, match="unset AWS_CONDITIONAL_PUT"):
        run(place(s3, bucket), kept.folder, kept.now)


def test_without_the_library(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The extra is named; folders need none."""
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    assert main(["registry", "mirror", "s3://acme/x", "--from", str(kept.folder)]) == 3
    assert "pip install 'plugin-registry[mirror]'" in capsys.readouterr().err
    assert main(["registry", "mirror", str(kept.folder.parent / "m"), "--from", str(kept.folder)]) == 0
