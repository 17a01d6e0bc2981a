"""Hours and cost, the pure rules (rules.md 4.2, 4.3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import metering
from billing.clock import HOUR, Month
from billing.money import Currency
from tests.billing.builders import at

USD = Currency.of("usd")
CURRENCIES = [Currency.of(code) for code in ("usd", "jpy", "kwd", "mga")]


@dataclass(frozen=True)
class Run:
    billed_from: datetime
    ended_at: datetime | None


instants = st.integers(0, 3 * 366 * 24 * 3600).map(lambda seconds: at("2023-12-15") + timedelta(seconds=seconds))


@st.composite
def runs(draw: st.DrawFn) -> list[Run]:
    """Intervals one after another, each counted from the end of the hour that the one before had billed."""
    made: list[Run] = []
    moment = draw(instants)
    for _ in range(draw(st.integers(1, 6))):
        start = moment + timedelta(seconds=draw(st.integers(0, 90_000)))
        end = start + timedelta(seconds=draw(st.integers(0, 4_000_000)))
        billed = max((run.billed_from + hours_whole(run) * HOUR for run in made), default=start)
        made.append(Run(max(start, billed), end))
        moment = end
    return made


def hours_whole(run: Run) -> int:
    assert run.ended_at is not None
    return metering.started_hours(run.billed_from, run.ended_at)


def months(first: datetime, last: datetime) -> list[Month]:
    found, month = [], Month.of(first)
    while month.start <= last:
        found.append(month)
        month = month.next()
    return found


@pytest.mark.parametrize("month", [Month(2026, 2), Month(2028, 2), Month(2026, 4), Month(2026, 1)])
def test_a_full_month_costs_the_monthly_price(month: Month) -> None:
    """28, 29, 30 and 31 days are all exactly $5.00."""
    run = Run(at("2025-01-01"), None)
    hours = metering.hours_in([run], month, month.end)
    assert hours == (month.end - month.start) // HOUR
    assert metering.cost(500, hours, USD) == 500


def test_ten_hours_twenty_minutes_at_five_dollars_are_eight_cents() -> None:
    run = Run(at("2026-01-10 12:00"), at("2026-01-10 22:20"))
    hours = metering.hours_in([run], Month(2026, 1), Month(2026, 1).end)
    assert hours == 11
    assert metering.cost(500, hours, USD) == 8


def test_an_hour_belongs_to_the_month_in_which_it_starts() -> None:
    run = Run(at("2026-01-31 23:30"), at("2026-02-01 00:40"))
    assert metering.hours_in([run], Month(2026, 1), at("2026-03-01")) == 1
    assert metering.hours_in([run], Month(2026, 2), at("2026-03-01")) == 1


def test_an_hour_is_counted_as_soon_as_it_starts() -> None:
    run = Run(at("2026-01-10 12:00"), None)
    counted = [
        metering.hours_in([run], Month(2026, 1), at("2026-01-10 12:00") + timedelta(seconds=seconds))
        for seconds in (-1, 0, 1, 3600, 3601)
    ]
    assert counted == [0, 0, 1, 1, 2]


def test_an_empty_interval_has_no_hours() -> None:
    run = Run(at("2026-01-10 12:00"), at("2026-01-10 12:00"))
    assert metering.hours_in([run], Month(2026, 1), at("2026-02-01")) == 0


def test_hours_with_a_price_cost_at_least_the_smallest_step() -> None:
    assert metering.cost(1, 1, USD) == 1
    assert metering.cost(10, 1, Currency.of("kwd")) == 10
    assert metering.cost(500, 0, USD) == 0


def test_cost_is_rounded_half_up() -> None:
    """672 cents a month are a cent an hour: 336 cents make half a cent, which goes up."""
    assert metering.cost(336, 3, USD) == 2
    assert metering.cost(335, 3, USD) == 1


@given(runs())
def test_hours_over_all_months_are_the_started_hours_of_the_runs(made: list[Run]) -> None:
    last = max(run.ended_at for run in made if run.ended_at)
    total = sum(
        metering.hours_in(made, month, last + HOUR) for month in months(made[0].billed_from - 40 * 24 * HOUR, last)
    )
    assert total == sum(hours_whole(run) for run in made)
    span = last - made[0].billed_from
    assert total <= -(-int(span.total_seconds()) // 3600)


@given(runs(), instants, instants)
def test_hours_never_shrink_as_time_goes_on(made: list[Run], one: datetime, other: datetime) -> None:
    first, second = sorted((one, other))
    month = Month.of(made[0].billed_from)
    assert metering.hours_in(made, month, first) <= metering.hours_in(made, month, second)


@given(st.sampled_from(CURRENCIES), st.integers(1, 10**9), st.integers(1, 744), st.integers(1, 744))
def test_cost_grows_with_hours_and_stays_within_the_price(currency: Currency, units: int, one: int, other: int) -> None:
    monthly = units * currency.step
    few, many = sorted((one, other))
    assert currency.step <= metering.cost(monthly, few, currency) <= metering.cost(monthly, many, currency) <= monthly
    assert metering.cost(monthly, many, currency) % currency.step == 0
