"""The sweep: machines that no deployment has, and deployments whose machine is gone (rules.md 3.8).

Both are reported when they are first seen, and acted on only when they are still so some time later: a cloud's list
may lag, or be another project's for a moment.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, outbox
from billing.clock import DAY, Clock
from billing.db import Database
from billing.sql import inserting
from cloud import former, records
from cloud.drivers.base import Driver, Machine
from cloud.models import Deployment, Finding, FindingKind, Node, Role, State

T = TypeVar("T")

ACT_AFTER: Mapping[FindingKind, timedelta] = {
    FindingKind.MISSING: timedelta(minutes=10),
    FindingKind.LEFT: timedelta(minutes=10),
    # Nobody here knows what it is: after a restore from a backup it may be a customer's. A day to look at it.
    FindingKind.UNKNOWN: DAY,
}
"""How long a disagreement must last before something is done about it."""

_CHUNK = 500
"""Machines compared in one transaction."""


class Sweeper:
    """Compares the cloud with the deployments, both ways."""

    def __init__(self, database: Database, driver: Driver, clock: Clock) -> None:
        """Take both sides and the clock."""
        self._database = database
        self._driver = driver
        self._clock = clock

    async def sweep(self) -> bool:
        """Compare once; return whether that made work for the reconciler.

        Raises:
            DriverError: the cloud could not be listed.
        """
        now = self._clock.now()
        # The list first: what is ordered while it is made is in the rows by then, so that nothing looks unknown.
        machines = {machine.name: machine for machine in await self._driver.list_owned()}
        found = await self._strangers(machines, now)
        found |= await self._missing(machines, now)
        ripe = await self._report(found, machines, now)
        return await self._act(ripe, now)

    # --- finding

    async def _strangers(self, machines: Mapping[str, Machine], now: datetime) -> dict[str, FindingKind]:
        """Note when our machines were seen, and return those that no deployment should have any more."""
        found: dict[str, FindingKind] = {}
        for chunk in _chunks(sorted(machines)):
            async with self._database.transaction() as session:
                rows = await session.execute(
                    select(Node.id, Node.machine, Deployment.state, Deployment.cleaned_at)
                    .join(Deployment, Deployment.id == Node.deployment_id)
                    .where(Node.machine.in_(chunk))
                )
                known = {machine: (node_id, state, cleaned) for node_id, machine, state, cleaned in rows}
                running = [node_id for node_id, state, _ in known.values() if state is State.SUCCESS]
                await session.execute(
                    update(Node).where(Node.id.in_(running), Node.seen_at.is_not(None)).values(seen_at=now)
                )
            strange = {name for name in chunk if name not in known}
            if strange:
                async with self._database.read() as session:
                    strange -= await former.machine_names(session)
            found |= dict.fromkeys(strange, FindingKind.UNKNOWN)
            found |= {name: FindingKind.LEFT for name, (_, _, cleaned) in known.items() if cleaned is not None}
        return {name: kind for name, kind in found.items() if await self._driver.get(name) is not None}

    async def _missing(self, machines: Collection[str], now: datetime) -> dict[str, FindingKind]:
        """Return machines of running deployments that the cloud has not: neither listed nor found by name."""
        found: dict[str, FindingKind] = {}
        last = 0
        while True:
            async with self._database.read() as session:
                rows = (
                    await session.execute(
                        select(Node.id, Node.machine)
                        .join(Deployment, Deployment.id == Node.deployment_id)
                        .where(Deployment.state == State.SUCCESS, Node.seen_at.is_not(None), Node.seen_at < now)
                        .where(Node.id > last)
                        .order_by(Node.id)
                        .limit(_CHUNK)
                    )
                ).all()
            for _, machine in rows:
                if machine not in machines and await self._driver.get(machine) is None:
                    found[machine] = FindingKind.MISSING
            if len(rows) < _CHUNK:
                return found
            last = rows[-1][0]

    # --- reporting

    async def _report(
        self, found: Mapping[str, FindingKind], machines: Mapping[str, Machine], now: datetime
    ) -> list[Finding]:
        """Write down what is new, forget what is over, and return what has lasted long enough to act on."""
        async with self._database.transaction() as session:
            before = {finding.machine: finding for finding in await session.scalars(select(Finding))}
            over = [name for name, finding in before.items() if found.get(name) is not finding.kind]
            for chunk in _chunks(over):
                await session.execute(delete(Finding).where(Finding.machine.in_(chunk)))
            ripe = []
            for name, kind in found.items():
                finding = before.get(name)
                if finding is None or finding.kind is not kind:
                    await _note(session, name, kind, machines.get(name), now)
                elif now - finding.found_at >= ACT_AFTER[kind]:
                    ripe.append(finding)
            return ripe

    # --- acting

    async def _act(self, ripe: Sequence[Finding], now: datetime) -> bool:
        for finding in ripe:
            match finding.kind:
                case FindingKind.UNKNOWN:
                    await self._driver.delete(finding.machine)
                    async with self._database.transaction() as session:
                        await _tell_house(session, "house_machine_removed", {"machine": finding.machine}, now)
                case FindingKind.LEFT:
                    async with self._database.transaction() as session:
                        await _clean_again(session, finding.machine, now)
                case FindingKind.MISSING:
                    async with self._database.transaction() as session:
                        await _lost(session, finding.machine, now)
        return bool(ripe)


async def _note(session: AsyncSession, name: str, kind: FindingKind, machine: Machine | None, now: datetime) -> None:
    """Write a new disagreement down and report it; once, whoever else sweeps."""
    insert = inserting(session, Finding).values(machine=name, kind=kind, found_at=now)
    new = await session.execute(insert.on_conflict_do_nothing().returning(Finding.machine))
    if new.first() is not None:
        data = {"machine": name, "ref": machine.ref if machine else "", "acts_at": (now + ACT_AFTER[kind]).isoformat()}
        await _tell_house(session, f"house_machine_{kind.value}", data, now)


async def _clean_again(session: AsyncSession, machine: str, now: datetime) -> None:
    """Have the remains of a deployment removed once more."""
    await session.execute(
        update(Deployment)
        .where(
            Deployment.id.in_(select(Node.deployment_id).where(Node.machine == machine)),
            Deployment.cleaned_at.is_not(None),
        )
        .values(cleaned_at=None, reconcile_at=now)
    )


async def _lost(session: AsyncSession, machine: str, now: datetime) -> None:
    """A machine vanished: its deployment ends when it was last seen; a worker of a cluster is made again.

    A cluster lives on without one worker, and deleting all of it would take the customer's data with it.
    """
    customer_id = await session.scalar(
        select(Deployment.customer_id).join(Node, Node.deployment_id == Deployment.id).where(Node.machine == machine)
    )
    if customer_id is None:
        return
    await accounts.lock(session, customer_id)
    node = (await session.scalars(select(Node).where(Node.machine == machine))).one()
    row = (await session.scalars(select(Deployment).where(Deployment.id == node.deployment_id).with_for_update())).one()
    if row.state is not State.SUCCESS or node.seen_at is None:
        return
    if node.role is Role.WORKER:
        node.seen_at = None
        row.reconcile_at = now
    else:
        await records.vanished(session, row, node.seen_at, now)


async def _tell_house(session: AsyncSession, kind: str, data: dict[str, str], now: datetime) -> None:
    dedup = f"machine:{data['machine']}:{kind}:{now:%Y-%m-%d}"
    await outbox.tell_house(session, kind, data, now=now, dedup=dedup)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
