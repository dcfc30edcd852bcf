"""From what is installed and what is locked to what must change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.locks import lock_of, locked

from registry_client.installer.disk.record import Record
from registry_client.installer.plan import Action
from registry_client.installer.planning import kept_versions, packages_of, plan_changes

if TYPE_CHECKING:
    from registry_client.installer.project.lockfile import LockedPlugin


def record_of(*plugins: LockedPlugin) -> Record:
    """A record of what is installed."""
    return Record.model_validate(
        {"plugins": {p.id: {"plugin": p, "installedAt": "2026-03-01T12:00:00Z"} for p in plugins}}
    )


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        (None, locked("a"), Action.INSTALL),
        (locked("a"), None, Action.REMOVE),
        (locked("a"), locked("a"), None),
        (locked("a"), locked("a", "1.0.1"), Action.UPGRADE),
        (locked("a", "1.0.0"), locked("a", "1.0.0-rc.1"), Action.DOWNGRADE),
        (locked("a", "1.9.0"), locked("a", "1.10.0"), Action.UPGRADE),
        (locked("a"), locked("a", content="other"), Action.REINSTALL),
        (locked("a"), locked("a", path="../a"), Action.REINSTALL),
    ],
)
def test_action(before: LockedPlugin | None, after: LockedPlugin | None, action: Action | None) -> None:
    """Each difference between installed and locked, and what follows from it."""
    changes = plan_changes(record_of(*([before] if before else [])), lock_of(*([after] if after else [])), {})
    assert [change.action for change in changes] == ([action] if action else [])


def test_damaged_folders_are_installed_again() -> None:
    """What is not where it was put is put there again, although record and lock agree."""
    (change,) = plan_changes(
        record_of(locked("a"), locked("b")), lock_of(locked("a"), locked("b")), {}, damaged={"b"}
    )
    assert (change.id, change.action) == ("b", Action.REINSTALL)


@pytest.mark.parametrize(
    ("accepted", "installed", "after", "new"),
    [
        (None, None, ("read",), ("read",)),
        (None, ("read",), ("read", "write"), ("write",)),
        (("read", "write"), ("read",), ("read", "write"), ()),
        (("read",), ("read", "write"), ("write",), ("write",)),
        (("read", "write"), ("read", "write"), ("read",), ()),
    ],
)
def test_new_permissions(
    accepted: tuple[str, ...] | None,
    installed: tuple[str, ...] | None,
    after: tuple[str, ...],
    new: tuple[str, ...],
) -> None:
    """What was accepted is what the lock held; without a lock, what is installed."""
    record = record_of(*([locked("a", "1.0.0", *installed)] if installed is not None else []))
    base = {"a": locked("a", "1.0.0", *accepted)} if accepted is not None else {}
    (change,) = plan_changes(record, lock_of(locked("a", "2.0.0", *after)), base)
    assert change.new_permissions == new


def test_kept_versions() -> None:
    """The newest replacements stay, each once, the current version counted."""
    one, two, three, four = (locked("a", f"{n}.0.0") for n in (1, 2, 3, 4))
    assert kept_versions(two, (one,), 3) == (two, one)
    assert kept_versions(four, (three, two, one), 3) == (four, three)
    assert kept_versions(two, (three, two, one), 5) == (two, three, one)
    assert kept_versions(two, (one,), 1) == ()


def test_packages_of() -> None:
    """Python packages and programs of all plugins, each once."""
    a = locked("a", requires={"packages": ("redis>=4", "httpx"), "system": ("redis-server>=6",)})
    b = locked("b", requires={"packages": ("httpx",)})
    assert packages_of(lock_of(a, b)) == (("httpx", "redis>=4"), ("redis-server>=6",))
