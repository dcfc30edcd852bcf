"""Resolution against a solver that tries everything, on registries small enough for that."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.resolution import INSTALL_ID, Entry, Tables, info, locked

from registry_client.errors import ResolutionError
from registry_client.installer.resolution.solve import Ask, Pick, solve
from registry_client.names import in_range, is_prerelease, parse_version
from registry_client.resolve import Host

if TYPE_CHECKING:
    from collections.abc import Iterator

IDS = ("a", "b", "c", "d")
VERSIONS = ("1.0.0", "1.1.0", "2.0.0", "3.0.0-rc.1")
RANGES = ("", ">=1.1", "<2", ">=2", "==1.1.0", "!=1.1.0", ">=3.0.0-rc.1", "==3.0.0-rc.1", "<1")
STATUSES = ("released",) * 6 + ("testing", "staged", "deprecated", "yanked", "draft")
Chosen = dict[str, str]


@dataclass(frozen=True)
class Problem:
    """A small registry and what is asked of it."""

    plugins: dict[str, dict[str, Entry]]
    wanted: dict[str, str]
    lock: Chosen
    upgrade: Any
    host: Host

    def solve(self, order: int = 0) -> dict[str, Pick]:
        """The solver's answer, with everything handed over in another order."""
        shuffled = random.Random(order)
        asks = [Ask(name, text, "main") for name, text in self.wanted.items()]
        shuffled.shuffle(asks)
        rows = {name: [info(name, entry) for entry in of.values()] for name, of in self.plugins.items()}
        for infos in rows.values():
            shuffled.shuffle(infos)
        lock = [(name, locked(name, version)) for name, version in self.lock.items()]
        shuffled.shuffle(lock)
        return solve(asks, Tables({"main": rows}), self.host, locked=dict(lock), upgrade=self.upgrade)

    def may(self, name: str, version: str, text: str, *, top: bool) -> bool:
        """Whether one ask allows a version: the rules once more, as plainly as possible."""
        judge = self.wanted.get(name, text)
        was = self.lock.get(name)
        status = self.plugins[name][version]["status"]
        names_one = "rc" in judge or self.host.prereleases or (was is not None and is_prerelease(was))
        owned = name in self.wanted and not top
        if is_prerelease(version) and not (names_one or owned):
            return False
        if text and not in_range(version, text, prereleases=True):
            return False
        if owned or version == was:
            return True
        if judge.startswith("=="):
            return status in {"released", "deprecated", "testing", "staged"}
        if status not in {"released", "deprecated"} and (status, self.host.channel) != ("testing", "testing"):
            return False
        newer = was is not None and parse_version(version) > parse_version(was)
        return not newer or bool(self.plugins[name][version]["push"])

    def is_valid(self, chosen: Chosen) -> bool:
        """Whether versions are a solution, apart from what nobody needs."""
        asks = [(name, text, True) for name, text in self.wanted.items()]
        for name, version in chosen.items():
            asks += [(n, t, False) for n, t in self.needs(name, version).items()]
        return all(itertools.starmap(self.is_sane, chosen.items())) and all(
            name in chosen and self.may(name, chosen[name], text, top=top) for name, text, top in asks
        )

    def needs(self, name: str, version: str) -> dict[str, str]:
        """What a version needs of others."""
        return {n: t for n, t in self.plugins[name][version]["needs"].items() if n != name}

    def is_sane(self, name: str, version: str) -> bool:
        """Whether a version, if it needs itself, is what it needs."""
        text = self.plugins[name][version]["needs"].get(name)
        return text is None or in_range(version, text, prereleases=True)

    def solutions(self) -> Iterator[Chosen]:
        """Everything that is valid."""
        for versions in itertools.product(*([None, *self.plugins.get(name, {})] for name in IDS)):
            chosen = {name: version for name, version in zip(IDS, versions, strict=True) if version}
            if self.is_valid(chosen):
                yield chosen


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """A problem of at most four plugins with four versions each."""
    entries = st.fixed_dictionaries(
        {
            "status": st.sampled_from(STATUSES),
            "push": st.sampled_from([True, True, True, False]),
            "reason": st.just("r"),
            "needs": st.dictionaries(st.sampled_from(IDS), st.sampled_from(RANGES[1:]), max_size=2),
        }
    )
    plugins = {}
    for name in IDS[: draw(st.integers(2, 4))]:
        versions = draw(st.lists(st.sampled_from(VERSIONS), min_size=1, max_size=4, unique=True))
        plugins[name] = {version: {"version": version, **draw(entries)} for version in versions}
    ids = st.sampled_from(sorted(plugins))
    wanted = draw(st.dictionaries(ids, st.sampled_from(RANGES), min_size=1, max_size=3))
    lock = {
        name: draw(st.sampled_from(VERSIONS if draw(st.integers(0, 9)) == 0 else sorted(plugins[name])))
        for name in sorted(draw(st.sets(ids)))
    }
    upgrade = draw(st.one_of(st.booleans(), st.sets(ids)))
    host = Host(
        INSTALL_ID, channel=draw(st.sampled_from(["stable", "testing"])), prereleases=draw(st.booleans())
    )
    return Problem(plugins, wanted, lock, upgrade, host)


def _answer(problem: Problem, order: int = 0) -> Chosen | str:
    try:
        return {name: pick.version for name, pick in problem.solve(order).items()}
    except ResolutionError as e:
        return str(e)


def _needed(problem: Problem, chosen: Chosen) -> Chosen:
    """What somebody asks for, of a solution."""
    found = set(problem.wanted)
    while more := {n for name in found for n in problem.needs(name, chosen[name])} - found:
        found |= more
    return {name: chosen[name] for name in found}


def _stays_up(problem: Problem, chosen: Chosen) -> bool:
    """Whether nothing is below its locked version that the owner would let stay."""
    return all(
        parse_version(version) >= parse_version(problem.lock[name])
        for name, version in chosen.items()
        if problem.lock.get(name) in problem.plugins[name]
        and problem.is_sane(name, problem.lock[name])
        and (
            name not in problem.wanted
            or problem.may(name, problem.lock[name], problem.wanted[name], top=True)
        )
    )


small = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@small
@given(problems())
def test_against_trying_everything(problem: Problem) -> None:
    """There is an answer exactly if there is a solution; the answer is one, with nothing that nobody needs."""
    chosen = _answer(problem)
    if isinstance(chosen, str):
        event("impossible")
        assert next(problem.solutions(), None) is None, chosen
        assert max(len(text) for text in chosen.splitlines()) <= 100
        return
    event("possible")
    assert problem.is_valid(chosen)
    assert chosen == _needed(problem, chosen)


@small
@given(problems())
def test_nothing_goes_down_unless_it_must(problem: Problem) -> None:
    """If some solution leaves every locked version in place or above, the answer does too."""
    chosen = _answer(problem)
    if isinstance(chosen, str) or _stays_up(problem, chosen):
        return
    assert not any(_stays_up(problem, solution) for solution in problem.solutions())


@small
@given(problems())
def test_nothing_better_is_left_behind(problem: Problem) -> None:
    """No single plugin could be newer with the others as they are; a locked one that may stay has not been left."""
    chosen = _answer(problem)
    if isinstance(chosen, str):
        return
    for name, version in chosen.items():
        upgrade = problem.upgrade if isinstance(problem.upgrade, bool) else name in problem.upgrade
        for other, entry in problem.plugins[name].items():
            was = problem.lock.get(name)
            fresh = was is None or was not in problem.plugins[name] or upgrade
            newer = parse_version(other) > parse_version(version) and entry["status"] != "deprecated"
            better = newer if fresh else other == was and version != was
            exchanged = {**chosen, name: other}
            if better and set(problem.needs(name, other)) <= set(chosen):
                assert not problem.is_valid(exchanged), (name, other)


@small
@given(problems())
def test_a_lock_that_still_holds_stays_as_it_is(problem: Problem) -> None:
    """Without an upgrade, whatever else there is."""
    problem = replace(problem, upgrade=False)
    for solution in problem.solutions():
        whole = _needed(problem, solution)
        lock = replace(problem, lock=whole)
        if lock.is_valid(whole):
            assert _answer(lock) == whole


@small
@given(problems(), st.integers(0, 1000))
def test_order_does_not_matter(problem: Problem, order: int) -> None:
    """The same answer, or the same error to the letter, in whatever order things are handed over."""
    assert _answer(problem, order) == _answer(problem)


RELEASED = st.builds(
    lambda version, needs: {
        "version": version,
        "status": "released",
        "push": True,
        "reason": "r",
        "needs": needs,
    },
    st.sampled_from(VERSIONS[:3]),
    st.dictionaries(st.sampled_from(IDS), st.sampled_from(RANGES[1:6]), max_size=3),
)
CIRCLES = st.fixed_dictionaries(
    {name: st.lists(RELEASED, min_size=3, max_size=3, unique_by=lambda e: e["version"]) for name in IDS}
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(CIRCLES, st.sets(st.sampled_from(IDS), min_size=1))
def test_circles(rows: dict[str, list[Entry]], wanted: set[str]) -> None:
    """Plugins that need each other in many circles, which is where resolvelib alone goes wrong."""
    plugins = {name: {entry["version"]: entry for entry in of} for name, of in rows.items()}
    problem = Problem(plugins, dict.fromkeys(sorted(wanted), ""), {}, upgrade=False, host=Host(INSTALL_ID))
    chosen = _answer(problem)
    if isinstance(chosen, str):
        assert next(problem.solutions(), None) is None, chosen
    else:
        assert problem.is_valid(chosen)
