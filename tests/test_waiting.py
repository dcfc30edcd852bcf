"""Waiting for the registrar: how often it is asked, what is put up with, and how it ends."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.world import World

from publisher.destination import WorkTree
from publisher.offer import Offer, Submitted, Verdict
from publisher.set_status import Change
from publisher.tree import MemoryTree
from publisher.waiting import landed, wait_for
from registry_client.errors import ConfigError, GitError, GitHubError, PublishError

if TYPE_CHECKING:
    from collections.abc import Sequence

OFFER = Offer("calendar", "1.0.0", "0" * 64, {}, "")
SUBMITTED = Submitted(
    "publish/calendar@1.0.0@000000000000", "1" * 40, "https://github.com/acme/registry/commit/1"
)
ACCEPTED = Verdict(accepted=True, message="registered")


class Scripted(WorkTree):
    """A registry that says what a list says, the last of it for ever, while a clock of its own goes."""

    def __init__(self, answers: Sequence[Verdict | Exception | None]) -> None:
        super().__init__(Path("unused"))
        self.answers = answers
        self.now = 1000.0
        self.pauses: list[float] = []
        self.told: list[float] = []
        self.asked = 0

    def outcome(self, offer: Offer, submitted: Submitted) -> Verdict | None:
        """The next of the answers."""
        assert (offer, submitted) == (OFFER, SUBMITTED)
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        """Let seconds pass."""
        self.pauses.append(seconds)
        self.now += seconds

    def wait(self, seconds: float = 60) -> Verdict:
        """Wait for the verdict."""
        return wait_for(
            self,
            OFFER,
            SUBMITTED,
            seconds=seconds,
            sleep=self.sleep,
            clock=lambda: self.now,
            on_wait=self.told.append,
        )


def test_an_answer_that_is_there_is_not_waited_for() -> None:
    """Asked once, at once."""
    registry = Scripted([ACCEPTED])
    assert registry.wait() is ACCEPTED
    assert (registry.asked, registry.pauses) == (1, [])


def test_pauses_grow_from_two_seconds_to_fifteen() -> None:
    """The registrar takes a minute or so: asking every second would use up the rate limit."""
    registry = Scripted([*[None] * 8, ACCEPTED])
    assert registry.wait(600) is ACCEPTED
    assert registry.pauses == [2, 3, 4.5, 6.75, 10.125, 15, 15, 15]
    assert registry.told == [0, *itertools.accumulate(registry.pauses[:-1])]


@pytest.mark.parametrize(("seconds", "asked"), [(0, 1), (1, 2), (2, 2), (3, 3), (60, 9)])
def test_the_time_is_kept_and_the_last_question_is_asked_at_its_end(seconds: float, asked: int) -> None:
    """Never longer than told, and the answer of the last moment counts."""
    registry = Scripted([None])
    with pytest.raises(
        PublishError, match=rf"still pending at publish/\S+ after {seconds} seconds"
    ) as caught:
        registry.wait(seconds)
    assert (sum(registry.pauses), registry.asked) == (seconds, asked)
    assert SUBMITTED.url is not None
    assert SUBMITTED.url in caught.value.hint
    assert Scripted([*[None] * (asked - 1), ACCEPTED]).wait(seconds) is ACCEPTED


def test_a_refusal_is_an_error_with_its_reason() -> None:
    """The message says why, the hint where more is to be read."""
    refused = Verdict(accepted=False, message="no valid signature", url="https://ci.example/7")
    with pytest.raises(
        PublishError, match=r"^the registrar refuses calendar 1\.0\.0: no valid signature$"
    ) as caught:
        Scripted([None, refused]).wait()
    assert "https://ci.example/7" in caught.value.hint


@pytest.mark.parametrize(
    "trouble",
    [
        GitHubError("bad gateway", status=502),
        GitHubError("no answer"),
        GitHubError("slow down", status=403),
        GitError("could not read from remote"),
    ],
)
def test_trouble_on_the_way_is_put_up_with(trouble: Exception) -> None:
    """Until it is over, or the time is: then the error names it."""
    assert Scripted([trouble, None, trouble, ACCEPTED]).wait() is ACCEPTED
    with pytest.raises(PublishError, match=f"still pending .* asked: {trouble}"):
        Scripted([trouble]).wait()
    with pytest.raises(PublishError, match=r"after 60 seconds$"):
        Scripted([trouble, None]).wait()


@pytest.mark.parametrize(
    "error",
    [GitHubError("bad credentials", status=401), ConfigError("nothing to wait for"), ZeroDivisionError()],
)
def test_what_will_not_be_over_ends_it_at_once(error: Exception) -> None:
    """A token that is not valid any more, something that never answers, and mistakes of our own."""
    registry = Scripted([error])
    with pytest.raises(type(error)):
        registry.wait()
    assert registry.asked == 1


def test_a_folder_has_nothing_to_wait_for(tmp_path: Path) -> None:
    """The registrar is run by hand there, and nobody is told."""
    place = WorkTree(tmp_path)
    assert place.notify(OFFER, SUBMITTED) == ""
    with pytest.raises(ConfigError) as caught:
        place.outcome(OFFER, SUBMITTED)
    assert "registry register" in caught.value.hint


@pytest.fixture(scope="module")
def offers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Offer], dict[str, dict[str, bytes]]]:
    """Offers by name, and what main has after each of them."""
    world = World(tmp_path_factory.mktemp("waiting") / "registry")
    world.add_publisher("acme")
    made: dict[str, Offer] = {}
    files: dict[str, dict[str, bytes]] = {"empty": world.snapshot()}
    for name, rollout in (("new", None), ("ten", 10), ("half", 50)):
        if rollout is None:
            offer = world.publish("acme-notes", "1.0.0", change=Change(rollout=1)).offer
        else:
            offer = world.set_status("acme-notes", "1.0.0", rollout=rollout).offer
        assert offer is not None
        world.register()
        made[name], files[name] = offer, world.snapshot()
    made["other"] = Offer("acme-notes", "1.0.0", "f" * 64, made["new"].files, "")
    files["damaged"] = {**files["half"], "plugins/acme-notes/1.0.0/release.json": b"{"}
    return made, files


@pytest.mark.parametrize(
    ("offer", "main", "expected"),
    [
        ("new", "empty", False),
        ("new", "new", True),
        ("new", "half", True),  # a later release counts for its own first one
        ("ten", "new", False),
        ("ten", "ten", True),
        ("ten", "half", True),
        ("half", "ten", False),
        ("half", "damaged", False),
        ("other", "half", False),
    ],
)
def test_what_counts_as_landed(
    offers: tuple[dict[str, Offer], dict[str, dict[str, bytes]]], offer: str, main: str, expected: bool
) -> None:
    """The same manifest, and the same release or a later one."""
    made, files = offers
    assert landed(MemoryTree(files[main]), made[offer]) is expected
