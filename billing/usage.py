"""What a customer's deployments cost day by day (C6)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import metering
from billing.clock import DAY, Month
from billing.metering import Span
from billing.models import Customer, Interval, Subscription
from billing.money import Currency
from billing.terms import Terms


@dataclass(frozen=True, slots=True)
class DayCost:
    """What one day added to the month.

    Attributes:
        number: day of the month, from 1.
        cost: in minor units, with tax.
        over: whether the day has ended.
    """

    number: int
    cost: int
    over: bool


async def of_month(
    session: AsyncSession, customer: Customer, month: Month
) -> Mapping[Subscription, Sequence[Interval]]:
    """Return what of a customer's ran in a month, each with the times in which it did."""
    rows = await session.execute(
        select(Subscription, Interval)
        .join(Interval, Interval.subscription_id == Subscription.id)
        .where(Subscription.customer_id == customer.id, metering.overlapping(month, month.end))
        .order_by(Subscription.id, Interval.id)
    )
    spans: dict[Subscription, list[Interval]] = {}
    for subscription, interval in rows:
        spans.setdefault(subscription, []).append(interval)
    return spans


async def by_day(session: AsyncSession, customer: Customer, *, now: datetime, terms: Terms) -> list[DayCost]:
    """Return the days of the month until today; together they cost what `invoices.this_month` says."""
    spans = await of_month(session, customer, Month.of(now))
    return days([(of.monthly, intervals) for of, intervals in spans.items()], now=now, terms=terms)


def days(runs: Iterable[tuple[int, Sequence[Span]]], *, now: datetime, terms: Terms) -> list[DayCost]:
    """Return the same for monthly prices and the times in which they ran.

    A day costs by how much it raised the month: rounding and cap fall on the day on which they happen, so that the
    days add up to the cent.
    """
    month = Month.of(now)
    ends = _ends(month, now)
    runs = list(runs)
    totals = [terms.with_tax(_until(runs, month, end, terms.currency)) for end in ends]
    return [
        DayCost(number, after - before, over=number < len(totals) - 1)
        for number, (before, after) in enumerate(pairwise(totals), start=1)
    ]


def _ends(month: Month, now: datetime) -> list[datetime]:
    """Return the month's start and the end of each day until today; today ends now."""
    count = (now - month.start) // timedelta(days=1) + 1
    return [month.start + number * DAY for number in range(count)] + [now]


def _until(runs: Iterable[tuple[int, Sequence[Span]]], month: Month, until: datetime, currency: Currency) -> int:
    return sum(
        metering.cost(monthly, metering.hours_in(intervals, month, until), currency) for monthly, intervals in runs
    )
