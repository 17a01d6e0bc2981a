"""A business of its own clock: the product's own workers and jobs on a database, against the stand-in in-process.

Everything that happens follows from a seed: who does what, which request goes wrong, which event comes twice, late or
out of order. Nothing runs at the same time as anything else, so that the same seed gives the same ledger.
"""

import itertools
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import func, select, update

from billing import catalog, inbox, low_funds, metering, month_run, reminders, taken_back, wishes
from billing.cashier import Cashier
from billing.checkouts import Checkouts
from billing.clock import ManualClock
from billing.corrector import Corrector
from billing.db import Database
from billing.gateway import GatewayError
from billing.inbox import Inbox
from billing.models import Customer, EventKind, Invoice, Notice, NoticeStatus
from billing.money import Currency
from billing.stripe_gateway import StripeGateway
from billing.terms import Terms
from bot.demo.stripe import StripeStandIn
from bot.demo.stripe.core import public
from bot.demo.stripe.server import TEST_KEY
from bot.demo.stripe.webhooks import sign
from cloud.overdue import Overdue
from tests.money.wire import URL, Wire

SECRET = "whsec_simulated"
TERMS = Terms(Currency.of("usd"), tax_basis_points=1900, credit_limit=100_000, topup_least=100)
_DEBTS = ("unpaid_reminder", "invoice_unpaid")


class Broken(AssertionError):
    """Something is so that must never be."""


class World:
    """The business.

    Attributes:
        database, clock: as the product has them.
        stripe: the stand-in; `wire` is the way to it.
        reachable: whether the chat takes messages, by customer's id.
        rng: where chance comes from; `events` has a chance of its own.
        reminded: how many reminders went out.
    """

    def __init__(self, database: Database, start: datetime, seed: int, *, chance: float) -> None:
        """Build everything; nothing happens yet."""
        self.database = database
        self.clock = ManualClock(start)
        self.seed = seed
        self.rng = random.Random(f"{seed}:people")  # noqa: S311 chance for a simulation
        self._luck = random.Random(f"{seed}:events")  # noqa: S311 chance for a simulation
        self.stripe = StripeStandIn(now=lambda: int(self.clock.now().timestamp()), base_url=URL)
        self.wire = Wire(self.stripe, random.Random(f"{seed}:wire"), chance=chance)  # noqa: S311 the same
        self.reachable: dict[int, bool] = {}
        self.reminded = 0
        self._told = 0
        self._late: list[tuple[datetime, dict[str, Any]]] = []
        self.gateway = StripeGateway(
            api_key=TEST_KEY, currency=TERMS.currency, webhook_secret=SECRET, api_url=URL, timeout_s=60
        )
        self._build()

    def _build(self) -> None:
        self.cashier = Cashier(
            self.database,
            self.gateway,
            self.clock,
            terms=TERMS,
            return_url="https://shop.example/checkout/done",
            at_once=1,
        )
        self.checkouts = Checkouts(
            self.database, self.gateway, self.clock, public_url="https://shop.example", done_url="", webhook=True
        )
        self.corrector = Corrector(
            self.database, self.gateway, self.clock, terms=TERMS, notice_charge=self.cashier.notice
        )
        self.overdue = Overdue(self.database, self.clock, terms=TERMS, cancel_waiting=self.cashier.cancel_waiting)
        self.inbox = Inbox(
            self.database,
            self.clock,
            {
                EventKind.PAGE: self.checkouts.notice,
                EventKind.CHARGE: self.cashier.notice,
                EventKind.CARD: self.cashier.notice_card,
                EventKind.DISPUTE: self.corrector.notice_dispute,
                EventKind.REFUND: self.corrector.notice_refund,
            },
        )

    async def open(self) -> None:
        """Connect the real library to the stand-in of this process, and set prices."""
        http = self.gateway._http
        await http._client_async.aclose()
        http._client_async = httpx.AsyncClient(transport=self.wire)
        async with self.database.transaction() as session:
            await catalog.ensure_defaults(session, TERMS.currency)

    async def close(self) -> None:
        """Let go of everything."""
        await self.gateway.close()
        await self.stripe.close()

    @property
    def now(self) -> datetime:
        """The instant that it is."""
        return self.clock.now()

    # --- time and work

    async def move_to(self, instant: datetime) -> None:
        """Move the clock; the stand-in does what has become due there."""
        self.clock.move(instant - self.now)
        self.stripe.control.tick()

    async def work(self) -> None:
        """What the workers do all the time (`bot.chores.look_after_money`), and messages after it."""
        await self._receive()
        await self.inbox.handle_due()
        await self.checkouts.poll()
        await self.cashier.settle_due()
        await self.cashier.look_after()
        await self.corrector.look_after()
        await self.cashier.detach()
        await self.overdue.resume()
        await self.deliver()

    async def invoice(self) -> None:
        """The job of this name."""
        await month_run.issue_due(self.database, now=self.now, terms=TERMS)
        await taken_back.credit_all(self.database, currency=TERMS.currency, now=self.now)
        await self.cashier.settle_due()

    async def settle(self) -> None:
        """The job of this name."""
        async with self.database.transaction() as session:
            await wishes.recreate(session, minimum=TERMS.card_minimum, now=self.now)
        await self.cashier.settle_due()
        try:
            await self.corrector.look_for_disputes()
        except GatewayError:
            return  # tried again with the next run

    async def remind(self) -> None:
        """The job of this name."""
        await reminders.remind(self.database, now=self.now, terms=TERMS)
        await low_funds.tell_all(self.database, now=self.now, terms=TERMS)

    async def reap(self) -> None:
        """The job of this name."""
        await self.overdue.reap()

    async def meter(self) -> None:
        """The job of this name."""
        await metering.catch_up(self.database, now=self.now)

    # --- events: signed, stored, some twice, some late, some out of order, some never

    async def _receive(self) -> None:
        fresh = list(itertools.islice(self.stripe._core.store.every("event"), self._told, None))
        self._told += len(fresh)
        for event in map(public, fresh):
            for _ in range(self._luck.choice((0, 1, 1, 1, 1, 2))):
                wait = self._luck.choice((0, 0, 0, 0, 3, 30)) * timedelta(hours=1)
                self._late.append((self.now + wait, event))
        due = [event for at, event in self._late if at <= self.now]
        self._late = [(at, event) for at, event in self._late if at > self.now]
        self._luck.shuffle(due)
        for event in due:
            body = json.dumps(event)
            parsed = self.gateway.parse_event(body.encode(), sign(body, SECRET, int(time.time())))
            async with self.database.transaction() as session:
                await inbox.store(session, inbox.STRIPE, parsed, now=self.now)

    # --- messages

    async def deliver(self) -> None:
        """Send what waits: reminders of what is no longer so are not sent, some people cannot be reached."""
        async with self.database.transaction() as session:
            await self._look_at_reminders(session)
            deaf = [customer_id for customer_id, reachable in self.reachable.items() if not reachable]
            waiting = update(Notice).where(Notice.status == NoticeStatus.WAITING)
            await session.execute(
                waiting.where(Notice.customer_id.in_(deaf), Notice.recipient.is_not(None)).values(
                    status=NoticeStatus.REFUSED, ended_at=self.now
                )
            )
            await session.execute(waiting.values(status=NoticeStatus.SENT, ended_at=self.now))

    async def _look_at_reminders(self, session: Any) -> None:
        """Who is reminded owes, by our own reading: no reminder to who has paid."""
        kinds = Notice.kind.in_(_DEBTS)
        for notice in await session.scalars(select(Notice).where(Notice.status == NoticeStatus.WAITING, kinds)):
            customer = await session.get_one(Customer, notice.customer_id)
            said = await reminders.as_it_is(session, customer, now=self.now, terms=TERMS)
            if said is None:
                notice.status, notice.ended_at = NoticeStatus.MOOT, self.now
                continue
            self.reminded += 1
            owed = await session.scalar(
                select(func.sum(Invoice.due - Invoice.disputed)).where(Invoice.customer_id == customer.id)
            )
            if (owed or 0) < TERMS.card_minimum:
                raise Broken(f"customer {customer.id} is reminded and owes {owed}")
        await session.flush()


@asynccontextmanager
async def opened(database: Database, start: datetime, seed: int, *, chance: float) -> AsyncIterator[World]:
    """A world, closed at the end."""
    world = World(database, start, seed, chance=chance)
    await world.open()
    try:
        yield world
    finally:
        await world.close()
