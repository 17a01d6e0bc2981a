"""Durable wishes that a customer's dues be settled, written with the fact that calls for it (rules.md 6.1).

A worker leases a due wish, tries, and ends it, each step under the customer's lock. A new wish in between makes the
try start over with its next step.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from billing import sql
from billing.models import IN_FLIGHT, Account, AccountKind, Card, Instant, Invoice, Payment, PaymentKind, SettlementWish

LEASE = timedelta(seconds=30)
"""How long a worker that died unnoticed keeps others away. Short, since two at once do no harm: they meet at the
lock. Where its death is seen, `free` lets go at once."""


async def wish(session: AsyncSession, customer_id: int, *, cards: bool, reason: str, now: datetime) -> None:
    """Have a customer's dues settled now, by their cards too where `cards` says so.

    One that waits is brought forward; one that is being tried starts over.
    """
    values = {"customer_id": customer_id, "cards": cards, "wanted_at": now, "reason": reason}
    await session.execute(_brought_forward(sql.inserting(session, SettlementWish).values(values)))


async def wish_many(
    session: AsyncSession, customers: sa.FromClause, *, cards: bool, reason: str, now: datetime
) -> None:
    """Wish for many customers in one statement; `customers` has a column `customer_id`, each once."""
    names, values = sql.columns(
        {
            "customer_id": customers.c.customer_id,
            "wanted_at": sa.literal(now, Instant()),
            "cards": sa.literal(cards),
            "reason": sa.literal(reason),
        }
    )
    # WHERE: without one SQLite takes ON CONFLICT for the condition of a join.
    rows = select(*values).where(sa.true())
    insert = sql.inserting(session, SettlementWish).from_select(names, rows, include_defaults=False)
    await session.execute(_brought_forward(insert))


def _brought_forward(insert: sqlite.Insert | postgresql.Insert) -> sa.Executable:
    have, new = sql.table(SettlementWish).c, insert.excluded
    sooner = sql.least(sql.whole(have.wanted_at), sql.whole(new.wanted_at))
    return insert.on_conflict_do_update(
        index_elements=[have.customer_id, have.cards],
        set_={"wanted_at": sooner, "reason": new.reason, "attempt_at": None},
    )


def is_due(now: datetime) -> sa.ColumnElement[bool]:
    """Return whether a wish is to be tried now, and nobody is at it."""
    free = sa.or_(SettlementWish.leased_until.is_(None), SettlementWish.leased_until <= now)
    return sa.and_(SettlementWish.wanted_at <= now, free)


async def lease(session: AsyncSession, *, owner: str, now: datetime, limit: int) -> list[tuple[int, bool]]:
    """Return customers whose wish is due and whether by card, oldest first, each leased to the caller."""
    due = (
        select(SettlementWish.customer_id, SettlementWish.cards)
        .where(is_due(now))
        .order_by(SettlementWish.wanted_at, SettlementWish.customer_id, SettlementWish.cards)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    keys = [(customer_id, cards) for customer_id, cards in await session.execute(due)]
    key = sa.tuple_(SettlementWish.customer_id, SettlementWish.cards)
    await session.execute(update(SettlementWish).where(key.in_(keys)).values(leased_until=now + LEASE, leased_by=owner))
    return keys


async def begin(
    session: AsyncSession, customer_id: int, *, cards: bool, owner: str, now: datetime
) -> SettlementWish | None:
    """Return a due wish with its try marked as begun, `None` if there is none; under the customer's lock."""
    row = await session.get(SettlementWish, (customer_id, cards), populate_existing=True, with_for_update=True)
    if row is None or row.wanted_at > now:
        return None
    row.attempt_at = row.attempt_at or now
    row.leased_until, row.leased_by = now + LEASE, owner
    await session.flush()
    return row


async def end(session: AsyncSession, row: SettlementWish, *, again_at: datetime | None) -> None:
    """End a try: the wish goes, or waits for the calendar; under the customer's lock."""
    if again_at is None:
        await session.delete(row)
    else:
        row.wanted_at, row.attempt_at, row.reason = again_at, None, "retry"
        row.leased_until = row.leased_by = None
    await session.flush()


async def postpone(session: AsyncSession, row: SettlementWish, *, until: datetime) -> None:
    """Go on with the same try later, when a result is known; under the customer's lock."""
    row.wanted_at, row.leased_until, row.leased_by = until, None, None
    await session.flush()


async def free(session: AsyncSession, process: str) -> None:
    """Let go of what workers of a dead process had in hand; their names begin with its own."""
    held = SettlementWish.leased_by.startswith(process)
    await session.execute(update(SettlementWish).where(held).values(leased_until=None, leased_by=None))


async def resume(session: AsyncSession, customer_id: int, *, now: datetime) -> None:
    """Go on with postponed tries now: what they wait for is known."""
    await session.execute(
        update(SettlementWish)
        .where(
            SettlementWish.customer_id == customer_id,
            SettlementWish.attempt_at.is_not(None),
            SettlementWish.wanted_at > now,
        )
        .values(wanted_at=now)
    )


async def recreate(session: AsyncSession, *, minimum: int, now: datetime) -> None:
    """Wish for everybody for whom facts call for it and no row does: nothing depends on a row that was lost.

    Cards: something is due that a card may be charged by itself, enough of it, nothing is in flight, and a card is
    there that the calendar may charge. Funds: something is due, and voucher or balance holds something.
    """
    moving = exists().where(
        Payment.customer_id == Invoice.customer_id,
        Payment.kind == PaymentKind.INVOICES,
        Payment.status.in_(IN_FLIGHT),
    )
    card = exists().where(
        Card.customer_id == Invoice.customer_id,
        Card.removed_at.is_(None),
        sa.or_(Card.declined_at.is_(None), ~Card.declined_hard),
        Card.expiry_year * 12 + Card.expiry_month >= now.year * 12 + now.month,
    )
    funds = exists().where(
        Account.customer_id == Invoice.customer_id,
        Account.kind.in_((AccountKind.VOUCHER, AccountKind.BALANCE)),
        Account.posted > Account.reserved,
    )
    for by_card, due, least, condition in (
        (True, Invoice.due - Invoice.disputed - Invoice.by_hand, minimum, card),
        (False, Invoice.due - Invoice.disputed, 1, funds),
    ):
        wished = exists().where(SettlementWish.customer_id == Invoice.customer_id, SettlementWish.cards.is_(by_card))
        customers = (
            select(Invoice.customer_id)
            .where(sa.text("invoices.due > 0"), ~moving, ~wished, condition)
            .group_by(Invoice.customer_id)
            .having(func.sum(due) >= least)
            .subquery()
        )
        await wish_many(session, customers, cards=by_card, reason="facts", now=now)
