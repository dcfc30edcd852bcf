"""What the operations of an installer share: one project, its plugins folder, its registries, its host's hooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from registry_client.errors import DocumentError, HookError
from registry_client.installer.project.lockfile import LOCK_LIMIT, parse_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.errors import ReadOnlyError
    from registry_client.installer.disk.area import Area
    from registry_client.installer.locking import Unsigned
    from registry_client.installer.plan import Change
    from registry_client.installer.project.lockfile import Lock
    from registry_client.installer.project.model import Project
    from registry_client.installer.registries import Registries


class Hooks(Protocol):
    """What a host does before and after each change: stop and start a plugin, clear a cache, run migrations."""

    def before(self, change: Change) -> None:
        """Called when everything is fetched and checked, before anything changes. An exception stops the operation."""

    def after(self, change: Change) -> None:
        """Called when the operation is complete. An exception is reported; the change stands."""


class NoHooks:
    """Does nothing."""

    def before(self, change: Change) -> None:
        """Do nothing."""

    def after(self, change: Change) -> None:
        """Do nothing."""


@dataclass
class Context:
    """One project, opened.

    Attributes:
        project: plugins.toml.
        area: the plugins folder.
        registries: the registries it names.
        unsigned: packs what comes from elsewhere.
        now: the time, RFC 3339 text in UTC.
        hooks: the host's.
        progress: called with a file's name, bytes so far and bytes in all.
        warnings: what this operation has found so far.
        read_only: why nothing can be changed, where the plugins folder cannot be written.
    """

    project: Project
    area: Area
    registries: Registries
    unsigned: Unsigned
    now: Callable[[], str]
    hooks: Hooks = field(default_factory=NoHooks)
    progress: Callable[[str, int, int], None] | None = None
    warnings: list[str] = field(default_factory=list)
    read_only: ReadOnlyError | None = None

    def read_lock(self) -> Lock | None:
        """plugins.lock, or None where there is none.

        Raises:
            DocumentError: it is damaged.
        """
        path = self.project.lock_path
        try:
            with path.open("rb") as file:
                data = file.read(LOCK_LIMIT + 1)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise unreadable(str(path), e) from e
        try:
            return parse_lock(data, str(path))
        except DocumentError as e:
            raise DocumentError(
                e.where,
                list(e.problems),
                hint=e.hint or "Restore it from your repository, or delete it and run 'plugin lock'.",
            ) from e

    def call_before(self, change: Change) -> None:
        """Call the host's hook. Raises HookError: nothing is changed."""
        try:
            self.hooks.before(change)
        except Exception as e:
            raise HookError(
                f"{change.id}: the host's hook before {change.action} failed, so nothing was changed: {type(e).__name__}: {e}",
                hint="Mend what the hook complains about, then try again.",
            ) from e

    def call_after(self, change: Change) -> HookError | None:
        """Call the host's hook; an error of it, the change stands."""
        try:
            self.hooks.after(change)
        except Exception as e:  # noqa: BLE001  (a host's code may raise anything; the other hooks are still called)
            failed = HookError(
                f"{change.id}: done, but the host's hook after {change.action} failed: {type(e).__name__}: {e}"
            )
            failed.__cause__ = e
            return failed
        return None


def unreadable(path: str, error: OSError) -> DocumentError:
    """The error for a file that is there, but cannot be read."""
    from registry_client.errors import Problem  # noqa: PLC0415

    return DocumentError(path, [Problem("$", f"cannot be read ({error.strerror or error})")])
