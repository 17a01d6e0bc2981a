"""A populated database moves to another one with every row, and the business goes on there."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from billing.clock import ManualClock
from billing.db import Database
from bot import move as moving
from bot.models import Replica
from bot.move import CannotMove, move
from tests.billing.builders import make_customer
from tests.flows.test_order import with_card
from tests.flows.world import World, surroundings

FEBRUARY = datetime(2026, 2, 1, 0, 11, tzinfo=UTC)


async def live(world: World) -> None:
    """Cards, machines, vouchers, an invoice, a refund, a request, questions: something in most tables."""
    olga, ann, bob = world.admin, world.person(1, "Ann"), world.person(2, "Bob\N{SNOWMAN}")
    for person in (olga, bob):
        await person.start()
        await person.wait_for_text("Hello")
    await with_card(world, ann)
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("held until")
    await ann.press("Deploy web")
    await ann.wait_for_text("success")
    await olga.send("/setprice vm small 6.00")
    await olga.press("Set")
    await bob.send("/apply 25 for a course")
    await bob.wait_for_text("25")
    await world.move_to(FEBRUARY)
    await ann.wait_for_text("INV-2026-000001", "is paid")
    await olga.send("/refund INV-2026-000001 1.00")
    await olga.wait_for_text("Credit $1.00")
    await olga.press("Refund $1.00")
    await olga.wait_for_text("Credit note CN-2026-000001", "is issued")
    await world.settled()


async def rows(url: str) -> dict[str, int]:
    database = Database(url)
    async with database.read() as session:
        counts = {
            table.name: await session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in moving._tables()
        }
    await database.close()
    return counts


@pytest.mark.slow
async def test_a_business_moves_to_postgresql_and_goes_on_there(
    tmp_path: Path, sqlite_url: str, postgres_url: str, clock: ManualClock
) -> None:
    async with surroundings(clock) as around:
        async with around.inhabited(around.settings(tmp_path, sqlite_url), clock) as world:
            await live(world)
            with pytest.raises(CannotMove, match="a program serves the source; stop it first"):
                await move(sqlite_url, postgres_url, now=datetime.now(UTC))
        before = await rows(sqlite_url)
        assert await move(sqlite_url, postgres_url, now=datetime.now(UTC)) == sum(before.values())
        assert await rows(postgres_url) == before
        assert sum(1 for count in before.values() if count) > 25
        async with around.inhabited(around.settings(tmp_path, postgres_url), clock) as world:
            ann = world.person(1)
            await world.move(timedelta(days=28))
            await ann.wait_for_text("INV-2026-000002", "is paid", "Visa •4242")
            await ann.send("/delete web")
            await ann.wait_for_text("Delete", "web")
            await ann.press("Delete web")
            await ann.wait_for_text("web", "deleted")
            newcomer = world.person(3, "Carl")
            await newcomer.start()
            await newcomer.wait_for_text("Hello")
            await world.settled()
            await world.check()
        assert [charge["amount"] for charge in around.stripe.control.charges()] == [384, 500]


async def filled(url: str) -> None:
    database = Database(url)
    async with database.transaction() as session:
        await make_customer(session)
    await database.close()


async def test_the_target_has_to_be_empty_and_the_source_current(
    tmp_path: Path, sqlite_url: str, postgres_url: str
) -> None:
    await filled(postgres_url)
    with pytest.raises(CannotMove, match="expected an empty database, there is something in customers"):
        await move(sqlite_url, postgres_url, now=datetime.now(UTC))
    with pytest.raises(CannotMove, match="the source is empty, or behind this program"):
        await move(f"sqlite+aiosqlite:///{tmp_path}/nothing.sqlite3", postgres_url, now=datetime.now(UTC))
    with pytest.raises(CannotMove, match="the same database"):
        await move(sqlite_url, sqlite_url, now=datetime.now(UTC))
    await move(
        postgres_url, f"sqlite+aiosqlite:///{tmp_path}/back.sqlite3", now=datetime.now(UTC)
    )  # the other way as well
    assert (await rows(f"sqlite+aiosqlite:///{tmp_path}/back.sqlite3"))["customers"] == 1


async def test_it_is_all_or_nothing(
    sqlite_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """A row that came to be different on the way is found, and then the target stays empty; so is a wrong balance."""
    await filled(sqlite_url)
    database = Database(sqlite_url)
    async with database.transaction() as session:
        session.add(Replica(name="somebody:else", started_at=clock.now(), seen_at=clock.now()))  # long dead
    await database.close()
    as_it_is = moving._without_default_card

    def spoilt(row: sa.RowMapping, table: sa.Table) -> dict[str, object]:
        return as_it_is(row, table) | ({"name": "Eve"} if table.name == "customers" else {})

    with monkeypatch.context() as patch:
        patch.setattr(moving, "_without_default_card", spoilt)
        with pytest.raises(CannotMove, match="customers differs after copying: id 1"):
            await move(sqlite_url, postgres_url, now=datetime.now(UTC))
    assert (await rows(postgres_url))["customers"] == 0
    await move(sqlite_url, postgres_url, now=datetime.now(UTC))
    assert (await rows(postgres_url))["customers"] == 1
