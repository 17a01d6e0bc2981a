"""Customers, subscriptions and intervals, made with as few words as a test needs."""

import itertools
import random
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, subscriptions
from billing.models import Customer, Quote, Subscription

_telegram_ids = itertools.count(1000)


def at(text: str) -> datetime:
    """The instant of `2026-01-10 12:00` or `2026-01-10`, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def make_customer(session: AsyncSession, **fields: object) -> Customer:
    """A new customer with empty accounts; `fields` are set on the row."""
    number = next(_telegram_ids)
    customer = await accounts.register(
        session, telegram_id=number, username=f"user{number}", name="Ann", language="en", now=at("2025-12-01")
    )
    for name, value in fields.items():
        setattr(customer, name, value)
    await session.flush()
    return customer


async def make_subscription(
    session: AsyncSession, customer: Customer, *, monthly: int = 500, name: str = "web", item: str = "vm-small"
) -> Subscription:
    """A subscription from a confirmed quote; nothing runs yet."""
    now = at("2025-12-01")
    quote = Quote(
        customer_id=customer.id,
        item=item,
        name=name,
        workers=0,
        control_monthly=monthly,
        worker_monthly=0,
        created_at=now,
        expires_at=now + timedelta(minutes=15),
        confirmed_at=now,
    )
    session.add(quote)
    await session.flush()
    return await subscriptions.create(session, quote, now=now)


async def run(session: AsyncSession, subscription: Subscription, start: str, end: str | None = None) -> None:
    """Run a subscription from one instant to another, or on and on."""
    await subscriptions.start(session, subscription, now=at(start))
    if end is not None:
        await subscriptions.stop(session, subscription, at=at(end))


async def ran(
    session: AsyncSession, customer: Customer, start: str, end: str | None = None, *, monthly: int = 500
) -> Subscription:
    """A subscription that ran once."""
    subscription = await make_subscription(session, customer, monthly=monthly)
    await run(session, subscription, start, end)
    return subscription


def seeded(seed: int | str) -> random.Random:
    """Chance that is the same in every run of a test."""
    return random.Random(seed)  # noqa: S311 for test cases, not for secrets
