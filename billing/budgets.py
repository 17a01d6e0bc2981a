"""A customer's own monthly budget: told at 80 % and when it is used up (C5)."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import metering, outbox
from billing.clock import Month
from billing.db import Database
from billing.models import Customer, Subscription, Usage
from billing.terms import Terms

STEPS = (100, 80)
"""Percent of the budget at which a customer is told, highest first."""
_CHUNK = 500
"""Customers with a budget that one transaction looks at."""


def reached(spent: int, budget: int) -> int:
    """Return the highest step that a month has reached, in percent; 0 for none."""
    return next((step for step in STEPS if spent * 100 >= budget * step), 0)


async def warn_all(database: Database, *, now: datetime, terms: Terms) -> None:
    """Tell every customer whose metered month has reached a step of their budget; each step once a month.

    Run after metering; run twice it tells nobody twice.
    """
    after: int | None = 0
    while after is not None:
        async with database.transaction() as session:
            after = await _warn(session, after, now=now, terms=terms)


async def _warn(session: AsyncSession, after: int, *, now: datetime, terms: Terms) -> int | None:
    """Tell the next customers by id; return the last one's id, `None` after the last of all."""
    month = Month.of(now)
    cost = metering.cost_sql(Subscription.monthly, Usage.hours, terms.currency)
    spent = (
        select(sa.cast(sa.func.sum(cost), sa.BigInteger()))
        .join_from(Usage, Subscription, Subscription.id == Usage.subscription_id)
        .where(Usage.customer_id == Customer.id, Usage.month == month, Usage.hours > 0)
        .scalar_subquery()
    )
    rows = (
        await session.execute(
            select(Customer, sa.func.coalesce(spent, 0))
            .where(Customer.budget.is_not(None), Customer.id > after)
            .order_by(Customer.id)
            .limit(_CHUNK)
        )
    ).all()
    for customer, net in rows:
        await warn(session, customer, terms.with_tax(int(net)), month, now=now)
    return rows[-1][0].id if len(rows) == _CHUNK else None


async def warn(session: AsyncSession, customer: Customer, spent: int, month: Month, *, now: datetime) -> None:
    """Tell one customer that a month's cost, in minor units with tax, has reached a step of their budget."""
    if customer.budget is None:
        return
    step = reached(spent, customer.budget)
    if step:
        await outbox.tell(
            session,
            customer,
            "budget_reached",
            {"percent": step, "spent": spent, "budget": customer.budget, "month": str(month)},
            now=now,
            dedup=f"budget:{customer.id}:{month}:{customer.budget}:{step}",
            mail=True,
        )
