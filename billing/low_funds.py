"""Customers without a card whose money does not reach far (rules.md 9.4, A5, A15)."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, cards, dunning, facts, outbox, runway, standing
from billing.clock import DAY, Month, add_months
from billing.db import Database
from billing.dunning import Standing
from billing.models import Card, Customer, Notice, Subscription
from billing.runway import Purse
from billing.terms import Terms

KIND = "funds_low"
_CHUNK = 500
_ENOUGH = 2
"""Months, this one the first: money until the end of the next one needs no word."""


async def tell_all(database: Database, *, now: datetime, terms: Terms) -> int:
    """Tell everybody concerned who was not told for a week; return how many."""
    told, last = 0, 0
    while True:
        async with database.read() as session:
            ids = await _candidates(session, last, now, terms)
            low = await _low(session, ids, now, terms)
        for customer_id in low:
            async with database.transaction() as session:
                customer = await accounts.lock(session, customer_id)
                told += await tell_if_low(session, customer, now=now, terms=terms)
        if len(ids) < _CHUNK:
            return told
        last = ids[-1]


async def tell_if_low(session: AsyncSession, customer: Customer, *, now: datetime, terms: Terms) -> bool:
    """Tell a customer how long their money lasts, if it is not long; under their lock.

    Asked after they deploy and redeem; the same end is told once a day.
    """
    if await cards.has_valid(session, customer.id, now=now):
        return False
    data = (await _low(session, [customer.id], now, terms)).get(customer.id)
    if data is None:
        return False
    dedup = f"runway:{customer.id}:{now:%Y-%m-%d}:{data['until'][:10]}"
    await outbox.tell(session, customer, KIND, data, now=now, dedup=dedup, mail=True)
    return True


async def _candidates(session: AsyncSession, after: int, now: datetime, terms: Terms) -> Sequence[int]:
    """Return customers with something active, no valid card, and no such message for a week."""
    valid = exists().where(Card.customer_id == Customer.id, cards.valid_sql(now))
    active = exists().where(Subscription.customer_id == Customer.id, Subscription.ended_at.is_(None))
    today = datetime.combine(now.date(), time(), UTC)
    told = exists().where(
        Notice.customer_id == Customer.id,
        Notice.kind == KIND,
        Notice.created_at >= today - (terms.reminder_days - 1) * DAY,
    )
    query = select(Customer.id).where(Customer.id > after, active, ~valid, ~told)
    return (await session.scalars(query.order_by(Customer.id).limit(_CHUNK))).all()


async def _low(
    session: AsyncSession, customer_ids: Sequence[int], now: datetime, terms: Terms
) -> dict[int, dict[str, Any]]:
    """Return what there is to say to customers without a card, but for those with money until the next month's end."""
    purses = await facts.purses(session, customer_ids, now=now, terms=terms)
    lasting = {
        customer_id: runway.lasts_until(purse, now=now, terms=terms, months=_ENOUGH)
        for customer_id, purse in purses.items()
        if purse.runners
    }
    low = {customer_id: until for customer_id, until in lasting.items() if until is not None}
    owing = await standing.read(session, low, now=now) if low else {}
    return {
        customer_id: _what(purses[customer_id], until, owing.get(customer_id), now, terms)
        for customer_id, until in low.items()
    }


def _what(purse: Purse, until: datetime, owing: Standing | None, now: datetime, terms: Terms) -> dict[str, Any]:
    # What is not covered stands on the invoice of its month, which is due from the next one on.
    day = add_months(Month.of(until).end, terms.grace_months).date()
    if owing is not None and dunning.owes(owing, terms):
        day = dunning.day_to_name(owing, now, terms)
    return {
        "until": until.isoformat(),
        "over": until - now < timedelta(hours=1),
        "funds": purse.funds,
        "monthly": terms.with_tax(purse.monthly),
        "dearest": purse.dearest.name if purse.dearest else "",
        "deletion_day": day.isoformat(),
    }
