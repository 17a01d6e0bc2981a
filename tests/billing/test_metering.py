"""The writer of the usage table (rules.md 4.4), on both databases."""

import asyncio
import random
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import metering, subscriptions
from billing.chunks import Bounds
from billing.clock import Month
from billing.db import Database
from billing.models import Interval, Subscription, Usage
from billing.money import Currency
from billing.sql import number
from tests.billing.builders import at, make_customer, make_subscription, ran, run, seeded

JANUARY, FEBRUARY = Month(2026, 1), Month(2026, 2)


async def hours(database: Database) -> dict[tuple[int, Month], int]:
    """Metered hours by subscription and month."""
    async with database.read() as session:
        rows = await session.execute(select(Usage.subscription_id, Usage.month, Usage.hours))
        return {(subscription_id, month): count for subscription_id, month, count in rows}


async def test_running_hours_are_counted_up_to_now(database: Database) -> None:
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2026-01-10 12:00")
    await metering.catch_up(database, now=at("2026-01-10 14:30"))
    assert await hours(database) == {(one.id, JANUARY): 3}
    await metering.catch_up(database, now=at("2026-01-10 15:30"))
    assert await hours(database) == {(one.id, JANUARY): 4}


async def test_metering_twice_writes_nothing_new(database: Database) -> None:
    async with database.transaction() as session:
        await ran(session, await make_customer(session), "2026-01-10 12:00", "2026-01-10 20:00")
    await metering.catch_up(database, now=at("2026-01-11"))
    async with database.read() as session:
        first = (await session.scalars(select(Usage))).one().metered_until
    await metering.catch_up(database, now=at("2026-01-11 01:00"))
    async with database.read() as session:
        assert (await session.scalars(select(Usage))).one().metered_until == first


async def test_a_week_of_outage_over_a_months_end_is_filled_exactly(database: Database) -> None:
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2026-01-10 12:00")
    await metering.catch_up(database, now=at("2026-01-28 12:00"))
    await metering.catch_up(database, now=at("2026-02-04 12:00"))
    assert await hours(database) == {(one.id, JANUARY): 21 * 24 + 12, (one.id, FEBRUARY): 3 * 24 + 12}


async def test_a_first_run_after_months_fills_all_of_them(database: Database) -> None:
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2025-11-30 23:00", "2026-02-01 00:30")
    await metering.catch_up(database, now=at("2026-05-01"))
    assert await hours(database) == {
        (one.id, Month(2025, 11)): 1,
        (one.id, Month(2025, 12)): 744,
        (one.id, JANUARY): 744,
        (one.id, FEBRUARY): 1,
    }


async def test_a_clock_that_went_back_changes_nothing(database: Database) -> None:
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2026-01-10 12:00")
    await metering.catch_up(database, now=at("2026-01-12 12:00"))
    await metering.catch_up(database, now=at("2026-01-11 12:00"))
    assert await hours(database) == {(one.id, JANUARY): 48}


async def test_nothing_ever_ran(database: Database) -> None:
    await metering.catch_up(database, now=at("2026-01-12 12:00"))
    assert await hours(database) == {}


async def test_a_row_metered_further_is_left_alone(database: Database) -> None:
    """Two runs at once, the one with the earlier `now` writes last."""
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2026-01-10 12:00")
    await metering.meter_month(database, JANUARY, at("2026-01-10 15:00"))
    await metering.meter_month(database, JANUARY, at("2026-01-10 14:00"))
    assert await hours(database) == {(one.id, JANUARY): 3}


async def test_two_runs_at_once_agree(database: Database) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session)
        for _ in range(5):
            await ran(session, customer, "2025-12-31 12:00")
    await asyncio.gather(*(metering.catch_up(database, now=at("2026-01-02 00:00")) for _ in range(4)))
    counted = await hours(database)
    assert len(counted) == 10
    assert set(counted.values()) == {12, 24}


async def test_chunks_leave_nobody_out(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "_ROWS", Bounds(2, 2, 2))
    async with database.transaction() as session:
        customer = await make_customer(session)
        for _ in range(5):
            await ran(session, customer, "2026-01-01")
        for _ in range(5):
            await ran(session, customer, "2026-01-01", "2026-01-02")
    await metering.catch_up(database, now=at("2026-01-02 00:00"))
    assert list((await hours(database)).values()) == [24] * 10


async def test_a_machine_that_vanished_is_billed_until_it_was_seen(database: Database) -> None:
    """Stopping in the past takes back hours that were metered, over a month's end too (rules.md 3.8)."""
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2026-01-31 12:00")
    await metering.catch_up(database, now=at("2026-02-02 12:00"))
    async with database.transaction() as session:
        found = await session.get_one(Subscription, one.id)
        await subscriptions.stop(session, found, at=at("2026-01-31 14:30"))
    assert await hours(database) == {(one.id, JANUARY): 3, (one.id, FEBRUARY): 0}
    async with database.read() as session:
        late = {row.month: row.late for row in await session.scalars(select(Usage))}
    assert late == {JANUARY: True, FEBRUARY: False}


async def test_hours_that_come_to_light_late_are_marked(database: Database) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2026-01-01", "2026-01-02")
    await metering.catch_up(database, now=at("2026-02-01 00:10"))
    async with database.transaction() as session:
        adopted = await ran(session, customer, "2026-01-31 22:00", "2026-02-01 00:05")
    async with database.read() as session:
        rows = await session.scalars(select(Usage).where(Usage.subscription_id == adopted.id))
        assert {(row.month, row.hours, row.late) for row in rows} == {(JANUARY, 2, True), (FEBRUARY, 1, False)}


@pytest.mark.parametrize("seed", range(3))
async def test_the_statement_agrees_with_the_pure_core(database: Database, seed: int) -> None:
    """Many subscriptions with random intervals, metered at random moments."""
    chance = seeded(seed)
    now = at("2026-03-05 07:07:07")
    async with database.transaction() as session:
        customer = await make_customer(session)
        for _ in range(12):
            await run_at_random(session, await make_subscription(session, customer), chance, now)
    for moment in sorted(at("2025-12-20") + timedelta(seconds=chance.randrange(60 * 86400)) for _ in range(3)):
        await metering.catch_up(database, now=moment)
    await metering.catch_up(database, now=now)
    async with database.read() as session:
        spans = (await session.scalars(select(Interval))).all()
    expected = {}
    for month in (Month(2025, 12), JANUARY, FEBRUARY, Month(2026, 3)):
        for subscription_id in {span.subscription_id for span in spans}:
            mine = [span for span in spans if span.subscription_id == subscription_id]
            if count := metering.hours_in(mine, month, now):
                expected[subscription_id, month] = count
    assert await hours(database) == expected


async def run_at_random(
    session: AsyncSession, subscription: Subscription, chance: random.Random, now: datetime
) -> None:
    moment = at("2025-12-20")
    while True:
        moment += timedelta(seconds=chance.choice([0, 1, 1800, 3600, 86400 * chance.randrange(30)]))
        if moment >= now:
            return
        await run(session, subscription, moment.isoformat(" ")[:19])
        if chance.random() < 0.2:
            return
        moment += timedelta(seconds=chance.choice([0, 1, 3599, 3600, 3601, chance.randrange(86400 * 20)]))
        if moment >= now:
            return
        await subscriptions.stop(session, subscription, at=moment)


@pytest.mark.parametrize("code", ["usd", "jpy", "kwd", "mga"])
async def test_cost_in_sql_is_the_pure_cost(database: Database, code: str) -> None:
    currency = Currency.of(code)
    chance = seeded(code)
    cases = [
        (chance.choice([1, 500, 335, 336, 10**12, chance.randrange(1, 10**6)]), chance.randint(1, 744))
        for _ in range(60)
    ]
    async with database.read() as session:
        for units, count in cases:
            monthly = units * currency.step
            amount = metering.cost_sql(number(monthly), number(count), currency)
            assert await session.scalar(select(amount)) == metering.cost(monthly, count, currency)
