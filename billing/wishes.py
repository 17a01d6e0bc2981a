"""Durable wishes that a customer's dues be settled, written with the fact that calls for it (rules.md 6.1).

A worker leases a due wish, tries, and ends it. A new wish that comes in between makes the row its own again (no try
under way), so that the end of the old try leaves it standing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import sql
from billing.models import SettlementWish

LEASE = timedelta(minutes=5)
"""How long a worker that died keeps others away; each step of a try renews it."""


async def wish(session: AsyncSession, customer_id: int, *, cards: bool, reason: str, now: datetime) -> None:
    """Have a customer's dues settled soon, by their cards too where `cards` says so.

    A wish that is there is widened: as early and as strong as the stronger of both.
    """
    await session.execute(_upsert(session, customer_id, cards=cards, reason=reason, at=now))


def _upsert(session: AsyncSession, customer_id: int, *, cards: bool, reason: str, at: datetime) -> sa.Executable:
    have = sql.table(SettlementWish).c
    statement = sql.inserting(session, SettlementWish).values(
        customer_id=customer_id, wanted_at=at, attempt_at=None, cards=cards, reason=reason, leased_until=None
    )
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[have.customer_id],
        set_={
            "wanted_at": sql.least(sql.whole(have.wanted_at), sql.whole(new.wanted_at)),
            "cards": sa.or_(have.cards, new.cards),
            "reason": new.reason,
            "attempt_at": None,
        },
    )


async def lease(session: AsyncSession, *, now: datetime, limit: int) -> Sequence[int]:
    """Return customers whose wish is due, oldest first, each leased to the caller."""
    free = sa.or_(SettlementWish.leased_until.is_(None), SettlementWish.leased_until <= now)
    due = (
        select(SettlementWish.customer_id)
        .where(SettlementWish.wanted_at <= now, free)
        .order_by(SettlementWish.wanted_at, SettlementWish.customer_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    leased = update(SettlementWish).where(SettlementWish.customer_id.in_(due.scalar_subquery()))
    rows = await session.scalars(leased.values(leased_until=now + LEASE).returning(SettlementWish.customer_id))
    return rows.all()


async def begin(session: AsyncSession, customer_id: int, *, now: datetime) -> SettlementWish | None:
    """Return the wish with its try marked as begun, `None` if somebody has ended it; under the customer's lock."""
    row = await session.get(SettlementWish, customer_id, populate_existing=True, with_for_update=True)
    if row is not None:
        row.attempt_at = row.attempt_at or now
        row.leased_until = now + LEASE
        await session.flush()
    return row


async def end(session: AsyncSession, row: SettlementWish, *, again_at: datetime | None) -> None:
    """End a try: the wish goes, or waits for the next one; under the customer's lock."""
    if again_at is None:
        await session.delete(row)
    else:
        row.wanted_at, row.attempt_at, row.leased_until, row.reason = again_at, None, None, "retry"
    await session.flush()
