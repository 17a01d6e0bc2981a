"""Lists of machines ask the database as often for many as for one."""

from sqlalchemy import event, select

from benchmarks import seed
from billing.db import Database
from billing.terms import Terms
from bot import screens
from cloud.models import Deployment


async def test_a_list_asks_no_more_for_many_than_for_one(sqlite_url: str, terms: Terms) -> None:
    await seed.shop(sqlite_url, 10)
    database = Database(sqlite_url)
    asked: list[str] = []
    event.listen(database._reader.sync_engine, "before_cursor_execute", lambda *of: asked.append(of[2]))

    async def describe(count: int) -> int:
        async with database.read() as session:
            rows = (await session.scalars(select(Deployment).order_by(Deployment.id).limit(count))).all()
            asked.clear()
            shown = await screens.describe_all(session, rows, now=seed.NOW, terms=terms, real=True)
        assert [one.deployment.id for one in shown] == [row.id for row in rows]
        assert all(len(one.nodes) == 1 and 0 < one.so_far <= one.projected <= one.monthly for one in shown)
        return len(asked)

    assert await describe(1) == await describe(5) == 2
    await database.close()
