"""Invoices of all customers, for administrators: pages, sums, and rows for a file (A7, C16)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from billing.clock import Month
from billing.errors import NotFound
from billing.models import Account, AccountKind, Customer, Invoice, Phase, Transfer

_CHUNK = 500

Owned = tuple[Invoice, Customer]
Settled = tuple[Invoice, Customer, dict[AccountKind, int]]
"""An invoice, whose it is, and how much was paid on it from which source."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which invoices.

    Attributes:
        unpaid: only those with something due.
        month: only those of this billing period; `None` for all.
        customer_id: only this customer's; `None` for all.
    """

    unpaid: bool = False
    month: Month | None = None
    customer_id: int | None = None

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """Return the filter as conditions on invoices."""
        wanted: list[ColumnElement[bool]] = []
        if self.unpaid:
            wanted.append(Invoice.due > 0)
        if self.month is not None:
            wanted.append(Invoice.month == self.month)
        if self.customer_id is not None:
            wanted.append(Invoice.customer_id == self.customer_id)
        return wanted


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over invoices, in minor units with tax."""

    count: int
    total: int
    due: int


async def page(session: AsyncSession, of: Filter, *, offset: int, limit: int) -> Sequence[Owned]:
    """Return invoices with whose they are, newest first."""
    rows = await session.execute(
        select(Invoice, Customer)
        .join(Customer, Customer.id == Invoice.customer_id)
        .where(*of.conditions())
        .order_by(Invoice.id.desc())
        .offset(offset)
        .limit(limit)
    )
    return [(invoice, customer) for invoice, customer in rows]


async def sums(session: AsyncSession, of: Filter) -> Sums:
    """Return how many invoices there are and what they come to."""
    count, total, due = (
        await session.execute(
            select(func.count(), func.sum(Invoice.total), func.sum(Invoice.due)).where(*of.conditions())
        )
    ).one()
    return Sums(count, int(total or 0), int(due or 0))


async def months(session: AsyncSession, *, limit: int) -> Sequence[Month]:
    """Return the newest billing periods that have invoices."""
    periods = select(Invoice.month).where(Invoice.month.is_not(None)).distinct().order_by(Invoice.month.desc())
    return [month for month in await session.scalars(periods.limit(limit)) if month is not None]


async def find(session: AsyncSession, invoice_id: int) -> Owned:
    """Return any customer's invoice with whose it is.

    Raises:
        NotFound: there is none with this id.
    """
    row = (
        await session.execute(
            select(Invoice, Customer).join(Customer, Customer.id == Invoice.customer_id).where(Invoice.id == invoice_id)
        )
    ).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    invoice, customer = row
    return invoice, customer


async def by_number(session: AsyncSession, text: str) -> Owned:
    """Return any customer's invoice by its number, typed in any case.

    Raises:
        NotFound: there is none.
    """
    wanted = text.strip().upper()
    found = await session.scalar(select(Invoice.id).where(Invoice.number == wanted))
    if found is None:
        raise NotFound("invoice", wanted)
    return await find(session, found)


async def each(session: AsyncSession, of: Filter) -> AsyncIterator[Settled]:
    """Return every invoice, oldest first."""
    last = 0
    while True:
        rows = await session.execute(
            select(Invoice, Customer)
            .join(Customer, Customer.id == Invoice.customer_id)
            .where(*of.conditions(), Invoice.id > last)
            .order_by(Invoice.id)
            .limit(_CHUNK)
        )
        found = [(invoice, customer) for invoice, customer in rows]
        paid = await _paid(session, [invoice.id for invoice, _ in found])
        for invoice, customer in found:
            yield invoice, customer, paid.get(invoice.id, {})
        if len(found) < _CHUNK:
            return
        last = found[-1][0].id


async def _paid(session: AsyncSession, invoice_ids: Sequence[int]) -> dict[int, dict[AccountKind, int]]:
    """Return what was paid on invoices, by the account that it came from."""
    paid_to = aliased(Account)
    owed = exists().where(paid_to.id == Transfer.credit_id, paid_to.kind == AccountKind.RECEIVABLE)
    rows = await session.execute(
        select(Transfer.invoice_id, Account.kind, func.sum(Transfer.amount))
        .join(Account, Account.id == Transfer.debit_id)
        .where(Transfer.invoice_id.in_(invoice_ids), Transfer.phase.in_((Phase.POSTED, Phase.POST)), owed)
        .group_by(Transfer.invoice_id, Account.kind)
    )
    found: dict[int, dict[AccountKind, int]] = {}
    for invoice_id, kind, amount in rows:
        found.setdefault(invoice_id or 0, {})[kind] = int(amount)
    return found
