"""What is known of those who owe, read for many at once: the facts of `dunning` (rules.md 9.6)."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import Database
from billing.dunning import Open, Purpose, Standing, Told
from billing.models import Customer, Invoice, Notice, Payment, PaymentStatus, Subscription

REMINDER = "unpaid_reminder"
"""The kind of notice that names a deletion day."""

_CHUNK = 500
_REMEMBERED = timedelta(days=62)
"""Beyond the longest time between two reminders, and beyond what proves a notice."""
_UNKNOWN = (PaymentStatus.CREATED, PaymentStatus.UNKNOWN)

# SQLite takes a partial index only for a condition that reads like its own, without a parameter.
_IS_OPEN = sa.text("invoices.due > 0")
_IS_DUE = sa.and_(_IS_OPEN, Invoice.due > Invoice.disputed, Invoice.due_since.is_not(None))


async def each_chunk(database: Database, *, now: datetime) -> AsyncIterator[Sequence[Standing]]:
    """Yield everybody who owes, in chunks, each read at once; nothing is held in between."""
    last = 0
    while True:
        async with database.read() as session:
            query = select(Invoice.customer_id).where(_IS_DUE, Invoice.customer_id > last).distinct()
            ids = (await session.scalars(query.order_by(Invoice.customer_id).limit(_CHUNK))).all()
            found = await read(session, ids, now=now)
        if found:
            yield list(found.values())
        if len(ids) < _CHUNK:
            return
        last = ids[-1]


async def of(session: AsyncSession, customer_id: int, *, now: datetime) -> Standing | None:
    """Return what is known of one customer; none if nothing is due. For writing, under their lock."""
    return (await read(session, [customer_id], now=now)).get(customer_id)


async def read(session: AsyncSession, customer_ids: Collection[int], *, now: datetime) -> dict[int, Standing]:
    """Return what is known of those of some customers who have something due, by customer."""
    invoices = await _invoices(session, customer_ids)
    owing = list(invoices)
    active = set(
        await session.scalars(
            select(Subscription.customer_id).where(Subscription.customer_id.in_(owing), Subscription.ended_at.is_(None))
        )
    )
    unknown = set(
        await session.scalars(
            select(Payment.customer_id).where(Payment.customer_id.in_(owing), Payment.status.in_(_UNKNOWN))
        )
    )
    spared = await session.execute(
        select(Customer.id, Customer.spared_until).where(Customer.id.in_(owing), Customer.spared_until.is_not(None))
    )
    until = {customer_id: instant.date() for customer_id, instant in spared if instant is not None}
    told = await _told(session, owing, now)
    return {
        customer_id: Standing(
            customer_id,
            tuple(opened),
            active=customer_id in active,
            unknown=customer_id in unknown,
            spared_until=until.get(customer_id),
            told=tuple(told[customer_id]),
        )
        for customer_id, opened in invoices.items()
    }


async def _invoices(session: AsyncSession, customer_ids: Collection[int]) -> dict[int, list[Open]]:
    """Return what is due by customer, oldest first; disputed money is set aside (rules.md 10.1)."""
    rows = await session.execute(
        select(Invoice.customer_id, Invoice.id, Invoice.number, Invoice.due - Invoice.disputed, Invoice.due_since)
        .where(_IS_DUE, Invoice.customer_id.in_(customer_ids))
        .order_by(Invoice.customer_id, Invoice.due_since, Invoice.id)
    )
    found: dict[int, list[Open]] = {}
    for customer_id, invoice_id, number, amount, since in rows:
        if since is not None:
            found.setdefault(customer_id, []).append(Open(invoice_id, number, amount, since))
    return found


async def _told(session: AsyncSession, customer_ids: Collection[int], now: datetime) -> dict[int, list[Told]]:
    rows = await session.scalars(
        select(Notice)
        .where(Notice.customer_id.in_(customer_ids), Notice.kind == REMINDER, Notice.created_at > now - _REMEMBERED)
        .order_by(Notice.id)
    )
    found: dict[int, list[Told]] = defaultdict(list)
    for notice in rows:
        if notice.customer_id is not None:
            found[notice.customer_id].append(_as_told(notice))
    return found


def _as_told(notice: Notice) -> Told:
    return Told(
        frozenset(Purpose(word) for word in notice.data["purposes"]),
        as_day(notice.data["deletion_day"]),
        notice.created_at,
        notice.status,
        notice.ended_at,
    )


def as_day(text: str | None) -> date | None:
    """Return the day of an ISO text, as notices carry it."""
    return date.fromisoformat(text) if text else None
