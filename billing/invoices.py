"""Reading invoices: a customer's own, with lines, payments, and the month that is still running (rules.md 5, 6.5).

Whose invoice it is stands in each query: there is no function here that takes a number alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import metering, usage
from billing.clock import Month
from billing.errors import NotFound
from billing.models import (
    Account,
    AccountKind,
    Card,
    CreditNote,
    Customer,
    Interval,
    Invoice,
    InvoiceLine,
    Payment,
    PaymentAllocation,
    Phase,
    Subscription,
    Transfer,
)
from billing.money import Currency
from billing.terms import Terms

_NO_PAYMENT = ("issue", "debit_note", "credit_note", "refund")
"""Reasons of transfers that make an invoice, or correct it."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some invoices of a longer list.

    Attributes:
        invoices: newest first.
        more: whether older ones follow.
    """

    invoices: tuple[Invoice, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment of an invoice (A9).

    Attributes:
        source: the account that the money came from: voucher, balance, card_clearing, stars_clearing…
        amount: in minor units.
        at: when it was booked.
        card: the card that was charged, where one of the customer's own was.
    """

    source: AccountKind
    amount: int
    at: datetime
    card: Card | None


@dataclass(frozen=True, slots=True)
class Document:
    """All that is shown of one invoice.

    Attributes:
        invoice: the invoice.
        lines: in their order.
        payments: in the order in which they came.
        credits: credit notes that lowered it.
        in_flight: whether a payment of it is under way (rules.md 5.6).
    """

    invoice: Invoice
    lines: tuple[InvoiceLine, ...]
    payments: tuple[Paid, ...]
    credits: tuple[CreditNote, ...]
    in_flight: bool


@dataclass(frozen=True, slots=True)
class Used:
    """What one subscription used in a month, without tax.

    Attributes:
        subscription: whose.
        hours: that have started.
        cost: of these hours, in minor units.
        projected: cost of the whole month if what runs goes on.
        running: whether it runs now.
    """

    subscription: Subscription
    hours: int
    cost: int
    projected: int
    running: bool


@dataclass(frozen=True, slots=True)
class MonthSoFar:
    """A customer's month up to now; `total` and `projected` with tax."""

    month: Month
    used: tuple[Used, ...]
    net: int
    tax: int
    projected: int

    @property
    def total(self) -> int:
        """What an invoice would say now."""
        return self.net + self.tax


async def page(session: AsyncSession, customer: Customer, *, offset: int = 0, limit: int = 10) -> Page:
    """Return a customer's invoices and debit notes, newest first."""
    found = (await session.scalars(_of(customer).order_by(Invoice.id.desc()).offset(offset).limit(limit + 1))).all()
    return Page(tuple(found[:limit]), more=len(found) > limit)


async def get(session: AsyncSession, customer: Customer, invoice_id: int) -> Invoice:
    """Return one of a customer's invoices by its id.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    return await _one(session, _of(customer).where(Invoice.id == invoice_id), invoice_id)


async def by_number(session: AsyncSession, customer: Customer, text: str) -> Invoice:
    """Return one of a customer's invoices by its number, typed in any case.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    wanted = text.strip().upper()
    return await _one(session, _of(customer).where(Invoice.number == wanted), wanted)


async def open_ones(session: AsyncSession, customer: Customer) -> Sequence[Invoice]:
    """Return what a customer still owes, in the order in which it is settled: smallest due first (rules.md 6.2)."""
    return (await session.scalars(_of(customer).where(Invoice.due > 0).order_by(Invoice.due, Invoice.id))).all()


async def total_due(session: AsyncSession, customer: Customer) -> int:
    """Return all that a customer still owes on their invoices, disputed money included."""
    due = select(func.coalesce(func.sum(Invoice.due), 0)).where(Invoice.customer_id == customer.id, Invoice.due > 0)
    return int(await session.scalar(due) or 0)


async def document(session: AsyncSession, invoice: Invoice) -> Document:
    """Return all that is shown of an invoice that was read for its customer."""
    lines = select(InvoiceLine).where(InvoiceLine.invoice_id == invoice.id).order_by(InvoiceLine.position)
    credits_ = select(CreditNote).where(CreditNote.invoice_id == invoice.id).order_by(CreditNote.id)
    moving = exists().where(PaymentAllocation.invoice_id == invoice.id, PaymentAllocation.in_flight)
    return Document(
        invoice,
        lines=tuple(await session.scalars(lines)),
        payments=tuple(await payments(session, invoice)),
        credits=tuple(await session.scalars(credits_)),
        in_flight=bool(await session.scalar(select(moving))),
    )


async def payments(session: AsyncSession, invoice: Invoice) -> list[Paid]:
    """Return what was paid on an invoice, from where and when, oldest first (A9); credit notes are no payments.

    What a bank took back is there too, with a negative amount.
    """
    debit, credit = Account.__table__.alias("debit"), Account.__table__.alias("credit")
    rows = await session.execute(
        select(debit.c.kind, credit.c.kind, Transfer.amount, Transfer.created_at, Card)
        .join(debit, debit.c.id == Transfer.debit_id)
        .join(credit, credit.c.id == Transfer.credit_id)
        .outerjoin(Payment, Payment.id == Transfer.payment_id)
        .outerjoin(Card, Card.id == Payment.card_id)
        .where(
            Transfer.invoice_id == invoice.id,
            Transfer.phase.in_((Phase.POSTED, Phase.POST)),
            Transfer.reason.not_in(_NO_PAYMENT),
            or_(credit.c.kind == AccountKind.RECEIVABLE, debit.c.kind == AccountKind.RECEIVABLE),
        )
        .order_by(Transfer.id)
    )
    return [
        Paid(debited, amount, at, card if debited is AccountKind.CARD_CLEARING else None)
        if credited is AccountKind.RECEIVABLE
        else Paid(credited, -amount, at, None)
        for debited, credited, amount, at, card in rows
    ]


async def this_month(session: AsyncSession, customer: Customer, *, now: datetime, terms: Terms) -> MonthSoFar:
    """Return what a customer has used since the month began, each subscription's hours and cost; exact at `now`."""
    month = Month.of(now)
    spans = await usage.of_month(session, customer, month)
    used = tuple(
        _used(subscription, intervals, month, now, terms.currency) for subscription, intervals in spans.items()
    )
    net = sum(one.cost for one in used)
    projected = sum(one.projected for one in used)
    return MonthSoFar(month, used, net=net, tax=terms.tax_of(net), projected=terms.with_tax(projected))


def _used(
    subscription: Subscription, intervals: Sequence[Interval], month: Month, now: datetime, currency: Currency
) -> Used:
    hours = metering.hours_in(intervals, month, now)
    return Used(
        subscription,
        hours=hours,
        cost=metering.cost(subscription.monthly, hours, currency),
        projected=metering.cost(subscription.monthly, metering.hours_in(intervals, month, month.end), currency),
        running=any(interval.ended_at is None for interval in intervals),
    )


def _of(customer: Customer) -> Select[Invoice]:
    return select(Invoice).where(Invoice.customer_id == customer.id)


async def _one(session: AsyncSession, query: Select[Invoice], key: object) -> Invoice:
    invoice = (await session.scalars(query)).one_or_none()
    if invoice is None:
        raise NotFound("invoice", key)
    return invoice
