"""What runs: intervals open and close, each once (rules.md 4.1, 4.2)."""

import pytest
from sqlalchemy import select

from billing import subscriptions
from billing.db import Database
from billing.errors import Conflict
from billing.models import Interval, Quote
from tests.billing.builders import at, make_customer, make_subscription, ran, run


async def test_a_quote_makes_one_subscription(database: Database) -> None:
    async with database.transaction() as session:
        one = await make_subscription(session, await make_customer(session))
        assert one.quote_id is not None
        quote = await session.get_one(Quote, one.quote_id)
        assert (await subscriptions.create(session, quote, now=at("2026-01-05"))).id == one.id
        assert (one.monthly, one.name, one.item) == (500, "web", "vm-small")


async def test_starting_and_stopping_twice_is_once(database: Database) -> None:
    async with database.transaction() as session:
        one = await make_subscription(session, await make_customer(session))
        assert not await subscriptions.is_running(session, one.id)
        first = await subscriptions.start(session, one, now=at("2026-01-10 12:00"))
        again = await subscriptions.start(session, one, now=at("2026-01-10 13:00"))
        assert again.id == first.id
        assert await subscriptions.is_running(session, one.id)
        await subscriptions.stop(session, one, at=at("2026-01-10 14:00"))
        await subscriptions.stop(session, one, at=at("2026-01-10 15:00"))
        assert first.ended_at == at("2026-01-10 14:00")
        assert not await subscriptions.is_running(session, one.id)


@pytest.mark.parametrize(
    ("resumed", "billed_from"),
    [
        ("2026-01-10 13:30", "2026-01-10 14:00"),  # inside the second hour, already billed
        ("2026-01-10 14:00", "2026-01-10 14:00"),
        ("2026-01-10 14:20", "2026-01-10 14:20"),
    ],
)
async def test_an_hour_already_billed_is_not_billed_again(database: Database, resumed: str, billed_from: str) -> None:
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2026-01-10 12:00", "2026-01-10 13:10")
        assert (await subscriptions.start(session, one, now=at(resumed))).billed_from == at(billed_from)


async def test_switching_off_and_on_within_one_hour_bills_one_hour(database: Database) -> None:
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2026-01-10 12:00", "2026-01-10 12:10")
        await run(session, one, "2026-01-10 12:20", "2026-01-10 12:30")
        await run(session, one, "2026-01-10 12:40", "2026-01-10 12:59")
        last = await subscriptions.start(session, one, now=at("2026-01-10 12:59:30"))
    assert last.billed_from == at("2026-01-10 13:00")


async def test_an_end_before_the_start_is_the_start(database: Database) -> None:
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2026-01-10 12:00", "2026-01-09 12:00")
        interval = (await session.scalars(select(Interval).where(Interval.subscription_id == one.id))).one()
        assert interval.ended_at == interval.started_at


async def test_what_has_ended_never_runs_again(database: Database) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session)
        one = await ran(session, customer, "2026-01-10 12:00")
        assert [live.id for live in await subscriptions.live(session, customer.id)] == [one.id]
        await subscriptions.end(session, one, at=at("2026-01-11"))
        await subscriptions.end(session, one, at=at("2026-01-12"))
        assert one.ended_at == at("2026-01-11")
        assert await subscriptions.live(session, customer.id) == []
        with pytest.raises(Conflict):
            await subscriptions.start(session, one, now=at("2026-01-12"))
