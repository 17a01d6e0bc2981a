"""A debtor with machines, and the worker that acts on them."""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import select

from billing import reminders
from billing.clock import ManualClock
from billing.db import Database
from billing.models import (
    AuditEntry,
    Channel,
    Customer,
    Invoice,
    Notice,
    NoticeStatus,
)
from billing.money import Currency
from billing.terms import Terms
from cloud.models import Deployment, State
from cloud.overdue import Overdue
from tests.billing.builders import at
from tests.billing.debts import delivered, owe
from tests.cloud.world import World, drain

SINCE = at("2026-02-01 00:10")
DUE_DAY = date(2026, 5, 1)
ADMIN = 9000


@dataclass
class Court:
    """A world with a debtor in it, and the worker that is tried."""

    world: World
    overdue: Overdue
    terms: Terms
    cancelled: list[int] = field(default_factory=list)
    cancel_works: bool = True

    @property
    def database(self) -> Database:
        return self.world.database

    @property
    def customer(self) -> Customer:
        return self.world.customer

    @property
    def now(self) -> datetime:
        return self.world.clock.now()

    async def at(self, text: str) -> None:
        self.world.clock.set(at(text))

    async def owes(self, amount: int = 500, since: datetime = SINCE) -> Invoice:
        async with self.database.transaction() as session:
            return await owe(session, self.customer, amount, since)

    async def reminded(self, text: str, status: NoticeStatus = NoticeStatus.SENT) -> None:
        """A reminder was written then, and this became of it."""
        await self.at(text)
        await reminders.remind(self.database, now=self.now, terms=self.terms)
        await delivered(self.database, self.now, status, kind="unpaid_reminder")

    async def kinds(self) -> list[str]:
        async with self.database.read() as session:
            rows = select(Notice.kind).where(Notice.channel == Channel.CHAT).order_by(Notice.id)
            return list(await session.scalars(rows))

    async def notice(self, kind: str) -> Notice:
        async with self.database.read() as session:
            return (await session.scalars(select(Notice).where(Notice.kind == kind))).one()

    async def audited(self) -> list[tuple[str, int | None]]:
        async with self.database.read() as session:
            rows = await session.scalars(select(AuditEntry).order_by(AuditEntry.id))
            return [(row.action, row.actor) for row in rows]

    async def customer_row(self) -> Customer:
        async with self.database.read() as session:
            return await session.get_one(Customer, self.customer.id)


async def open_court(database: Database, clock: ManualClock, folder: Path, *, suspend_days: int = 0) -> Court:
    clock.set(at("2026-01-05 12:00"))
    world = await World.make(database, clock, folder)
    wanted = Terms(Currency.of("usd"), suspend_days=suspend_days)

    async def cancel_waiting(customer_id: int) -> bool:
        made.cancelled.append(customer_id)
        return made.cancel_works

    made = Court(world, Overdue(database, clock, terms=wanted, cancel_waiting=cancel_waiting), wanted)
    return made


async def running(court: Court, *names: str) -> list[Deployment]:
    made = [await court.world.order(name) for name in names]
    await drain(court.world.worker())
    assert {await court.world.state(one) for one in made} == {State.SUCCESS}
    return made
