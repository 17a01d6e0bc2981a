"""The worker that makes the cloud agree with the deployments (rules.md 3.8, B6).

Each step is: take a deployment by a lease and commit; act through the driver, outside any transaction; write down
what came of it, if the row still asks for what was acted on. Whatever dies in between, the next look finds out how
far things are and goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from billing import leases
from billing.clock import Clock
from billing.db import Database
from billing.models import Kind
from cloud import claims, records
from cloud.claims import Work
from cloud.cloud_init import USER
from cloud.cluster import API_PORT, ClusterSight, Door, Member, SimulatedDoor
from cloud.drivers.base import Capabilities, Driver, DriverError, NotYet, OutOfCapacity, Refused
from cloud.drivers.logged import LoggedDriver
from cloud.machines import NO_CONTROL, Machines, Sight
from cloud.models import Deployment, Role, State
from cloud.records import Why
from cloud.specs import SpecMaker
from cloud.sweep import Sweeper

log = logging.getLogger(__name__)

SWEEP_EVERY = timedelta(minutes=5)
_PARALLEL = 16
"""Deployments in hand at once: most of the time of each is waiting for the cloud."""
_PATIENCE = 2.0
"""Seconds that a tick waits for slow acts; they go on while the next tick begins others."""
_RENEW_SECONDS = claims.LEASE.total_seconds() / 3

NO_CLUSTERS = "Kubernetes clusters cannot be made in this cloud."
NOT_UP = "It does not answer since it was switched on."

OnChange = Callable[[int], Awaitable[None]]
"""Called with a deployment's id, outside any transaction, when what people see of it has changed."""
Write = Callable[[AsyncSession, Deployment, datetime], Awaitable[bool]]
"""Writes a result into the row, and returns whether the next step should come at once."""


class Reconciler:
    """Looks after deployments; any number of these may work at once."""

    def __init__(
        self,
        database: Database,
        driver: Driver,
        clock: Clock,
        *,
        specs: SpecMaker | None = None,
        on_change: OnChange | None = None,
        door: Door | None = None,
        parallel: int = _PARALLEL,
    ) -> None:
        """Take the database, the cloud and the clock.

        Args:
            database: where deployments are.
            driver: the cloud.
            clock: asked once for each act.
            specs: what machines are made of beyond the deployment: the operator's keys.
            on_change: told of every change, so that a progress message can follow; may be set later.
            door: the way into clusters that are real; none: they are taken for simulated ones.
            parallel: deployments in hand at once.
        """
        self._database = database
        self._clock = clock
        driver = LoggedDriver(driver)
        self._machines = Machines(driver, database, clock, specs or SpecMaker())
        self._sweeper = Sweeper(database, driver, clock)
        self._door = door or SimulatedDoor()
        self.on_change = on_change
        self._parallel = parallel
        self._owner = leases.new_owner()
        self._in_hand: dict[int, asyncio.Task[bool]] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._swept_at: datetime | None = None

    async def tick(self) -> bool:
        """Do everything that is due once; return whether there is more to do at once.

        What only has to be waited for, such as a machine that boots, is no reason to come back at once.
        """
        more = await self._sweep_if_due()
        looked_at: set[int] = set()
        while len(self._in_hand) < self._parallel:
            taken = await self._take(looked_at)
            if not taken:
                break
            looked_at |= taken
            more |= await self._wait()
        if self._in_hand:
            more |= await self._wait()
        return more or bool(self._in_hand)

    async def sweep(self) -> bool:
        """Compare the cloud with the deployments now; return whether that made work."""
        self._swept_at = self._clock.now()
        try:
            return await self._sweeper.sweep()
        except DriverError as error:
            log.warning("the cloud could not be listed: %s", error)
            return False

    async def close(self) -> None:
        """Stop what is in hand and give it back; what the driver was doing is found again by whoever goes on."""
        tasks = [*self._in_hand.values(), *([self._renewing] if self._renewing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._in_hand.clear()
        async with self._database.transaction() as session:
            await claims.give_back(session, self._owner)

    async def _sweep_if_due(self) -> bool:
        now = self._clock.now()
        if self._swept_at is None:
            async with self._database.transaction() as session:
                await claims.free_the_dead(session)
        elif abs(now - self._swept_at) < SWEEP_EVERY:
            return False
        return await self.sweep()

    # --- what is in hand

    async def _take(self, looked_at: set[int]) -> set[int]:
        """Begin with as many due deployments as hands are free for, and return their ids."""
        free = self._parallel - len(self._in_hand)
        async with self._database.transaction() as session:
            works = await claims.claim(
                session, self._owner, now=self._clock.now(), besides=looked_at | set(self._in_hand), limit=free
            )
        for work in works:
            self._in_hand[work.deployment.id] = asyncio.create_task(self._look_after(work))
        if works and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.create_task(self._renew())
        return {work.deployment.id for work in works}

    async def _wait(self) -> bool:
        """Wait a while for what is in hand; return whether any of it wants its next step at once."""
        done, _ = await asyncio.wait(self._in_hand.values(), timeout=_PATIENCE)
        self._in_hand = {key: task for key, task in self._in_hand.items() if task not in done}
        wanted = [task.result() for task in done if not task.cancelled()]
        return any(wanted)

    async def _renew(self) -> None:
        """Keep the leases of what is in hand while it takes its time."""
        while self._in_hand:
            await asyncio.sleep(_RENEW_SECONDS)
            with suppress(Exception):  # the next round tries again, and a lease that runs out is harmless
                async with self._database.transaction() as session:
                    await claims.renew(session, self._owner, list(self._in_hand), now=self._clock.now())

    async def _look_after(self, work: Work) -> bool:
        """Take one deployment a step further; return whether it wants the next step at once."""
        try:
            match work.deployment.state:
                case State.IN_PROGRESS:
                    return await self._provision(work)
                case State.SUCCESS:
                    return await self._keep_up(work)
                case State.DELETING | State.FAILED | State.DELETED:
                    return await self._remove(work)
        except Exception as error:  # noqa: BLE001 nobody waits for this task; one's trouble is none of the others'
            _log(error)
            return await self._again(work, error)

    # --- the three things that can be wanted

    async def _provision(self, work: Work) -> bool:
        """In progress: bring up what is not ready yet; all ready is success, one that cannot be fails the whole."""
        if self._clock.now() >= work.deployment.deadline_at:
            return await self._fail(work, Why.TOO_LATE, _too_late(work.deployment), ())
        sights, errors = await self._bring_up(work)
        cluster: ClusterSight | None = None
        if not errors and all(sight.ready for sight in sights):
            cluster, errors = await self._look_into(work, sights)
        if final := _final(errors):
            return await self._fail(work, *final, sights)

        async def write(session: AsyncSession, row: Deployment, now: datetime) -> bool:
            await records.seen(session, sights, now)
            if errors:
                await _not_now(session, row, errors[0], now)
            elif cluster is not None and not cluster.kubeconfig:
                records.waiting(row, cluster.detail, now)
            elif all(sight.ready for sight in sights):
                row.kubeconfig = cluster.kubeconfig if cluster else ""
                await records.ready(session, row, now)
            else:
                records.waiting(row, _progress(work, sights), now)
            return False

        return await self._write(work, write)

    async def _look_into(self, work: Work, sights: Sequence[Sight]) -> tuple[ClusterSight | None, list[Exception]]:
        """Return how far the cluster of machines that all run is; `None` where there is none to be."""
        able = await self._machines.capabilities()
        if work.deployment.kind is not Kind.K8S or not able.clusters:
            return None, []
        door = self._door if able.real else SimulatedDoor()
        try:
            control, *workers = _members(work, sights)
            api = await self._machines.port_of(work.nodes[0], API_PORT)
            return await door.look(work.deployment.name, [replace(control, api=api), *workers]), []
        except DriverError as error:
            return None, [error]

    async def _keep_up(self, work: Work) -> bool:
        """Running: power as wished, and workers of a cluster that vanished made again."""
        wish = work.deployment
        present = [node for node in work.nodes if node.seen_at is not None]
        made, errors = await self._bring_up(work)
        switched, troubles = await _all(
            self._machines.switch(node, wish.power, reboot=wish.reboot_wanted) for node in present
        )
        sights, errors = [*made, *switched], [*errors, *troubles]

        async def write(session: AsyncSession, row: Deployment, now: datetime) -> bool:
            await records.seen(session, sights, now)
            if errors:
                await _not_now(session, row, errors[0], now)
                return False
            row.reboot_wanted = False
            if all(sight.ready for sight in sights):
                records.done(row)
            elif now >= row.deadline_at:
                records.done(row, NOT_UP)
            else:
                records.waiting(row, _progress(work, sights), now)
            return False

        return await self._write(work, write)

    async def _remove(self, work: Work) -> bool:
        """Over, or asked to be: nothing of it stays in the cloud."""
        await self._machines.remove(work.nodes)

        async def write(_: AsyncSession, row: Deployment, now: datetime) -> bool:
            records.removed(row, now)
            return False

        return await self._write(work, write)

    async def _fail(self, work: Work, why: Why, reason: str, sights: Sequence[Sight]) -> bool:
        async def write(session: AsyncSession, row: Deployment, now: datetime) -> bool:
            await records.seen(session, sights, now)
            await records.failed(session, row, why, reason, now)
            return True

        return await self._write(work, write)

    async def _again(self, work: Work, error: Exception) -> bool:
        async def write(session: AsyncSession, row: Deployment, now: datetime) -> bool:
            await _not_now(session, row, error, now)
            return False

        return await self._write(work, write)

    # --- what they share

    async def _bring_up(self, work: Work) -> tuple[list[Sight], list[Exception]]:
        """Take every machine that is not ready one step further, all at once; workers join a control plane."""
        missing = [node for node in work.nodes if node.seen_at is None]
        able = await self._machines.capabilities()
        if work.deployment.kind is not Kind.K8S:
            return await _all(self._machines.bring_up(work, node) for node in missing)
        if missing and not able.clusters:
            return [], [Refused(NO_CLUSTERS)]  # sold before the operator changed to this cloud
        workers = [node for node in missing if node.role is Role.WORKER]
        first = [node for node in missing if node not in workers]
        if workers and not first and not _server(work, (), able):
            first = [work.nodes[0]]  # it runs, and its address is still to come
        sights, errors = await _all(self._machines.bring_up(work, node) for node in first)
        server = _server(work, sights, able)
        if not server:
            return [*sights, *(Sight(node.id, ready=False, detail=NO_CONTROL) for node in workers)], errors
        more, troubles = await _all(self._machines.bring_up(work, node, server=server) for node in workers)
        return [*sights, *more], [*errors, *troubles]

    async def _write(self, work: Work, write: Write) -> bool:
        """Write a result down, unless the row asks for something else by now; then it is looked at again at once."""
        now = self._clock.now()
        async with self._database.transaction() as session:
            row = await claims.hold(session, work, self._owner, now=now)
            if row is None:
                return True
            if claims.wish_of(row) != work.wish:
                row.reconcile_at = now
                return True
            shown = row.state, row.detail
            at_once = await write(session, row, now)
        if self.on_change is not None and shown != (row.state, row.detail):
            await self._tell(row.id)
        return at_once

    async def _tell(self, deployment_id: int) -> None:
        try:
            if self.on_change is not None:
                await self.on_change(deployment_id)
        except Exception:
            # What is shown is no part of what is done: the screen is made afresh at the next tap.
            log.exception("showing deployment %s", deployment_id)


async def _all(acts: Iterable[Awaitable[Sight]]) -> tuple[list[Sight], list[Exception]]:
    """Await all, and return what was seen and what went wrong."""
    sights: list[Sight] = []
    errors: list[Exception] = []
    for result in await asyncio.gather(*acts, return_exceptions=True):
        if isinstance(result, Sight):
            sights.append(result)
        elif isinstance(result, Exception):
            _log(result)
            errors.append(result)
        else:
            raise result  # cancelled: this is no answer of the cloud's
    return sights, errors


def _final(errors: Sequence[Exception]) -> tuple[Why, str] | None:
    """Return why it will never be, if one of these errors says so."""
    for kind, why in ((Refused, Why.REFUSED), (OutOfCapacity, Why.SOLD_OUT)):
        for error in errors:
            if isinstance(error, kind):
                return why, str(error)
    return None


def _members(work: Work, sights: Sequence[Sight]) -> list[Member]:
    """Return how a cluster's machines are reached, as seen now or as written down before."""
    seen = {sight.node_id: sight.machine for sight in sights if sight.machine is not None and sight.machine.host}
    return [
        Member(USER, machine.host, machine.port, node.host_key)
        if (machine := seen.get(node.id))
        else Member(USER, node.host, node.port, node.host_key)
        for node in work.nodes
    ]


def _server(work: Work, sights: Sequence[Sight], able: Capabilities) -> str:
    """Return the address at which workers find their control plane, empty while there is none."""
    control = work.nodes[0]
    seen = next((sight.machine for sight in sights if sight.node_id == control.id and sight.machine), None)
    private = (seen.private_ip if seen else "") or control.private_ip
    return private if private or able.private_network else _members(work, sights)[0].host


def _log(error: Exception) -> None:
    """Show the operator what is our own mistake; what the cloud says is told where it belongs."""
    if not isinstance(error, DriverError):
        log.error("looking after a deployment", exc_info=error)


async def _not_now(session: AsyncSession, row: Deployment, error: Exception, now: datetime) -> None:
    """Write down why nothing came of it this time; only what is no matter of course counts as trouble."""
    if isinstance(error, NotYet):
        records.waiting(row, str(error), now)
    else:
        await records.again(session, row, _words(error), now)


def _words(error: Exception) -> str:
    """Return what people may read of an error; only drivers speak to them."""
    return str(error) if isinstance(error, DriverError) else records.TROUBLE


def _progress(work: Work, sights: Sequence[Sight]) -> str:
    """Return what is going on in plain words."""
    detail = next((sight.detail for sight in sights if not sight.ready), "")
    if len(work.nodes) == 1:
        return detail
    waiting = sum(not sight.ready for sight in sights)
    return f"{len(work.nodes) - waiting} of {len(work.nodes)} machines ready, {detail}"


def _too_late(deployment: Deployment) -> str:
    last = f" Last it was: {deployment.detail}" if deployment.detail else ""
    return f"It was not ready in time.{last}"
