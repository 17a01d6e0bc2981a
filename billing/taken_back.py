"""Hours that were invoiced and then taken back: a machine that had vanished ran shorter (rules.md 3.8, 10.4).

The customer has a right to it, so the credit note is issued without being asked for; the house is told.
"""

import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, credit_notes, metering, outbox
from billing.credit_notes import Credit
from billing.db import Database
from billing.errors import Conflict, OutOfRange
from billing.models import CreditNote, CreditNoteLine, Customer, Invoice, InvoiceLine, MonthRun, Subscription, Usage
from billing.money import Currency

log = logging.getLogger(__name__)

REASON = "Hours taken back"
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class _Excess:
    """What an invoice's line of a subscription and month charges too much: hours and net amount."""

    line: InvoiceLine
    hours: int
    amount: int


async def credit_all(database: Database, *, currency: Currency, now: datetime) -> int:
    """Issue a credit note for every invoice with hours that were taken back; return how many.

    What cannot be credited now, because a dispute holds it or a payment is under way, is found again the next time.
    """
    async with database.read() as session:
        invoice_ids = list(await _excesses(session, currency))
    issued = 0
    for invoice_id in invoice_ids:
        try:
            async with database.transaction() as session:
                issued += await _credit(session, invoice_id, currency, now)
        except (Conflict, OutOfRange) as error:
            log.warning("hours of invoice %s are given back later: %s", invoice_id, error)
    return issued


async def _credit(session: AsyncSession, invoice_id: int, currency: Currency, now: datetime) -> bool:
    customer_id = await session.scalar(select(Invoice.customer_id).where(Invoice.id == invoice_id))
    customer = await accounts.lock(session, customer_id or 0)
    found = (await _excesses(session, currency)).get(invoice_id)
    if found is None:
        return False
    invoice = await session.get_one(Invoice, invoice_id, populate_existing=True)
    credited = (
        await session.execute(
            select(
                func.coalesce(func.sum(CreditNote.total), 0), func.coalesce(func.sum(CreditNote.net), 0), func.count()
            ).where(CreditNote.invoice_id == invoice_id)
        )
    ).one()
    gross, net, count = invoice.total - int(credited[0]), invoice.net - int(credited[1]), int(credited[2])
    after = max(net - sum(one.amount for one in found), 0)
    total = gross - after - currency.round_half_up(after * invoice.tax_basis_points, 10_000)
    credit = Credit(
        operation=f"taken_back:{invoice_id}:{count}",
        total=total,
        reason=REASON,
        lines=[_line(one) for one in found],
    )
    note = await credit_notes.issue(session, customer, invoice_id, credit, currency=currency, now=now)
    await _tell_house(session, customer, invoice, note, now)
    return True


async def _excesses(session: AsyncSession, currency: Currency) -> dict[int, list[_Excess]]:
    """Return what invoices of finished months charge beyond the metered hours, by invoice, the newest line first."""
    hours, amount = _left(InvoiceLine.hours, CreditNoteLine.hours), _left(InvoiceLine.amount, CreditNoteLine.amount)
    cost = sa.case((Usage.hours > 0, metering.cost_sql(Subscription.monthly, Usage.hours, currency)), else_=0)
    rows = await session.execute(
        select(Usage.subscription_id, Usage.month, hours - Usage.hours, amount - cost)
        .join(Subscription, Subscription.id == Usage.subscription_id)
        .where(Usage.month.in_(select(MonthRun.month)), amount > cost)
        .order_by(Usage.month, Usage.subscription_id)
        .limit(_CHUNK)
    )
    found: dict[int, list[_Excess]] = defaultdict(list)
    for subscription_id, month, more_hours, more in rows.all():
        mine = (InvoiceLine.subscription_id == subscription_id, InvoiceLine.month == month)
        left = int(more)
        newest_first = select(InvoiceLine).where(*mine).order_by(InvoiceLine.invoice_id.desc())
        for line in await session.scalars(newest_first):
            part = min(left, line.amount)
            if part:
                found[line.invoice_id].append(_Excess(line, max(min(int(more_hours), line.hours), 0), part))
                left -= part
    return found


def _left(invoiced: Any, credited: Any) -> sa.ColumnElement[int]:  # noqa: ANN401 columns of two tables
    """Return what lines of a subscription and month say, credit notes taken off."""
    parts = [
        select(sa.cast(func.coalesce(func.sum(column), 0), sa.BigInteger()))
        .where(column.class_.subscription_id == Usage.subscription_id, column.class_.month == Usage.month)
        .scalar_subquery()
        for column in (invoiced, credited)
    ]
    return parts[0] - parts[1]


def _line(one: _Excess) -> CreditNoteLine:
    line = one.line
    return CreditNoteLine(
        subscription_id=line.subscription_id,
        month=line.month,
        name=line.name,
        item=line.item,
        workers=line.workers,
        hours=one.hours,
        monthly=line.monthly,
        amount=one.amount,
    )


async def _tell_house(
    session: AsyncSession, customer: Customer, invoice: Invoice, note: CreditNote, now: datetime
) -> None:
    facts = {
        "number": note.number,
        "invoice_number": invoice.number,
        "total": note.total,
        "name": customer.name,
        "telegram_id": customer.telegram_id,
    }
    dedup = f"house:credit_note:{note.id}"
    await outbox.tell_house(session, "house_hours_taken_back", facts, now=now, dedup=dedup, customer_id=customer.id)
