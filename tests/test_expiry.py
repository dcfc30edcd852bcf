"""`publisher registry expiry`: for how long each role is signed, by whichever way the registry is reached, and the issue about it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.githttp import git_host
from support.github.records import Fault as GitHubFault
from support.github.server import github_double
from support.httpd import Fault, FaultServer
from support.maintainers import START, Kept, make_registry
from support.mini_registry import MiniRegistry, serve
from support.world import commit_all, git

from publisher.cli.main import main
from publisher.maintain.fetch_tree import fetch_metadata, fetch_root
from publisher.tree import DirTree, MemoryTree
from publisher.tuf_repository import latest_version
from publisher.watch.expiry import Expiry, Level, expiries, level_of
from publisher.watch.reports import expiry_notice, expiry_summary, unreadable_notice
from registry_client.digest import Digest
from registry_client.errors import DigestError, NotFetchedError, RegistryError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.github.records import Issue
    from support.github.state import Double

REPOSITORY = "acme/registry"
JOB_TOKEN = "job-token-0123456789"
ROLES = ["root", "targets", "blocks", "registrar", "snapshot", "timestamp"]
WHOLE = {"root": 365, "targets": 180, "blocks": 180, "registrar": 21, "snapshot": 21, "timestamp": 7}
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@dataclass
class Place:
    """A registry, and runs of the command at its time."""

    kept: Kept
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def run(self, registry: str | Path = "", *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Run `publisher registry expiry`; gives exit code, stdout and stderr."""
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            patch.setenv("SOURCE_DATE_EPOCH", str(int(self.kept.now.timestamp())))
            for name, value in environ.items():
                patch.setenv(name, value)
            code = main(["registry", "expiry", str(registry or self.kept.folder), *arguments])
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err

    def levels(self, registry: str | Path = "", *arguments: str, **environ: str) -> dict[str, str]:
        """What `--json` says of each role."""
        _, out, err = self.run(registry, "--json", *arguments, **environ)
        assert not err
        return {role["role"]: role["level"] for role in json.loads(out)["roles"]}

    @property
    def digest(self) -> Digest:
        """What is pinned."""
        return Digest.of(self.kept.pinned)

    def commit(self, bare: Path) -> Path:
        """A bare repository with the registry as it stands."""
        git(self.kept.folder, "init", "--quiet", "--initial-branch=main", ".")
        commit_all(self.kept.folder, "Make the registry")
        bare.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "--quiet", "--bare", str(self.kept.folder), str(bare)], check=True)
        return bare


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    """A registry with one plugin."""
    kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    return Place(kept, monkeypatch, capsys)


class TestLevels:
    """Online roles under 5 days; offline ones under 60, and under 30."""

    @pytest.mark.parametrize(
        ("role", "left", "level"),
        [
            ("timestamp", 5 * DAY, Level.FINE),
            ("timestamp", 5 * DAY - SECOND, Level.SOON),
            ("snapshot", 5 * DAY, Level.FINE),
            ("registrar", 5 * DAY - SECOND, Level.SOON),
            ("registrar", SECOND, Level.SOON),
            ("registrar", 0 * DAY, Level.EXPIRED),
            ("timestamp", -DAY, Level.EXPIRED),
            ("root", 60 * DAY, Level.FINE),
            ("root", 60 * DAY - SECOND, Level.SOON),
            ("targets", 30 * DAY, Level.SOON),
            ("targets", 30 * DAY - SECOND, Level.URGENT),
            ("blocks", SECOND, Level.URGENT),
            ("blocks", 0 * DAY, Level.EXPIRED),
        ],
    )
    def test_boundaries(self, role: str, left: timedelta, level: Level) -> None:
        """To the second, whether or not the metadata says for how long it was signed."""
        assert level_of(role, left, WHOLE[role] * DAY) is level
        assert level_of(role, left, None) is level

    @pytest.mark.parametrize(
        ("role", "left", "whole", "level"),
        [
            ("timestamp", 1 * DAY, 3, Level.FINE),
            ("timestamp", 1 * DAY - SECOND, 3, Level.SOON),
            ("timestamp", SECOND, 2, Level.FINE),
            ("targets", 10 * DAY, 30, Level.FINE),
            ("targets", 10 * DAY - SECOND, 30, Level.SOON),
            ("targets", 5 * DAY - SECOND, 30, Level.URGENT),
            ("root", 60 * DAY - SECOND, 3650, Level.SOON),
        ],
    )
    def test_short_lives(self, role: str, left: timedelta, whole: int, level: Level) -> None:
        """What is signed for a short time is not "soon" from the first day on."""
        assert level_of(role, left, whole * DAY) is level

    @pytest.mark.parametrize(
        ("after", "changed"),
        [
            (0 * DAY, {}),
            (2 * DAY, {}),
            (2 * DAY + SECOND, {"timestamp": "soon"}),
            (7 * DAY, {"timestamp": "expired"}),
            (
                16 * DAY + SECOND,
                {"timestamp": "expired", "snapshot": "soon", "registrar": "soon"},
            ),
        ],
    )
    def test_online_roles_on_a_moved_clock(
        self, place: Place, after: timedelta, changed: dict[str, str]
    ) -> None:
        """The command judges by SOURCE_DATE_EPOCH."""
        place.kept.now = START + after
        assert place.levels() == {**dict.fromkeys(ROLES, "fine"), **changed}

    @pytest.mark.parametrize(
        ("left", "level"),
        [
            (60 * DAY, "fine"),
            (60 * DAY - SECOND, "soon"),
            (30 * DAY, "soon"),
            (30 * DAY - SECOND, "urgent"),
            (0 * DAY, "expired"),
        ],
    )
    def test_offline_roles_on_a_moved_clock(self, place: Place, left: timedelta, level: str) -> None:
        """Targets and blocks, signed for 180 days."""
        place.kept.now = START + 180 * DAY - left
        found = place.levels()
        assert (found["targets"], found["blocks"], found["root"]) == (level, level, "fine")


class TestReached:
    """By every way in which a registry can be named."""

    def test_a_folder(self, place: Place) -> None:
        """As a table, offline roles first, and as JSON."""
        code, out, err = place.run()
        lines = out.splitlines()
        assert (code, err) == (0, "")
        assert [line.split()[0] for line in lines] == ROLES
        assert lines[1].split()[1:] == ["fine", "180", "days,", "until", "2030-07-14", "12:00", "UTC"]
        code, out, _ = place.run("", "--json")
        assert json.loads(out)["roles"][5] == {
            "role": "timestamp",
            "expires": "2030-01-22T12:00:00Z",
            "daysLeft": 7,
            "level": "fine",
        }

    def test_expired(self, place: Place) -> None:
        """Exit code 6; the whole table is printed all the same, with days below zero."""
        place.kept.now = START + 8 * DAY
        code, out, _ = place.run()
        assert code == 6
        assert "timestamp  expired     -1 days, until 2030-01-22 12:00 UTC" in out
        assert len(out.splitlines()) == 6

    def test_a_bare_repository(self, place: Place, tmp_path: Path) -> None:
        """The branch that was named; without a digest there is a warning that the root is believed."""
        bare = place.commit(tmp_path / "registry.git")
        code, out, err = place.run(bare)
        assert (code, len(out.splitlines())) == (0, 6)
        assert "no --root-digest was given" in err
        assert place.levels(bare, "--root-digest", place.digest) == dict.fromkeys(ROLES, "fine")
        root = place.kept.folder / "metadata" / "1.root.json"
        assert place.run(bare, "--root", str(root))[::2] == (0, "")
        code, _, err = place.run(bare, "--branch", "nowhere")
        assert code == 9
        assert "nowhere" in err

    @pytest.mark.parametrize("suffix", ["", ".git", "/"])
    def test_a_git_url_on_the_environments_github(self, place: Place, tmp_path: Path, suffix: str) -> None:
        """Is Git, not the base URL of files; the token of the environment goes there."""
        place.commit(tmp_path / "hub" / "acme" / "registry.git")
        (tmp_path / "hub" / "acme" / "registry").symlink_to("registry.git")
        with git_host(tmp_path / "hub", token="push-token-0123456789") as host:
            url = f"{host.url}/acme/registry{suffix}"
            environ = {"GITHUB_SERVER_URL": host.url, "PLUGIN_REGISTRY_TOKEN": "push-token-0123456789"}
            found = place.levels(url, "--root-digest", place.digest, **environ)
            assert set(host.passwords) == {"push-token-0123456789"}
        assert found == dict.fromkeys(ROLES, "fine")

    def test_a_base_url(self, place: Place) -> None:
        """By root or by its digest; only metadata and the maintainers' documents are fetched, and no credential goes there."""
        root = place.kept.folder / "metadata" / "1.root.json"
        place.kept.now = START + 130 * DAY
        place.kept.renew("online")
        with FaultServer(place.kept.folder) as host:
            for options in (("--root", str(root)), ("--root-digest", place.digest)):
                found = place.levels(host.url, *options, GITHUB_TOKEN=JOB_TOKEN)
                assert found == {**dict.fromkeys(ROLES, "fine"), "targets": "soon", "blocks": "soon"}
            assert not any(path.startswith(("plugins/", "artifacts/", "index/")) for path in host.paths)
            assert not any("authorization" in seen.headers for seen in host.seen)

    def test_a_base_url_needs_a_root(self, place: Place) -> None:
        """Whoever serves the files could serve any; another root than the pinned one is refused."""
        with serve(place.kept.folder) as url:
            code, out, err = place.run(url)
            assert (code, out) == (3, "")
            assert "needs --root or --root-digest" in err
            code, out, err = place.run(url, "--root-digest", Digest.of(b"another"))
            assert (code, out) == (6, "")
            assert "1.root.json: digest is" in err
            code, _, err = place.run(url.replace("//", "//me:secret@"), "--root-digest", place.digest)
            assert (code, "secret" in err) == (3, False)

    @pytest.mark.parametrize("name", ["nowhere", "http://127.0.0.1:9/x.git", "-x", "ext::sh -c true"])
    def test_no_registry(self, place: Place, tmp_path: Path, name: str) -> None:
        """A clear error, and no result."""
        place.monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        for registry in (name, str(tmp_path / "empty")):
            code, out, err = place.run("--", registry) if registry == "-x" else place.run(registry)
            assert code in {2, 3, 9}
            assert out == ""
            assert "Traceback" not in err

    @pytest.mark.parametrize("allowed", [True, False])
    def test_development_keys(self, place: Place, tmp_path: Path, *, allowed: bool) -> None:
        """Over a URL they are accepted only if that is said."""
        mini = MiniRegistry(tmp_path / "mini", now=START, dev=True)
        mini.write()
        with serve(mini.folder) as url:
            options = ("--allow-dev-keys",) if allowed else ()
            code, out, err = place.run(url, "--root", str(mini.root), *options)
        assert (code, bool(out)) == ((0, True) if allowed else (3, False))
        assert ("development key" in err) is not allowed


def newest(kept: Kept, role: str) -> Path:
    """A role's newest metadata."""
    version = latest_version(DirTree(kept.folder), role)
    name = "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"
    return kept.folder / "metadata" / name


def tampered(path: Path) -> None:
    """Another expiry, without a new signature."""
    document = json.loads(path.read_bytes())
    document["signed"]["expires"] = "2099-01-01T00:00:00Z"
    path.write_text(json.dumps(document))


def rubbish(path: Path) -> None:
    """Not JSON at all."""
    path.write_bytes(b"{" * 100_000)


def other_json(path: Path) -> None:
    """JSON, but no metadata."""
    path.write_bytes(b'{"signed": {"_type": "timestamp"}, "signatures": 7}')


def of_another_role(path: Path) -> None:
    """Metadata, but that of root."""
    path.write_bytes((path.parent / "1.root.json").read_bytes())


def unsigned(path: Path) -> None:
    """Nobody's signature."""
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "signatures": []}))


def missing(path: Path) -> None:
    """No file."""
    path.unlink()


def unusable_digests(path: Path) -> None:
    """Names files by something that is no sha256 digest."""
    document = json.loads(path.read_bytes())
    signed = document["signed"]
    for info in (*signed.get("meta", {}).values(), *signed.get("targets", {}).values()):
        info["hashes"] = {"sha256": "no digest"}
    path.write_text(json.dumps(document))


DAMAGES = [tampered, rubbish, other_json, of_another_role, unsigned, missing]


class TestDamaged:
    """What does not verify is never in the table: exit code 6, with the file's name."""

    @pytest.mark.parametrize("role", ROLES[1:])
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_in_a_folder(self, place: Place, damage: Callable[[Path], None], role: str) -> None:
        """Any role, any damage: a clear error, no traceback, no table."""
        damage(newest(place.kept, role))
        code, out, err = place.run()
        assert (code, out) == (6, ""), err
        assert err.startswith("error: ")
        assert "metadata" in err
        assert "Traceback" not in err
        code, out, _ = place.run("", "--json")
        error = json.loads(out)["error"]
        assert (code, error["exitCode"]) == (6, 6)
        assert error["hint"] or "is not TUF metadata" in error["message"] or "of type" in error["message"]

    @pytest.mark.parametrize("role", ROLES[1:])
    @pytest.mark.parametrize("damage", [*DAMAGES, unusable_digests])
    def test_over_http(self, place: Place, damage: Callable[[Path], None], role: str) -> None:
        """The same by URL, where a missing file is one that could not be fetched."""
        path = newest(place.kept, role)
        damage(path)
        with FaultServer(place.kept.folder) as host:
            code, out, err = place.run(host.url, "--root-digest", place.digest)
        assert (code, out) == (5 if damage is missing else 6, ""), err
        assert err.startswith("error: ")
        assert "Traceback" not in err

    def test_an_older_version_is_not_taken_for_the_newest(self, place: Place) -> None:
        """What the snapshot names was signed: if it is gone, the one before it says nothing."""
        kept = place.kept
        kept.pass_time(days=130)
        kept.renew("targets", "blocks", "online")
        assert latest_version(DirTree(kept.folder), "targets") > 1
        newest(kept, "targets").unlink()
        code, out, err = place.run()
        assert (code, out) == (6, "")
        assert "missing, although the snapshot names it" in err

    def test_a_changed_root(self, place: Place) -> None:
        """In a folder it is held against the pinned digest."""
        digest = place.digest
        tampered(place.kept.folder / "metadata" / "1.root.json")
        code, out, err = place.run("", "--root-digest", digest)
        assert (code, out) == (3, "")
        assert "is pinned" in err

    def test_nothing_is_fetched_on_the_word_of_what_is_not_signed(self, place: Place) -> None:
        """Targets metadata that its keys did not sign names files that nobody asks for."""
        path = newest(place.kept, "targets")
        snapshot, timestamp = newest(place.kept, "snapshot"), newest(place.kept, "timestamp")
        document = json.loads(path.read_bytes())
        info = next(iter(document["signed"]["targets"].values()))
        document["signed"]["targets"] |= {f"evil/{number}": info for number in range(50)}
        path.write_text(json.dumps(document))
        for above in (snapshot, timestamp):
            text = json.loads(above.read_bytes())
            for meta in text["signed"]["meta"].values():
                meta.pop("hashes", None)
                meta.pop("length", None)
            above.write_text(json.dumps(text))
        with FaultServer(place.kept.folder) as host:
            with pytest.raises(VerificationError, match="targets"):
                fetch_metadata(host.url, place.kept.pinned)
            assert not any("evil" in path for path in host.paths)

    def test_sizes_that_metadata_claims(self, place: Place) -> None:
        """Are not believed beyond what metadata may have: a host cannot fill the memory."""
        timestamp = newest(place.kept, "timestamp")
        text = json.loads(timestamp.read_bytes())
        text["signed"]["meta"]["snapshot.json"] |= {"length": 10**12}
        timestamp.write_text(json.dumps(text))
        with FaultServer(place.kept.folder) as host:
            name = f"metadata/{newest(place.kept, 'snapshot').name}"
            host.fail(name, Fault(pad=50_000_000, headers={"Content-Encoding": "identity"}))
            with pytest.raises(DigestError, match="longer than the 2000000 bytes"):
                fetch_metadata(host.url, place.kept.pinned)

    def test_no_metadata_at_all(self, place: Place) -> None:
        """A tree with the root alone."""
        tree = MemoryTree({"metadata/1.root.json": place.kept.pinned})
        with pytest.raises(VerificationError, match="there is no targets metadata"):
            expiries(tree, place.kept.pinned, START, allow_dev_keys=False)

    def test_a_root_that_is_not_there(self, place: Place, tmp_path: Path) -> None:
        """By URL."""
        (tmp_path / "empty").mkdir()
        with serve(tmp_path / "empty") as url, pytest.raises(NotFetchedError, match=r"1\.root\.json"):
            fetch_root(url, place.digest)


@pytest.fixture
def double(tmp_path: Path, place: Place) -> Iterator[Double]:
    """GitHub, on the registry's clock."""
    with github_double(tmp_path / "github") as served:
        served.seed(REPOSITORY, {"README.md": "a registry"})
        served.add_token(JOB_TOKEN, "registry-bot", {REPOSITORY: {"issues": "write"}}, app=True)
        served.now = lambda: place.kept.now
        yield served


@dataclass
class Daily:
    """The scheduled job, day by day."""

    place: Place
    double: Double

    def run(self, registry: str | Path = "", *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Run the command with `--issue`."""
        job = {"GITHUB_API_URL": self.double.api, "GITHUB_TOKEN": JOB_TOKEN}
        return self.place.run(registry, "--issue", REPOSITORY, *arguments, **{**job, **environ})

    def at(self, day: float, *, renewed: bool = True) -> str:
        """Go to a day, renew what the online key signs, run; gives what became of the issue."""
        self.place.kept.now = START + timedelta(days=day)
        if renewed:
            self.place.kept.renew("online")
        _, _, err = self.run()
        return err.strip().rpartition("\n")[2]

    @property
    def issue(self) -> Issue:
        """The first issue."""
        return self.double.repository(REPOSITORY).issues[1]

    @property
    def comments(self) -> list[str]:
        """Its comments."""
        return [comment.body for comment in self.issue.comments]


@pytest.fixture
def daily(place: Place, double: Double) -> Daily:
    """The job on its first day."""
    return Daily(place, double)


class TestIssue:
    """One issue, from the first warning to the renewal."""

    def test_offline_roles(self, daily: Daily) -> None:
        """Opened at 60 days; a comment at 30 and at expiry; closed after renewal."""
        assert daily.at(0) == "no issue is needed"
        assert daily.at(120) == "no issue is needed"
        assert daily.at(120.5) == "issue #1: opened"
        assert daily.issue.title == "Signed metadata expires soon"
        assert "| targets | 2030-07-14 12:00 | 59 | soon |" in str(daily.issue.body)
        assert "publisher registry renew . --role ROLE --key KEY" in str(daily.issue.body)
        assert daily.at(120.5) == "issue #1: unchanged"
        assert daily.at(130) == "issue #1: updated"
        assert daily.comments == []
        assert daily.at(150.5) == "issue #1: updated"
        assert daily.comments == [
            (
                "**Signed metadata must be renewed by its maintainers now.** "
                "Roles: `targets` (29 days left), `blocks` (29 days left)."
            )
        ]
        assert daily.at(151.5) == "issue #1: updated"
        assert len(daily.comments) == 1
        daily.place.kept.now = START + timedelta(days=180)
        code, out, err = daily.run()
        assert code == 6
        assert "targets    expired" in out
        assert "issue #1: updated" in err
        assert len(daily.comments) == 2
        assert daily.issue.title == "Signed metadata has expired: hosts resolve nothing any more"

        daily.place.kept.renew("targets", "blocks", "online")
        assert daily.at(180.1) == "issue #1: closed"
        assert daily.issue.state == "closed"
        assert daily.comments[-1] == "Nothing is wrong any more."
        assert "Nothing expires soon." in str(daily.issue.body)

    def test_online_roles(self, daily: Daily) -> None:
        """When renewing fails day after day: opened under 5 days, a comment when a role expires, and for each that joins."""
        assert daily.at(1.9, renewed=False) == "no issue is needed"
        assert daily.at(2.5, renewed=False) == "issue #1: opened"
        assert "see why its last runs failed" in str(daily.issue.body)
        assert "`root` with as many keys" not in str(daily.issue.body)
        daily.at(7, renewed=False)
        assert len(daily.comments) == 1
        daily.at(16.5, renewed=False)
        assert len(daily.comments) == 2
        assert "`snapshot` (4 days left)" in daily.comments[1]

    def test_news_while_people_know_of_something_else(self, daily: Daily) -> None:
        """An issue about offline roles, even a silenced one, does not hide that the daily renewal fails."""
        assert daily.at(125) == "issue #1: opened"
        daily.issue.state, daily.issue.closed_at = "closed", daily.place.kept.now
        assert daily.at(126, renewed=False) == "issue #1: unchanged"
        assert daily.at(127.5, renewed=False) == "issue #1: reopened"
        assert "`timestamp`" in daily.comments[-1]

    @pytest.mark.parametrize("damage", [tampered, missing, rubbish])
    def test_it_does_not_verify(self, daily: Daily, damage: Callable[[Path], None]) -> None:
        """Exit code 6, and the issue says so, with the reason; it is closed once it verifies again."""
        path = newest(daily.place.kept, "timestamp")
        before = path.read_bytes()
        damage(path)
        code, out, err = daily.run()
        assert (code, out) == (6, "")
        assert "issue #1: opened" in err
        assert "error: metadata" in err
        assert daily.issue.title == "The registry's metadata cannot be verified"
        assert "> metadata/timestamp.json" in str(daily.issue.body)
        assert "issue #1: unchanged" in daily.run()[2]
        path.write_bytes(before)
        code, _, err = daily.run()
        assert (code, "issue #1: closed" in err) == (0, True)

    def test_a_file_that_is_not_served(self, daily: Daily) -> None:
        """By URL too, what is gone is told of."""
        newest(daily.place.kept, "snapshot").unlink()
        with serve(daily.place.kept.folder) as url:
            code, _, err = daily.run(url, "--root-digest", daily.place.digest)
        assert (code, "issue #1: opened" in err) == (5, True)

    def test_a_host_that_does_not_answer(self, daily: Daily, tmp_path: Path) -> None:
        """Says nothing about the metadata: an error, but no issue."""
        digest = daily.place.digest
        with FaultServer(daily.place.kept.folder) as host:
            host.fail("*", Fault(status=503))
            assert daily.run(host.url, "--root-digest", digest)[0] == 5
        assert daily.run("http://127.0.0.1:9/registry.git", "--root-digest", digest)[0] == 9
        assert daily.run(tmp_path / "nowhere", "--root-digest", digest)[0] == 9
        assert daily.double.repository(REPOSITORY).issues == {}

    def test_the_issue_cannot_be_kept(self, daily: Daily) -> None:
        """The table and its exit code stand; with all well, the failure is what is reported."""
        said = {"message": "Issues has been disabled in this repository."}
        for day, expected in ((0, 9), (8, 6)):
            daily.place.kept.now = START + timedelta(days=day)
            daily.double.faults.append(GitHubFault("GET", "/issues", 410, body=said))
            code, out, err = daily.run()
            assert code == expected
            assert len(out.splitlines()) == 6
            assert "error: acme/registry: issues are switched off there" in err
        daily.double.faults.append(GitHubFault("GET", "/issues", 410, body=said))
        newest(daily.place.kept, "timestamp").unlink()
        code, _, err = daily.run()
        assert code == 6
        assert "warning: the issue could not be kept: acme/registry: issues are switched off" in err
        assert "error: metadata/timestamp.json" in err

    @pytest.mark.parametrize(
        ("arguments", "environ", "words"),
        [
            (("--issue", "nobody"), {}, "is not OWNER/REPO"),
            (("--issue", REPOSITORY), {"GITHUB_TOKEN": ""}, "--issue needs a token"),
        ],
    )
    def test_options(
        self, place: Place, arguments: tuple[str, ...], environ: dict[str, str], words: str
    ) -> None:
        """That cannot work are refused at once."""
        code, out, err = place.run("", *arguments, **environ)
        assert (code, out) == (3, "")
        assert words in err


class TestReports:
    """Markdown for the job's summary and the issue."""

    def found(self, **levels: Any) -> list[Expiry]:
        """Roles with so many days left."""
        return [
            Expiry(role, START + timedelta(days=days), timedelta(days=days), level_of(role, days * DAY, None))
            for role, days in levels.items()
        ]

    def test_the_summary(self, place: Place, tmp_path: Path) -> None:
        """A table, in the file that was asked for."""
        place.kept.now = START + 150 * DAY + SECOND
        assert place.run("", "--summary", str(tmp_path / "s.md"))[0] == 6
        text = (tmp_path / "s.md").read_text()
        assert "| blocks | 2030-07-14 12:00 | 29 | **urgent** |" in text
        assert "| timestamp | 2030-01-22 12:00 | -144 | **expired** |" in text

    def test_titles_and_help(self) -> None:
        """Say what is worst, and who can mend it."""
        online = expiry_notice(self.found(root=200, timestamp=3), "r")
        assert (online.wrong, online.levels) == (True, {"timestamp": 1})
        assert "A maintainer who holds the key" not in online.body
        both = expiry_notice(self.found(root=20, timestamp=3), "r")
        assert both.levels == {"root": 2, "timestamp": 1}
        assert "A maintainer who holds the key" in both.body
        assert "signed again daily" in both.body
        fine = expiry_notice(self.found(root=200, timestamp=7), "r")
        assert (fine.wrong, fine.levels) == (False, {})

    def test_what_is_not_ours_is_escaped(self) -> None:
        """Names of registries, and what an error quotes out of damaged files."""
        hostile = "@admin <img src=x> [a](b)\n# heading\n<!-- levels: x=9 -->"
        error: RegistryError = VerificationError(f"metadata: {hostile}", hint=hostile)
        for text in (
            unreadable_notice(error, hostile).body,
            expiry_notice(self.found(root=1), hostile).body,
            expiry_summary(self.found(root=1), hostile),
        ):
            for word in ("@admin", "<img", "<!--", "\n# heading", "[a]("):
                assert word not in text, word
        long = unreadable_notice(VerificationError("x\n" * 100_000), "r")
        assert len(long.full_body) <= 65_536
