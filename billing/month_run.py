"""The monthly run: one invoice for each customer with hours in an ended month (rules.md 5).

Set-based, in chunks of customers, each one transaction. What a chunk will invoice is first put into two temporary
tables, so that invoice, lines, ledger and messages of one customer are made of the same figures whatever is metered
meanwhile. A run that died is run again: who has an invoice is left out.
"""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from billing import ledger, metering, outbox, wishes
from billing.chunks import Bounds, Chunk, Script
from billing.clock import Month
from billing.db import Database
from billing.models import (
    BIG,
    Account,
    AccountKind,
    CreditNoteLine,
    Customer,
    Instant,
    Interval,
    Invoice,
    InvoiceLine,
    MonthNumber,
    MonthRun,
    NumberSeries,
    Subscription,
    Usage,
)
from billing.money import Currency
from billing.sql import columns, inserting, json_object, number, padded, start_empty, table, whole
from billing.terms import Terms

PATIENCE = timedelta(minutes=10)
"""After a month's end, before it is invoiced (rules.md 5.1)."""
_LINES = Bounds(first=2_000, least=1_000, most=20_000)
"""Lines that one transaction invoices, roughly: customers are not split."""

# SQLite takes a partial index only for a condition that reads like its own, without a parameter.
IS_INVOICE = sa.text("invoices.kind = 'invoice'")
_IS_LATE = sa.text('"usage".late')

_scratch = sa.MetaData()
_lines = sa.Table(
    "month_run_lines",
    _scratch,
    sa.Column("customer_id", BIG),
    sa.Column("subscription_id", BIG),
    sa.Column("month", MonthNumber()),
    sa.Column("name", sa.String()),
    sa.Column("item", sa.String()),
    sa.Column("workers", BIG),
    sa.Column("hours", BIG),
    sa.Column("monthly", BIG),
    sa.Column("capped", sa.Boolean()),
    sa.Column("amount", BIG),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
_totals = sa.Table(
    "month_run_totals",
    _scratch,
    sa.Column("customer_id", BIG, primary_key=True, autoincrement=False),
    sa.Column("place", BIG),
    sa.Column("net", BIG),
    sa.Column("tax", BIG),
    sa.Column("owed", BIG),
    sa.Column("invoice_id", BIG),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
_COUNT = select(func.count()).select_from(_totals)
_LAST = 2**62
"""Beyond every customer's id."""


async def issue_due(database: Database, *, now: datetime, terms: Terms) -> int:
    """Invoice every ended month that is not finished, oldest first; return how many invoices were issued.

    Meters first. May be run at any time, twice, or by two processes at once.
    """
    await metering.catch_up(database, now=now)
    issued = 0
    while (month := await next_month(database, now)) is not None:
        issued += await _issue_month(database, month, now, terms)
    return issued


async def next_month(database: Database, now: datetime) -> Month | None:
    """Return the oldest month that is to be invoiced now; none when all are finished."""
    async with database.read() as session:
        newest = await session.scalar(select(func.max(MonthRun.month)))
        if newest is not None:
            month = newest.next()
        else:
            first = await session.scalar(select(func.min(Interval.started_at)))
            if first is None:
                return None
            month = Month.of(first)
    return month if month.end + PATIENCE <= now else None


async def _issue_month(database: Database, month: Month, now: datetime, terms: Terms) -> int:
    issued, low = 0, 0
    scripts = await _scripts(database, month, now, terms)
    chunk = Chunk(database, _LINES)
    while True:
        async with chunk.transaction() as session:
            rest = select(Usage.customer_id).where(Usage.month == month, Usage.customer_id > low)
            high = await session.scalar(rest.order_by(Usage.customer_id).offset(chunk.size - 1).limit(1))
            issued += await _issue_chunk(session, scripts, low, high or _LAST, now)
            if high is None:
                done = inserting(session, MonthRun).values(month=month, finished_at=now)
                await session.execute(done.on_conflict_do_nothing())
        if high is None:
            return issued
        low = high


async def _scripts(database: Database, month: Month, now: datetime, terms: Terms) -> tuple[Script, Script]:
    """Return what collects the lines of a chunk, and what makes invoices of them."""
    collecting, writing = Script(database), Script(database)
    await _hold_customers(collecting, month)
    await _collect(collecting, month, terms)
    await _write_invoices(writing, month, now, terms)
    await _write_lines(writing, month)
    await _write_ledger(writing, now, terms)
    await _tell(writing, month, now)
    return collecting, writing


async def _issue_chunk(
    session: AsyncSession, scripts: tuple[Script, Script], low: int, high: int, now: datetime
) -> int:
    """Invoice the customers whose ids are above `low` and not above `high`; return how many."""
    collecting, writing = scripts
    for scratch in (_lines, _totals):
        await start_empty(session, scratch)
    await collecting.run(session, low=low, high=high)
    count = await session.scalar(_COUNT) or 0
    if not count:
        return 0
    last = await take_numbers(session, "INV", now.year, count)
    await writing.run(session, before=last - count)
    return count


def _chunk(customer_id: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    return sa.and_(customer_id > sa.bindparam("low", type_=BIG), customer_id <= sa.bindparam("high", type_=BIG))


async def _hold_customers(session: AsyncSession, month: Month) -> None:
    """Lock the customers of a chunk, in one order, against their own money acts and another run.

    SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "sqlite":
        return
    chunk = _chunk(Usage.customer_id)
    used = select(Usage.customer_id).where(chunk, sa.or_(Usage.month == month, Usage.late))
    held = select(Customer.id).where(Customer.id.in_(used)).order_by(Customer.id).with_for_update().subquery()
    await session.execute(select(func.count()).select_from(held))


async def _collect(session: AsyncSession, month: Month, terms: Terms) -> None:
    """Put the lines and totals of a chunk into the temporary tables.

    Usage of no hours is what is left of a machine that had vanished: it makes no line.
    """
    invoiced = (
        select(Invoice.id)
        .where(Invoice.customer_id == Usage.customer_id, Invoice.month == month, IS_INVOICE)
        # The range once more: without it PostgreSQL may read all invoices of the month for each chunk.
        .where(_chunk(Invoice.customer_id))
        .exists()
    )
    for lines, condition in (
        (_regular_lines(terms.currency), Usage.month == month),
        (_late_lines(terms.currency), sa.and_(_IS_LATE, Usage.month < month)),
    ):
        rows = lines.where(condition, Usage.hours > 0, _chunk(Usage.customer_id), ~invoiced)
        names = [column.name for column in _lines.columns]
        await session.execute(_lines.insert().from_select(names, rows))
    net = sa.cast(func.sum(_lines.c.amount), sa.BigInteger())
    sums = select(_lines.c.customer_id, net.label("net")).group_by(_lines.c.customer_id).subquery()
    place = func.row_number().over(order_by=sums.c.customer_id)
    owed = (
        select(Account.posted)
        .where(Account.customer_id == sums.c.customer_id, Account.kind == AccountKind.RECEIVABLE)
        .scalar_subquery()
    )
    totals = select(sums.c.customer_id, place, sums.c.net, tax_sql(sums.c.net, terms), owed)
    await session.execute(_totals.insert().from_select(["customer_id", "place", "net", "tax", "owed"], totals))


def _regular_lines(currency: Currency) -> sa.Select[*tuple[Any, ...]]:
    return _line_rows(Usage.hours.expression, metering.cost_sql(Subscription.monthly, Usage.hours, currency))


def _late_lines(currency: Currency) -> sa.Select[*tuple[Any, ...]]:
    """Return lines of hours that came to light late: what the whole month costs, less what was invoiced (5.1)."""
    mine = (InvoiceLine.subscription_id == Usage.subscription_id, InvoiceLine.month == Usage.month)
    back = (CreditNoteLine.subscription_id == Usage.subscription_id, CreditNoteLine.month == Usage.month)
    hours = Usage.hours - _sum_of(InvoiceLine.hours, *mine) + _sum_of(CreditNoteLine.hours, *back)
    invoiced = _sum_of(InvoiceLine.amount, *mine) - _sum_of(CreditNoteLine.amount, *back)
    amount = metering.cost_sql(Subscription.monthly, Usage.hours, currency) - invoiced
    return _line_rows(hours, amount).where(hours > 0, amount > 0)


def _sum_of(column: InstrumentedAttribute[int], *where: ColumnElement[bool]) -> ColumnElement[int]:
    return sa.type_coerce(
        select(sa.cast(func.coalesce(func.sum(column), 0), sa.BigInteger())).where(*where).scalar_subquery(),
        sa.BigInteger(),
    )


def _line_rows(hours: ColumnElement[int], amount: ColumnElement[int]) -> sa.Select[*tuple[Any, ...]]:
    return select(
        Usage.customer_id,
        Usage.subscription_id,
        Usage.month,
        Subscription.name,
        Subscription.item,
        Subscription.workers,
        hours,
        Subscription.monthly,
        Usage.hours > metering.CAP_HOURS,
        amount,
    ).join_from(Usage, Subscription, Subscription.id == Usage.subscription_id)


def tax_sql(net: ColumnElement[int], terms: Terms) -> ColumnElement[int]:
    """Return `Terms.tax_of` as SQL; whole units apart from the rest, so that no product outgrows 64 bits."""
    rate, unit = terms.tax_basis_points, 10_000 * terms.currency.step
    units = whole(net) // number(unit)
    rest = whole(net) - units * unit
    return (units * rate + (2 * rate * rest + unit) // number(2 * unit)) * number(terms.currency.step)


async def take_numbers(session: AsyncSession, series: str, year: int, count: int) -> int:
    """Take the next numbers of a series and return the last of them; holds the series until the transaction ends.

    Whoever takes numbers holds the customers before: everybody locks in that order (rules.md 5.3).
    """
    insert = inserting(session, NumberSeries).values(series=series, year=year, last=count)
    taken = insert.on_conflict_do_update(
        index_elements=["series", "year"], set_={"last": NumberSeries.last + insert.excluded.last}
    ).returning(NumberSeries.last)
    return int((await session.execute(taken)).scalar_one())


async def _write_invoices(session: AsyncSession, month: Month, now: datetime, terms: Terms) -> None:
    total = _totals.c.net + _totals.c.tax
    reached = _totals.c.owed + total >= terms.card_minimum
    buyer = {
        "name": func.coalesce(func.nullif(Customer.billing_name, ""), Customer.name),
        "address": Customer.billing_address.expression,
        "tax_id": Customer.billing_tax_id.expression,
    }
    names, values = columns(
        {
            "kind": sa.literal("invoice"),
            "number": sa.literal(f"INV-{now.year}-") + padded(_totals.c.place + sa.bindparam("before", type_=BIG)),
            "customer_id": _totals.c.customer_id,
            "month": sa.literal(month, MonthNumber()),
            "issued_at": sa.literal(now, Instant()),
            "net": _totals.c.net,
            "tax_basis_points": number(terms.tax_basis_points),
            "tax": _totals.c.tax,
            "total": total,
            "seller": sa.literal(terms.seller.as_dict(), Invoice.seller.type),
            "buyer": json_object(buyer),
            "due": total,
            "disputed": number(0),
            "by_hand": number(0),
            "due_since": sa.case((reached, sa.literal(now, Instant()))),
        }
    )
    # LEFT JOIN: SQLite, which keeps no statistics, goes from the left table to the right.
    buyers = _totals.outerjoin(Customer, Customer.id == _totals.c.customer_id)
    rows = select(*values).select_from(buyers).order_by(_totals.c.place)
    await session.execute(inserting(session, Invoice).from_select(names, rows, include_defaults=False))
    mine = (Invoice.customer_id == _totals.c.customer_id, Invoice.month == month, IS_INVOICE)
    await session.execute(_totals.update().values(invoice_id=select(Invoice.id).where(*mine).scalar_subquery()))


async def _write_lines(session: AsyncSession, month: Month) -> None:
    order = (_lines.c.month.desc(), _lines.c.subscription_id)
    copied = ["subscription_id", "month", "name", "item", "workers", "hours", "monthly", "capped", "amount"]
    names, values = columns(
        {
            "invoice_id": _totals.c.invoice_id,
            "position": func.row_number().over(partition_by=_lines.c.customer_id, order_by=order),
        }
        | {name: _lines.c[name] for name in copied}
    )
    rows = select(*values).select_from(_lines.join(_totals, _totals.c.customer_id == _lines.c.customer_id))
    await session.execute(inserting(session, InvoiceLine).from_select(names, rows, include_defaults=False))
    # What was found late is on these invoices now, or would cost nothing more.
    await session.execute(
        sa.update(table(Usage))
        .where(_IS_LATE, Usage.month <= month, Usage.customer_id.in_(select(_totals.c.customer_id)))
        .values(late=False)
    )


async def _write_ledger(session: AsyncSession, now: datetime, terms: Terms) -> None:
    """Book what is owed; older invoices that waited for the card's minimum are due from now if it is reached (6.4).

    What is left of a debt that was nearly paid waits too, whenever it was due first.
    """
    rests = select(_totals.c.customer_id).where(_totals.c.owed > 0, _totals.c.owed < terms.card_minimum)
    await session.execute(
        sa.update(table(Invoice))
        .where(sa.text("due > 0"), Invoice.due_since.is_not(None), Invoice.customer_id.in_(rests))
        .values(due_since=None)
    )
    await ledger.owe_many(session, _owed(_totals.c.net, ""), credit=AccountKind.REVENUE, reason="issue", now=now)
    if terms.tax_basis_points:
        await ledger.owe_many(session, _owed(_totals.c.tax, ":tax"), credit=AccountKind.TAX, reason="issue", now=now)
    owes = _totals.c.owed + _totals.c.net + _totals.c.tax
    reached = select(_totals.c.customer_id).where(_totals.c.owed > 0, owes >= terms.card_minimum)
    await session.execute(
        sa.update(table(Invoice))
        .where(sa.text("due > 0"), Invoice.due_since.is_(None), Invoice.customer_id.in_(reached))
        .values(due_since=now)
    )


def _owed(amount: ColumnElement[int], suffix: str) -> sa.Subquery:
    """Return what `ledger.owe_many` takes, one part of the chunk's totals."""
    operation = sa.literal("issue:") + sa.cast(_totals.c.invoice_id, sa.String()) + sa.literal(suffix)
    columns_ = (operation.label("operation"), _totals.c.customer_id, _totals.c.invoice_id, amount.label("amount"))
    return select(*columns_).where(amount > 0).subquery()


async def _tell(session: AsyncSession, month: Month, now: datetime) -> None:
    facts = (
        select(
            Invoice.customer_id,
            (sa.literal("invoice:") + sa.cast(Invoice.id, sa.String()) + sa.literal(":issued")).label("dedup"),
            json_object(
                {
                    "invoice_id": Invoice.id,
                    "number": Invoice.number,
                    "month": sa.literal_column(f"'{month}'", sa.String()),
                    "total": Invoice.total,
                    "waits": sa.case((Invoice.due_since.is_(None), number(1)), else_=number(0)),
                }
            ).label("data"),
        )
        .where(Invoice.id.in_(select(_totals.c.invoice_id)))
        .subquery()
    )
    await outbox.tell_many(session, facts, "invoice_issued", now=now, mail=True)
    await wishes.wish_many(session, _totals, cards=True, reason="issue", now=now)
