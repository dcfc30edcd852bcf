"""Which version is chosen: cases as JSON files in golden/resolve, which other implementations can read too."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rows import TIME, block, line, release

from registry_client import errors
from registry_client.errors import RegistryError, VerificationError
from registry_client.names import parse_version
from registry_client.resolve import Host, VersionInfo, choose, choose_update, exact_version, unmet
from registry_client.status import standing_of

FOLDER = Path(__file__).parent / "golden" / "resolve"
INSTALL_ID = "0123456789abcdef0123456789abcdef"
Case = dict[str, Any]


def _cases() -> list[Any]:
    files = sorted(FOLDER.glob("*.json"))
    cases = [(path.stem, case) for path in files for case in json.loads(path.read_text("utf-8"))]
    return [pytest.param(case, id=f"{stem}: {case['name']}") for stem, case in cases]


def _info(plugin_id: str, entry: Case, blocks: list[Case]) -> VersionInfo:
    """One version as a case describes it; a release document is made only where it says more than the manifest."""
    more: Case = {name: entry[name] for name in ("requires", "removed") if name in entry}
    if "quarantined" in entry:
        more["quarantined"] = {"cause": "artifact", "reason": entry["quarantined"], "since": TIME}
    row = line(plugin_id, entry["version"], initialStatus=entry.get("initial", "released"), **more)
    said = {
        "status": "status",
        "reason": "reason",
        "rollout": "rollout",
        "push": "push",
        "force": "forceUpdate",
    }
    members = {said[name]: value for name, value in entry.items() if name in said}
    document = release(plugin_id, entry["version"], **members) if members else None
    problem = VerificationError(entry["problem"]) if "problem" in entry else None
    standing = standing_of(row, document, [block(plugin_id, **b) for b in blocks])
    return VersionInfo(row, document, standing, problem)


def _infos(case: Case) -> list[VersionInfo]:
    return [_info("calendar", entry, case.get("blocks", [])) for entry in case["versions"]]


@pytest.mark.parametrize("case", _cases())
def test_case(case: Case) -> None:
    """Each case of the files gives what it expects: a version and its warning, an update, or an error."""
    host = Host(INSTALL_ID, **case.get("host", {}))
    expected = case["expect"]
    if "installed" in case:
        update = choose_update(_infos(case), case["installed"], host)
        found = None if update is None else {"version": update.info.version, "force": update.force}
        assert found == expected
    elif "error" in expected:
        with pytest.raises(RegistryError) as caught:
            choose("calendar", _infos(case), case["range"], host)
        assert type(caught.value) is getattr(errors, f"{expected['error']}Error")
        assert re.search(expected["says"], str(caught.value)), str(caught.value)
    else:
        choice = choose("calendar", _infos(case), case["range"], host)
        assert choice.info.version == expected["version"]
        assert len(choice.warnings) == ("warning" in expected)
        assert all(expected["warning"] in warning for warning in choice.warnings)


def test_the_files_are_read() -> None:
    """A folder of no cases would pass too."""
    assert len(_cases()) > 100
    assert len({str(case.id) for case in _cases()}) == len(_cases())


VERSIONS = st.builds(
    lambda x, y, stage: f"{x}.{y}.0{stage}",
    st.integers(0, 2),
    st.integers(0, 3),
    st.sampled_from(["", "-rc.1", "-beta.2"]),
)
STATUSES = st.sampled_from(["released", "released", "testing", "staged", "draft", "yanked", "deprecated"])
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "version": VERSIONS,
            "status": STATUSES,
            "rollout": st.integers(0, 100),
            "push": st.booleans(),
            "reason": st.just("r"),
        }
    ),
    max_size=8,
    unique_by=lambda entry: entry["version"],
)
HOSTS = st.builds(
    Host,
    install_id=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    channel=st.sampled_from(["stable", "testing"]),
    prereleases=st.booleans(),
)


@given(ENTRIES, VERSIONS, HOSTS)
def test_updates_never_go_down(entries: list[Case], installed: str, host: Host) -> None:
    """Whatever there is, an update is above what is installed, released (or in testing for testers) and pushed."""
    update = choose_update(_infos({"versions": entries}), installed, host)
    if update is None:
        return
    assert parse_version(update.info.version) > parse_version(installed)
    standing = update.info.standing
    assert standing.status == "released" or (standing.status == "testing" and host.channel == "testing")
    assert standing.push or standing.status == "testing"


@given(ENTRIES, HOSTS)
def test_order_of_the_lines_does_not_matter(entries: list[Case], host: Host) -> None:
    """The choice is a function of the set of versions."""
    infos = _infos({"versions": entries})
    found = set()
    for order in itertools.islice(itertools.permutations(infos), 6):
        try:
            found.add(choose("calendar", order, None, host).info.version)
        except RegistryError as e:
            found.add(type(e).__name__)
    assert len(found) == 1


@given(ENTRIES, st.from_regex(r"[0-9a-f]{32}", fullmatch=True), st.integers(0, 100))
def test_raising_a_rollout_takes_nothing_away(entries: list[Case], install_id: str, more: int) -> None:
    """With every rollout raised, an installation is offered the same version or a newer one."""
    host = Host(install_id)
    raised = [{**entry, "rollout": min(100, entry["rollout"] + more)} for entry in entries]
    before = choose_update(_infos({"versions": entries}), "0.0.0", host)
    after = choose_update(_infos({"versions": raised}), "0.0.0", host)
    if before is not None:
        assert after is not None
        assert parse_version(after.info.version) >= parse_version(before.info.version)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (None, None),
        ("==1.2.3", "1.2.3"),
        (" == 1.2.3-rc.1 ", "1.2.3-rc.1"),
        ("==1.2", None),
        ("==1.2.*", None),
        ("===1.2.3", None),
        ("==1.2.3,<2", None),
        (">=1.2.3", None),
        ("1.2.3", None),
    ],
)
def test_exact_version(text: str | None, version: str | None) -> None:
    """Only `==` and a whole version ask for exactly that version."""
    assert exact_version(text) == version


def test_unmet_lists_everything() -> None:
    """All that is missing is told at once."""
    needs = {
        "host": {"nexus": ">=3", "crm": ">=2"},
        "python": ">=3.12",
        "platforms": ["win32"],
        "plugins": {"notes": ">=1"},
    }
    requires = line("calendar", "1.0.0", requires=needs).requires
    host = Host("x", applications={"nexus": "2.0.0", "crm": "1.0.0"}, python="3.11.0", platform="linux")
    assert len(unmet(requires, host)) == 4
    assert unmet(None, host) == unmet(requires, Host("x")) == []
