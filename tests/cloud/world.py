"""A small world for deployments: a customer who may deploy, a simulated cloud, a worker."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import asyncssh
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import catalog, quotes
from billing.catalog import Item
from billing.clock import ManualClock
from billing.db import Database
from billing.models import Card, Customer, Interval, Kind, Notice, Subscription
from billing.money import Currency
from billing.quotes import Order
from billing.terms import Terms
from cloud import deployments, key_ring
from cloud.deployments import Confirmed, Outcome
from cloud.drivers.simulated import SimulatedDriver
from cloud.models import Deployment, Node, State
from cloud.reconcile import Reconciler
from cloud.specs import SpecMaker
from tests.billing.builders import make_customer

USD = Terms(Currency.of("usd"))
KEY = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC_KEY = KEY.export_public_key().decode().strip()
VM = Item(Kind.VM, "small")
K8S = Item(Kind.K8S, "small", public=True)

_cards = itertools.count(1)


async def can_deploy(session: AsyncSession, now: datetime) -> Customer:
    """A new customer with a card and an SSH key; prices are there."""
    await catalog.ensure_defaults(session, USD.currency)
    customer = await make_customer(session)
    await key_ring.add(session, customer, PUBLIC_KEY, now=now)
    await add_card(session, customer, now)
    return customer


async def add_card(session: AsyncSession, customer: Customer, now: datetime) -> None:
    """A valid card."""
    number = f"pm_{next(_cards)}"
    session.add(
        Card(
            customer_id=customer.id,
            provider_id=number,
            fingerprint=number,
            brand="visa",
            last4="4242",
            expiry_month=12,
            expiry_year=2040,
            added_at=now,
        )
    )
    await session.flush()


async def order(
    session: AsyncSession, customer: Customer, now: datetime, *, item: Item = VM, name: str = "web", workers: int = 0
) -> Outcome:
    """Offer and confirm at once."""
    quote = await quotes.offer(session, customer, Order(item, name, workers), now)
    return await deployments.confirm(session, customer, quote.id, now=now, terms=USD)


@dataclass
class World:
    """Everything that a test of the worker needs."""

    database: Database
    clock: ManualClock
    driver: SimulatedDriver
    customer: Customer
    changes: list[int] = field(default_factory=list)

    @classmethod
    async def make(cls, database: Database, clock: ManualClock, folder: Path) -> "World":
        """A fresh world."""
        async with database.transaction() as session:
            customer = await can_deploy(session, clock.now())
        return cls(database, clock, SimulatedDriver(folder), customer)

    def worker(self, wrap: Callable[[SimulatedDriver], SimulatedDriver] = lambda driver: driver) -> Reconciler:
        """A worker; `wrap` may put something between it and the cloud."""

        async def on_change(deployment_id: int) -> None:
            self.changes.append(deployment_id)

        return Reconciler(self.database, wrap(self.driver), self.clock, specs=SpecMaker(), on_change=on_change)

    async def order(self, name: str = "web", *, item: Item = VM, workers: int = 0) -> Deployment:
        """A confirmed deployment, in progress."""
        async with self.database.transaction() as session:
            outcome = await order(session, self.customer, self.clock.now(), item=item, name=name, workers=workers)
        assert isinstance(outcome, Confirmed)
        return outcome.deployment

    async def delete(self, deployment: Deployment) -> None:
        """The customer asks for its deletion."""
        async with self.database.transaction() as session:
            await deployments.delete(session, self.customer, deployment.id, now=self.clock.now())

    async def row(self, deployment: Deployment) -> Deployment:
        """The deployment as it is now."""
        async with self.database.read() as session:
            return (await session.scalars(select(Deployment).where(Deployment.id == deployment.id))).one()

    async def state(self, deployment: Deployment) -> State:
        """Its state now."""
        return (await self.row(deployment)).state

    async def nodes(self, deployment: Deployment) -> Sequence[Node]:
        """Its machines, as the database has them."""
        async with self.database.read() as session:
            return await deployments.nodes(session, deployment)

    async def machines(self) -> list[str]:
        """Names of what exists in the cloud."""
        return [machine.name for machine in await self.driver.list_owned()]

    async def told(self) -> list[str]:
        """Kinds of all notices, oldest first."""
        async with self.database.read() as session:
            return list(await session.scalars(select(Notice.kind).order_by(Notice.id)))

    async def notice(self, kind: str) -> Notice:
        """The one notice of a kind."""
        async with self.database.read() as session:
            return (await session.scalars(select(Notice).where(Notice.kind == kind))).one()

    async def intervals(self, deployment: Deployment) -> list[tuple[datetime, datetime | None]]:
        """When it was billed."""
        async with self.database.read() as session:
            rows = await session.scalars(
                select(Interval).where(Interval.subscription_id == deployment.subscription_id).order_by(Interval.id)
            )
            return [(row.started_at, row.ended_at) for row in rows]

    async def subscription(self, deployment: Deployment) -> Subscription:
        """What is charged for it."""
        async with self.database.read() as session:
            return (
                await session.scalars(select(Subscription).where(Subscription.id == deployment.subscription_id))
            ).one()


async def drain(worker: Reconciler) -> None:
    """Let a worker do all there is to do now."""
    for _ in range(50):
        if not await worker.tick():
            return
    raise AssertionError("the worker finds no end")
