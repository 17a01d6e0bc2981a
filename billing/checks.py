"""What must always be true (rules.md 2.6), asked of the database: a list of differences, never a repair (C13).

Each check is a function from nothing to SELECTs that return a row for each violation: subject, expected, found.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from billing import metering
from billing.clock import Month
from billing.models import (
    CUSTOMER_KINDS,
    IN_FLIGHT,
    Account,
    AccountKind,
    CreditNote,
    CreditNoteLine,
    Interval,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    MonthRun,
    NumberSeries,
    Payment,
    PaymentAllocation,
    Phase,
    Subscription,
    Transfer,
    Usage,
    Voucher,
)
from billing.money import Currency

_SHOWN = 100
"""Differences of one kind that are listed; more would not be read."""

Rows = Select[*tuple[Any, ...]]
"""Columns: subject (a word and an id), what is expected, what was found."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that should be true and is not.

    Attributes:
        check: which rule, a word for machines.
        subject: what it is about, such as `customer 17`.
        expected: what should be there; `found` is what is.
    """

    check: str
    subject: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Return one line for the operator."""
        return f"{self.check}: {self.subject}: expected {self.expected}, found {self.found}"


async def differences(session: AsyncSession, *, currency: Currency) -> list[Difference]:
    """Return everything that is not as it must be, at most a hundred of each kind; empty when all is well."""
    found = []
    for name, check in _CHECKS.items():
        for rows in check():
            found += await _ask(session, name, rows)
    found += await usage_differences(session)
    return found + await _ask(session, "invoiced as used", _misinvoiced(currency))


async def usage_differences(session: AsyncSession) -> list[Difference]:
    """Return subscriptions whose metered hours are not those of their intervals, in any month metered so far."""
    until = await metering.metered_until(session)
    first = await session.scalar(select(func.min(Interval.started_at)))
    found: list[Difference] = []
    if until is None or first is None:
        return found
    month = Month.of(first)
    while month.start < until:
        for rows in _mismetered(month, min(until, month.end)):
            found += await _ask(session, f"usage {month}", rows)
        month = month.next()
    return found


async def _ask(session: AsyncSession, name: str, rows: Rows) -> list[Difference]:
    return [
        Difference(name, str(subject), str(expected), str(found))
        for subject, expected, found in await session.execute(rows.limit(_SHOWN))
    ]


def _named(word: str, key: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[str]:
    return sa.literal(f"{word} ") + sa.cast(key, sa.String())


def _sum(amount: ColumnElement[int]) -> ColumnElement[int]:
    """Return a sum of amounts as an integer, 0 for no rows."""
    return sa.cast(func.coalesce(func.sum(amount), 0), sa.BigInteger())


_MOVED = Transfer.phase.in_((Phase.POSTED, Phase.POST))


def _signed() -> ColumnElement[int]:
    """Return a transfer's amount as seen from `Account`'s own side: debits add to a receivable, credits elsewhere."""
    adds = (Transfer.debit_id == Account.id) == (Account.kind == AccountKind.RECEIVABLE)
    return case((adds, Transfer.amount), else_=-Transfer.amount)


_TOUCHES = or_(Transfer.debit_id == Account.id, Transfer.credit_id == Account.id)


# --- the ledger


def _debits_equal_credits() -> Iterator[Rows]:
    """The customers' stored balances and the house's transfers add up to nothing."""
    side = case((Account.kind == AccountKind.RECEIVABLE, Account.posted), else_=-Account.posted)
    customers = select(_sum(side)).where(Account.customer_id.is_not(None)).scalar_subquery()
    house = select(Account.id).where(Account.customer_id.is_(None))
    debits = select(_sum(Transfer.amount.expression)).where(_MOVED, Transfer.debit_id.in_(house)).scalar_subquery()
    credits_ = select(_sum(Transfer.amount.expression)).where(_MOVED, Transfer.credit_id.in_(house)).scalar_subquery()
    yield select(sa.literal("house"), sa.literal(0), customers + debits - credits_).where(
        customers + debits - credits_ != 0
    )


def _balances_are_sums() -> Iterator[Rows]:
    """Each stored balance, and what is reserved of it, is the sum of its transfers."""
    whose = and_(Account.customer_id.is_not(None), Account.kind.in_(CUSTOMER_KINDS))
    posted = select(_sum(_signed())).where(_MOVED, _TOUCHES).correlate(Account).scalar_subquery()
    yield select(_named("posted on account", Account.id), posted, Account.posted).where(whose, posted != Account.posted)
    resolution = aliased(Transfer)
    resolved = select(resolution.id).where(resolution.pending_id == Transfer.id).exists()
    reserved = (
        select(_sum(Transfer.amount.expression))
        .where(Transfer.phase == Phase.PENDING, ~resolved, _TOUCHES, _signed() < 0)
        .correlate(Account)
        .scalar_subquery()
    )
    yield select(_named("reserved on account", Account.id), reserved, Account.reserved).where(
        whose, reserved != Account.reserved
    )


def _receivable_is_due() -> Iterator[Rows]:
    """What a customer owes is what is due on their invoices; what is due on one is what the ledger says of it."""
    due = select(_sum(Invoice.due.expression)).where(Invoice.customer_id == Account.customer_id).scalar_subquery()
    yield select(_named("customer", Account.customer_id), due, Account.posted).where(
        Account.kind == AccountKind.RECEIVABLE, due != Account.posted
    )
    booked = (
        select(_sum(_signed()))
        .select_from(Transfer)
        .join(Account, and_(_TOUCHES, Account.kind == AccountKind.RECEIVABLE))
        .where(_MOVED, Transfer.invoice_id == Invoice.id)
        .scalar_subquery()
    )
    yield select(_named("due on invoice", Invoice.id), booked, Invoice.due).where(booked != Invoice.due)


def _vouchers_issued() -> Iterator[Rows]:
    """Voucher money was issued by a voucher, once, or came back from an invoice that it had paid (rules.md 10.3)."""
    source = aliased(Account)
    paid_in = (
        select(_sum(Transfer.amount.expression))
        .join(source, source.id == Transfer.debit_id)
        .where(Transfer.credit_id == Account.id, source.kind == AccountKind.VOUCHERS_ISSUED, _MOVED)
        .correlate(Account)
        .scalar_subquery()
    )
    redeemed = (
        select(_sum(Voucher.amount.expression)).where(Voucher.redeemed_by == Account.customer_id).scalar_subquery()
    )
    yield select(_named("vouchers of customer", Account.customer_id), redeemed, paid_in).where(
        Account.kind == AccountKind.VOUCHER, redeemed != paid_in
    )
    yield (
        select(_named("transfer", Transfer.id), sa.literal("a voucher or an invoice"), source.kind)
        .join(Account, Account.id == Transfer.credit_id)
        .join(source, source.id == Transfer.debit_id)
        .where(
            Account.kind == AccountKind.VOUCHER,
            case(
                (source.kind == AccountKind.VOUCHERS_ISSUED, Transfer.voucher_id.is_(None)),
                else_=Transfer.invoice_id.is_(None),
            ),
        )
    )


# --- documents


def _invoices_add_up() -> Iterator[Rows]:
    """The lines of an invoice are its net amount."""
    lines = select(_sum(InvoiceLine.amount.expression)).where(InvoiceLine.invoice_id == Invoice.id).scalar_subquery()
    yield select(_named("invoice", Invoice.id), lines, Invoice.net).where(
        Invoice.kind == InvoiceKind.INVOICE, lines != Invoice.net
    )
    yield select(_named("paid_at of invoice", Invoice.id), sa.literal("as due says"), Invoice.due).where(
        (Invoice.due == 0) != Invoice.paid_at.is_not(None)
    )


def _numbers_have_no_gap() -> Iterator[Rows]:
    """Each series of a year holds 1, 2, 3… up to the last number that was given (rules.md 5.3)."""
    given = sa.union_all(
        _given("INV", Invoice.number).where(Invoice.kind == InvoiceKind.INVOICE),
        _given("DN", Invoice.number).where(Invoice.kind == InvoiceKind.DEBIT_NOTE),
        _given("CN", CreditNote.number),
    ).subquery()
    per_year = (
        select(
            given.c.series,
            given.c.year,
            func.count().label("count"),
            func.min(given.c.number).label("first"),
            func.max(given.c.number).label("last"),
        )
        .group_by(given.c.series, given.c.year)
        .subquery()
    )
    series = and_(per_year.c.series == NumberSeries.series, per_year.c.year == NumberSeries.year)
    name = NumberSeries.series + "-" + sa.cast(NumberSeries.year, sa.String())
    yield (
        select(name, NumberSeries.last, func.coalesce(per_year.c.count, 0))
        .outerjoin(per_year, series)
        .where(
            or_(
                NumberSeries.last != func.coalesce(per_year.c.count, 0),
                per_year.c.last != NumberSeries.last,
                per_year.c.first != 1,
            )
        )
    )
    yield (
        select(per_year.c.series + "-" + sa.cast(per_year.c.year, sa.String()), sa.literal("a series"), per_year.c.last)
        .outerjoin(NumberSeries, series)
        .where(NumberSeries.series.is_(None))
    )


def _given(series: str, column: InstrumentedAttribute[str]) -> Select[*tuple[Any, ...]]:
    """Return series, year and number of documents that are named `SERIES-YYYY-NNNNNN`."""
    year = len(series) + 2
    return select(
        sa.literal(series).label("series"),
        sa.cast(func.substr(column, year, 4), sa.Integer).label("year"),
        sa.cast(func.substr(column, year + 5), sa.BigInteger).label("number"),
    )


def _one_payment_in_flight() -> Iterator[Rows]:
    """At most one payment in flight touches an invoice, and only those are marked so (rules.md 6.5)."""
    yield (
        select(_named("invoice", PaymentAllocation.invoice_id), sa.literal(1), func.count())
        .where(PaymentAllocation.in_flight)
        .group_by(PaymentAllocation.invoice_id)
        .having(func.count() > 1)
    )
    yield (
        select(_named("payment", Payment.id), Payment.status, PaymentAllocation.in_flight)
        .join(PaymentAllocation, PaymentAllocation.payment_id == Payment.id)
        .where(PaymentAllocation.in_flight != Payment.status.in_(IN_FLIGHT))
    )
    resolution = aliased(Transfer)
    yield (
        select(_named("pending transfer", Transfer.id), sa.literal("resolved with its payment"), Payment.status)
        .join(Payment, Payment.id == Transfer.payment_id)
        .where(
            Transfer.phase == Phase.PENDING,
            Payment.status.not_in(IN_FLIGHT),
            ~select(resolution.id).where(resolution.pending_id == Transfer.id).exists(),
        )
    )


# --- usage


def _mismetered(month: Month, until: datetime) -> Iterator[Rows]:
    """Usage rows of a month against its intervals counted again, each at the instant to which it was metered."""
    counted = (
        select(Interval.subscription_id, metering.total_hours_sql(month, until).label("hours"))
        .where(metering.overlapping(month, until))
        .group_by(Interval.subscription_id)
        .subquery()
    )
    usage = select(Usage).where(Usage.month == month).subquery()
    # A run that died may have metered some rows further than the watermark says.
    not_ahead = usage.c.metered_until <= until
    stored, again = func.coalesce(usage.c.hours, 0), func.coalesce(counted.c.hours, 0)
    yield (
        select(_named("subscription", counted.c.subscription_id), again, stored)
        .outerjoin(usage, usage.c.subscription_id == counted.c.subscription_id)
        .where(again != stored, or_(usage.c.metered_until.is_(None), not_ahead))
    )
    yield (
        select(_named("subscription", usage.c.subscription_id), again, stored)
        .outerjoin(counted, usage.c.subscription_id == counted.c.subscription_id)
        .where(counted.c.subscription_id.is_(None), stored != 0, not_ahead)
    )


def _misinvoiced(currency: Currency) -> Rows:
    """In months that are finished, what was invoiced is what the metered hours cost, late ones apart (rules.md 5.1)."""
    lines = (
        select(_sum(InvoiceLine.amount.expression))
        .where(InvoiceLine.subscription_id == Usage.subscription_id, InvoiceLine.month == Usage.month)
        .scalar_subquery()
    )
    taken_back = (
        select(_sum(CreditNoteLine.amount.expression))
        .where(CreditNoteLine.subscription_id == Usage.subscription_id, CreditNoteLine.month == Usage.month)
        .scalar_subquery()
    )
    invoiced = lines - taken_back
    cost = case((Usage.hours > 0, metering.cost_sql(Subscription.monthly, Usage.hours, currency)), else_=0)
    subject = (
        _named("subscription", Usage.subscription_id)
        + " in "
        + sa.cast(sa.type_coerce(Usage.month, sa.Integer), sa.String())
    )
    return (
        select(subject, cost, invoiced)
        .select_from(Usage)
        .join(Subscription, Subscription.id == Usage.subscription_id)
        .where(Usage.month.in_(select(MonthRun.month)), cost != invoiced, or_(~Usage.late, invoiced > cost))
    )


_CHECKS: dict[str, Callable[[], Iterator[Rows]]] = {
    "debits equal credits": _debits_equal_credits,
    "balances": _balances_are_sums,
    "receivable": _receivable_is_due,
    "vouchers": _vouchers_issued,
    "invoices": _invoices_add_up,
    "numbers": _numbers_have_no_gap,
    "payments in flight": _one_payment_in_flight,
}
