"""What is remembered of hosts: order and nothing else, however the memory was lost, damaged or forged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import faults
from support.faults import Fault

from registry_client.errors import (
    DigestError,
    ExpiredError,
    FetchError,
    NotFetchedError,
    RegistryError,
    RollbackError,
    SignatureError,
    TooLargeError,
)
from registry_client.health import (
    FIRST_REST,
    LARGEST_FILE,
    LONGEST_REST,
    Health,
    Mark,
    Trouble,
    dump_health,
    parse_health,
    trouble_of,
)
from registry_client.memory import Memory
from registry_client.store import Directories, Store

ROOT = Path(__file__).parents[1]
URL = "https://registry.example/main"
A, B, C = HOSTS = ("https://a.example", "https://b.example/x", "https://c.example")
NOW = 1_772_366_400.0


def failing(
    health: Health, host: str = A, at: float = NOW, trouble: Trouble = Trouble.UNREACHABLE, **more: Any
) -> Health:
    """A host has failed, in a call of its own."""
    return health.failed(host, trouble, at, since=at, **more)


class TestOrder:
    """In which order hosts are asked."""

    def test_as_configured_while_nothing_is_known(self) -> None:
        """Nothing remembered changes nothing."""
        assert Health().order(HOSTS, NOW) == HOSTS

    def test_who_failed_comes_last_for_a_while(self) -> None:
        """And comes back by itself."""
        health = failing(Health())
        assert health.order(HOSTS, NOW) == (B, C, A)
        assert health.order(HOSTS, NOW + FIRST_REST - 1) == (B, C, A)
        assert health.order(HOSTS, NOW + FIRST_REST) == HOSTS

    def test_where_all_failed_all_are_asked_as_ever(self) -> None:
        """The configured one first."""
        health = Health()
        for host in HOSTS:
            health = failing(health, host)
        assert health.order(HOSTS, NOW) == HOSTS

    def test_one_host_is_asked_in_any_case(self) -> None:
        """There is nobody else."""
        assert failing(Health()).order((A,), NOW) == (A,)

    def test_files_come_from_who_gave_the_state(self) -> None:
        """It has what belongs to it; unless it is in trouble itself. The state is asked for in the usual order."""
        health = Health().gave_metadata(C)
        assert health.order(HOSTS, NOW, files=True) == (C, A, B)
        assert health.order(HOSTS, NOW) == HOSTS
        assert failing(health, C).order(HOSTS, NOW, files=True) == HOSTS

    @given(
        marks=st.dictionaries(
            st.sampled_from([*HOSTS, "https://evil.example", ""]),
            st.builds(
                Mark,
                st.sampled_from(list(Trouble)),
                st.integers(1, 100),
                st.floats(NOW - 1e5, NOW + 1e5),
                st.floats(NOW - 1e5, NOW + 1e5),
            ),
        ),
        answered=st.sampled_from([*HOSTS, "https://evil.example", ""]),
        now=st.floats(allow_nan=True),
        files=st.booleans(),
    )
    def test_no_memory_adds_or_drops_a_host(
        self, marks: dict[str, Mark], answered: str, now: float, files: bool
    ) -> None:
        """Whatever is remembered, exactly the hosts that were given are asked, each once."""
        assert sorted(Health(marks, answered).order(HOSTS, now, files=files)) == sorted(HOSTS)


class TestRest:
    """For how long a host comes last."""

    def test_it_doubles_up_to_an_hour(self) -> None:
        """Each failure after the rest is over doubles it."""
        health, now, rests = Health(), NOW, []
        for _ in range(8):
            health = failing(health, at=now)
            rests.append(health.marks[A].until - now)
            now = health.marks[A].until
        assert rests == [600.0, 1200.0, 2400.0, 3600.0, 3600.0, 3600.0, 3600.0, 3600.0]
        assert max(rests) == LONGEST_REST

    def test_one_call_counts_once(self) -> None:
        """Several requests of one call, and its second round, are one failure."""
        health = Health().failed(A, Trouble.SLOW, NOW + 5, since=NOW)
        assert health.failed(A, Trouble.SLOW, NOW + 11, since=NOW) is health
        assert health.failed(A, Trouble.SLOW, NOW + 11, since=NOW + 6).marks[A].count == 2

    def test_an_old_failure_does_not_count_any_more(self) -> None:
        """A day without one, and it begins anew."""
        health = failing(failing(Health()), at=NOW + 3600)
        assert failing(health, at=NOW + 7200).marks[A].count == 3
        assert failing(health, at=NOW + 3 * 24 * 3600).marks[A].count == 1

    @pytest.mark.parametrize(
        ("asked", "rest"), [(0.0, 60.0), (7.0, 60.0), (900.0, 900.0), (3600.0, 3600.0), (1e9, 3600.0)]
    )
    def test_what_a_host_asks_for(self, asked: float, rest: float) -> None:
        """`Retry-After` is done, within bounds."""
        health = failing(Health(), retry_after=asked)
        assert health.marks[A].until - NOW == rest

    def test_a_clock_that_was_set_back(self) -> None:
        """A failure in the future says nothing, and another one can be remembered."""
        health = failing(Health())
        before = NOW - 3 * 3600
        assert health.order(HOSTS, before) == HOSTS
        again = failing(health, at=before)
        assert again.order(HOSTS, before) == (B, C, A)
        assert again.marks[A] == Mark(Trouble.UNREACHABLE, 1, before, before + FIRST_REST)

    @pytest.mark.parametrize("trouble", list(Trouble))
    def test_success_clears_what_it_disproves(self, trouble: Trouble) -> None:
        """Current metadata clears everything; a file alone does not say that a host lags no more."""
        health = failing(Health(), trouble=trouble)
        assert health.gave_metadata(A) == Health({}, A)
        kept = trouble in {Trouble.LAGGING, Trouble.WRONG}
        assert (A in health.gave_file(A).marks) == kept
        assert health.gave_file(B) is health

    def test_where_all_failed_nobody_is_marked(self) -> None:
        """It was this machine's network: each mark is what it was before the call; but who asked to be left alone is."""
        before = failing(Health(), B, at=NOW - 5000)
        after = failing(failing(failing(before, A), B), C, trouble=Trouble.BUSY, retry_after=900.0)
        forgiven = after.forgiven(before, NOW)
        assert forgiven.marks == {B: before.marks[B], C: after.marks[C]}
        assert before.forgiven(before, NOW) is before

    def test_what_is_known_already_is_no_news(self) -> None:
        """So nothing is written for it."""
        health = Health().gave_metadata(A)
        assert health.gave_metadata(A) is health
        assert health.gave_file(A) is health

    def test_it_stays_small(self) -> None:
        """Of very many hosts, those that failed last are remembered."""
        health = Health()
        for number in range(200):
            health = failing(health, f"https://{number}.example", at=NOW + number)
        assert len(health.marks) == 64
        assert "https://199.example" in health.marks
        assert "https://0.example" not in health.marks


@pytest.mark.parametrize(
    ("error", "late", "trouble"),
    [
        (FetchError("refused"), False, Trouble.UNREACHABLE),
        (FetchError("drip"), True, Trouble.SLOW),
        (FetchError("x", status=500), False, Trouble.UNREACHABLE),
        (FetchError("x", status=503), False, Trouble.BUSY),
        (FetchError("x", status=429, retry_after=5.0), False, Trouble.BUSY),
        (NotFetchedError("x", status=404), False, Trouble.UNREACHABLE),
        (RollbackError("older"), False, Trouble.LAGGING),
        (ExpiredError("expired"), True, Trouble.LAGGING),
        (SignatureError("forged"), False, Trouble.WRONG),
        (DigestError("other bytes"), False, Trouble.WRONG),
        (TooLargeError("longer"), False, Trouble.WRONG),
    ],
)
def test_what_an_error_says_of_its_host(error: RegistryError, late: bool, trouble: Trouble) -> None:
    """Each error is one kind of trouble."""
    assert trouble_of(error, late=late) is trouble


# -- the file ------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Directories.default(tmp_path), URL)


def path_of(store: Store) -> Path:
    """Where it is written."""
    return store.cache / "hosts.json"


FULL = failing(failing(Health(), B, trouble=Trouble.SLOW), A, NOW + 1, retry_after=61.0).gave_metadata(C)
MARK = {"trouble": "slow", "count": 1, "at": NOW, "until": NOW + 60}


def file_with(mark: object, host: str = A) -> bytes:
    """A file with one mark."""
    return json.dumps({"marks": {host: mark, B: MARK}, "answered": C}).encode()


def test_what_is_written_is_read(store: Store) -> None:
    """By another process too, whole."""
    assert store.read_health() == Health()
    assert store.write_health(FULL)
    assert store.read_health() == FULL


def test_the_largest_memory_can_be_read(store: Store) -> None:
    """Many hosts with long URLs of odd characters still fit the bound."""
    health = Health()
    for number in range(64):
        health = failing(health, f"https://{number}.example/{'ü' * 470}", at=NOW + number)
    assert len(dump_health(health)) <= LARGEST_FILE
    store.write_health(health)
    assert store.read_health() == health
    very_long = failing(Health(), "https://a.example/" + "x" * 10_000)
    assert parse_health(dump_health(very_long)) == Health()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00garbage",
        b"\xff\xfe",
        b"null",
        b"5",
        b"[]",
        b"{}",
        b'{"marks": []}',
        b'{"marks": null, "answered": "https://a.example"}',
        b"[" * 100_000,
        b'{"marks": ' + b'{"a":' * 50_000,
        b"1" * 5000,
        b" " * (LARGEST_FILE + 1),
        b'{"marks": {}, "answered": "' + b"x" * LARGEST_FILE + b'"}',
        dump_health(FULL)[:-20],
    ],
    ids=lambda data: data[:20].decode("latin-1"),
)
def test_a_damaged_file_is_nothing_known(store: Store, data: bytes) -> None:
    """And it is replaced by the next thing that is learned."""
    path_of(store).parent.mkdir(parents=True)
    path_of(store).write_bytes(data)
    assert store.read_health() == Health()
    memory = Memory(lambda: NOW, store)
    memory.learn(failing)
    assert store.read_health() == failing(Health())


@pytest.mark.parametrize(
    "mark",
    [
        None,
        [],
        "slow",
        {},
        {**MARK, "trouble": "asleep"},
        {**MARK, "trouble": 5},
        {**MARK, "trouble": ["slow"]},
        {**MARK, "trouble": {}},
        {**MARK, "count": 0},
        {**MARK, "count": -1},
        {**MARK, "count": True},
        {**MARK, "count": 1.0},
        {**MARK, "count": 10**400},
        {**MARK, "at": "now"},
        {**MARK, "at": True},
        {**MARK, "at": -1},
        {**MARK, "at": float("nan")},
        {**MARK, "at": float("-inf")},
        {**MARK, "until": float("inf")},
        {**MARK, "until": 10**400},
        {**MARK, "until": NOW},
        {**MARK, "until": NOW + 2 * LONGEST_REST},
        {"at": NOW, "until": NOW + 60},
    ],
    ids=str,
)
def test_a_mark_that_is_none_is_left_out(mark: object) -> None:
    """What another version wrote, or nobody could have written, is not known; the rest is."""
    health = parse_health(file_with(mark))
    assert set(health.marks) == {B}
    assert health.answered == C


def test_further_members_of_another_version_do_no_harm() -> None:
    """They are not read."""
    health = parse_health(
        json.dumps({"marks": {A: {**MARK, "more": []}}, "answered": 5, "version": 2}).encode()
    )
    assert (set(health.marks), health.answered) == ({A}, "")


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    """Without an error."""
    parse_health(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(list(MARK)), inner),
    )
)
def test_any_json_can_be_read(value: object) -> None:
    """Without an error, at each place."""
    for data in (value, {"marks": value}, {"marks": {A: value}}, {"marks": {A: MARK}, "answered": value}):
        health = parse_health(json.dumps(data).encode())
        assert sorted(health.order(HOSTS, NOW)) == sorted(HOSTS)


# -- a process's memory --------------------------------------------------------------------------------------------


class TestMemory:
    """What processes share."""

    def test_another_process_knows(self, store: Store) -> None:
        """What one learns the next one reads; a long-running one when it asks anew."""
        one, other = Memory(lambda: NOW, store), Memory(lambda: NOW, store)
        assert other.health() == Health()
        one.learn(failing)
        assert other.health() == Health()
        assert other.health(anew=True) == failing(Health())
        assert Memory(lambda: NOW, store).health() == failing(Health())

    def test_both_are_remembered(self, store: Store) -> None:
        """What another process wrote meanwhile is not overwritten."""
        one, other = Memory(lambda: NOW, store), Memory(lambda: NOW, store)
        one.health()
        other.learn(lambda health: failing(health, B))
        one.learn(lambda health: failing(health, A))
        assert set(store.read_health().marks) == {A, B}

    def test_nothing_new_writes_nothing(self, store: Store) -> None:
        """A host that goes on answering costs no writing."""
        memory = Memory(lambda: NOW, store)
        memory.learn(lambda health: health.gave_file(A))
        assert not path_of(store).exists()

    def test_a_file_that_cannot_be_written(self, store: Store) -> None:
        """The process remembers by itself."""
        store.cache.parent.mkdir(parents=True)
        store.cache.write_bytes(b"")  # a file where the folder should be
        memory = Memory(lambda: NOW, store)
        memory.learn(failing)
        memory.learn(lambda health: failing(health, B))
        assert memory.health(anew=True).order(HOSTS, NOW) == (C, A, B)
        assert not store.write_health(FULL)

    def test_a_file_that_cannot_be_read(self, store: Store) -> None:
        """A folder of its name is nothing known, and no error."""
        path_of(store).mkdir(parents=True)
        memory = Memory(lambda: NOW, store)
        assert memory.health() == Health()
        memory.learn(failing)
        assert memory.health(anew=True) == failing(Health())

    def test_threads_and_processes_at_once(self, store: Store) -> None:
        """Whoever reads sees a whole file, and at the end there is one."""
        code = (
            "import sys; from pathlib import Path\n"
            "from registry_client.store import Directories, Store\n"
            "from registry_client.memory import Memory; from registry_client.health import Trouble\n"
            "store = Store(Directories.default(Path(sys.argv[1])), sys.argv[2])\n"
            "memory = Memory(lambda: 1e9, store)\n"
            "for n in range(200):\n"
            "    memory.learn(lambda h: h.failed(f'https://{sys.argv[3]}-{n % 30}.example', Trouble.SLOW, 1e9 + n, since=1e9 + n))\n"
        )
        home = str(store.cache.parents[1])
        running = [
            subprocess.Popen([sys.executable, "-c", code, home, URL, str(n)], cwd=ROOT) for n in range(3)
        ]
        done = threading.Event()

        def read() -> int:
            count = 0
            while not done.is_set():
                data = path_of(store).read_bytes() if path_of(store).exists() else b'{"marks": {}}'
                assert isinstance(json.loads(data)["marks"], dict)
                count += 1
            return count

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            assert [process.wait() for process in running] == [0, 0, 0]
            done.set()
            assert all(reader.result() for reader in readers)
        assert 0 < len(store.read_health().marks) <= 64
        assert [path.name for path in store.cache.iterdir()] == ["hosts.json"]


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.FULL, Fault.DENIED, Fault.FULL_FOR_GOOD])
def test_faults_at_each_step(store: Store, fault: Fault) -> None:
    """Killed or refused at any step of reading and writing: no error, and the old memory or the new one is there."""
    old, new = Health().gave_metadata(A), failing(Health().gave_metadata(A))
    store.write_health(old)

    def act() -> int:
        memory = Memory(lambda: NOW, store)
        memory.learn(failing)
        return 0 if memory.health() == new or memory.health() == failing(Health()) else 1

    results = []
    for step in range(1, 40):
        store.write_health(old)
        results.append(faults.run(store.cache, act, {step: fault}))
        assert store.read_health() in (old, new, failing(Health())), step
        if results[-1] == faults.NOT_REACHED:
            break
    assert results[-1] == faults.NOT_REACHED
    assert len(results) > 3
    assert set(results[:-1]) <= {0, faults.KILLED}


def test_a_home_that_may_only_be_read(tmp_path: Path) -> None:
    """Remembering fails quietly."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    try:
        memory = Memory(lambda: NOW, Store(Directories.default(tmp_path), URL))
        memory.learn(failing)
        assert memory.health() == failing(Health())
    finally:
        tmp_path.chmod(0o700)
