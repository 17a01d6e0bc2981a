"""Settling many customers at once whose plan is simple: voucher and balance pay all that they owe (rules.md 6.1, 6.2).

What comes out is what one try for each would have made: the same transfers, in the same order, the same messages.
After the monthly run that is most of those who live on funds. Who is not so simple is left to those tries.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from billing import ledger, outbox, wishes
from billing.chunks import Bounds, Chunk, Script
from billing.db import Database
from billing.models import (
    BIG,
    IN_FLIGHT,
    Account,
    AccountKind,
    Customer,
    Invoice,
    Payment,
    Quote,
    SettlementWish,
    Transfer,
)
from billing.sql import greatest, json_array, json_object, least, number, start_empty, table, whole

_WISHES = Bounds(first=400, least=200, most=5_000)
"""Wishes that one transaction looks at."""
_FEW = 10
"""Fewer are not worth the statements."""

_scratch = sa.MetaData()
_paid = sa.Table(
    "settled_invoices",
    _scratch,
    sa.Column("customer_id", BIG, primary_key=True, autoincrement=False),
    sa.Column("place", BIG, primary_key=True, autoincrement=False),
    sa.Column("invoice_id", BIG),
    sa.Column("transfers", BIG),
    sa.Column("voucher", BIG),
    sa.Column("balance", BIG),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
_parts = sa.Table(
    "settled_parts",
    _scratch,
    sa.Column("customer_id", BIG, primary_key=True, autoincrement=False),
    sa.Column("place", BIG, primary_key=True, autoincrement=False),
    sa.Column("kind", Account.kind.type, primary_key=True),
    sa.Column("operation", sa.String()),
    sa.Column("invoice_id", BIG),
    sa.Column("amount", BIG),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
# SQLite takes a partial index only for a condition that reads like its own, without a parameter.
_IS_OPEN = sa.text("invoices.due > 0")


async def settle(database: Database, *, now: datetime) -> None:
    """Settle the simple ones among all due wishes by card, in chunks of customers; a few are left as they are."""
    script = await _script(database, now)
    chunk = Chunk(database, _WISHES)
    low: int | None = 0
    while low is not None:
        async with chunk.transaction() as session:
            low = await _settle_chunk(session, script, low, chunk.size, now)


async def _settle_chunk(session: AsyncSession, script: Script, low: int, limit: int, now: datetime) -> int | None:
    """Settle the simple ones among the next wishes of customers above `low`.

    Return the last customer that was looked at; `None` when there are only a few.
    """
    rest = _due(now).where(SettlementWish.customer_id > low).order_by(SettlementWish.customer_id)
    ids = (await session.scalars(rest.limit(limit))).all()
    if len(ids) < _FEW:
        return None
    for scratch in (_paid, _parts):
        await start_empty(session, scratch)
    await script.run(session, low=low, high=ids[-1])
    return ids[-1]


async def _script(database: Database, now: datetime) -> Script:
    """Return what settles a chunk."""
    script = Script(database)
    above, until = sa.bindparam("low", type_=BIG), sa.bindparam("high", type_=BIG)
    chosen = _due(now).where(SettlementWish.customer_id > above, SettlementWish.customer_id <= until)
    await _hold(script, chosen)
    await _plan(script, chosen, now)
    await ledger.settle_many(script, _parts, reason="settle", now=now)
    invoices = select(_paid.c.invoice_id)
    await script.execute(
        sa.update(table(Invoice)).where(Invoice.id.in_(invoices)).values(due=0, by_hand=0, paid_at=now)
    )
    await outbox.tell_many(script, _facts(now), "invoice_paid", now=now)
    settled = SettlementWish.customer_id.in_(select(_paid.c.customer_id))
    await script.execute(sa.delete(table(SettlementWish)).where(SettlementWish.cards, settled))
    return script


def _due(now: datetime) -> Select[int]:
    return select(SettlementWish.customer_id).where(
        SettlementWish.cards, wishes.is_due(now), SettlementWish.attempt_at.is_(None)
    )


async def _hold(session: AsyncSession, chosen: Select[int]) -> None:
    """Lock the customers, in one order, against their own money acts; SQLite has one writer at a time anyway."""
    if session.get_bind().dialect.name != "sqlite":
        held = select(Customer.id).where(Customer.id.in_(chosen)).order_by(Customer.id).with_for_update().subquery()
        await session.execute(select(func.count()).select_from(held))


async def _plan(session: AsyncSession, chosen: Select[int], now: datetime) -> None:
    """Put what voucher and balance pay into the temporary tables, of customers for whom they pay everything.

    Smallest first, of equal ones the oldest: what was due before an invoice has used up the voucher first. Set aside
    is who has a payment in flight, money in dispute, an invoice on which something was paid before, or an order that
    waits for money.
    """
    opened = _opened(chosen)
    mine = opened.c.customer_id
    moving = select(Payment.id).where(Payment.customer_id == mine, Payment.status.in_(IN_FLIGHT)).exists()
    ordered = select(Quote.id).where(Quote.customer_id == mine, Quote.kept_until > now).exists()
    voucher, balance = _spendable(mine, AccountKind.VOUCHER), _spendable(mine, AccountKind.BALANCE)
    by_voucher = least(opened.c.due, greatest(voucher - opened.c.before, number(0)))
    rows = select(mine, opened.c.place, opened.c.id, opened.c.transfers, by_voucher, opened.c.due - by_voucher).where(
        opened.c.odd == 0, opened.c.total <= voucher + balance, ~moving, ~ordered
    )
    await session.execute(_paid.insert().from_select([column.name for column in _paid.columns], rows))
    parts = sa.union_all(*(_part(kind) for kind in (AccountKind.VOUCHER, AccountKind.BALANCE)))
    await session.execute(_parts.insert().from_select([column.name for column in _parts.columns], parts))


def _opened(chosen: Select[int]) -> sa.Subquery:
    """Return the open invoices of customers, with what is due before each and in all, and whether any is odd."""
    order = (Invoice.due, Invoice.issued_at, Invoice.id)
    transfers = select(func.count()).where(Transfer.invoice_id == Invoice.id).scalar_subquery()
    touched = select(Transfer.id).where(Transfer.invoice_id == Invoice.id, Transfer.reason != "issue").exists()
    odd = sa.case((sa.or_(Invoice.disputed > 0, touched), 1), else_=0)

    def over(value: ColumnElement[Any], by: tuple[Any, ...] | None = None) -> ColumnElement[int]:
        return sa.cast(value.over(partition_by=Invoice.customer_id, order_by=by), sa.BigInteger())

    return (
        select(
            Invoice.customer_id,
            Invoice.id,
            whole(Invoice.due).label("due"),
            transfers.label("transfers"),
            over(func.row_number(), order).label("place"),
            (over(func.sum(Invoice.due), order) - whole(Invoice.due)).label("before"),
            over(func.sum(Invoice.due)).label("total"),
            over(func.max(odd)).label("odd"),
        )
        .where(_IS_OPEN, Invoice.customer_id.in_(chosen))
        .subquery()
    )


def _spendable(customer_id: ColumnElement[int], kind: AccountKind) -> ColumnElement[int]:
    held = select(Account.posted - Account.reserved).where(Account.customer_id == customer_id, Account.kind == kind)
    return sa.type_coerce(held.scalar_subquery(), sa.BigInteger())


def _part(kind: AccountKind) -> Select[*tuple[Any, ...]]:
    """Return what one source pays; its transfer is named as `dues.pay_from` would."""
    amount = _paid.c[kind.value]
    after_voucher = sa.case((_paid.c.voucher > 0, 1), else_=0) if kind is AccountKind.BALANCE else number(0)
    place = sa.cast(_paid.c.transfers + after_voucher, sa.String())
    operation = sa.literal("settle:") + sa.cast(_paid.c.invoice_id, sa.String()) + sa.literal(":") + place
    return select(
        _paid.c.customer_id, _paid.c.place, sa.literal(kind.value), operation, _paid.c.invoice_id, amount
    ).where(amount > 0)


def _facts(now: datetime) -> sa.Subquery:
    """Return what `dues.paid` tells of each invoice."""
    voucher, balance = (
        json_object({"source": _word(kind.value), "amount": _paid.c[kind.value], "card": _word("")})
        for kind in (AccountKind.VOUCHER, AccountKind.BALANCE)
    )
    sources = sa.case(
        (_paid.c.balance == 0, json_array(voucher)),
        (_paid.c.voucher == 0, json_array(balance)),
        else_=json_array(voucher, balance),
    )
    dedup = sa.literal("invoice:") + sa.cast(Invoice.id, sa.String()) + sa.literal(f":paid:{int(now.timestamp())}")
    data: dict[str, ColumnElement[Any] | InstrumentedAttribute[Any]] = {
        "invoice_id": Invoice.id,
        "number": Invoice.number,
        "total": Invoice.total,
        "sources": sources,
    }
    return (
        select(Invoice.customer_id, dedup.label("dedup"), json_object(data).label("data"))
        .select_from(_paid.join(table(Invoice), Invoice.id == _paid.c.invoice_id))
        .order_by(_paid.c.customer_id, _paid.c.place)
        .subquery()
    )


def _word(text: str) -> ColumnElement[str]:
    return sa.literal_column(f"'{text}'", sa.String())
