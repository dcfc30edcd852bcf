"""Staged rollout: the same cohort everywhere, growing and never changing members."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.rollout import bucket, in_rollout

GOLDEN = json.loads((Path(__file__).parent / "golden" / "rollout.json").read_text("utf-8"))["vectors"]
INSTALL_IDS = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
PLUGIN_IDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True)
PER_CENT = st.integers(0, 100)


@pytest.mark.parametrize("vector", GOLDEN)
def test_golden_vectors(vector: dict[str, str | int]) -> None:
    """Buckets that every implementation must compute; the digest is there to find where one goes wrong."""
    install_id, plugin_id, version = (str(vector[name]) for name in ("installId", "pluginId", "version"))
    assert hashlib.sha256(f"{install_id}:{plugin_id}:{version}".encode()).hexdigest() == vector["sha256"]
    assert bucket(install_id, plugin_id, version) == vector["bucket"]


@pytest.mark.parametrize("vector", GOLDEN)
def test_the_edge_of_a_cohort(vector: dict[str, str | int]) -> None:
    """An installation comes in when the rollout passes its bucket, not when it reaches it."""
    install_id, plugin_id, version = (str(vector[name]) for name in ("installId", "pluginId", "version"))
    assert not in_rollout(install_id, plugin_id, version, int(vector["bucket"]))
    assert in_rollout(install_id, plugin_id, version, int(vector["bucket"]) + 1)


def test_golden_vectors_are_enough() -> None:
    """At least 20, with more than a few buckets."""
    assert len(GOLDEN) >= 20
    assert len({vector["bucket"] for vector in GOLDEN}) >= 15


@given(INSTALL_IDS, PLUGIN_IDS, PER_CENT, PER_CENT)
def test_a_cohort_only_grows(install_id: str, plugin_id: str, a: int, b: int) -> None:
    """Who is in at the lower percentage is in at the higher."""
    low, high = sorted((a, b))
    if in_rollout(install_id, plugin_id, "1.0.0", low):
        assert in_rollout(install_id, plugin_id, "1.0.0", high)


@given(INSTALL_IDS, PLUGIN_IDS)
def test_nobody_and_everybody(install_id: str, plugin_id: str) -> None:
    """0 holds nobody, 100 everybody."""
    assert not in_rollout(install_id, plugin_id, "1.0.0", 0)
    assert in_rollout(install_id, plugin_id, "1.0.0", 100)


def test_cohorts_are_about_as_large_as_stated() -> None:
    """Of 20,000 installations each bucket holds about 200."""
    counts = [0] * 100
    for number in range(20_000):
        counts[bucket(hashlib.sha256(str(number).encode()).hexdigest()[:32], "calendar", "1.2.0")] += 1
    assert min(counts) > 140
    assert max(counts) < 260


def test_each_version_and_plugin_has_cohorts_of_its_own() -> None:
    """Not always the same installations go first."""
    ids = [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(2000)]

    def cohort(plugin_id: str, version: str) -> set[str]:
        return {install_id for install_id in ids if in_rollout(install_id, plugin_id, version, 10)}

    first = cohort("calendar", "1.0.0")
    for other in (cohort("calendar", "1.0.1"), cohort("notes", "1.0.0")):
        assert 0 < len(first & other) < 60  # 20 by chance
