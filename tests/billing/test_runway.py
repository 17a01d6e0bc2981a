"""How long money lasts (rules.md 9.4, C4), against the same question asked hour by hour."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import facts, metering
from billing.clock import HOUR, Month
from billing.db import Database
from billing.models import Interval
from billing.money import Currency
from billing.runway import Purse, Runner, lasts_until
from billing.terms import Terms
from tests.billing.builders import at, make_customer, ran

TERMS = Terms(Currency.of("usd"))
NOW = at("2026-01-10 12:00")


def running(monthly: int, since: str = "2026-01-10 12:00", name: str = "web") -> Runner:
    return Runner(name, monthly, (Interval(billed_from=at(since)),))


def purse(funds: int, *runners: Runner, owed: int = 0, ended: int = 0) -> Purse:
    return Purse(funds, owed, ended, runners)


def until(what: Purse, now: datetime = NOW, terms: Terms = TERMS) -> datetime | None:
    return lasts_until(what, now=now, terms=terms)


def test_nothing_runs_and_all_is_covered() -> None:
    assert until(purse(0)) is None
    assert until(purse(100, owed=100)) is None


def test_a_debt_that_funds_do_not_cover_is_now() -> None:
    assert until(purse(99, owed=100)) == NOW
    assert until(purse(0, running(500))) == NOW


def test_money_lasts_to_the_hour() -> None:
    """At 6.72 a month an hour costs a cent."""
    assert until(purse(24, running(672))) == NOW + timedelta(hours=24)
    assert until(purse(24, running(672), ended=4)) == NOW + timedelta(hours=20)


def test_no_month_costs_more_than_its_price() -> None:
    """516 hours of January, February whole at the cap, then March hour by hour."""
    assert until(purse(516 + 672 + 5, running(672))) == at("2026-03-01 05:00")


def test_tax_is_counted() -> None:
    with_tax = Terms(Currency.of("usd"), tax_basis_points=10_000)
    assert until(purse(48, running(672)), terms=with_tax) == NOW + timedelta(hours=24)


def test_money_for_ten_years_lasts() -> None:
    assert until(purse(10**9, running(500))) is None


def test_the_dearest_is_named() -> None:
    assert purse(0).dearest is None
    dearest = purse(0, running(500), running(900, name="big"), running(900, name="other")).dearest
    assert dearest is not None
    assert dearest.name == "big"


@given(
    funds=st.integers(0, 3000),
    owed=st.integers(0, 500),
    prices=st.lists(st.integers(100, 2000), min_size=1, max_size=3),
    tax=st.sampled_from([0, 700, 1900]),
)
def test_until_then_all_is_covered_and_an_hour_later_it_is_not(
    funds: int, owed: int, prices: list[int], tax: int
) -> None:
    terms = Terms(Currency.of("usd"), tax_basis_points=tax)
    what = purse(funds, *(running(price) for price in prices), owed=owed)
    end = until(what, terms=terms)

    def costs(instant: datetime) -> int:
        month, total = Month.of(NOW), owed
        while month.start < instant:
            total += terms.with_tax(
                sum(
                    metering.cost(runner.monthly, metering.hours_in(runner.spans, month, instant), terms.currency)
                    for runner in what.runners
                )
            )
            month = month.next()
        return total

    assert end is not None
    if end == NOW:
        assert costs(NOW + HOUR) > funds
    else:
        assert costs(end) <= funds < costs(end + HOUR)


@pytest.mark.parametrize("suspended", [False, True])
async def test_what_a_customer_lives_on_is_read(sqlite_database: Database, *, suspended: bool) -> None:
    """What is off for debt counts as going on: it comes back when the debt is paid."""
    async with sqlite_database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2026-01-10 02:00", "2026-01-10 08:00" if suspended else None, monthly=672)
        ended = await ran(session, customer, "2026-01-05 00:00", "2026-01-05 03:00", monthly=672)
        ended.ended_at = at("2026-01-05 03:00")
    async with sqlite_database.read() as session:
        found = await facts.purse(session, customer.id, now=NOW, terms=TERMS)
    assert (found.funds, found.owed, found.ended, found.monthly) == (0, 0, 3, 672)
    used = 6 if suspended else 10
    have = Purse(used + 3 + 7, found.owed, found.ended, found.runners)
    assert until(have) == NOW + timedelta(hours=7)
