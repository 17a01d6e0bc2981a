"""Why an invoice line says what it says: when it ran, at which price, which cap, which rounding (C3)."""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import metering
from billing.clock import HOUR, Month
from billing.errors import NotFound
from billing.models import Customer, Interval, Invoice, InvoiceLine
from billing.money import Currency


@dataclass(frozen=True, slots=True)
class Run:
    """One time in which it ran, as far as it counts in the month.

    Attributes:
        started_at: when it started; may be before the month.
        ended_at: when it ended, none while it runs; may be after the month.
        hours: of the month that started in it.
        first_hour: start of its first counted hour: later than `started_at` where that hour was billed before.
    """

    started_at: datetime
    ended_at: datetime | None
    hours: int
    first_hour: datetime


@dataclass(frozen=True, slots=True)
class Explanation:
    """The arithmetic of a line: `monthly × counted / 672`, rounded, less what was invoiced before.

    Attributes:
        line: the line.
        month: whose hours these are.
        runs: when it ran in that month, as is known now.
        hours: of the month that were invoiced up to this line.
        counted: the hours that cost something, at most 672 (rules.md 4.3).
        exact: minor units before rounding.
        rounded: after rounding half up, at least the smallest step.
        before: amount that earlier invoices took for the same month, for hours that came to light late.
        amount: `rounded - before`: what the line should say.
    """

    line: InvoiceLine
    month: Month
    runs: tuple[Run, ...]
    hours: int
    counted: int
    exact: Fraction
    rounded: int
    before: int

    @property
    def amount(self) -> int:
        """What the line should say."""
        return self.rounded - self.before


async def explain(
    session: AsyncSession, customer: Customer, invoice_id: int, position: int, *, currency: Currency
) -> Explanation:
    """Explain a line of one of a customer's invoices.

    Raises:
        NotFound: there is no such line for time used, or it is somebody else's.
    """
    line = (
        await session.scalars(
            select(InvoiceLine)
            .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
            .where(
                Invoice.customer_id == customer.id,
                InvoiceLine.invoice_id == invoice_id,
                InvoiceLine.position == position,
            )
        )
    ).one_or_none()
    if line is None or line.month is None:
        raise NotFound("invoice line", f"{invoice_id}/{position}")
    month = line.month
    intervals = await session.scalars(
        select(Interval)
        .where(Interval.subscription_id == line.subscription_id, metering.overlapping(month, month.end))
        .order_by(Interval.id)
    )
    runs = tuple(run for run in (_run(interval, month) for interval in intervals) if run.hours)
    # What this line billed together with those before it, even if the runs were corrected since.
    hours_before, before = await _earlier(session, line)
    hours = hours_before + line.hours
    counted = min(hours, metering.CAP_HOURS)
    return Explanation(
        line,
        month,
        runs,
        hours=hours,
        counted=counted,
        exact=Fraction(line.monthly * counted, metering.CAP_HOURS),
        rounded=metering.cost(line.monthly, hours, currency),
        before=before,
    )


def _run(interval: Interval, month: Month) -> Run:
    hours = metering.hours_of(interval, month, month.end)
    skipped = metering.started_hours(interval.billed_from, month.start)
    return Run(interval.started_at, interval.ended_at, hours, interval.billed_from + skipped * HOUR)


async def _earlier(session: AsyncSession, line: InvoiceLine) -> tuple[int, int]:
    """Return hours and amount that earlier lines took for the same month."""
    sums = select(func.coalesce(func.sum(InvoiceLine.hours), 0), func.coalesce(func.sum(InvoiceLine.amount), 0)).where(
        InvoiceLine.subscription_id == line.subscription_id,
        InvoiceLine.month == line.month,
        InvoiceLine.invoice_id < line.invoice_id,
    )
    hours, amount = (await session.execute(sums)).one()
    return int(hours), int(amount)
