"""Cost day by day adds up to the month (C6)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing import invoices, usage
from billing.clock import DAY, HOUR
from billing.db import Database
from billing.money import Currency
from billing.terms import Terms
from tests.billing.builders import at, make_customer, ran

TERMS = Terms(Currency.of("usd"), tax_basis_points=1900)


@dataclass(frozen=True)
class Span:
    billed_from: datetime
    ended_at: datetime | None = None


def test_a_day_costs_what_it_adds_and_a_full_month_adds_nothing() -> None:
    runs = [(672, [Span(at("2026-01-01"))])]
    days = usage.days(runs, now=at("2026-01-31 12:00"), terms=Terms(Currency.of("usd")))
    assert [day.number for day in days] == list(range(1, 32))
    assert [day.cost for day in days] == [24] * 28 + [0] * 3
    assert [day.over for day in days] == [True] * 30 + [False]


def test_the_first_instant_of_a_month_has_one_empty_day() -> None:
    assert usage.days([], now=at("2026-03-01"), terms=TERMS) == [usage.DayCost(1, 0, over=False)]


@given(
    st.lists(
        st.tuples(st.integers(1, 100_000), st.integers(-100, 700), st.integers(0, 900)),
        max_size=4,
    ),
    st.integers(0, 31 * 24 - 1),
)
def test_the_days_add_up_to_the_month(runs: list[tuple[int, int, int]], hour: int) -> None:
    start = at("2026-01-01")
    spans = [
        (monthly, [Span(start + begin * HOUR + timedelta(minutes=7), start + (begin + length) * HOUR)])
        for monthly, begin, length in runs
    ]
    days = usage.days(spans, now=start + hour * HOUR, terms=TERMS)
    assert len(days) == hour // 24 + 1
    assert all(day.cost >= 0 for day in days)
    again = usage.days(spans, now=start + (hour // 24) * DAY, terms=TERMS)
    assert [day.cost for day in again[:-1]] == [day.cost for day in days[:-1]]


async def test_they_agree_with_the_month_so_far(database: Database) -> None:
    now = at("2026-01-20 09:30")
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2025-12-20", "2026-01-03 10:10")
        await ran(session, customer, "2026-01-10 12:00", monthly=4_000)
        await ran(session, await make_customer(session), "2026-01-01")
    async with database.read() as session:
        days = await usage.by_day(session, customer, now=now, terms=TERMS)
        month = await invoices.this_month(session, customer, now=now, terms=TERMS)
    assert sum(day.cost for day in days) == month.total
    assert [day.number for day in days if day.cost] == [1, 2, 3, *range(10, 21)]
