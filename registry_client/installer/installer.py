"""`Installer`: the plugins of one host application, as its owner manages them. No printing, no questions of its own."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from registry_client.errors import ConsentError, NotFoundError, ReadOnlyError
from registry_client.installer.context import Context, Hooks, NoHooks
from registry_client.installer.disk.area import Area
from registry_client.installer.plan import Action, Plan
from registry_client.installer.project.file import load_project
from registry_client.installer.project.lockfile import Lock
from registry_client.installer.project.model import PROJECT_NAME, Project
from registry_client.models.base import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from registry_client.installer.checking import Checked
    from registry_client.installer.disk.exchange import Way
    from registry_client.installer.disk.record import Installed
    from registry_client.installer.operations import Planned
    from registry_client.installer.plan import Found
    from registry_client.installer.project.graph import Branch, Link
    from registry_client.installer.registries import Access
    from registry_client.installer.updates import Outdated

LOCK_TIMEOUT = 60.0


@dataclass(frozen=True)
class Consent:
    """What the owner agrees to.

    Attributes:
        permissions: accept upgrades that ask for more permissions.
        unsigned: accept unsigned sources that are new, or have new content.
        confirm: asked about a plan with upgrades that ask for more permissions (`Plan.asks_for_more`): True accepts them.
            None: nobody is asked, and such a plan is refused.
    """

    permissions: bool = False
    unsigned: bool = False
    confirm: Callable[[Plan], bool] | None = None


@dataclass(frozen=True)
class HostStatus:
    """How a project stands on this machine; asked of no host.

    Attributes:
        installed: what is installed, sorted by id.
        lock_problems: why the lock does not answer plugins.toml; empty if it does.
        out_of_step: ids whose installed version is not the locked one, or that are not where they were put.
        unsigned: ids of plugins that nobody's signature stands behind.
        plan: what blocks asked for, done already where it could be.
        exchange: how folders change places in the plugins' file system; None where nothing can be changed.
    """

    installed: tuple[Installed, ...] = ()
    lock_problems: tuple[str, ...] = ()
    out_of_step: tuple[str, ...] = ()
    unsigned: tuple[str, ...] = ()
    plan: Plan = field(default_factory=Plan)
    exchange: Way | None = None


class Installer:
    """Locks, installs, upgrades and checks the plugins of one project.

    Every operation that changes something gives the `Plan` of what it did, or with `dry_run` would do; all of it happens or
    nothing. Processes may share a project: operations wait for each other.

    Args:
        project: a plugins.toml, or the folder that holds it.
        access: how registries are reached; where their state and cache are.
        environment: variables for the Git processes of Git sources: PATH, HOME, proxies.
        hooks: the host's own steps before and after each change.
        progress: called with a file's name, bytes so far and bytes in all.
        lock_timeout: seconds to wait for another run.

    Raises:
        ConfigError: there is no plugins.toml. DocumentError: it breaks its rules; lists every problem.
    """

    def __init__(
        self,
        project: Path,
        access: Access,
        *,
        environment: Mapping[str, str] | None = None,
        hooks: Hooks | None = None,
        progress: Callable[[str, int, int], None] | None = None,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        self._path = project / PROJECT_NAME if project.is_dir() else project
        self._access = access
        self._environment = dict(environment or {})
        self._hooks = hooks or NoHooks()
        self._progress = progress
        self._timeout = lock_timeout
        self.project = load_project(self._path)

    # -- changing -------------------------------------------------------------------------------------------------

    def add(
        self,
        wishes: Sequence[str],
        *,
        here: Path | None = None,
        consent: Consent | None = None,
        dry_run: bool = False,
    ) -> Plan:
        """Ask for plugins in plugins.toml, lock and install them.

        Args:
            wishes: `ID`, `ID>=1,<2`, `REGISTRY:ID`, a folder, an archive, `git+URL@REF`, or `pypi:NAME`.
            here: the folder that relative paths start from; by default the project's.
            consent: what the owner agrees to.
            dry_run: only plan.

        Raises:
            RegistryError: a wish cannot be read or fulfilled; nothing has changed.
        """
        from registry_client.installer import operations  # noqa: PLC0415

        agreed = consent or Consent()
        with self._opened(dry_run=dry_run) as ctx:
            planned = operations.plan_add(ctx, self._context, wishes, unsigned=agreed.unsigned, here=here)
            return self._carry_out(ctx, planned, agreed, dry_run=dry_run)

    def remove(
        self, plugin_ids: Sequence[str], *, consent: Consent | None = None, dry_run: bool = False
    ) -> Plan:
        """Ask for plugins no longer, and uninstall them and what only they needed."""
        from registry_client.installer import operations  # noqa: PLC0415

        with self._opened(dry_run=dry_run) as ctx:
            planned = operations.plan_remove(ctx, plugin_ids)
            return self._carry_out(ctx, planned, consent or Consent(), dry_run=dry_run)

    def lock(self, *, consent: Consent | None = None, dry_run: bool = False) -> Plan:
        """Make plugins.lock answer plugins.toml; installs nothing. Locked versions stay where they fit."""
        from registry_client.installer import operations  # noqa: PLC0415
        from registry_client.installer.applying import apply_plan  # noqa: PLC0415

        agreed = consent or Consent()
        with self._opened(dry_run=dry_run) as ctx:
            plan = operations.plan_lock(ctx, unsigned=agreed.unsigned)
            self._warn((*ctx.warnings, *plan.warnings))
            self._agree(plan, agreed, dry_run=dry_run)
            if dry_run:
                return plan
            apply_plan(ctx, replace(plan, changes=()))
            return replace(plan, applied=True)

    def install(
        self,
        *,
        frozen: bool = False,
        verify: bool = False,
        consent: Consent | None = None,
        dry_run: bool = False,
    ) -> Plan:
        """Make the plugins folder equal to the lock. Without changes no host is asked.

        Args:
            frozen: fail where the lock does not answer plugins.toml, instead of locking anew.
            verify: compare every installed file, and install again what was changed.
            consent: what the owner agrees to.
            dry_run: only plan.
        """
        from registry_client.installer import operations  # noqa: PLC0415

        agreed = consent or Consent()
        with self._looking() as ctx:
            planned = operations.plan_install(ctx, frozen=frozen, unsigned=agreed.unsigned, verify=verify)
            return self._carry_out(ctx, planned, agreed, dry_run=dry_run)

    def upgrade(
        self, plugin_ids: Sequence[str] = (), *, consent: Consent | None = None, dry_run: bool = False
    ) -> Plan:
        """Lock and install the newest versions that ranges and statuses allow; of all plugins, or of some."""
        from registry_client.installer import operations  # noqa: PLC0415

        agreed = consent or Consent()
        with self._opened(dry_run=dry_run) as ctx:
            planned = operations.plan_upgrade(ctx, plugin_ids, unsigned=agreed.unsigned)
            return self._carry_out(ctx, planned, agreed, dry_run=dry_run)

    def upgrade_automatically(self, *, dry_run: bool = False) -> Plan:
        """What may be done without asking: forced updates, what `[updates]` allows, what blocks ask for. See `Plan.waiting`."""
        from registry_client.installer import operations  # noqa: PLC0415

        with self._opened(dry_run=dry_run) as ctx:
            return self._carry_out(ctx, operations.plan_automatic(ctx), Consent(), dry_run=dry_run)

    def rollback(
        self,
        plugin_id: str,
        version: str | None = None,
        *,
        consent: Consent | None = None,
        dry_run: bool = False,
    ) -> Plan:
        """Go back to a version that was installed before; needs no network. It is not upgraded again unless asked for."""
        from registry_client.installer import rollback  # noqa: PLC0415

        agreed = replace(
            consent or Consent(), permissions=True
        )  # they were accepted when it was installed first
        with self._opened(dry_run=dry_run) as ctx:
            planned = rollback.plan_rollback(ctx, plugin_id, version)
            return self._carry_out(ctx, planned, agreed, dry_run=dry_run)

    def disable(self, plugin_ids: Sequence[str]) -> Plan:
        """Set plugins aside, where the host does not load them."""
        from registry_client.installer import operations  # noqa: PLC0415

        with self._changing() as ctx:
            return self._carry_out(ctx, operations.plan_switch(ctx, plugin_ids, Action.DISABLE), Consent())

    def enable(self, plugin_ids: Sequence[str]) -> Plan:
        """Put disabled plugins back. A block that keeps one disabled is an error."""
        from registry_client.installer import operations  # noqa: PLC0415

        with self._changing() as ctx:
            return self._carry_out(ctx, operations.plan_switch(ctx, plugin_ids, Action.ENABLE), Consent())

    def adopt(self, folder_name: str, *, consent: Consent | None = None, dry_run: bool = False) -> Plan:
        """Record a folder that stands among the plugins already: as the registry's version if it is exactly that, else unsigned."""
        from registry_client.installer.adopting import plan_adopt  # noqa: PLC0415

        agreed = consent or Consent()
        with self._opened(dry_run=dry_run) as ctx:
            planned = plan_adopt(ctx, folder_name, unsigned=agreed.unsigned)
            return self._carry_out(ctx, planned, agreed, dry_run=dry_run)

    # -- looking --------------------------------------------------------------------------------------------------

    def installed(self) -> list[Installed]:
        """What is installed, sorted by id."""
        record = Area(self.project.host.folder).read_record()
        return [record.plugins[name] for name in sorted(record.plugins)]

    def locked(self) -> Lock:
        """plugins.lock; an empty one where there is none."""
        return self._context(self.project).read_lock() or Lock()

    def lock_problems(self) -> tuple[str, ...]:
        """Why plugins.lock does not answer plugins.toml; empty if it does. Asks no host."""
        from registry_client.installer.locking import out_of_date  # noqa: PLC0415

        ctx = self._context(self.project)
        return tuple(out_of_date(ctx.project, ctx.registries, ctx.read_lock()))

    def outdated(self) -> list[Outdated]:
        """For which locked plugins something newer is offered."""
        from registry_client.installer import updates  # noqa: PLC0415

        ctx = self._context(self.project)
        found = updates.outdated(ctx, self.locked())
        self._warn(ctx.warnings)
        return found

    def tree(self) -> tuple[Branch, ...]:
        """The plugins that plugins.toml asks for, each with what it needs."""
        from registry_client.installer.project import graph  # noqa: PLC0415

        return graph.build_tree(self.locked())

    def why(self, plugin_id: str) -> list[list[Link]]:
        """Every chain of requirements that leads to a plugin, the shortest first."""
        from registry_client.installer.project import graph  # noqa: PLC0415

        return graph.chains_to(self.locked(), plugin_id)

    def discover(self) -> list[Found]:
        """Folders among the plugins that nobody recorded."""
        from registry_client.installer import checking  # noqa: PLC0415

        area = Area(self.project.host.folder)
        return checking.discover(area.folder, area.read_record().plugins)

    def verify(self, plugin_ids: Sequence[str] = ()) -> tuple[list[Checked], Plan]:
        """Prove installed plugins from signature to files, all by default; does what blocks ask for first.

        A locked plugin that is not installed is a problem too.

        Raises:
            NotFoundError: one is not installed.
        """
        from registry_client.installer import checking  # noqa: PLC0415

        with self._looking() as ctx:
            record, lock = ctx.area.read_record(), ctx.read_lock() or Lock()
            missing = [plugin for plugin in lock.plugins if plugin.id not in record.plugins]
            known = {*record.plugins, *(plugin.id for plugin in missing)}
            unknown = [name for name in plugin_ids if name not in known]
            if unknown:
                raise NotFoundError(f"{unknown[0]!r} is not installed", hint="See what is: 'plugin list'.")
            checking.refresh(ctx, record)
            plan = self._do_blocks(ctx)
            record = ctx.area.read_record()
            checked = [checking.check_installed(ctx, item) for _, item in sorted(record.plugins.items())]
            checked += [checking.not_installed(plugin) for plugin in missing]
            return [item for item in checked if not plugin_ids or item.id in plugin_ids], plan

    def status(self) -> HostStatus:
        """How the project stands; asks no host, and does what the blocks last verified ask for."""
        from registry_client.installer import operations  # noqa: PLC0415
        from registry_client.installer.disk.exchange import way  # noqa: PLC0415
        from registry_client.installer.locking import out_of_date  # noqa: PLC0415

        with self._looking() as ctx:
            plan = self._do_blocks(ctx)
            record, lock = ctx.area.read_record(), ctx.read_lock()
            changes = operations.out_of_step(ctx, lock)
            return HostStatus(
                tuple(record.plugins[name] for name in sorted(record.plugins)),
                tuple(out_of_date(ctx.project, ctx.registries, lock)),
                changes,
                tuple(name for name, item in sorted(record.plugins.items()) if not item.plugin.signed),
                plan,
                None if ctx.read_only is not None else way(ctx.area.root),
            )

    # -- opening --------------------------------------------------------------------------------------------------

    def _context(self, project: Project) -> Context:
        from registry_client.installer.elsewhere.unsigned import Elsewhere  # noqa: PLC0415
        from registry_client.installer.registries import Registries  # noqa: PLC0415

        area = Area(project.host.folder)
        unsigned = Elsewhere(project, area, self._environment, self._access.on_warning)
        registries = Registries(project, self._access)
        return Context(project, area, registries, unsigned, self._now, self._hooks, self._progress)

    def _now(self) -> str:
        return format_time(self._access.clock())

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Context]:
        """The project, read anew under the area's lock, after completing what a killed run had committed."""
        from registry_client.installer.disk.transaction import recover  # noqa: PLC0415

        area = Area(self.project.host.folder)
        with area.locked(self._timeout):
            done = recover(area, [self.project.path, self.project.lock_path])
            if done:
                self._access.on_warning(done)
            self.project = load_project(self._path)
            yield self._context(self.project)

    def _opened(self, *, dry_run: bool) -> contextlib.AbstractContextManager[Context]:
        return self._looking() if dry_run else self._changing()

    @contextlib.contextmanager
    def _looking(self) -> Iterator[Context]:
        """As `_changing`; where the plugins folder cannot be written, the project as it stands, of which nothing is changed."""
        with contextlib.ExitStack() as stack:
            try:
                ctx = stack.enter_context(self._changing())
            except ReadOnlyError as e:
                area = Area(self.project.host.folder)
                if area.pending:  # what a killed run had committed has to be completed first
                    raise
                ctx = self._context(self.project)
                ctx.read_only = e
            yield ctx

    def _do_blocks(self, ctx: Context) -> Plan:
        """What blocks ask for, done where anything can be."""
        from registry_client.installer import operations  # noqa: PLC0415

        read_only = ctx.read_only is not None
        return self._carry_out(ctx, operations.plan_blocks(ctx), Consent(), dry_run=read_only)

    def _carry_out(self, ctx: Context, planned: Planned, consent: Consent, *, dry_run: bool = False) -> Plan:
        from registry_client.installer.applying import apply_plan  # noqa: PLC0415

        plan = planned.plan
        self._warn((*ctx.warnings, *plan.warnings))
        self._agree(plan, consent, dry_run=dry_run)
        if dry_run:
            return plan
        if ctx.read_only is not None and not plan.is_empty:
            raise ctx.read_only
        return apply_plan(ctx, plan, planned.how)

    def _warn(self, warnings: Sequence[str]) -> None:
        for warning in dict.fromkeys(warnings):
            self._access.on_warning(warning)

    @staticmethod
    def _agree(plan: Plan, consent: Consent, *, dry_run: bool) -> None:
        from registry_client.installer import operations  # noqa: PLC0415

        if dry_run or consent.permissions or not plan.asks_for_more:
            return
        if consent.confirm is None:
            raise operations.consent_needed(plan)
        if not consent.confirm(plan):
            raise ConsentError("stopped: the permissions were not accepted, so nothing was changed")
